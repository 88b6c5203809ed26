//! What one session with a gateway is to be like.

use crate::sasl::{Credentials, Mechanism};

/// How TLS comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte (RFC 8314, port 465).
    Implicit,
    /// STARTTLS, required: without it nothing further is said (port 587).
    StartTls,
    /// No TLS: a loopback relay, or a socket of our own.
    None,
}

/// What one session is to be like.
pub struct ClientConfig {
    /// Our name for EHLO. Characters that may not stand in a command are left out.
    pub hello: String,
    /// How TLS comes about.
    pub tls: TlsMode,
    /// With which user and password; `None`: without AUTH. They are sent whatever `tls` says:
    /// settings refuse a password without TLS unless the gateway is on a loopback address.
    pub auth: Option<Credentials>,
    /// The mechanisms allowed, the preferred one first.
    pub mechanisms: Vec<Mechanism>,
    /// For SCRAM: printable, without a comma, at least 16 characters that nobody can guess, other
    /// ones for each session. Empty: SCRAM is not used.
    pub nonce: String,
    /// Send content by BDAT where the server offers CHUNKING and the size is known (RFC 3030).
    pub chunking: bool,
}

impl ClientConfig {
    /// A session without AUTH, with every mechanism for a password allowed and content sent by DATA.
    #[must_use]
    pub fn new(hello: impl Into<String>, tls: TlsMode) -> Self {
        let mechanisms = Mechanism::PREFERENCE.to_vec();
        Self {
            hello: hello.into(),
            tls,
            auth: None,
            mechanisms,
            nonce: String::new(),
            chunking: false,
        }
    }
}
