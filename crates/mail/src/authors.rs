//! Who a message says it is from: the mailboxes of From and its like, with their names, read and
//! written.

use crate::lexer::{Kind, Token, scan};
use crate::mailboxes::{self, Mailbox};
use crate::{Address, repair};

/// The most mailboxes that are read from one field, and the most characters of a name.
const AUTHORS_LIMIT: usize = 100;
const NAME_LIMIT: usize = 200;

/// A name and an address that are longer together stand on two lines.
const LINE_ROOM: usize = 900;

/// One mailbox of a From, Sender or Reply-To field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The name before the address, decoded (RFC 2047) and without quotes; none if it is blank. At
    /// most 200 characters, none of them a control character.
    pub name: Option<String>,
    /// The comment beside the address, as in `root (Cron Daemon)`, likewise.
    pub comment: Option<String>,
    /// The address; `None` if what stands there is none.
    pub address: Option<Address>,
}

/// Reads the value of a field, folded or not. Blank text has no authors. Of a list longer than a
/// hundred the rest is left out.
#[must_use]
pub fn parse(value: &[u8]) -> Vec<Author> {
    let tokens = scan(value);
    let mailboxes = mailboxes::parse(value);
    let mut authors = Vec::new();
    let mut rest = &*tokens;
    for (at, mailbox) in mailboxes.iter().enumerate().take(AUTHORS_LIMIT) {
        let next = mailboxes.get(at + 1);
        let (region, after) = rest.split_at(region_end(rest, mailbox, next));
        authors.push(author(value, region, mailbox));
        rest = after;
    }
    authors
}

/// How many of the tokens belong to the mailbox: those up to the separator after it.
fn region_end(tokens: &[Token], mailbox: &Mailbox, next: Option<&Mailbox>) -> usize {
    let separates = |token: &Token| {
        let is_after = token.start >= mailbox.span.end;
        let is_mark = matches!(token.kind, Kind::Special(b',' | b';'));
        is_after && (is_mark || next.is_some_and(|next| token.start >= next.span.start))
    };
    tokens.iter().position(separates).unwrap_or(tokens.len())
}

fn author(value: &[u8], region: &[Token], mailbox: &Mailbox) -> Author {
    let before = region
        .iter()
        .take_while(|token| token.start < mailbox.span.start);
    let mut phrase = Vec::new();
    for token in before {
        match token.kind {
            // What stood before belongs to another mailbox or names a group.
            Kind::Special(b',' | b';' | b':' | b'>') => phrase.clear(),
            Kind::Comment | Kind::Special(b'<') => {}
            _ => phrase.push(*token),
        }
    }
    let comment = region
        .iter()
        .filter(|token| token.kind == Kind::Comment)
        .map(|token| repair::comment_text(&value[token.start..token.end]))
        .find_map(|comment| clean(&comment));
    Author {
        name: clean(&repair::phrase_text(value, &phrase)),
        comment,
        address: mailbox.address.clone().ok(),
    }
}

/// A name that can be shown on one line; `None` if nothing is left of it.
fn clean(name: &str) -> Option<String> {
    let name: String = name
        .chars()
        .take(NAME_LIMIT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A mailbox as it stands in a field: `"Name" <address>`, the name in encoded words (RFC 2047),
/// folded in CR LF, where it is not ASCII; the address alone where there is no name. At most 200
/// characters of the name are written, control characters as blanks. Folded so that no line is too
/// long for an address of at most 900 bytes, whatever the field's name.
#[must_use]
pub fn mailbox(name: Option<&str>, address: &Address) -> String {
    let Some(name) = name.and_then(clean) else {
        return address.to_string();
    };
    if name.is_ascii() {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        let fits = escaped.len() + address.as_str().len() <= LINE_ROOM;
        let fold = if fits { "" } else { "\r\n" };
        return format!("\"{escaped}\"{fold} <{address}>");
    }
    let words = repair::encoded_words(&name).join("\r\n ");
    format!("{words}\r\n <{address}>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `name/comment/address`, `-` for what is not there.
    fn shown(value: &str) -> Vec<String> {
        let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let show = |author: Author| {
            let address = author.address.map(|address| address.to_string());
            format!("{}/{}/{}", or(author.name), or(author.comment), or(address))
        };
        parse(value.as_bytes()).into_iter().map(show).collect()
    }

    #[test]
    fn names_and_comments_are_found() {
        for (value, expected) in [
            (" root (Cron Daemon)\r\n", vec!["-/Cron Daemon/root"]),
            (
                " \"(Cron Daemon)\" <root>\r\n",
                vec!["(Cron Daemon)/-/root"],
            ),
            ("\r\n\t=?utf-8?Q?J=C3=B6rg?= X <j@b>", vec!["Jörg X/-/j@b"]),
            ("Jörg <j@b>", vec!["Jörg/-/j@b"]),
            ("J. \"Q\\\"\" Smith<j@b>", vec!["J. Q\" Smith/-/j@b"]),
            ("A <a@x>, \"B, b\" <b@y> (x)", vec!["A/-/a@x", "B, b/x/b@y"]),
            ("G: A <a@x>;", vec!["A/-/a@x"]),
            ("a@x b@y", vec!["-/-/a@x", "-/-/b@y"]),
            ("(=?utf-8?Q?=C3=BC?=) <a@x>", vec!["-/ü/a@x"]),
            ("\"X\" <a@>", vec!["X/-/-"]),
            ("", vec![]),
        ] {
            assert_eq!(shown(value), expected, "{value:?}");
        }
    }

    #[test]
    fn mailboxes_are_written() {
        let address = Address::parse("a@b.example").unwrap();
        for (name, expected) in [
            (None, "a@b.example"),
            (Some(" \r\n"), "a@b.example"),
            (Some("A via B"), "\"A via B\" <a@b.example>"),
            (
                Some("a \"b\"\r\nBcc: x"),
                "\"a \\\"b\\\"  Bcc: x\" <a@b.example>",
            ),
            (Some("Jörg"), "=?utf-8?Q?J=C3=B6rg?=\r\n <a@b.example>"),
        ] {
            assert_eq!(mailbox(name, &address), expected, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(name in "[^\\p{Cc}]{1,60}") {
            prop_assume!(!name.contains("=?"));
            let address = Address::parse("a@b.example").unwrap();
            let text = mailbox(Some(&name), &address);
            prop_assert!(text.is_ascii());
            let read = parse(text.as_bytes());
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(&read[0].address, &Some(address));
            let expected = clean(&name);
            prop_assert_eq!(&read[0].name, &expected);
        }

        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            for author in parse(&bytes) {
                prop_assert!(author.name.is_none_or(|name| !name.contains(char::is_control)));
            }
        }
    }
}
