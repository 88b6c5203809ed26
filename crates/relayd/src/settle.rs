//! What the end of a transaction means for each recipient: `policy::verdict` is asked, and a line is
//! logged for each. What is found goes to `record`.

use std::sync::Arc;
use std::time::Duration;

use mail::{Envelope, Recipient, StatusCode};
use policy::log::{self, Delays, Delivery, Line, Server, Status};
use policy::outgoing::Unfit;
use policy::schedule::{AttemptEnd, AttemptOutcome};
use policy::verdict::{self, Advice, Ruling, Scope, Undeliverable, Verdict};
use smtp::Stage;
use smtp::client::TransactionReport;
use smtp::reply::Reply;
use spool::{Meta, OutcomeKind};

use crate::attempt::Attempt;
use crate::record::{self, Findings, outcome};
use crate::relay::Relay;
use crate::target::Target;

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

/// What is found for one recipient.
struct Finding {
    /// What is recorded; nothing where the gateway is at fault.
    kind: Option<OutcomeKind>,
    code: StatusCode,
    status: Status,
    text: String,
    /// What it means, where the text does not say it all.
    advice: Option<Advice>,
}

/// Records and logs what a transaction came to; gives what it means for the message.
pub(crate) async fn settle(
    relay: &Arc<Relay>,
    target: &Target,
    attempt: Attempt,
    server: &Server,
    report: &TransactionReport,
    timing: Timing,
) -> AttemptOutcome {
    let findings = interpret(relay, target, &attempt, server, report, timing);
    record::conclude(relay, target.running(), attempt, findings).await
}

/// Records and logs that a message was captured, or why it was not.
pub(crate) async fn settle_capture(
    relay: &Arc<Relay>,
    target: &Target,
    attempt: Attempt,
    stored: Result<String, String>,
) -> AttemptEnd {
    let (kind, code, status, text) = match stored {
        Ok(file) => (
            OutcomeKind::Sent,
            StatusCode::new(2, 0, 0),
            Status::Sent,
            format!("captured as {file}"),
        ),
        Err(problem) => (
            OutcomeKind::Deferred,
            StatusCode::new(4, 3, 0),
            Status::Deferred,
            format!("capture: {problem}"),
        ),
    };
    let finding = Finding {
        kind: Some(kind),
        code,
        status,
        text,
        advice: None,
    };
    let timing = Timing {
        sending: host::clock::monotonic().saturating_sub(attempt.begun),
        ..Timing::default()
    };
    let far = (log::Relay::Capture, "capture");
    let findings = alike(relay, &attempt, far, &finding, timing);
    session_goes_on(record::conclude(relay, target.running(), attempt, findings).await)
}

/// Records and logs that a message must not go to the gateway.
pub(crate) async fn settle_unfit(
    relay: &Arc<Relay>,
    target: &Target,
    attempt: Attempt,
    unfit: &Unfit,
) -> AttemptEnd {
    let fail = Verdict::Fail(Scope::Message);
    let (kind, hold) = outcome_kind(fail, &attempt.meta.envelope);
    let finding = Finding {
        kind,
        code: StatusCode::new(5, 7, 1),
        // It stays in the queue, so it did not bounce.
        status: if hold {
            Status::Deferred
        } else {
            Status::Bounced
        },
        text: unfit.to_string(),
        advice: None,
    };
    let far = (log::Relay::None, "none");
    let mut findings = alike(relay, &attempt, far, &finding, Timing::default());
    findings.hold = hold;
    session_goes_on(record::conclude(relay, target.running(), attempt, findings).await)
}

/// Records and logs that a message has to wait, for a reason of our own.
pub(crate) async fn settle_kept_back(
    relay: &Arc<Relay>,
    target: &Target,
    attempt: Attempt,
    reason: String,
) -> AttemptEnd {
    let finding = Finding {
        kind: Some(OutcomeKind::Deferred),
        code: StatusCode::new(4, 3, 2),
        status: Status::Deferred,
        text: reason,
        advice: None,
    };
    let far = (log::Relay::None, "none");
    let findings = alike(relay, &attempt, far, &finding, Timing::default());
    session_goes_on(record::conclude(relay, target.running(), attempt, findings).await)
}

fn session_goes_on(outcome: AttemptOutcome) -> AttemptEnd {
    AttemptEnd {
        outcome,
        session_alive: true,
    }
}

/// Logs one finding for every recipient that was tried.
fn alike(
    relay: &Relay,
    attempt: &Attempt,
    (far, name): (log::Relay<'_>, &str),
    finding: &Finding,
    timing: Timing,
) -> Findings {
    let mut findings = Findings::default();
    for (place, recipient) in attempt.places.iter().zip(attempt.recipients()) {
        let told = (finding.code, finding.status, finding.text.as_str());
        let line = delivery(&attempt.meta, recipient, far, timing, told);
        relay.log.write(&Line::Delivery(line));
        let kind = finding.kind.into_iter();
        let recorded = kind.map(|kind| outcome(*place, kind, finding.code, name, &finding.text));
        findings.outcomes.extend(recorded);
    }
    findings
}

fn interpret(
    relay: &Relay,
    target: &Target,
    attempt: &Attempt,
    server: &Server,
    report: &TransactionReport,
    timing: Timing,
) -> Findings {
    let mut findings = Findings::default();
    let (meta, results) = (&attempt.meta, &report.results);
    let served = results.iter().any(Result::is_ok);
    let mut told: Vec<Advice> = Vec::new();
    let tried = attempt.places.iter().zip(attempt.recipients());
    for ((place, recipient), answer) in tried.zip(results) {
        let finding = match answer {
            Ok(reply) => accepted(&mut findings, target, meta, server, reply),
            Err(refusal) => {
                let judge = target.judge();
                let (ruling, text) = judge.of_refusal(server, refusal, results.len());
                let ruling = if served {
                    ruling.beside_others()
                } else {
                    ruling
                };
                refused(&mut findings, &meta.envelope, ruling, text)
            }
        };
        let line = delivery(
            meta,
            recipient,
            log::Relay::Server(server),
            timing,
            (finding.code, finding.status, &finding.text),
        );
        relay.log.write(&Line::Delivery(line));
        if let Some(advice) = finding.advice.clone().filter(|new| !told.contains(new)) {
            relay.log.write(&Line::Explained {
                id: meta.id,
                meaning: &advice.meaning,
                remedy: &advice.remedy,
            });
            told.push(advice);
        }
        if let Some(kind) = finding.kind {
            let (relay, text) = (server.to_string(), finding.explained());
            findings
                .outcomes
                .push(outcome(*place, kind, finding.code, &relay, &text));
        }
    }
    if findings.is_uncertain() {
        relay.log.write(&Line::Uncertain {
            id: meta.id,
            gateway: &target.gateway().name,
        });
    }
    findings
}

impl Finding {
    /// What `mailq` shows: of mail that is kept with what its refusal means.
    fn explained(&self) -> String {
        match (&self.advice, self.kind) {
            (Some(advice), Some(OutcomeKind::Deferred)) => advice.beside(&self.text),
            _ => self.text.clone(),
        }
    }
}

/// An answer that accepts the message; some say with it that nothing will be sent.
fn accepted(
    findings: &mut Findings,
    target: &Target,
    meta: &Meta,
    server: &Server,
    reply: &Reply,
) -> Finding {
    let stage = Stage::EndOfData;
    match target.judge().of_acceptance(stage, reply) {
        Some(ruling) => {
            let text = verdict::said(server, stage, reply);
            refused(findings, &meta.envelope, ruling, text)
        }
        None => Finding {
            kind: Some(OutcomeKind::Sent),
            code: reply.status.unwrap_or(StatusCode::new(2, 0, 0)),
            status: Status::Sent,
            text: reply.to_string(),
            advice: None,
        },
    }
}

fn refused(findings: &mut Findings, envelope: &Envelope, ruling: Ruling, text: String) -> Finding {
    if let Some(trouble) = ruling.trouble(&ruling.explained(&text)) {
        findings.trouble = Some(trouble);
    }
    let (kind, hold) = outcome_kind(ruling.verdict, envelope);
    findings.hold |= hold;
    if ruling.cause.is_about_the_transaction() {
        findings.left_over += 1;
    }
    Finding {
        kind,
        code: ruling.code,
        // It stays in the queue, so it did not bounce.
        status: if hold {
            Status::Deferred
        } else {
            ruling.status
        },
        text,
        advice: ruling.advice,
    }
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

/// The log line of one recipient of one attempt.
pub(crate) fn delivery<'a>(
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
