//! Address lists as they stand in header fields and in argv: where each address is.
//!
//! RFC 5322 section 3.4 as Postfix reads it: phrases, comments, groups, routes, `;` for `,`, and
//! commas that were forgotten. Read from right to left, as it is the `;` that makes a `:` the
//! beginning of a group, and the `>` that makes the words before it a phrase.

use std::ops::Range;

use crate::lexer::{Kind, Token, scan};
use crate::{Address, AddressError};

/// One address of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    /// The address, or why it is none.
    pub(crate) address: Result<Address, AddressError>,
    /// Its place in the text, without the angle brackets.
    pub(crate) span: Range<usize>,
    /// Whether a comma is missing before it.
    pub(crate) lacks_comma: bool,
}

/// Finds the addresses in `text`, from left to right. Blank text and `<>` have none. Linear.
///
/// Two things differ from Postfix: a `>` without `<` separates, where Postfix glues all before it
/// into one address; and a group's name ends at a `;` or `>` before it, where Postfix loses the
/// members of `a: x;` in `a: x; b: y;`.
pub(crate) fn parse(text: &[u8]) -> Vec<Mailbox> {
    let mut tokens = scan(text);
    tokens.retain(|token| token.kind != Kind::Comment);
    let opening = pair_brackets(&mut tokens);
    let mut reader = Reader {
        text,
        tokens: &tokens,
        opening: &opening,
        end: tokens.len(),
        found: Vec::new(),
    };
    reader.read();
    let mut found = reader.found;
    found.reverse();
    found
}

/// Tells for each `>` which `<` it closes: the last one since the `>` before it. A `>` that closes
/// nothing becomes a comma.
fn pair_brackets(tokens: &mut [Token]) -> Vec<Option<usize>> {
    let mut opening = vec![None; tokens.len()];
    let mut open = None;
    for at in 0..tokens.len() {
        if tokens[at].is(b'<') {
            open = Some(at);
        } else if tokens[at].is(b'>') {
            opening[at] = open.take();
            if opening[at].is_none() {
                tokens[at].kind = Kind::Special(b',');
            }
        }
    }
    opening
}

struct Reader<'a> {
    text: &'a [u8],
    tokens: &'a [Token],
    opening: &'a [Option<usize>],
    /// The tokens from the one being looked at up to here may be one address.
    end: usize,
    found: Vec<Mailbox>,
}

impl Reader<'_> {
    fn read(&mut self) {
        let mut at = self.tokens.len();
        // After an operator or separator a word may come; after a word, another word (seen from
        // the right) belongs to another address.
        let mut word_fits = true;
        let mut groups = false;
        while at > 0 {
            at -= 1;
            let token = self.tokens[at];
            match token.kind {
                Kind::Special(b'>') => {
                    self.take(at, true);
                    at = self.angle(at);
                    word_fits = true;
                }
                Kind::Special(b':') if groups => {
                    self.take(at, false);
                    at = self.skip_back_to(at, b",;>");
                    self.end = at;
                }
                Kind::Special(mark @ (b',' | b';')) => {
                    self.take(at, mark == b';');
                    self.end = at;
                    groups |= mark == b';';
                    word_fits = true;
                }
                _ if token.is_word() => {
                    if !word_fits {
                        self.take(at, true);
                        self.end = at + 1;
                    }
                    word_fits = false;
                }
                _ => word_fits = true,
            }
        }
        if self.end > 0 {
            self.push(0..self.end, false);
        }
    }

    /// Takes what stands between the token at `left` and the end as an address.
    fn take(&mut self, left: usize, lacks_comma: bool) {
        if left + 1 < self.end {
            self.push(left + 1..self.end, lacks_comma);
        }
    }

    /// Takes the address in the angle brackets that close at `close`, and steps over the phrase
    /// before them. Returns where to go on reading.
    fn angle(&mut self, close: usize) -> usize {
        let open = self.opening[close].unwrap_or(close);
        self.end = close;
        self.take(open, false);
        let stop = self.skip_back_to(open, b">;,:");
        // A colon that begins no group stays out of the address before it.
        let colon = stop > 0 && self.tokens[stop - 1].is(b':');
        self.end = stop - usize::from(colon);
        stop
    }

    /// The place after the last of `marks` before `from`; 0 if there is none.
    fn skip_back_to(&self, from: usize, marks: &[u8]) -> usize {
        let is_mark =
            |token: &Token| matches!(token.kind, Kind::Special(byte) if marks.contains(&byte));
        self.tokens[..from]
            .iter()
            .rposition(is_mark)
            .map_or(0, |at| at + 1)
    }

    fn push(&mut self, range: Range<usize>, lacks_comma: bool) {
        let tokens = &self.tokens[range];
        let Some((first, last)) = tokens.first().zip(tokens.last()) else {
            return;
        };
        let address = Address::from_tokens(self.text, tokens);
        self.found.push(Mailbox {
            address,
            span: first.start..last.end,
            lacks_comma,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses parted by blanks; `!` for what is none.
    fn found(text: &str) -> String {
        let show = |mailbox: &Mailbox| match &mailbox.address {
            Ok(address) => address.to_string(),
            Err(_) => "!".to_owned(),
        };
        parse(text.as_bytes())
            .iter()
            .map(show)
            .collect::<Vec<_>>()
            .join(" | ")
    }

    #[test]
    fn lists_as_postfix_reads_them() {
        for (text, expected) in [
            ("", ""),
            (" \r\n\t", ""),
            ("<>", ""),
            ("(nobody)", ""),
            (",,;,", ""),
            ("root", "root"),
            ("root, j@x.example", "root | j@x.example"),
            ("a@a.example,b@b.example", "a@a.example | b@b.example"),
            ("Bob <b@x.example>", "b@x.example"),
            ("bob carol", "bob | carol"),
            ("a@a b@b", "a@a | b@b"),
            ("a@x; b@y", "a@x | b@y"),
            ("\"Re: x, y\" <a@b> c@d", "a@b | c@d"),
            ("A <a@x> B <b@y>", "a@x | b@y"),
            (
                "<a@a.example, b@b.example",
                "\"<a\"@a.example | b@b.example",
            ),
            ("\"B, b\" <b@b>, c@c (C.)", "b@b | c@c"),
            ("a (x (y) \\) z) . b @ c", "a.b@c"),
            ("J. Smith <j@x>", "j@x"),
            ("\\bob", "bob"),
            ("|/bin/cat", "|/bin/cat"),
            (":include:/tmp/list", "\":include:/tmp/list\""),
            ("mailto:bob@x", "\"mailto:bob\"@x"),
            ("<@x,@y:a@a>", "a@a"),
            ("@b.example", "\"\"@b.example"),
            ("a@x>, b@y>", "a@x | b@y"),
            ("Re: foo <a@b>", "Re | a@b"),
        ] {
            assert_eq!(found(text), expected, "{text:?}");
        }
    }

    #[test]
    fn groups_give_their_members() {
        for (text, expected) in [
            ("undisclosed-recipients:;", ""),
            ("Friends: a@a, \"B, b\" <b@b>;, c@c (C.)", "a@a | b@b | c@c"),
            ("x, F: a b;, y", "x | a | b | y"),
            ("F: a; G: b;", "a | b"),
            ("<a@x> G: b;", "a@x | b"),
            ("g:g:g:a@x;;;", "a@x"),
            ("F: B <b@x>; c", "b@x | c"),
            ("Re: x <a@b>, F: c;", "a@b | c"),
        ] {
            assert_eq!(found(text), expected, "{text:?}");
        }
    }

    #[test]
    fn one_bad_address_spoils_only_itself() {
        for (text, expected) in [
            ("<a@a, b@b>, c@c", "! | c@c"),
            ("a@, b@b", "! | b@b"),
            ("\"\", b@b", "! | b@b"),
            ("b@b, \"open", "b@b | !"),
            ("<a@b c>, d", "! | d"),
            ("x\u{1}y@z, d", "! | d"),
        ] {
            assert_eq!(found(text), expected, "{text:?}");
        }
    }

    #[test]
    fn spans_and_missing_commas() {
        let text = b"bob (x)  carol, D <d@e> f";
        let found = parse(text);
        let spans: Vec<_> = found
            .iter()
            .map(|m| (&text[m.span.clone()], m.lacks_comma))
            .collect();
        let expected: [(&[u8], bool); 4] = [
            (b"bob", false),
            (b"carol", true),
            (b"d@e", false),
            (b"f", true),
        ];
        assert_eq!(spans, expected);
    }

    #[test]
    fn hostile_lists_take_linear_time() {
        for part in [
            "g:", "<", ">", "<a>", "a ", ";", ":", "a:;", "(", "\\", "\"\\\"", "@", ",",
        ] {
            let text = part.repeat(250_000 / part.len());
            parse(text.as_bytes());
            parse(format!("{text};>").as_bytes());
        }
    }
}
