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

/// Whether a message goes on at once, in a transaction of its own for those who are left: somebody
/// was `served`, and all who were `deferred` were so only because the transaction was full
/// (`left_over` of them). It ends, since each such transaction serves somebody.
#[must_use]
pub const fn goes_on(served: usize, deferred: usize, left_over: usize) -> bool {
    served > 0 && left_over > 0 && deferred == left_over
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_on_only_if_it_gets_further() {
        assert!(goes_on(100, 400, 400));
        assert!(
            !goes_on(0, 400, 400),
            "nobody was served: it could go on for ever"
        );
        assert!(!goes_on(100, 401, 400), "one of them is to wait");
        assert!(!goes_on(100, 0, 0), "nobody is left");
    }
}
