//! A file of the spool taken apart, so that it can be put together wrongly in one place and rightly in all others. Written
//! from FORMAT.md, not with the product's code.

use crc32fast::Hasher;

const HEADER: usize = 64;

/// The parts of a file.
#[derive(Clone)]
pub(super) struct Image {
    header: Vec<u8>,
    pub(super) envelope: Vec<u8>,
    pub(super) content: Vec<u8>,
    /// The journal and the zeros behind it.
    pub(super) rest: Vec<u8>,
}

impl Image {
    /// Takes a whole file apart.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let envelope = usize::try_from(number(&bytes[32..36])).expect("a length");
        let content = usize::try_from(number(&bytes[40..48])).expect("a length");
        let (header, rest) = bytes.split_at(HEADER);
        let (envelope, rest) = rest.split_at(envelope);
        let (content, rest) = rest.split_at(content);
        let [header, envelope, content, rest] =
            [header, envelope, content, rest].map(<[u8]>::to_vec);
        Self {
            header,
            envelope,
            content,
            rest,
        }
    }

    /// Where the journal begins.
    pub(super) fn journal_at(&self) -> usize {
        HEADER + self.envelope.len() + self.content.len()
    }

    /// Puts a value into the header.
    pub(super) fn set(&mut self, at: usize, value: &[u8]) {
        self.header[at..at + value.len()].copy_from_slice(value);
    }

    /// The same as an entry of another id.
    pub(super) fn with_id(&self, id: u64) -> Self {
        let mut other = self.clone();
        other.set(16, &id.to_le_bytes());
        other
    }

    /// Lengths and checksums as they should be.
    pub(super) fn sealed(mut self) -> Self {
        let length = u32::try_from(self.envelope.len()).expect("a length");
        self.set(32, &length.to_le_bytes());
        self.set(36, &crc32fast::hash(&self.envelope).to_le_bytes());
        self.set(40, &(self.content.len() as u64).to_le_bytes());
        self.set(48, &crc32fast::hash(&self.content).to_le_bytes());
        self.seal_header();
        self
    }

    /// The header's checksum as it should be, whatever it says.
    pub(super) fn seal_header(&mut self) {
        let sum = crc32fast::hash(&self.header[..60]);
        self.set(60, &sum.to_le_bytes());
    }

    /// Puts records at the start of the journal.
    pub(super) fn journal(&mut self, records: &[Vec<u8>]) {
        let mut sum = crc32fast::hash(&self.header);
        let mut journal = Vec::new();
        for record in records {
            let length = u32::try_from(record.len()).expect("a length").to_le_bytes();
            let mut hasher = Hasher::new_with_initial(sum);
            hasher.update(&length);
            hasher.update(record);
            sum = hasher.finalize();
            journal.extend(length);
            journal.extend(sum.to_le_bytes());
            journal.extend(record);
        }
        // A file in maildrop has no room for one.
        let end = journal.len().max(self.rest.len());
        self.rest.resize(end, 0);
        self.rest[..journal.len()].copy_from_slice(&journal);
    }

    /// The file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.envelope, &self.content, &self.rest].concat()
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Recipient 0 and no other.
fn only_one(record: &mut Vec<u8>) {
    for value in [1_u32, 0, 1] {
        record.extend(value.to_le_bytes());
    }
}

fn text(text: &str, record: &mut Vec<u8>) {
    record.extend(u16::try_from(text.len()).expect("short").to_le_bytes());
    record.extend(text.as_bytes());
}

/// An attempt at the only recipient begins.
pub(super) fn mark() -> Vec<u8> {
    let mut record = vec![1];
    record.extend(1_700_000_000_000_000_u64.to_le_bytes());
    text("main", &mut record);
    only_one(&mut record);
    record
}

/// It was sent.
pub(super) fn sent() -> Vec<u8> {
    let mut record = vec![2, b'S', 2];
    record.extend(0_u16.to_le_bytes());
    record.extend(0_u16.to_le_bytes());
    record.extend(1_700_000_000_000_000_u64.to_le_bytes());
    text("gw.test[192.0.2.1]:25", &mut record);
    text("250 ok", &mut record);
    only_one(&mut record);
    record
}
