//! What is told about trouble with a gateway: the text in parentheses of a log line, in `mailq`
//! and in reports, in the words of Postfix, since tools and people know those.

use super::{Judge, TroubleKind, Verdict};
use crate::log::{LONGEST, Server, printable};
use crate::schedule::{Effect, GatewayTrouble};
use mail::StatusCode;
use smtp::Stage;
use smtp::client::{Fault, FaultKind, Interruption, Refusal, Unsupported};
use smtp::reply::Reply;

/// Trouble that makes a gateway unusable, with the code for `dsn=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What the scheduler is told; the reason is the text for the log and `mailq`.
    pub trouble: GatewayTrouble,
    /// What `dsn=` shows for the messages that wait.
    pub code: StatusCode,
}

impl Trouble {
    fn new(kind: TroubleKind, reason: &str, code: (u16, u16)) -> Self {
        let trouble = GatewayTrouble::new(kind, bounded(reason));
        Self {
            trouble,
            code: StatusCode::new(4, code.0, code.1),
        }
    }
}

/// No connection could be made: `reason` is the system's words, such as `Connection refused`.
#[must_use]
pub fn connect_failed(server: &Server, reason: &str) -> Trouble {
    Trouble::new(
        TroubleKind::Unreachable,
        &format!("connect to {server}: {reason}"),
        (4, 1),
    )
}

/// The gateway's name could not be looked up: `reason` is the resolver's words, such as
/// `Temporary failure in name resolution`.
#[must_use]
pub fn unknown_host(host: &str, reason: &str) -> Trouble {
    Trouble::new(
        TroubleKind::Unreachable,
        &format!("unable to look up host {host}: {reason}"),
        (4, 4),
    )
}

/// What ended a session outside of a transaction.
pub(super) fn of_fault(judge: &Judge<'_>, server: &Server, fault: &Fault) -> Trouble {
    let name = server.name();
    match &fault.kind {
        FaultKind::Reply(reply) => of_reply(judge, server, fault.stage, reply),
        FaultKind::Interrupted(how) => {
            let (kind, code) = of_interruption(fault.stage, how);
            Trouble::new(
                kind,
                &interrupted(server, fault.stage, how, false),
                (code.subject(), code.detail()),
            )
        }
        FaultKind::NoStartTls => Trouble::new(
            TroubleKind::Tls,
            &format!("TLS is required, but was not offered by host {name}"),
            (7, 4),
        ),
        FaultKind::NoAuth => {
            let text = format!("SASL authentication failed; server {name} does not offer AUTH");
            Trouble::new(TroubleKind::NoAuth, &text, (7, 0))
        }
        FaultKind::NoMechanism { .. } => {
            let text = format!(
                "SASL authentication failed; cannot authenticate to server {name}: \
                 no mechanism available"
            );
            Trouble::new(TroubleKind::NoAuth, &text, (7, 0))
        }
        FaultKind::Protocol(what) => {
            let text = format!(
                "host {name} broke the protocol while {}: {what}",
                doing(fault.stage, false)
            );
            Trouble::new(TroubleKind::Refused5xx, &text, (5, 0))
        }
    }
}

fn of_reply(judge: &Judge<'_>, server: &Server, stage: Stage, reply: &Reply) -> Trouble {
    let ruling = judge.classify(stage, reply);
    let (kind, effect) = match ruling.verdict {
        Verdict::Gateway(kind) => (kind, ruling.effect),
        // In a fault even an answer to MAIL or RCPT ended the session, so it is about the gateway.
        _ if reply.is_permanent() => (TroubleKind::Refused5xx, Effect::Park),
        _ => (TroubleKind::Refused4xx, Effect::BackOff),
    };
    Trouble {
        trouble: GatewayTrouble {
            kind,
            effect,
            reason: ruling.explained(&said(server, stage, reply)),
            retry_after: ruling.retry_after,
        },
        code: ruling.code.with_class(4),
    }
}

/// What a reply that refuses is reported as, such as
/// `host H[IP] said: 450 4.2.1 Mailbox busy (in reply to RCPT TO command)`.
#[must_use]
pub fn said(server: &Server, stage: Stage, reply: &Reply) -> String {
    let (name, reply) = (server.name(), as_received(reply));
    bounded(&match stage {
        Stage::Connect | Stage::Greeting | Stage::Ehlo | Stage::Idle => {
            format!("host {name} refused to talk to me: {reply}")
        }
        Stage::StartTls | Stage::Tls => {
            format!("TLS is required, but host {name} refused to start TLS: {reply}")
        }
        Stage::Auth => format!("SASL authentication failed; server {name} said: {reply}"),
        Stage::Mail => in_reply_to(&name, &reply, "MAIL FROM command"),
        Stage::Rcpt => in_reply_to(&name, &reply, "RCPT TO command"),
        Stage::Data => in_reply_to(&name, &reply, "DATA command"),
        Stage::EndOfData => in_reply_to(&name, &reply, "end of DATA command"),
        Stage::Rset => in_reply_to(&name, &reply, "RSET command"),
        Stage::Quit => in_reply_to(&name, &reply, "QUIT command"),
    })
}

/// A long reply is cut, so that what it was the answer to is never lost.
fn in_reply_to(name: &str, reply: &str, command: &str) -> String {
    let reply = printable::shortened(reply, LONGEST - 300);
    format!("host {name} said: {reply} (in reply to {command})")
}

/// A reply as it came, its lines joined by spaces: `550-5.7.1 one 550 5.7.1 two`.
fn as_received(reply: &Reply) -> String {
    let last = reply.lines.len().saturating_sub(1);
    let status = reply
        .status
        .map(|status| format!("{status} "))
        .unwrap_or_default();
    let line = |(index, text): (usize, &String)| {
        let mark = if index == last { ' ' } else { '-' };
        format!("{:03}{mark}{status}{text}", reply.code)
            .trim_end()
            .to_owned()
    };
    let lines: Vec<String> = reply.lines.iter().enumerate().map(line).collect();
    if lines.is_empty() {
        reply.to_string()
    } else {
        lines.join(" ")
    }
}

/// The text for one recipient that was not accepted.
pub(super) fn of_refusal(server: &Server, refusal: &Refusal) -> String {
    let name = server.name();
    match refusal {
        Refusal::Reply { stage, reply } => said(server, *stage, reply),
        Refusal::Interrupted {
            stage,
            how,
            content_sent,
        } => interrupted(server, *stage, how, *content_sent),
        Refusal::Unsupported {
            what: Unsupported::Size { size, limit },
        } => {
            format!("message size {size} exceeds size limit {limit} of server {name}")
        }
        Refusal::Unsupported {
            what: Unsupported::SmtpUtf8,
        } => {
            format!("SMTPUTF8 is required, but was not offered by host {name}")
        }
        Refusal::OtherRefused => {
            "not sent, because another recipient of this message was refused".to_owned()
        }
    }
}

/// The kind of trouble and the code of a broken connection.
pub(super) fn of_interruption(stage: Stage, how: &Interruption) -> (TroubleKind, StatusCode) {
    match (how, stage) {
        (Interruption::Tls(_), _) => (TroubleKind::Tls, StatusCode::new(4, 7, 5)),
        (Interruption::Protocol(_), _) => (TroubleKind::Refused5xx, StatusCode::new(4, 5, 0)),
        (Interruption::Io(_), Stage::Connect) => {
            (TroubleKind::Unreachable, StatusCode::new(4, 4, 1))
        }
        _ => (TroubleKind::Unreachable, StatusCode::new(4, 4, 2)),
    }
}

fn interrupted(server: &Server, stage: Stage, how: &Interruption, content_sent: bool) -> String {
    let (name, doing) = (server.name(), doing(stage, content_sent));
    bounded(&match how {
        Interruption::Timeout | Interruption::Io(_) | Interruption::Closed
            if stage == Stage::Connect =>
        {
            let reason = match how {
                Interruption::Timeout => "Connection timed out",
                Interruption::Io(reason) => reason,
                _ => "Connection refused",
            };
            format!("connect to {server}: {reason}")
        }
        Interruption::Timeout => format!("conversation with {name} timed out while {doing}"),
        Interruption::Closed | Interruption::Io(_) => {
            format!("lost connection with {name} while {doing}")
        }
        Interruption::Tls(reason) if is_about_certificate(reason) => {
            with_lead("Server certificate not verified", reason)
        }
        Interruption::Tls(reason) if stage == Stage::Tls => with_lead("Cannot start TLS", reason),
        Interruption::Tls(_) => format!("lost connection with {name} while {doing}"),
        Interruption::Protocol(what) => {
            format!("host {name} broke the protocol while {doing}: {what}")
        }
    })
}

/// Postfix's words first, since tools know them, then what the driver knows beyond them.
fn with_lead(lead: &str, reason: &str) -> String {
    if reason.starts_with(lead) {
        reason.to_owned()
    } else {
        format!("{lead}: {reason}")
    }
}

fn is_about_certificate(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    [
        "certificate",
        "unknownissuer",
        "unknown issuer",
        "not valid for name",
    ]
    .iter()
    .any(|word| reason.contains(word))
}

const fn doing(stage: Stage, content_sent: bool) -> &'static str {
    match stage {
        Stage::Connect | Stage::Greeting => "receiving the initial server greeting",
        Stage::Ehlo => "performing the EHLO handshake",
        Stage::StartTls | Stage::Tls => "performing the TLS handshake",
        Stage::Auth => "performing SASL authentication",
        Stage::Mail => "sending MAIL FROM",
        Stage::Rcpt => "sending RCPT TO",
        Stage::Data | Stage::EndOfData if content_sent => {
            "sending end of data -- message may be sent more than once"
        }
        Stage::Data => "sending DATA command",
        Stage::EndOfData => "sending message body",
        Stage::Rset => "sending RSET",
        Stage::Quit => "sending QUIT",
        Stage::Idle => "waiting for the next message",
    }
}

fn bounded(text: &str) -> String {
    printable::shortened(text, LONGEST)
}

#[cfg(test)]
mod tests;
