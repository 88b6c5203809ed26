//! The fixed header of a spool file and the places of what follows it.
//!
//! All numbers are little-endian. `FORMAT.md` has the table of the fields.

use mail::{QueueId, Timestamp};

use crate::error::Damage;

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: u64 = 64;
/// The journal area ends at a multiple of this, the block that a file system writes at once.
pub(crate) const BLOCK: u64 = 4096;
/// Least length of the journal area: an attempt mark and some outcomes.
pub(crate) const RESERVE_MIN: u64 = 512;
/// Largest content that the format can hold. Callers set far lower limits.
pub(crate) const CONTENT_MAX: u64 = 1 << 40;

const MAGIC: [u8; 8] = *b"relayd\x1a\n";
const VERSION: u16 = 1;
const HEADER_LEN_FIELD: u16 = 64;

/// Which rules hold for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An entry: it has an id, an origin, an arrival time and a journal.
    Entry = 0,
    /// A file in maildrop: it has none of these, since its writer is not trusted with them.
    Drop = 1,
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) id: QueueId,
    pub(crate) arrival: Timestamp,
    pub(crate) envelope_len: u32,
    pub(crate) envelope_crc: u32,
    pub(crate) content_len: u64,
    pub(crate) content_crc: u32,
}

impl Header {
    /// The header's bytes, checksum included.
    pub(crate) fn encode(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&HEADER_LEN_FIELD.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.number().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.arrival.as_micros().to_le_bytes());
        bytes[32..36].copy_from_slice(&self.envelope_len.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.envelope_crc.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.content_len.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.content_crc.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads what [`Header::encode`] wrote, and refuses anything that it could not have written.
    pub(crate) fn decode(bytes: &[u8; 64]) -> Result<Self, Damage> {
        if bytes[0..8] != MAGIC {
            return Err(Damage::Magic);
        }
        if u32_at(bytes, 60) != crc32fast::hash(&bytes[..60]) {
            return Err(Damage::HeaderChecksum);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(Damage::Version(version));
        }
        let header = Self {
            kind: kind(u32_at(bytes, 12))?,
            id: QueueId::from_number(u64_at(bytes, 16)),
            arrival: Timestamp::from_micros(u64_at(bytes, 24)),
            envelope_len: u32_at(bytes, 32),
            envelope_crc: u32_at(bytes, 36),
            content_len: u64_at(bytes, 40),
            content_crc: u32_at(bytes, 48),
        };
        if header.envelope_len > crate::ENVELOPE_MAX || header.content_len > CONTENT_MAX {
            return Err(Damage::TooLarge);
        }
        // Refuses numbers above 48 bits, another header length, and bytes set in the unused part.
        if header.encode() != *bytes {
            return Err(Damage::Header);
        }
        Ok(header)
    }

    /// The offset of the content.
    pub(crate) fn content_start(&self) -> u64 {
        HEADER_LEN + u64::from(self.envelope_len)
    }

    /// The offset after the content, where the journal of an entry starts.
    pub(crate) fn content_end(&self) -> u64 {
        self.content_start() + self.content_len
    }

    /// The least size of the whole file; for one in maildrop, its size.
    pub(crate) fn file_len(&self) -> u64 {
        self.content_end() + self.reserve()
    }

    /// Length of the journal area that is written as zeros at acceptance: what is left of the
    /// last block, and a block more where that is less than [`RESERVE_MIN`].
    pub(crate) fn reserve(&self) -> u64 {
        if self.kind == Kind::Drop {
            return 0;
        }
        let left = BLOCK - self.content_end() % BLOCK;
        if left < RESERVE_MIN {
            left + BLOCK
        } else {
            left
        }
    }

    /// Where the chain of the journal's checksums begins: differs from file to file, so that
    /// records of another file that a disk puts here do not count.
    pub(crate) fn chain(&self) -> u32 {
        crc32fast::hash(&self.encode())
    }
}

fn kind(number: u32) -> Result<Kind, Damage> {
    match number {
        0 => Ok(Kind::Entry),
        1 => Ok(Kind::Drop),
        _ => Err(Damage::Header),
    }
}

fn u32_at(bytes: &[u8; 64], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8; 64], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(kind: Kind, envelope_len: u32, content_len: u64) -> Header {
        let id = QueueId::from_number(0xABCD_EF01_2345);
        let arrival = Timestamp::from_secs(1_700_000_000);
        let (envelope_crc, content_crc) = (7, 8);
        Header {
            kind,
            id,
            arrival,
            envelope_len,
            envelope_crc,
            content_len,
            content_crc,
        }
    }

    #[test]
    fn the_journal_area_fills_the_last_block() {
        for content_len in 0..9000 {
            let header = header(Kind::Entry, 100, content_len);
            assert_eq!(header.file_len() % BLOCK, 0);
            assert!((RESERVE_MIN..RESERVE_MIN + BLOCK).contains(&header.reserve()));
        }
        assert_eq!(header(Kind::Drop, 100, 50).file_len(), 214);
    }

    #[test]
    fn every_bit_of_a_header_counts() {
        let bytes = header(Kind::Entry, 100, 5000).encode();
        assert_eq!(Header::decode(&bytes), Ok(header(Kind::Entry, 100, 5000)));
        for bit in 0..512 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lengths_above_their_limits_are_refused() {
        let large = header(Kind::Entry, crate::ENVELOPE_MAX + 1, 0);
        assert_eq!(Header::decode(&large.encode()), Err(Damage::TooLarge));
        let large = header(Kind::Entry, 1, CONTENT_MAX + 1);
        assert_eq!(Header::decode(&large.encode()), Err(Damage::TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::array::uniform32(any::<u8>())) {
            let mut whole = [0; 64];
            whole[..32].copy_from_slice(&bytes);
            whole[..8].copy_from_slice(&MAGIC);
            let sum = crc32fast::hash(&whole[..60]);
            whole[60..].copy_from_slice(&sum.to_le_bytes());
            let _ = Header::decode(&whole);
        }
    }
}
