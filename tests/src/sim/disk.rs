//! The spool as a power failure sees it: what is durable, and what may or may not be there after.
//!
//! One entry is one file with appended records, as in the product's spool. A prefix of the records
//! is durable; those after it survive a kill, and a power failure keeps any number of them. A name
//! removed but not yet synced may come back.

use std::collections::BTreeMap;

use super::plan::{MILLI, Micros};
use super::random::Random;
use super::world::Broken;

/// A set of recipients of one message, one bit each.
pub(super) type Mask = u8;

/// One appended record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Content for these recipients is about to be sent through this gateway.
    Attempt(Mask, usize),
    /// The attempt ended before its content was sent.
    Cancelled,
    /// These are to be tried again: the gateway said so.
    Deferred(Mask),
    /// These are done, for better or worse.
    Done(Mask),
}

/// What the records of an entry say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Recipients that are done.
    pub(super) done: Mask,
    /// Recipients of an attempt without a recorded end.
    pub(super) open: Mask,
    /// Recipients of earlier attempts that never got one: they may have the message.
    pub(super) doubt: Mask,
    /// The gateways of the open attempt and of the latest that never got an end.
    open_at: usize,
    doubt_at: usize,
    /// Attempts that were about the message.
    pub(super) attempts: u32,
}

impl State {
    /// Recipients that may have the message although nothing says so.
    pub(super) const fn uncertain(&self) -> Mask {
        (self.open | self.doubt) & !self.done
    }

    /// The gateway that may have the message although nothing says so.
    pub(super) const fn uncertain_at(&self) -> Option<usize> {
        if self.open & !self.done != 0 {
            Some(self.open_at)
        } else if self.uncertain() != 0 {
            Some(self.doubt_at)
        } else {
            None
        }
    }

    const fn take(mut self, record: Record) -> Self {
        match record {
            Record::Attempt(mask, gateway) => {
                if self.open != 0 {
                    self.doubt |= self.open;
                    self.doubt_at = self.open_at;
                }
                self.open = mask;
                self.open_at = gateway;
                self.attempts += 1;
            }
            Record::Cancelled => {
                self.open = 0;
                self.attempts -= 1;
            }
            Record::Deferred(mask) => self.open &= !mask,
            Record::Done(mask) => {
                self.done |= mask;
                self.open &= !mask;
            }
        }
        self
    }
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Wall-clock arrival in microseconds.
    pub(super) arrival: u64,
    /// It lies in `hold/`.
    pub(super) held: bool,
    /// What the durable records say.
    durable: State,
    /// Records after those.
    written: Vec<Record>,
    unlinked: bool,
}

impl Entry {
    pub(super) fn state(&self) -> State {
        self.written
            .iter()
            .fold(self.durable, |state, record| state.take(*record))
    }

    /// What would be known after a power failure now, at least.
    pub(super) const fn durable_state(&self) -> State {
        self.durable
    }

    fn sync(&mut self) {
        self.durable = self.state();
        self.written.clear();
    }
}

/// All files, by message number.
#[derive(Debug, Default)]
pub(super) struct Disk {
    entries: BTreeMap<u64, Entry>,
    /// Entries with records that are not durable.
    dirty: Vec<u64>,
    /// Unlinked names that are not durable.
    unsynced_names: Vec<u64>,
    /// When the oldest record was written that is not durable.
    dirty_since: Option<Micros>,
}

impl Disk {
    /// Makes an entry, durable at once: the caller waits for the fsync before it acknowledges.
    pub(super) fn create(&mut self, id: u64, arrival: u64) {
        let entry = Entry {
            arrival,
            held: false,
            durable: State::default(),
            written: Vec::new(),
            unlinked: false,
        };
        self.entries.insert(id, entry);
    }

    /// An entry whose name is there.
    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id).filter(|entry| !entry.unlinked)
    }

    /// Appends a record; not durable yet.
    pub(super) fn append(&mut self, id: u64, record: Record, now: Micros) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.written.push(record);
            self.dirty.push(id);
            self.dirty_since.get_or_insert(now);
        }
    }

    /// Appends a record durably, with all before it.
    pub(super) fn append_durably(&mut self, id: u64, record: Record) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.written.push(record);
            entry.sync();
        }
    }

    /// Makes all records durable. Returns the entries concerned.
    pub(super) fn sync(&mut self) -> Vec<u64> {
        let dirty = std::mem::take(&mut self.dirty);
        self.dirty_since = None;
        for id in &dirty {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.sync();
            }
        }
        dirty
    }

    /// What happened is durable within 100 ms (I3).
    pub(super) fn check_durable_in_time(&self, now: Micros) -> Result<(), Broken> {
        match self.dirty_since {
            Some(since) if now > since + 100 * MILLI => {
                Err("I3: a record is not durable after 100 ms".into())
            }
            _ => Ok(()),
        }
    }

    /// Removes the name; not durable yet.
    pub(super) fn unlink(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.unlinked = true;
            self.unsynced_names.push(id);
        }
    }

    /// Makes removed names durable.
    pub(super) fn sync_names(&mut self) {
        for id in std::mem::take(&mut self.unsynced_names) {
            self.entries.remove(&id);
        }
    }

    /// Moves an entry into `hold/` or out of it.
    pub(super) fn set_held(&mut self, id: u64, held: bool) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.held = held;
        }
    }

    /// The machine loses power: of what is not durable, chance keeps some.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        for entry in self.entries.values_mut() {
            let kept = random.between(0, entry.written.len() as u64);
            entry
                .written
                .truncate(usize::try_from(kept).expect("no more than were written"));
            entry.unlinked &= !random.one_in(2);
        }
        self.settle();
    }

    /// The process is killed: the kernel keeps what was written.
    pub(super) fn survive_kill(&mut self) {
        self.settle();
    }

    /// What is left is what recovery finds and makes durable.
    fn settle(&mut self) {
        self.dirty.clear();
        self.dirty_since = None;
        self.unsynced_names.clear();
        self.entries.retain(|_, entry| !entry.unlinked);
        for entry in self.entries.values_mut() {
            entry.sync();
        }
    }

    /// Everything that is there, by number.
    pub(super) fn scan(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries
            .iter()
            .filter(|(_, entry)| !entry.unlinked)
            .map(|(id, entry)| (*id, entry))
    }
}
