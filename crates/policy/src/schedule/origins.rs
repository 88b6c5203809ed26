//! Who has mail in the queue: submitters and their senders, by number.
//!
//! Names are kept as 64-bit hashes, so that a long sender costs no memory for each message. Two
//! names that collide share their turns, which does no harm.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::facts::OriginKey;

/// One submitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SubmitterId(u64);

/// One (submitter, sender) pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OriginId(u64);

impl OriginId {
    /// None is before it.
    pub(super) const FIRST: Self = Self(0);
}

/// A pair with whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) id: OriginId,
    pub(super) submitter: SubmitterId,
}

impl Origin {
    /// The same key gives the same numbers in every run, so that a simulation repeats.
    pub(super) fn of(key: &OriginKey) -> Self {
        let submitter = hash(&key.submitter);
        let id = OriginId(hash(&(submitter, &key.sender)));
        Self {
            id,
            submitter: SubmitterId(submitter),
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
