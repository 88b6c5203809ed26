//! One attempt at one message: the entry claimed, its mark, its content in blocks. Everything that
//! blocks on the disk is done off the asynchronous threads.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use mail::{QueueId, Recipient, Timestamp};
use policy::log::Line;
use policy::outgoing::{self, Passage, Reading, Unfit};
use policy::schedule::AttemptOutcome;
use smtp::capabilities::Capabilities;
use smtp::client::Transaction;
use spool::{AttemptMark, Claim, Content, ErrorKind, Meta, Queue, SpoolError};

use crate::disk::Doing;
use crate::fresh::Message;
use crate::record;
use crate::relay::Relay;
use crate::target::Target;

/// How much of longer content is read at a time.
const READ_SIZE: usize = 64 * 1024;
/// Content up to this size is read in one go when the entry is claimed.
const READ_AT_ONCE: u64 = 256 * 1024;

/// A message that is being tried.
pub(crate) struct Attempt {
    pub(crate) meta: Meta,
    /// The places, in the envelope, of the recipients that are tried, in rising order.
    pub(crate) places: Vec<u32>,
    /// When it began, by the monotonic clock.
    pub(crate) begun: Duration,
    claim: Holder,
    body: Body,
    /// What is in the content, until it was decided what of it is sent.
    content: Option<outgoing::Content>,
}

/// Who has the claim at present.
enum Holder {
    Here(Box<Claim>),
    /// The mark is being written.
    Marking(Doing<(Box<Claim>, Result<(), SpoolError>)>),
    /// Work on it failed; the claim went with it.
    Nobody,
}

/// Content, and what is in it.
type Known = (Body, outgoing::Content);

/// Content that is still to be sent.
enum Body {
    Whole(Vec<u8>),
    Streamed(Content),
    Done,
}

impl Attempt {
    /// Claims the entry and opens its content, for the recipients at `only` of those that are not
    /// done, or for all. Otherwise gives what that means for the message.
    pub(crate) async fn begin(
        relay: &Arc<Relay>,
        id: QueueId,
        only: Option<&[u32]>,
    ) -> Result<Self, AttemptOutcome> {
        let begun = host::clock::monotonic();
        if let Some(Message { claim, content }) = relay.fresh.take(id) {
            return Ok(Self::of(claim, known(content), only, begun));
        }
        let shared = Arc::clone(relay);
        let opened = relay.disk.run(move || open(&shared, id)).await;
        match opened {
            Ok(Ok(None)) => {
                record::announce_removal(relay, id);
                Err(AttemptOutcome::Finished)
            }
            Ok(Ok(Some((claim, body)))) => Ok(Self::of(claim, body, only, begun)),
            Ok(Err(error)) => Err(unopened(relay, id, &error)),
            Err(error) => {
                relay.log.warn(&format!("{id}: {error}"));
                Err(AttemptOutcome::NotStarted)
            }
        }
    }

    fn of(claim: Claim, (body, content): Known, only: Option<&[u32]>, begun: Duration) -> Self {
        let meta = claim.meta().clone();
        let wanted = |place: &u32| only.is_none_or(|only| only.contains(place));
        let places = meta.pending().filter(wanted).collect();
        Self {
            meta,
            places,
            begun,
            claim: Holder::Here(Box::new(claim)),
            body,
            content: Some(content),
        }
    }

    /// Leaves so many recipients for this attempt: those that were never tried, if there are any, or
    /// else those that were tried the longest time ago.
    pub(crate) fn limit_recipients(&mut self, most: usize) {
        let last = |place: &u32| last_tried(&self.meta, *place);
        if self.places.iter().any(|place| last(place).is_none()) {
            self.places.retain(|place| last(place).is_none());
        }
        if self.places.len() > most {
            self.places.sort_by_key(last);
            self.places.truncate(most);
            self.places.sort_unstable();
        }
    }

    /// How many recipients are left out that were never tried.
    pub(crate) fn left_out(&self) -> usize {
        let left = self.meta.pending();
        let left = left.filter(|place| self.places.binary_search(place).is_err());
        left.filter(|place| last_tried(&self.meta, *place).is_none())
            .count()
    }

    /// Whether the message says of itself that it is bulk.
    pub(crate) fn is_bulk(&self) -> bool {
        let content = self.content.as_ref();
        content.is_some_and(outgoing::Content::is_bulk)
    }

    /// The recipients that are tried, in the order of [`Attempt::places`].
    pub(crate) fn recipients(&self) -> impl Iterator<Item = &Recipient> {
        self.places
            .iter()
            .filter_map(|place| self.meta.envelope.recipients.get(*place as usize))
    }

    /// What is sent to a gateway of these capabilities, and the transaction that says so.
    ///
    /// # Errors
    /// The message must not go there.
    pub(crate) fn prepare(
        &mut self,
        target: &Target,
        capabilities: &Capabilities,
    ) -> Result<(Transaction, Passage), Unfit> {
        let envelope = &self.meta.envelope;
        let content = self
            .content
            .take()
            .unwrap_or_else(|| Reading::new().finish());
        let passage = content.prepare(
            &target.gateway().from,
            target.running().as_host(),
            envelope.sender.as_ref(),
            outgoing::channel(capabilities, envelope),
        )?;
        let recipients = self.recipients().cloned().collect();
        let mut transaction = Transaction::new(envelope, recipients, Some(self.meta.size));
        passage.declare(&mut transaction, capabilities);
        Ok((transaction, passage))
    }

    /// Begins to write the attempt's mark.
    pub(crate) fn start_marking(&mut self, relay: &Relay, gateway: &str) {
        let mark = AttemptMark {
            gateway: gateway.to_owned(),
            at: host::clock::wall(),
            recipients: self.places.clone(),
        };
        if let Holder::Here(mut claim) = std::mem::replace(&mut self.claim, Holder::Nobody) {
            self.claim = Holder::Marking(relay.disk.run(move || {
                let marked = write_mark(&mut claim, &mark);
                (claim, marked)
            }));
        }
    }

    /// Whether the mark is durable; waits until that is known. If it is not, nothing may be sent
    /// (I4).
    pub(crate) async fn marked(&mut self, relay: &Relay) -> bool {
        let marking = match std::mem::replace(&mut self.claim, Holder::Nobody) {
            Holder::Marking(marking) => marking,
            other => {
                self.claim = other;
                return true;
            }
        };
        match marking.await {
            Ok((claim, marked)) => {
                self.claim = Holder::Here(claim);
                if let Err(error) = &marked {
                    relay.log.warn(&format!(
                        "{}: not sent, since the attempt cannot be marked: {error}",
                        self.meta.id
                    ));
                }
                marked.is_ok()
            }
            Err(error) => {
                relay
                    .log
                    .warn(&format!("{}: not sent: {error}", self.meta.id));
                false
            }
        }
    }

    /// The claim, once no mark is being written.
    pub(crate) async fn into_claim(mut self, relay: &Relay) -> Option<Claim> {
        self.marked(relay).await;
        match self.claim {
            Holder::Here(claim) => Some(*claim),
            Holder::Marking(_) | Holder::Nobody => None,
        }
    }

    /// Ends the attempt before its content was out: nobody got anything.
    pub(crate) async fn abandon(self, relay: &Relay) {
        let Some(mut claim) = self.into_claim(relay).await else {
            return;
        };
        // Forgotten, it leaves the message uncertain without cause, which costs time only.
        let _ = relay.disk.run(move || claim.close_attempt()).await;
    }

    /// All of the content, as something to be read where blocking is allowed; `None` if it was taken
    /// before.
    pub(crate) fn take_content(&mut self) -> Option<Box<dyn Read + Send>> {
        match std::mem::replace(&mut self.body, Body::Done) {
            Body::Whole(bytes) => Some(Box::new(io::Cursor::new(bytes))),
            Body::Streamed(content) => Some(Box::new(content)),
            Body::Done => None,
        }
    }

    /// The next piece of the content, at least one byte until the end and nothing there.
    ///
    /// # Errors
    /// The content cannot be read, or is not what was written.
    pub(crate) async fn next_block(
        &mut self,
        relay: &Relay,
        most: usize,
    ) -> Result<Vec<u8>, String> {
        match std::mem::replace(&mut self.body, Body::Done) {
            Body::Done => Ok(Vec::new()),
            Body::Whole(bytes) => Ok(bytes),
            Body::Streamed(mut content) => {
                let read = relay.disk.run(move || {
                    let mut block = Vec::with_capacity(most);
                    let count = (&mut content).take(most as u64).read_to_end(&mut block);
                    count.map(|_| (content, block))
                });
                let (content, block) = read
                    .await
                    .map_err(|error| error.to_string())?
                    .map_err(|error| error.to_string())?;
                if !block.is_empty() {
                    self.body = Body::Streamed(content);
                }
                Ok(block)
            }
        }
    }
}

/// When the last outcome of a recipient was recorded; `None` if there is none.
fn last_tried(meta: &Meta, place: u32) -> Option<Timestamp> {
    let state = meta.recipients.get(place as usize)?;
    state.last.as_ref().map(|last| last.at)
}

/// Opens an entry; `None` if nothing was left to do but to remove it, which is done now.
fn open(relay: &Relay, id: QueueId) -> Result<Option<(Claim, Known)>, SpoolError> {
    let kept = relay.kept.take(id);
    let was_kept = kept.is_some();
    let claim = match kept {
        Some(claim) => claim,
        None => relay.spool.claim(id)?,
    };
    if claim.meta().is_finished() {
        return match relay.spool.retire(id) {
            Err(error) if !error.is_no_such_entry() => {
                relay.kept.put(claim);
                Err(error)
            }
            _ => Ok(None),
        };
    }
    match read_body(&claim) {
        Ok(body) => Ok(Some((claim, body))),
        Err(error) => {
            // What the disk did not take must not be forgotten because it cannot be read either.
            if was_kept && !matches!(error.kind, ErrorKind::Damaged(_)) {
                relay.kept.put(claim);
            }
            Err(error)
        }
    }
}

/// Content that is in memory, and what is in it.
fn known(bytes: Vec<u8>) -> Known {
    let mut reading = Reading::new();
    reading.feed(&bytes);
    (Body::Whole(bytes), reading.finish())
}

/// Reads the content once, to know what is in it. It can be sent afterwards.
fn read_body(claim: &Claim) -> Result<Known, SpoolError> {
    let unread = |error| SpoolError {
        op: "read",
        path: claim.meta().id.to_string().into(),
        kind: ErrorKind::Io(error),
    };
    let mut content = claim.content()?;
    if content.len() <= READ_AT_ONCE {
        let mut bytes = Vec::with_capacity(usize::try_from(content.len()).unwrap_or_default());
        content.read_to_end(&mut bytes).map_err(unread)?;
        return Ok(known(bytes));
    }
    let mut reading = Reading::new();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match content.read(&mut buffer).map_err(unread)? {
            0 => break,
            count => reading.feed(&buffer[..count]),
        }
    }
    Ok((Body::Streamed(claim.content()?), reading.finish()))
}

/// Writes the mark. An entry of which a sync failed gets a new file first (I2).
fn write_mark(claim: &mut Claim, mark: &AttemptMark) -> Result<(), SpoolError> {
    match claim.mark_attempt(mark) {
        Err(SpoolError {
            kind: ErrorKind::Poisoned,
            ..
        }) => {
            claim.rewrite()?;
            claim.mark_attempt(mark)
        }
        marked => marked,
    }
}

/// What an entry that cannot be opened means for its message.
fn unopened(relay: &Relay, id: QueueId, error: &SpoolError) -> AttemptOutcome {
    match &error.kind {
        // Set aside: there is nothing left to try (I12).
        ErrorKind::Damaged(why) => {
            let queue = relay.index.get(id).map(|item| item.meta.queue);
            relay.log.write(&Line::Damaged {
                name: &id.to_string(),
                queue: queue.unwrap_or(Queue::Incoming).name(),
                moved: !relay.spool.holds(id),
                why: &why.to_string(),
            });
            relay.index.remove(id);
            relay.retired.notify_one();
            AttemptOutcome::Finished
        }
        // Taken away by an admin.
        ErrorKind::NoSuchEntry => {
            relay.log.warn(&format!("{id}: {error}"));
            relay.index.remove(id);
            AttemptOutcome::Finished
        }
        _ => {
            relay.log.warn(&format!("{id}: {error}"));
            AttemptOutcome::NotStarted
        }
    }
}
