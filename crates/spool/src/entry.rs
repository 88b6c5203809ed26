//! Reads a file of the spool, trusting nothing in it.
//!
//! Every length is compared with its limit and with the file's size before memory is taken for
//! it. The journal is read record by record, so a long one takes no more memory than a short one.

use std::io;

use mail::Envelope;

use crate::content::Content;
use crate::disk::{Disk, Facts, FileKind};
use crate::envelope::{Section, decode};
use crate::error::Damage;
use crate::format::{HEADER_LEN, Header, Kind};
use crate::journal::{self, FRAME_LEN};
use crate::meta::{Meta, Queue, RecipientState};

/// An entry as its file tells it.
pub(crate) struct Entry {
    pub(crate) header: Header,
    pub(crate) meta: Meta,
    pub(crate) tail: Tail,
}

/// Where the next journal record goes, and the checksum that it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) offset: u64,
    pub(crate) chain: u32,
}

/// Why a file could not be read as an entry.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is none.
    Damage(Damage),
    /// The system did not let it be read.
    Io(io::Error),
}

impl From<Damage> for Fault {
    fn from(why: Damage) -> Self {
        Self::Damage(why)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The rule for every file that is read. More than one name is no damage here: a backup made of
/// hard links must not set a whole queue aside. In maildrop it is.
pub(crate) fn check_file(facts: &Facts) -> Result<(), Damage> {
    if facts.kind == FileKind::Regular {
        Ok(())
    } else {
        Err(Damage::NotRegular)
    }
}

/// Reads an entry of `size` bytes, all but its content.
pub(crate) fn read<D: Disk>(
    disk: &D,
    file: &D::File,
    size: u64,
    queue: Queue,
) -> Result<Entry, Fault> {
    let mut window = Window {
        disk,
        file,
        size,
        start: 0,
        buffer: Vec::new(),
    };
    let (header, section) = read_front(&mut window, Kind::Entry)?;
    let Section {
        envelope,
        origin,
        source,
    } = section;
    let origin = origin.ok_or(Damage::Envelope)?;
    let mut meta = Meta {
        id: header.id,
        queue,
        arrival: header.arrival,
        size: header.content_len,
        recipients: vec![RecipientState::default(); envelope.recipients.len()],
        envelope,
        origin,
        source,
        attempts: 0,
        uncertain: false,
        last_attempt: None,
    };
    if size < header.file_len() {
        return Err(Damage::CutShort.into());
    }
    let tail = read_journal(&mut window, &header, &mut meta)?;
    Ok(Entry { header, meta, tail })
}

/// Reads a file of maildrop, all but its content, which is at most `content_max` bytes.
pub(crate) fn read_drop<D: Disk>(
    disk: &D,
    file: &D::File,
    size: u64,
    content_max: u64,
) -> Result<(Header, Envelope), Fault> {
    let mut window = Window {
        disk,
        file,
        size,
        start: 0,
        buffer: Vec::new(),
    };
    let (header, section) = read_front(&mut window, Kind::Drop)?;
    let forged = section.origin.is_some() || section.source.is_some();
    if forged || header.id.number() != 0 || header.arrival.as_micros() != 0 {
        return Err(Damage::Header.into());
    }
    if header.content_len > content_max {
        return Err(Damage::TooLarge.into());
    }
    match size.cmp(&header.file_len()) {
        std::cmp::Ordering::Less => Err(Damage::CutShort.into()),
        std::cmp::Ordering::Greater => Err(Damage::Trailing.into()),
        std::cmp::Ordering::Equal => Ok((header, section.envelope)),
    }
}

/// The content behind a header.
pub(crate) fn content<D: Disk>(
    disk: std::sync::Arc<D>,
    file: std::sync::Arc<D::File>,
    header: &Header,
) -> Content<D> {
    let place = header.content_start()..header.content_end();
    Content::new(disk, file, place, header.content_crc)
}

fn read_front<D: Disk>(window: &mut Window<'_, D>, kind: Kind) -> Result<(Header, Section), Fault> {
    let bytes = window.get(0, HEADER_LEN)?.ok_or(Damage::NoHeader)?;
    let header = Header::decode(bytes.try_into().expect("asked for so many bytes"))?;
    if header.kind != kind {
        return Err(Damage::Misplaced.into());
    }
    let envelope = window.get(HEADER_LEN, u64::from(header.envelope_len))?;
    let envelope = envelope.ok_or(Damage::CutShort)?;
    if crc32fast::hash(envelope) != header.envelope_crc {
        return Err(Damage::EnvelopeChecksum.into());
    }
    Ok((header, decode(envelope)?))
}

/// Where an empty journal goes on.
pub(crate) fn journal_start(header: &Header) -> Tail {
    Tail {
        offset: header.content_end(),
        chain: header.chain(),
    }
}

/// Applies the journal's unbroken run of records. What follows the run is a write that a crash
/// cut off; the next record overwrites it.
fn read_journal<D: Disk>(
    window: &mut Window<'_, D>,
    header: &Header,
    meta: &mut Meta,
) -> Result<Tail, Fault> {
    let mut tail = journal_start(header);
    loop {
        let Some(bytes) = window.get(tail.offset, FRAME_LEN)? else {
            return Ok(tail);
        };
        let frame = journal::frame(bytes.try_into().expect("asked for so many bytes"));
        let Some((length, sum)) = frame else {
            return Ok(tail);
        };
        let payload = window.get(tail.offset + FRAME_LEN, u64::from(length))?;
        let Some(payload) = payload.filter(|it| journal::checksum(tail.chain, it) == sum) else {
            return Ok(tail);
        };
        meta.apply(&journal::decode(payload, meta.recipients.len())?);
        tail = Tail {
            offset: tail.offset + FRAME_LEN + u64::from(length),
            chain: sum,
        };
    }
}

/// A part of a file that is held in memory and moves as it is asked for.
struct Window<'a, D: Disk> {
    disk: &'a D,
    file: &'a D::File,
    size: u64,
    start: u64,
    buffer: Vec<u8>,
}

/// Enough for header, envelope and journal of most entries in one read.
const WINDOW_LEN: u64 = 16 * 1024;

impl<D: Disk> Window<'_, D> {
    /// The bytes at `offset`; `None` where the file does not have them all.
    fn get(&mut self, offset: u64, length: u64) -> io::Result<Option<&[u8]>> {
        if length > self.size.saturating_sub(offset) {
            return Ok(None);
        }
        let held = self.start + self.buffer.len() as u64;
        if offset < self.start || offset + length > held {
            self.load(offset, length.max(WINDOW_LEN).min(self.size - offset))?;
        }
        let from = usize::try_from(offset - self.start).expect("inside the window");
        let length = usize::try_from(length).expect("inside the window");
        Ok(self.buffer.get(from..from + length))
    }

    fn load(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.start = offset;
        self.buffer
            .resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        let count = read_full(self.disk, self.file, &mut self.buffer, offset)?;
        self.buffer.truncate(count);
        Ok(())
    }
}

/// Reads until `bytes` is full or the file ends; returns how many bytes there were.
pub(crate) fn read_full<D: Disk>(
    disk: &D,
    file: &D::File,
    bytes: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut count = 0;
    while count < bytes.len() {
        match disk.read_at(file, &mut bytes[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
