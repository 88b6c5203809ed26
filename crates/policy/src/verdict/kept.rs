//! What becomes of mail that cannot go out now, or not at all.

use crate::schedule::TroubleKind;
use mail::{Address, StatusCode};

/// What becomes of a message that cannot be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undeliverable {
    /// Its sender gets a report (RFC 3464).
    Return,
    /// Nobody can get a report, since it is one itself (RFC 5321 section 4.5.5): it waits in `hold`
    /// where an admin sees it.
    Hold,
}

/// What becomes of a message from this sender that cannot be delivered; `None` is the null sender.
#[must_use]
pub const fn undeliverable(sender: Option<&Address>) -> Undeliverable {
    match sender {
        Some(_) => Undeliverable::Return,
        None => Undeliverable::Hold,
    }
}

/// What `dsn=` shows for messages that wait because the gateway has this trouble.
#[must_use]
pub const fn suspended_code(kind: TroubleKind) -> StatusCode {
    match kind {
        TroubleKind::Unreachable => StatusCode::new(4, 4, 1),
        TroubleKind::Refused4xx | TroubleKind::Refused5xx => StatusCode::new(4, 3, 2),
        TroubleKind::Tls => StatusCode::new(4, 7, 5),
        TroubleKind::NoAuth => StatusCode::new(4, 7, 0),
        TroubleKind::Auth => StatusCode::new(4, 7, 8),
    }
}
