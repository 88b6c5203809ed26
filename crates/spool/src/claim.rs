//! Working on one entry: marking attempts and recording what came of them.

use std::fmt;
use std::io;
use std::sync::Arc;

use mail::QueueId;

use crate::content::Content;
use crate::disk::{Disk, RealDisk};
use crate::entry::{self, Entry, Fault, Tail};
use crate::error::{Damage, ErrorKind, SpoolError};
use crate::format::Header;
use crate::journal::{self, Record};
use crate::meta::{AttemptMark, Meta, Outcome, Queue};
use crate::spool::{Inner, Spool};
use crate::writer::write_all;

/// A journal longer than this is rewritten as the state it leads to, if it has doubled since.
const JOURNAL_LONG: u64 = 16 << 20;

/// An entry that is being worked on. Holds the entry's lock until it is dropped.
pub struct Claim<D: Disk = RealDisk> {
    pub(crate) inner: Arc<Inner<D>>,
    pub(crate) file: Arc<D::File>,
    pub(crate) header: Header,
    pub(crate) meta: Meta,
    /// Where the journal on disk ends, and the checksum after `unwritten`.
    pub(crate) tail: Tail,
    /// Records that a full disk did not take. The next write tries them again.
    pub(crate) unwritten: Vec<u8>,
    /// Where the journal ended when the file was made.
    pub(crate) first_tail: u64,
}

impl<D: Disk> fmt::Debug for Claim<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.meta.id).finish()
    }
}

impl<D: Disk> Spool<D> {
    /// Takes an entry to work on it.
    ///
    /// # Errors
    ///
    /// `NoSuchEntry`; `Busy` if it is claimed; `Damaged`, and then it was moved to `corrupt`;
    /// what the disk says.
    pub fn claim(&self, id: QueueId) -> Result<Claim<D>, SpoolError> {
        let inner = Arc::clone(&self.inner);
        let (queue, file, size) = inner.open_locked(id)?;
        let misplaced = |entry: Entry| match entry.header.id == id {
            true => Ok(entry),
            false => Err(Fault::Damage(Damage::Misplaced)),
        };
        let read = entry::read(&*inner.disk, &file, size, queue).and_then(misplaced);
        let Entry { header, meta, tail } =
            read.map_err(|fault| inner.unreadable(id, queue, fault))?;
        let (file, first_tail, unwritten) = (Arc::new(file), header.content_end(), Vec::new());
        Ok(Claim {
            inner,
            file,
            header,
            meta,
            tail,
            unwritten,
            first_tail,
        })
    }
}

impl<D: Disk> Inner<D> {
    /// Opens and locks an entry that still has its name afterwards; gives its size too.
    fn open_locked(&self, id: QueueId) -> Result<(Queue, D::File, u64), SpoolError> {
        // Once more for each time that the entry was rewritten between opening and locking.
        for _ in 0..3 {
            let (queue, file, _) = self.open_entry(id, true)?;
            let fault = |error| SpoolError::io("lock", self.path(queue, id), error);
            if !self.disk.lock(&file).map_err(fault)? {
                return Err(SpoolError::new(
                    "claim",
                    self.path(queue, id),
                    ErrorKind::Busy,
                ));
            }
            let facts = self.disk.facts(&file).map_err(fault)?;
            if facts.links > 0 {
                return Ok((queue, file, facts.size));
            }
        }
        Err(self.no_such(id))
    }
}

impl<D: Disk> Claim<D> {
    /// The claim of an entry that was accepted just now through this file, which is locked.
    pub(crate) fn fresh(
        inner: &Arc<Inner<D>>,
        file: Arc<D::File>,
        header: &Header,
        meta: Meta,
    ) -> Self {
        let tail = entry::journal_start(header);
        Self {
            inner: Arc::clone(inner),
            file,
            header: *header,
            meta,
            tail,
            unwritten: Vec::new(),
            first_tail: tail.offset,
        }
    }

    /// What is known about the entry, up to date with what was recorded through this claim.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The entry's content, its checksum verified.
    ///
    /// # Errors
    ///
    /// As [`Spool::content`].
    pub fn content(&self) -> Result<Content<D>, SpoolError> {
        let (disk, file) = (Arc::clone(&self.inner.disk), Arc::clone(&self.file));
        let mut content = entry::content(disk, file, &self.header);
        match content
            .verify()
            .map_err(|error| self.fault("read", error))?
        {
            true => Ok(content),
            false => {
                let why = Damage::ContentChecksum.into();
                // Where it lies now: it may have been moved since it was claimed.
                let queue = self.inner.find(self.meta.id)?;
                Err(self.inner.unreadable(self.meta.id, queue, why))
            }
        }
    }

    /// Marks that content is about to be sent to these recipients. When this returns, the mark
    /// is durable; when it fails, nothing may be sent (I4).
    ///
    /// # Errors
    ///
    /// `Refused` if a recipient does not exist or is done already (I3), or if there is none;
    /// `Poisoned`; what the disk says.
    pub fn mark_attempt(&mut self, mark: &AttemptMark) -> Result<(), SpoolError> {
        self.check_pending(mark.recipients.iter().copied())?;
        if mark.recipients.is_empty() {
            return Err(self.refused("an attempt has recipients"));
        }
        self.inner.settle(self.meta.id)?;
        self.shorten()?;
        let record = Record::Attempt(mark.clone());
        let (chain, length) = (self.tail.chain, self.unwritten.len());
        if let Err(error) = self.append(std::slice::from_ref(&record)) {
            // Not sent, so not to be written later either.
            self.tail.chain = chain;
            self.unwritten.truncate(length);
            return Err(error);
        }
        self.sync()?;
        self.meta.apply(&record);
        Ok(())
    }

    /// Records that the attempt ended before content was sent, so that nothing is uncertain.
    /// Need not be durable: forgotten, it leaves the recipients uncertain without cause.
    ///
    /// # Errors
    ///
    /// As [`Claim::record`].
    pub fn close_attempt(&mut self) -> Result<(), SpoolError> {
        self.meta.apply(&Record::Closed);
        self.append(&[Record::Closed])
    }

    /// Records what happened to some recipients. Durable after [`Claim::sync`], or when the
    /// entry was retired and [`crate::Spool::sync_retired`] has returned; one of them is to
    /// follow within 100 ms (I3).
    ///
    /// # Errors
    ///
    /// `Refused` if a recipient does not exist or is done already, and then nothing is recorded.
    /// After any other error [`Claim::meta`] has the outcomes and the file does not: the caller
    /// keeps the claim, and they are written by the next call that succeeds, or by
    /// [`Claim::rewrite`] where the error is `Poisoned`.
    pub fn record(&mut self, outcomes: &[Outcome]) -> Result<(), SpoolError> {
        self.record_later(outcomes)?;
        self.append(&[])
    }

    /// As [`Claim::record`], but nothing is written before the next call that writes. For an entry
    /// that is finished by this and retired at once: its removal is all the record there need be.
    ///
    /// # Errors
    ///
    /// `Refused` as [`Claim::record`].
    pub fn record_later(&mut self, outcomes: &[Outcome]) -> Result<(), SpoolError> {
        self.check_pending(outcomes.iter().map(|outcome| outcome.recipient))?;
        for group in journal::group(outcomes) {
            let record = Record::Outcome(group);
            self.meta.apply(&record);
            self.take_down(&record);
        }
        Ok(())
    }

    /// Makes durable all that was recorded.
    ///
    /// # Errors
    ///
    /// What the disk says. After a failed sync the file is `Poisoned`: what it says later cannot
    /// be trusted, and only [`Claim::rewrite`] helps (I2).
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        self.append(&[])?;
        self.inner.disk.sync_data(&self.file).map_err(|error| {
            self.inner.poisoned().insert(self.meta.id);
            self.fault("sync", error)
        })
    }

    /// Adds records to the journal, after those that could not be written before.
    fn append(&mut self, records: &[Record]) -> Result<(), SpoolError> {
        records.iter().for_each(|record| self.take_down(record));
        if self.inner.poisoned().contains(&self.meta.id) {
            let path = self.path();
            return Err(SpoolError::new("write", path, ErrorKind::Poisoned));
        }
        let written = write_all(
            &*self.inner.disk,
            &self.file,
            &self.unwritten,
            self.tail.offset,
        );
        written.map_err(|error| self.fault("write", error))?;
        self.tail.offset += self.unwritten.len() as u64;
        self.unwritten.clear();
        Ok(())
    }

    /// Makes a record ready to be written.
    fn take_down(&mut self, record: &Record) {
        self.tail.chain = journal::append(&mut self.unwritten, self.tail.chain, record);
    }

    /// Keeps the journal bounded, whatever is recorded in it over the days.
    fn shorten(&mut self) -> Result<(), SpoolError> {
        let length = |end: u64| end - self.header.content_end();
        let now = length(self.tail.offset);
        if now > JOURNAL_LONG && now > 2 * length(self.first_tail) {
            self.rewrite()
        } else {
            Ok(())
        }
    }

    fn check_pending(&self, mut places: impl Iterator<Item = u32>) -> Result<(), SpoolError> {
        let states = &self.meta.recipients;
        let pending = |place| {
            states
                .get(place as usize)
                .is_some_and(|state| state.done.is_none())
        };
        match places.all(pending) {
            true => Ok(()),
            false => Err(self.refused("the recipient is done, or there is no such one")),
        }
    }

    fn refused(&self, why: &'static str) -> SpoolError {
        SpoolError::refused("record in", self.path(), why)
    }

    pub(crate) fn fault(&self, op: &'static str, error: io::Error) -> SpoolError {
        SpoolError::io(op, self.path(), error)
    }

    /// The path when the entry was claimed.
    fn path(&self) -> std::path::PathBuf {
        self.inner.path(self.meta.queue, self.meta.id)
    }
}
