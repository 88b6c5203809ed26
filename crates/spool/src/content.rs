//! Reads the content of an entry or submission, with its checksum.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use crate::disk::{Disk, RealDisk};
use crate::entry::read_full;

const BUFFER_LEN: u64 = 64 * 1024;

/// The content of an entry or submission, in CRLF form, read from its start.
///
/// The last bytes are held back until the checksum of the whole is known to be right; otherwise
/// there is an error of kind `InvalidData` in their place. So whoever reads to the end has exactly
/// what was written, even if the file changes meanwhile.
pub struct Content<D: Disk = RealDisk> {
    disk: Arc<D>,
    file: Arc<D::File>,
    place: Range<u64>,
    expected: u32,
    /// The offset of what is not in the buffer yet.
    next: u64,
    sum: crc32fast::Hasher,
    buffer: Vec<u8>,
    /// How much of the buffer was given out.
    used: usize,
}

impl<D: Disk> Content<D> {
    pub(crate) fn new(disk: Arc<D>, file: Arc<D::File>, place: Range<u64>, expected: u32) -> Self {
        let (sum, next) = (crc32fast::Hasher::new(), place.start);
        Self {
            disk,
            file,
            place,
            expected,
            next,
            sum,
            buffer: Vec::new(),
            used: 0,
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.place.end - self.place.start
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.place.is_empty()
    }

    /// Reads all of it to see whether the checksum is right, and goes back to the start. Content
    /// that fits the buffer is not read again afterwards.
    pub(crate) fn verify(&mut self) -> io::Result<bool> {
        loop {
            match self.fill() {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
                result => result?,
            }
            if self.next == self.place.end {
                break;
            }
        }
        if self.len() > BUFFER_LEN {
            (self.next, self.sum) = (self.place.start, crc32fast::Hasher::new());
            self.buffer.clear();
        }
        Ok(true)
    }

    /// Replaces the buffer by the next bytes, if it may give them out.
    fn fill(&mut self) -> io::Result<()> {
        let length = (self.place.end - self.next).min(BUFFER_LEN);
        let length = usize::try_from(length).expect("at most BUFFER_LEN");
        (self.used, self.buffer) = (0, vec![0; length]);
        let count = read_full(&*self.disk, &self.file, &mut self.buffer, self.next)?;
        self.next += count as u64;
        self.sum.update(&self.buffer[..count]);
        let last = self.next == self.place.end;
        let wrong = last && self.sum.clone().finalize() != self.expected;
        if count < length || wrong {
            self.buffer.clear();
            let why = "the content's checksum is wrong";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }
}

impl<D: Disk> Read for Content<D> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.used == self.buffer.len() && self.next < self.place.end {
            self.fill()?;
        }
        let rest = &self.buffer[self.used..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.used += count;
        Ok(count)
    }
}

impl<D: Disk> fmt::Debug for Content<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
