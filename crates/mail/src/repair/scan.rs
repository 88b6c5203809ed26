//! What a message holds that not every gateway can carry.

use super::entity::{Entity, Kind};
use super::walk::{Around, Head, Place, Sink, Walker};
use super::{Channel, LINE_LIMIT};

/// Parts that are remembered one by one; all further ones share the last place.
const PARTS_LIMIT: usize = 4_096;

/// What a [`Scanner`] found. About as large as the message has parts, at most some 4 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The message's own header block holds bytes above 127.
    pub eight_bit_header: bool,
    /// Anything after it does.
    pub eight_bit_body: bool,
    /// The longest line in bytes, without its end.
    pub longest_line: usize,
    /// For each part in the order of the header blocks, what stands in it.
    parts: Vec<Flags>,
}

/// What is known of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    /// There are bytes above 127 in the body, for a multipart in that of any part in it.
    pub(super) eight_bit: bool,
    /// A line is longer than [`LINE_LIMIT`].
    pub(super) long_line: bool,
    /// All of the body is UTF-8.
    pub(super) utf8: bool,
    /// More than a third is above 127, so that base64 is shorter and no worse to read.
    pub(super) dense: bool,
}

impl Flags {
    const PLAIN: Self = Self {
        eight_bit: false,
        long_line: false,
        utf8: true,
        dense: false,
    };

    /// Whether the body cannot go over the channel as it is.
    pub(super) fn needs_repair(self, channel: Channel) -> bool {
        self.long_line || self.eight_bit && !channel.eight_bit
    }
}

impl Findings {
    /// Whether anything of the message cannot go over the channel as it is.
    #[must_use]
    pub fn needs_repair(&self, channel: Channel) -> bool {
        self.longest_line > LINE_LIMIT
            || self.eight_bit_header && !channel.utf8_header
            || self.eight_bit_body && !channel.eight_bit
    }

    /// Whether there are bytes above 127 anywhere.
    #[must_use]
    pub const fn eight_bit(&self) -> bool {
        self.eight_bit_header || self.eight_bit_body
    }

    pub(super) fn part(&self, part: usize) -> Flags {
        let place = part.min(PARTS_LIMIT - 1);
        self.parts.get(place).copied().unwrap_or(Flags::PLAIN)
    }
}

/// Finds out what a message holds, its bytes fed in pieces of any size.
pub struct Scanner {
    walker: Walker,
    notes: Notes,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the beginning of a message.
    #[must_use]
    pub fn new() -> Self {
        Self {
            walker: Walker::new(),
            notes: Notes::default(),
        }
    }

    /// Takes the next bytes: the header block, the empty line and the body, in CR LF.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.walker.feed(bytes, &mut self.notes);
    }

    /// What was found, at the end of the message.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        self.walker.finish(&mut self.notes);
        self.notes.end_line();
        self.notes.findings
    }
}

#[derive(Default)]
struct Notes {
    findings: Findings,
    /// The part whose body is read, and what it stands in.
    part: usize,
    around: Vec<usize>,
    /// The length of the line so far.
    column: usize,
    bytes: usize,
    eight_bit: usize,
    utf8: Utf8,
}

impl Notes {
    fn end_line(&mut self) {
        self.findings.longest_line = self.findings.longest_line.max(self.column);
        self.column = 0;
    }

    /// Notes the lines of a header block or a boundary.
    fn lines(&mut self, bytes: &[u8]) {
        let lines = bytes.split(|byte| *byte == b'\n');
        let lengths = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).len());
        self.findings.longest_line = lengths.max().unwrap_or(0).max(self.findings.longest_line);
    }

    fn flags(&mut self, part: usize) -> &mut Flags {
        let place = part.min(PARTS_LIMIT - 1);
        if self.findings.parts.len() <= place {
            self.findings.parts.resize(place + 1, Flags::PLAIN);
        }
        &mut self.findings.parts[place]
    }

    fn note_eight_bit(&mut self) {
        self.findings.eight_bit_body = true;
        let around = std::mem::take(&mut self.around);
        for part in &around {
            self.flags(*part).eight_bit = true;
        }
        self.around = around;
    }
}

impl Sink for Notes {
    fn head(&mut self, part: usize, entity: &Entity, around: &[Around], head: Head<'_>) {
        self.end_line();
        self.lines(head.block);
        self.part = part;
        self.around.clear();
        self.around.extend(around.iter().map(|around| around.part));
        self.flags(part);
        (self.bytes, self.eight_bit, self.utf8) = (0, 0, Utf8::default());
        if entity.kind != Kind::Leaf {
            self.around.push(part);
        }
        if !head.block.is_ascii() {
            match part {
                0 => self.findings.eight_bit_header = true,
                _ => self.note_eight_bit(),
            }
        }
    }

    fn text(&mut self, place: Place, bytes: &[u8]) {
        self.column += bytes.len();
        let ascii = bytes.is_ascii();
        if !ascii {
            self.findings.eight_bit_body = true;
        }
        if place == Place::Aside {
            return;
        }
        self.bytes += bytes.len();
        if !ascii {
            self.eight_bit += bytes.iter().filter(|byte| !byte.is_ascii()).count();
        }
        if self.column > LINE_LIMIT {
            self.flags(self.part).long_line = true;
        }
        self.utf8.feed(bytes);
    }

    fn line_end(&mut self, _: Place, _: &[u8]) {
        self.end_line();
        self.utf8.feed(b"\n");
    }

    fn body_end(&mut self) {
        let utf8 = self.utf8.is_whole();
        let (bytes, eight_bit) = (self.bytes, self.eight_bit);
        if eight_bit > 0 {
            self.note_eight_bit();
            let flags = self.flags(self.part);
            flags.eight_bit = true;
            flags.utf8 &= utf8;
            flags.dense = eight_bit * 3 > bytes;
        }
    }

    fn boundary(&mut self, bytes: &[u8], _: &[Around]) {
        self.end_line();
        self.lines(bytes);
        if !bytes.is_ascii() {
            self.findings.eight_bit_body = true;
        }
    }
}

/// Whether bytes that come in pieces are UTF-8.
#[derive(Default)]
struct Utf8 {
    broken: bool,
    /// The beginning of a character, at most three bytes.
    begun: Vec<u8>,
}

impl Utf8 {
    fn feed(&mut self, bytes: &[u8]) {
        if self.broken || self.begun.is_empty() && bytes.is_ascii() {
            return;
        }
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(bytes);
        if let Err(error) = std::str::from_utf8(&text) {
            self.broken = error.error_len().is_some();
            self.begun = text.split_off(error.valid_up_to());
        }
    }

    fn is_whole(&self) -> bool {
        !self.broken && self.begun.is_empty()
    }
}
