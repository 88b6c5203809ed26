//! The spool as relayd holds it: its folders, its locks, and what changes an entry's place.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mail::{QueueId, Timestamp};
use nix::errno::Errno;

use crate::content::Content;
use crate::disk::{Disk, Facts, RealDisk, Space};
use crate::drops::Drops;
use crate::entry::{self, Fault};
use crate::error::{Damage, ErrorKind, SpoolError};
use crate::folders::{Folder, Folders, LIVE, SHARDS, is, shard};
use crate::ids::Ids;
use crate::meta::Queue;
use crate::writer::{entry_name, no_unnamed_files, write_all};

/// The spool of one relayd. Cloning gives another handle to the same one.
///
/// All calls may be made from several threads; those on one entry are the caller's to order, for
/// which there is [`Spool::claim`].
pub struct Spool<D: Disk = RealDisk> {
    pub(crate) inner: Arc<Inner<D>>,
}

impl<D: Disk> Clone for Spool<D> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<D: Disk> fmt::Debug for Spool<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spool")
            .field(&self.inner.folders.root.path)
            .finish()
    }
}

pub(crate) struct Inner<D: Disk> {
    pub(crate) disk: Arc<D>,
    pub(crate) folders: Folders<D>,
    pub(crate) drops: Drops,
    ids: Mutex<Ids>,
    /// Folders with names removed or moved since the last sync.
    touched: Mutex<BTreeSet<(Queue, usize)>>,
    /// Entries with a file of which a sync failed.
    poisoned: Mutex<HashSet<QueueId>>,
    /// Held to the end; its lock tells another relayd that this one lives.
    _lock: D::File,
}

impl<D: Disk> Spool<D> {
    /// Opens the spool in the folder `root`: makes what folders are missing, repairs their modes,
    /// and takes `state/lock`. Call [`Spool::scan`] before anything else.
    ///
    /// # Errors
    ///
    /// `AnotherRelayd` if one runs; `Mode` if a folder is writable for others; else what the
    /// disk says.
    pub fn open(disk: D, root: &Path) -> Result<Self, SpoolError> {
        let folders = Folders::make(&disk, root)?;
        let lock = take_lock(&disk, &folders.state)?;
        clear_tmp(&disk, &folders.tmp)?;
        let largest = || largest_id(&disk, &folders);
        let ids = Ids::read(&disk, &folders.state, largest)?;
        let inner = Inner {
            disk: Arc::new(disk),
            folders,
            drops: Drops::default(),
            ids: Mutex::new(ids),
            touched: Mutex::default(),
            poisoned: Mutex::default(),
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The content of an entry. It is read once to verify its checksum before this returns.
    ///
    /// # Errors
    ///
    /// `NoSuchEntry`; `Damaged`, and then the entry was moved to `corrupt`; what the disk says.
    pub fn content(&self, id: QueueId) -> Result<Content<D>, SpoolError> {
        self.inner.verified_content(id).map(|(_, content)| content)
    }

    /// Whether there is an entry of this id, damaged or not, in one of the queues from which mail is
    /// sent. False where that cannot be told.
    #[must_use]
    pub fn holds(&self, id: QueueId) -> bool {
        let found = self.inner.folders.find(&*self.inner.disk, id);
        matches!(found, Ok(Some(_)))
    }

    /// Moves an entry to another queue. Nothing happens if it lies there already.
    ///
    /// A move to or from `hold` or `corrupt` is durable after the next [`Spool::sync_retired`];
    /// one between `incoming` and `deferred` need not be, since a crash only brings the entry
    /// back to where it was.
    ///
    /// # Errors
    ///
    /// `NoSuchEntry`; `Refused` for `maildrop`; what the disk says.
    pub fn move_to(&self, id: QueueId, to: Queue) -> Result<(), SpoolError> {
        let inner = &self.inner;
        let name = entry_name(id);
        if to == Queue::Maildrop {
            let path = inner.folders.maildrop.path.join(name);
            return Err(SpoolError::refused(
                "move",
                path,
                "nothing is moved to maildrop",
            ));
        }
        let from = inner.find(id)?;
        if from == to {
            return Ok(());
        }
        let (old, new) = (inner.folders.of(from, id), inner.folders.of(to, id));
        let moved = inner
            .disk
            .rename((&old.dir, &name), (&new.dir, &name), false);
        moved.map_err(|error| SpoolError::io("move", old.path.join(&name), error))?;
        if [from, to]
            .iter()
            .any(|queue| matches!(queue, Queue::Hold | Queue::Corrupt))
        {
            inner.touch(from, id);
            inner.touch(to, id);
        }
        Ok(())
    }

    /// Removes an entry: it is finished, or an admin wants it gone. Durable after the next
    /// [`Spool::sync_retired`]. Outcomes need no sync of their own when that follows in time.
    ///
    /// # Errors
    ///
    /// `NoSuchEntry`; what the disk says.
    pub fn retire(&self, id: QueueId) -> Result<(), SpoolError> {
        let inner = &self.inner;
        // A file in maildrop that is still there would bring the message back.
        inner.settle(id)?;
        let queue = inner.remove(id)?;
        inner.touch(queue, id);
        inner.poisoned().remove(&id);
        Ok(())
    }

    /// Makes durable what [`Spool::retire`] and [`Spool::move_to`] did: one sync for each folder
    /// touched since the last call. To be called at most 100 ms after them (I3).
    ///
    /// # Errors
    ///
    /// The first one, after all folders were tried. A folder whose sync failed is not tried again
    /// until it is touched again: what it lost may come back after a crash, as uncertain.
    pub fn sync_retired(&self) -> Result<(), SpoolError> {
        let touched = std::mem::take(&mut *locked(&self.inner.touched));
        let mut first = Ok(());
        for (queue, shard) in touched {
            let folder = &self.inner.folders.shards(queue)[shard];
            let synced = self.inner.disk.sync_dir(&folder.dir);
            let synced = synced.map_err(|error| SpoolError::io("sync", &folder.path, error));
            first = first.and(synced);
        }
        first
    }

    /// Room left on the spool's disk.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn space(&self) -> Result<Space, SpoolError> {
        let path = &self.inner.folders.root.path;
        self.inner
            .disk
            .space(path)
            .map_err(|error| SpoolError::io("look at", path, error))
    }

    /// The folder `state`, and the disk that it is on.
    pub(crate) fn state_folder(&self) -> (&D, &Folder<D>) {
        (&self.inner.disk, &self.inner.folders.state)
    }

    /// Whether the disk works (again): writes, syncs and reads back a file of its own in `state`.
    ///
    /// # Errors
    ///
    /// What the disk says; `Damaged` if it reads back something else.
    pub fn canary(&self) -> Result<(), SpoolError> {
        let state = &self.inner.folders.state;
        let path = state.path.join("canary");
        let sung = canary(&*self.inner.disk, state);
        match sung.map_err(|error| SpoolError::io("try the disk with", &path, error))? {
            true => Ok(()),
            false => Err(SpoolError::damaged(path, Damage::ContentChecksum)),
        }
    }
}

impl<D: Disk> Inner<D> {
    pub(crate) fn next_id(&self, now: Timestamp) -> Result<QueueId, SpoolError> {
        loop {
            let id = locked(&self.ids).next(&*self.disk, &self.folders.state, now)?;
            // Never so, unless somebody put a file there; then it must not be met.
            if !self.folders.is_taken(&*self.disk, id)? {
                return Ok(id);
            }
        }
    }

    pub(crate) fn find(&self, id: QueueId) -> Result<Queue, SpoolError> {
        let found = self.folders.find(&*self.disk, id)?;
        found.ok_or_else(|| self.no_such(id))
    }

    /// Removes an entry's name wherever it lies; gives where that was.
    fn remove(&self, id: QueueId) -> Result<Queue, SpoolError> {
        let name = entry_name(id);
        // Twice, as in `Folders::find`.
        for queue in LIVE.into_iter().chain(LIVE) {
            let folder = self.folders.of(queue, id);
            match self.disk.remove(&folder.dir, &name) {
                Ok(()) => return Ok(queue),
                Err(error) if is(&error, Errno::ENOENT) => {}
                Err(error) => {
                    return Err(SpoolError::io("remove", folder.path.join(&name), error));
                }
            }
        }
        Err(self.no_such(id))
    }

    /// Opens an entry wherever it lies.
    pub(crate) fn open_entry(
        &self,
        id: QueueId,
        write: bool,
    ) -> Result<(Queue, D::File, Facts), SpoolError> {
        let name = entry_name(id);
        // Twice, as in `Folders::find`.
        for queue in LIVE.into_iter().chain(LIVE) {
            let path = self.path(queue, id);
            let file = match self
                .disk
                .open(&self.folders.of(queue, id).dir, &name, write)
            {
                Err(error) if is(&error, Errno::ENOENT) => continue,
                file => file.map_err(|error| SpoolError::io("open", &path, error))?,
            };
            let facts = self.disk.facts(&file);
            let facts = facts.map_err(|error| SpoolError::io("look at", &path, error))?;
            return match entry::check_file(&facts) {
                Ok(()) => Ok((queue, file, facts)),
                Err(why) => Err(self.unreadable(id, queue, why.into())),
            };
        }
        Err(self.no_such(id))
    }

    /// Where an entry lies whose content was verified.
    pub(crate) fn verify(&self, id: QueueId) -> Result<Queue, SpoolError> {
        self.verified_content(id).map(|(queue, _)| queue)
    }

    /// An entry's content, verified; a damaged entry is set aside.
    pub(crate) fn verified_content(&self, id: QueueId) -> Result<(Queue, Content<D>), SpoolError> {
        let (queue, file, facts) = self.open_entry(id, false)?;
        let file = Arc::new(file);
        let read = entry::read(&*self.disk, &file, facts.size, queue);
        let header = read
            .map_err(|fault| self.unreadable(id, queue, fault))?
            .header;
        let mut content = entry::content(Arc::clone(&self.disk), file, &header);
        match content.verify() {
            Ok(true) => Ok((queue, content)),
            Ok(false) => Err(self.unreadable(id, queue, Damage::ContentChecksum.into())),
            Err(error) => Err(SpoolError::io("read", self.path(queue, id), error)),
        }
    }

    /// The error for an entry that cannot be read; where it is damaged, it is moved to `corrupt`.
    pub(crate) fn unreadable(&self, id: QueueId, queue: Queue, fault: Fault) -> SpoolError {
        let path = self.path(queue, id);
        match fault {
            Fault::Io(error) => SpoolError::io("read", path, error),
            Fault::Damage(why) => {
                let folder = self.folders.of(queue, id);
                // If the move fails, the entry stays and is found damaged again.
                let _ = self.folders.set_aside(&*self.disk, folder, &entry_name(id));
                self.touch(queue, id);
                SpoolError::damaged(path, why)
            }
        }
    }

    pub(crate) fn path(&self, queue: Queue, id: QueueId) -> PathBuf {
        self.folders.of(queue, id).path.join(entry_name(id))
    }

    pub(crate) fn touch(&self, queue: Queue, id: QueueId) {
        locked(&self.touched).insert((queue, shard(id)));
    }

    pub(crate) fn poisoned(&self) -> MutexGuard<'_, HashSet<QueueId>> {
        locked(&self.poisoned)
    }

    pub(crate) fn no_such(&self, id: QueueId) -> SpoolError {
        let path = self.folders.root.path.join(entry_name(id));
        SpoolError::new("find", path, ErrorKind::NoSuchEntry)
    }
}

/// Locks a value that no panic can leave half changed.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_lock<D: Disk>(disk: &D, state: &Folder<D>) -> Result<D::File, SpoolError> {
    let name = OsStr::new("lock");
    let path = state.path.join(name);
    let file = match disk.create_new(&state.dir, name, 0o600) {
        Err(error) if is(&error, Errno::EEXIST) => disk.open(&state.dir, name, true),
        file => file,
    };
    let file = file.map_err(|error| SpoolError::io("open", &path, error))?;
    match disk
        .lock(&file)
        .map_err(|error| SpoolError::io("lock", &path, error))?
    {
        true => Ok(file),
        false => Err(SpoolError::new("lock", path, ErrorKind::AnotherRelayd)),
    }
}

/// Removes what an earlier relayd left half made. Nothing in `tmp` is the only copy of a mail.
fn clear_tmp<D: Disk>(disk: &D, tmp: &Folder<D>) -> Result<(), SpoolError> {
    for name in tmp.names(disk)? {
        let removed = disk.remove(&tmp.dir, &name);
        removed.map_err(|error| SpoolError::io("remove", tmp.path.join(&name), error))?;
    }
    Ok(())
}

/// The largest id in the live queues, as their names tell.
fn largest_id<D: Disk>(disk: &D, folders: &Folders<D>) -> Result<Option<QueueId>, SpoolError> {
    let mut largest: Option<QueueId> = None;
    for folder in LIVE
        .iter()
        .flat_map(|queue| &folders.shards(*queue)[..SHARDS])
    {
        let mut visit = |name: &OsStr| {
            let id = name.to_str().and_then(|text| text.parse().ok());
            largest = largest.max(id);
        };
        let visited = disk.visit_names(&folder.dir, &mut visit);
        visited.map_err(|error| SpoolError::io("list", &folder.path, error))?;
    }
    Ok(largest)
}

fn canary<D: Disk>(disk: &D, state: &Folder<D>) -> io::Result<bool> {
    let name = OsStr::new("canary");
    let (file, named) = match disk.create_unnamed(&state.dir, 0o600) {
        Err(error) if no_unnamed_files(&error) => {
            let _ = disk.remove(&state.dir, name);
            (disk.create_new(&state.dir, name, 0o600)?, true)
        }
        file => (file?, false),
    };
    let (mut song, mut heard) = ([0; 512], [0; 512]);
    disk.random(&mut song)?;
    write_all(disk, &file, &song, 0)?;
    disk.sync(&file)?;
    let count = entry::read_full(disk, &file, &mut heard, 0)?;
    if named {
        disk.remove(&state.dir, name)?;
    }
    Ok(count == song.len() && heard == song)
}
