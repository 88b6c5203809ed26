//! What a relay does to the header block of a message that is handed in: as Postfix 3.7.

use crate::header::{Field, HeaderBlock};
use crate::{Address, QueueId, Timestamp, date, mailboxes, phrase};

/// What is put into the header block.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// What bare addresses are completed with, such as `example.org`.
    pub domain: &'a str,
    /// This host's name, for a missing message identifier.
    pub hostname: &'a str,
    /// The message's queue id, for a missing message identifier.
    pub queue_id: QueueId,
    /// When the message arrived, for a missing message identifier.
    pub arrival: Timestamp,
    /// The date for a missing `Date` field, as [`date::rfc5322`] gives it.
    pub date: &'a str,
    /// The envelope sender for a missing `From` field; `None` is the null sender.
    pub sender: Option<&'a Address>,
    /// The sender's name for a missing `From` field: `-F`, `NAME` or the passwd entry.
    pub full_name: Option<&'a str>,
    /// The `Received` field to put on top, with its name, folded in CR LF, without the last line
    /// end; none if empty. Taken as it is.
    pub received: &'a str,
    /// Whether missing fields are added and bare addresses in fields are completed. False for
    /// `sendmail -G`, which relays mail that others wrote.
    pub add_missing: bool,
}

/// Makes a header block (see [`crate::header::Splitter`]) fit to be sent; in CR LF, as it came.
///
/// Dropped: mbox lines at the top, `Bcc`, `Resent-Bcc`, `Content-Length`, `Return-Path`. Put on
/// top: [`Completion::received`]. Put at the end, where missing: `Message-Id`, `Date`, `From`,
/// or, where there is any resent field, the resent ones in their stead. Bare addresses in address
/// fields are qualified (see [`Address::qualified`]); where one is, missing commas are added to
/// the field. Blanks between a field's name and its colon go. All else stays byte for byte.
#[must_use]
pub fn complete(block: &[u8], with: &Completion<'_>) -> Vec<u8> {
    let block = HeaderBlock::new(block);
    let mut out = Vec::with_capacity(block.as_bytes().len() + 1_024);
    if !with.received.is_empty() {
        out.extend_from_slice(with.received.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    for field in block.fields().filter(|field| !is_dropped(*field)) {
        append_field(&mut out, field, with);
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    if with.add_missing {
        append_missing(&mut out, block, with);
    }
    out
}

fn is_dropped(field: Field<'_>) -> bool {
    const DROPPED: [&str; 4] = ["Bcc", "Resent-Bcc", "Content-Length", "Return-Path"];
    let marks = field.raw().iter().take_while(|b| **b == b'>').count();
    let is_mbox_line = field.name().is_empty() && field.raw()[marks..].starts_with(b"From ");
    is_mbox_line || DROPPED.iter().any(|name| field.is(name))
}

fn append_field(out: &mut Vec<u8>, field: Field<'_>, with: &Completion<'_>) {
    if field.name().is_empty() {
        out.extend_from_slice(field.raw());
        return;
    }
    out.extend_from_slice(field.name().as_bytes());
    out.push(b':');
    if with.add_missing && holds_addresses(field.name()) {
        append_qualified(out, field.value(), with.domain);
    } else {
        out.extend_from_slice(field.value());
    }
}

/// The fields in which Postfix rewrites addresses, and that are not dropped.
pub(crate) fn holds_addresses(name: &str) -> bool {
    const NAMES: [&str; 15] = [
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
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Copies an address list, its bare addresses qualified; all of it as it is if there are none.
fn append_qualified(out: &mut Vec<u8>, list: &[u8], domain: &str) {
    let mailboxes = mailboxes::parse(list);
    let is_bare = |address: &Address| address.domain().is_none();
    if !mailboxes
        .iter()
        .any(|mailbox| mailbox.address.as_ref().is_ok_and(is_bare))
    {
        out.extend_from_slice(list);
        return;
    }
    let mut copied = 0;
    for mailbox in mailboxes {
        let between = &list[copied..mailbox.span.start];
        if mailbox.lacks_comma {
            let text = between.trim_ascii_end();
            out.extend_from_slice(text);
            out.push(b',');
            out.extend_from_slice(&between[text.len()..]);
        } else {
            out.extend_from_slice(between);
        }
        match mailbox.address {
            Ok(address) if is_bare(&address) => {
                out.extend_from_slice(address.qualified(domain).as_str().as_bytes());
            }
            _ => out.extend_from_slice(&list[mailbox.span.clone()]),
        }
        copied = mailbox.span.end;
    }
    out.extend_from_slice(&list[copied..]);
}

/// Adds `Message-Id`, `Date` and `From` where missing, in Postfix's order.
fn append_missing(out: &mut Vec<u8>, block: HeaderBlock<'_>, with: &Completion<'_>) {
    let prefix = if is_resent(block) { "Resent-" } else { "" };
    let mut add = |name: &str, value: &dyn Fn() -> String| {
        let name = format!("{prefix}{name}");
        if block.get(&name).is_none() {
            out.extend_from_slice(format!("{name}: {}\r\n", value()).as_bytes());
        }
    };
    add("Message-Id", &|| {
        format!(
            "<{}>",
            date::message_id(with.arrival, with.queue_id, with.hostname)
        )
    });
    add("Date", &|| with.date.to_owned());
    add("From", &|| {
        author(with.sender, with.full_name, Some(with.domain))
    });
}

/// Whether a message with this header block is a resent one (RFC 5322 section 3.6.6), in which
/// `Resent-From` is what `From` is in others.
#[must_use]
pub fn is_resent(block: HeaderBlock<'_>) -> bool {
    block.fields().any(makes_resent)
}

fn makes_resent(field: Field<'_>) -> bool {
    const NAMES: [&str; 8] = [
        "Bcc",
        "Cc",
        "Date",
        "From",
        "Message-Id",
        "Reply-To",
        "Sender",
        "To",
    ];
    let rest = field.name().as_bytes();
    rest.get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"Resent-"))
        && NAMES
            .iter()
            .any(|name| rest[7..].eq_ignore_ascii_case(name.as_bytes()))
}

/// The value of a `From` field for mail that has none: the sender, with the name before it where
/// there is one, made a phrase (RFC 5322 section 3.2.5) or encoded words (RFC 2047). The null
/// sender is MAILER-DAEMON and has no name. May be folded in CR LF; has no line end.
///
/// A bare address gets `domain`. Without one it stays bare, to be completed by [`complete`]. (The
/// bare MAILER-DAEMON that Postfix writes is refused by gateways.)
#[must_use]
pub fn author(sender: Option<&Address>, full_name: Option<&str>, domain: Option<&str>) -> String {
    let whole = |address: &Address| match domain {
        Some(domain) => address.qualified(domain).to_string(),
        None => address.to_string(),
    };
    let Some(sender) = sender else {
        let daemon = Address::parse(NULL_SENDER).expect("a word is an address");
        return whole(&daemon);
    };
    match full_name.and_then(phrase::from_name) {
        Some(name) => format!("{name} <{}>", whole(sender)),
        None => whole(sender),
    }
}

/// Who writes for the null sender.
const NULL_SENDER: &str = "MAILER-DAEMON";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn completion(sender: Option<&Address>) -> Completion<'_> {
        Completion {
            domain: "test.example",
            hostname: "h.test.example",
            queue_id: QueueId::from_number(0xABC),
            arrival: Timestamp::from_secs(1_795_458_252),
            date: "Mon, 23 Nov 2026 18:24:12 +0000",
            sender,
            full_name: Some("Alice Example"),
            received: "",
            add_missing: true,
        }
    }

    const ADDED: &str = "Message-Id: <20261123182412.000000000ABC@h.test.example>\r\n\
        Date: Mon, 23 Nov 2026 18:24:12 +0000\r\nFrom: Alice Example <alice@test.example>\r\n";

    fn completed(block: &str) -> String {
        let sender = Address::parse("alice@test.example").unwrap();
        String::from_utf8(complete(block.as_bytes(), &completion(Some(&sender)))).unwrap()
    }

    /// Only what replaces `block`, without what is added.
    #[track_caller]
    fn check_rewritten(block: &str, expected: &str) {
        let rest = "Message-Id: <m@x>\r\nDate: x\r\nFrom: a@b\r\n";
        assert_eq!(
            completed(&format!("{block}{rest}")),
            format!("{expected}{rest}"),
            "{block:?}"
        );
    }

    #[test]
    fn missing_fields_are_added() {
        assert_eq!(completed(""), ADDED);
        assert_eq!(
            completed("To: b@b\r\nSubject: s\r\n"),
            format!("To: b@b\r\nSubject: s\r\n{ADDED}")
        );
        let whole = "message-ID:\r\n <x>\r\nDATE: bad\r\nfrom: x@y\r\n";
        assert_eq!(completed(whole), whole);
    }

    #[test]
    fn resent_mail_gets_resent_fields() {
        let block = "From: x@y\r\nResent-To: z\r\n";
        let added = ADDED.replace("\r\n", "\r\nResent-");
        let added = format!("Resent-{}", added.trim_end_matches("Resent-"));
        let expected = format!("From: x@y\r\nResent-To: z@test.example\r\n{added}");
        assert_eq!(completed(block), expected);
        assert_eq!(
            completed("Resent-Other: z\r\n"),
            format!("Resent-Other: z\r\n{ADDED}")
        );
        assert!(completed("resent-BCC: z\r\n").starts_with("Resent-Message-Id: "));
    }

    #[test]
    fn fields_that_must_not_leave_are_dropped() {
        check_rewritten(
            "From me Mon Nov 23\r\n>From x\r\nReturn-Path: <rp@x>\r\nBCC : a,\r\n b\r\n\
             Sender: s@s\r\nContent-Length: 5\r\nErrors-To: e@x\r\n",
            "Sender: s@s\r\nErrors-To: e@x\r\n",
        );
    }

    #[test]
    fn bare_addresses_are_qualified_in_place() {
        for (block, expected) in [
            ("To: alice\r\n", "To: alice@test.example\r\n"),
            (
                "To: alice, b@b.example\r\n",
                "To: alice@test.example, b@b.example\r\n",
            ),
            (
                "Cc:\r\n\t\"X\" <root>,\r\n  b@b\r\n",
                "Cc:\r\n\t\"X\" <root@test.example>,\r\n  b@b\r\n",
            ),
            (
                "Sender: root (Cron Daemon)\r\n",
                "Sender: root@test.example (Cron Daemon)\r\n",
            ),
            (
                "Reply-To: \"(Cron)\" <alice>\r\n",
                "Reply-To: \"(Cron)\" <alice@test.example>\r\n",
            ),
            (
                "To: bob (x)  carol d@e\r\n",
                "To: bob@test.example (x),  carol@test.example, d@e\r\n",
            ),
            ("To: a@a b@b\r\n", "To: a@a b@b\r\n"),
            (
                "To: F: a;, host!user\r\n",
                "To: F: a@test.example;, user@host\r\n",
            ),
            (
                "To: undisclosed-recipients:;\r\n",
                "To: undisclosed-recipients:;\r\n",
            ),
            ("Errors-To: <>\r\n", "Errors-To: <>\r\n"),
            ("To: \"open, bob\r\n", "To: \"open, bob\r\n"),
            (
                "X-To: bob\r\nSubject: bob\r\n",
                "X-To: bob\r\nSubject: bob\r\n",
            ),
        ] {
            check_rewritten(block, expected);
        }
    }

    #[test]
    fn blanks_before_the_colon_go() {
        check_rewritten(
            "To : bob@b\r\nSubject \t:  s\r\n",
            "To: bob@b\r\nSubject:  s\r\n",
        );
    }

    #[test]
    fn a_missing_from_is_the_sender() {
        let from = |sender: Option<&str>, name: Option<&str>| {
            let sender = sender.map(|text| Address::parse(text).unwrap());
            author(sender.as_ref(), name, Some("test.example"))
        };
        assert_eq!(from(Some("a@b"), Some("A. B")), "\"A. B\" <a@b>");
        assert_eq!(from(Some("a@b"), Some(" ")), "a@b");
        assert_eq!(from(Some("a"), None), "a@test.example");
        assert_eq!(from(None, Some("Alice")), "MAILER-DAEMON@test.example");
    }

    #[test]
    fn gateway_mail_is_only_cleaned() {
        let with = Completion {
            add_missing: false,
            ..completion(None)
        };
        assert_eq!(complete(b"To: bob\r\nBcc: x\r\n", &with), b"To: bob\r\n");
        assert_eq!(complete(b"", &with), b"");
    }

    #[test]
    fn received_stands_on_top() {
        let with = Completion {
            received: "Received: by h;\r\n\tdate",
            ..completion(None)
        };
        let out = complete(b"From me\r\nTo: a@b\r\n", &with);
        assert!(out.starts_with(b"Received: by h;\r\n\tdate\r\nTo: a@b\r\nMessage-Id: "));
    }

    #[test]
    fn large_blocks_take_linear_time() {
        let lists = ["root, ", "a b ", "<a> ", "g:a;"].map(|part| part.repeat(40_000));
        for list in lists {
            let out = complete(format!("To: {list}\r\n").as_bytes(), &completion(None));
            assert!(out.len() > list.len());
        }
        let fields = "X-A: b\r\n".repeat(32_000);
        assert!(complete(fields.as_bytes(), &completion(None)).len() > fields.len());
    }

    proptest! {
        #[test]
        fn any_block_is_completed(bytes: Vec<u8>) {
            let with = completion(None);
            let out = complete(&bytes, &with);
            prop_assert!(out.ends_with(b"\r\n"));
            prop_assert_eq!(complete(&out, &with), out.clone());
        }

        #[test]
        fn what_is_not_ours_stays_byte_for_byte(
            fields in proptest::collection::vec(
                ("X-[A-Za-z-]{1,9}|Subject|Received", ":[ -~é]{0,20}(\r\n[ \t][ -~]{0,9}){0,2}\r\n"),
                0..6,
            ),
        ) {
            let block: String = fields.iter().map(|(name, rest)| format!("{name}{rest}")).collect();
            let out = completed(&block);
            prop_assert_eq!(out, format!("{block}{ADDED}"));
        }

        #[test]
        fn recipients_do_not_change_by_completion(list in "[a-c@.,;:<>() \"\\\\]{0,30}") {
            let block = format!("To: {list}\r\n");
            let before = crate::recipients::from_headers(block.as_bytes()).addresses;
            let before = before.iter().map(|address| address.qualified("test.example"));
            let after = crate::recipients::from_headers(completed(&block).as_bytes()).addresses;
            let after = crate::recipients::unique(after);
            prop_assert_eq!(after, crate::recipients::unique(before));
        }
    }
}
