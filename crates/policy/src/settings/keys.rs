//! The keys that a settings file may hold: their sections and forms, and the one table of them.

mod table;

pub use table::KEYS;

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
    /// `[from]`.
    From,
    /// `[gateway NAME]`.
    Gateway,
    /// `[listen]`.
    Listen,
    /// `[log]`.
    Log,
}

impl Section {
    /// Every section, in the order of the sample file.
    pub const ALL: [Self; 8] = [
        Self::Top,
        Self::Paths,
        Self::Aliases,
        Self::Rewrite,
        Self::From,
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
            Self::From => "from",
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
            Self::From => "[from]",
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
    /// Domains and mail addresses with commas between them.
    Senders,
    /// Text with `{name}`, `{address}` and `{host}` in it.
    NameForm,
    /// `rewrite`, `refuse` or `keep`.
    FromPolicy,
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
            Self::Senders => "domains and mail addresses, with commas between them",
            Self::NameForm => "text in which {name}, {address} and {host} stand for those",
            Self::FromPolicy => "rewrite, refuse or keep",
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
            Fallback::Value(value) => {
                if matches!(self.kind, Kind::Sockets) {
                    self.example
                } else {
                    value
                }
            }
            Fallback::Words(_) => self.example,
        }
    }
}
