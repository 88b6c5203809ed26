//! How the spool as a whole does: room on its disk, what was set aside, what lies in maildrop. For
//! those who watch it, with relayd or without; changes nothing and takes no lock.

use std::fs::{self, DirEntry};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::SpoolError;

/// Files are not counted beyond this: anybody may put some into maildrop.
pub const COUNTED: u64 = 10_000;

/// How a spool does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Bytes that may still be written, of how many.
    pub bytes: (u64, u64),
    /// Files that may still be made, of how many; 0 of 0 where the file system makes them as needed.
    pub files: (u64, u64),
    /// Files in `corrupt`; at most [`COUNTED`].
    pub damaged: u64,
    /// Files in `maildrop`; at most [`COUNTED`].
    pub dropped: u64,
    /// How long the oldest of these lies there.
    pub oldest_drop: Duration,
}

/// Looks at the spool at `root`; ages are by the clock reading `now`.
///
/// # Errors
///
/// If a folder is missing or may not be read.
pub fn condition(root: &Path, now: SystemTime) -> Result<Condition, SpoolError> {
    let facts = nix::sys::statvfs::statvfs(root)
        .map_err(|errno| SpoolError::io("look at", root, errno.into()))?;
    let block = facts.fragment_size();
    // The field types differ by platform.
    #[allow(clippy::useless_conversion)]
    let bytes = |blocks: nix::libc::fsblkcnt_t| u64::from(blocks).saturating_mul(block.into());
    let mut condition = Condition {
        bytes: (bytes(facts.blocks_available()), bytes(facts.blocks())),
        #[allow(clippy::useless_conversion)]
        files: (facts.files_available().into(), facts.files().into()),
        ..Condition::default()
    };
    for_each_file(&root.join("corrupt"), 2, &mut |_| condition.damaged += 1)?;
    for_each_file(&root.join("maildrop"), 1, &mut |entry| {
        condition.dropped += 1;
        let modified = entry.metadata().and_then(|facts| facts.modified());
        let age = modified.map(|at| now.duration_since(at).unwrap_or_default());
        condition.oldest_drop = condition.oldest_drop.max(age.unwrap_or_default());
    })?;
    Ok(condition)
}

/// Calls `found` for up to [`COUNTED`] files in a folder and, down to `depth`, in those inside it.
fn for_each_file(
    folder: &Path,
    depth: u32,
    found: &mut dyn FnMut(&DirEntry),
) -> Result<(), SpoolError> {
    let failed = |error| SpoolError::io("list", folder, error);
    let mut left = COUNTED;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 1 => {
                for_each_file(&entry.path(), depth - 1, found)?;
            }
            Ok(kind) if !kind.is_dir() && left > 0 => {
                left -= 1;
                found(&entry);
            }
            // Gone meanwhile, or beyond counting.
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RealDisk, Spool};

    #[test]
    fn files_are_counted_and_aged() {
        let folder = tempfile::tempdir().unwrap();
        drop(Spool::open(RealDisk, folder.path()).unwrap());
        let now = SystemTime::now() + Duration::from_secs(100);
        let empty = condition(folder.path(), now).unwrap();
        assert_eq!((empty.damaged, empty.dropped), (0, 0));
        assert!(empty.bytes.1 > 0 && empty.bytes.0 <= empty.bytes.1);
        for name in ["maildrop/a", "maildrop/b", "corrupt/x"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let seen = condition(folder.path(), now).unwrap();
        assert_eq!((seen.damaged, seen.dropped), (1, 2));
        assert!((99..=101).contains(&seen.oldest_drop.as_secs()), "{seen:?}");
        assert!(condition(&folder.path().join("none"), now).is_err());
    }
}
