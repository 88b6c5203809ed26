//! How each record of the journal changes what is known about an entry.
//!
//! These few functions are the state machine of a recipient; reading a journal at start and
//! recording into it later both go through them, so that the two can never differ.

use crate::journal::{Carried, Outcomes, Record};
use crate::meta::{AttemptMark, Meta, RecipientState};

impl Meta {
    /// Brings the state up to date with one more record. Its places were checked before.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Attempt(mark) => self.attempt(mark),
            Record::Outcome(outcomes) => self.outcome(outcomes),
            Record::Closed => self.closed(),
            Record::Carried(carried) => self.carried(carried),
        }
        let states = self.recipients.iter();
        self.uncertain = states
            .clone()
            .any(|state| state.done.is_none() && state.uncertain);
    }

    /// An attempt that is still open now was ended by a crash: its recipients stay uncertain.
    fn attempt(&mut self, mark: &AttemptMark) {
        self.recipients
            .iter_mut()
            .for_each(|state| state.open = false);
        for place in &mark.recipients {
            let state = &mut self.recipients[*place as usize];
            state.doubted = state.uncertain;
            (state.open, state.uncertain) = (true, true);
        }
        self.attempts = self.attempts.saturating_add(1);
        self.last_attempt = Some(mark.clone());
    }

    /// The first final outcome of a recipient stands.
    fn outcome(&mut self, outcomes: &Outcomes) {
        for place in &outcomes.recipients {
            let state = &mut self.recipients[*place as usize];
            if state.done.is_none() {
                state.end(outcomes, *place);
            }
        }
    }

    /// Nothing was sent: what was known before the attempt holds again.
    fn closed(&mut self) {
        for state in self.recipients.iter_mut().filter(|state| state.open) {
            (state.open, state.uncertain) = (false, state.doubted);
        }
        self.attempts = self.attempts.saturating_sub(1);
    }

    fn carried(&mut self, carried: &Carried) {
        self.attempts = carried.attempts;
        for state in &mut self.recipients {
            (state.uncertain, state.open, state.doubted) = (false, false, false);
        }
        let mut set = |places: &[u32], flag: fn(&mut RecipientState) -> &mut bool| {
            for place in places {
                *flag(&mut self.recipients[*place as usize]) = true;
            }
        };
        set(&carried.uncertain, |state| &mut state.uncertain);
        set(&carried.open, |state| &mut state.open);
        set(&carried.doubted, |state| &mut state.doubted);
    }

    /// Records from which [`Meta::apply`] makes this state again.
    pub(crate) fn snapshot(&self) -> Vec<Record> {
        let outcomes: Vec<_> = self
            .recipients
            .iter()
            .filter_map(|state| state.last.clone())
            .collect();
        let places = |flag: fn(&RecipientState) -> bool| {
            let states = self.recipients.iter().zip(0u32..);
            states
                .filter(|(state, _)| flag(state))
                .map(|(_, place)| place)
                .collect()
        };
        let carried = Carried {
            attempts: self.attempts,
            uncertain: places(|state| state.uncertain),
            open: places(|state| state.open),
            doubted: places(|state| state.doubted),
        };
        let mut records = Vec::new();
        records.extend(self.last_attempt.clone().map(Record::Attempt));
        records.extend(
            crate::journal::group(&outcomes)
                .into_iter()
                .map(Record::Outcome),
        );
        records.push(Record::Carried(carried));
        records
    }
}

impl RecipientState {
    fn end(&mut self, outcomes: &Outcomes, place: u32) {
        use crate::meta::OutcomeKind::Uncertain;
        self.done = outcomes.kind.done();
        self.open = false;
        self.uncertain = outcomes.kind == Uncertain;
        self.doubted = self.uncertain;
        self.last = Some(outcomes.of(place));
    }
}

#[cfg(test)]
mod tests {
    use mail::{Address, Envelope, Origin, QueueId, StatusCode, Submitter, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::journal::group;
    use crate::meta::{Done, Outcome, OutcomeKind, Queue};

    fn meta(recipients: usize) -> Meta {
        let to = (0..recipients).map(|n| Address::parse(&format!("u{n}@x.example")).unwrap());
        let submitter = Submitter::Local {
            uid: 0,
            login: None,
        };
        Meta {
            id: QueueId::from_number(1),
            queue: Queue::Incoming,
            arrival: Timestamp::default(),
            size: 0,
            envelope: Envelope::new(None, to.collect()),
            origin: Origin {
                submitter,
                script: None,
            },
            source: None,
            recipients: vec![RecipientState::default(); recipients],
            attempts: 0,
            uncertain: false,
            last_attempt: None,
        }
    }

    fn mark(recipients: &[u32]) -> Record {
        let (gateway, at) = ("g".into(), Timestamp::default());
        Record::Attempt(AttemptMark {
            gateway,
            at,
            recipients: recipients.to_vec(),
        })
    }

    fn outcome(recipient: u32, kind: OutcomeKind) -> Record {
        let (status, at) = (StatusCode::new(4, 0, 0), Timestamp::default());
        let (relay, text) = ("none".into(), "why".into());
        let one = Outcome {
            recipient,
            kind,
            status,
            at,
            relay,
            text,
        };
        Record::Outcome(group(&[one]).remove(0))
    }

    #[test]
    fn an_open_attempt_makes_its_recipients_uncertain() {
        let mut meta = meta(3);
        meta.apply(&mark(&[0, 1]));
        assert!(meta.uncertain && !meta.recipients[2].uncertain);
        meta.apply(&outcome(0, OutcomeKind::Sent));
        assert!(meta.uncertain);
        meta.apply(&outcome(1, OutcomeKind::Deferred));
        assert!(!meta.uncertain);
        assert_eq!(meta.recipients[0].done, Some(Done::Sent));
        assert_eq!(meta.pending().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_attempt_closed_without_content_leaves_what_was_known_before() {
        let mut meta = meta(1);
        meta.apply(&mark(&[0]));
        meta.apply(&Record::Closed);
        assert!(!meta.uncertain);
        assert_eq!(meta.attempts, 0);
        meta.apply(&outcome(0, OutcomeKind::Uncertain));
        meta.apply(&mark(&[0]));
        meta.apply(&Record::Closed);
        assert!(meta.uncertain);
    }

    #[test]
    fn a_crashed_attempt_is_not_closed_by_a_later_one() {
        let mut meta = meta(2);
        meta.apply(&mark(&[0]));
        meta.apply(&mark(&[1]));
        meta.apply(&Record::Closed);
        assert!(meta.recipients[0].uncertain && !meta.recipients[1].uncertain);
    }

    #[test]
    fn the_first_final_outcome_stands() {
        let mut meta = meta(1);
        meta.apply(&outcome(0, OutcomeKind::Sent));
        meta.apply(&outcome(0, OutcomeKind::Failed));
        assert_eq!(meta.recipients[0].done, Some(Done::Sent));
        assert!(meta.is_finished());
    }

    fn any_record() -> impl Strategy<Value = Record> {
        use OutcomeKind::{Deferred, Expired, Failed, Sent, Uncertain};
        let kinds = prop::sample::select(vec![Sent, Deferred, Uncertain, Failed, Expired]);
        let places = prop::collection::btree_set(0u32..4, 1..4);
        prop_oneof![
            places.prop_map(|set| mark(&set.into_iter().collect::<Vec<_>>())),
            (0u32..4, kinds).prop_map(|(place, kind)| outcome(place, kind)),
            Just(Record::Closed),
        ]
    }

    proptest! {
        #[test]
        fn a_snapshot_makes_the_same_state(records in prop::collection::vec(any_record(), 0..12)) {
            let mut one = meta(4);
            records.iter().for_each(|record| one.apply(record));
            let mut other = meta(4);
            one.snapshot().iter().for_each(|record| other.apply(record));
            prop_assert_eq!(one, other);
        }
    }
}
