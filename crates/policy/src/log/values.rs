//! The values that lines are made from.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mail::{Address, QueueId, StatusCode};

use super::printable;

/// The far end of a session, printed as Postfix does: `host[address]:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// The host name of the settings.
    pub host: String,
    /// The address it was found at.
    pub address: IpAddr,
    /// The TCP port.
    pub port: u16,
}

impl Server {
    /// A server by its settings' name and the socket address in use.
    #[must_use]
    pub fn new(host: &str, socket: SocketAddr) -> Self {
        Self {
            host: host.to_owned(),
            address: socket.ip(),
            port: socket.port(),
        }
    }

    /// `host[address]`, as replies are reported.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "{}[{}]",
            printable::shortened(&self.host, 255),
            self.address
        )
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.port)
    }
}

/// What `relay=` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay<'a> {
    /// `none`: there was no session.
    None,
    /// A gateway.
    Server(&'a Server),
    /// `capture`: the message went into a Maildir.
    Capture,
}

/// The four parts of the time that a message took, in the order of `delays=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// From arrival to the queue being able to try it, earlier attempts included.
    pub before_queue: Duration,
    /// Waiting for a session.
    pub in_queue: Duration,
    /// Connecting, EHLO, TLS, AUTH; zero where the session was there already.
    pub connecting: Duration,
    /// The transaction.
    pub sending: Duration,
}

/// What `status=` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `sent`.
    Sent,
    /// `deferred`.
    Deferred,
    /// `bounced`.
    Bounced,
    /// `SOFTBOUNCE`: refused for good, and kept because the settings say so.
    SoftBounce,
}

/// One recipient of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The message.
    pub id: QueueId,
    /// `to=`.
    pub recipient: &'a Address,
    /// `orig_to=`; left out where it is equal to `to=` but for case.
    pub original: Option<&'a str>,
    /// `relay=`.
    pub relay: Relay<'a>,
    /// Which transaction of its session this was, from 1; `conn_use=` is shown from 2 up.
    pub session_use: u32,
    /// `delay=`, their sum, and `delays=`.
    pub delays: Delays,
    /// `dsn=`. With [`Status::Deferred`] and [`Status::SoftBounce`] class 5 is shown as 4.
    pub code: StatusCode,
    /// `status=`.
    pub status: Status,
    /// What stands in parentheses at the end.
    pub reason: &'a str,
}

/// A client of our own SMTP doors, printed as `name[address]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its host name, or `unknown`.
    pub name: &'a str,
    /// Its address.
    pub address: IpAddr,
}

/// How a client authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login<'a> {
    /// The mechanism, such as `PLAIN`.
    pub mechanism: &'a str,
    /// The user name.
    pub user: &'a str,
}

/// A command of a client that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// The message, where one was begun; else `NOQUEUE` is shown.
    pub id: Option<QueueId>,
    /// The command: `RCPT`, `MAIL`, `DATA`, `END-OF-MESSAGE`.
    pub command: &'a str,
    /// The client.
    pub client: Client<'a>,
    /// The reply given, as in `454 4.7.1 <a@b>: Relay access denied`.
    pub reply: &'a str,
    /// The sender, once MAIL was given: the inner `None` is the null sender.
    pub sender: Option<Option<&'a Address>>,
    /// The recipient that the command was about.
    pub recipient: Option<&'a str>,
    /// `ESMTP` or `SMTP`.
    pub protocol: &'a str,
    /// The name that the client gave.
    pub hello: Option<&'a str>,
}

/// How many commands of one kind a client gave, for the line at its disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<'a> {
    /// The command in lower case.
    pub command: &'a str,
    /// How many of them were accepted.
    pub accepted: u32,
    /// How many there were.
    pub total: u32,
}

/// What an encrypted session with a gateway uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsSession<'a> {
    /// The gateway.
    pub server: &'a Server,
    /// Whether the certificate is trusted and carries the right name.
    pub verified: bool,
    /// The protocol, such as `TLSv1.3`.
    pub protocol: &'a str,
    /// The cipher, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'a str,
    /// The length of its key.
    pub bits: u32,
}

/// Which notification was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The message could not be delivered.
    NonDelivery,
    /// It is late.
    Delay,
    /// It was relayed, and the sender had asked to be told.
    Success,
}
