//! From the end of a transaction to what is recorded, logged, reported to the sender, and told to the
//! scheduler. What a reply means is asked of `policy::verdict`.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use mail::header::HeaderBlock;
use mail::{Address, Envelope, Notify, Origin, QueueId, Recipient, StatusCode, Submitter};
use policy::log::{self, Delays, Delivery, Line, Notification, Server, Status};
use policy::schedule::{AttemptEnd, AttemptOutcome, GatewayTrouble, TroubleKind};
use policy::verdict::{self, Undeliverable, Verdict};
use smtp::client::TransactionReport;
use spool::{Claim, ErrorKind, Meta, Outcome, OutcomeKind, Queue, Source, SpoolError};

use crate::attempt::Attempt;
use crate::bounce::{FailedRecipient, Report};
use crate::dispatch::Event;
use crate::relay::Relay;
use crate::running::Running;

/// The most of a header block that a report to the sender returns.
const RETURNED_HEADER: u64 = 64 * 1024;

/// How long the parts of an attempt took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// Connecting, if this was the session's first transaction.
    pub(crate) setup: Duration,
    /// The transaction.
    pub(crate) sending: Duration,
    /// Which transaction of its session it was, from 1.
    pub(crate) uses: u32,
}

/// What an attempt came to, recipient by recipient.
#[derive(Default)]
struct Result {
    outcomes: Vec<Outcome>,
    trouble: Option<GatewayTrouble>,
    /// The message can neither be delivered nor returned, and waits for an admin.
    hold: bool,
}

/// Who handed a message in, as the scheduler tells submitters apart.
pub(crate) fn submitter_text(origin: &Origin) -> String {
    match &origin.submitter {
        Submitter::Local { uid, .. } => format!("uid {uid}"),
        Submitter::Client {
            address,
            user: Some(user),
        } => format!("{user} at {address}"),
        Submitter::Client {
            address,
            user: None,
        } => address.clone(),
    }
}

/// Records and logs what a transaction came to; gives what it means for the message.
pub(crate) async fn settle(
    relay: &Arc<Relay>,
    running: &Arc<Running>,
    attempt: Attempt,
    server: &Server,
    report: &TransactionReport,
    timing: Timing,
) -> AttemptOutcome {
    let result = interpret(relay, running, &attempt, server, report, timing);
    conclude(relay, running, attempt, result).await
}

/// Records and logs that a message was captured, or why it was not.
pub(crate) async fn settle_capture(
    relay: &Arc<Relay>,
    running: &Arc<Running>,
    attempt: Attempt,
    stored: std::result::Result<String, String>,
) -> AttemptEnd {
    let (kind, status, code, text) = match stored {
        Ok(file) => (
            OutcomeKind::Sent,
            Status::Sent,
            StatusCode::new(2, 0, 0),
            format!("captured as {file}"),
        ),
        Err(problem) => (
            OutcomeKind::Deferred,
            Status::Deferred,
            StatusCode::new(4, 3, 0),
            format!("capture: {problem}"),
        ),
    };
    let mut result = Result::default();
    let timing = Timing {
        sending: host::clock::monotonic().saturating_sub(attempt.begun),
        ..Timing::default()
    };
    for (place, recipient) in attempt.places.iter().zip(attempt.recipients()) {
        let line = delivery(
            &attempt.meta,
            recipient,
            log::Relay::Capture,
            timing,
            (code, status, &text),
        );
        relay.log.write(&Line::Delivery(line));
        result
            .outcomes
            .push(outcome(*place, kind, code, "capture", &text));
    }
    AttemptEnd {
        outcome: conclude(relay, running, attempt, result).await,
        session_alive: true,
    }
}

fn interpret(
    relay: &Relay,
    running: &Running,
    attempt: &Attempt,
    server: &Server,
    report: &TransactionReport,
    timing: Timing,
) -> Result {
    let mut result = Result::default();
    let meta = &attempt.meta;
    for ((place, recipient), answer) in attempt
        .places
        .iter()
        .zip(attempt.recipients())
        .zip(&report.results)
    {
        let (kind, code, status, text) = match answer {
            Ok(reply) => {
                let code = reply.status.unwrap_or(StatusCode::new(2, 0, 0));
                (
                    Some(OutcomeKind::Sent),
                    code,
                    Status::Sent,
                    reply.to_string(),
                )
            }
            Err(refusal) => {
                let (ruling, text) =
                    verdict::of_refusal(server, refusal, running.settings.soft_bounce);
                if let Some(trouble) = ruling.trouble(&text) {
                    result.trouble = Some(trouble);
                }
                let (kind, hold) = outcome_kind(ruling.verdict, &meta.envelope);
                result.hold |= hold;
                (kind, ruling.code, ruling.status, text)
            }
        };
        if kind == Some(OutcomeKind::Uncertain) {
            relay.log.write(&Line::Uncertain {
                id: meta.id,
                gateway: &running.gateway().name,
            });
        }
        let line = delivery(
            meta,
            recipient,
            log::Relay::Server(server),
            timing,
            (code, status, &text),
        );
        relay.log.write(&Line::Delivery(line));
        if let Some(kind) = kind {
            result
                .outcomes
                .push(outcome(*place, kind, code, &server.to_string(), &text));
        }
    }
    result
}

/// What is recorded for a verdict, if anything, and whether the message is to be held.
fn outcome_kind(verdict: Verdict, envelope: &Envelope) -> (Option<OutcomeKind>, bool) {
    match verdict {
        Verdict::Gateway(_) => (None, false),
        Verdict::Defer(_) => (Some(OutcomeKind::Deferred), false),
        Verdict::Uncertain => (Some(OutcomeKind::Uncertain), false),
        Verdict::Fail(_) => match verdict::undeliverable(envelope.sender.as_ref()) {
            Undeliverable::Return => (Some(OutcomeKind::Failed), false),
            Undeliverable::Hold => (Some(OutcomeKind::Deferred), true),
        },
    }
}

fn outcome(
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

fn delivery<'a>(
    meta: &'a Meta,
    recipient: &'a Recipient,
    relay: log::Relay<'a>,
    timing: Timing,
    (code, status, reason): (StatusCode, Status, &'a str),
) -> Delivery<'a> {
    let total = host::clock::wall().since(meta.arrival);
    let waited = total.saturating_sub(timing.setup + timing.sending);
    // A first attempt waited for its turn; a later one mostly for the gateway or its timer.
    let (before_queue, in_queue) = if meta.attempts == 0 {
        (Duration::ZERO, waited)
    } else {
        (waited, Duration::ZERO)
    };
    Delivery {
        id: meta.id,
        recipient: &recipient.address,
        original: recipient.original.as_deref(),
        relay,
        session_use: timing.uses,
        delays: Delays {
            before_queue,
            in_queue,
            connecting: timing.setup,
            sending: timing.sending,
        },
        code,
        status,
        reason,
    }
}

/// Writes the result down, makes what is missing known, and tells what it means for the message.
async fn conclude(
    relay: &Arc<Relay>,
    running: &Arc<Running>,
    attempt: Attempt,
    result: Result,
) -> AttemptOutcome {
    let id = attempt.meta.id;
    let uncertain = result
        .outcomes
        .iter()
        .any(|outcome| outcome.kind == OutcomeKind::Uncertain);
    let (trouble, hold) = (result.trouble.clone(), result.hold);
    let Some(claim) = attempt.into_claim(relay).await else {
        return AttemptOutcome::NotStarted;
    };
    let (shared, settings) = (Arc::clone(relay), Arc::clone(running));
    let written =
        tokio::task::spawn_blocking(move || write_down(&shared, &settings, claim, &result)).await;
    let finished = match written {
        Ok(written) => announce(relay, id, written).await,
        Err(error) => {
            relay.log.warn(&format!("{id}: {error}"));
            false
        }
    };
    match trouble {
        _ if finished => AttemptOutcome::Finished,
        _ if uncertain => AttemptOutcome::Uncertain,
        Some(trouble) => AttemptOutcome::GatewayDown(trouble),
        None => {
            if hold {
                let _ = relay.events.send(Event::Hold(id)).await;
            }
            AttemptOutcome::Deferred
        }
    }
}

/// What stands on disk after an attempt.
struct Written {
    meta: Meta,
    finished: bool,
    /// The report to the sender that was queued.
    report: Option<Meta>,
}

/// Tells the index, the log and the queue; gives whether nothing is left to do.
async fn announce(relay: &Arc<Relay>, id: QueueId, written: Written) -> bool {
    if let Some(report) = written.report {
        relay.log.write(&Line::Notified {
            id,
            what: Notification::NonDelivery,
            report: report.id,
        });
        relay.queued(report).await;
    }
    if written.finished {
        relay.index.remove(id);
        relay.log.write(&Line::Removed { id });
        relay.retired.notify_one();
    } else {
        relay.index.update(id, |item| item.meta = written.meta);
    }
    written.finished
}

/// The blocking part: the report to the sender first, then the outcomes (a crash between the two
/// repeats the report and loses nothing), then the entry's place.
fn write_down(relay: &Relay, running: &Running, mut claim: Claim, result: &Result) -> Written {
    let id = claim.meta().id;
    let complain =
        |what: &str, error: &SpoolError| relay.log.warn(&format!("{id}: {what}: {error}"));
    let report = match queue_report(relay, running, &claim, &result.outcomes) {
        Ok(report) => report,
        Err(problem) => {
            // The sender must hear of it, so the failure is not recorded: it is found again later.
            relay.log.warn(&format!(
                "{id}: the report to the sender cannot be queued: {problem}"
            ));
            return Written {
                meta: claim.meta().clone(),
                finished: false,
                report: None,
            };
        }
    };
    if let Err(error) = claim.record(&result.outcomes) {
        complain("recording what happened", &error);
    }
    // Recipients that nothing was said about got nothing: their attempt is over all the same.
    if result.trouble.is_some()
        && let Err(error) = claim.close_attempt()
    {
        complain("closing the attempt", &error);
    }
    let finished = claim.meta().is_finished();
    if finished {
        if let Err(error) = relay.spool.retire(id) {
            complain("removing the finished entry", &error);
        }
    } else {
        keep(relay, &mut claim, result.hold, &complain);
    }
    Written {
        meta: claim.meta().clone(),
        finished,
        report,
    }
}

/// Makes the records of an entry that stays durable, and puts it where it belongs.
fn keep(relay: &Relay, claim: &mut Claim, hold: bool, complain: &dyn Fn(&str, &SpoolError)) {
    if claim
        .meta()
        .recipients
        .iter()
        .any(|state| state.done.is_some())
    {
        // A failed sync is never tried again on the same file (I2): it gets a new one.
        if let Err(error) = claim.sync() {
            complain("syncing what happened", &error);
            if let Err(error) = claim.rewrite() {
                complain("writing the entry anew", &error);
            }
        }
    }
    let place = if hold { Queue::Hold } else { Queue::Deferred };
    if claim.meta().queue != place
        && let Err(error) = relay.spool.move_to(claim.meta().id, place)
    {
        complain("moving the entry", &error);
    }
}

/// Queues the report about the recipients that failed, if the sender is to have one.
fn queue_report(
    relay: &Relay,
    running: &Running,
    claim: &Claim,
    outcomes: &[Outcome],
) -> std::result::Result<Option<Meta>, String> {
    let meta = claim.meta();
    let failed: Vec<FailedRecipient> = outcomes
        .iter()
        .filter_map(|outcome| reported(&meta.envelope, outcome))
        .collect();
    let Some(sender) = meta.envelope.sender.as_ref().filter(|_| !failed.is_empty()) else {
        return Ok(None);
    };
    let header_block = returned_header(claim).map_err(|error| error.to_string())?;
    let now = host::clock::wall();
    let report = Report {
        hostname: &running.hostname,
        domain: &running.domain,
        to: sender,
        id: meta.id,
        arrival: meta.arrival,
        envid: meta.envelope.envid.as_deref(),
        now,
        failed: &failed,
        header_block: &header_block,
    };
    let content = report.compose()?;
    let mut envelope = Envelope::new(None, vec![sender.clone()]);
    envelope.smtputf8 = !sender.is_ascii();
    if !content.is_ascii() {
        envelope.body = mail::Body::EightBitMime;
    }
    let submitter = Submitter::Local {
        uid: host::identity::effective_uid(),
        login: None,
    };
    let origin = Origin {
        submitter,
        script: None,
    };
    let queued = relay
        .spool
        .create_from(Source::Report(meta.id), &envelope, &origin, now)
        .and_then(|mut draft| {
            draft.write(&content)?;
            draft.commit()
        });
    queued.map(Some).map_err(|error| error.to_string())
}

/// A recipient for the report: one that failed, and about whom reports were not declined.
fn reported(envelope: &Envelope, outcome: &Outcome) -> Option<FailedRecipient> {
    if !matches!(outcome.kind, OutcomeKind::Failed | OutcomeKind::Expired) {
        return None;
    }
    let recipient = envelope.recipients.get(outcome.recipient as usize)?;
    let wanted = recipient.notify.is_none_or(|notify: Notify| notify.failure);
    wanted.then(|| FailedRecipient {
        address: recipient.address.clone(),
        orcpt: recipient.orcpt.clone(),
        status: outcome.status,
        remote: outcome.relay.clone(),
        reason: outcome.text.clone(),
    })
}

fn returned_header(claim: &Claim) -> std::result::Result<Vec<u8>, SpoolError> {
    let mut start = Vec::new();
    let read = claim
        .content()?
        .take(RETURNED_HEADER)
        .read_to_end(&mut start);
    read.map_err(|error| SpoolError {
        op: "read",
        path: claim.meta().id.to_string().into(),
        kind: ErrorKind::Io(error),
    })?;
    Ok(HeaderBlock::split(&start).0.as_bytes().to_vec())
}

/// Moves entries that wait for the gateway to `deferred`, and logs each once.
pub(crate) async fn put_off(
    relay: &Arc<Relay>,
    ids: Vec<QueueId>,
    kind: TroubleKind,
    reason: &str,
) {
    let reason = format!("delivery temporarily suspended: {reason}");
    let relay = Arc::clone(relay);
    let moved = tokio::task::spawn_blocking(move || {
        for id in ids {
            put_off_one(&relay, id, kind, &reason);
        }
    });
    // A panic in it is the only error, and it was printed.
    let _ = moved.await;
}

fn put_off_one(relay: &Relay, id: QueueId, kind: TroubleKind, reason: &str) {
    let Some(item) = relay
        .index
        .get(id)
        .filter(|item| !item.active && item.meta.queue == Queue::Incoming)
    else {
        return;
    };
    // An entry that has just been claimed for an attempt is not waiting any more.
    if relay.spool.move_to(id, Queue::Deferred).is_err() {
        return;
    }
    relay
        .index
        .update(id, |item| item.meta.queue = Queue::Deferred);
    let meta = &item.meta;
    let code = verdict::suspended_code(kind);
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

/// Gives a message up that is older than `queue_lifetime`: records it, tells the sender, removes it.
pub(crate) async fn expire(relay: &Arc<Relay>, id: QueueId) {
    let running = relay.running();
    let attempt = match Attempt::begin(relay, id).await {
        Ok(attempt) => attempt,
        Err(AttemptOutcome::Finished) => return,
        Err(_) => return requeue(relay, id).await,
    };
    let sender: Option<&Address> = attempt.meta.envelope.sender.as_ref();
    relay.log.write(&Line::Expired {
        id,
        sender,
        forced: false,
    });
    let mut result = Result::default();
    let hold = verdict::undeliverable(sender) == Undeliverable::Hold;
    let kind = if hold {
        OutcomeKind::Deferred
    } else {
        OutcomeKind::Expired
    };
    result.hold = hold;
    for place in &attempt.places {
        let last = attempt
            .meta
            .recipients
            .get(*place as usize)
            .and_then(|state| state.last.as_ref());
        let why = last.map_or("it could not be sent in time", |outcome| {
            outcome.text.as_str()
        });
        let text = format!("delivery time expired; last trouble: {why}");
        result.outcomes.push(outcome(
            *place,
            kind,
            StatusCode::new(4, 4, 7),
            "none",
            &text,
        ));
    }
    let ended = conclude(relay, &running, attempt, result).await;
    if ended != AttemptOutcome::Finished {
        requeue(relay, id).await;
    }
}

/// Hands a message back to the scheduler, which has forgotten it.
async fn requeue(relay: &Arc<Relay>, id: QueueId) {
    if let Some(item) = relay.index.get(id) {
        let _ = relay
            .events
            .send(Event::Queued(crate::relay::queued(&item.meta)))
            .await;
    }
}

/// Removes an entry that was found with nothing left to do.
pub(crate) async fn retire(relay: &Arc<Relay>, id: QueueId) {
    let spool = relay.spool.clone();
    match tokio::task::spawn_blocking(move || spool.retire(id)).await {
        Ok(Ok(())) => {
            relay.log.write(&Line::Removed { id });
            relay.retired.notify_one();
        }
        Ok(Err(error)) => relay.log.warn(&format!("{id}: {error}")),
        Err(error) => relay.log.warn(&format!("{id}: {error}")),
    }
}
