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
    /// `[replies]`.
    Replies,
    /// `[gateway NAME]`.
    Gateway,
    /// `[listen]`.
    Listen,
    /// `[limits]`.
    Limits,
    /// `[log]`.
    Log,
    /// `[alarm]` and `[alarm NAME]`.
    Alarm,
}

impl Section {
    /// Every section, in the order of the sample file.
    pub const ALL: [Self; 11] = [
        Self::Top,
        Self::Paths,
        Self::Aliases,
        Self::Rewrite,
        Self::From,
        Self::Replies,
        Self::Gateway,
        Self::Listen,
        Self::Limits,
        Self::Log,
        Self::Alarm,
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
            Self::Replies => "replies",
            Self::Gateway => "gateway",
            Self::Listen => "listen",
            Self::Limits => "limits",
            Self::Log => "log",
            Self::Alarm => "alarm",
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
            Self::Replies => "[replies]",
            Self::Gateway => "[gateway NAME]",
            Self::Listen => "[listen]",
            Self::Limits => "[limits]",
            Self::Log => "[log]",
            Self::Alarm => "[alarm] or [alarm NAME]",
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
    /// A provider's name, perhaps with a colon and a word.
    Provider,
    /// A mail address with its domain.
    MailAddress,
    /// Mail addresses with commas between them.
    MailAddresses,
    /// Domains and mail addresses with commas between them.
    Senders,
    /// `login:`, `uid:`, `client:` and `user:` with commas between them.
    Origins,
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
    /// A whole number from 1 to 1000000.
    Count,
    /// A whole number from 1 to 1000.
    Weight,
    /// `N/s`, `N/min` or `N/h`.
    Rate,
    /// `defer` or `hold`.
    OverRate,
    /// `N/day`, `N/month` or `N/24h`, with commas between several.
    Quota,
    /// A day of the month that every month has.
    MonthDay,
    /// `HH:MM` and a distance from UTC.
    ResetTime,
    /// A share in percent.
    Percent,
    /// `pause`, or the name of another gateway.
    Overflow,
    /// The name of another gateway.
    GatewayName,
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
    /// `none`, or networks with commas between them.
    Networks,
    /// A whole number of sessions or errors, from 1 to 10000.
    Places,
    /// A whole number from 100 to 10000.
    Recipients,
    /// A whole number of bytes from 512 to 65536.
    LineLength,
    /// Bytes, from 16K to 1M.
    HeaderSize,
    /// A program name for log lines.
    LogName,
    /// `syslog`, `stderr` or a file.
    LogTarget,
    /// `slack`, `teams`, `pagerduty` or `plain`.
    Shape,
    /// A web address.
    Url,
    /// `none` or `daily`.
    Heartbeat,
}

impl Kind {
    /// The form, in words, as in "a size: …".
    #[must_use]
    pub const fn form(self) -> &'static str {
        match self {
            Self::HostName => "a host name",
            Self::Host => "a host name or an IP address",
            Self::Provider => "a provider's name, for some with a colon and a region",
            Self::MailAddress => "a mail address",
            Self::MailAddresses => "mail addresses, with commas between them",
            Self::Senders => "domains and mail addresses, with commas between them",
            Self::Origins => {
                "login:NAME, uid:NUMBER, client:NETWORK and user:NAME, with commas between them"
            }
            Self::NameForm => "text in which {name}, {address} and {host} stand for those",
            Self::FromPolicy => "rewrite, refuse or keep",
            Self::Login => "a login name",
            Self::Users => "any, or login names with commas between them",
            Self::Size => "a number of bytes; K, M and G multiply it by 1024 once, twice or thrice",
            Self::Duration => "a number and one of s, m, h, d, w",
            Self::Connections => "a number from 1 to 100",
            Self::Count => "a number from 1 to 1000000",
            Self::Weight => "a number from 1 to 1000",
            Self::Rate => "a number, perhaps the word recipients, and /s, /min or /h",
            Self::OverRate => "defer or hold",
            Self::Quota => {
                "numbers, perhaps with the word recipients, and /day, /month, /hour or /24h, with \
                 commas between them"
            }
            Self::MonthDay => "a day from 1 to 28",
            Self::ResetTime => "a time of day, and UTC or its distance from it",
            Self::Percent => "a share from 0% to 90%",
            Self::Overflow => "pause, or the name of another gateway",
            Self::GatewayName => "the name of another gateway",
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
            Self::Networks => "none, or networks, with commas between them",
            Self::Places => "a number from 1 to 10000",
            Self::Recipients => "a number from 100 to 10000",
            Self::LineLength => "a number from 512 to 65536",
            Self::HeaderSize => "a number of bytes from 16K to 1M",
            Self::LogName => "a word",
            Self::LogTarget => "syslog, stderr, or a file name with a slash in it",
            Self::Shape => "slack, teams, pagerduty or plain",
            Self::Heartbeat => "none or daily",
            Self::Url => {
                "a web address that begins with https://, or with http:// if it is on this host"
            }
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

/// A row of the table.
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
