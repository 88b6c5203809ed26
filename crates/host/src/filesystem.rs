//! What kind of file system a folder is on.

use std::io;
use std::path::Path;

use nix::sys::statfs::{
    FsType, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, SMB_SUPER_MAGIC, TMPFS_MAGIC, statfs,
};
use policy::durability::Storage;

/// `RAMFS_MAGIC` of linux/magic.h, and `CIFS_SUPER_MAGIC` and `SMB2_SUPER_MAGIC`, which nix does not have.
const RAMFS: i64 = 0x8584_58f6;
const CIFS: i64 = 0xff53_4d42;
const SMB2: i64 = 0xfe53_4d42;

/// The kind of file system that `folder` is on, or would be if it were made.
///
/// # Errors
/// What the system said.
pub fn storage_of(folder: &Path) -> io::Result<Storage> {
    let place = folder.ancestors().find(|place| place.exists());
    let kind = statfs(place.unwrap_or(Path::new("/")))?.filesystem_type();
    let number = |kind: FsType| i64::try_from(kind.0).unwrap_or_default() & 0xffff_ffff;
    Ok(match number(kind) {
        RAMFS => Storage::Memory,
        CIFS | SMB2 => Storage::Network,
        _ if kind == TMPFS_MAGIC => Storage::Memory,
        _ if kind == OVERLAYFS_SUPER_MAGIC => Storage::Overlay,
        _ if kind == NFS_SUPER_MAGIC || kind == SMB_SUPER_MAGIC => Storage::Network,
        _ => Storage::Disk,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_that_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let here = storage_of(folder.path()).unwrap();
        assert_eq!(storage_of(&folder.path().join("a/b")).unwrap(), here);
        assert_eq!(
            storage_of(Path::new("/dev/shm/x")).unwrap(),
            Storage::Memory
        );
        assert_eq!(storage_of(Path::new("/proc")).unwrap(), Storage::Disk);
    }
}
