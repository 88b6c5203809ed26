//! Every line that the suite writes to the mail log, as one enum.
//!
//! The lines about a message, a session with the gateway and a session with a local client have
//! exactly the shape of Postfix 3.7 to 3.10, because pflogsumm, logwatch, fail2ban and the
//! exporters read that shape; the few lines of our own stand beside them. A line is made from
//! values, and text from outside is made safe on the way: no line break, no control character, no
//! more than [`LONGEST`] characters.

mod catalogue;
mod render;
mod values;

pub mod printable;

use mail::{Address, QueueId};
use std::time::Duration;

pub use catalogue::{CATALOGUE, Entry, Kind, manual};
pub use values::{
    Client, Count, Delays, Delivery, Login, Notification, Refused, Relay, Server, Status,
    TlsSession,
};

/// The largest number of characters in the text of a line.
pub const LONGEST: usize = 1000;

/// How serious a line is, by the names of syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// `info`: the normal course of things.
    Info,
    /// `warning`; the text begins with `warning: `.
    Warning,
    /// `err`; the text begins with `error: `.
    Error,
    /// `crit`; the text begins with `fatal: `.
    Critical,
}

/// A finished line, without the stamp that the logger adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What stands after the slash in the program name, as in `relayd/smtp`.
    pub service: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// One line of safe text, at most [`LONGEST`] characters, without a line end.
    pub text: String,
}

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A local program handed in a message.
    Pickup {
        /// The message.
        id: QueueId,
        /// The caller's uid.
        uid: u32,
        /// The envelope sender.
        sender: Option<&'a Address>,
        /// The script that the message names as its author.
        script: Option<&'a str>,
    },
    /// An SMTP client handed in a message.
    Accepted {
        /// The message.
        id: QueueId,
        /// The client.
        client: Client<'a>,
        /// How it authenticated.
        login: Option<Login<'a>>,
        /// The script that the message names as its author.
        script: Option<&'a str>,
    },
    /// The Message-ID of a message, without its angle brackets.
    MessageId {
        /// The message.
        id: QueueId,
        /// The field's value, as found; empty where there is none.
        message_id: &'a [u8],
        /// Whether it is Resent-Message-ID.
        resent: bool,
    },
    /// A message is about to be tried.
    Active {
        /// The message.
        id: QueueId,
        /// The envelope sender.
        sender: Option<&'a Address>,
        /// The content's size in bytes.
        size: u64,
        /// How many recipients are still to be served.
        recipients: usize,
    },
    /// What one attempt meant for one recipient.
    Delivery(Delivery<'a>),
    /// A recipient that was not tried because the gateway is down; `reason` says why it is.
    Suspended(Delivery<'a>),
    /// Nothing is left to do for a message.
    Removed {
        /// The message.
        id: QueueId,
    },
    /// A message was given up.
    Expired {
        /// The message.
        id: QueueId,
        /// The envelope sender.
        sender: Option<&'a Address>,
        /// Whether an admin asked for it.
        forced: bool,
    },
    /// A notification was queued.
    Notified {
        /// The message that it is about.
        id: QueueId,
        /// What it says.
        what: Notification,
        /// The queue id of the notification.
        report: QueueId,
    },
    /// A connection could not be made.
    ConnectFailed {
        /// The gateway.
        server: &'a Server,
        /// Why, such as `Connection refused`.
        reason: &'a str,
    },
    /// A session with a gateway is encrypted.
    TlsEstablished(TlsSession<'a>),
    /// A gateway's certificate was not accepted.
    CertificateRefused {
        /// The gateway.
        server: &'a Server,
        /// Why.
        reason: &'a str,
    },
    /// A gateway offers no way to authenticate that we know.
    NoMechanism,
    /// A client connected.
    Connected {
        /// The client.
        client: Client<'a>,
    },
    /// A client's session ended.
    Disconnected {
        /// The client.
        client: Client<'a>,
        /// Its commands, in the order of Postfix: ehlo, helo, starttls, auth, mail, rcpt, data, …
        counts: &'a [Count<'a>],
    },
    /// A client's command was refused.
    Refused(Refused<'a>),
    /// A client went away in the middle of a dialogue.
    LostConnection {
        /// The last command.
        after: &'a str,
        /// The client.
        client: Client<'a>,
    },
    /// A client was silent for too long.
    TimedOut {
        /// The last command.
        after: &'a str,
        /// The client.
        client: Client<'a>,
    },
    /// A client made too many mistakes and was sent away.
    TooManyErrors {
        /// The last command.
        after: &'a str,
        /// The client.
        client: Client<'a>,
    },
    /// A client does not speak SMTP and was sent away.
    NonSmtp {
        /// The client.
        client: Client<'a>,
        /// What it sent.
        command: &'a [u8],
    },
    /// A client's password was wrong.
    LoginFailed {
        /// The client.
        client: Client<'a>,
        /// What it tried.
        login: Login<'a>,
    },
    /// Somebody hands in more than they may.
    OverRate {
        /// Whose mail is counted: a uid, a user or an address.
        origin: &'a str,
        /// The uid's name.
        login: Option<&'a str>,
        /// The PHP script that the message names.
        script: Option<&'a str>,
        /// How much they may.
        rate: &'a str,
        /// The mail is held; otherwise it is refused for now.
        held: bool,
    },
    /// They do not any more.
    WithinRate {
        /// Whose mail is counted.
        origin: &'a str,
    },
    /// An admin had a message held, or the end of that.
    Held {
        /// The message.
        id: QueueId,
        /// It is held from now on; otherwise released.
        held: bool,
    },
    /// relayd is running.
    Started {
        /// Its version.
        version: &'a str,
        /// Its settings file.
        settings: &'a str,
    },
    /// relayd has read its settings again.
    Reloaded {
        /// Its version.
        version: &'a str,
        /// Its settings file.
        settings: &'a str,
    },
    /// relayd ends because of a signal.
    Stopping {
        /// The signal's number.
        signal: i32,
    },
    /// The settings were to be read again, and are wrong.
    SettingsRefused {
        /// The first problem.
        problem: &'a str,
    },
    /// A gateway cannot be used; mail waits.
    GatewayDown {
        /// The section's name.
        gateway: &'a str,
        /// Why, in the words that `mailq` shows.
        reason: &'a str,
    },
    /// A gateway can be used again.
    GatewayUp {
        /// The section's name.
        gateway: &'a str,
        /// How long it was down.
        after: Duration,
        /// How many messages wait.
        waiting: usize,
    },
    /// A gateway takes no mail, and others take over.
    TakenOver {
        /// The section's name.
        gateway: &'a str,
        /// Those that take over, in order.
        others: &'a str,
        /// Its quota is used up; otherwise it is down, or paused.
        spent: bool,
    },
    /// Much of a gateway's quota is used.
    QuotaUsed {
        /// The section's name.
        gateway: &'a str,
        /// The quota, as the settings have it.
        quota: &'a str,
        /// How much of it: 80, 95 or 100.
        percent: u8,
    },
    /// An entry of the queue cannot be read.
    Damaged {
        /// Its file name.
        name: &'a str,
        /// The queue it was in.
        queue: &'a str,
        /// Whether it lies in `corrupt` now; else it could not be moved.
        moved: bool,
        /// What is wrong with it.
        why: &'a str,
    },
    /// An attempt ended after the content was sent and before the answer was known.
    Uncertain {
        /// The message.
        id: QueueId,
        /// The gateway that may have taken it.
        gateway: &'a str,
    },
    /// What a refusal of a message means, and what to do. It follows the line of the refusal.
    Explained {
        /// The message.
        id: QueueId,
        /// What it means.
        meaning: &'a str,
        /// What to do.
        remedy: &'a str,
    },
    /// A message goes out other than it was handed in, because of the From policy or of what the
    /// gateway can carry.
    Altered {
        /// The message.
        id: QueueId,
        /// What was changed.
        what: &'a str,
    },
    /// Anything else that an admin should look at.
    Warning {
        /// Which part of the suite speaks.
        service: &'static str,
        /// What it says.
        text: &'a str,
    },
    /// Something failed, and the program goes on.
    Error {
        /// Which part of the suite speaks.
        service: &'static str,
        /// What it says.
        text: &'a str,
    },
    /// A program cannot go on.
    Fatal {
        /// Which program speaks.
        service: &'static str,
        /// What it says.
        text: &'a str,
    },
}

#[cfg(test)]
mod tests;
