//! Writes a new spool file from front to back, and patches its header when all is known.

use std::io;
use std::sync::Arc;

use mail::{QueueId, Timestamp};
use nix::errno::Errno;

use crate::disk::Disk;
use crate::envelope::{Section, encode};
use crate::format::{CONTENT_MAX, HEADER_LEN, Header, Kind};

/// Content is gathered up to this many bytes before it is written; most messages take one write.
const BUFFER_LEN: usize = 64 * 1024;

/// A spool file that is being written.
pub(crate) struct Writer<D: Disk> {
    file: Arc<D::File>,
    header: Header,
    sum: crc32fast::Hasher,
    /// What is not written yet, and the offset it belongs to.
    buffer: Vec<u8>,
    offset: u64,
}

impl<D: Disk> Writer<D> {
    /// Starts with a header that is no header yet, and the envelope.
    pub(crate) fn new(
        file: Arc<D::File>,
        (kind, id, arrival): (Kind, QueueId, Timestamp),
        section: &Section,
    ) -> Result<Self, &'static str> {
        let envelope = encode(section)?;
        let header = Header {
            kind,
            id,
            arrival,
            envelope_len: u32::try_from(envelope.len()).expect("bounded by ENVELOPE_MAX"),
            envelope_crc: crc32fast::hash(&envelope),
            content_len: 0,
            content_crc: 0,
        };
        let mut buffer = vec![0; header.encode().len()];
        buffer.extend_from_slice(&envelope);
        Ok(Self {
            file,
            header,
            sum: crc32fast::Hasher::new(),
            buffer,
            offset: 0,
        })
    }

    pub(crate) fn file(&self) -> &Arc<D::File> {
        &self.file
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn content_len(&self) -> u64 {
        self.header.content_len
    }

    /// Adds to the content.
    pub(crate) fn write(&mut self, disk: &D, bytes: &[u8]) -> io::Result<()> {
        self.header.content_len += bytes.len() as u64;
        if self.header.content_len > CONTENT_MAX {
            return Err(Errno::EFBIG.into());
        }
        self.sum.update(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_LEN {
            self.flush(disk)
        } else {
            Ok(())
        }
    }

    /// Ends the content: the journal area and the header are written. Nothing is synced.
    pub(crate) fn finish(&mut self, disk: &D) -> io::Result<()> {
        self.header.content_crc = self.sum.clone().finalize();
        let end = self.offset + self.buffer.len() as u64;
        let zeros = usize::try_from(self.header.file_len() - end).expect("two blocks at most");
        self.buffer.resize(self.buffer.len() + zeros, 0);
        let header = self.header.encode();
        if self.offset == 0 {
            self.buffer[..header.len()].copy_from_slice(&header);
            return self.flush(disk);
        }
        self.flush(disk)?;
        write_all(disk, &self.file, &header, 0)
    }

    /// Gives a finished file another id.
    pub(crate) fn set_id(&mut self, disk: &D, id: QueueId) -> io::Result<()> {
        self.header.id = id;
        write_all(disk, &self.file, &self.header.encode(), 0)
    }

    fn flush(&mut self, disk: &D) -> io::Result<()> {
        write_all(disk, &self.file, &self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        debug_assert!(self.offset >= HEADER_LEN);
        Ok(())
    }
}

/// Writes all of `bytes` at `offset`: goes on after a short write or an interruption.
pub(crate) fn write_all<D: Disk>(
    disk: &D,
    file: &D::File,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match disk.write_at(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count.min(bytes.len())..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether an error of [`Disk::create_unnamed`] says that there are no such files here, so that
/// one with a name is to be made instead.
pub(crate) fn no_unnamed_files(error: &io::Error) -> bool {
    let missing = [Errno::EOPNOTSUPP, Errno::EISDIR, Errno::ENOENT];
    missing
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// The text of an id as a file's name.
pub(crate) fn entry_name(id: QueueId) -> std::ffi::OsString {
    id.to_string().into()
}
