//! The line of messages that are ready to go, and whose turn it is (I7).
//!
//! Turns go round the submitters that have mail in line, and within one submitter round its
//! senders. Messages of one sender go by rank, which is their arrival time. Every operation is
//! O(log n) in the number of messages.
//!
//! Names are kept as 64-bit hashes, so that a long sender costs no memory for each message. Two
//! names that collide share their turns, which does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use mail::QueueId;

use super::facts::OriginKey;

/// One (submitter, sender) pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OriginId(u64);

/// A place in the order of turns: lower comes sooner.
type Turn = u64;

#[derive(Debug)]
struct Origin {
    submitter: u64,
    /// Messages of this origin that the scheduler knows, in line or not.
    members: u32,
    /// Of these, in line.
    ready: u32,
    /// Its place among its submitter's senders while `ready` is above 0.
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
    origins: BTreeMap<OriginId, Origin>,
    /// Submitters that are in line.
    submitters: BTreeMap<u64, Submitter>,
    sender_turns: BTreeSet<(u64, Turn, OriginId)>,
    submitter_turns: BTreeSet<(Turn, u64)>,
    last_turn: Turn,
}

impl Line {
    /// Counts a message in. Every `join` is followed by one [`Line::leave`].
    pub(super) fn join(&mut self, key: &OriginKey) -> OriginId {
        let submitter = hash(&key.submitter);
        let id = OriginId(hash(&(submitter, &key.sender)));
        let fresh = Origin {
            submitter,
            members: 0,
            ready: 0,
            turn: 0,
        };
        self.origins.entry(id).or_insert(fresh).members += 1;
        id
    }

    /// Counts a message out, once it is not in line.
    pub(super) fn leave(&mut self, origin: OriginId) {
        if let Some(entry) = self.origins.get_mut(&origin) {
            entry.members = entry.members.saturating_sub(1);
            if entry.members == 0 {
                self.origins.remove(&origin);
            }
        }
    }

    /// Puts a message in line.
    pub(super) fn push(&mut self, origin: OriginId, rank: u64, id: QueueId) {
        if !self.messages.insert((origin, rank, id)) {
            return;
        }
        let Some(entry) = self.origins.get_mut(&origin) else {
            return;
        };
        entry.ready += 1;
        if entry.ready == 1 {
            self.admit(origin);
        }
    }

    /// Takes a message out of the line, whoever's turn it is.
    pub(super) fn remove(&mut self, origin: OriginId, rank: u64, id: QueueId) {
        if self.messages.remove(&(origin, rank, id)) {
            self.count_out(origin);
        }
    }

    /// Takes the message whose turn it is; its origin goes to the end of the round.
    pub(super) fn pop(&mut self) -> Option<QueueId> {
        let &(_, submitter) = self.submitter_turns.first()?;
        let &(_, _, origin) = self
            .sender_turns
            .range((submitter, 0, OriginId(0))..)
            .next()?;
        let &(_, rank, id) = self
            .messages
            .range((origin, 0, QueueId::from_number(0))..)
            .next()?;
        self.take_turn(submitter, origin);
        self.remove(origin, rank, id);
        Some(id)
    }

    /// Messages in line.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Origins with any message known.
    pub(super) fn origins(&self) -> usize {
        self.origins.len()
    }

    /// An origin got its first message in line: it takes the last turn of its submitter.
    fn admit(&mut self, origin: OriginId) {
        let turn = self.new_turn();
        let Some(entry) = self.origins.get_mut(&origin) else {
            return;
        };
        entry.turn = turn;
        let submitter = entry.submitter;
        self.sender_turns.insert((submitter, turn, origin));
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
    fn take_turn(&mut self, submitter: u64, origin: OriginId) {
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

/// A fixed hash: the same in every run, so that a simulation repeats.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let key = OriginKey {
                submitter: submitter.into(),
                sender: sender.into(),
            };
            let origin = self.line.join(&key);
            self.line.push(origin, self.next, id);
            id
        }

        fn pops(&mut self, count: usize) -> Vec<u64> {
            (0..count)
                .filter_map(|_| self.line.pop())
                .map(QueueId::number)
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
        let mut origins = Vec::new();
        for n in 0..200u64 {
            let key = OriginKey {
                submitter: format!("uid {}", n % 7),
                sender: format!("s{}", n % 11),
            };
            let origin = fixture.line.join(&key);
            fixture.line.push(origin, n, QueueId::from_number(n));
            origins.push(origin);
        }
        for n in (0..200).step_by(3) {
            fixture
                .line
                .remove(origins[n as usize], n, QueueId::from_number(n));
        }
        assert_eq!(fixture.pops(500).len(), 200 - 67);
        origins
            .into_iter()
            .for_each(|origin| fixture.line.leave(origin));
        let line = fixture.line;
        assert!(line.messages.is_empty() && line.origins.is_empty() && line.submitters.is_empty());
        assert!(line.sender_turns.is_empty() && line.submitter_turns.is_empty());
    }
}
