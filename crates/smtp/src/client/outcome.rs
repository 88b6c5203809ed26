//! How a session or a transaction ended, as values that say where and why.

use std::fmt;

use mail::StatusCode;

use super::Transaction;
use crate::Stage;
use crate::reply::Reply;

/// What became of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionReport {
    /// For each recipient, in the order given: the reply that accepted the message, or why it was
    /// not accepted.
    pub results: Vec<Result<Reply, Refusal>>,
    /// The content and its terminator went out.
    pub content_sent: bool,
    /// The session goes on: [`Step::Idle`](super::Step::Idle) will come again.
    pub session_alive: bool,
}

impl TransactionReport {
    /// The session was over before the transaction began.
    pub(super) fn unsent(transaction: &Transaction) -> Self {
        let how = Interruption::Closed;
        let refusal = Refusal::Interrupted {
            stage: Stage::Mail,
            how,
            content_sent: false,
        };
        let results = transaction
            .recipients
            .iter()
            .map(|_| Err(refusal.clone()))
            .collect();
        Self {
            results,
            content_sent: false,
            session_alive: false,
        }
    }
}

/// Why a message was not accepted for a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server said so.
    Reply {
        /// What it was the answer to.
        stage: Stage,
        /// What it said: 4xx, 5xx, or a code that means nothing.
        reply: Reply,
    },
    /// The session broke.
    Interrupted {
        /// What was waited for.
        stage: Stage,
        /// How it broke.
        how: Interruption,
        /// The content had gone out: the message may have been delivered.
        content_sent: bool,
    },
    /// We did not ask, since the server cannot take it.
    Unsupported {
        /// What it cannot take.
        what: Unsupported,
    },
    /// The server took this recipient but refused another one, and the transaction wanted
    /// [all or nothing](Transaction::all_or_nothing).
    OtherRefused,
}

/// What a server cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// An address outside ASCII where SMTPUTF8 is not offered.
    SmtpUtf8,
    /// A message larger than its SIZE.
    Size {
        /// The message's size in bytes.
        size: u64,
        /// The server's limit in bytes.
        limit: u64,
    },
}

impl Unsupported {
    /// The status code that says it (RFC 3463, RFC 6531).
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::SmtpUtf8 => StatusCode::new(5, 6, 7),
            Self::Size { .. } => StatusCode::new(5, 3, 4),
        }
    }
}

impl fmt::Display for Unsupported {
    /// The words that Postfix uses, up to the server's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmtpUtf8 => f.write_str("SMTPUTF8 is required, but was not offered by server"),
            Self::Size { size, limit } => {
                write!(
                    f,
                    "message size {size} exceeds size limit {limit} of server"
                )
            }
        }
    }
}

/// How a connection broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Nothing came in time.
    Timeout,
    /// The peer closed it.
    Closed,
    /// The system's words for an I/O error.
    Io(String),
    /// TLS failed: the handshake, the certificate, or later.
    Tls(String),
    /// The peer said what no server may say.
    Protocol(String),
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timed out"),
            Self::Closed => f.write_str("lost connection"),
            Self::Io(text) | Self::Tls(text) | Self::Protocol(text) => f.write_str(text),
        }
    }
}

/// Why a session ended other than in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was.
    pub stage: Stage,
    /// What happened.
    pub kind: FaultKind,
}

/// What ended a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The server refused to go on, or said goodbye (421).
    Reply(Reply),
    /// The connection broke.
    Interrupted(Interruption),
    /// STARTTLS is required and not offered.
    NoStartTls,
    /// There is a password, and the server offers no AUTH.
    NoAuth,
    /// The server offers AUTH, but with no mechanism that is allowed.
    NoMechanism {
        /// What it offers.
        offered: Vec<String>,
    },
    /// The server broke the protocol; printable.
    Protocol(String),
}
