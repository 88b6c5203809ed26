//! Writes down what an attempt came to, makes it known, and says what that means for the message.
//!
//! The order is what keeps mail: the report to the sender is queued first, then the outcomes are
//! recorded, then the entry is moved or removed. A crash between two of these repeats work and
//! loses nothing.

use std::sync::Arc;

use mail::{QueueId, StatusCode};
use policy::log::{Line, Notification};
use policy::schedule::{AttemptOutcome, GatewayTrouble};
use policy::verdict;
use spool::{Claim, Meta, Outcome, OutcomeKind, Queue, SpoolError};

use crate::attempt::Attempt;
use crate::dispatch::Event;
use crate::kept;
use crate::relay::Relay;
use crate::report;
use crate::running::Running;

/// What an attempt came to, recipient by recipient.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) outcomes: Vec<Outcome>,
    /// The gateway is at fault. The recipients without an outcome got nothing.
    pub(crate) trouble: Option<GatewayTrouble>,
    /// The message can neither be delivered nor returned, and waits for an admin.
    pub(crate) hold: bool,
    /// How many recipients the gateway wants in another transaction.
    pub(crate) left_over: usize,
}

impl Findings {
    pub(crate) fn is_uncertain(&self) -> bool {
        let mut kinds = self.outcomes.iter().map(|outcome| outcome.kind);
        kinds.any(|kind| kind == OutcomeKind::Uncertain)
    }

    /// Whether those who are left are tried again at once. So many of them were not tried: they go
    /// another way, or had no room.
    fn goes_on(&self, untried: usize) -> bool {
        let count = |kind| {
            let kinds = self.outcomes.iter().map(|outcome| outcome.kind);
            kinds.filter(|known| *known == kind).count()
        };
        let (served, deferred) = (count(OutcomeKind::Sent), count(OutcomeKind::Deferred));
        // Each such transaction serves somebody, so this ends.
        (served > 0 && untried > 0) || verdict::goes_on(served, deferred, self.left_over)
    }

    /// Turns failures into deferrals: they are found again, and reported then.
    fn postpone_failures(&mut self) {
        for outcome in &mut self.outcomes {
            if matches!(outcome.kind, OutcomeKind::Failed | OutcomeKind::Expired) {
                outcome.kind = OutcomeKind::Deferred;
            }
        }
    }
}

/// One recipient's outcome, now.
pub(crate) fn outcome(
    recipient: u32,
    kind: OutcomeKind,
    status: StatusCode,
    relay: &str,
    text: &str,
) -> Outcome {
    Outcome {
        recipient,
        kind,
        status,
        at: host::clock::wall(),
        relay: relay.to_owned(),
        text: text.to_owned(),
    }
}

/// Writes the findings down, makes known what is missing, and tells what it means for the message.
pub(crate) async fn conclude(
    relay: &Arc<Relay>,
    running: &Arc<Running>,
    attempt: Attempt,
    findings: Findings,
) -> AttemptOutcome {
    let id = attempt.meta.id;
    let (uncertain, hold) = (findings.is_uncertain(), findings.hold);
    let untried = attempt.left_out();
    let partial = findings.goes_on(untried);
    let trouble = findings.trouble.clone();
    let Some(claim) = attempt.into_claim(relay).await else {
        return AttemptOutcome::NotStarted;
    };
    let (shared, settings) = (Arc::clone(relay), Arc::clone(running));
    let written = relay
        .disk
        .run_soon(move || write_down(&shared, &settings, claim, findings))
        .await;
    let end = match written {
        Ok(written) => announce(relay, id, written).await,
        Err(error) => {
            relay.log.warn(&format!("{id}: {error}"));
            End::Open
        }
    };
    match end {
        End::Gone => return AttemptOutcome::Finished,
        End::Stuck => return AttemptOutcome::NotStarted,
        End::Open => {}
    }
    if hold {
        let _ = relay.events.send(Event::Hold(id)).await;
    }
    match trouble {
        _ if uncertain => AttemptOutcome::Uncertain,
        Some(trouble) => AttemptOutcome::GatewayDown(trouble),
        None if partial => AttemptOutcome::Partial,
        None => AttemptOutcome::Deferred,
    }
}

/// How an entry stands after an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing is left to do, and it was removed.
    Gone,
    /// Nothing is left to do, but the disk does not let it go: tried again in a minute.
    Stuck,
    /// Some recipient is left.
    Open,
}

/// What stands on disk after an attempt.
struct Written {
    meta: Meta,
    end: End,
    /// The report to the sender that was queued.
    report: Option<Meta>,
}

/// Tells the index, the log and the queue.
async fn announce(relay: &Arc<Relay>, id: QueueId, written: Written) -> End {
    let reported = written.report.is_some();
    if let Some(report) = written.report {
        relay.log.write(&Line::Notified {
            id,
            what: Notification::NonDelivery,
            report: report.id,
        });
        relay.queued(report).await;
    }
    if written.end == End::Gone {
        // Without a report that was done.
        if reported {
            announce_removal(relay, id);
        }
    } else {
        if written.meta.queue == Queue::Hold {
            relay.log.warn(&format!(
                "{id}: held, since it can neither be delivered nor returned: it has no sender"
            ));
        }
        relay.index.update(id, |item| item.meta = written.meta);
    }
    written.end
}

/// An entry was removed: the index, the log, and those who make it durable hear of it.
pub(crate) fn announce_removal(relay: &Relay, id: QueueId) {
    relay.log.write(&Line::Removed { id });
    relay.index.remove(id);
    relay.retired.notify_one();
}

/// The blocking part of [`conclude`].
fn write_down(
    relay: &Relay,
    running: &Running,
    mut claim: Claim,
    mut findings: Findings,
) -> Written {
    let id = claim.meta().id;
    let complain =
        |what: &str, error: &SpoolError| relay.log.warn(&format!("{id}: {what}: {error}"));
    let report = report::queue(relay, running, &claim, &findings.outcomes).unwrap_or_else(|why| {
        let text = format!("{id}: the report to the sender cannot be queued: {why}");
        relay.log.warn(&text);
        findings.postpone_failures();
        None
    });
    if let Err(error) = claim.record_later(&findings.outcomes) {
        complain("recording what happened", &error);
    }
    // The removal of a finished entry is all the record it needs, unless a report was queued: without
    // its record a crash would have that queued once more.
    if claim.meta().is_finished() && report.is_none() {
        let written = finish(relay, claim, report, &complain);
        // Told at once, so that nobody finds the entry gone and no word of it in the log.
        if written.end == End::Gone {
            announce_removal(relay, id);
        }
        return written;
    }
    if let Err(error) = claim.record(&[]) {
        complain("recording what happened", &error);
    }
    // Recipients that nothing was said about got nothing: their attempt is over all the same.
    if findings.trouble.is_some()
        && let Err(error) = claim.close_attempt()
    {
        complain("closing the attempt", &error);
    }
    if claim.meta().is_finished() {
        return finish(relay, claim, report, &complain);
    }
    let queue = place(relay, &claim, findings.hold, &complain);
    let mut meta = claim.meta().clone();
    meta.queue = queue;
    if !findings.outcomes.is_empty()
        && let Err(error) = kept::make_durable(&mut claim)
    {
        complain("what happened is not on disk yet", &error);
        relay.kept.put(claim);
    }
    Written {
        meta,
        end: End::Open,
        report,
    }
}

/// Removes a finished entry. If the disk does not let it go, at least what happened is made durable.
fn finish(
    relay: &Relay,
    mut claim: Claim,
    report: Option<Meta>,
    complain: &dyn Fn(&str, &SpoolError),
) -> Written {
    let meta = claim.meta().clone();
    let end = match relay.spool.retire(meta.id) {
        Err(error) if !error.is_no_such_entry() => {
            complain("removing the finished entry", &error);
            if let Err(error) = kept::make_durable(&mut claim) {
                complain("what happened is not on disk yet", &error);
            }
            relay.kept.put(claim);
            End::Stuck
        }
        _ => End::Gone,
    };
    Written { meta, end, report }
}

/// Puts an entry that stays where it belongs; gives where it lies.
fn place(relay: &Relay, claim: &Claim, hold: bool, complain: &dyn Fn(&str, &SpoolError)) -> Queue {
    let (id, before) = (claim.meta().id, claim.meta().queue);
    let wanted = if hold { Queue::Hold } else { Queue::Deferred };
    if let Err(error) = relay.spool.move_to(id, wanted) {
        complain("moving the entry", &error);
        return before;
    }
    if hold {
        relay.retired.notify_one();
    }
    wanted
}
