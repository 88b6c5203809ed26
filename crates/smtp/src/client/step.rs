//! What the client asks of its driver.

use std::fmt;

use super::{Fault, TransactionReport};
use crate::Stage;

/// What the driver must do now.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes. They may hold credentials: do not log them.
    Send(Vec<u8>),
    /// Read, for as long as [`Stage::timeout`] allows for the whole reply; then
    /// [`Client::received`](super::Client::received) or [`Client::failed`](super::Client::failed).
    Receive(Stage),
    /// Do the TLS handshake and verify the peer; then [`Client::tls_established`](super::Client::tls_established) or
    /// [`Client::failed`](super::Client::failed). With [`TlsMode::Implicit`](super::TlsMode::Implicit) this is the first step.
    StartTls,
    /// Nothing to do: [`Client::begin`](super::Client::begin) or [`Client::quit`](super::Client::quit). What the peer says meanwhile goes to
    /// [`Client::received`](super::Client::received); it ends the session.
    Idle,
    /// Stream the content through a [`DotStuffer`](crate::dot::DotStuffer), its terminator last,
    /// and call [`Client::content_sent`](super::Client::content_sent).
    Content,
    /// Write exactly this many bytes of content as they are, and call [`Client::content_sent`](super::Client::content_sent).
    /// Comes only with [`ClientConfig::chunking`](super::ClientConfig::chunking).
    RawContent(u64),
    /// What became of the transaction. Comes once for each [`Client::begin`](super::Client::begin).
    Report(TransactionReport),
    /// The session is over: drop the connection. A fault says why; `None` is an end in good order.
    Closed(Option<Fault>),
}

impl fmt::Debug for Step {
    /// Leaves out what is sent, which may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Self::Receive(stage) => write!(f, "Receive({stage:?})"),
            Self::StartTls => f.write_str("StartTls"),
            Self::Idle => f.write_str("Idle"),
            Self::Content => f.write_str("Content"),
            Self::RawContent(length) => write!(f, "RawContent({length})"),
            Self::Report(report) => write!(f, "Report({report:?})"),
            Self::Closed(fault) => write!(f, "Closed({fault:?})"),
        }
    }
}
