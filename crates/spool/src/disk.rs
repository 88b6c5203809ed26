//! Every disk call that the spool makes, as one trait, and the real disk behind it.
//!
//! The trait exists so that `testdisk` can stop after any call, fail any call, and forget what
//! was not synced. It carries no policy: names, orders and modes are chosen by the callers.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fdatasync, fsync, linkat, unlinkat};

use crate::lock;

/// The disk calls that the spool makes. Each does one thing and reports the system's error.
///
/// No call follows a symbolic link in its last component. Files are closed by dropping them.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: Send + Sync + 'static;
    /// An open folder.
    type Dir: Send + Sync + 'static;

    /// Makes the folder at `path` and makes its name durable. EEXIST if something is there.
    fn make_root(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Opens the folder at `path`.
    fn open_root(&self, path: &Path, how: DirUse) -> io::Result<Self::Dir>;
    /// Makes the folder `name` in `parent`; its name is durable after [`Disk::sync_dir`].
    fn make_dir(&self, parent: &Self::Dir, name: &str, mode: u32) -> io::Result<()>;
    /// Opens the folder `name` in `parent`.
    fn open_dir(&self, parent: &Self::Dir, name: &str) -> io::Result<Self::Dir>;
    /// The folder's permission bits, with the sticky and set-id bits.
    fn dir_mode(&self, dir: &Self::Dir) -> io::Result<u32>;
    /// Sets the folder's permission bits.
    fn set_dir_mode(&self, dir: &Self::Dir, mode: u32) -> io::Result<()>;
    /// Shows each name in a folder, in no order, without `.` and `..`.
    fn visit_names(&self, dir: &Self::Dir, visit: &mut dyn FnMut(&OsStr)) -> io::Result<()>;
    /// Makes a file without a name (`O_TMPFILE`), for reading and writing. EOPNOTSUPP, EISDIR or
    /// ENOENT where that is not to be had.
    fn create_unnamed(&self, dir: &Self::Dir, mode: u32) -> io::Result<Self::File>;
    /// Makes a new file with a name (`O_EXCL`), for reading and writing.
    fn create_new(&self, dir: &Self::Dir, name: &OsStr, mode: u32) -> io::Result<Self::File>;
    /// Opens a file (`O_NOFOLLOW`, `O_NONBLOCK`), for writing too if asked.
    fn open(&self, dir: &Self::Dir, name: &OsStr, write: bool) -> io::Result<Self::File>;
    /// Sets an open file's permission bits.
    fn set_mode(&self, file: &Self::File, mode: u32) -> io::Result<()>;
    /// Gives a file from [`Disk::create_unnamed`] a name. EEXIST if the name is taken.
    fn link(&self, file: &Self::File, dir: &Self::Dir, name: &OsStr) -> io::Result<()>;
    /// Moves a name. With `replace` off, EEXIST if the new name is taken.
    fn rename(
        &self,
        from: (&Self::Dir, &OsStr),
        to: (&Self::Dir, &OsStr),
        replace: bool,
    ) -> io::Result<()>;
    /// Removes a name that is not a folder's.
    fn remove(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<()>;
    /// What the system knows about an open file.
    fn facts(&self, file: &Self::File) -> io::Result<Facts>;
    /// What the system knows about the thing under a name, without opening it.
    fn facts_at(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Facts>;
    /// Writes some of `bytes` at `offset`; returns how many.
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Reads some bytes at `offset`; returns how many, 0 at the end.
    fn read_at(&self, file: &Self::File, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// `fsync` of a file: its bytes, its size, and the names it had before.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// `fdatasync` of a file: its bytes and its size.
    fn sync_data(&self, file: &Self::File) -> io::Result<()>;
    /// `fsync` of a folder: its names.
    fn sync_dir(&self, dir: &Self::Dir) -> io::Result<()>;
    /// Takes the exclusive lock of a file without waiting; `false` if another holds it. The lock
    /// ends when the file is closed.
    fn lock(&self, file: &Self::File) -> io::Result<bool>;
    /// Room left on the file system that holds `path`, for this user.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Fills `bytes` from the system's generator of unguessable numbers.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// What a folder is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirUse {
    /// Everything.
    Full,
    /// Only to make files in it, as anybody may in `maildrop` (mode 1733), which nobody but its
    /// owner can open for reading. [`Disk::sync_dir`] then says EACCES.
    Drop,
}

/// What the system knows about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which kind of thing it is.
    pub kind: FileKind,
    /// How many names it has.
    pub links: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Its owner.
    pub uid: u32,
    /// Its permission bits, with the sticky and set-id bits.
    pub mode: u32,
    /// When its bytes last changed, in seconds since the epoch.
    pub modified_s: u64,
}

/// The kinds of thing that can have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A folder.
    Directory,
    /// A link, FIFO, socket or device.
    Other,
}

/// Room left on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub bytes: u64,
    /// Files; `u64::MAX` where the file system makes them as needed.
    pub files: u64,
}

/// The system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    type File = File;
    type Dir = OwnedFd;

    fn make_root(&self, path: &Path, mode: u32) -> io::Result<()> {
        mkdirat(AT_FDCWD, path, permissions(mode))?;
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn open_root(&self, path: &Path, how: DirUse) -> io::Result<OwnedFd> {
        let access = match how {
            DirUse::Full => OFlag::O_RDONLY,
            DirUse::Drop => OFlag::O_PATH,
        };
        Ok(open(path, access | FOLDER, Mode::empty())?)
    }

    fn make_dir(&self, parent: &OwnedFd, name: &str, mode: u32) -> io::Result<()> {
        Ok(mkdirat(parent, name, permissions(mode))?)
    }

    fn open_dir(&self, parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
        Ok(openat(
            parent,
            name,
            OFlag::O_RDONLY | FOLDER,
            Mode::empty(),
        )?)
    }

    fn dir_mode(&self, dir: &OwnedFd) -> io::Result<u32> {
        Ok(fstat(dir)?.st_mode & 0o7777)
    }

    fn set_dir_mode(&self, dir: &OwnedFd, mode: u32) -> io::Result<()> {
        Ok(fchmod(dir, permissions(mode))?)
    }

    fn visit_names(&self, dir: &OwnedFd, visit: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        // Opened anew: the position of a folder belongs to the descriptor, which threads share.
        let mut opened = Dir::openat(dir, ".", OFlag::O_RDONLY | FOLDER, Mode::empty())?;
        for entry in opened.iter() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                visit(name);
            }
        }
        Ok(())
    }

    fn create_unnamed(&self, dir: &OwnedFd, mode: u32) -> io::Result<File> {
        // Without /proc the file could never get its name, so say at once that it cannot be had.
        if !has_proc() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        created(openat(dir, ".", flags, permissions(mode))?, mode)
    }

    fn create_new(&self, dir: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | FILE;
        created(openat(dir, name, flags, permissions(mode))?, mode)
    }

    fn open(&self, dir: &OwnedFd, name: &OsStr, write: bool) -> io::Result<File> {
        let access = if write {
            OFlag::O_RDWR
        } else {
            OFlag::O_RDONLY
        };
        Ok(File::from(openat(dir, name, access | FILE, Mode::empty())?))
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        Ok(fchmod(file, permissions(mode))?)
    }

    fn link(&self, file: &File, dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
        match linkat(file, "", dir, name, AtFlags::AT_EMPTY_PATH) {
            // Before Linux 6.10 this takes a capability; the way through /proc never did.
            Err(Errno::ENOENT) => {}
            linked => return Ok(linked?),
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(linkat(
            AT_FDCWD,
            path.as_str(),
            dir,
            name,
            AtFlags::AT_SYMLINK_FOLLOW,
        )?)
    }

    fn rename(
        &self,
        from: (&OwnedFd, &OsStr),
        to: (&OwnedFd, &OsStr),
        replace: bool,
    ) -> io::Result<()> {
        let flags = if replace {
            RenameFlags::empty()
        } else {
            RenameFlags::RENAME_NOREPLACE
        };
        Ok(renameat2(from.0, from.1, to.0, to.1, flags)?)
    }

    fn remove(&self, dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?)
    }

    fn facts(&self, file: &File) -> io::Result<Facts> {
        Ok(facts(&fstat(file)?))
    }

    fn facts_at(&self, dir: &OwnedFd, name: &OsStr) -> io::Result<Facts> {
        Ok(facts(&fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        Ok(fsync(file)?)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        Ok(fdatasync(file)?)
    }

    fn sync_dir(&self, dir: &OwnedFd) -> io::Result<()> {
        match fsync(dir.as_fd()) {
            // A descriptor of a folder that was opened only to make files in it.
            Err(Errno::EBADF) => {
                let opened = openat(dir, ".", OFlag::O_RDONLY | FOLDER, Mode::empty())?;
                Ok(fsync(opened)?)
            }
            result => Ok(result?),
        }
    }

    fn lock(&self, file: &File) -> io::Result<bool> {
        lock::try_exclusive(file)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        lock::space(path)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        File::open("/dev/urandom")?.read_exact(bytes)
    }
}

const FOLDER: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
const FILE: OFlag = OFlag::O_NOFOLLOW
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode)
}

/// The caller's umask may have taken bits away; they are put back. Looking is far cheaper than
/// setting, and as a rule all is well.
fn created(fd: OwnedFd, mode: u32) -> io::Result<File> {
    if fstat(&fd)?.st_mode & 0o7777 != mode {
        fchmod(&fd, permissions(mode))?;
    }
    Ok(File::from(fd))
}

/// Whether open files can be found under /proc; looked up once.
fn has_proc() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| Path::new("/proc/self/fd").exists());
    *FOUND
}

fn facts(stat: &FileStat) -> Facts {
    let kind = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => FileKind::Regular,
        SFlag::S_IFDIR => FileKind::Directory,
        _ => FileKind::Other,
    };
    Facts {
        kind,
        links: stat.st_nlink,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        uid: stat.st_uid,
        mode: stat.st_mode & 0o7777,
        modified_s: u64::try_from(stat.st_mtime).unwrap_or(0),
    }
}
