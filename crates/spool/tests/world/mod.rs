//! What the crash and fault tests share: scenarios that use the spool as relayd does, a record of
//! what they were promised, and the comparison of that record with what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use mail::{Address, Envelope, Origin, QueueId, StatusCode, Submitter, Timestamp};
use spool::testdisk::TestDisk;
use spool::{
    AttemptMark, Claim, Draft, Dropped, Found, IntakeLimits, Meta, Note, Outcome, OutcomeKind,
    Source, Spool, SpoolError, drop_in, take,
};

mod scenarios;

pub(crate) use scenarios::SCENARIOS;

pub(crate) const ROOT: &str = "/spool";
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const LIMITS: IntakeLimits = IntakeLimits {
    size_max: 1 << 20,
    batch: 10,
};

pub(crate) type Step = Result<(), SpoolError>;
pub(crate) type Scenario = fn(&mut World) -> Step;

/// A spool on a model disk, and what the scenario was promised by it.
pub(crate) struct World {
    pub(crate) disk: TestDisk,
    pub(crate) spool: Spool<TestDisk>,
    pub(crate) messages: BTreeMap<usize, Message>,
    pub(crate) ids: BTreeSet<QueueId>,
    /// An id was given out twice.
    pub(crate) reused: bool,
    /// The number in the note that was kept last, and the one that was tried last.
    pub(crate) note_kept: u8,
    pub(crate) note_tried: u8,
}

/// What is known about one message, by the calls that were made and those that returned.
#[derive(Clone, Default)]
pub(crate) struct Message {
    pub(crate) id: Option<QueueId>,
    pub(crate) recipients: usize,
    pub(crate) large: bool,
    pub(crate) acknowledged: bool,
    /// Its first commit returned an error.
    pub(crate) failed: bool,
    pub(crate) to: Vec<Progress>,
    /// A mark was acknowledged.
    pub(crate) marked: bool,
    pub(crate) retire_called: bool,
    pub(crate) retired_durably: bool,
}

/// How far one recipient is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) mark_called: bool,
    /// Marked, and no outcome was recorded since, or closed.
    pub(crate) mark_open: bool,
    pub(crate) done_called: bool,
    pub(crate) done_durable: bool,
}

impl World {
    pub(crate) fn on(disk: TestDisk) -> Result<Self, SpoolError> {
        let spool = Spool::open(disk.clone(), Path::new(ROOT))?;
        spool.scan()?;
        Ok(Self {
            disk,
            spool,
            messages: BTreeMap::new(),
            ids: BTreeSet::new(),
            reused: false,
            note_kept: 0,
            note_tried: 0,
        })
    }

    pub(crate) fn content(&self, number: usize) -> Vec<u8> {
        let large = self
            .messages
            .get(&number)
            .is_some_and(|message| message.large);
        content(number, large)
    }

    /// Accepts a message from a client.
    pub(crate) fn accept(&mut self, number: usize, recipients: usize, large: bool) -> Step {
        self.expect(number, recipients, large);
        self.enter(number, None, &envelope(number, recipients))
    }

    /// The same for what relayd sends at once, without opening it.
    pub(crate) fn accept_claimed(
        &mut self,
        number: usize,
        recipients: usize,
    ) -> Result<Claim<TestDisk>, SpoolError> {
        self.expect(number, recipients, false);
        let (bytes, envelope) = (self.content(number), envelope(number, recipients));
        let claimed = self.draft(None, &envelope, &bytes);
        let claimed = claimed.and_then(Draft::commit_claimed);
        let meta = claimed.as_ref().map(|claim| claim.meta().clone());
        let message = self.messages.get_mut(&number).expect("expected before");
        match meta {
            Ok(meta) => {
                self.reused |= !self.ids.insert(meta.id);
                (message.id, message.acknowledged) = (Some(meta.id), true);
            }
            Err(_) => message.failed = true,
        }
        claimed
    }

    fn expect(&mut self, number: usize, recipients: usize, large: bool) {
        let to = vec![Progress::default(); recipients];
        let message = Message {
            recipients,
            large,
            to,
            ..Message::default()
        };
        self.messages.insert(number, message);
    }

    fn enter(&mut self, number: usize, source: Option<Source>, envelope: &Envelope) -> Step {
        let bytes = self.content(number);
        let result = self.commit(source, envelope, &bytes);
        let message = self.messages.get_mut(&number).expect("expected before");
        match result {
            Ok(meta) => {
                self.reused |= !self.ids.insert(meta.id);
                (message.id, message.acknowledged) = (Some(meta.id), true);
                Ok(())
            }
            Err(error) => {
                message.failed = true;
                Err(error)
            }
        }
    }

    fn commit(
        &mut self,
        source: Option<Source>,
        envelope: &Envelope,
        bytes: &[u8],
    ) -> Result<Meta, SpoolError> {
        self.draft(source, envelope, bytes)?.commit()
    }

    fn draft(
        &mut self,
        source: Option<Source>,
        envelope: &Envelope,
        bytes: &[u8],
    ) -> Result<Draft<TestDisk>, SpoolError> {
        let mut draft = match source {
            Some(source) => self.spool.create_from(source, envelope, &origin(), NOW)?,
            None => self.spool.create(envelope, &origin(), NOW)?,
        };
        for part in bytes.chunks(50_000) {
            draft.write(part)?;
        }
        Ok(draft)
    }

    /// `sendmail` leaves a message in maildrop.
    pub(crate) fn leave(&mut self, number: usize, recipients: usize) -> Step {
        self.expect(number, recipients, false);
        let result = self.leave_file(number, recipients);
        let message = self.messages.get_mut(&number).expect("expected before");
        message.acknowledged = result.is_ok();
        message.failed = result.is_err();
        result
    }

    fn leave_file(&mut self, number: usize, recipients: usize) -> Step {
        let dir = Path::new(ROOT).join("maildrop");
        let mut draft = drop_in(self.disk.clone(), &dir, &envelope(number, recipients))?;
        draft.write(&content(number, false))?;
        draft.commit().map(|_| ())
    }

    /// One round of intake as relayd does it.
    pub(crate) fn intake(&mut self) -> Step {
        for dropped in take(&self.spool, LIMITS, NOW)? {
            let Dropped::Submission(submission) = dropped else {
                continue;
            };
            let mut bytes = Vec::new();
            submission
                .content()
                .read_to_end(&mut bytes)
                .unwrap_or_default();
            let Some(number) = number_of(&bytes) else {
                continue;
            };
            let source = Source::Drop(submission.name());
            let envelope = submission.envelope().clone();
            let result = self.commit(Some(source), &envelope, &bytes);
            let meta = result?;
            self.reused |= !self.ids.insert(meta.id);
            if let Some(message) = self.messages.get_mut(&number) {
                message.id = Some(meta.id);
            }
            submission.remove()?;
        }
        self.spool.sync_maildrop()
    }

    pub(crate) fn claim(&mut self, number: usize) -> Result<Claim<TestDisk>, SpoolError> {
        // After a fault in intake there is no id; nor is there an entry with this one.
        let id = self.messages[&number].id.unwrap_or(QueueId::from_number(0));
        self.spool.claim(id)
    }

    pub(crate) fn mark(&mut self, claim: &mut Claim<TestDisk>, number: usize, to: &[u32]) -> Step {
        let message = self.messages.get_mut(&number).expect("expected before");
        to.iter()
            .for_each(|place| message.to[*place as usize].mark_called = true);
        claim.mark_attempt(&mark(to))?;
        message.marked = true;
        to.iter()
            .for_each(|place| message.to[*place as usize].mark_open = true);
        Ok(())
    }

    pub(crate) fn close(&mut self, claim: &mut Claim<TestDisk>, number: usize) -> Step {
        let message = self.messages.get_mut(&number).expect("expected before");
        message
            .to
            .iter_mut()
            .for_each(|progress| progress.mark_open = false);
        claim.close_attempt()
    }

    pub(crate) fn record(
        &mut self,
        claim: &mut Claim<TestDisk>,
        number: usize,
        outcomes: &[(u32, OutcomeKind)],
    ) -> Step {
        let message = self.messages.get_mut(&number).expect("expected before");
        for (place, kind) in outcomes {
            let progress = &mut message.to[*place as usize];
            progress.done_called |= kind.done().is_some();
            progress.mark_open &= *kind == OutcomeKind::Uncertain;
        }
        let outcomes: Vec<_> = outcomes
            .iter()
            .map(|(to, kind)| outcome(*to, *kind))
            .collect();
        claim.record(&outcomes)
    }

    pub(crate) fn sync(&mut self, claim: &mut Claim<TestDisk>, number: usize) -> Step {
        claim.sync()?;
        self.outcomes_are_durable(number);
        Ok(())
    }

    pub(crate) fn outcomes_are_durable(&mut self, number: usize) {
        let message = self.messages.get_mut(&number).expect("expected before");
        for progress in &mut message.to {
            progress.done_durable |= progress.done_called;
        }
    }

    pub(crate) fn retire(&mut self, number: usize) -> Step {
        let message = self.messages.get_mut(&number).expect("expected before");
        message.retire_called = true;
        self.spool.retire(message.id.expect("accepted before"))
    }

    pub(crate) fn sync_retired(&mut self) -> Step {
        self.spool.sync_retired()?;
        for message in self
            .messages
            .values_mut()
            .filter(|message| message.retire_called)
        {
            message.retired_durably = true;
            message
                .to
                .iter_mut()
                .for_each(|progress| progress.done_durable = true);
        }
        Ok(())
    }

    pub(crate) fn keep_note(&mut self) -> Step {
        self.note_tried += 1;
        self.spool
            .keep_note(Note::Quotas, &[self.note_tried; 600])?;
        self.note_kept = self.note_tried;
        Ok(())
    }

    fn check_note(&self, after: &World) -> Result<(), String> {
        let note = after.spool.note(Note::Quotas);
        let note = note.map_err(|error| error.to_string())?.unwrap_or_default();
        let number = note.first().copied().unwrap_or_default();
        let promised = self.note_kept..=self.note_tried;
        if !promised.contains(&number) || note.iter().any(|byte| *byte != number) {
            return Err(format!("the note is {number}, not one of {promised:?}"));
        }
        Ok(())
    }

    /// Compares what a disk holds after a crash with what was promised. Runs relayd's start.
    pub(crate) fn check(&self, disk: TestDisk) -> Result<World, String> {
        let text = |error: SpoolError| error.to_string();
        let mut after = Self::on(disk).map_err(text)?;
        after.ids = self.ids.clone();
        after.messages = self.messages.clone();
        after.intake().map_err(text)?;
        self.check_entries(&after)?;
        self.check_note(&after)?;
        (after.note_kept, after.note_tried) = (self.note_kept, self.note_tried);
        // A new message works, and gets an id that none had.
        after.accept(999, 1, false).map_err(text)?;
        if after.reused {
            return Err("an id was used twice".into());
        }
        if !after.disk.names(Path::new("/spool/tmp")).is_empty() {
            return Err("something is left in tmp".into());
        }
        Ok(after)
    }

    fn check_entries(&self, after: &World) -> Result<(), String> {
        let mut seen: BTreeMap<usize, Meta> = BTreeMap::new();
        for found in after.spool.scan().map_err(|error| error.to_string())? {
            let Found::Entry(meta) = found else { continue };
            let Ok(mut reader) = after.spool.content(meta.id) else {
                continue;
            };
            let mut bytes = Vec::new();
            reader
                .read_to_end(&mut bytes)
                .map_err(|error| error.to_string())?;
            let number = number_of(&bytes).ok_or("foreign content")?;
            let message = self
                .messages
                .get(&number)
                .ok_or("a message never handed in")?;
            if bytes != content(number, message.large) {
                return Err(format!("message {number} was altered"));
            }
            if meta.envelope != envelope(number, message.recipients) {
                return Err(format!("the envelope of message {number} was altered"));
            }
            if seen.insert(number, *meta).is_some() {
                return Err(format!("message {number} is there twice"));
            }
        }
        let messages = self.messages.iter();
        let mut checks = messages.map(|(number, message)| (number, message, seen.get(number)));
        checks.try_for_each(|(number, message, meta)| {
            message
                .check(meta, after)
                .map_err(|why| format!("message {number}: {why}"))
        })
    }
}

impl Message {
    fn check(&self, meta: Option<&Meta>, after: &World) -> Result<(), String> {
        let Some(meta) = meta else {
            let may_be_gone = self.retire_called || !self.acknowledged;
            return if may_be_gone {
                Ok(())
            } else {
                Err("accepted and lost".into())
            };
        };
        if self.retired_durably {
            return Err("retired and there again".into());
        }
        if self.marked && meta.last_attempt.is_none() {
            return Err("marked and forgotten".into());
        }
        if meta.uncertain
            != meta
                .recipients
                .iter()
                .any(|to| to.uncertain && to.done.is_none())
        {
            return Err("uncertain contradicts the recipients".into());
        }
        let mut pairs = self.to.iter().zip(&meta.recipients).zip(0..);
        pairs.try_for_each(|((progress, state), place)| {
            progress
                .check(state)
                .map_err(|why| format!("recipient {place}: {why}"))?;
            if progress.done_durable {
                refuses_attempt(after, meta.id, place)?;
            }
            Ok(())
        })
    }
}

/// A recipient that is done is not even markable again.
fn refuses_attempt(after: &World, id: QueueId, place: u32) -> Result<(), String> {
    let mut claim = after.spool.claim(id).map_err(|error| error.to_string())?;
    match claim.mark_attempt(&mark(&[place])) {
        Ok(()) => Err(format!("recipient {place} is done and was offered again")),
        Err(_) => Ok(()),
    }
}

impl Progress {
    fn check(self, state: &spool::RecipientState) -> Result<(), String> {
        let wrong = if self.done_durable && state.done.is_none() {
            "done durably and forgotten"
        } else if state.done.is_some() && !self.done_called {
            "done and never recorded so"
        } else if state.uncertain && !self.mark_called {
            "uncertain without a mark"
        } else if self.mark_open && !state.uncertain && state.done.is_none() {
            "marked and not uncertain"
        } else if state.uncertain && state.done.is_some() {
            "uncertain though done"
        } else {
            return Ok(());
        };
        Err(wrong.into())
    }
}

pub(crate) fn content(number: usize, large: bool) -> Vec<u8> {
    let mut bytes = format!("Subject: message\r\n\r\nnumber {number} \r\n").into_bytes();
    if large {
        bytes.extend(b"0123456789abcdef\r\n".repeat(8_000));
    }
    bytes
}

fn number_of(bytes: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.split_once("number ")?
        .1
        .split(' ')
        .next()?
        .parse()
        .ok()
}

pub(crate) fn envelope(number: usize, recipients: usize) -> Envelope {
    let address = |text: String| Address::parse(&text).expect("an address");
    let to = (0..recipients).map(|n| address(format!("to{n}@m{number}.example")));
    Envelope::new(Some(address("from@x.example".into())), to.collect())
}

pub(crate) fn origin() -> Origin {
    Origin {
        submitter: Submitter::Local {
            uid: 1000,
            login: Some("app".into()),
        },
        script: None,
    }
}

pub(crate) fn mark(to: &[u32]) -> AttemptMark {
    AttemptMark {
        gateway: "main".into(),
        at: NOW,
        recipients: to.to_vec(),
    }
}

pub(crate) fn outcome(recipient: u32, kind: OutcomeKind) -> Outcome {
    let class = if kind == OutcomeKind::Sent { 2 } else { 4 };
    let (status, at) = (StatusCode::new(class, 0, 0), NOW);
    let (relay, text) = ("smtp.example[192.0.2.1]:587".into(), "said so ".repeat(20));
    Outcome {
        recipient,
        kind,
        status,
        at,
        relay,
        text,
    }
}
