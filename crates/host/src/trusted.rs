//! Reading files that say what the programs do, so that nobody else than root, or the account of
//! relayd where it may, can have written them: settings, aliases, maps.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_NOCTTY, O_NONBLOCK};

use crate::secret::Keeper;

/// Who may own a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Root,
    RootOrKeeper,
}

/// Why a file is not used.
pub(crate) enum Refusal {
    Io(io::Error),
    Unsafe { message: String, remedy: String },
}

impl Refusal {
    fn new<T>(message: impl Into<String>, remedy: impl fmt::Display) -> Result<T, Self> {
        Err(Self::Unsafe {
            message: message.into(),
            remedy: remedy.to_string(),
        })
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads up to `longest` bytes of a file that must be a regular one, or a link to one; of that owner;
/// readable by the keeper; and neither it nor its folder writable by others or by a group (a folder
/// with the sticky bit is fine).
///
/// # Errors
/// It is missing, cannot be read, or is not such a file.
pub(crate) fn read(
    path: &Path,
    keeper: &Keeper,
    owner: Owner,
    longest: u64,
) -> Result<Vec<u8>, Refusal> {
    let file = open(path)?;
    check_file(&file, keeper, owner)?;
    check_folder(path)?;
    check_folder(&path.canonicalize()?)?;
    content(file, longest)
}

/// Reads up to `longest` bytes of a regular file, whoever can write it.
///
/// # Errors
/// It is missing, cannot be read, or is not a regular file.
pub(crate) fn read_any(path: &Path, longest: u64) -> Result<Vec<u8>, Refusal> {
    let file = open(path)?;
    check_kind(&file.metadata()?)?;
    content(file, longest)
}

/// Opens it so that a fifo does not hold the program up before it is seen to be one.
fn open(path: &Path) -> io::Result<File> {
    let flags = O_NONBLOCK | O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn content(file: File, longest: u64) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    file.take(longest).read_to_end(&mut text)?;
    Ok(text)
}

fn check_kind(status: &Metadata) -> Result<(), Refusal> {
    if status.is_file() {
        Ok(())
    } else {
        Refusal::new("it is not a regular file", "put a file there")
    }
}

/// Looks at the open file, not at its name, which could by now be another file's.
fn check_file(file: &File, keeper: &Keeper, owner: Owner) -> Result<(), Refusal> {
    let status = file.metadata()?;
    check_kind(&status)?;
    let (uid, mode) = (status.uid(), status.mode() & 0o7777);
    if uid != 0 && (owner == Owner::Root || uid != keeper.uid) {
        let owners = match owner {
            Owner::Root => "root",
            Owner::RootOrKeeper => "root or the account of relayd",
        };
        let message = format!("it belongs to uid {uid} and must belong to {owners}");
        return Refusal::new(message, "chown root it");
    }
    if mode & 0o022 != 0 {
        let message = format!("it is writable by others than its owner (mode {mode:04o})");
        return Refusal::new(message, "chmod go-w it");
    }
    if !is_readable(&status, keeper) {
        let message = format!("the account of relayd cannot read it (mode {mode:04o})");
        return Refusal::new(message, "chmod o+r it, if it is the right file");
    }
    Ok(())
}

fn is_readable(status: &Metadata, keeper: &Keeper) -> bool {
    let bit = if keeper.uid == 0 {
        return true;
    } else if status.uid() == keeper.uid {
        0o400
    } else if keeper.groups.contains(&status.gid()) {
        0o040
    } else {
        0o004
    };
    status.mode() & bit != 0
}

/// Whoever may write the folder may put another file in the place of this one.
fn check_folder(path: &Path) -> Result<(), Refusal> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mode = std::fs::metadata(folder)?.mode() & 0o7777;
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let folder = folder.display();
        let message =
            format!("its folder {folder} is writable by others than its owner (mode {mode:04o})");
        return Refusal::new(message, format!("chmod go-w {folder}"));
    }
    Ok(())
}
