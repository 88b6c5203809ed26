//! Which files of maildrop were taken in, so that none is taken in twice.
//!
//! An entry made from a file in maildrop names that file. While it has not been attempted, the
//! file may still be there, or may come back after a crash. So before the first attempt the file
//! is removed and the folder synced; both happen here, for many entries at once.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::sync::Mutex;

use mail::QueueId;
use nix::errno::Errno;

use crate::disk::Disk;
use crate::error::{ErrorKind, SpoolError};
use crate::folders::is;
use crate::maildrop::DropName;
use crate::meta::{Meta, Source};
use crate::spool::{Inner, Spool, locked};

/// Names of things that cannot be moved out of maildrop are remembered up to this many.
const REPORTED_MAX: usize = 1024;

/// What is known about the files in maildrop.
#[derive(Default)]
pub(crate) struct Drops {
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// Whether the entries were scanned, without which nothing can be told.
    scanned: bool,
    /// Entries whose file in maildrop may still be there.
    pending: HashMap<DropName, Pending>,
    /// Files that the caller holds as `Submission`.
    in_hand: HashSet<DropName>,
    /// What was reported and could not be moved away.
    reported: HashSet<OsString>,
}

#[derive(Clone, Copy)]
struct Pending {
    id: QueueId,
    /// The entry was synced by this process. One found at start may be in memory only, if the
    /// process that made it was killed.
    durable: bool,
    /// A sync failed: whether the file comes back after a crash is not known.
    failed: bool,
}

impl Drops {
    /// An entry was accepted.
    pub(crate) fn committed(&self, meta: &Meta) {
        self.enter(meta, true);
    }

    /// An entry was found at start.
    pub(crate) fn found(&self, meta: &Meta) {
        if meta.attempts == 0 && meta.last_attempt.is_none() {
            self.enter(meta, false);
        }
    }

    fn enter(&self, meta: &Meta, durable: bool) {
        if let Some(Source::Drop(name)) = meta.source {
            let pending = Pending {
                id: meta.id,
                durable,
                failed: false,
            };
            locked(&self.ledger).pending.insert(name, pending);
        }
    }

    pub(crate) fn scanned(&self) {
        locked(&self.ledger).scanned = true;
    }

    pub(crate) fn is_scanned(&self) -> bool {
        locked(&self.ledger).scanned
    }

    /// The entry that was made from this file.
    pub(crate) fn taken_as(&self, name: DropName) -> Option<QueueId> {
        locked(&self.ledger)
            .pending
            .get(&name)
            .map(|pending| pending.id)
    }

    /// Whether the caller may have this file now.
    pub(crate) fn take_in_hand(&self, name: DropName) -> bool {
        locked(&self.ledger).in_hand.insert(name)
    }

    pub(crate) fn out_of_hand(&self, name: DropName) {
        locked(&self.ledger).in_hand.remove(&name);
    }

    /// Whether a thing that stays in maildrop is to be reported: once.
    pub(crate) fn is_news(&self, name: OsString) -> bool {
        let mut ledger = locked(&self.ledger);
        ledger.reported.len() < REPORTED_MAX && ledger.reported.insert(name)
    }

    /// Whether the caller holds this file now, or was told that it can be neither read nor moved,
    /// or its removal is in doubt.
    pub(crate) fn is_left_alone(&self, name: DropName) -> bool {
        let ledger = locked(&self.ledger);
        let failed = ledger
            .pending
            .get(&name)
            .is_some_and(|pending| pending.failed);
        failed || ledger.in_hand.contains(&name) || ledger.reported.contains(&name.file_name())
    }

    /// Whether this thing that stays in maildrop was reported.
    pub(crate) fn was_reported(&self, name: &OsStr) -> bool {
        locked(&self.ledger).reported.contains(name)
    }

    fn names(&self) -> Vec<DropName> {
        locked(&self.ledger).pending.keys().copied().collect()
    }

    fn get(&self, name: DropName) -> Option<Pending> {
        locked(&self.ledger).pending.get(&name).copied()
    }

    fn set(&self, name: DropName, pending: Pending) {
        locked(&self.ledger).pending.insert(name, pending);
    }

    fn forget(&self, name: DropName) {
        locked(&self.ledger).pending.remove(&name);
    }

    fn of_entry(&self, id: QueueId) -> Option<Pending> {
        let ledger = locked(&self.ledger);
        ledger
            .pending
            .values()
            .find(|pending| pending.id == id)
            .copied()
    }
}

impl<D: Disk> Spool<D> {
    /// Removes the files in maildrop whose entries are accepted, and makes that durable: one sync
    /// for all. To be called after a round of intake, before the first attempts; otherwise the
    /// first attempt of each such entry does it.
    ///
    /// # Errors
    ///
    /// What the disk says. After a failed sync the entries made from these files are not
    /// attempted before relayd is started anew, since a crash might bring the files back.
    pub fn sync_maildrop(&self) -> Result<(), SpoolError> {
        self.inner.settle_all()
    }
}

impl<D: Disk> Inner<D> {
    /// Makes sure that no file in maildrop can become this entry once more.
    pub(crate) fn settle(&self, id: QueueId) -> Result<(), SpoolError> {
        if self.drops.of_entry(id).is_none() {
            return Ok(());
        }
        let settled = self.settle_all();
        match self.drops.of_entry(id) {
            None => Ok(()),
            Some(_) => settled.and(Err(self.unsettled())),
        }
    }

    fn settle_all(&self) -> Result<(), SpoolError> {
        let (mut removed, mut first) = (Vec::new(), Ok(()));
        for name in self.drops.names() {
            match self.remove_drop(name) {
                Ok(true) => removed.push(name),
                Ok(false) => {}
                Err(error) => first = first.and(Err(error)),
            }
        }
        if removed.is_empty() {
            return first;
        }
        let folder = &self.folders.maildrop;
        let synced = self.disk.sync_dir(&folder.dir);
        match &synced {
            Ok(()) => removed.iter().for_each(|name| self.drops.forget(*name)),
            Err(_) => removed.iter().for_each(|name| self.fail(*name)),
        }
        first.and(synced.map_err(|error| SpoolError::io("sync", &folder.path, error)))
    }

    /// Removes a file in maildrop, if the entry made from it is safe; the removal is durable
    /// after a sync. `false` if there is no such entry (any more): then the file, if it is still
    /// there, is a submission like any other.
    pub(crate) fn remove_drop(&self, name: DropName) -> Result<bool, SpoolError> {
        let Some(mut pending) = self.drops.get(name) else {
            return Ok(false);
        };
        if pending.failed {
            return Err(self.unsettled());
        }
        if !pending.durable {
            if !self.make_durable(name, pending.id)? {
                self.drops.forget(name);
                return Ok(false);
            }
            pending.durable = true;
            self.drops.set(name, pending);
        }
        let folder = &self.folders.maildrop;
        match self.disk.remove(&folder.dir, &name.file_name()) {
            Err(error) if !is(&error, Errno::ENOENT) => Err(SpoolError::io(
                "remove",
                folder.path.join(name.to_string()),
                error,
            )),
            _ => Ok(true),
        }
    }

    /// Makes sure of an entry that was found at start. If the process that made it was killed,
    /// the entry may be in memory only, or a power cut may have left it without its content;
    /// until this is done the file in maildrop is the only safe copy. `false` if there is no such
    /// entry, or none that is whole.
    fn make_durable(&self, name: DropName, id: QueueId) -> Result<bool, SpoolError> {
        let queue = match self.verify(id) {
            Ok(queue) => queue,
            Err(error) if error.is_no_such_entry() => return Ok(false),
            Err(SpoolError {
                kind: ErrorKind::Damaged(_),
                ..
            }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let (_, file, _) = self.open_entry(id, false)?;
        let synced = self.disk.sync(&file);
        let synced = synced.and_then(|()| self.disk.sync_dir(&self.folders.of(queue, id).dir));
        synced.map(|()| true).map_err(|error| {
            self.fail(name);
            SpoolError::io("sync", self.path(queue, id), error)
        })
    }

    fn fail(&self, name: DropName) {
        if let Some(pending) = self.drops.get(name) {
            self.drops.set(
                name,
                Pending {
                    failed: true,
                    ..pending
                },
            );
        }
    }

    fn unsettled(&self) -> SpoolError {
        SpoolError::new("sync", &self.folders.maildrop.path, ErrorKind::Poisoned)
    }
}
