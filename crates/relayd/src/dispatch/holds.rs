//! Messages that an admin has held, and released.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use mail::QueueId;
use policy::log::Line;
use spool::Queue;
use tokio::sync::oneshot;

use super::Dispatcher;
use crate::relay::{self, Relay};

/// Entries moved before facts are taken in again.
const BATCH: usize = 500;

/// What is still to be moved on disk.
#[derive(Default)]
pub(super) struct Holds {
    moves: VecDeque<Move>,
    /// To be held once their attempts are over.
    later: BTreeSet<QueueId>,
}

enum Move {
    Hold(QueueId),
    Release(QueueId),
    /// All before it are done, and whoever asked is told.
    Done(oneshot::Sender<()>),
}

impl Holds {
    pub(super) fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// The attempt of a message is over; `left` says that something is left to do.
    pub(super) fn attempt_ended(&mut self, id: QueueId, left: bool) {
        if self.later.remove(&id) && left {
            self.moves.push_back(Move::Hold(id));
        }
    }
}

impl Dispatcher {
    /// Begins to hold or release these. Nothing of what is to be held is tried from now on.
    pub(super) fn keep(&mut self, ids: Vec<QueueId>, held: bool, done: oneshot::Sender<()>) {
        for id in ids {
            if held {
                self.scheduler.hold(id);
                self.holds.moves.push_back(Move::Hold(id));
            } else {
                self.holds.moves.push_back(Move::Release(id));
            }
        }
        self.holds.moves.push_back(Move::Done(done));
    }

    /// Moves some of the entries.
    pub(super) async fn move_held(&mut self) {
        let count = self.holds.moves.len().min(BATCH);
        let moves: Vec<Move> = self.holds.moves.drain(..count).collect();
        for one in moves {
            match one {
                Move::Hold(id) if self.is_active(id) => _ = self.holds.later.insert(id),
                Move::Hold(id) => _ = moved(&self.relay, id, true).await,
                Move::Release(id) => {
                    self.holds.later.remove(&id);
                    // Only what lies where it belongs is tried.
                    if moved(&self.relay, id, false).await {
                        self.scheduler.release(&relay::now(), id);
                    }
                }
                Move::Done(done) => _ = done.send(()),
            }
        }
    }

    fn is_active(&self, id: QueueId) -> bool {
        self.relay.index.get(id).is_some_and(|item| item.active)
    }
}

/// Moves one entry, and logs that; false if it is gone or the disk does not let it.
async fn moved(relay: &Arc<Relay>, id: QueueId, held: bool) -> bool {
    if relay.index.get(id).is_none() {
        return false;
    }
    let to = if held { Queue::Hold } else { Queue::Deferred };
    // It waits for longer than memory should be held for it.
    drop(relay.fresh.take(id));
    let shared = Arc::clone(relay);
    let done = relay.disk.run(move || shared.spool.move_to(id, to)).await;
    let problem = match done {
        Ok(Ok(())) => {
            relay.index.update(id, |item| item.meta.queue = to);
            relay.retired.notify_one();
            relay.log.write(&Line::Held { id, held });
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let what = if held { "not held" } else { "not released" };
    relay.log.warn(&format!("{id}: {what}: {problem}"));
    false
}
