//! Work on an entry: what is recorded is found again, also after a crash that cut off the last writes.

use mail::{StatusCode, Timestamp};
use spool::testdisk::TestDisk;
use spool::{
    AttemptMark, Claim, ErrorKind, FileKind, Found, Meta, Outcome, OutcomeKind, Queue, SpoolError,
};

use super::{NUMBER, check_meta, file, open, path, scan};

const KINDS: [OutcomeKind; 5] = [
    OutcomeKind::Sent,
    OutcomeKind::Deferred,
    OutcomeKind::Uncertain,
    OutcomeKind::Failed,
    OutcomeKind::Expired,
];

/// Does to the entry what `work` says, two bytes a step. After it the entry is found as it was left; with its journal
/// cut at any place, as it was after some step.
pub(super) fn check(disk: &TestDisk, work: &[u8]) {
    let spool = open(disk);
    spool.scan().expect("a scan");
    let id = mail::QueueId::from_number(NUMBER);
    let mut claim = spool.claim(id).expect("it is free");
    let before = journal_end(disk);
    let mut states = vec![claim.meta().clone()];
    let mut expected = Expected::new(claim.meta());
    let mut rewritten = false;
    for step in work.chunks_exact(2).take(12) {
        step_of(&mut claim, &mut expected, [step[0], step[1]]);
        rewritten |= step[0] % 6 == 5;
        check_meta(claim.meta());
        expected.check(claim.meta());
        states.push(claim.meta().clone());
    }
    claim.sync().expect("the disk works");
    drop(claim);
    drop(spool);
    let last = states.last().expect("the first");
    assert_eq!(&found(disk), last);
    if let ([place, ..], false) = (work, rewritten) {
        cut_short(disk, before, usize::from(*place), &states);
    }
}

/// The bytes of the entry, and where what is not zero ends.
fn journal_end(disk: &TestDisk) -> (Vec<u8>, usize) {
    let name = mail::QueueId::from_number(NUMBER).to_string();
    let bytes = disk
        .bytes(&path(Queue::Incoming, &name))
        .expect("the entry");
    let last = bytes.iter().rposition(|byte| *byte != 0);
    let end = last
        .map_or(0, |last| last + 1)
        .max(file::content_end(&bytes));
    (bytes, end)
}

fn found(disk: &TestDisk) -> Meta {
    match scan(disk).1 {
        Found::Entry(meta) => *meta,
        damaged @ Found::Damaged { .. } => panic!("{damaged:?}"),
    }
}

/// Zeros in place of what was not written yet.
fn cut_short(disk: &TestDisk, before: (Vec<u8>, usize), place: usize, states: &[Meta]) {
    let (mut bytes, end) = journal_end(disk);
    let from = before.1.min(end);
    let cut = from + (end - from) * place / 255;
    bytes[cut..].fill(0);
    let name = mail::QueueId::from_number(NUMBER).to_string();
    disk.put(
        &path(Queue::Incoming, &name),
        FileKind::Regular,
        0o600,
        &bytes,
    );
    let found = found(disk);
    assert!(states.contains(&found), "{found:?} of {states:?}");
}

/// One step; what is refused changes nothing.
fn step_of(claim: &mut Claim<TestDisk>, expected: &mut Expected, [what, which]: [u8; 2]) {
    let before = claim.meta().clone();
    let count = u32::try_from(before.recipients.len()).expect("at most 10,000");
    let places: Vec<u32> = (0..count.min(8))
        .filter(|at| which & 1 << at != 0)
        .collect();
    let pending = |place: &u32| before.recipients[*place as usize].done.is_none();
    let allowed = places.iter().all(pending);
    let at = Timestamp::from_secs(1_795_458_300 + u64::from(which));
    match what % 6 {
        0 => {
            let result = claim.mark_attempt(&AttemptMark {
                gateway: "gw".repeat(usize::from(what) / 2),
                at,
                recipients: places.clone(),
            });
            check_result(claim, &before, &result, allowed && !places.is_empty());
            if result.is_ok() {
                expected.mark(&places);
            }
        }
        1 | 2 => {
            let outcome = |recipient: &u32| Outcome {
                recipient: *recipient,
                kind: KINDS[usize::from(what / 6) % KINDS.len()],
                status: StatusCode::new(4, u16::from(what), 0),
                at,
                relay: format!("gw{}[192.0.2.1]:587", which % 2),
                text: "ä\r\n".repeat(usize::from(what) * 2),
            };
            let outcomes: Vec<Outcome> = places.iter().map(outcome).collect();
            let result = claim.record(&outcomes);
            check_result(claim, &before, &result, allowed);
            if result.is_ok() {
                outcomes.iter().for_each(|outcome| expected.record(outcome));
            }
        }
        3 => {
            claim.close_attempt().expect("the disk works");
            expected.close();
        }
        4 => claim.sync().expect("the disk works"),
        _ => {
            claim.rewrite().expect("the disk works");
            assert_eq!(*claim.meta(), before);
        }
    }
}

fn check_result(
    claim: &Claim<TestDisk>,
    before: &Meta,
    result: &Result<(), SpoolError>,
    allowed: bool,
) {
    match result {
        Ok(()) => assert!(allowed),
        Err(error) => {
            assert!(
                !allowed && matches!(error.kind, ErrorKind::Refused(_)),
                "{error}"
            );
            assert_eq!(claim.meta(), before);
        }
    }
}

/// What `FORMAT.md` says about the states of recipients, for an entry that nothing was recorded in before.
struct Expected {
    known: bool,
    recipients: Vec<State>,
    attempts: u32,
}

#[derive(Clone, Default)]
struct State {
    done: bool,
    uncertain: bool,
    /// In the attempt that is open; whether it was uncertain before.
    open: Option<bool>,
}

impl Expected {
    fn new(meta: &Meta) -> Self {
        let untouched = meta.last_attempt.is_none() && meta.attempts == 0;
        let fresh = meta
            .recipients
            .iter()
            .all(|state| state.last.is_none() && !state.uncertain);
        Self {
            known: untouched && fresh,
            recipients: vec![State::default(); meta.recipients.len()],
            attempts: 0,
        }
    }

    /// An attempt at these; those of an older one that is open stay uncertain.
    fn mark(&mut self, places: &[u32]) {
        self.recipients
            .iter_mut()
            .for_each(|state| state.open = None);
        for place in places {
            let state = &mut self.recipients[*place as usize];
            (state.open, state.uncertain) = (Some(state.uncertain), true);
        }
        self.attempts += 1;
    }

    fn record(&mut self, outcome: &Outcome) {
        let state = &mut self.recipients[outcome.recipient as usize];
        if state.done {
            return;
        }
        state.done = outcome.kind.done().is_some();
        state.uncertain = outcome.kind == OutcomeKind::Uncertain;
        state.open = None;
    }

    /// Nothing was sent: what was known before holds.
    fn close(&mut self) {
        for state in &mut self.recipients {
            state.uncertain = state.open.take().unwrap_or(state.uncertain);
        }
        self.attempts = self.attempts.saturating_sub(1);
    }

    fn check(&self, meta: &Meta) {
        if !self.known {
            return;
        }
        assert_eq!(meta.attempts, self.attempts);
        for (state, expected) in meta.recipients.iter().zip(&self.recipients) {
            assert_eq!(state.done.is_some(), expected.done);
            assert_eq!(state.uncertain, expected.uncertain);
        }
    }
}
