//! Files of the spool put together by the description in `FORMAT.md` alone.

/// The length of the header.
pub(super) const HEADER: usize = 64;

/// What is not yet used of the input.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// All that is left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A part with its length before it in two bytes; what there is, if that is more than there is.
    fn part(&mut self) -> &'a [u8] {
        let (length, rest) = self.rest.split_first_chunk().unwrap_or((&[0; 2], b""));
        let length = usize::from(u16::from_be_bytes(*length));
        let (part, rest) = rest.split_at(length.min(rest.len()));
        self.rest = rest;
        part
    }

    /// An entry: its envelope, its content, and its journal record by record up to an empty one.
    pub(super) fn entry(&mut self, id: u64) -> Vec<u8> {
        let (envelope, content) = (self.part(), self.part());
        let header = header(0, id, envelope, content);
        let mut file = [&header[..], envelope, content].concat();
        let mut chain = crc32fast::hash(&header);
        loop {
            let payload = self.part();
            if payload.is_empty() {
                break;
            }
            let length = u32::try_from(payload.len()).expect("two bytes of length");
            let mut sum = crc32fast::Hasher::new_with_initial(chain);
            sum.update(&length.to_le_bytes());
            sum.update(payload);
            chain = sum.finalize();
            file.extend(length.to_le_bytes());
            file.extend(chain.to_le_bytes());
            file.extend(payload);
        }
        let reserved = reserved(HEADER + envelope.len() + content.len());
        file.resize(file.len().max(reserved), 0);
        file
    }

    /// A file in maildrop: its envelope and its content.
    pub(super) fn submission(&mut self) -> Vec<u8> {
        let (envelope, content) = (self.part(), self.part());
        [&header(1, 0, envelope, content)[..], envelope, content].concat()
    }
}

fn header(kind: u32, id: u64, envelope: &[u8], content: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let length = |part: &[u8]| u32::try_from(part.len()).expect("two bytes of length");
    put(0, b"relayd\x1a\n");
    put(8, &1_u16.to_le_bytes());
    put(10, &64_u16.to_le_bytes());
    put(12, &kind.to_le_bytes());
    put(16, &id.to_le_bytes());
    put(
        24,
        &(u64::from(kind == 0) * 1_795_458_252_000_000).to_le_bytes(),
    );
    put(32, &length(envelope).to_le_bytes());
    put(36, &crc32fast::hash(envelope).to_le_bytes());
    put(40, &u64::from(length(content)).to_le_bytes());
    put(48, &crc32fast::hash(content).to_le_bytes());
    let sum = crc32fast::hash(&header[..60]);
    header[60..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The size of a new entry whose content ends at `end`: whole blocks, with at least 512 bytes of journal.
fn reserved(end: usize) -> usize {
    let blocks = (end / 4096 + 1) * 4096;
    if blocks - end < 512 {
        blocks + 4096
    } else {
        blocks
    }
}

/// How long the envelope of a file is by its header.
pub(super) fn envelope_length(file: &[u8]) -> usize {
    u32_at(file, 32)
}

/// Where the content of a file ends by its header.
pub(super) fn content_end(file: &[u8]) -> usize {
    HEADER + envelope_length(file) + u32_at(file, 40)
}

fn u32_at(file: &[u8], at: usize) -> usize {
    let bytes = file[at..at + 4].try_into().expect("four bytes");
    u32::from_le_bytes(bytes) as usize
}
