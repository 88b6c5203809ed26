//! What envelopes become by aliases.

use super::*;
use mail::{Envelope, Notify, Recipient};
use proptest::prelude::*;

mod reading;

fn no_files(_: &str) -> Result<Vec<u8>, String> {
    Err("there is no such file".to_owned())
}

fn aliases(text: &str) -> Aliases {
    Aliases::parse(text.as_bytes(), "/etc/aliases", &mut no_files)
}

/// The same for a file that must be in order.
fn good(text: &str) -> Aliases {
    let aliases = aliases(text);
    assert_eq!(aliases.problems(), [], "{text}");
    aliases
}

fn rules(map: &Map) -> Rules<'_> {
    Rules {
        domain: "example.com",
        hostname: "web1.example.com",
        root: None,
        senders: map,
        recipients: map,
    }
}

fn envelope(recipients: &[&str]) -> Envelope {
    let recipients = recipients.iter().map(|text| Address::parse(text).unwrap());
    Envelope::new(None, recipients.collect())
}

/// What recipients become, and the warnings.
fn expanded(aliases: &Aliases, recipients: &[&str]) -> (Vec<String>, Vec<String>) {
    let map = Map::default();
    let mut envelope = envelope(recipients);
    let warnings = complete(&mut envelope, aliases, &rules(&map));
    let found = envelope.recipients.into_iter();
    (
        found
            .map(|recipient| recipient.address.to_string())
            .collect(),
        warnings,
    )
}

#[track_caller]
fn check(text: &str, recipients: &[&str], expected: &[&str]) {
    let found = expanded(&good(text), recipients);
    assert_eq!(
        found,
        (
            expected.iter().map(|text| (*text).to_owned()).collect(),
            vec![]
        ),
        "{text}"
    );
}

/// Like [`check`], with one warning that holds these words.
#[track_caller]
fn check_warned(text: &str, recipient: &str, expected: &[&str], words: &[&str]) {
    let (found, warnings) = expanded(&aliases(text), &[recipient]);
    assert_eq!(found, expected, "{text}");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in words {
        assert!(warnings[0].contains(word), "{word}: {warnings:?}");
    }
}

#[test]
fn chains_are_followed_and_nobody_is_mailed_twice() {
    let text = "postmaster: root\nroot: staff\nstaff: a@x, B@x, ops\nops: b@x, c@x\n";
    check(text, &["postmaster"], &["a@x", "B@x", "c@x"]);
    check(
        text,
        &["ops", "staff", "A@X", "root"],
        &["b@x", "c@x", "a@x"],
    );
    check("a: c\nb: c\nc: c@x\nall: a, b\n", &["all"], &["c@x"]);
}

#[test]
fn names_of_this_host_are_looked_up_and_others_are_not() {
    let text = "joe: j@x\nroot: r@x\n";
    for name in [
        "joe",
        "JOE@localhost",
        "joe@localhost.localdomain",
        "joe@Web1.example.com",
        "joe+tag",
    ] {
        check(text, &[name], &["j@x"]);
    }
    // The mailboxes of the domain are elsewhere.
    for other in [
        "joe@example.com",
        "joe@a.example",
        "joe+tag@example.com",
        "joe@[127.0.0.1]",
    ] {
        check(text, &[other], &[other]);
    }
    check(
        text,
        &["example.org!joe", "joe%example.org"],
        &["joe@example.org"],
    );
    check(
        "joe+tag: t@x\njoe: j@x",
        &["joe+tag", "joe+other"],
        &["t@x", "j@x"],
    );
    let map = Map::default();
    let same = Rules {
        hostname: "example.com",
        ..rules(&map)
    };
    assert_eq!(
        same.local_name(&Address::parse("joe@example.com").unwrap()),
        None
    );
}

#[test]
fn names_without_an_alias_go_to_root() {
    check(
        "root: r@x\n",
        &["bob", "bob@localhost", "postmaster", "MAILER-DAEMON"],
        &["r@x"],
    );
    check(
        "",
        &["bob+tag", "postmaster", "MAILER-DAEMON@localhost"],
        &[
            "bob+tag@example.com",
            "postmaster@example.com",
            "MAILER-DAEMON@example.com",
        ],
    );
    check(
        "staff: bob, carol, d@x\nroot: r@x\n",
        &["staff"],
        &["r@x", "d@x"],
    );
    // Whom root's own alias names is somebody else than root.
    check("root: bob\n", &["root", "carol"], &["bob@example.com"]);
    check(
        "root: admins\nadmins: bob, a@x\n",
        &["carol"],
        &["bob@example.com", "a@x"],
    );
    check("owner-list: o@x\nlist: l@x\n", &["list"], &["l@x"]);
}

#[test]
fn the_setting_root_goes_before_the_alias() {
    let (map, root) = (Map::default(), Address::parse("set@x").unwrap());
    let rules = Rules {
        root: Some(&root),
        ..rules(&map)
    };
    let aliases = good("root: r@x\njoe: j@x, root\n");
    for (name, expected) in [
        ("root", "set@x"),
        ("root+tag", "set@x"),
        ("bob", "set@x"),
        ("joe", "j@x set@x"),
    ] {
        let mut envelope = envelope(&[name]);
        assert_eq!(
            complete(&mut envelope, &aliases, &rules),
            Vec::<String>::new()
        );
        let found: Vec<_> = envelope
            .recipients
            .iter()
            .map(|to| to.address.as_str())
            .collect();
        assert_eq!(found.join(" "), expected, "{name}");
    }
}

#[test]
fn a_name_that_stands_for_itself_adds_nothing_where_others_do() {
    check("root: \\root, a@x\n", &["root"], &["a@x"]);
    check("bob: bob, a@x\nroot: r@x\n", &["bob"], &["a@x"]);
    check("staff: \\bob\nbob: b@x\nroot: r@x\n", &["staff"], &["r@x"]);
    check("staff: \\bob\nbob: b@x\n", &["staff"], &["bob@example.com"]);
}

#[test]
fn loops_end_with_the_mail_at_root_or_at_the_domain() {
    let words = ["/etc/aliases", "aliases of a lead back to themselves"];
    check_warned("a: b\nb: a\n", "a", &["a@example.com"], &words);
    check_warned("a: b\nb: a\nroot: r@x\n", "a", &["r@x"], &words);
    check_warned("a: \\a\n", "a", &["a@example.com"], &words);
    check_warned(
        "a: root\nroot: a\n",
        "a@localhost",
        &["a@example.com"],
        &["back to themselves"],
    );
    check("a: b, x@x\nb: a, y@x\n", &["a"], &["y@x", "x@x"]);
}

#[test]
fn a_chain_is_followed_for_fifty_steps() {
    let chain = |length: usize| {
        let mut text: String = (1..length).map(|n| format!("n{n}: n{}\n", n + 1)).collect();
        text.push_str(&format!("n{length}: end@x\n"));
        text
    };
    check(&chain(50), &["n1"], &["end@x"]);
    check_warned(&chain(1000), "n1", &["n1@example.com"], &["lead on and on"]);
    check_warned(
        &format!("{}root: r@x", chain(51)),
        "n1",
        &["r@x"],
        &["goes to r@x instead"],
    );
}

#[test]
fn commands_and_files_are_refused_and_the_mail_goes_to_root() {
    for (target, words) in [
        ("|/bin/sh -c 'touch /tmp/evil'", "is a command"),
        ("\"|/usr/bin/vacation a, b\"", "is a command"),
        ("|\"/usr/bin/x a, b\"", "is a command"),
        ("/etc/cron.d/evil", "is a file"),
        ("\"/var/mail/a b\"", "is a file"),
        ("/dev/null", "is a file"),
        (":include:/etc/list", "is not used: there is no such file"),
        (":include:list", "does not begin with /"),
        ("a: b@x", "is not an address"),
        ("mailto:b@x", "is not an address"),
        ("b@", "is not an address"),
    ] {
        let text = format!("# c\njoe:\n {target}\nroot: r@x\n");
        let found = aliases(&text);
        assert_eq!(found.problems().len(), 1, "{target}: {found:?}");
        let problem = &found.problems()[0];
        assert_eq!(
            (problem.file.as_str(), problem.line),
            ("/etc/aliases", 3),
            "{problem}"
        );
        check_warned(
            &text,
            "joe",
            &["r@x"],
            &["/etc/aliases:3: ", words, "goes to r@x instead"],
        );
        let alone = format!("root: {target}");
        check_warned(
            &alone,
            "root",
            &["root@example.com"],
            &["/etc/aliases:1: ", words, "root@example.com"],
        );
        let other = format!("root: r@x\njoe: {target}, j@x\n");
        check_warned(
            &other,
            "joe",
            &["j@x"],
            &["/etc/aliases:2: ", "other addresses alone"],
        );
    }
    check(
        "joe: /o=x/ou=y@x400.example\n",
        &["joe"],
        &["/o=x/ou=y@x400.example"],
    );
}

#[test]
fn an_expansion_that_is_too_large_goes_to_root_whole() {
    let list: String = (0..MOST_RECIPIENTS + 1)
        .map(|n| format!("a{n}@x\n"))
        .collect();
    let text = "all: :include:/l\nsome: s@x\nroot: r@x\n";
    let aliases = Aliases::parse(text.as_bytes(), "/etc/aliases", &mut |_| {
        Ok(list.clone().into_bytes())
    });
    let (found, warnings) = expanded(&aliases, &["all", "some"]);
    assert_eq!(found, ["r@x", "s@x"]);
    assert!(
        warnings[0].contains("too many addresses; mail for it goes to r@x"),
        "{warnings:?}"
    );
    let map = Map::default();
    let ends = aliases.dead_ends(&rules(&map));
    assert_eq!((ends.len(), ends[0].line), (1, 1));
}

#[test]
fn rewriting_comes_before_the_aliases_and_holds_for_what_they_give() {
    let map = Map::parse(
        b"bob root@localhost\n@old.example @new.example\njoe joe@a.example\n",
        "m",
    )
    .unwrap();
    let mut mail = envelope(&["bob", "Sue@old.example", "joe", "list"]);
    mail.sender = Some(Address::parse("x@old.example").unwrap());
    let aliases = good("root: r@old.example\njoe: never@x\nlist: l@x\n");
    assert_eq!(
        complete(&mut mail, &aliases, &rules(&map)),
        Vec::<String>::new()
    );
    let found: Vec<_> = mail
        .recipients
        .iter()
        .map(|to| to.address.as_str())
        .collect();
    assert_eq!(
        found,
        ["r@new.example", "Sue@new.example", "joe@a.example", "l@x"]
    );
    assert_eq!(mail.sender.unwrap().as_str(), "x@new.example");
    let mut bare = envelope(&["a@x"]);
    bare.sender = Some(Address::parse("www-data").unwrap());
    complete(&mut bare, &aliases, &rules(&map));
    assert_eq!(bare.sender.unwrap().as_str(), "www-data@example.com");
}

#[test]
fn wishes_about_reports_go_to_each_address_and_the_original_is_kept() {
    let mut mail = envelope(&["list", "kept@a.example"]);
    let notify = Some(Notify {
        success: true,
        ..Notify::default()
    });
    mail.recipients[0].notify = notify;
    mail.recipients[0].orcpt = Some("rfc822;list@web1".to_owned());
    let map = Map::default();
    complete(&mut mail, &good("list: a@x, jörg@x\n"), &rules(&map));
    let expected = |address: &str| Recipient {
        address: Address::parse(address).unwrap(),
        original: Some("list".to_owned()),
        orcpt: Some("rfc822;list@web1".to_owned()),
        notify,
    };
    assert_eq!(mail.recipients[..2], [expected("a@x"), expected("jörg@x")]);
    assert_eq!(mail.recipients[2].original, None);
    assert!(mail.smtputf8);
}

/// Text made of what alias files are made of.
fn alias_like() -> impl Strategy<Value = String> {
    "([a-d]: |[a-d]|root|,| |\n|\n |\"|\\\\|#|:|@x|@localhost|:include:/[a-c]|\\||/|\\+|<|>|\\(|\\)|é|\r|\u{1})*"
}

proptest! {
    #[test]
    fn any_bytes_are_read_safely(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let aliases = Aliases::parse(&text, "f", &mut |_| Ok(text.clone()));
        let lines = text.split(|byte| *byte == b'\n').count();
        prop_assert!(aliases.problems().iter().all(|problem| problem.line <= lines));
    }

    /// Whatever the aliases, each message keeps a recipient, each complete, none twice.
    #[test]
    fn expansion_ends_and_loses_nobody(text in alias_like(), names in prop::collection::vec("[a-e](\\+t)?(@localhost|@y|)|root", 1..5)) {
        let aliases = Aliases::parse(text.as_bytes(), "f", &mut |_| Ok(b"a, b@y\nc".to_vec()));
        let map = Map::parse(b"d a@localhost\nc b\n", "m").unwrap_or_default();
        let mut envelope = envelope(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let warnings = complete(&mut envelope, &aliases, &rules(&map));
        prop_assert!(!envelope.recipients.is_empty() && envelope.recipients.len() <= MOST_RECIPIENTS);
        let mut seen = Seen::default();
        for recipient in &envelope.recipients {
            prop_assert!(recipient.address.domain().is_some());
            prop_assert!(seen.is_new(&recipient.address));
        }
        prop_assert!(warnings.iter().all(|warning| !warning.contains(char::is_control)));
        let _ = aliases.dead_ends(&rules(&map));
    }
}
