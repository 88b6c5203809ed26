//! A client at a port: what it may do there, and what the log says of it, in Postfix's words so that
//! fail2ban and logwatch count it.

use std::net::IpAddr;

use mail::{Address, Recipient, StatusCode};
use policy::log::{self, Line, Login, Refused};
use smtp::reply::Reply;
use smtp::server::{Ending, Server};

use crate::log::Log;

/// A client at a port.
#[derive(Clone, Copy)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Whether its mail is relayed: it is of this host or of `allow`, or must authenticate first.
    pub(super) admitted: bool,
}

impl Client {
    /// The client as log lines name it.
    pub(super) fn named(self) -> log::Client<'static> {
        let name = if self.address.is_loopback() {
            "localhost"
        } else {
            "unknown"
        };
        log::Client {
            name,
            address: self.address,
        }
    }

    /// The answer to a recipient that a stranger names, as Postfix gives it at this point: some
    /// tools that look for open relays, and fail2ban, know no other.
    pub(super) fn denial(
        self,
        log: &Log,
        server: &Server,
        sender: Option<&Address>,
        recipient: &Recipient,
    ) -> Reply {
        let recipient = recipient.address.as_str();
        let status = Some(StatusCode::new(5, 7, 1));
        let text = format!("<{recipient}>: Relay access denied");
        let reply = Reply::new(554, status, &text);
        log.write(&Line::Refused(Refused {
            id: None,
            command: "RCPT",
            client: self.named(),
            reply: &reply.to_string(),
            sender: Some(sender),
            recipient: Some(recipient),
            protocol: if server.is_extended() {
                "ESMTP"
            } else {
                "SMTP"
            },
            hello: server.hello(),
        }));
        reply
    }

    /// It went away, or its connection broke.
    pub(super) fn lost(self, log: &Log, server: &Server) {
        if server.is_unfinished() {
            log.write(&Line::LostConnection {
                after: &server.after(),
                client: self.named(),
            });
        }
    }

    /// It was silent for too long.
    pub(super) fn timed_out(self, log: &Log, server: &Server) {
        log.write(&Line::TimedOut {
            after: &server.after(),
            client: self.named(),
        });
    }

    /// It was wrong about a password.
    pub(super) fn was_wrong(self, log: &Log, login: Login<'_>) {
        log.write(&Line::LoginFailed {
            client: self.named(),
            login,
        });
    }

    /// Its session is over: why, if the server broke it off.
    pub(super) fn ended(self, log: &Log, server: &Server) {
        match server.ending() {
            None => {}
            Some(Ending::TooManyErrors) => log.write(&Line::TooManyErrors {
                after: &server.after(),
                client: self.named(),
            }),
            Some(Ending::NonSmtp(command)) => log.write(&Line::NonSmtp {
                client: self.named(),
                command,
            }),
        }
    }
}
