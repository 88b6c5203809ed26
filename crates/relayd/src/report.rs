//! Queues the report that goes back to a sender when recipients of a message failed for good.

use std::io::Read;

use mail::header::HeaderBlock;
use mail::{Envelope, Notify, Origin, Submitter};
use policy::log::Line;
use spool::{Claim, ErrorKind, Meta, Outcome, OutcomeKind, Source, SpoolError};

use crate::bounce::{FailedRecipient, Report};
use crate::relay::Relay;
use crate::running::Running;

/// The most of a header block that a report to the sender returns.
const RETURNED_HEADER: u64 = 64 * 1024;

/// Queues the report about the recipients that failed, if the sender is to have one. Blocks on the
/// disk; when it returns, the report is on stable storage.
///
/// # Errors
/// It could not be queued, and why. The sender does not know yet, so nothing may be recorded as
/// failed.
pub(crate) fn queue(
    relay: &Relay,
    running: &Running,
    claim: &Claim,
    outcomes: &[Outcome],
) -> Result<Option<Meta>, String> {
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
    let report = queued.map_err(|error| error.to_string())?;
    log_begin(relay, &report, &content);
    Ok(Some(report))
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
        remote: Some(outcome.relay.clone()).filter(|relay| relay != "none"),
        reason: outcome.text.clone(),
    })
}

fn returned_header(claim: &Claim) -> Result<Vec<u8>, SpoolError> {
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

/// The first lines of the report's own story (I11).
fn log_begin(relay: &Relay, report: &Meta, content: &[u8]) {
    let message_id = HeaderBlock::split(content)
        .0
        .get("Message-ID")
        .map(|field| field.text())
        .unwrap_or_default();
    let message_id = message_id.trim_start_matches('<').trim_end_matches('>');
    relay.log.write(&Line::MessageId {
        id: report.id,
        message_id: message_id.as_bytes(),
        resent: false,
    });
    relay.log.write(&Line::Active {
        id: report.id,
        sender: None,
        size: report.size,
        recipients: report.recipients.len(),
    });
}
