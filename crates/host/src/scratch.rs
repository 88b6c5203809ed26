//! A place for a message that is too large to be kept in memory while it is being read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// Bytes written once and then read once, in pieces: the first `IN_MEMORY` bytes in a buffer, the
/// whole in an anonymous file of the kernel's (`memfd_create`) as soon as there are more.
///
/// Such a file has no name: nothing is left behind if the process is killed, nothing can be put in
/// its place, and it works where no folder can be written. It does not count as address space, so a
/// caller's `RLIMIT_AS` does not turn a large message into an abort.
#[derive(Debug, Default)]
pub struct Scratch {
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
}

/// Up to here a message is held in a buffer: 256 KiB, more than nearly every message has.
const IN_MEMORY: usize = 256 * 1024;

impl Scratch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// A reader from the first byte on. Only one at a time: readers share the position.
    ///
    /// # Errors
    /// The kernel refused to move the file position; not expected.
    pub fn reader(&mut self) -> io::Result<Reader<'_>> {
        match &mut self.file {
            Some(file) => {
                file.seek(SeekFrom::Start(0))?;
                Ok(Reader::File(file))
            }
            None => Ok(Reader::Memory(&self.memory)),
        }
    }

    fn move_to_file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let fd = memfd_create("message", MFdFlags::MFD_CLOEXEC)?;
            let mut file = File::from(fd);
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        Ok(self.file.as_mut().expect("it was set above"))
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = self.memory.len() + bytes.len() <= IN_MEMORY;
        let count = if self.file.is_none() && fits {
            self.memory.extend_from_slice(bytes);
            bytes.len()
        } else {
            self.move_to_file()?.write(bytes)?
        };
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what was written to a [`Scratch`].
#[derive(Debug)]
pub enum Reader<'a> {
    /// From the buffer.
    Memory(&'a [u8]),
    /// From the kernel's file.
    File(&'a mut File),
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Reader::Memory(bytes) => bytes.read(buffer),
            Reader::File(file) => file.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(pieces: usize) {
        let piece = vec![b'x'; 100_000];
        let mut scratch = Scratch::new();
        for _ in 0..pieces {
            scratch.write_all(&piece).unwrap();
        }
        for _ in 0..2 {
            let mut back = Vec::new();
            scratch.reader().unwrap().read_to_end(&mut back).unwrap();
            assert_eq!(back.len(), pieces * piece.len());
        }
        assert_eq!(scratch.len(), (pieces * piece.len()) as u64);
        assert_eq!(scratch.is_empty(), pieces == 0);
        assert_eq!(scratch.file.is_some(), pieces > 2);
    }

    #[test]
    fn what_is_written_can_be_read_more_than_once() {
        round_trip(0);
        round_trip(2);
        round_trip(3);
    }
}
