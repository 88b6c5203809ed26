//! Small files in `state/` that are replaced as a whole: after a crash there is the old one or the
//! new one.
//!
//! A note ends in four bytes of CRC-32 of what is before them. Where a sync of the new file fails
//! it is never renamed, and the next attempt begins with another file.

use std::ffi::{OsStr, OsString};
use std::io;

use nix::errno::Errno;

use crate::disk::Disk;
use crate::entry::read_full;
use crate::error::{Damage, SpoolError};
use crate::folders::{Folder, is};
use crate::spool::Spool;
use crate::writer::write_all;

/// The largest note, in bytes.
pub const NOTE_MAX: usize = 1 << 20;
const SUM_LEN: usize = 4;

/// What relayd keeps beside the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// What was sent through each gateway, for its quotas.
    Quotas,
    /// What was alarmed about, and what is still to be told.
    Alarms,
}

impl Note {
    const fn name(self) -> &'static str {
        match self {
            Self::Quotas => "quotas",
            Self::Alarms => "alarms",
        }
    }
}

impl<D: Disk> Spool<D> {
    /// Reads a note; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// What the disk says; `Damaged` if it is not what was written.
    pub fn note(&self, note: Note) -> Result<Option<Vec<u8>>, SpoolError> {
        let (disk, state) = self.state_folder();
        let path = state.path.join(note.name());
        let read = read(disk, state, note.name());
        let Some(mut bytes) = read.map_err(|error| SpoolError::io("read", &path, error))? else {
            return Ok(None);
        };
        let sum = bytes.split_off(bytes.len().saturating_sub(SUM_LEN));
        if sum != checksum(&bytes) || bytes.len() > NOTE_MAX {
            return Err(SpoolError::damaged(path, Damage::ContentChecksum));
        }
        Ok(Some(bytes))
    }

    /// Replaces a note. When this returns, the new one survives any crash.
    ///
    /// # Errors
    ///
    /// What the disk says, and then the old note stands, or the new one if only the last sync
    /// failed; `Refused` if it is larger than [`NOTE_MAX`].
    pub fn keep_note(&self, note: Note, bytes: &[u8]) -> Result<(), SpoolError> {
        let (disk, state) = self.state_folder();
        let path = state.path.join(note.name());
        if bytes.len() > NOTE_MAX {
            return Err(SpoolError::refused("write", path, "the note is too large"));
        }
        let bytes = [bytes, &checksum(bytes)].concat();
        replace(disk, state, note.name(), &bytes)
            .map_err(|error| SpoolError::io("write", path, error))
    }
}

fn checksum(bytes: &[u8]) -> [u8; SUM_LEN] {
    crc32fast::hash(bytes).to_le_bytes()
}

/// Reads a file of `state/`, one byte more than a note can have at most.
fn read<D: Disk>(disk: &D, state: &Folder<D>, name: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(&state.dir, OsStr::new(name), false) {
        Err(error) if is(&error, Errno::ENOENT) => return Ok(None),
        file => file?,
    };
    let size = usize::try_from(disk.facts(&file)?.size).unwrap_or(usize::MAX);
    let mut bytes = vec![0; size.min(NOTE_MAX + SUM_LEN + 1)];
    let count = read_full(disk, &file, &mut bytes, 0)?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

/// Puts a new file in the place of an old one, durably.
pub(crate) fn replace<D: Disk>(
    disk: &D,
    state: &Folder<D>,
    name: &str,
    bytes: &[u8],
) -> io::Result<()> {
    let (new, old) = (OsString::from(format!("{name}.new")), OsStr::new(name));
    match disk.remove(&state.dir, &new) {
        Err(error) if !is(&error, Errno::ENOENT) => return Err(error),
        _ => {}
    }
    let file = disk.create_new(&state.dir, &new, 0o600)?;
    write_all(disk, &file, bytes, 0)?;
    disk.sync(&file)?;
    disk.rename((&state.dir, &new), (&state.dir, old), true)?;
    disk.sync_dir(&state.dir)
}
