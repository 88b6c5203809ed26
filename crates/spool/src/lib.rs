//! The disk: one file for each queued message, written once, with what happened to its recipients
//! appended. `FORMAT.md` beside this crate is the one description of the layout, of every state,
//! of what a crash leaves behind, and of the instant at which mail is safe.
//!
//! Nothing here reads a clock or decides what to send. Every call may block on the disk. All
//! types may be used from several threads at once; [`Spool`] is a cheap handle to clone.
#![forbid(unsafe_code)]

mod accept;
mod claim;
mod condition;
mod content;
mod disk;
mod drops;
mod entry;
mod envelope;
mod error;
mod folders;
mod format;
mod ids;
mod intake;
mod journal;
mod list;
mod lock;
mod maildrop;
mod meta;
mod notes;
mod recover;
mod rewrite;
mod spool;
mod state;
#[cfg(feature = "testdisk")]
pub mod testdisk;
mod writer;

pub use accept::Draft;
pub use claim::Claim;
pub use condition::{COUNTED, Condition, condition};
pub use content::Content;
pub use disk::{DirUse, Disk, Facts, FileKind, RealDisk, Space};
pub use envelope::{ENVELOPE_MAX, RECIPIENTS_MAX};
pub use error::{Damage, ErrorKind, SpoolError};
pub use intake::{Dropped, IntakeLimits, Submission, take};
pub use list::list;
pub use maildrop::{DropDraft, DropName, drop_in};
pub use meta::{
    AttemptMark, Done, Found, Meta, Outcome, OutcomeKind, Queue, RecipientState, Source, TEXT_MAX,
};
pub use notes::{NOTE_MAX, Note};
pub use spool::Spool;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_may_go_from_thread_to_thread() {
        fn is_sendable<T: Send + Sync + 'static>() {}
        is_sendable::<Spool>();
        is_sendable::<Draft>();
        is_sendable::<Claim>();
        is_sendable::<Content>();
        is_sendable::<Submission>();
        is_sendable::<DropDraft>();
        is_sendable::<SpoolError>();
    }
}
