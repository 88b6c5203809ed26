//! Messages made by a recipe: parts in parts, of the forms that mail programs write, with any text in them.

use crate::cuts::Cuts;
use crate::header::normalised;

/// What ends a text in the recipe.
const TEXT_END: u8 = 0x1E;
/// How deep parts may stand in each other.
const DEEPEST: usize = 5;

/// The fields of a leaf, before those with text from the recipe.
const KINDS: [&str; 10] = [
    "",
    "Content-Type: text/plain; charset=utf-8\r\n",
    "Content-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n",
    "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n",
    "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n",
    "content-type: TEXT/PLAIN;\r\n charset=\"iso-8859-1\"\r\nMIME-Version: 1.0\r\n",
    "Content-Transfer-Encoding: 7bit\r\n",
    "Content-Type: message/delivery-status\r\n",
    "Content-Type: application/pgp-signature\r\nContent-Transfer-Encoding: x-unknown\r\n",
];

/// The message of a recipe; any bytes are one.
pub(super) fn made(recipe: &[u8]) -> Vec<u8> {
    let mut maker = Maker {
        rest: recipe,
        boundaries: 0,
    };
    let mut message = b"From: a@b.example\r\n".to_vec();
    maker.fields(&["Subject", "To"], &mut message);
    maker.entity(0, false, &mut message);
    if !message.ends_with(b"\r\n") {
        message.extend_from_slice(b"\r\n");
    }
    message
}

struct Maker<'a> {
    rest: &'a [u8],
    boundaries: u32,
}

impl<'a> Maker<'a> {
    fn choice(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, b""));
        self.rest = rest;
        *first
    }

    /// The bytes up to the next mark.
    fn text(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| *byte == TEXT_END);
        let (text, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = after.get(1..).unwrap_or_default();
        text
    }

    /// Fields with text from the recipe, where there is any.
    fn fields(&mut self, names: &[&str], out: &mut Vec<u8>) {
        for name in names {
            let text = header_text(self.text());
            if !text.trim_ascii().is_empty() {
                out.extend_from_slice(format!("{name}: ").as_bytes());
                out.extend_from_slice(&text);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A part from its Content-Type on; `message`: without one it is a message.
    fn entity(&mut self, depth: usize, message: bool, out: &mut Vec<u8>) {
        let choice = self.choice();
        match choice % 8 {
            5 if depth < DEEPEST => {
                out.extend_from_slice(b"Content-Type: message/rfc822\r\n\r\n");
                self.message(depth + 1, out);
            }
            6 | 7 if depth < DEEPEST => self.multipart(choice / 8, depth, out),
            _ if message => {
                out.extend_from_slice(b"\r\n");
                self.message(depth + 1, out);
            }
            _ => self.leaf(choice, out),
        }
    }

    fn message(&mut self, depth: usize, out: &mut Vec<u8>) {
        self.fields(&["Subject"], out);
        self.entity(depth, false, out);
    }

    fn leaf(&mut self, choice: u8, out: &mut Vec<u8>) {
        let kind = KINDS[usize::from(choice) % KINDS.len()];
        out.extend_from_slice(kind.as_bytes());
        if choice >= 128 {
            let name = header_text(self.text());
            let quoted = |byte: &&u8| !b"\"\\\r\n".contains(byte);
            let name: Vec<u8> = name.iter().filter(quoted).copied().collect();
            out.extend_from_slice(b"Content-Disposition: attachment; filename=\"");
            out.extend_from_slice(&name);
            out.extend_from_slice(b"\"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body_text(self.text()));
    }

    fn multipart(&mut self, choice: u8, depth: usize, out: &mut Vec<u8>) {
        let subtype = ["mixed", "alternative", "signed", "digest"][usize::from(choice) % 4];
        let parts = choice / 4 % 4 + 1;
        self.boundaries += 1;
        let boundary = format!("=_b{:02}", self.boundaries % 100);
        let label = if choice >= 16 {
            "Content-Transfer-Encoding: 8bit\r\n"
        } else {
            ""
        };
        let head =
            format!("{label}Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&body_text(self.text()));
        for _ in 0..parts {
            end_line(out);
            out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            self.entity(depth + 1, subtype == "digest", out);
        }
        end_line(out);
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out.extend_from_slice(&body_text(self.text()));
    }
}

/// The boundary that follows needs a line of its own; the line end before it is not the part's.
fn end_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Lines as they are stored, none of which is a boundary.
fn body_text(text: &[u8]) -> Vec<u8> {
    let mut lines = normalised(text, false, Cuts::None);
    while let Some(at) = lines.windows(4).position(|four| four == b"--=_") {
        lines[at] = b'+';
    }
    lines
}

/// Text of a field: folded where the recipe has a line end, and without what readers differ about: encoded words,
/// control characters, lines of blanks.
fn header_text(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|byte| *byte == b'\n');
    let clean = lines.map(|line| {
        let fine = |byte: &&u8| !byte.is_ascii_control() && **byte != b'?';
        line.iter().filter(fine).copied().collect::<Vec<u8>>()
    });
    let lines: Vec<Vec<u8>> = clean.filter(|line| !line.trim_ascii().is_empty()).collect();
    lines.join(&b"\r\n "[..])
}
