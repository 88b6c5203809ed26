//! Line ends as they go over the wire: every line ends in CRLF, and no CR or LF stands alone.
//!
//! A bare LF becomes CRLF. CRs before a line end are dropped. A CR anywhere else becomes a space,
//! as Postfix writes it on relay. The result does not depend on how the bytes are cut into pieces.

/// Most CRs that are held back until it is known whether a line end follows them.
const MAX_HELD: u8 = 64;

/// Writes lines. Holds no more than a few counters.
#[derive(Clone, Debug)]
pub(crate) struct LineEnds {
    /// Nothing was written since the last line end, and no CR is held.
    start: bool,
    /// CRs that came after the last byte written.
    held: u8,
}

impl LineEnds {
    pub(crate) const fn new() -> Self {
        Self {
            start: true,
            held: 0,
        }
    }

    pub(crate) const fn is_start(&self) -> bool {
        self.start
    }

    /// Adds bytes that hold neither CR nor LF.
    pub(crate) fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        out.extend(std::iter::repeat_n(
            b' ',
            usize::from(std::mem::take(&mut self.held)),
        ));
        out.extend_from_slice(text);
        self.start = false;
    }

    /// Adds a CR.
    pub(crate) fn cr(&mut self, out: &mut Vec<u8>) {
        self.start = false;
        if self.held == MAX_HELD {
            out.push(b' ');
        } else {
            self.held += 1;
        }
    }

    /// Ends the line with an LF. Gives whether it was a CRLF.
    pub(crate) fn lf(&mut self, out: &mut Vec<u8>) -> bool {
        let crlf = self.held > 0;
        out.extend_from_slice(b"\r\n");
        *self = Self::new();
        crlf
    }

    /// Ends a line that was begun.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        if !self.start {
            self.lf(out);
        }
    }
}
