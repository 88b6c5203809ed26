//! Reading where mail is taken in, from whom, and what a client may cost: `[listen]` and `[limits]`.

use std::net::SocketAddr;

use super::{Block, Reader};
use crate::budget::Budget;
use crate::settings::keys::Section;
use crate::settings::scan::quoted;
use crate::settings::values::{self, Fault};
use crate::settings::{Counted, Doors, Listen, Network, OverRate};

/// More networks than this are for a firewall.
const MOST_NETWORKS: usize = 64;

impl Reader {
    pub(super) fn listen(&mut self) -> Option<Listen> {
        let block = Block::of(Section::Listen);
        let smtp = self.value(&block, "smtp", values::sockets);
        let submission = self.value(&block, "submission", values::sockets);
        let allow = self.value(&block, "allow", networks);
        let tls_cert = self.optional(&block, "tls_cert", values::path);
        let tls_key = self.optional(&block, "tls_key", values::path);
        let users_file = self.optional(&block, "users_file", values::path);
        if submission.as_ref().is_some_and(|all| !all.is_empty()) {
            self.requires(&block, "submission", &["tls_cert", "tls_key", "users_file"]);
        } else if self.is_given(&block, "tls_cert") {
            self.requires(&block, "tls_cert", &["tls_key"]);
        } else if self.is_given(&block, "tls_key") {
            self.requires(&block, "tls_key", &["tls_cert"]);
        }
        self.no_shared_socket(&block, smtp.as_ref(), submission.as_ref());
        if allow.as_ref().is_some_and(Vec::is_empty) {
            self.no_open_relay(&block, smtp.as_deref().unwrap_or_default());
        }
        Some(Listen {
            smtp: smtp?,
            submission: submission?,
            allow: allow?,
            tls_cert,
            tls_key,
            users_file,
        })
    }

    /// What is open to other hosts and asks for no password must say whom it is for.
    fn no_open_relay(&mut self, block: &Block, smtp: &[SocketAddr]) {
        if let Some(open) = smtp.iter().find(|socket| !socket.ip().is_loopback()) {
            let message = format!(
                "smtp asks nobody for a password, and {open} can be reached from other hosts"
            );
            let remedy = "add allow with the networks that it is for, or use a loopback address \
                          such as 127.0.0.1:25, or submission";
            self.complain(self.line_of(block, "smtp"), message, remedy);
        }
    }

    pub(super) fn doors(&mut self) -> Option<Doors> {
        let block = Block::of(Section::Limits);
        let max_sessions = self.value(&block, "max_sessions", places);
        let max_sessions_per_client = self.value(&block, "max_sessions_per_client", places);
        let max_recipients = self.value(&block, "max_recipients", recipients);
        let max_header_size = self.value(&block, "max_header_size", header_size);
        let max_command_length = self.value(&block, "max_command_length", command_length);
        let max_errors = self.value(&block, "max_errors", places);
        let command_timeout = self.value(&block, "command_timeout", values::duration);
        let socket_timeout = self.value(&block, "socket_timeout", values::duration);
        Some(Doors {
            max_sessions: max_sessions?,
            max_sessions_per_client: max_sessions_per_client?,
            max_recipients: max_recipients?,
            max_header_size: max_header_size?,
            max_command_length: max_command_length?,
            max_errors: max_errors?,
            command_timeout: command_timeout?,
            socket_timeout: socket_timeout?,
            budget: self.budget(&block),
            over_rate: self.value(&block, "over_rate", over_rate)?,
        })
    }

    /// `rate` and `burst`.
    fn budget(&mut self, block: &Block) -> Option<Budget> {
        let rate = self.optional(block, "rate", super::limits::rate);
        let burst = self.optional(block, "burst", super::limits::count);
        let line = self.line_of(block, "rate");
        let Some(rate) = rate else {
            if line == 0 {
                self.needs(block, "burst", "rate");
                self.needs(block, "over_rate", "rate");
            }
            return None;
        };
        if rate.of == Counted::Recipients {
            let remedy = "write a number of messages, such as 500/h";
            self.complain(line, "rate: only messages are counted here", remedy);
        }
        Some(Budget {
            messages: rate.amount,
            per: rate.per,
            burst: burst.unwrap_or(rate.amount),
        })
    }

    fn requires(&mut self, block: &Block, name: &str, others: &[&str]) {
        let missing: Vec<&str> = others
            .iter()
            .copied()
            .filter(|other| !self.is_given(block, other))
            .collect();
        if !missing.is_empty() {
            let message = format!("{name} is given without {}", missing.join(", "));
            let remedy = format!(
                "add {} to [{}], or remove {name}",
                missing.join(", "),
                block.heading
            );
            self.complain(self.line_of(block, name), message, remedy);
        }
    }

    fn no_shared_socket(
        &mut self,
        block: &Block,
        smtp: Option<&Vec<std::net::SocketAddr>>,
        submission: Option<&Vec<std::net::SocketAddr>>,
    ) {
        let (Some(smtp), Some(submission)) = (smtp, submission) else {
            return;
        };
        if let Some(both) = submission.iter().find(|socket| smtp.contains(socket)) {
            let message = format!("{both} stands in both smtp and submission");
            self.complain(
                self.line_of(block, "submission"),
                message,
                "remove it from one of them",
            );
        }
    }
}

/// `over_rate`.
fn over_rate(text: &str) -> Result<OverRate, Fault> {
    match text {
        "defer" => Ok(OverRate::Defer),
        "hold" => Ok(OverRate::Hold),
        _ => Err(Fault {
            message: format!("{} is not one of the values", quoted(text)),
            remedy: "write one of defer, hold".to_owned(),
        }),
    }
}

/// `none`, or networks.
fn networks(text: &str) -> Result<Vec<Network>, Fault> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let mut networks = Vec::new();
    for item in text.split(',').map(str::trim) {
        let network = Network::parse(item).map_err(|error| Fault {
            message: format!("{} {}", quoted(item), error.problem),
            remedy: error.remedy,
        })?;
        networks.push(network);
    }
    if networks.len() > MOST_NETWORKS {
        return Err(Fault {
            message: format!("there are more than {MOST_NETWORKS} networks"),
            remedy: "name larger ones, and leave the rest to a firewall".to_owned(),
        });
    }
    Ok(networks)
}

fn places(text: &str) -> Result<usize, Fault> {
    whole(text, 1, 10_000)
}

/// The most that the spool's format has room for (RFC 5321 section 4.5.3.1.8 asks for 100 at least).
fn recipients(text: &str) -> Result<usize, Fault> {
    whole(text, 100, 10_000)
}

/// RFC 5321 section 4.5.3.1.4 asks for 512 at least.
fn command_length(text: &str) -> Result<usize, Fault> {
    whole(text, 512, 65_536)
}

fn header_size(text: &str) -> Result<usize, Fault> {
    let size = values::size(text)?;
    let bounds = 16 * 1024..=1024 * 1024;
    usize::try_from(size)
        .ok()
        .filter(|size| bounds.contains(size))
        .ok_or_else(|| Fault {
            message: format!("{} is not between 16K and 1M", quoted(text)),
            remedy: "write a size such as 256K".to_owned(),
        })
}

fn whole(text: &str, least: usize, most: usize) -> Result<usize, Fault> {
    let number = text.parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| Fault {
            message: format!("{} is not a number from {least} to {most}", quoted(text)),
            remedy: format!("write a number from {least} to {most}"),
        })
}
