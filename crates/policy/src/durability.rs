//! Whether what is written to the queue's file system stays there.

/// The kind of file system that the queue is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// One that keeps what was synced, as far as can be told.
    Disk,
    /// Memory: tmpfs or ramfs.
    Memory,
    /// The writable layer of a container.
    Overlay,
    /// NFS, SMB.
    Network,
}

/// What an admin should know about a queue in `spool` on such a file system; `None` if it is fine.
#[must_use]
pub fn warning(spool: &str, storage: Storage) -> Option<String> {
    let why = match storage {
        Storage::Disk => return None,
        Storage::Memory => "in memory, and is lost with a restart of the host",
        Storage::Overlay => {
            "on an overlay file system, and is lost with the container; give it a volume"
        }
        Storage::Network => {
            "on a network file system, whose locks and syncs may not hold; use a disk of this host"
        }
    };
    Some(format!("the queue in {spool} is not durable: it is {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_fine_and_nothing_else() {
        assert_eq!(warning("/s", Storage::Disk), None);
        for storage in [Storage::Memory, Storage::Overlay, Storage::Network] {
            let text = warning("/s", storage).unwrap();
            assert!(
                text.starts_with("the queue in /s is not durable: "),
                "{text}"
            );
        }
    }
}
