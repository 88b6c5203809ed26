//! Queue ids that are never used twice.
//!
//! An id is the time in microseconds, or one more than the last where that is larger. A mark on
//! disk, `state/ids`, lies above every id that was ever given out; it is moved ahead a block at a
//! time, and after a restart ids go on from it. So ids grow even when the clock is set back, and
//! repeat only when 2^48 microseconds (8.9 years) have gone by.
//!
//! The mark is a file of its own that is replaced by a new one. Where a sync of the new one
//! fails, it is thrown away and the next id tries again with another file.

use std::ffi::OsStr;
use std::io;

use mail::{QueueId, Timestamp};
use nix::errno::Errno;

use crate::disk::Disk;
use crate::entry::read_full;
use crate::error::SpoolError;
use crate::folders::{Folder, is};
use crate::notes;

/// How far the mark is put ahead, in microseconds: one write in half a minute.
const BLOCK_US: u64 = 30_000_000;
const FILE_LEN: usize = 20;
const MAGIC: [u8; 8] = *b"relayids";
const WRAP: u64 = 1 << 48;

/// Gives out ids.
pub(crate) struct Ids {
    /// The last id given out, not yet wrapped.
    last: u64,
    /// The mark on disk.
    mark: u64,
    /// Where `state/ids` could not be read: the largest id found in the queues.
    largest_found: Option<u64>,
}

impl Ids {
    /// Goes on from the mark on disk. Where there is none, `largest_found` tells the largest id
    /// among the entries, which ids must not meet.
    pub(crate) fn read<D: Disk>(
        disk: &D,
        state: &Folder<D>,
        largest_found: impl FnOnce() -> Result<Option<QueueId>, SpoolError>,
    ) -> Result<Self, SpoolError> {
        let fault = |error| SpoolError::io("read", state.path.join("ids"), error);
        match read_mark(disk, state).map_err(fault)? {
            Some(mark) => Ok(Self {
                last: mark,
                mark,
                largest_found: None,
            }),
            None => {
                let largest_found = largest_found()?.map(QueueId::number);
                Ok(Self {
                    last: 0,
                    mark: 0,
                    largest_found,
                })
            }
        }
    }

    /// The next id. `now` is the wall clock; it may stand still or go back.
    pub(crate) fn next<D: Disk>(
        &mut self,
        disk: &D,
        state: &Folder<D>,
        now: Timestamp,
    ) -> Result<QueueId, SpoolError> {
        let now = now.as_micros();
        if let Some(found) = self.largest_found.take() {
            self.last = unwrap_near(found, now);
        }
        let id = now.max(self.last.saturating_add(1));
        if id >= self.mark {
            let mark = id.saturating_add(BLOCK_US);
            let written = notes::replace(disk, state, "ids", &encode(mark));
            written.map_err(|error| SpoolError::io("write", state.path.join("ids"), error))?;
            self.mark = mark;
        }
        self.last = id;
        Ok(QueueId::from_number(id))
    }
}

/// The number that gives `wrapped` modulo 2^48 and lies nearest to `now`.
fn unwrap_near(wrapped: u64, now: u64) -> u64 {
    let same = now - now % WRAP + wrapped;
    if same > now + WRAP / 2 {
        same.saturating_sub(WRAP)
    } else if same + WRAP / 2 < now {
        same + WRAP
    } else {
        same
    }
}

/// The mark on disk; `None` if there is no file, or not one that [`encode`] made.
fn read_mark<D: Disk>(disk: &D, state: &Folder<D>) -> io::Result<Option<u64>> {
    let file = match disk.open(&state.dir, OsStr::new("ids"), false) {
        Err(error) if is(&error, Errno::ENOENT) => return Ok(None),
        file => file?,
    };
    let mut bytes = [0; FILE_LEN];
    let count = read_full(disk, &file, &mut bytes, 0)?;
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[8..16]);
    let mark = u64::from_le_bytes(number);
    Ok((count == FILE_LEN && bytes == encode(mark)).then_some(mark))
}

fn encode(mark: u64) -> [u8; FILE_LEN] {
    let mut bytes = [0; FILE_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&mark.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DirUse, RealDisk};

    fn state(dir: &std::path::Path) -> Folder<RealDisk> {
        let opened = RealDisk.open_root(dir, DirUse::Full).unwrap();
        Folder {
            dir: opened,
            path: dir.to_owned(),
        }
    }

    fn ids(state: &Folder<RealDisk>) -> Ids {
        Ids::read(&RealDisk, state, || Ok(None)).unwrap()
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back_and_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        let mut all = Vec::new();
        for start_s in [1_000_000, 1_000_000, 5, 2_000_000, 0] {
            let mut ids = ids(&state);
            for n in 0..200 {
                let now = Timestamp::from_micros(start_s * 1_000_000 + n / 2);
                all.push(ids.next(&RealDisk, &state, now).unwrap());
            }
        }
        assert!(all.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn an_id_is_the_time_where_that_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        let now = Timestamp::from_micros(0x0006_1234_5678_9ABC);
        let id = ids(&state).next(&RealDisk, &state, now).unwrap();
        assert_eq!(id.to_string(), "123456789ABC");
    }

    #[test]
    fn a_damaged_mark_is_replaced_by_what_the_queues_hold() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        std::fs::write(dir.path().join("ids"), b"relayids????????????").unwrap();
        let found = QueueId::from_number(5_000);
        let mut ids = Ids::read(&RealDisk, &state, || Ok(Some(found))).unwrap();
        let id = ids
            .next(&RealDisk, &state, Timestamp::from_micros(40))
            .unwrap();
        assert_eq!(id.number(), 5_001);
    }

    #[test]
    fn numbers_unwrap_to_the_nearest_time() {
        assert_eq!(unwrap_near(5, WRAP - 1), WRAP + 5);
        assert_eq!(unwrap_near(WRAP - 1, WRAP + 5), WRAP - 1);
        assert_eq!(unwrap_near(7, 7 * WRAP + 9), 7 * WRAP + 7);
        assert_eq!(unwrap_near(WRAP - 1, 5), 0, "never below zero");
    }
}
