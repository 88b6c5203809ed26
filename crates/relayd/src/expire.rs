//! Gives a message up that is older than `queue_lifetime`: the sender is told, and the entry goes.

use std::sync::Arc;
use std::time::Duration;

use mail::{QueueId, StatusCode};
use policy::log::Line;
use policy::schedule::AttemptOutcome;
use policy::verdict::{self, Undeliverable};
use spool::{OutcomeKind, Queue};

use crate::attempt::Attempt;
use crate::dispatch::Event;
use crate::record::{self, Findings, outcome};
use crate::relay::{self, Relay};

/// What the sender and `mailq` are told first.
const EXPIRED: &str = "delivery time expired";
/// How long to wait after the disk did not let a message be given up.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Gives up a message that the scheduler has forgotten. If that is not possible now, the scheduler
/// gets it back. `waiting_for` is why the gateway takes no mail, if it does not.
///
/// The caller has set the entry active, so that nothing else touches it.
pub(crate) async fn expire(relay: &Arc<Relay>, id: QueueId, waiting_for: Option<&str>) {
    let _under_way = relay.begin_work().await;
    let outcome = match Attempt::begin(relay, id, None).await {
        Ok(attempt) => give_up(relay, attempt, waiting_for).await,
        Err(outcome) => outcome,
    };
    relay.index.update(id, |item| item.active = false);
    if outcome == AttemptOutcome::Finished {
        return;
    }
    let is_held = relay
        .index
        .get(id)
        .is_some_and(|item| item.meta.queue == Queue::Hold);
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        if !is_held {
            tokio::time::sleep(TRY_AGAIN).await;
        }
        hand_back(&relay, id).await;
    });
}

async fn give_up(
    relay: &Arc<Relay>,
    attempt: Attempt,
    waiting_for: Option<&str>,
) -> AttemptOutcome {
    let (id, sender) = (attempt.meta.id, attempt.meta.envelope.sender.clone());
    let hold = verdict::undeliverable(sender.as_ref()) == Undeliverable::Hold;
    let findings = findings(&attempt, hold, waiting_for);
    let running = relay.running();
    if !hold {
        relay.log.write(&Line::Expired {
            id,
            sender: sender.as_ref(),
            forced: false,
        });
    }
    record::conclude(relay, &running, attempt, findings).await
}

fn findings(attempt: &Attempt, hold: bool, waiting_for: Option<&str>) -> Findings {
    let kind = if hold {
        OutcomeKind::Deferred
    } else {
        OutcomeKind::Expired
    };
    let states = &attempt.meta.recipients;
    let outcomes = attempt.places.iter().map(|place| {
        let last = states
            .get(*place as usize)
            .and_then(|state| state.last.as_ref())
            .map(|outcome| outcome.text.as_str());
        let why = last.or(waiting_for).unwrap_or("it could not be tried");
        let text = match why.starts_with(EXPIRED) {
            // Found so before, when it could not be given up.
            true => why.to_owned(),
            false => format!("{EXPIRED}; last trouble: {why}"),
        };
        outcome(*place, kind, StatusCode::new(4, 4, 7), "none", &text)
    });
    Findings {
        outcomes: outcomes.collect(),
        hold,
        ..Findings::default()
    }
}

async fn hand_back(relay: &Arc<Relay>, id: QueueId) {
    if let Some(item) = relay.index.get(id) {
        let queued = relay::queued(&item.meta, &relay.way(&item.meta));
        let _ = relay.events.send(Event::Queued(queued)).await;
    }
}
