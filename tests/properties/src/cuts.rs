//! Bytes cut into pieces, as a network or a pipe may hand them over.

/// How bytes are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cuts {
    /// Not at all.
    None,
    /// Into single bytes.
    Bytes,
    /// At places that depend on the bytes' number and this seed alone.
    Scattered(u32),
}

impl Cuts {
    /// The three ways, the scattered one made from the bytes themselves.
    pub(crate) fn all(bytes: &[u8]) -> [Self; 3] {
        [
            Self::None,
            Self::Bytes,
            Self::Scattered(crc32fast::hash(bytes)),
        ]
    }

    /// The bytes in pieces; none is empty.
    pub(crate) fn pieces(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = bytes;
        let mut random = match self {
            Self::Scattered(seed) => seed | 1,
            Self::None | Self::Bytes => 1,
        };
        std::iter::from_fn(move || {
            let length = match self {
                Self::None => rest.len(),
                Self::Bytes => 1,
                Self::Scattered(_) => scattered(&mut random),
            };
            let (piece, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// A length, short more often than long (xorshift).
fn scattered(random: &mut u32) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    let most = if *random & 0x700 == 0 { 300 } else { 12 };
    (*random >> 16) as usize % most + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_bytes() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        for cuts in Cuts::all(&bytes) {
            let pieces: Vec<&[u8]> = cuts.pieces(&bytes).collect();
            assert_eq!(pieces.concat(), bytes);
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
        }
    }
}
