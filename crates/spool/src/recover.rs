//! What relayd finds when it starts: every entry, and everything that is none.

use std::collections::HashMap;
use std::ffi::OsStr;

use mail::{QueueId, Timestamp};
use nix::errno::Errno;

use crate::disk::{Disk, FileKind};
use crate::entry::{self, Fault};
use crate::error::{Damage, SpoolError};
use crate::folders::{Folder, Folders, clean, is, shard, shard_name};
use crate::meta::{Found, Meta, Queue};
use crate::spool::Spool;

impl<D: Disk> Spool<D> {
    /// Everything in `incoming`, `deferred` and `hold`, oldest first. What is not a whole entry
    /// is moved to `corrupt` and reported; it stops nothing (I12). The content's checksum is not
    /// looked at here but when it is read, which would else read the whole disk at every start.
    ///
    /// For the start: no entry may be moved meanwhile.
    ///
    /// # Errors
    ///
    /// Only where nothing can be told, as when there are too few descriptors or memory. An entry
    /// that the disk does not let be read is reported as damaged and left where it is.
    pub fn scan(&self) -> Result<Vec<Found>, SpoolError> {
        let inner = &self.inner;
        let scan = Scan {
            disk: &*inner.disk,
            folders: &inner.folders,
            set_aside: true,
        };
        let mut found = Vec::new();
        for queue in [Queue::Hold, Queue::Deferred, Queue::Incoming] {
            scan.queue(queue, &mut found)?;
        }
        scan.sort(&mut found);
        for one in &found {
            match one {
                Found::Entry(meta) => inner.drops.found(meta),
                Found::Damaged { .. } => {}
            }
        }
        inner.drops.scanned();
        Ok(found)
    }
}

/// One pass over the queues.
pub(crate) struct Scan<'a, D: Disk> {
    pub(crate) disk: &'a D,
    pub(crate) folders: &'a Folders<D>,
    /// Whether damaged files are moved to `corrupt`; a mere listing leaves them.
    pub(crate) set_aside: bool,
}

impl<D: Disk> Scan<'_, D> {
    /// Adds what a queue holds.
    pub(crate) fn queue(&self, queue: Queue, found: &mut Vec<Found>) -> Result<(), SpoolError> {
        for (number, folder) in self.folders.shards(queue).iter().enumerate() {
            for name in folder.names(self.disk)? {
                found.extend(self.one(queue, number, folder, &name)?);
            }
        }
        let (_, top) = self
            .folders
            .tops()
            .iter()
            .find(|(name, _)| *name == queue)
            .expect("a top");
        for name in top.names(self.disk)? {
            if !(0..self.folders.shards(queue).len()).any(|n| *name == *shard_name(n)) {
                found.push(self.damaged(queue, top, &name, Damage::Name));
            }
        }
        Ok(())
    }

    /// Sorts by age, after setting aside all but the first of entries with the same id: only a
    /// restored backup or a hand-made copy can be the reason for two.
    pub(crate) fn sort(&self, found: &mut [Found]) {
        let mut seen = HashMap::new();
        for one in found.iter_mut() {
            let Found::Entry(meta) = one else { continue };
            let (id, queue) = (meta.id, meta.queue);
            let first = *seen.entry(id).or_insert(queue);
            if first != queue {
                let (folder, name) = (self.folders.of(queue, id), id.to_string());
                *one = self.damaged(queue, folder, OsStr::new(&name), Damage::SecondOfItsId);
            }
        }
        found.sort_by_key(|one| match one {
            Found::Entry(meta) => (meta.arrival, meta.id),
            Found::Damaged { .. } => (Timestamp::default(), QueueId::from_number(0)),
        });
    }

    /// What lies under one name; nothing if it is gone meanwhile.
    fn one(
        &self,
        queue: Queue,
        number: usize,
        folder: &Folder<D>,
        name: &OsStr,
    ) -> Result<Option<Found>, SpoolError> {
        let Some(id) = name.to_str().and_then(|text| text.parse::<QueueId>().ok()) else {
            return Ok(Some(self.damaged(queue, folder, name, Damage::Name)));
        };
        let why = match self.read(queue, folder, name) {
            Ok(Some(meta)) if meta.id == id && shard(id) == number => {
                return Ok(Some(Found::Entry(Box::new(meta))));
            }
            Ok(Some(_)) => Damage::Misplaced,
            Ok(None) => return Ok(None),
            Err(Fault::Damage(why)) => why,
            Err(Fault::Io(error)) if is_about_the_file(&error) => {
                let name = clean(name);
                let why = Damage::Unreadable;
                return Ok(Some(Found::Damaged {
                    name,
                    queue,
                    why,
                    moved_to: None,
                }));
            }
            Err(Fault::Io(error)) => {
                return Err(SpoolError::io("read", folder.path.join(name), error));
            }
        };
        Ok(Some(self.damaged(queue, folder, name, why)))
    }

    fn read(&self, queue: Queue, folder: &Folder<D>, name: &OsStr) -> Result<Option<Meta>, Fault> {
        let facts = match self.disk.facts_at(&folder.dir, name) {
            Err(error) if is(&error, Errno::ENOENT) => return Ok(None),
            facts => facts?,
        };
        // Not even opened if it is no file: a FIFO or a device may do something then.
        if facts.kind != FileKind::Regular {
            return Err(Damage::NotRegular.into());
        }
        let file = match self.disk.open(&folder.dir, name, false) {
            Err(error) if is(&error, Errno::ENOENT) => return Ok(None),
            file => file?,
        };
        let facts = self.disk.facts(&file)?;
        entry::check_file(&facts)?;
        Ok(Some(entry::read(self.disk, &file, facts.size, queue)?.meta))
    }

    /// The report about something that is not an entry, after moving it to `corrupt`.
    pub(crate) fn damaged(
        &self,
        queue: Queue,
        folder: &Folder<D>,
        name: &OsStr,
        why: Damage,
    ) -> Found {
        let aside = || self.folders.set_aside(self.disk, folder, name).ok();
        let moved_to = if self.set_aside { aside() } else { None };
        Found::Damaged {
            name: clean(name),
            queue,
            why,
            moved_to,
        }
    }
}

/// Whether an error says something about this one file, not about the whole system.
pub(crate) fn is_about_the_file(error: &std::io::Error) -> bool {
    [
        Errno::EIO,
        Errno::EACCES,
        Errno::EPERM,
        Errno::ELOOP,
        Errno::ENXIO,
    ]
    .iter()
    .any(|errno| is(error, *errno))
}
