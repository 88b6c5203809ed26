//! Bytes from the peer, given back line by line. It does not limit: whoever asks for lines looks at
//! [`LineBuffer::pending`] and decides how long an unfinished line may grow.

/// Received bytes that were not used yet.
#[derive(Default)]
pub(crate) struct LineBuffer {
    bytes: Vec<u8>,
    /// Everything before is used.
    start: usize,
    /// No LF lies between `start` and here.
    searched: usize,
}

impl LineBuffer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Used bytes are dropped only when new ones come, so that taking a line costs no copying.
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line without its LF; a CR before the LF is still there.
    pub(crate) fn take_line(&mut self) -> Option<&[u8]> {
        let Some(found) = self.bytes[self.searched..].iter().position(|&b| b == b'\n') else {
            self.searched = self.bytes.len();
            return None;
        };
        let (from, to) = (self.start, self.searched + found);
        self.start = to + 1;
        self.searched = self.start;
        Some(&self.bytes[from..to])
    }

    /// What is there and not used yet, whole lines or not.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Marks the first `count` pending bytes as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        self.searched = self.searched.max(self.start);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_lines_in_whatever_pieces_they_come() {
        let mut buffer = LineBuffer::default();
        for byte in b"one\r\ntwo\n\nrest" {
            buffer.push(&[*byte]);
        }
        assert_eq!(buffer.take_line(), Some(&b"one\r"[..]));
        assert_eq!(buffer.take_line(), Some(&b"two"[..]));
        assert_eq!(buffer.take_line(), Some(&b""[..]));
        assert_eq!(buffer.take_line(), None);
        buffer.push(b" of it\nX");
        assert_eq!(buffer.pending(), b"rest of it\nX");
        buffer.consume(5);
        assert_eq!(buffer.take_line(), Some(&b"of it"[..]));
        assert_eq!(buffer.pending(), b"X");
        buffer.clear();
        assert_eq!(buffer.pending(), b"");
    }
}
