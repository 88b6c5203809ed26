//! Where in the dialogue something happened: what a reply was the answer to.

use std::time::Duration;

/// A place in the dialogue with a gateway. A refusal means something only together with it: a 5xx
/// at [`Stage::Auth`] is about us, one at [`Stage::Rcpt`] about a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Reaching the peer at all: name lookup and TCP. Only drivers use it.
    Connect,
    /// Waiting for the 220 greeting.
    Greeting,
    /// EHLO, or HELO where EHLO is not known.
    Ehlo,
    /// The STARTTLS command.
    StartTls,
    /// The TLS handshake.
    Tls,
    /// The AUTH exchange.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, up to its 354, and the content before its end.
    Data,
    /// The final dot or the last BDAT: the reply that decides about the message.
    EndOfData,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
    /// Between transactions, when nothing is asked and nothing should be heard.
    Idle,
}

impl Stage {
    /// How long to wait for the whole reply of this stage (RFC 5321 section 4.5.3.2).
    ///
    /// RSET and QUIT decide about no message, so they get less than the RFC's five minutes, as in
    /// Postfix (`smtp_rset_timeout` is 20 s). Connect is 30 s as in Postfix.
    #[must_use]
    pub const fn timeout(self) -> Duration {
        let seconds = match self {
            Self::Connect => 30,
            Self::Data => 120,
            Self::EndOfData => 600,
            Self::Rset => 20,
            Self::Quit => 10,
            _ => 300,
        };
        Duration::from_secs(seconds)
    }
}
