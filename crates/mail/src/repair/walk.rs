//! The structure of a message (RFC 2045, RFC 2046) as its bytes go by: header blocks, bodies,
//! boundaries.
//!
//! The scan and the repair both walk with this, so that they number the parts alike. A header block
//! is kept until it is complete; of a body never more than one line that may be a boundary.

use super::entity::{Default, Entity, Kind};
use crate::header::{HEADER_LIMIT, HeaderBlock};

/// The longest header block that is kept. One that was taken in grows as addresses are completed.
const BLOCK_LIMIT: usize = 16 * HEADER_LIMIT;

/// How deep parts may stand in each other. Deeper ones are text of the part they stand in.
const DEEPEST: usize = 64;

/// The longest line that is looked at as a boundary, with its end.
const BOUNDARY_LINE_LIMIT: usize = 1_000;

/// Who is told what goes by.
pub(super) trait Sink {
    /// The header block of part `part` (from 0, the message itself) is complete. `separator` is the
    /// empty line after it, or nothing where it ended otherwise. `around` are the parts that it
    /// stands in, from the outermost.
    fn head(&mut self, part: usize, entity: &Entity, around: &[Around], head: Head<'_>);
    /// A piece of a line, without its end.
    fn text(&mut self, place: Place, bytes: &[u8]);
    /// The end of a line that does not stand before a boundary.
    fn line_end(&mut self, place: Place, bytes: &[u8]);
    /// The body of a part without parts is over.
    fn body_end(&mut self);
    /// A boundary with the line end before it, if that belongs to it. `around` are the parts that its
    /// multipart stands in.
    fn boundary(&mut self, bytes: &[u8], around: &[Around]);
}

/// A header block that is complete.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) block: &'a [u8],
    pub(super) separator: &'a [u8],
}

/// Where text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the body of a part without parts.
    Body,
    /// Before the first or after the last part of a multipart, where it means nothing.
    Aside,
}

/// A part that has parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) part: usize,
    /// It is a `multipart/signed`.
    pub(super) signed: bool,
}

pub(super) struct Walker {
    state: State,
    /// The header block so far, or a line that may be a boundary.
    block: Vec<u8>,
    /// The line being read, in a header block or where it may be a boundary.
    line: Vec<u8>,
    /// There is a field in the header block, which the next line may continue.
    seen_field: bool,
    /// A line end that may belong to a boundary.
    held: Vec<u8>,
    /// What parts without Content-Type are here.
    default: Default,
    parts: usize,
    around: Vec<Around>,
    /// The multiparts among `around`: their depth and boundary.
    boundaries: Vec<Boundary>,
}

struct Boundary {
    /// How many of `around` stand at this boundary's multipart, itself included.
    depth: usize,
    text: Vec<u8>,
    digest: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a header block.
    Head,
    /// At the beginning of a line of text, which may be a boundary.
    Start(Place),
    /// Within a line of text.
    Inside(Place),
}

impl Walker {
    pub(super) fn new() -> Self {
        Self {
            state: State::Head,
            block: Vec::new(),
            line: Vec::new(),
            seen_field: false,
            held: Vec::new(),
            default: Default::Text,
            parts: 0,
            around: Vec::new(),
            boundaries: Vec::new(),
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Sink) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Head => self.in_head(bytes, sink),
                State::Start(place) => self.at_start(place, bytes, sink),
                State::Inside(place) => self.inside(place, bytes, sink),
            };
            bytes = &bytes[used..];
        }
    }

    pub(super) fn finish(&mut self, sink: &mut impl Sink) {
        if self.state == State::Head {
            if !self.line.is_empty() {
                self.head_line(sink);
            }
            if self.state == State::Head {
                self.end_head(b"", sink);
            }
        } else if let State::Start(place) = self.state
            && !self.line.is_empty()
        {
            self.candidate(place, sink);
        }
        self.release(self.place(), sink);
        if self.place() == Place::Body {
            sink.body_end();
        }
    }

    fn place(&self) -> Place {
        match self.state {
            State::Start(place) | State::Inside(place) => place,
            State::Head => Place::Aside,
        }
    }

    /// Takes the rest of a line of a header block.
    fn in_head(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let used = up_to_line_end(bytes);
        let room = BLOCK_LIMIT.saturating_sub(self.block.len() + self.line.len());
        if used > room {
            // What follows cannot be kept: it is text, as if the block had ended before it.
            let line = std::mem::take(&mut self.line);
            self.end_head(b"", sink);
            self.feed(&line, sink);
            return 0;
        }
        self.line.extend_from_slice(&bytes[..used]);
        if bytes[used - 1] == b'\n' {
            self.head_line(sink);
        }
        used
    }

    fn head_line(&mut self, sink: &mut impl Sink) {
        let line = std::mem::take(&mut self.line);
        if let Some(found) = self.boundary_of(&line) {
            self.end_head(b"", sink);
            if self.place() == Place::Body {
                sink.body_end();
            }
            self.pass_boundary(found, &line, sink);
        } else if matches!(&*line, b"\r\n" | b"\n") {
            self.end_head(&line, sink);
        } else if self.belongs_to_block(&line) {
            self.block.extend_from_slice(&line);
        } else {
            self.end_head(b"", sink);
            self.feed(&line, sink);
        }
    }

    /// Whether a line that is not empty is a field, the continuation of one, or an mbox line at the
    /// top: the rule of [`crate::header`].
    fn belongs_to_block(&mut self, line: &[u8]) -> bool {
        if matches!(line[0], b' ' | b'\t') {
            return self.seen_field;
        }
        let mut fields = HeaderBlock::new(line).fields();
        let is_field = fields.next().is_some_and(|field| !field.name().is_empty());
        self.seen_field |= is_field;
        is_field || !self.seen_field && HeaderBlock::split(line).1 == line.len()
    }

    fn end_head(&mut self, separator: &[u8], sink: &mut impl Sink) {
        let block = std::mem::take(&mut self.block);
        self.seen_field = false;
        let mut entity = Entity::read(&block, self.default);
        if self.around.len() >= DEEPEST {
            entity.kind = Kind::Leaf;
        }
        let part = self.parts;
        self.parts += 1;
        let head = Head {
            block: &block,
            separator,
        };
        sink.head(part, &entity, &self.around, head);
        self.state = match entity.kind {
            Kind::Leaf => State::Start(Place::Body),
            Kind::Message => {
                self.enter(part, false);
                self.default = Default::Text;
                State::Head
            }
            Kind::Multipart {
                boundary,
                digest,
                signed,
            } => {
                self.enter(part, signed);
                self.boundaries.push(Boundary {
                    depth: self.around.len(),
                    text: boundary,
                    digest,
                });
                State::Start(Place::Aside)
            }
        };
    }

    fn enter(&mut self, part: usize, signed: bool) {
        self.around.push(Around { part, signed });
    }

    /// At the beginning of a line: looks whether it is a boundary.
    fn at_start(&mut self, place: Place, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let seen = self.line.len();
        let dashes = bytes[0] == b'-' || seen >= 2;
        if self.boundaries.is_empty() || !dashes {
            self.candidate_is_text(place, sink);
            return 0;
        }
        // Never more than the limit, so that it does not depend on how the bytes are cut.
        let most = if seen < 2 {
            1
        } else {
            BOUNDARY_LINE_LIMIT + 1 - seen
        };
        let used = up_to_line_end(bytes).min(most);
        self.line.extend_from_slice(&bytes[..used]);
        if self.line.ends_with(b"\n") {
            self.candidate(place, sink);
        } else if self.line.len() > BOUNDARY_LINE_LIMIT {
            self.candidate_is_text(place, sink);
        }
        used
    }

    /// The line being read is whole, or the message ended in it.
    fn candidate(&mut self, place: Place, sink: &mut impl Sink) {
        let Some(found) = self.boundary_of(&self.line) else {
            return self.candidate_is_text(place, sink);
        };
        let line = std::mem::take(&mut self.line);
        if place == Place::Body {
            sink.body_end();
        }
        self.pass_boundary(found, &line, sink);
    }

    fn candidate_is_text(&mut self, place: Place, sink: &mut impl Sink) {
        self.release(place, sink);
        let line = std::mem::take(&mut self.line);
        self.state = State::Inside(place);
        let mut rest = &*line;
        while !rest.is_empty() {
            let used = self.inside(place, rest, sink);
            rest = &rest[used..];
        }
    }

    /// Which multipart's boundary the line is, and whether it is the last one.
    fn boundary_of(&self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?.trim_ascii_end();
        let is = |boundary: &Boundary| {
            let after = rest.strip_prefix(&*boundary.text)?;
            (after.is_empty() || after == b"--").then_some(!after.is_empty())
        };
        let mut innermost_first = self.boundaries.iter().enumerate().rev();
        innermost_first.find_map(|(at, boundary)| Some((at, is(boundary)?)))
    }

    fn pass_boundary(&mut self, (at, last): (usize, bool), line: &[u8], sink: &mut impl Sink) {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(line);
        let depth = self.boundaries[at].depth;
        sink.boundary(&bytes, &self.around[..depth - 1]);
        self.around.truncate(depth - usize::from(last));
        self.default = if self.boundaries[at].digest {
            Default::Message
        } else {
            Default::Text
        };
        self.boundaries.truncate(at + usize::from(!last));
        self.state = if last {
            State::Start(Place::Aside)
        } else {
            State::Head
        };
    }

    /// Within a line: passes on what is there of it.
    fn inside(&mut self, place: Place, bytes: &[u8], sink: &mut impl Sink) -> usize {
        if !self.held.is_empty() {
            // A CR was seen last.
            if bytes[0] == b'\n' {
                self.held.push(b'\n');
                self.state = State::Start(place);
                return 1;
            }
            self.held.clear();
            sink.text(place, b"\r");
        }
        let used = up_to_line_end(bytes);
        let piece = &bytes[..used];
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !text.is_empty() {
            sink.text(place, text);
        }
        self.held.extend_from_slice(&piece[text.len()..]);
        if piece.ends_with(b"\n") {
            self.state = State::Start(place);
        }
        used
    }

    /// Passes on a line end that belongs to no boundary.
    fn release(&mut self, place: Place, sink: &mut impl Sink) {
        let held = std::mem::take(&mut self.held);
        match &*held {
            b"" => {}
            b"\r" => sink.text(place, &held),
            _ => sink.line_end(place, &held),
        }
    }
}

/// How many bytes there are up to the end of the line, with it; all if it does not end.
fn up_to_line_end(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.map_or(bytes.len(), |at| at + 1)
}
