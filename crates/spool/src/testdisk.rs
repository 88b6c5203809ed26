//! A disk in memory that knows what was synced: for tests.
//!
//! It can stop before the k-th call, as a crash does, or fail that call with any error. Afterwards
//! [`TestDisk::survivor`] gives the disk that a power cut would have left. What a sync makes
//! durable is the least that the file systems that were measured do (`FORMAT.md`, "Evidence"):
//! a file's own sync its bytes and the names it was given before; a folder's sync the names in
//! it. A failed sync loses the bytes for good, and the next one succeeds.

mod model;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use crate::disk::{DirUse, Disk, Facts, FileKind, Space};
use model::{Dice, Model, Node, ROOT};

pub use model::Survival;

/// The model disk. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct TestDisk {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    model: Model,
    calls: u64,
    stop_at: Option<u64>,
    fail_at: Option<(u64, i32)>,
    /// The disk is to behave as if the program did not make these calls.
    skipped: Option<Sync>,
    no_unnamed: bool,
    short_writes: bool,
    dice: Dice,
}

/// The kinds of sync, which [`TestDisk::skip`] can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// `fsync` of files.
    File,
    /// `fdatasync` of files.
    Data,
    /// `fsync` of folders.
    Dir,
}

/// An open file of the model.
pub struct TestFile {
    shared: Arc<Mutex<Shared>>,
    node: Node,
    locked: AtomicBool,
}

impl Drop for TestFile {
    fn drop(&mut self) {
        if self.locked.load(Ordering::Relaxed) {
            held(&self.shared).model.unlock(self.node);
        }
    }
}

impl fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDisk")
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

impl Default for TestDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl TestDisk {
    /// An empty disk. Paths begin with `/`.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Model::new(), false)
    }

    /// An empty disk that makes no files without a name.
    #[must_use]
    pub fn without_unnamed_files() -> Self {
        Self::with(Model::new(), true)
    }

    fn with(model: Model, no_unnamed: bool) -> Self {
        let shared = Shared {
            model,
            calls: 0,
            stop_at: None,
            fail_at: None,
            skipped: None,
            no_unnamed,
            short_writes: false,
            dice: Dice(1),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// How many calls were made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared().calls
    }

    /// Crashes before call number `call`, counted from 1: it and all later ones do nothing.
    pub fn stop_at(&self, call: u64) {
        self.shared().stop_at = Some(call);
    }

    /// Lets call number `call` fail with an error number.
    pub fn fail_at(&self, call: u64, errno: i32) {
        self.shared().fail_at = Some((call, errno));
    }

    /// Behaves as if the program left out a kind of sync: to see that a test notices.
    pub fn skip(&self, kind: Sync) {
        self.shared().skipped = Some(kind);
    }

    /// Lets every write of more than one byte write only half.
    pub fn short_writes(&self) {
        self.shared().short_writes = true;
    }

    /// Sets the owner of files made from now on.
    pub fn set_uid(&self, uid: u32) {
        self.shared().model.uid = uid;
    }

    /// Sets the time of changes made from now on, in seconds since the epoch.
    pub fn set_time(&self, now_s: u64) {
        self.shared().model.now_s = now_s;
    }

    /// Whether a file was synced again after a sync of it had failed.
    #[must_use]
    pub fn retried_a_sync(&self) -> bool {
        self.shared().model.retried
    }

    /// The disk as it is after a crash now. It has no stops and failures set.
    #[must_use]
    pub fn survivor(&self, how: Survival) -> Self {
        let shared = self.shared();
        let survivor = Self::with(shared.model.survivor(how), shared.no_unnamed);
        survivor.shared().skipped = shared.skipped;
        survivor.shared().dice = Dice(shared.dice.0);
        survivor
    }

    /// The bytes of a file, if there is one.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let shared = self.shared();
        let node = shared.resolve(path).ok()?;
        Some(shared.model.read(node, 0).to_vec())
    }

    /// Puts a file there, or other bytes into it; durable at once.
    ///
    /// # Panics
    ///
    /// If there is no such folder.
    pub fn put(&self, path: &Path, kind: FileKind, mode: u32, bytes: &[u8]) {
        let mut shared = self.shared();
        let dir = shared
            .resolve(path.parent().expect("a name"))
            .expect("a folder");
        let name = path.file_name().expect("a name").to_owned();
        let node = shared.model.add(kind, mode);
        shared.model.write(node, bytes, 0);
        shared
            .model
            .rename(node, None, Some((dir, name)), true)
            .expect("may replace");
        shared.model.sync_data(node);
        shared.model.sync_dir(dir);
    }

    /// The names in a folder, sorted.
    #[must_use]
    pub fn names(&self, path: &Path) -> Vec<String> {
        let shared = self.shared();
        let dir = shared.resolve(path).ok();
        let names = dir.map(|dir| shared.model.names(dir)).unwrap_or_default();
        names
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        held(&self.shared)
    }

    /// Counts a call; stops or fails where that was asked for.
    fn call(&self) -> io::Result<MutexGuard<'_, Shared>> {
        let mut shared = self.shared();
        shared.calls += 1;
        if shared.stop_at.is_some_and(|at| shared.calls >= at) {
            return Err(Errno::EIO.into());
        }
        match shared.fail_at {
            Some((at, errno)) if at == shared.calls => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(shared),
        }
    }

    fn sync(&self, node: Node, kind: Sync, act: impl FnOnce(&mut Model)) -> io::Result<()> {
        match self.call() {
            Ok(mut shared) if shared.skipped != Some(kind) => {
                act(&mut shared.model);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                let mut shared = self.shared();
                if shared.stop_at.is_none() {
                    shared.model.sync_failed(node);
                }
                Err(error)
            }
        }
    }

    fn file(&self, node: Node) -> TestFile {
        TestFile {
            shared: Arc::clone(&self.shared),
            node,
            locked: AtomicBool::new(false),
        }
    }
}

impl Shared {
    fn resolve(&self, path: &Path) -> io::Result<Node> {
        let mut node = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                node = self.model.find(node, name)?;
            }
        }
        Ok(node)
    }
}

fn held(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk for TestDisk {
    type File = TestFile;
    type Dir = Node;

    fn make_root(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut shared = self.call()?;
        let parent = shared.resolve(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().ok_or(Errno::EEXIST)?.to_owned();
        let node = shared.model.add(FileKind::Directory, mode);
        shared
            .model
            .rename(node, None, Some((parent, name)), false)?;
        shared.model.sync_dir(parent);
        Ok(())
    }

    fn open_root(&self, path: &Path, _how: DirUse) -> io::Result<Node> {
        self.call()?.resolve(path)
    }

    fn make_dir(&self, parent: &Node, name: &str, mode: u32) -> io::Result<()> {
        let mut shared = self.call()?;
        let node = shared.model.add(FileKind::Directory, mode);
        shared
            .model
            .rename(node, None, Some((*parent, name.into())), false)
    }

    fn open_dir(&self, parent: &Node, name: &str) -> io::Result<Node> {
        let shared = self.call()?;
        let node = shared.model.find(*parent, OsStr::new(name))?;
        match shared.model.facts(node).kind {
            FileKind::Directory => Ok(node),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    fn dir_mode(&self, dir: &Node) -> io::Result<u32> {
        Ok(self.call()?.model.facts(*dir).mode)
    }

    fn set_dir_mode(&self, dir: &Node, mode: u32) -> io::Result<()> {
        self.call()?.model.set_mode(*dir, mode);
        Ok(())
    }

    fn visit_names(&self, dir: &Node, visit: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        let names = self.call()?.model.names(*dir);
        names.iter().for_each(|name| visit(name));
        Ok(())
    }

    fn create_unnamed(&self, _dir: &Node, mode: u32) -> io::Result<TestFile> {
        let mut shared = self.call()?;
        if shared.no_unnamed {
            return Err(Errno::EOPNOTSUPP.into());
        }
        Ok(self.file(shared.model.add(FileKind::Regular, mode)))
    }

    fn create_new(&self, dir: &Node, name: &OsStr, mode: u32) -> io::Result<TestFile> {
        let mut shared = self.call()?;
        let node = shared.model.add(FileKind::Regular, mode);
        shared
            .model
            .rename(node, None, Some((*dir, name.to_owned())), false)?;
        Ok(self.file(node))
    }

    fn open(&self, dir: &Node, name: &OsStr, _write: bool) -> io::Result<TestFile> {
        let shared = self.call()?;
        let node = shared.model.find(*dir, name)?;
        match shared.model.facts(node).kind {
            FileKind::Other => Err(Errno::ELOOP.into()),
            _ => Ok(self.file(node)),
        }
    }

    fn set_mode(&self, file: &TestFile, mode: u32) -> io::Result<()> {
        self.call()?.model.set_mode(file.node, mode);
        Ok(())
    }

    fn link(&self, file: &TestFile, dir: &Node, name: &OsStr) -> io::Result<()> {
        let mut shared = self.call()?;
        shared
            .model
            .rename(file.node, None, Some((*dir, name.to_owned())), false)
    }

    fn rename(&self, from: (&Node, &OsStr), to: (&Node, &OsStr), replace: bool) -> io::Result<()> {
        let mut shared = self.call()?;
        let node = shared.model.find(*from.0, from.1)?;
        let (from, to) = ((*from.0, from.1.to_owned()), (*to.0, to.1.to_owned()));
        shared.model.rename(node, Some(from), Some(to), replace)
    }

    fn remove(&self, dir: &Node, name: &OsStr) -> io::Result<()> {
        let mut shared = self.call()?;
        let node = shared.model.find(*dir, name)?;
        if shared.model.facts(node).kind == FileKind::Directory {
            return Err(Errno::EISDIR.into());
        }
        shared
            .model
            .rename(node, Some((*dir, name.to_owned())), None, false)
    }

    fn facts(&self, file: &TestFile) -> io::Result<Facts> {
        Ok(self.call()?.model.facts(file.node))
    }

    fn facts_at(&self, dir: &Node, name: &OsStr) -> io::Result<Facts> {
        let shared = self.call()?;
        Ok(shared.model.facts(shared.model.find(*dir, name)?))
    }

    fn write_at(&self, file: &TestFile, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut shared = self.call()?;
        let count = if shared.short_writes {
            bytes.len().div_ceil(2)
        } else {
            bytes.len()
        };
        let offset = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        shared.model.write(file.node, &bytes[..count], offset);
        Ok(count)
    }

    fn read_at(&self, file: &TestFile, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let shared = self.call()?;
        let offset = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        let found = shared.model.read(file.node, offset);
        let count = found.len().min(bytes.len());
        bytes[..count].copy_from_slice(&found[..count]);
        Ok(count)
    }

    fn sync(&self, file: &TestFile) -> io::Result<()> {
        let node = file.node;
        self.sync(node, Sync::File, |model| {
            model.sync_data(node);
            model.sync_names_of(node);
        })
    }

    fn sync_data(&self, file: &TestFile) -> io::Result<()> {
        self.sync(file.node, Sync::Data, |model| model.sync_data(file.node))
    }

    fn sync_dir(&self, dir: &Node) -> io::Result<()> {
        self.sync(*dir, Sync::Dir, |model| model.sync_dir(*dir))
    }

    fn lock(&self, file: &TestFile) -> io::Result<bool> {
        let taken = self.call()?.model.lock(file.node);
        file.locked.fetch_or(taken, Ordering::Relaxed);
        Ok(taken)
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        drop(self.call()?);
        Ok(Space {
            bytes: 1 << 40,
            files: 1 << 20,
        })
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut shared = self.call()?;
        bytes.fill_with(|| shared.dice.roll().to_le_bytes()[0]);
        Ok(())
    }
}
