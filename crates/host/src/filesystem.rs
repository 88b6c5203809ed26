//! What kind of file system a folder is on.

use std::io;
use std::path::Path;

use nix::sys::statfs::{
    FsType, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, SMB_SUPER_MAGIC, TMPFS_MAGIC, statfs,
};
use policy::durability::Storage;

/// `RAMFS_MAGIC`, `CIFS_SUPER_MAGIC` and `SMB2_SUPER_MAGIC` of linux/magic.h, which nix does not have.
const RAMFS: FsType = FsType(0x8584_58f6);
const CIFS: FsType = FsType(0xff53_4d42);
const SMB2: FsType = FsType(0xfe53_4d42);

/// The kind of file system that `folder` is on, or would be if it were made.
///
/// # Errors
/// What the system said.
pub fn storage_of(folder: &Path) -> io::Result<Storage> {
    let place = folder.ancestors().find(|place| place.exists());
    let kind = statfs(place.unwrap_or(Path::new("/")))?.filesystem_type();
    let is_one_of = |kinds: &[FsType]| kinds.contains(&kind);
    Ok(if is_one_of(&[TMPFS_MAGIC, RAMFS]) {
        Storage::Memory
    } else if is_one_of(&[OVERLAYFS_SUPER_MAGIC]) {
        Storage::Overlay
    } else if is_one_of(&[NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS, SMB2]) {
        Storage::Network
    } else {
        Storage::Disk
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
