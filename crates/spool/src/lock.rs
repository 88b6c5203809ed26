//! The one place that calls fs2: locks between processes, and the room left on the disk.
//!
//! Its methods are called as `fs2::FileExt::…`, since std has methods of the same names that
//! would be taken instead. The locks are `flock(2)` locks: they end with the last descriptor, so
//! a killed process leaves none behind and no lock file needs to be removed.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::disk::Space;

/// Takes the exclusive lock of an open file without waiting; `false` if another holds it.
pub(crate) fn try_exclusive(file: &File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_exclusive(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == fs2::lock_contended_error().kind() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Room left for this user on the file system of `path`.
pub(crate) fn space(path: &Path) -> io::Result<Space> {
    let bytes = fs2::available_space(path)?;
    let counts = nix::sys::statvfs::statvfs(path)?;
    let counted = counts.files() > 0;
    let files = if counted {
        counts.files_available()
    } else {
        u64::MAX
    };
    Ok(Space { bytes, files })
}
