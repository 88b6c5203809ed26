//! The line of messages that are ready to go through one gateway, and whose turn it is (I7).
//!
//! Turns go round the submitters that have mail in line, and within one submitter round its
//! senders. Messages of one sender go by rank, which is their arrival time. Every operation is
//! O(log n) in the number of messages.

use std::collections::{BTreeMap, BTreeSet};

use mail::QueueId;

use super::origins::{Origin, OriginId, SubmitterId};

/// A place in the order of turns: lower comes sooner.
type Turn = u64;

/// An origin that is in line.
#[derive(Debug)]
struct Place {
    submitter: SubmitterId,
    /// Its messages in line; never 0.
    ready: u32,
    /// Its place among its submitter's senders.
    turn: Turn,
}

#[derive(Debug)]
struct Submitter {
    /// Origins of this submitter that are in line; never 0.
    origins: u32,
    turn: Turn,
}

/// Who is in line, and in which order.
#[derive(Debug, Default)]
pub(super) struct Line {
    messages: BTreeSet<(OriginId, u64, QueueId)>,
    origins: BTreeMap<OriginId, Place>,
    submitters: BTreeMap<SubmitterId, Submitter>,
    sender_turns: BTreeSet<(SubmitterId, Turn, OriginId)>,
    submitter_turns: BTreeSet<(Turn, SubmitterId)>,
    last_turn: Turn,
}

impl Line {
    /// Puts a message in line.
    pub(super) fn push(&mut self, origin: Origin, rank: u64, id: QueueId) {
        if !self.messages.insert((origin.id, rank, id)) {
            return;
        }
        match self.origins.get_mut(&origin.id) {
            Some(place) => place.ready += 1,
            None => self.admit(origin),
        }
    }

    /// Takes a message out of the line, whoever's turn it is.
    pub(super) fn remove(&mut self, origin: OriginId, rank: u64, id: QueueId) {
        if self.messages.remove(&(origin, rank, id)) {
            self.count_out(origin);
        }
    }

    /// Gives a turn: to the first message of the origin that has waited longest for one, which then
    /// goes to the end of the round. The message stays in line.
    pub(super) fn give_turn(&mut self) -> Option<(OriginId, u64, QueueId)> {
        let (submitter, first) = self.head()?;
        self.take_turn(submitter, first.0);
        Some(first)
    }

    /// Whose turn is next: the submitter, and its message.
    pub(super) fn head(&self) -> Option<(SubmitterId, (OriginId, u64, QueueId))> {
        let &(_, submitter) = self.submitter_turns.first()?;
        let &(_, _, origin) = self
            .sender_turns
            .range((submitter, 0, OriginId::FIRST)..)
            .next()?;
        let first = (origin, 0, QueueId::from_number(0));
        Some((submitter, *self.messages.range(first..).next()?))
    }

    /// Messages in line.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// An origin got its first message in line: it takes the last turn of its submitter.
    fn admit(&mut self, origin: Origin) {
        let turn = self.new_turn();
        let Origin { id, submitter } = origin;
        let place = Place {
            submitter,
            ready: 1,
            turn,
        };
        self.origins.insert(id, place);
        self.sender_turns.insert((submitter, turn, id));
        let row = self
            .submitters
            .entry(submitter)
            .or_insert(Submitter { origins: 0, turn });
        row.origins += 1;
        if row.origins == 1 {
            self.submitter_turns.insert((turn, submitter));
        }
    }

    /// One message of this origin left the line; the last one takes the origin's turn with it.
    fn count_out(&mut self, origin: OriginId) {
        let Some(entry) = self.origins.get_mut(&origin) else {
            return;
        };
        entry.ready -= 1;
        if entry.ready > 0 {
            return;
        }
        let submitter = entry.submitter;
        self.sender_turns.remove(&(submitter, entry.turn, origin));
        self.origins.remove(&origin);
        let Some(row) = self.submitters.get_mut(&submitter) else {
            return;
        };
        row.origins -= 1;
        if row.origins == 0 {
            self.submitter_turns.remove(&(row.turn, submitter));
            self.submitters.remove(&submitter);
        }
    }

    /// Moves an origin and its submitter to the end of their rounds.
    fn take_turn(&mut self, submitter: SubmitterId, origin: OriginId) {
        let turn = self.new_turn();
        if let Some(entry) = self.origins.get_mut(&origin) {
            self.sender_turns.remove(&(submitter, entry.turn, origin));
            entry.turn = turn;
            self.sender_turns.insert((submitter, turn, origin));
        }
        if let Some(row) = self.submitters.get_mut(&submitter) {
            self.submitter_turns.remove(&(row.turn, submitter));
            row.turn = turn;
            self.submitter_turns.insert((turn, submitter));
        }
    }

    fn new_turn(&mut self) -> Turn {
        self.last_turn += 1;
        self.last_turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::OriginKey;

    fn origin(submitter: &str, sender: &str) -> Origin {
        Origin::of(&OriginKey {
            submitter: submitter.into(),
            sender: sender.into(),
        })
    }

    struct Fixture {
        line: Line,
        next: u64,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                line: Line::default(),
                next: 0,
            }
        }

        /// Puts one message of an origin in line; ranks grow with time.
        fn push(&mut self, submitter: &str, sender: &str) -> QueueId {
            self.next += 1;
            let id = QueueId::from_number(self.next);
            self.line.push(origin(submitter, sender), self.next, id);
            id
        }

        fn pops(&mut self, count: usize) -> Vec<u64> {
            (0..count)
                .filter_map(|_| {
                    let (origin, rank, id) = self.line.give_turn()?;
                    self.line.remove(origin, rank, id);
                    Some(id.number())
                })
                .collect()
        }
    }

    #[test]
    fn one_sender_goes_by_arrival() {
        let mut fixture = Fixture::new();
        for _ in 0..4 {
            fixture.push("uid 1", "a@x");
        }
        assert_eq!(fixture.pops(9), [1, 2, 3, 4]);
    }

    #[test]
    fn a_backlog_delays_another_submitter_by_one_turn() {
        let mut fixture = Fixture::new();
        for _ in 0..10_000 {
            fixture.push("uid 1", "a@x");
        }
        fixture.pops(10);
        let other = fixture.push("uid 2", "b@x");
        let soon = fixture.pops(2);
        assert!(soon.contains(&other.number()), "{soon:?}");
    }

    #[test]
    fn submitters_share_evenly_however_many_senders_one_has() {
        let mut fixture = Fixture::new();
        for n in 0..300 {
            fixture.push("uid 1", &format!("s{}@x", n % 30));
        }
        let first_of_two = fixture.next + 1;
        for _ in 0..100 {
            fixture.push("uid 2", "b@x");
        }
        let of_two = fixture
            .pops(100)
            .into_iter()
            .filter(|&n| n >= first_of_two)
            .count();
        assert_eq!(of_two, 50);
    }

    #[test]
    fn senders_of_one_submitter_take_turns() {
        let mut fixture = Fixture::new();
        for sender in ["a", "a", "a", "b", "b", "c"] {
            fixture.push("uid 1", sender);
        }
        assert_eq!(fixture.pops(6), [1, 4, 6, 2, 5, 3]);
    }

    #[test]
    fn nothing_is_left_behind() {
        let mut fixture = Fixture::new();
        let one = |n: u64| origin(&format!("uid {}", n % 7), &format!("s{}", n % 11));
        for n in 0..200 {
            fixture.line.push(one(n), n, QueueId::from_number(n));
        }
        for n in (0..200).step_by(3) {
            let id = QueueId::from_number(n);
            fixture.line.remove(one(n).id, n, id);
        }
        assert_eq!(fixture.pops(500).len(), 200 - 67);
        let line = fixture.line;
        assert!(line.messages.is_empty() && line.origins.is_empty() && line.submitters.is_empty());
        assert!(line.sender_turns.is_empty() && line.submitter_turns.is_empty());
    }
}
