//! What becomes of senders.

use super::*;
use proptest::prelude::*;

const HOST: Host<'_> = Host {
    hostname: "web1.internal.example",
    domain: "internal.example",
};

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn rules() -> Rules {
    Rules {
        action: Action::Rewrite,
        allow: vec![
            AddressPattern::Domain("yourdomain.example".to_owned()),
            AddressPattern::Subdomains("yourdomain.example".to_owned()),
            AddressPattern::Mailbox(address("boss@other.example")),
        ],
        default: Some(address("noreply@yourdomain.example")),
        name: NameForm::parse("{name} via yoursite").unwrap(),
        bounce_from: None,
    }
}

fn applied(block: &str, sender: &str) -> (String, String, Changes) {
    let sender = Address::parse(sender).ok();
    let out = rules()
        .apply(HOST, block.as_bytes(), sender.as_ref())
        .unwrap();
    let new = out.block.unwrap_or_else(|| block.as_bytes().to_vec());
    let new = String::from_utf8(new).unwrap();
    let again = rules().apply(HOST, new.as_bytes(), out.sender.as_ref());
    assert!(!again.unwrap().changes.any(), "{new}");
    let sender = out
        .sender
        .map_or(String::new(), |sender| sender.to_string());
    (new, sender, out.changes)
}

#[track_caller]
fn check(block: &str, expected: &str) {
    assert_eq!(applied(block, "").0, expected, "{block:?}");
}

const OURS: &str = "<noreply@yourdomain.example>";

#[test]
fn a_visitor_writes_via_the_site() {
    let (block, sender, changes) = applied(
        "To: a@b\r\nFrom: Visitor Name <v@x.example>\r\nSubject: s\r\n",
        "v@x.example",
    );
    assert_eq!(
        block,
        format!(
            "To: a@b\r\nFrom: \"Visitor Name via yoursite\" {OURS}\r\n\
             Reply-To: \"Visitor Name\" <v@x.example>\r\nSubject: s\r\n"
        )
    );
    assert_eq!(sender, "noreply@yourdomain.example");
    assert_eq!(
        changes.to_string(),
        "From v@x.example replaced, Reply-To set, envelope sender replaced"
    );
}

#[test]
fn what_is_allowed_stays() {
    for from in [
        "a@yourdomain.example",
        "A <a@YourDomain.example>",
        "a@mail.yourdomain.example (x)",
        "Boss <Boss@other.example>, a@yourdomain.example",
    ] {
        let block = format!("From: {from}\r\nSender: a@yourdomain.example\r\nX: ü\r\n");
        let (out, sender, changes) = applied(&block, "b+tag@yourdomain.example");
        assert_eq!((out, changes.any()), (block, false));
        assert_eq!(sender, "b+tag@yourdomain.example");
    }
    let out = applied("From: a@notyourdomain.example\r\n", "").0;
    assert!(out.contains(OURS));
}

#[test]
fn a_reply_to_that_is_there_wins() {
    let from = format!("From: \"v via yoursite\" {OURS}\r\n");
    check(
        "From: v@x.example\r\nreply-to: r@y.example\r\n",
        &format!("{from}reply-to: r@y.example\r\n"),
    );
    check(
        "Reply-To:\r\nFrom: v@x.example\r\n",
        &format!("{from}Reply-To: v@x.example\r\n"),
    );
}

#[test]
fn names_are_decoded_and_encoded() {
    check(
        "From: =?iso-8859-1?Q?J=F6rg?= <j@x.example>\r\n",
        "From: =?utf-8?Q?J=C3=B6rg_via_yoursite?=\r\n <noreply@yourdomain.example>\r\n\
         Reply-To: =?utf-8?Q?J=C3=B6rg?=\r\n <j@x.example>\r\n",
    );
    check(
        "From: Jörg <j@bücher.example>\r\nReply-To: r@x.example\r\n",
        "From: =?utf-8?Q?J=C3=B6rg_via_yoursite?=\r\n <noreply@yourdomain.example>\r\n\
         Reply-To: r@x.example\r\n",
    );
}

#[test]
fn no_new_line_is_too_long() {
    let name = "\\\"".repeat(199);
    for (local, is_reply) in [(300, true), (700, true), (980, false)] {
        let local = "a".repeat(local);
        let block = format!("From: \"{name}\"\r\n <{local}@x.example>\r\n");
        let (new, _, changes) = applied(&block, "");
        assert!(new.lines().all(|line| line.len() <= 998), "{new}");
        assert_eq!(changes.reply_to, is_reply);
        assert_eq!(new.contains(&format!("<{local}@x.example>")), is_reply);
    }
}

#[test]
fn a_missing_name_is_the_local_part() {
    for from in [
        "v.w@x.example",
        "\"V.W@x.example\" <v.w@x.example>",
        "<v.w@x.example>",
    ] {
        let out = applied(&format!("From: {from}\r\n"), "").0;
        let expected = format!("From: \"v.w via yoursite\" {OURS}\r\nReply-To: ");
        assert!(out.starts_with(&expected), "{out}");
    }
    let out = applied("From: v@x.example (Vera)\r\n", "").0;
    let expected =
        format!("From: \"Vera via yoursite\" {OURS}\r\nReply-To: \"Vera\" <v@x.example>\r\n");
    assert_eq!(out, expected);
}

#[test]
fn programs_are_named_by_account_and_host() {
    for (from, name) in [
        ("root (Cron Daemon)", "root on web1 (Cron Daemon)"),
        (
            "root@web1.internal.example (Cron Daemon)",
            "root on web1 (Cron Daemon)",
        ),
        (
            "\"(Cron Daemon)\" <root@internal.example>",
            "root on web1 (Cron Daemon)",
        ),
        ("root <root@localhost>", "root on web1"),
        ("www-data@web1.internal.example", "www-data on web1"),
        (
            "My Shop <www-data@web1.internal.example>",
            "My Shop via yoursite",
        ),
    ] {
        let out = applied(&format!("From: {from}\r\nReply-To: a@b\r\n"), "").0;
        let expected = format!("From: \"{name}\" {OURS}\r\nReply-To: a@b\r\n");
        assert_eq!(out, expected, "{from}");
    }
    // Nobody can reply to what has no domain.
    let expected = format!("From: \"root on web1\" {OURS}\r\n");
    check("From: root\r\n", &expected);
    check("From: root@localhost\r\n", &expected);
}

#[test]
fn several_authors_become_one() {
    let expected = format!(
        "From: \"A, B via yoursite\" {OURS}\r\nReply-To: \"A\" <a@x.example>,\r\n \"B\" <b@yourdomain.example>\r\n"
    );
    check(
        "From: A <a@x.example>, B <b@yourdomain.example>\r\n",
        &expected,
    );
    check(
        "From: A <a@x.example>\r\nFrom: B <b@yourdomain.example>\r\n",
        &expected,
    );
    let many = "a@x.example, ".repeat(9);
    let out = applied(&format!("From: {many}\r\n"), "").0;
    assert!(out.starts_with("From: \"a, a, a, others via yoursite\" "));
}

#[test]
fn a_from_without_author_is_the_default() {
    for block in ["From: \r\n", "From: <>\r\n", ""] {
        check(block, "From: noreply@yourdomain.example\r\n");
    }
    let changes = applied("To: a@b\r\n", "").2;
    assert_eq!(changes.to_string(), "From added");
}

#[test]
fn sender_and_resent_fields_follow() {
    let (block, _, changes) = applied(
        "Resent-From: R <r@x.example>\r\nResent-Sender: s@x.example\r\nResent-To: t@t\r\n\
         From: a@yourdomain.example\r\nSender: www-data@web1\r\n",
        "a@yourdomain.example",
    );
    let expected = format!(
        "Resent-From: \"R via yoursite\" {OURS}\r\nResent-To: t@t\r\nFrom: a@yourdomain.example\r\n"
    );
    assert_eq!(block, expected);
    assert_eq!(
        changes.to_string(),
        "Sender removed, Resent fields replaced"
    );
}

#[test]
fn the_null_sender_can_be_mapped() {
    let mut rules = Rules::default();
    assert!(rules.is_idle());
    let apply = |rules: &Rules| rules.apply(HOST, b"From: x@y\r\n", None).unwrap();
    assert_eq!(apply(&rules).sender, None);
    rules.bounce_from = Some(address("bounces@yourdomain.example"));
    assert!(!rules.is_idle());
    let out = apply(&rules);
    assert_eq!(out.sender, rules.bounce_from);
    assert_eq!((out.block, out.changes.envelope), (None, true));
}

#[test]
fn refusing_and_keeping() {
    let block = b"From: V <v@x.example>\r\nDKIM-Signature: x\r\n";
    let refusing = Rules {
        action: Action::Refuse,
        ..rules()
    };
    let refused = refusing.apply(HOST, block, None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "From v@x.example is not allowed by the settings of the gateway"
    );
    let sender = address("www-data@web1.internal.example");
    let out = refusing
        .apply(HOST, b"From: a@yourdomain.example\r\n", Some(&sender))
        .unwrap();
    assert_eq!((out.block, out.sender), (None, refusing.default.clone()));
    let keeping = Rules {
        action: Action::Keep,
        ..rules()
    };
    let out = keeping.apply(HOST, block, Some(&sender)).unwrap();
    assert!(out.block.is_none() && out.sender == Some(sender) && !out.changes.any());
    let out = rules().apply(HOST, block, None).unwrap();
    assert!(out.changes.dkim_broken);
}

#[test]
fn forms_of_names_are_checked() {
    for good in ["", "Site", "{name} ({address}) on {host}"] {
        assert!(NameForm::parse(good).is_ok(), "{good}");
    }
    for (bad, part) in [
        ("{nam}", "{nam}"),
        ("a {name", "{"),
        ("}", "}"),
        ("{{name}", "{{name}"),
    ] {
        assert_eq!(NameForm::parse(bad), Err(part.to_owned()));
    }
    let rules = Rules {
        name: NameForm::parse("{host}: {name} <{address}>").unwrap(),
        ..rules()
    };
    let out = rules.apply(HOST, b"From: {host} <v@x.example>\r\n", None);
    let block = String::from_utf8(out.unwrap().block.unwrap()).unwrap();
    let expected = format!("From: \"web1: {{host}} <v@x.example>\" {OURS}\r\n");
    assert!(block.starts_with(&expected), "{block}");
}

proptest! {
    /// Whatever stands there, what leaves is allowed, and the rest is untouched.
    #[test]
    fn only_allowed_senders_leave(
        values in proptest::collection::vec("[a-z@.,;:<>() \"\\\\=?Qü]{0,40}", 0..4),
        name in prop_oneof![Just("From"), Just("Sender"), Just("Resent-From"), Just("Resent-Sender")],
    ) {
        let fields: String = values.iter().map(|value| format!("{name}: {value}\r\n")).collect();
        let block = format!("X-A: ü\r\n{fields}To: root, b@b\r\n");
        let (out, _, _) = applied(&block, "v@x.example");
        let header = HeaderBlock::new(out.as_bytes());
        for name in ["From", "Sender", "Resent-From", "Resent-Sender"] {
            for field in header.fields().filter(|field| field.is(name)) {
                prop_assert!(rules().allow_all(&authors::parse(field.value())), "{}", out);
            }
        }
        prop_assert_eq!(header.fields().filter(|field| field.is("From")).count(), 1);
        prop_assert!(out.starts_with("X-A: ü\r\n") && out.contains("To: root, b@b\r\n"));
        prop_assert!(out.ends_with("\r\n"));
    }

    #[test]
    fn any_bytes_are_taken(block: Vec<u8>) {
        let out = rules().apply(HOST, &block, None).unwrap();
        prop_assert!(out.block.is_none_or(|block| block.ends_with(b"\r\n")));
    }
}
