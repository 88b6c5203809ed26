//! A message for recipients whose mail goes through different gateways becomes several entries, one
//! for each way, so that none waits for another's gateway. All of them are on stable storage before
//! the message counts as taken in (I1).
//!
//! The content of the others is that of the first, byte for byte. If one cannot be written, those
//! before it are removed again, and the message is refused.

use std::io::Read;

use mail::{Envelope, Submitter};
use policy::route;
use spool::{ErrorKind, Meta, RealDisk, Spool, SpoolError};

use crate::running::Running;

/// How much of the content is copied at a time.
const BLOCK: usize = 64 * 1024;

/// Leaves in the envelope the recipients of the first way, and gives an envelope for each other.
pub(crate) fn divide(
    envelope: &mut Envelope,
    submitter: &Submitter,
    running: &Running,
) -> Vec<Envelope> {
    let gateways = &running.settings.gateways;
    if gateways.len() == 1 {
        return Vec::new();
    }
    let whole = envelope.clone();
    let parts = route::split(gateways, submitter, &whole);
    let mut envelopes = parts.into_iter().map(|part| {
        let recipients = part.recipients.into_iter();
        let recipients = recipients.filter_map(|place| whole.recipients.get(place).cloned());
        Envelope {
            recipients: recipients.collect(),
            ..whole.clone()
        }
    });
    if let Some(first) = envelopes.next() {
        *envelope = first;
    }
    envelopes.collect()
}

/// Queues a copy of an entry for each of these envelopes. Blocks on the disk.
///
/// # Errors
/// What the disk says. The entry itself is gone as well then.
pub(crate) fn queue(
    spool: &Spool<RealDisk>,
    first: &Meta,
    others: &[Envelope],
) -> Result<Vec<Meta>, SpoolError> {
    let mut queued = Vec::with_capacity(others.len());
    for envelope in others {
        match copy(spool, first, envelope) {
            Ok(meta) => queued.push(meta),
            Err(error) => {
                // Best effort: what the disk does not let go is sent, and sent once more when the
                // client hands the message in again; none is lost.
                for meta in queued.iter().chain([first]) {
                    let _ = spool.retire(meta.id);
                }
                let _ = spool.sync_retired();
                return Err(error);
            }
        }
    }
    Ok(queued)
}

fn copy(spool: &Spool<RealDisk>, first: &Meta, envelope: &Envelope) -> Result<Meta, SpoolError> {
    let mut draft = spool.create(envelope, &first.origin, first.arrival)?;
    let mut content = spool.content(first.id)?;
    let mut block = vec![0; BLOCK];
    loop {
        let read = content.read(&mut block);
        let count = read.map_err(|error| SpoolError {
            op: "read",
            path: first.id.to_string().into(),
            kind: ErrorKind::Io(error),
        })?;
        if count == 0 {
            return draft.commit();
        }
        draft.write(&block[..count])?;
    }
}
