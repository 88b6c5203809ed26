//! Repair of a message for a gateway that cannot carry it as it is: bytes above 127 where 8BITMIME
//! (RFC 6152) or SMTPUTF8 (RFC 6531) is missing, and lines longer than RFC 5321 allows.
//!
//! Nothing is cut, and what a reader sees stays the same: bodies become quoted-printable or base64,
//! part by part, header text becomes encoded words, domains become A-labels. Only what does not fit
//! is touched; the rest stays byte for byte, and so does a signature over it.
//!
//! It takes two passes over the message. A [`Scanner`] finds out what stands where; then, if
//! [`Findings::needs_repair`], a [`Repair`] writes the message anew while it is sent. Both keep a
//! header block and a line in memory, never a body.

mod addresses;
mod encode;
mod entity;
mod fields;
mod parameters;
mod scan;
mod walk;
mod words;

use std::fmt;

use encode::{Recode, Started, Wrapper};
use entity::{Encoding, Entity, Kind};
use fields::{Labels, Signatures};
use walk::{Around, Head, Place, Sink, Walker};

pub use addresses::ascii_address;
pub(crate) use addresses::{comment_text, phrase_text};
pub use scan::{Findings, Scanner};
pub(crate) use words::encoded as encoded_words;

/// The longest line that may be sent, in bytes without its end (RFC 5321 section 4.5.3.1.6).
pub const LINE_LIMIT: usize = 998;

/// What the way to the gateway can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Bytes above 127 in the body, and in the headers of its parts: 8BITMIME was offered.
    pub eight_bit: bool,
    /// Bytes above 127 in the message's header block: SMTPUTF8 was offered, and the submitter asked
    /// for it. Asking where he did not would make the next server that lacks it return the mail.
    pub utf8_header: bool,
}

/// What has to be done to a message, for [`Repair::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    findings: Findings,
    channel: Channel,
}

impl Plan {
    /// The plan for a message and a channel; `None` if the message can go as it is.
    #[must_use]
    pub fn new(findings: Findings, channel: Channel) -> Option<Self> {
        findings
            .needs_repair(channel)
            .then_some(Self { findings, channel })
    }
}

/// What a [`Repair`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many header fields were rewritten or added, in all header blocks.
    pub fields: usize,
    /// How many bodies were encoded anew.
    pub bodies: usize,
    /// Text before the first or after the last part of a multipart, which no reader sees, or blanks
    /// at the end of a boundary were changed.
    pub outside: bool,
    /// A DKIM signature that the message carries no longer fits it (RFC 6376).
    pub dkim_broken: bool,
    /// A part within a `multipart/signed` was changed (S/MIME, PGP/MIME; RFC 1847), so its
    /// signature no longer fits.
    pub signed_part_changed: bool,
}

impl Changes {
    /// Whether anything was changed.
    #[must_use]
    pub const fn any(self) -> bool {
        self.fields > 0 || self.bodies > 0 || self.outside
    }
}

impl fmt::Display for Changes {
    /// One line for the log, such as `re-encoded 2 header fields and 1 body; its DKIM signature no
    /// longer verifies`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |count: usize| if count == 1 { "" } else { "s" };
        write!(
            f,
            "re-encoded {} header field{}",
            self.fields,
            s(self.fields)
        )?;
        let bodies = if self.bodies == 1 { "body" } else { "bodies" };
        write!(f, " and {} {bodies}", self.bodies)?;
        if self.outside {
            f.write_str("; text outside its parts changed")?;
        }
        if self.dkim_broken {
            f.write_str("; its DKIM signature no longer verifies")?;
        }
        if self.signed_part_changed {
            f.write_str("; a part that was signed no longer verifies")?;
        }
        Ok(())
    }
}

/// Writes a message anew by a plan, its bytes fed in pieces of any size.
pub struct Repair {
    walker: Walker,
    writer: Writer,
}

impl Repair {
    /// A repair at the beginning of a message. The message must be the one that was scanned; fields
    /// other than Content-Type and Content-Transfer-Encoding may have changed since.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            walker: Walker::new(),
            writer: Writer::new(plan),
        }
    }

    /// Takes the next bytes of the message, in CR LF, and appends to `out` what can be told of the
    /// new one.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        std::mem::swap(out, &mut self.writer.out);
        self.walker.feed(bytes, &mut self.writer);
        std::mem::swap(out, &mut self.writer.out);
    }

    /// Ends the message: appends the rest to `out` and tells what was changed.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Changes {
        std::mem::swap(out, &mut self.writer.out);
        self.writer.last = true;
        self.walker.finish(&mut self.writer);
        std::mem::swap(out, &mut self.writer.out);
        self.writer.changes
    }
}

/// Puts the new message together as the walker tells what goes by.
struct Writer {
    findings: scan::Findings,
    channel: Channel,
    out: Vec<u8>,
    body: Recode,
    aside: Recode,
    /// What stands aside is part of something that is signed.
    aside_signed: bool,
    /// The next header block is that of a message, not of a part.
    at_message: bool,
    /// Nothing more is fed: the message ends with the body that is open.
    last: bool,
    signatures: Signatures,
    changes: Changes,
}

impl Writer {
    fn new(plan: Plan) -> Self {
        let aside = Recode::Aside {
            wrapper: Wrapper::long(),
            eight_bit: plan.channel.eight_bit,
        };
        Self {
            findings: plan.findings,
            channel: plan.channel,
            out: Vec::new(),
            body: Recode::Copy,
            aside,
            aside_signed: false,
            at_message: true,
            last: false,
            signatures: Signatures::default(),
            changes: Changes::default(),
        }
    }

    /// What becomes of a body, and the fields that say so.
    fn plan_body(&self, part: usize, entity: &Entity, block: &[u8]) -> (Recode, Labels) {
        let flags = self.findings.part(part);
        let copy = (Recode::Copy, Labels::default());
        if entity.kind != Kind::Leaf {
            let repaired = flags.eight_bit && !self.channel.eight_bit;
            return match repaired {
                true => (Recode::Copy, fields::relabelled(block, entity.encoding)),
                false => copy,
            };
        }
        if !flags.needs_repair(self.channel) {
            return copy;
        }
        let (recode, encoding) = match entity.encoding {
            Encoding::Quoted => return (Recode::Requote(Default::default()), Labels::default()),
            Encoding::Base64 => return (Recode::Rewrap(Wrapper::short()), Labels::default()),
            Encoding::Identity if flags.eight_bit && (flags.dense || !entity.text) => {
                let recode = Recode::Base64(Vec::new(), Started(false));
                (recode, "base64")
            }
            Encoding::Identity => (Recode::Quote(Default::default()), "quoted-printable"),
        };
        let is_typed = crate::header::HeaderBlock::new(block)
            .get("Content-Type")
            .is_some();
        let charset = if flags.utf8 { "utf-8" } else { "iso-8859-1" };
        let labels = Labels {
            encoding: Some(encoding),
            charset: (flags.eight_bit && !is_typed).then_some(charset),
            mime_version: self.at_message,
        };
        (recode, labels)
    }

    /// Notes a change to what stands outside the parts, if there was one.
    fn note_outside(&mut self, changed: bool) {
        if changed {
            self.changes.outside = true;
            self.changes.signed_part_changed |= self.aside_signed;
            self.changes.dkim_broken |= !self.signatures.is_empty();
        }
    }

    /// Counts a change at this place.
    fn note(&mut self, part: usize, around: &[Around]) {
        self.changes.signed_part_changed |= is_signed(around);
        // The body hash covers everything after the message's own header block.
        self.changes.dkim_broken |= part > 0 && !self.signatures.is_empty();
    }
}

/// Whether something around is signed.
fn is_signed(around: &[Around]) -> bool {
    around.iter().any(|around| around.signed)
}

impl Sink for Writer {
    fn head(&mut self, part: usize, entity: &Entity, around: &[Around], head: Head<'_>) {
        self.aside_signed = is_signed(around);
        if part == 0 {
            self.signatures = Signatures::read(head.block);
        }
        let (recode, labels) = self.plan_body(part, entity, head.block);
        let eight_bit = if part == 0 {
            self.channel.utf8_header
        } else {
            self.channel.eight_bit
        };
        let changed = fields::repair(head.block, eight_bit, labels, &mut self.out);
        self.at_message = entity.kind == Kind::Message;
        if !changed.is_empty() {
            self.changes.fields += changed.len();
            self.note(part, around);
            if part == 0 {
                self.changes.dkim_broken |= self.signatures.broken_by(&changed);
            }
        }
        self.out.extend_from_slice(head.separator);
        if !matches!(recode, Recode::Copy) {
            self.changes.bodies += 1;
            self.note(part, around);
            self.changes.dkim_broken |= !self.signatures.is_empty();
            if head.separator.is_empty() {
                // What told the body from the header block may not do so once it is encoded.
                self.out.extend_from_slice(b"\r\n");
            }
        }
        self.body = recode;
    }

    fn text(&mut self, place: Place, bytes: &[u8]) {
        match place {
            Place::Body => self.body.text(bytes, &mut self.out),
            Place::Aside => {
                let at = self.out.len();
                self.aside.text(bytes, &mut self.out);
                self.note_outside(self.out[at..] != *bytes);
            }
        }
    }

    fn line_end(&mut self, place: Place, bytes: &[u8]) {
        match place {
            Place::Body => self.body.line_end(bytes, &mut self.out),
            Place::Aside => self.aside.line_end(bytes, &mut self.out),
        }
    }

    fn body_end(&mut self) {
        self.body.finish(self.last, &mut self.out);
        self.body = Recode::Copy;
    }

    fn boundary(&mut self, bytes: &[u8], around: &[Around]) {
        self.aside_signed = is_signed(around);
        // Blanks after a boundary mean nothing; most lines have none.
        let text = bytes.trim_ascii_end();
        if words::has_long_line(bytes) {
            self.out.extend_from_slice(text);
            self.out.extend_from_slice(b"\r\n");
            self.note_outside(true);
        } else {
            self.out.extend_from_slice(bytes);
        }
        self.aside.line_end(b"", &mut self.out);
    }
}

#[cfg(test)]
mod tests;
