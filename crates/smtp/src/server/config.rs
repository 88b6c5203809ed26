//! What a session offers and allows, and what it may cost.

/// What a session offers and allows.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Our name, in the greeting and in replies.
    pub hostname: String,
    /// Largest message in bytes; 0: no limit.
    pub size_limit: u64,
    /// Most recipients of one message.
    pub max_recipients: usize,
    /// Offer CHUNKING and take BDAT (RFC 3030).
    pub chunking: bool,
    /// Offer STARTTLS.
    pub starttls: bool,
    /// When to offer AUTH.
    pub auth: AuthOffer,
    /// Refuse MAIL until AUTH succeeded.
    pub auth_required: bool,
    /// Take addresses without a domain; the driver qualifies them.
    pub unqualified: bool,
    /// Let LF "." LF end DATA for a client that has not sent one CRLF: a program of this host that
    /// pipes text into `sendmail -bs`. From the network it would be a way to smuggle mail.
    pub bare_lf: bool,
    /// Take the MAIL parameter XASIS, by which `sendmail -G` asks that the header block be left as
    /// it is. It is of this suite alone and not announced.
    pub as_is: bool,
    /// Cut off a client that goes on before it has read a reply that it must wait for, as Postfix's
    /// `smtpd_forbid_unauth_pipelining` does. Local programs that write a whole dialogue at once are
    /// common, and harmless.
    pub in_step: bool,
    /// What the session may cost.
    pub limits: Limits,
}

impl ServerConfig {
    /// What a trusted local door has: no TLS, no AUTH, bare addresses and XASIS taken,
    /// 25 MiB, 1000 recipients.
    #[must_use]
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            size_limit: 26_214_400,
            max_recipients: 1000,
            chunking: false,
            starttls: false,
            auth: AuthOffer::Never,
            auth_required: false,
            unqualified: true,
            bare_lf: false,
            as_is: true,
            in_step: false,
            limits: Limits::default(),
        }
    }
}

/// When AUTH PLAIN and LOGIN are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthOffer {
    /// Not at all.
    Never,
    /// Inside TLS only.
    AfterTls,
    /// Always: for a peer that is on this host.
    Always,
}

/// Bounds of one session. The defaults are Postfix's, where it has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest command line in bytes, without its LF (`line_length_limit`).
    pub line: usize,
    /// How much of one longer line is read before the session is closed.
    pub discarded_line: usize,
    /// Errors since the last message before the session is closed (`smtpd_hard_error_limit`).
    pub errors: u32,
    /// NOOP, RSET, VRFY, HELP and the like since the last message before each counts as an error
    /// (`smtpd_junk_command_limit`).
    pub junk_commands: u32,
    /// Recipients beyond the limit that are answered with 452 before each counts as an error
    /// (`smtpd_recipient_overshoot_limit`).
    pub recipient_overshoot: u32,
    /// How much content is read and thrown away, after it was refused or grew too large, before
    /// the session is closed.
    pub discarded_content: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 2048,
            discarded_line: 64 * 1024,
            errors: 20,
            junk_commands: 100,
            recipient_overshoot: 1000,
            discarded_content: 256 * 1024 * 1024,
        }
    }
}
