//! Entries that wait for the gateway are moved to `deferred`, so that what counts files sees them
//! there, and logged once each.

use std::sync::Arc;

use mail::{QueueId, StatusCode};
use policy::log::{self, Line, Status};
use policy::schedule::TroubleKind;
use policy::verdict;
use spool::{Meta, Queue};

use crate::relay::Relay;
use crate::settle::{Timing, delivery};

/// Puts off those of `ids` that still lie in `incoming`. Only the dispatcher calls this, and begins
/// no attempt before it has returned, so nothing else moves these entries meanwhile.
pub(crate) async fn put_off(
    relay: &Arc<Relay>,
    ids: Vec<QueueId>,
    kind: TroubleKind,
    reason: &str,
) {
    let (code, reason) = (verdict::suspended_code(kind), reason.to_owned());
    let shared = Arc::clone(relay);
    let moved = relay.disk.run(move || {
        for id in ids {
            put_off_one(&shared, id, code, &reason);
        }
    });
    // A panic in it is the only error, and it was printed.
    let _ = moved.await;
}

fn put_off_one(relay: &Relay, id: QueueId, code: StatusCode, reason: &str) {
    // It waits for longer than memory should be held for it.
    drop(relay.fresh.take(id));
    let waiting = |item: &crate::index::Item| !item.active && item.meta.queue == Queue::Incoming;
    let Some(item) = relay.index.get(id).filter(waiting) else {
        return;
    };
    if let Err(error) = relay.spool.move_to(id, Queue::Deferred) {
        // It is as well kept where it is.
        return relay.log.warn(&format!("{id}: putting it off: {error}"));
    }
    relay
        .index
        .update(id, |item| item.meta.queue = Queue::Deferred);
    log_each(relay, &item.meta, code, reason);
}

fn log_each(relay: &Relay, meta: &Meta, code: StatusCode, reason: &str) {
    for place in meta.pending() {
        let Some(recipient) = meta.envelope.recipients.get(place as usize) else {
            continue;
        };
        let line = delivery(
            meta,
            recipient,
            log::Relay::None,
            Timing::default(),
            (code, Status::Deferred, reason),
        );
        relay.log.write(&Line::Suspended(line));
    }
}
