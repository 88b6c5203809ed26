//! Messages that were accepted a moment ago: their claims and their content stay in memory for the
//! first attempt, which then need not open and read what was just written. The disk has them all
//! the same; whatever does not fit is left to it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mail::QueueId;
use spool::Claim;

/// How many messages are kept; each has an open file.
const MOST: usize = 256;
/// The longest content that is kept, in bytes.
const LONGEST: usize = 64 * 1024;
/// How many bytes of content are kept in all.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A message that was accepted a moment ago.
pub(crate) struct Message {
    pub(crate) claim: Claim,
    /// Its whole content, as it was written.
    pub(crate) content: Vec<u8>,
}

/// The messages by id.
#[derive(Default)]
pub(crate) struct Fresh(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    messages: HashMap<QueueId, Message>,
    bytes: usize,
}

impl Fresh {
    /// Keeps a message if there is room.
    pub(crate) fn put(&self, message: Message) {
        let (id, length) = (message.claim.meta().id, message.content.len());
        let mut shelf = self.lock();
        let fits = length <= LONGEST && shelf.bytes + length <= MOST_BYTES;
        if fits && shelf.messages.len() < MOST {
            shelf.bytes += length;
            shelf.messages.insert(id, message);
        }
    }

    /// A message that is kept. It is the caller's then.
    pub(crate) fn take(&self, id: QueueId) -> Option<Message> {
        let mut shelf = self.lock();
        let message = shelf.messages.remove(&id)?;
        shelf.bytes -= message.content.len();
        Some(message)
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // A panic elsewhere leaves nothing worse behind than a wrong sum.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Address, Envelope, Origin, Submitter, Timestamp};
    use spool::{RealDisk, Spool};

    fn accepted(spool: &Spool, length: usize) -> Message {
        let envelope = Envelope::new(None, vec![Address::parse("a@example.org").unwrap()]);
        let (uid, login, script) = (0, None, None);
        let origin = Origin {
            submitter: Submitter::Local { uid, login },
            script,
        };
        let content = vec![b'x'; length];
        let mut draft = spool
            .create(&envelope, &origin, Timestamp::from_secs(1_800_000_000))
            .unwrap();
        draft.write(&content).unwrap();
        let claim = draft.commit_claimed().unwrap();
        Message { claim, content }
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_out_once() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(RealDisk, folder.path()).unwrap();
        let fresh = Fresh::default();
        let put = |length| {
            let message = accepted(&spool, length);
            let id = message.claim.meta().id;
            fresh.put(message);
            id
        };
        let long = put(LONGEST + 1);
        assert!(fresh.take(long).is_none());
        // Not kept is not claimed.
        assert!(spool.claim(long).is_ok());
        let ids: Vec<_> = (0..=MOST_BYTES / LONGEST).map(|_| put(LONGEST)).collect();
        let (last, kept) = ids.split_last().unwrap();
        assert!(fresh.take(*last).is_none());
        for id in kept {
            assert!(spool.claim(*id).is_err());
            assert_eq!(fresh.take(*id).unwrap().content.len(), LONGEST);
            assert!(fresh.take(*id).is_none());
        }
        assert_eq!(fresh.lock().bytes, 0);
        let ids: Vec<_> = (0..=MOST).map(|_| put(1)).collect();
        assert!(fresh.take(ids[MOST]).is_none() && fresh.take(ids[MOST - 1]).is_some());
    }
}
