//! The folders of the spool: made, checked, and held open, so that every call is relative to an
//! open folder and nobody can swap one for a link.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use mail::QueueId;
use nix::errno::Errno;

use crate::disk::{DirUse, Disk};
use crate::error::{ErrorKind, SpoolError};
use crate::meta::Queue;
use crate::writer::entry_name;

/// How many folders a queue is split into.
pub(crate) const SHARDS: usize = 16;
/// Which bits of the id tell the folder: ids are microseconds, so one folder is used for about a
/// second, and the removals of a moment are made durable by syncing one or two folders.
const SHARD_SHIFT: u32 = 20;
/// The queues in which a live entry can lie, in the order in which they are searched.
pub(crate) const LIVE: [Queue; 3] = [Queue::Incoming, Queue::Deferred, Queue::Hold];

const ROOT_MODE: u32 = 0o711;
const PRIVATE_MODE: u32 = 0o700;
const MAILDROP_MODE: u32 = 0o1733;

/// An open folder and its path, which is for messages only.
pub(crate) struct Folder<D: Disk> {
    pub(crate) dir: D::Dir,
    pub(crate) path: PathBuf,
}

/// Every folder of a spool.
pub(crate) struct Folders<D: Disk> {
    pub(crate) root: Folder<D>,
    pub(crate) state: Folder<D>,
    pub(crate) tmp: Folder<D>,
    pub(crate) maildrop: Folder<D>,
    queues: Vec<(Queue, Vec<Folder<D>>)>,
    /// The queues' own folders, in which nothing but the shards may lie.
    tops: Vec<(Queue, Folder<D>)>,
}

impl<D: Disk> Folders<D> {
    /// Opens all folders, makes those that are missing, and makes their names durable.
    pub(crate) fn make(disk: &D, path: &Path) -> Result<Self, SpoolError> {
        match disk.make_root(path, ROOT_MODE) {
            Err(error) if !is(&error, Errno::EEXIST) => {
                return Err(SpoolError::io("make", path, error));
            }
            _ => {}
        }
        let root = open_root(disk, path)?;
        set_mode(disk, &root, ROOT_MODE)?;
        let state = make(disk, &root, "state", PRIVATE_MODE)?;
        let tmp = make(disk, &root, "tmp", PRIVATE_MODE)?;
        let maildrop = make(disk, &root, Queue::Maildrop.name(), MAILDROP_MODE)?;
        let (mut queues, mut tops) = (Vec::new(), Vec::new());
        for queue in LIVE.into_iter().chain([Queue::Corrupt]) {
            let top = make(disk, &root, queue.name(), PRIVATE_MODE)?;
            let shards = (0..SHARDS).map(|n| make(disk, &top, &shard_name(n), PRIVATE_MODE));
            queues.push((queue, shards.collect::<Result<_, _>>()?));
            tops.push((queue, top));
        }
        let folders = Self {
            root,
            state,
            tmp,
            maildrop,
            queues,
            tops,
        };
        folders.sync_parents(disk)?;
        Ok(folders)
    }

    /// Opens all folders and changes nothing.
    pub(crate) fn open(disk: &D, path: &Path) -> Result<Self, SpoolError> {
        let root = open_root(disk, path)?;
        let state = open(disk, &root, "state")?;
        let tmp = open(disk, &root, "tmp")?;
        let maildrop = open(disk, &root, Queue::Maildrop.name())?;
        let (mut queues, mut tops) = (Vec::new(), Vec::new());
        for queue in LIVE.into_iter().chain([Queue::Corrupt]) {
            let top = open(disk, &root, queue.name())?;
            let shards = (0..SHARDS).map(|n| open(disk, &top, &shard_name(n)));
            queues.push((queue, shards.collect::<Result<_, _>>()?));
            tops.push((queue, top));
        }
        Ok(Self {
            root,
            state,
            tmp,
            maildrop,
            queues,
            tops,
        })
    }

    /// Makes the folders' names durable, also those that a killed process made and did not sync:
    /// the name of a folder must not be lost with mail behind it.
    fn sync_parents(&self, disk: &D) -> Result<(), SpoolError> {
        let tops = self.tops.iter().map(|(_, top)| top);
        for folder in tops.chain([&self.root]) {
            let synced = disk.sync_dir(&folder.dir);
            synced.map_err(|error| SpoolError::io("sync", &folder.path, error))?;
        }
        Ok(())
    }

    /// The folder of an id in a queue other than maildrop.
    pub(crate) fn of(&self, queue: Queue, id: QueueId) -> &Folder<D> {
        &self.shards(queue)[shard(id)]
    }

    /// The folders of a queue other than maildrop.
    pub(crate) fn shards(&self, queue: Queue) -> &[Folder<D>] {
        let found = self.queues.iter().find(|(name, _)| *name == queue);
        &found
            .expect("maildrop has no shards and is never asked for")
            .1
    }

    /// The queues' own folders.
    pub(crate) fn tops(&self) -> &[(Queue, Folder<D>)] {
        &self.tops
    }

    /// The live queue in which an entry lies now.
    pub(crate) fn find(&self, disk: &D, id: QueueId) -> Result<Option<Queue>, SpoolError> {
        let name = entry_name(id);
        // Twice: an entry that is moved in between can be missed once, by moving behind us.
        for queue in LIVE.into_iter().chain(LIVE) {
            let folder = self.of(queue, id);
            match disk.facts_at(&folder.dir, &name) {
                Ok(_) => return Ok(Some(queue)),
                Err(error) if is(&error, Errno::ENOENT) => {}
                Err(error) => return Err(SpoolError::io("find", folder.path.join(&name), error)),
            }
        }
        Ok(None)
    }

    /// Whether something lies under an id that is to be given to a new entry, other than in
    /// `incoming`, where making the entry finds that out.
    pub(crate) fn is_taken(&self, disk: &D, id: QueueId) -> Result<bool, SpoolError> {
        let name = entry_name(id);
        for queue in LIVE.into_iter().filter(|queue| *queue != Queue::Incoming) {
            let folder = self.of(queue, id);
            match disk.facts_at(&folder.dir, &name) {
                Ok(_) => return Ok(true),
                Err(error) if is(&error, Errno::ENOENT) => {}
                Err(error) => return Err(SpoolError::io("find", folder.path.join(&name), error)),
            }
        }
        Ok(false)
    }

    /// Moves a file to `corrupt` under its own name, or that with a number if it is taken.
    /// Returns where it lies there. The name is cleaned, since anybody may choose one in maildrop.
    pub(crate) fn set_aside(
        &self,
        disk: &D,
        from: &Folder<D>,
        name: &OsStr,
    ) -> Result<String, SpoolError> {
        let clean = clean(name);
        let last = clean
            .chars()
            .last()
            .and_then(|digit| digit.to_digit(16))
            .unwrap_or(0);
        let folder = &self.shards(Queue::Corrupt)[last as usize];
        let names = (1..100).map(|n| format!("{clean}.{n}"));
        for new in std::iter::once(clean.clone()).chain(names) {
            match disk.rename((&from.dir, name), (&folder.dir, OsStr::new(&new)), false) {
                Ok(()) => return Ok(format!("{}/{new}", shard_name(last as usize))),
                Err(error) if is(&error, Errno::EEXIST) => {}
                Err(error) => return Err(SpoolError::io("set aside", from.path.join(name), error)),
            }
        }
        let error = Errno::EEXIST.into();
        Err(SpoolError::io("set aside", from.path.join(name), error))
    }
}

impl<D: Disk> Folder<D> {
    /// The names in the folder.
    pub(crate) fn names(&self, disk: &D) -> Result<Vec<OsString>, SpoolError> {
        let mut names = Vec::new();
        let mut visit = |name: &OsStr| names.push(name.to_owned());
        disk.visit_names(&self.dir, &mut visit)
            .map_err(|e| SpoolError::io("list", &self.path, e))?;
        Ok(names)
    }
}

/// The name of a shard: a digit as in the ids.
pub(crate) fn shard_name(number: usize) -> String {
    format!("{number:X}")
}

/// Which shard an id belongs to.
pub(crate) fn shard(id: QueueId) -> usize {
    ((id.number() >> SHARD_SHIFT) % SHARDS as u64) as usize
}

/// A name with nothing in it that could trouble a terminal or a shell, at most 100 bytes.
pub(crate) fn clean(name: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = name.as_encoded_bytes().iter().take(100);
    let text = bytes.map(|byte| if plain(byte) { char::from(*byte) } else { '_' });
    let text: String = text.collect();
    if text.starts_with('.') {
        format!("_{text}")
    } else {
        text
    }
}

pub(crate) fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

fn open_root<D: Disk>(disk: &D, path: &Path) -> Result<Folder<D>, SpoolError> {
    let dir = disk
        .open_root(path, DirUse::Full)
        .map_err(|e| SpoolError::io("open", path, e))?;
    Ok(Folder {
        dir,
        path: path.to_owned(),
    })
}

fn open<D: Disk>(disk: &D, parent: &Folder<D>, name: &str) -> Result<Folder<D>, SpoolError> {
    let path = parent.path.join(name);
    match disk.open_dir(&parent.dir, name) {
        Ok(dir) => Ok(Folder { dir, path }),
        Err(error) => Err(SpoolError::io("open", path, error)),
    }
}

fn make<D: Disk>(
    disk: &D,
    parent: &Folder<D>,
    name: &str,
    mode: u32,
) -> Result<Folder<D>, SpoolError> {
    let path = parent.path.join(name);
    match disk.make_dir(&parent.dir, name, mode) {
        Err(error) if !is(&error, Errno::EEXIST) => {
            return Err(SpoolError::io("make", path, error));
        }
        _ => {}
    }
    let folder = open(disk, parent, name)?;
    set_mode(disk, &folder, mode)?;
    Ok(folder)
}

/// Sets a mode that is merely different. One that let others write is an error: they may have
/// put entries there, and an admin has to look.
fn set_mode<D: Disk>(disk: &D, folder: &Folder<D>, wanted: u32) -> Result<(), SpoolError> {
    let fault = |op| SpoolError::at(op, &folder.path);
    let found = disk.dir_mode(&folder.dir).map_err(fault("look at"))?;
    let strangers = 0o022 & found & !wanted != 0;
    let not_sticky = found & 0o022 != 0 && found & 0o1000 == 0;
    if strangers || not_sticky {
        return Err(SpoolError::new(
            "use",
            &folder.path,
            ErrorKind::Mode { wanted, found },
        ));
    }
    if found != wanted {
        disk.set_dir_mode(&folder.dir, wanted)
            .map_err(fault("set the mode of"))?;
    }
    Ok(())
}
