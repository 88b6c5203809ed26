//! The one table of keys that a settings file may hold.

/// A part of the settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Before any heading.
    Top,
    /// `[paths]`.
    Paths,
    /// `[aliases]`.
    Aliases,
    /// `[rewrite]`.
    Rewrite,
    /// `[gateway NAME]`.
    Gateway,
    /// `[listen]`.
    Listen,
    /// `[log]`.
    Log,
}

impl Section {
    /// Every section, in the order of the sample file.
    pub const ALL: [Self; 7] = [
        Self::Top,
        Self::Paths,
        Self::Aliases,
        Self::Rewrite,
        Self::Gateway,
        Self::Listen,
        Self::Log,
    ];

    /// The first word of the heading; empty for [`Section::Top`].
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Paths => "paths",
            Self::Aliases => "aliases",
            Self::Rewrite => "rewrite",
            Self::Gateway => "gateway",
            Self::Listen => "listen",
            Self::Log => "log",
        }
    }

    /// How to name the place to a reader, as in "belongs in …".
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::Top => "the top of the file, before any section",
            Self::Paths => "[paths]",
            Self::Aliases => "[aliases]",
            Self::Rewrite => "[rewrite]",
            Self::Gateway => "[gateway NAME]",
            Self::Listen => "[listen]",
            Self::Log => "[log]",
        }
    }
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A host or domain name.
    HostName,
    /// A host name or an IP address.
    Host,
    /// A mail address with its domain.
    MailAddress,
    /// A login name of this host.
    Login,
    /// `any`, or login names with commas between them.
    Users,
    /// Bytes, with K, M or G for powers of 1024.
    Size,
    /// A number with s, m, h, d or w.
    Duration,
    /// A whole number from 1 to 100.
    Connections,
    /// A TCP port.
    Port,
    /// `smart`, `yes` or `no`.
    SoftBounce,
    /// `starttls`, `implicit` or `none`.
    Tls,
    /// `smtp` or `capture:FOLDER`.
    Deliver,
    /// A file or folder.
    Path,
    /// `none`, or a file.
    PathOrNone,
    /// A command line.
    Command,
    /// Any printable text.
    Text,
    /// The name of a credential.
    CredentialName,
    /// `none`, or addresses with ports, with commas between them.
    Sockets,
    /// A program name for log lines.
    LogName,
    /// `syslog`, `stderr` or a file.
    LogTarget,
}

impl Kind {
    /// The form, in words, as in "a size: …".
    #[must_use]
    pub const fn form(self) -> &'static str {
        match self {
            Self::HostName => "a host name",
            Self::Host => "a host name or an IP address",
            Self::MailAddress => "a mail address",
            Self::Login => "a login name",
            Self::Users => "any, or login names with commas between them",
            Self::Size => "a number of bytes; K, M and G multiply it by 1024 once, twice or thrice",
            Self::Duration => "a number and one of s, m, h, d, w",
            Self::Connections => "a number from 1 to 100",
            Self::Port => "a port number",
            Self::SoftBounce => "smart, yes or no",
            Self::Tls => "starttls, implicit or none",
            Self::Deliver => "smtp, or capture: and a folder",
            Self::Path => "a file name",
            Self::PathOrNone => "none, or a file name",
            Self::Command => "a command line",
            Self::Text => "text",
            Self::CredentialName => "a name",
            Self::Sockets => "none, or addresses with ports, with commas between them",
            Self::LogName => "a word",
            Self::LogTarget => "syslog, stderr, or a file name with a slash in it",
        }
    }
}

/// What holds where a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, read as if it stood in the file.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// One key of the settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it belongs.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// The form of its value.
    pub kind: Kind,
    /// What holds without it.
    pub default: Fallback,
    /// A value to show where the default is none.
    pub example: &'static str,
    /// What it does; whole sentences.
    pub meaning: &'static str,
}

use Fallback::{Value, Words};
use Section::{Aliases, Gateway, Listen, Log, Paths, Rewrite, Top};

/// Every key, in the order of the sample file.
pub const KEYS: &[Key] = &[
    key(
        Top,
        "hostname",
        Kind::HostName,
        Words("the host name that the system reports"),
        "app1.example.com",
        "The full name of this host. It is said to the gateway in EHLO and stands in Received and \
         Message-ID.",
    ),
    key(
        Top,
        "domain",
        Kind::HostName,
        Words("the value of hostname"),
        "example.com",
        "The domain that completes an address without one, so that mail from root becomes mail \
         from root@example.com.",
    ),
    key(
        Top,
        "root",
        Kind::MailAddress,
        Words("the alias root; without one, root at the value of domain"),
        "admin@example.com",
        "Where mail for root goes, and mail for names of this host that have no alias. There are no \
         mailboxes on this host, so this should be an address that somebody reads.",
    ),
    key(
        Top,
        "user",
        Kind::Login,
        Value("relayd"),
        "relayd",
        "The account that relayd runs as once its sockets are open.",
    ),
    key(
        Top,
        "message_size_limit",
        Kind::Size,
        Value("25M"),
        "25M",
        "The largest message taken in. A gateway may allow less; such a message is returned to \
         its sender.",
    ),
    key(
        Top,
        "queue_lifetime",
        Kind::Duration,
        Value("5d"),
        "5d",
        "How long a message that cannot be delivered is kept before it is returned to its sender.",
    ),
    key(
        Top,
        "soft_bounce",
        Kind::SoftBounce,
        Value("smart"),
        "smart",
        "What happens when the gateway refuses a message for good. smart: it is returned if the \
         refusal is clearly about the recipient or the message; any other refusal keeps it, \
         because the cause is then the account or these settings. yes: it is always kept until \
         queue_lifetime has passed. no: it is returned at every 5xx answer to MAIL, RCPT or the \
         message.",
    ),
    key(
        Top,
        "mailq_users",
        Kind::Users,
        Value("any"),
        "any",
        "Who may list the queue. Root always may.",
    ),
    key(
        Top,
        "flush_users",
        Kind::Users,
        Value("any"),
        "any",
        "Who may ask for a delivery attempt now. Root always may.",
    ),
    key(
        Paths,
        "spool",
        Kind::Path,
        Value("/var/spool/relayd"),
        "/var/spool/relayd",
        "The folder of the queue.",
    ),
    key(
        Paths,
        "run",
        Kind::Path,
        Value("/run/relayd"),
        "/run/relayd",
        "The folder of the sockets submit.sock and control.sock.",
    ),
    key(
        Aliases,
        "file",
        Kind::PathOrNone,
        Value("/etc/aliases"),
        "/etc/aliases",
        "Where mail for names of this host goes, in the form that sendmail and Postfix know. A \
         change counts at once; newaliases lists what is wrong. It must belong to root or to user, \
         and nobody else may be able to write it. Mail for a name without an alias goes where root \
         goes: to the setting root, or to the alias root; without either, to the name at domain.",
    ),
    key(
        Rewrite,
        "senders",
        Kind::Path,
        Words("none; senders stay as they are"),
        "/etc/relayd/senders",
        "A file of senders that are to be replaced, one \"pattern address\" a line. A pattern is \
         user@domain, user (a name of this host, or in domain) or @domain; the address may be \
         @domain as well, which keeps what stands before it. It must belong to root or to user, and \
         nobody else may be able to write it. After a change: relayctl reload.",
    ),
    key(
        Rewrite,
        "recipients",
        Kind::Path,
        Words("none; recipients stay as they are"),
        "/etc/relayd/recipients",
        "The same for recipients. It is looked up before the aliases, and again for each address \
         that they give.",
    ),
    key(
        Gateway,
        "host",
        Kind::Host,
        Words("none; it must be given"),
        "smtp.example.com",
        "The gateway's name or address.",
    ),
    key(
        Gateway,
        "port",
        Kind::Port,
        Words("587 with tls = starttls, 465 with implicit, 25 with none"),
        "587",
        "The TCP port.",
    ),
    key(
        Gateway,
        "tls",
        Kind::Tls,
        Words("starttls; implicit where port is 465"),
        "starttls",
        "How the session is encrypted. starttls: the session begins in plain text and must be \
         switched to TLS before anything is sent. implicit: TLS from the first byte. none: no \
         encryption; not allowed together with user, unless host is this host.",
    ),
    key(
        Gateway,
        "tls_name",
        Kind::Host,
        Words("the value of host"),
        "smtp.example.com",
        "The name that the gateway's certificate must carry.",
    ),
    key(
        Gateway,
        "ca_file",
        Kind::Path,
        Words("the certificates that the system trusts"),
        "/etc/relayd/gateway-ca.pem",
        "A PEM file of certificate authorities. Only these are then trusted for this gateway.",
    ),
    key(
        Gateway,
        "user",
        Kind::Text,
        Words("none; the session is not authenticated"),
        "user@example.com",
        "The user name to authenticate with. One of password_file, password_command and \
         password_credential must go with it.",
    ),
    key(
        Gateway,
        "password_file",
        Kind::Path,
        Words("none"),
        "/etc/relayd/secrets/main",
        "A file whose first line is the password. It must belong to root or to user, and nobody \
         else may be able to read it.",
    ),
    key(
        Gateway,
        "password_command",
        Kind::Command,
        Words("none"),
        "/usr/local/bin/show-password relayd",
        "A command that prints the password as its first line.",
    ),
    key(
        Gateway,
        "password_credential",
        Kind::CredentialName,
        Words("none"),
        "main",
        "The name of a credential that systemd passes to the service (LoadCredential=).",
    ),
    key(
        Gateway,
        "max_connections",
        Kind::Connections,
        Value("4"),
        "4",
        "How many sessions with this gateway may be open at once.",
    ),
    key(
        Gateway,
        "deliver",
        Kind::Deliver,
        Value("smtp"),
        "smtp",
        "smtp relays the mail. capture:FOLDER puts each message into a Maildir instead and sends \
         nothing, for tests and staging hosts; host is not needed then.",
    ),
    key(
        Listen,
        "smtp",
        Kind::Sockets,
        Value("none"),
        "127.0.0.1:25, [::1]:25",
        "Where programs on this host may hand in mail by SMTP. Only loopback addresses are \
         allowed.",
    ),
    key(
        Listen,
        "submission",
        Kind::Sockets,
        Value("none"),
        "192.0.2.1:587",
        "Where other hosts may hand in mail. They must use TLS and authenticate, so tls_cert, \
         tls_key and users_file must be given as well.",
    ),
    key(
        Listen,
        "tls_cert",
        Kind::Path,
        Words("none"),
        "/etc/relayd/cert.pem",
        "The certificate chain for submission, in PEM.",
    ),
    key(
        Listen,
        "tls_key",
        Kind::Path,
        Words("none"),
        "/etc/relayd/key.pem",
        "The private key of tls_cert, in PEM.",
    ),
    key(
        Listen,
        "users_file",
        Kind::Path,
        Words("none"),
        "/etc/relayd/users",
        "Who may authenticate at submission: one NAME:HASH a line, the hash in the crypt(5) form \
         that begins with $6$.",
    ),
    key(
        Log,
        "name",
        Kind::LogName,
        Value("relayd"),
        "relayd",
        "What the program name of each log line begins with, as in relayd/smtp. With postfix, \
         tools that look for postfix/smtp find their lines.",
    ),
    key(
        Log,
        "to",
        Kind::LogTarget,
        Value("syslog"),
        "syslog",
        "Where log lines go: the system's logger (facility mail), standard error, or a file.",
    ),
];

const fn key(
    section: Section,
    name: &'static str,
    kind: Kind,
    default: Fallback,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        section,
        name,
        kind,
        default,
        example,
        meaning,
    }
}

impl Key {
    /// The key called `name` in `section`.
    #[must_use]
    pub fn find(section: Section, name: &str) -> Option<&'static Self> {
        KEYS.iter()
            .find(|key| key.section == section && key.name == name)
    }

    /// What to show as its value: the default if it is a value, else the example.
    #[must_use]
    pub const fn shown(&self) -> &'static str {
        match self.default {
            Value(value) => {
                if matches!(self.kind, Kind::Sockets) {
                    self.example
                } else {
                    value
                }
            }
            Words(_) => self.example,
        }
    }
}
