//! A message of parts that is re-encoded for a gateway reads the same.

mod message;
mod reader;

use mail::Address;
use mail::authors;
use mail::repair::{Changes, Channel, LINE_LIMIT, Plan, Repair, Scanner, ascii_address};

use crate::canonical::assert_canonical;
use crate::cuts::Cuts;
use reader::{Body, Field, Part};

/// The first byte chooses what the gateway can carry, the others how the message is made. Whoever reads what is sent
/// sees the same parts with the same content and the same header text.
pub fn check(bytes: &[u8]) {
    let Some((switches, recipe)) = bytes.split_first() else {
        return;
    };
    let message = message::made(recipe);
    assert_canonical(&message);
    let channel = Channel {
        eight_bit: switches & 1 != 0,
        utf8_header: switches & 2 != 0,
    };
    let (sent, changes) = repaired(&message, channel, Cuts::None);
    for cuts in Cuts::all(&message) {
        assert_eq!(repaired(&message, channel, cuts), (sent.clone(), changes));
    }
    assert_canonical(&sent);
    let (before, after) = (reader::read(&message), reader::read(&sent));
    let shown = || {
        format!(
            "{}\nbecame\n{}",
            message.escape_ascii(),
            sent.escape_ascii()
        )
    };
    same_part(&before, &after, &shown);
    assert_eq!(changes.any(), message != sent, "{}", shown());
}

/// Scans the message at once and repairs it in pieces: the two passes need not be cut alike.
fn repaired(message: &[u8], channel: Channel, cuts: Cuts) -> (Vec<u8>, Changes) {
    let mut scanner = Scanner::new();
    scanner.feed(message);
    let Some(plan) = Plan::new(scanner.finish(), channel) else {
        return (message.to_vec(), Changes::default());
    };
    let (mut repair, mut sent) = (Repair::new(plan), Vec::new());
    for piece in cuts.pieces(message) {
        repair.feed(piece, &mut sent);
    }
    let changes = repair.finish(&mut sent);
    (sent, changes)
}

fn same_part(before: &Part, after: &Part, shown: &dyn Fn() -> String) {
    same_fields(before, after, shown);
    match (&before.body, &after.body) {
        (Body::Leaf(one), Body::Leaf(other)) => {
            let seen = |text: &[u8]| text.escape_ascii().to_string();
            let (one, other) = (decoded(before, one), decoded(after, other));
            assert_eq!(seen(&one), seen(&other), "{}", shown());
        }
        (Body::Message(one), Body::Message(other)) => same_part(one, other, shown),
        (Body::Parts(ones), Body::Parts(others)) => {
            assert_eq!(ones.len(), others.len(), "{}", shown());
            let pairs = ones.iter().zip(others);
            pairs.for_each(|(one, other)| same_part(one, other, shown));
        }
        _ => panic!("a part became of another kind: {}", shown()),
    }
}

fn decoded(part: &Part, body: &[u8]) -> Vec<u8> {
    match part.encoding().as_str() {
        "base64" => reader::from_base64(body),
        "quoted-printable" => reader::from_quoted(body),
        _ => body.to_vec(),
    }
}

/// Fields stay, in their order, and read the same; only those that say how the body is encoded change or are added.
fn same_fields(before: &Part, after: &Part, shown: &dyn Fn() -> String) {
    let says_encoding = |field: &&Field| {
        let names = ["Content-Transfer-Encoding", "MIME-Version"];
        names.iter().any(|name| field.is(name))
    };
    let ones = before.fields.iter().filter(|field| !says_encoding(field));
    let mut others = after.fields.iter().filter(|field| !says_encoding(field));
    for one in ones {
        let other = others
            .next()
            .unwrap_or_else(|| panic!("{one:?} is gone: {}", shown()));
        assert_eq!(one.name, other.name, "{}", shown());
        let fits = one.value.is_ascii() && is_short(&one.name, &one.value);
        if fits {
            assert_eq!(one.value, other.value, "{}", shown());
        } else {
            same_value(one, other, shown);
        }
    }
    for added in others {
        assert!(added.is("Content-Type") && before.get("Content-Type").is_none());
        let says = |charset| added.text().contains(charset);
        let utf8 = matches!(&before.body, Body::Leaf(body) if std::str::from_utf8(body).is_ok());
        assert!(
            says(if utf8 { "utf-8" } else { "iso-8859-1" }),
            "{}",
            shown()
        );
    }
}

fn is_short(name: &str, value: &[u8]) -> bool {
    let whole = [name.as_bytes(), b":", value].concat();
    whole
        .split(|byte| *byte == b'\n')
        .all(|line| line.len() <= LINE_LIMIT + 1)
}

/// A field that had to change says the same.
fn same_value(one: &Field, other: &Field, shown: &dyn Fn() -> String) {
    if one.is("To") {
        let read = |field: &Field| {
            let authors = authors::parse(&field.value).into_iter();
            let told = authors.filter_map(|author| {
                let address = author.address.as_ref().and_then(ascii_address)?;
                Some((author.name.map(|name| words(&name)), address))
            });
            told.unzip()
        };
        let (names, addresses): (Vec<Option<String>>, Vec<Address>) = read(one);
        let (new_names, new_addresses): (Vec<Option<String>>, Vec<Address>) = read(other);
        assert_eq!(addresses, new_addresses, "{}", shown());
        // Words that were nobody's, behind an address without ASCII form, may become the next one's name.
        // Where the brackets do not match, what is a name is anybody's guess.
        let count = |bracket: u8| one.value.iter().filter(|byte| **byte == bracket).count();
        let guess = count(b'<') != count(b'>');
        let same = |(name, new): (&Option<String>, &Option<String>)| {
            guess || name.is_none() || name == new
        };
        assert!(names.iter().zip(&new_names).all(same), "{}", shown());
    } else if one.is("Content-Disposition") {
        let name = |field: &Field| {
            let read = mailparse::parse_content_disposition(&field.text());
            read.params.get("filename").map(|name| words(name))
        };
        assert_eq!(name(one), name(other), "{}", shown());
    } else {
        assert_eq!(
            words(&one.decoded()),
            words(&other.decoded()),
            "{}",
            shown()
        );
    }
}

/// Readers differ about how many blanks a fold is, and about blanks of any kind at the ends.
fn words(text: &str) -> String {
    let words: Vec<&str> = text.trim().split_ascii_whitespace().collect();
    words.join(" ")
}
