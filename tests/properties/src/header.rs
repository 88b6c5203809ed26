//! A message on its way in: line ends, the header block, and what a relay makes of it.

use mail::completion::{complete, is_resent};
use mail::header::{Field, HEADER_LIMIT, Head, HeaderBlock, Splitter};
use mail::line_ends::Normaliser;
use mail::recipients::{from_headers, parse_list};

use crate::addresses::completion;
use crate::cuts::Cuts;

/// The fields whose addresses are completed.
const ADDRESS_FIELDS: [&str; 15] = [
    "Apparently-To",
    "Cc",
    "Disposition-Notification-To",
    "Errors-To",
    "From",
    "Mail-Followup-To",
    "Reply-To",
    "Resent-Cc",
    "Resent-From",
    "Resent-Reply-To",
    "Resent-Sender",
    "Resent-To",
    "Return-Receipt-To",
    "Sender",
    "To",
];
const DROPPED: [&str; 4] = ["Bcc", "Resent-Bcc", "Content-Length", "Return-Path"];

/// Reads the bytes as `sendmail` reads its standard input, with and without `-i`, and checks every step up to the
/// header block that is stored.
pub fn check(input: &[u8]) {
    for dot_terminates in [false, true] {
        let message = check_lines(input, dot_terminates);
        let head = check_split(&message);
        check_fields(&head.block);
        check_recipients(&head.block);
        for add_missing in [false, true] {
            check_complete(&head.block, add_missing);
        }
    }
}

/// However it is cut, the input becomes lines that end in CR LF, and stays as it is from then on.
fn check_lines(input: &[u8], dot_terminates: bool) -> Vec<u8> {
    let [message, bytewise, scattered] =
        Cuts::all(input).map(|cuts| normalised(input, dot_terminates, cuts));
    assert_eq!(message, bytewise);
    assert_eq!(message, scattered);
    assert!(message.is_empty() || message.ends_with(b"\r\n"));
    for (at, byte) in message.iter().enumerate() {
        assert_ne!(*byte, 0);
        assert!(*byte != b'\r' || message.get(at + 1) == Some(&b'\n'));
        assert!(*byte != b'\n' || at > 0 && message[at - 1] == b'\r');
    }
    assert_eq!(normalised(&message, dot_terminates, Cuts::None), message);
    let lone_dot = message == b".\r\n" || message.windows(5).any(|five| five == b"\r\n.\r\n");
    assert!(!dot_terminates || !lone_dot && !message.starts_with(b".\r\n"));
    message
}

/// Lines that end in CR LF.
pub(crate) fn normalised(input: &[u8], dot_terminates: bool, cuts: Cuts) -> Vec<u8> {
    let mut normaliser = Normaliser::new(dot_terminates);
    let mut out = Vec::new();
    cuts.pieces(input)
        .for_each(|piece| normaliser.feed(piece, &mut out));
    normaliser.finish(&mut out);
    out
}

/// However it is cut, the message is its header block, an empty line if there was one, and its body.
fn check_split(message: &[u8]) -> Head {
    let [(head, body), bytewise, scattered] = Cuts::all(message).map(|cuts| split(message, cuts));
    assert_eq!((&head, &body), (&bytewise.0, &bytewise.1));
    assert_eq!((&head, &body), (&scattered.0, &scattered.1));
    let rest = message
        .strip_prefix(&*head.block)
        .expect("the block comes first");
    assert!(rest == body || rest.strip_prefix(b"\r\n") == Some(&body));
    let (block, at) = HeaderBlock::split(message);
    assert_eq!((block.as_bytes(), &message[at..]), (&*head.block, &*body));
    assert!(head.block.is_empty() || head.block.ends_with(b"\r\n"));
    head
}

/// The head and the whole body.
fn split(message: &[u8], cuts: Cuts) -> (Head, Vec<u8>) {
    assert!(message.len() <= HEADER_LIMIT, "inputs are smaller");
    let mut splitter = Splitter::new();
    let mut fed = 0;
    for piece in cuts.pieces(message) {
        let end = splitter.feed(piece).expect("it is below the limit");
        fed += end.unwrap_or(piece.len());
        if end.is_some() {
            break;
        }
    }
    let head = splitter.finish();
    let body = [&head.body, &message[fed..]].concat();
    (head, body)
}

/// The fields put together are the block; a field is its name, blanks, a colon and its value.
fn check_fields(block: &[u8]) {
    let fields: Vec<Field<'_>> = HeaderBlock::new(block).fields().collect();
    let whole: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.raw())
        .copied()
        .collect();
    assert_eq!(whole, block);
    for field in fields {
        let raw = field.raw();
        let Some(rest) = raw.strip_prefix(field.name().as_bytes()) else {
            panic!("{}", raw.escape_ascii());
        };
        if field.name().is_empty() {
            assert_eq!(field.value(), raw);
            assert!(
                raw.trim_start_with_marks().starts_with(b"From "),
                "{}",
                raw.escape_ascii()
            );
            continue;
        }
        let blanks = rest.iter().take_while(|byte| b" \t".contains(byte)).count();
        assert_eq!(rest[blanks..].split_first(), Some((&b':', field.value())));
        assert!(
            field
                .name()
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b':')
        );
        let _ = field.text();
    }
}

trait MboxMarks {
    fn trim_start_with_marks(&self) -> &[u8];
}

impl MboxMarks for [u8] {
    fn trim_start_with_marks(&self) -> &[u8] {
        let marks = self.iter().take_while(|byte| **byte == b'>').count();
        &self[marks..]
    }
}

fn check_recipients(block: &[u8]) {
    let found = from_headers(block);
    for problem in &found.problems {
        assert!(problem.text.chars().count() <= 100);
        assert!(!problem.text.contains(char::is_control));
        assert!(problem.field.is_ascii());
    }
    let mut seen: Vec<String> = found
        .addresses
        .iter()
        .map(|one| one.as_str().to_ascii_lowercase())
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), found.addresses.len(), "none twice");
}

/// What is not to be rewritten is the same afterwards, byte for byte and in the same order; a second time changes
/// nothing; what was completed is a header block as a whole.
fn check_complete(block: &[u8], add_missing: bool) {
    let mut with = completion();
    with.add_missing = add_missing;
    let completed = complete(block, &with);
    assert_eq!(
        complete(&completed, &with),
        completed,
        "{}",
        completed.escape_ascii()
    );
    let message = [&*completed, b"\r\nbody\r\n"].concat();
    assert_eq!(HeaderBlock::split(&message).0.as_bytes(), completed);
    let is_kept =
        |field: &Field<'_>| !field.name().is_empty() && !DROPPED.iter().any(|name| field.is(name));
    let kept: Vec<Field<'_>> = HeaderBlock::new(block).fields().filter(is_kept).collect();
    let out: Vec<Field<'_>> = HeaderBlock::new(&completed).fields().collect();
    assert!(out.iter().all(is_kept));
    let (same, added) = out.split_at(kept.len());
    for (new, old) in same.iter().zip(&kept) {
        check_field(*new, *old, add_missing);
    }
    check_added(added, HeaderBlock::new(&completed), add_missing);
}

fn check_field(new: Field<'_>, old: Field<'_>, add_missing: bool) {
    assert_eq!(new.name(), old.name());
    let has_addresses = ADDRESS_FIELDS.iter().any(|name| old.is(name));
    if !has_addresses || !add_missing {
        return assert_eq!(new.value(), old.value());
    }
    let is_bare = |one: &Result<mail::Address, _>| {
        one.as_ref()
            .is_ok_and(|address: &mail::Address| address.domain().is_none())
    };
    let (before, after) = (parse_list(old.value()), parse_list(new.value()));
    assert!(!after.iter().any(is_bare));
    if !before.iter().any(is_bare) {
        assert_eq!(new.value(), old.value());
    }
}

/// Only what is missing is added, and then nothing is.
fn check_added(added: &[Field<'_>], completed: HeaderBlock<'_>, add_missing: bool) {
    let prefix = if is_resent(completed) { "Resent-" } else { "" };
    let names = ["Message-Id", "Date", "From"].map(|name| format!("{prefix}{name}"));
    if !add_missing {
        return assert!(added.is_empty());
    }
    assert!(
        added
            .iter()
            .all(|field| names.iter().any(|name| field.name() == name))
    );
    assert!(names.iter().all(|name| completed.get(name).is_some()));
}
