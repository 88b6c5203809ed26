//! The settings file `relayd.conf`: what may stand in it, and what it means.
//!
//! [`KEYS`] is the one table of keys. The reader, the sample file and the manual page are all made
//! from it, so that they cannot disagree. The file is read strictly: a line that this module does
//! not understand is a [`Problem`], never something quietly left out, and all problems are
//! reported at once. Nothing here opens a file; whoever calls passes the text in.

pub mod alarm;
mod document;
mod keys;
mod limits;
mod nearest;
mod network;
mod read;
mod scan;
mod values;

use crate::budget::Budget;
use crate::from;
use crate::providers::{self, Preset};
use crate::route::Takes;
use mail::Address;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use alarm::{Alarm, Emergency};
pub use document::{manual, sample};
pub use keys::{Fallback, KEYS, Key, Kind, Section};
pub use limits::{Counted, FallbackGateway, Overflow, Period, Quota, QuotaLimit, Rate, ResetTime};
pub use network::{Network, NetworkError};

/// Everything that the settings file decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host's own name; `None`: ask the system.
    pub hostname: Option<String>,
    /// The domain that completes bare addresses; `None`: the host's own name.
    pub domain: Option<String>,
    /// Where mail for `root` goes, and for names without an alias; `None`: to the alias `root`.
    pub root: Option<Address>,
    /// The account that relayd runs as.
    pub user: Option<String>,
    /// The largest message taken in, in bytes.
    pub message_size_limit: u64,
    /// How long an undeliverable message is kept before it is returned.
    pub queue_lifetime: Duration,
    /// What becomes of a message that the gateway refuses for good.
    pub soft_bounce: SoftBounce,
    /// Who may list the queue.
    pub mailq_users: Users,
    /// Who may flush the queue.
    pub flush_users: Users,
    /// `[paths]`.
    pub paths: Paths,
    /// `file` of `[aliases]`; `None`: there are no aliases.
    pub aliases: Option<PathBuf>,
    /// `[rewrite]`.
    pub rewrite: Rewrite,
    /// `file` of `[replies]`: rules of the admin's own, for [`crate::verdict::Rulebook::with_own`].
    pub replies: Option<PathBuf>,
    /// The `[gateway NAME]` sections, in the order of the file: at least one, and at least one for
    /// mail that no other takes. `fallback` and `overflow` name others of them.
    pub gateways: Vec<Gateway>,
    /// `[listen]`.
    pub listen: Listen,
    /// `[limits]`.
    pub doors: Doors,
    /// `[log]`.
    pub log: Log,
    /// `[alarm]` and `[alarm NAME]`.
    pub alarm: Alarm,
}

/// `soft_bounce`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SoftBounce {
    /// Mail is returned where the refusal is clearly about the recipient or the message; any other
    /// refusal keeps it.
    #[default]
    Smart,
    /// Nothing is returned before [`Settings::queue_lifetime`] has passed.
    Yes,
    /// Every 5xx answer to MAIL, RCPT or the content returns the mail.
    No,
}

/// Who may do something with the queue. Root and the account of relayd always may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// Everybody on the host.
    Any,
    /// These login names.
    List(Vec<String>),
}

impl Users {
    /// Whether a caller may: by login name, where the system knows one for its uid.
    #[must_use]
    pub fn allows(&self, login: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::List(names) => login.is_some_and(|login| names.iter().any(|name| name == login)),
        }
    }
}

/// `[paths]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The folder of the queue.
    pub spool: PathBuf,
    /// The folder of the sockets.
    pub run: PathBuf,
}

/// What the programs that hand mail in need of the settings. A file in which anything else is
/// wrong must not keep them from it: relayd goes on with the settings that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Essentials {
    /// `[paths]`.
    pub paths: Paths,
    /// The largest message taken in, in bytes.
    pub message_size_limit: u64,
}

impl Essentials {
    /// Reads them from the text of a settings file. Only `[paths]` has to be in order; a size limit
    /// that is not one is taken for the default. `file_name` is only named in problems.
    ///
    /// # Errors
    /// What is wrong in `[paths]`, or with what seems to mean it.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Vec<Problem>> {
        read::essentials(text, file_name)
    }

    /// Makes relative paths relative to `base`, the folder of the settings file.
    pub fn resolve_paths(&mut self, base: &Path) {
        self.paths.resolve(base);
    }
}

impl Paths {
    fn resolve(&mut self, base: &Path) {
        for path in [&mut self.spool, &mut self.run] {
            // `join` leaves an absolute path as it is.
            *path = base.join(&*path);
        }
    }
}

/// `[rewrite]`: the files of [`crate::rewrite::Map`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// For senders.
    pub senders: Option<PathBuf>,
    /// For recipients.
    pub recipients: Option<PathBuf>,
}

/// `[gateway NAME]`: where mail is relayed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The name in the section's heading.
    pub name: String,
    /// By SMTP, or into a folder instead.
    pub deliver: Deliver,
    /// `provider`.
    pub provider: Option<Preset>,
    /// Host name or address. With `deliver = capture:` and no host, the gateway's name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the session is encrypted.
    pub tls: Tls,
    /// The name that the certificate must carry.
    pub tls_name: String,
    /// A PEM file of the only authorities trusted; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The user name to authenticate with.
    pub user: Option<String>,
    /// Where the password comes from; present exactly if `user` is.
    pub password: Option<PasswordSource>,
    /// How many sessions may be open at once, at least 1.
    pub max_connections: u32,
    /// How many transactions one session may have; `None`: any number.
    pub max_messages_per_connection: Option<NonZeroU32>,
    /// How many recipients one transaction may have; `None`: as many as the gateway says.
    pub max_recipients: Option<NonZeroU32>,
    /// How long a session without work stays open.
    pub idle_close: Duration,
    /// How fast mail may be sent; `None`: as fast as the gateway takes it.
    pub rate: Option<Rate>,
    /// How much mail may be sent, and what happens beyond.
    pub quota: Quota,
    /// Which gateway takes over when this one is down.
    pub fallback: Option<FallbackGateway>,
    /// Its share among gateways that fit equally well, 1 to 1000.
    pub weight: u32,
    /// The mail that it takes.
    pub takes: Takes,
    /// It takes only what comes from others, as their fallback or overflow.
    pub spare: bool,
    /// How this host calls itself in EHLO there; `None`: [`Settings::hostname`].
    pub helo_name: Option<String>,
    /// Whom mail may be from, as `[from]` and the section itself say.
    pub from: from::Rules,
}

impl Gateway {
    /// Whose replies it gives, as the table of replies names them: by `provider`, else by `host`.
    #[must_use]
    pub fn family(&self) -> Option<&'static str> {
        match &self.provider {
            Some(preset) => Some(preset.provider.family),
            None => providers::family_of_host(&self.host),
        }
    }
}

/// `deliver` of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// Relay by SMTP.
    Smtp,
    /// Put each message into this Maildir and send nothing.
    Capture(PathBuf),
}

/// `tls` of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// STARTTLS is required (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// No encryption.
    None,
}

/// Where a gateway's password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a command prints.
    Command(String),
    /// A credential that systemd passes to the service, by name.
    Credential(String),
}

/// `[listen]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where programs of this host, and hosts in `allow`, may hand in mail by SMTP.
    pub smtp: Vec<SocketAddr>,
    /// Where all hosts may hand in mail, over TLS and after authentication.
    pub submission: Vec<SocketAddr>,
    /// Hosts that need neither, beside this one.
    pub allow: Vec<Network>,
    /// The certificate chain for `submission`, PEM.
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Who may authenticate at `submission`.
    pub users_file: Option<PathBuf>,
}

impl Listen {
    /// Whether `allow` names a client at this address, so that it needs no password anywhere.
    #[must_use]
    pub fn allows(&self, client: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(client))
    }

    /// Whether it may hand in mail at `smtp`: those of this host may as well.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        client.to_canonical().is_loopback() || self.allows(client)
    }
}

/// `[limits]`: what clients may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    /// Sessions at one door at a time.
    pub max_sessions: usize,
    /// Of these, sessions of one uid or address.
    pub max_sessions_per_client: usize,
    /// Recipients of one message.
    pub max_recipients: usize,
    /// The header block of one message, in bytes.
    pub max_header_size: usize,
    /// One line of a command, in bytes.
    pub max_command_length: usize,
    /// Errors in a session since its last message.
    pub max_errors: usize,
    /// Time for one command at a port.
    pub command_timeout: Duration,
    /// The same at the submit socket.
    pub socket_timeout: Duration,
    /// `rate` and `burst`: what one origin may hand in; `None`: as much as it likes.
    pub budget: Option<Budget>,
    /// `over_rate`: what becomes of mail beyond it.
    pub over_rate: OverRate,
}

/// `over_rate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverRate {
    /// It is refused for now.
    #[default]
    Defer,
    /// It is taken in and held.
    Hold,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What stands before the slash in the program name of each line.
    pub name: String,
    /// Where lines go.
    pub to: LogTarget,
}

/// `to` of `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The system's logger, facility mail.
    Syslog,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

/// One thing wrong with a settings file. Passwords never appear in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1; 0 where something is missing from the whole file.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    /// `file:line: message. remedy.`, or without `line:` where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}. {}.", self.file, self.message, self.remedy),
            line => write!(
                f,
                "{}:{line}: {}. {}.",
                self.file, self.message, self.remedy
            ),
        }
    }
}

impl Settings {
    /// Reads the text of a settings file. `file_name` is only named in problems.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the lines; at most 100 problems.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Vec<Problem>> {
        read::read(text, file_name)
    }

    /// Makes relative paths relative to `base`, the folder of the settings file.
    pub fn resolve_paths(&mut self, base: &Path) {
        let listen = &mut self.listen;
        let optional = [
            &mut listen.tls_cert,
            &mut listen.tls_key,
            &mut listen.users_file,
            &mut self.aliases,
            &mut self.rewrite.senders,
            &mut self.rewrite.recipients,
            &mut self.replies,
        ];
        self.paths.resolve(base);
        self.alarm.resolve(base);
        let mut paths: Vec<&mut PathBuf> = optional.into_iter().flatten().collect();
        if let LogTarget::File(path) = &mut self.log.to {
            paths.push(path);
        }
        for gateway in &mut self.gateways {
            paths.extend(&mut gateway.ca_file);
            if let Deliver::Capture(path) = &mut gateway.deliver {
                paths.push(path);
            }
            if let Some(PasswordSource::File(path)) = &mut gateway.password {
                paths.push(path);
            }
        }
        for path in paths {
            *path = base.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests;
