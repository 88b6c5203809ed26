//! Address lists in ASCII and short lines.

use super::*;
use crate::header::HeaderBlock;
use crate::mailboxes;

#[test]
fn addresses_keep_their_form() {
    for (value, expected) in [
        (" Jörg <j@b>, c@d", " =?utf-8?Q?J=C3=B6rg?= <j@b>, c@d"),
        (" \"Jörg, X\"<j@b>", " =?utf-8?Q?J=C3=B6rg=2C_X?= <j@b>"),
        (" j@b (Jörg (x))", " j@b (=?utf-8?Q?J=C3=B6rg_=28x=29?=)"),
        (" j@bücher.example", " j@xn--bcher-kva.example"),
        (
            " A <ä@b.example>, c@d",
            " A =?utf-8?Q?=C3=A4=40b=2Eexample?= :;, c@d",
        ),
        // Two addresses without a comma stay two.
        (" a@b Köln", " a@b , =?utf-8?Q?K=C3=B6ln?= :;"),
        (
            " Große: a@b;,ü <c@d>",
            " =?utf-8?Q?Gro=C3=9Fe?=: a@b;, =?utf-8?Q?=C3=BC?= <c@d>",
        ),
    ] {
        check(
            &format!("To:{value}\r\n\r\n"),
            SEVEN,
            &format!("To:{expected}\r\n\r\n"),
        );
    }
}

#[test]
fn long_lists_are_folded() {
    let list = vec!["a.person@some.example"; 200];
    for separator in [", ", ","] {
        let list = list.join(separator);
        let (out, _) = repaired(&format!("To: {list}\r\n\r\nx\r\n"), SEVEN);
        assert!(words::fits(out.as_bytes()));
        let read = out.split_once("\r\n\r\n").unwrap().0;
        let read = crate::recipients::parse_list(&read[3..]);
        assert_eq!(read.len(), crate::recipients::parse_list(&list).len());
    }
}

#[test]
fn what_is_too_long_for_an_address_is_shown_as_text() {
    for long in ["x".repeat(1_500), "x.".repeat(700), "\"x\"@".repeat(700)] {
        let message =
            format!("To: a@b.example, A <{long}@c.example>, {long}, d@e.example\r\n\r\nx\r\n");
        let (out, _) = repaired(&message, SEVEN);
        assert!(words::fits(out.as_bytes()), "{out}");
        let value = out.split_once("\r\n\r\n").unwrap().0;
        let read = crate::recipients::parse_list(&value[3..]);
        let read: Vec<_> = read
            .iter()
            .map(|one| one.as_ref().map(crate::Address::as_str))
            .collect();
        assert_eq!(read, [Ok("a@b.example"), Ok("d@e.example")], "{out}");
    }
    for length in 900..=948 {
        let address = format!("{}@c.example", "x".repeat(length));
        let message = format!("Disposition-Notification-To:a.person@b.example,{address},ü\r\n\r\n");
        let (out, _) = repaired(&message, SEVEN);
        assert!(
            words::fits(out.as_bytes()) && out.contains(&address),
            "{out}"
        );
    }
}

#[test]
fn addresses_of_the_envelope_get_a_labels() {
    let ascii = |text: &str| {
        let address = crate::Address::parse(text).unwrap();
        ascii_address(&address).map(|address| address.to_string())
    };
    assert_eq!(ascii("a@b"), Some("a@b".to_owned()));
    assert_eq!(
        ascii("a@BÜCHER.example"),
        Some("a@xn--bcher-kva.example".to_owned())
    );
    assert_eq!(ascii("ä@b.example"), None);
    assert_eq!(ascii("a"), Some("a".to_owned()));
}

#[test]
fn hostile_lists_take_linear_time() {
    for item in ["ü@b,", "<ü@b>,", "ü <a@b>,", "a@b,", "(ü)a,", "a ü "] {
        let list = item.repeat(250_000 / item.len());
        let message = format!("To: {list}\r\n\r\nx\r\n");
        let (out, _) = repaired_in(message.as_bytes(), SEVEN, 1 << 16);
        assert!(words::fits(&out), "{item}");
    }
}

#[test]
fn a_backslash_does_not_cut_a_line_end_in_two() {
    for item in ["ü\\", "\"ü\\", "(ü\\", "ü@b\\"] {
        let (out, _) = repaired(&format!("To: a@b, {item}\r\n c@d\r\n\r\nx\r\n"), SEVEN);
        assert!(
            out.is_ascii() && !out.replace("\r\n", "").contains(['\r', '\n']),
            "{out:?}"
        );
    }
}

/// A list that must be written anew, of addresses up to the longest that is kept, with and without names and comments,
/// and with blanks or none between them.
fn address_list() -> impl Strategy<Value = String> {
    let address = (1..300_usize, 1..300_usize, 1..300_usize)
        .prop_map(|(a, b, c)| format!("{}.{}@{}.x", "a".repeat(a), "b".repeat(b), "c".repeat(c)));
    let comment = prop_oneof![
        Just(String::new()),
        (1..890_usize).prop_map(|n| format!("({})", "k".repeat(n))),
        Just("(\u{fc})".to_owned()),
    ];
    let name = prop_oneof![
        Just(String::new()),
        (1..890_usize).prop_map(|n| format!("\"{}\"", "n".repeat(n))),
        Just("J\u{fc}rgen".to_owned()),
    ];
    let blank = || prop_oneof![Just(""), Just(" ")];
    let parts = (name, comment.clone(), address, comment, blank(), blank());
    let one = parts.prop_map(|(name, before, address, after, one, two)| {
        if name.is_empty() {
            format!("{before}{one}{address}{two}{after}")
        } else {
            format!("{name}{one}<{address}>{two}{after}")
        }
    });
    let list = proptest::collection::vec((one, blank()), 1..6);
    list.prop_map(|items| {
        let items = items
            .into_iter()
            .map(|(item, blank)| format!("{item},{blank}"));
        items.collect::<String>() + "\u{e4} <last@x.y>"
    })
}

proptest! {
    #[test]
    fn long_addresses_live_whatever_is_glued_to_them(list in address_list()) {
        let message = format!("To: {list}\r\n\r\n");
        let (out, _) = repaired(&message, SEVEN);
        prop_assert!(words::fits(out.as_bytes()), "{}", out);
        let addresses = |text: &str| {
            let block = HeaderBlock::split(text.as_bytes()).0;
            let found = mailboxes::parse(block.get("To").unwrap().value());
            let shown = found.into_iter().map(|mailbox| mailbox.address.map(|a| a.to_string()));
            shown.collect::<Vec<_>>()
        };
        prop_assert_eq!(addresses(&out), addresses(&message));
    }
}
