//! Claims whose records the disk did not take. What is known of these messages is in memory only,
//! so their claims are kept until the disk works again: for the next attempt, or to be written
//! down as soon as that is possible, whichever comes first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail::QueueId;
use spool::{Claim, SpoolError};

/// How often the disk is asked again.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The claims by message. As nothing is sent without a mark on disk (I4), a broken disk cannot make
/// this grow by more than the transactions that were under way when it broke.
#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<QueueId, Claim>>);

impl Kept {
    pub(crate) fn put(&self, claim: Claim) {
        self.lock().insert(claim.meta().id, claim);
    }

    /// The claim of a message, if it is kept here. Whoever takes it puts it back or sees it through.
    pub(crate) fn take(&self, id: QueueId) -> Option<Claim> {
        self.lock().remove(&id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Tries to write down what is kept, and gives up the claims for which that is done. Those of
    /// finished messages stay: their next attempt removes the entry. Blocks on the disk.
    pub(crate) fn write_down(&self) {
        let ids: Vec<QueueId> = self.lock().keys().copied().collect();
        for id in ids {
            let Some(mut claim) = self.take(id) else {
                continue;
            };
            if make_durable(&mut claim).is_err() || claim.meta().is_finished() {
                self.put(claim);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes all that was recorded through a claim durable. A failed sync is never tried again on the
/// same file (I2): the entry gets a new one.
///
/// # Errors
/// What the disk says; the claim still knows everything then.
pub(crate) fn make_durable(claim: &mut Claim) -> Result<(), SpoolError> {
    claim.sync().or_else(|_| claim.rewrite())
}
