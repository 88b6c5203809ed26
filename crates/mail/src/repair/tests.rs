//! Repaired messages as a reader sees them, who is mailparse here.

mod lists;

use super::*;
use crate::line_ends::Normaliser;
use proptest::prelude::*;

const SEVEN: Channel = Channel {
    eight_bit: false,
    utf8_header: false,
};
const EIGHT: Channel = Channel {
    eight_bit: true,
    utf8_header: false,
};

fn scanned(message: &[u8], size: usize) -> Findings {
    let mut scanner = Scanner::new();
    message.chunks(size).for_each(|piece| scanner.feed(piece));
    scanner.finish()
}

/// Repairs a message that is fed in pieces of `size` bytes.
fn repaired_in(message: &[u8], channel: Channel, size: usize) -> (Vec<u8>, Changes) {
    let Some(plan) = Plan::new(scanned(message, size), channel) else {
        return (message.to_vec(), Changes::default());
    };
    let mut repair = Repair::new(plan);
    let mut out = Vec::new();
    for piece in message.chunks(size) {
        repair.feed(piece, &mut out);
    }
    let changes = repair.finish(&mut out);
    (out, changes)
}

fn repaired(message: &str, channel: Channel) -> (String, Changes) {
    let (out, changes) = repaired_in(message.as_bytes(), channel, 7);
    assert_eq!(repaired_in(message.as_bytes(), channel, 1 << 20).0, out);
    (String::from_utf8(out).unwrap(), changes)
}

#[track_caller]
fn check(message: &str, channel: Channel, expected: &str) -> Changes {
    let (out, changes) = repaired(message, channel);
    assert_eq!(out, expected, "{message:?}");
    changes
}

/// What a reader sees of a part: its type and its decoded body, and those of the parts in it.
fn seen(message: &[u8], out: &mut Vec<(String, Vec<u8>)>) {
    let parsed = mailparse::parse_mail(message).unwrap();
    let mut parts = vec![&parsed];
    while let Some(part) = parts.pop() {
        let kind = part.ctype.mimetype.clone();
        let body = part.get_body_raw().unwrap();
        if kind == "message/rfc822" {
            seen(&body, out);
        } else if part.subparts.is_empty() {
            out.push((kind, body));
        }
        parts.extend(part.subparts.iter().rev());
    }
}

#[track_caller]
fn check_same(message: &[u8], repaired: &[u8]) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    seen(message, &mut before);
    seen(repaired, &mut after);
    let shown = String::from_utf8_lossy(repaired);
    assert_eq!(
        before,
        after,
        "{}\n{shown}",
        String::from_utf8_lossy(message)
    );
}

fn field(block: &str, name: &str) -> String {
    let (block, _) = crate::header::HeaderBlock::split(block.as_bytes());
    block.get(name).unwrap().text()
}

#[test]
fn text_becomes_quoted_printable_and_says_so() {
    let changes = check(
        "Subject: x\r\n\r\nGrüße \r\n- a=b\r\n",
        SEVEN,
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe=20\r\n=2D a=3Db\r\n",
    );
    assert_eq!((changes.fields, changes.bodies), (3, 1));
    check(
        "Content-type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\nü\r\n",
        SEVEN,
        "Content-type: text/html\r\nContent-Transfer-Encoding: base64\r\n\
         MIME-Version: 1.0\r\n\r\nw7wNCg==\r\n",
    );
    let message = "S: x\r\n\r\nhä\r\n";
    check(message, EIGHT, message);
}

#[test]
fn long_lines_are_broken_softly() {
    let line = "<p>Grüße</p>".repeat(200);
    let message = format!("Subject: x\r\nContent-Type: text/html\r\n\r\n{line}\r\nend\r\n");
    for channel in [SEVEN, EIGHT] {
        let (out, _) = repaired(&message, channel);
        check_same(message.as_bytes(), out.as_bytes());
        assert!(words::fits(out.as_bytes()));
    }
    let line = "a".repeat(998);
    let message = format!("S: x\r\n\r\n{line}\r\n");
    check(&message, SEVEN, &message);
}

#[test]
fn only_the_parts_that_need_it_are_encoded() {
    let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b b\"\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nüber\r\n--b b\r\n\r\nplain = text \r\n\
        --b b\r\nContent-Type: image/x\r\nContent-Disposition: a; filename=\"ü n.png\"; x=y\r\n\r\nü\r\n\r\n\
        --b b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nü=3D\r\n--b b--\r\nend\r\n";
    let expected = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b b\"\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\n=C3=BCber\r\n--b b\r\n\r\nplain = text \r\n\
        --b b\r\nContent-Type: image/x\r\nContent-Disposition: a;\r\n\tfilename*=utf-8''%C3%BC%20n.png; x=y\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nw7wNCg==\r\n\
        --b b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC=3D\r\n--b b--\r\nend\r\n";
    let changes = check(message, SEVEN, expected);
    assert_eq!((changes.fields, changes.bodies), (3, 2));
    assert!(!changes.dkim_broken && !changes.signed_part_changed);
    // mailparse leaves out what may not stand in quoted-printable.
    let readable = message.replace("ü=3D", "=C3=BC=3D");
    check_same(readable.as_bytes(), expected.as_bytes());
    check(message, EIGHT, message);
}

#[test]
fn messages_in_messages_stay_legal() {
    let message = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n\
        Subject: ü\r\n\r\nü is here\r\n--b\r\nContent-Type: message/rfc822\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nTo: x\r\n\r\nü is here\r\n--b--\r\n";
    let (out, changes) = repaired(message, SEVEN);
    assert!(words::fits(out.as_bytes()));
    assert_eq!(changes.bodies, 2);
    assert!(out.contains("--b\r\n\r\nSubject: =?utf-8?Q?=C3=BC?=\r\nMIME-Version: 1.0\r\n"));
    assert!(out.contains("message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nTo: x\r\nMIME"));
    check_same(message.as_bytes(), out.as_bytes());
}

#[test]
fn free_text_becomes_encoded_words() {
    let long = format!("{} end", "x".repeat(2_000));
    for subject in [
        "Grüße aus Köln, alles =gut= und ? fein",
        "日本語の件名はとても長いのでいくつもの語に分けなければなりません。それでも同じに読めます。",
        "ü",
        &long,
        &"word and ".repeat(400),
    ] {
        let message = format!("Subject: {subject}\r\n\r\nx\r\n");
        let (out, _) = repaired(&message, SEVEN);
        assert!(words::fits(out.as_bytes()), "{out}");
        let expected = field(&message, "Subject");
        assert_eq!(field(&out, "Subject"), expected, "{out}");
    }
    check(
        "Subject: a ü b\r\n\r\n",
        EIGHT,
        "Subject: a =?utf-8?Q?=C3=BC?= b\r\n\r\n",
    );
    check(
        "Subject: plain ü =?utf-8?Q?=C3=A4_x?= ö\r\n\r\n",
        SEVEN,
        "Subject: plain =?utf-8?Q?=C3=BC_?= =?utf-8?Q?=C3=A4_x?= =?utf-8?Q?_=C3=B6?=\r\n\r\n",
    );
    let asked = Channel {
        utf8_header: true,
        ..SEVEN
    };
    check("Subject: a ü\r\n\r\n", asked, "Subject: a ü\r\n\r\n");
}

#[test]
fn latin_1_is_read_as_such() {
    let (out, _) = repaired_in(b"Subject: \xFC\r\n\r\n\xFC is here\r\n", SEVEN, 9);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(field(&out, "Subject"), "ü");
    assert!(out.contains("charset=iso-8859-1") && out.ends_with("\r\n\r\n=FC is here\r\n"));
}

#[test]
fn broken_signatures_are_told() {
    let dkim = "DKIM-Signature: v=1; c=relaxed/simple;\r\n h=From:Subject; b=x\r\n";
    let long = "x ".repeat(600);
    for (rest, broken) in [
        ("X: ü\r\n\r\nx\r\n".to_owned(), false),
        ("Subject: ü\r\n\r\nx\r\n".to_owned(), true),
        (format!("Subject: {long}\r\n\r\nx\r\n"), false),
        ("X: y\r\n\r\nü\r\n".to_owned(), true),
    ] {
        let (_, changes) = repaired(&format!("{dkim}{rest}"), SEVEN);
        assert_eq!(changes.dkim_broken, broken, "{rest}");
        assert!(changes.any());
    }
    let signed = |body: &str| {
        format!(
            "Subject: ü\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{body}\r\n\
             --b\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--b--\r\n"
        )
    };
    assert!(!repaired(&signed("plain"), SEVEN).1.signed_part_changed);
    let (out, changes) = repaired(&signed("ü"), SEVEN);
    assert!(changes.signed_part_changed && out.contains("pgp-signature\r\n\r\nsig\r\n"));
    assert_eq!(
        changes.to_string(),
        "re-encoded 3 header fields and 1 body; a part that was signed no longer verifies"
    );
}

#[test]
fn a_long_boundary_line_is_one_however_it_is_cut() {
    for blanks in 980..1_020 {
        let line = format!("--b{}", " ".repeat(blanks));
        let message = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{line}\r\n\r\nü\r\n--b--\r\n"
        );
        let whole = repaired_in(message.as_bytes(), SEVEN, 1 << 20);
        for size in [1, 7, 500, 1_003] {
            assert_eq!(
                repaired_in(message.as_bytes(), SEVEN, size),
                whole,
                "{blanks}"
            );
        }
    }
}

#[test]
fn changes_between_the_parts_are_told() {
    let dkim = "DKIM-Signature: v=1; h=From; b=x\r\n";
    let long = "x".repeat(1_500);
    for (before, boundary, after) in [
        ("ü", "--b", "end"),
        ("", "--b", "ü"),
        (&long, "--b", ""),
        ("", &format!("--b{}", " ".repeat(996)), ""),
    ] {
        let parts = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{before}\r\n{boundary}\r\n\r\nx\r\n\
             --b--\r\n{after}\r\n"
        );
        let message = format!("{dkim}{parts}");
        let (_, changes) = repaired(&message, SEVEN);
        assert!(
            changes.any() && changes.outside && changes.dkim_broken,
            "{message}"
        );
        assert!(!changes.signed_part_changed);
        assert_eq!(
            changes.to_string(),
            "re-encoded 0 header fields and 0 bodies; text outside its parts changed; its DKIM \
             signature no longer verifies"
        );
        let signed = format!(
            "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n{parts}\r\n--s\r\n\r\n\
             sig\r\n--s--\r\n"
        );
        assert!(repaired(&signed, SEVEN).1.signed_part_changed, "{signed}");
    }
    let around = "Content-Type: multipart/signed; boundary=s\r\n\r\nü\r\n--s\r\n\r\nx\r\n--s\r\n\r\n\
                  sig\r\n--s--\r\nü\r\n";
    let changes = repaired(around, SEVEN).1;
    assert!(changes.outside && !changes.signed_part_changed);
    let untouched =
        "Content-Type: multipart/mixed; boundary=b\r\n\r\na\r\n--b \r\n\r\nü\r\n--b--\r\nz\r\n";
    assert!(!repaired(untouched, SEVEN).1.outside);
}

#[test]
fn a_body_without_empty_line_before_it_gets_one() {
    let (out, _) = repaired("To: x\r\nTöpic: y\r\n", SEVEN);
    assert!(
        out.ends_with("quoted-printable\r\n\r\nT=C3=B6pic: y\r\n"),
        "{out}"
    );
}

#[test]
fn what_follows_an_mbox_line_is_no_continuation() {
    let (out, _) = repaired("From a@b\r\n ü is here\r\n", SEVEN);
    assert!(
        out.ends_with("quoted-printable\r\n\r\n =C3=BC is here\r\n"),
        "{out}"
    );
    let (out, _) = repaired(">From a@b\r\nX: y\r\n ü\r\n\r\nx\r\n", SEVEN);
    assert_eq!(out, ">From a@b\r\nX: y\r\n =?utf-8?Q?=C3=BC?=\r\n\r\nx\r\n");
}

#[test]
fn encoded_bodies_are_wrapped() {
    let text = "QUJD".repeat(400);
    let message = format!("Content-Transfer-Encoding: base64\r\n\r\n{text}\r\n");
    let (out, _) = repaired(&message, EIGHT);
    check_same(message.as_bytes(), out.as_bytes());
    let text = "a=C3=BC-".repeat(400);
    let message = format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{text}=\r\nx \r\n");
    let (out, _) = repaired(&message, EIGHT);
    check_same(message.as_bytes(), out.as_bytes());
    assert!(words::fits(out.as_bytes()));
}

#[test]
fn a_line_cannot_become_a_boundary() {
    let line = format!("{}--b{}--b--", "x".repeat(75), "y".repeat(1_000));
    let message = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{line}\r\n--b\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{line}\r\n--b--\r\n"
    );
    let (out, _) = repaired(&message, EIGHT);
    check_same(message.as_bytes(), out.as_bytes());
}

#[test]
fn hostile_structure_takes_linear_time_and_little_memory() {
    let nested: String = (0..500)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"))
        .collect();
    let parts = "--b\r\n\r\n".repeat(300_000);
    let many = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}ü\r\n");
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
    let dashes = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        "-".repeat(1 << 21)
    );
    for message in [
        format!("{nested}ü\r\n"),
        many,
        format!("{messages}ü\r\n"),
        dashes,
    ] {
        let (out, _) = repaired_in(message.as_bytes(), SEVEN, 1 << 16);
        assert!(words::fits(&out));
        assert!(scanned(message.as_bytes(), 1 << 16).longest_line > 0);
    }
}

/// Lines such as messages are made of.
fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ -~]{0,40}".prop_map(String::into_bytes),
        3 => "[a-zäöü日=. \t-]{0,60}".prop_map(String::into_bytes),
        1 => ("[a-z =ü-]{1,9}", 1_usize..400).prop_map(|(text, n)| text.repeat(n).into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(line(), 0..8).prop_map(|lines| normalised(&lines.join(&b'\n')))
}

fn normalised(text: &[u8]) -> Vec<u8> {
    let mut normaliser = Normaliser::new(false);
    let mut out = Vec::new();
    normaliser.feed(text, &mut out);
    normaliser.finish(&mut out);
    out
}

/// A body with its header fields, parts in parts up to three deep. No boundary begins another:
/// mailparse would take the inner one for the outer.
fn entity() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        Just(""),
        Just("Content-Type: text/html; charset=utf-8\r\n"),
        Just("Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: 8bit\r\n"),
        Just("Content-Transfer-Encoding: quoted-printable\r\n"),
        Just("Content-Disposition: attachment; filename=\"ü.x\"\r\n"),
    ];
    let leaf = (kind, lines()).prop_filter_map("readable", |(fields, body)| {
        let text = [fields.as_bytes(), b"\r\n", &*body].concat();
        let bare = body.windows(2).any(|two| two == b"--");
        (!bare && (!fields.contains("quoted") || is_quoted(&body))).then_some(text)
    });
    leaf.prop_recursive(3, 12, 4, |inner| {
        (
            proptest::collection::vec(inner, 1..4),
            0..99_u32,
            any::<bool>(),
        )
            .prop_map(|(parts, n, message)| {
                if message && n % 3 == 0 {
                    return [
                        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n",
                        &*parts[0],
                    ]
                    .concat();
                }
                let mut out =
                    format!("Content-Type: multipart/mixed; boundary=b{n:02}\r\n\r\n").into_bytes();
                for part in parts {
                    out.extend_from_slice(format!("--b{n:02}\r\n").as_bytes());
                    out.extend_from_slice(&part);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(format!("--b{n:02}--\r\n").as_bytes());
                out
            })
    })
}

/// Whether every `=` begins an escape, so that all readers read it alike.
fn is_quoted(body: &[u8]) -> bool {
    !body.contains(&b'=')
        && body.is_ascii()
        && !body.windows(3).any(|t| t == b" \r\n" || t == b"\t\r\n")
}

proptest! {
    #[test]
    fn readers_see_the_same(entity in entity(), channel in prop_oneof![Just(SEVEN), Just(EIGHT)]) {
        let message = [b"From: a@b\r\n", &*entity].concat();
        let (out, _) = repaired_in(&message, channel, 61);
        check_same(&message, &out);
        prop_assert!(!words::has_long_line(&out));
        prop_assert!(channel.eight_bit || out.is_ascii());
        // There is nothing to do a second time.
        prop_assert!(!scanned(&out, 64).needs_repair(channel));
    }

    #[test]
    fn header_text_reads_the_same(
        words in proptest::collection::vec("[ -<>-~äöü日\\u{1F600}]{1,30}", 1..40),
        fold in prop_oneof![Just(" "), Just("\r\n "), Just("")],
    ) {
        let value = words.join(fold);
        // Readers differ about lines of blanks.
        prop_assume!(words.iter().all(|word| !word.trim().is_empty()) && !value.contains("=?"));
        let message = format!("X-A: {value}\r\n\r\n");
        let (out, _) = repaired(&message, SEVEN);
        prop_assert!(words::fits(out.as_bytes()));
        prop_assert_eq!(field(&out, "X-A"), field(&message, "X-A"));
    }

    #[test]
    fn anything_becomes_seven_bit(bytes in lines(), head in lines(), size in 1_usize..99) {
        let typed = b"Content-Type: multipart/x; boundary=\"-\"\r\nTo: ";
        for start in [&b""[..], typed, b"To: a, ", b"Content-Disposition: x; y=", b"Received: "] {
            let message = [start, &head, b"\r\n", &bytes].concat();
            let (out, _) = repaired_in(&message, SEVEN, size);
            prop_assert!(words::fits(&out), "{}", String::from_utf8_lossy(&out));
            prop_assert_eq!(&repaired_in(&message, SEVEN, 1 << 20).0, &out);
            prop_assert!(repaired_in(&message, EIGHT, size).0.len() >= 2);
        }
    }

    #[test]
    fn what_is_fit_stays(bytes in lines(), size in 1_usize..99) {
        let plan = Plan { findings: scanned(&bytes, size), channel: SEVEN };
        if !plan.findings.needs_repair(SEVEN) {
            let mut repair = Repair::new(plan);
            let mut out = Vec::new();
            bytes.chunks(size).for_each(|piece| repair.feed(piece, &mut out));
            prop_assert_eq!(repair.finish(&mut out), Changes::default());
            prop_assert_eq!(out, bytes);
        }
    }

    #[test]
    fn raw_bytes_never_panic(bytes: Vec<u8>, size in 1_usize..9) {
        repaired_in(&bytes, SEVEN, size);
        repaired_in(&bytes, EIGHT, size);
    }
}
