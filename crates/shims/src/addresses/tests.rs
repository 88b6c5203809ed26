//! Recipients and senders as programs give them.

use super::*;
use std::ffi::OsStr;

#[track_caller]
fn check_arguments(arguments: &[&str], expected: &[&str]) {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let found = recipients(of_arguments(&arguments).unwrap(), None).unwrap();
    let found: Vec<&str> = found.iter().map(Address::as_str).collect();
    assert_eq!(found, expected);
}

#[track_caller]
fn refuse_argument(argument: &str) {
    let failure = of_arguments(&[OsString::from(argument)]).unwrap_err();
    assert_eq!(failure.status, ExitStatus::DataError, "{failure}");
    assert!(!failure.text.contains(char::is_control));
}

#[test]
fn an_argument_is_a_list() {
    check_arguments(
        &["bob@x.example,carl@c.example"],
        &["bob@x.example", "carl@c.example"],
    );
    check_arguments(&["Bob <b@x>, carol"], &["b@x", "carol"]);
    check_arguments(&["bob carol"], &["bob", "carol"]);
    check_arguments(&["a@b\n"], &["a@b"]);
    check_arguments(&["", "<>"], &["MAILER-DAEMON"]);
    check_arguments(&["\\bob"], &["bob"]);
    check_arguments(&["|/bin/cat"], &["|/bin/cat"]);
    check_arguments(&[":include:/tmp/list"], &["\":include:/tmp/list\""]);
    check_arguments(
        &["a@a.example", "a@a.example", "A@A.example"],
        &["a@a.example"],
    );
}

#[test]
fn what_is_no_address_is_refused() {
    refuse_argument("a@example.org\nRCPT TO:<victim@example.net>");
    refuse_argument("a@b\r\nc@d");
    refuse_argument("/etc/cron.d/evil");
    refuse_argument("a\u{1b}[31m@b");
    let not_utf8 = OsString::from(OsStr::from_bytes(b"b\xC3(@example.org"));
    // The comment swallows the rest, or the byte is refused; either way it is no crash.
    assert!(of_arguments(&[not_utf8]).is_err());
}

#[test]
fn header_recipients_are_added_to_those_of_the_arguments() {
    let header = b"To: a@a.example, B@b.example\r\nBcc: c@c.example\r\n";
    let arguments = of_arguments(&["b@b.example".into(), "x".into()]).unwrap();
    let found = recipients(arguments, Some(header)).unwrap();
    let found: Vec<&str> = found.iter().map(Address::as_str).collect();
    assert_eq!(found, ["b@b.example", "x", "a@a.example", "c@c.example"]);
}

#[test]
fn a_header_without_recipients_is_a_usage_error() {
    for header in ["To: \r\n", "Apparently-To: a@a.example\r\n", ""] {
        let failure = recipients(Vec::new(), Some(header.as_bytes())).unwrap_err();
        assert_eq!(failure.status, ExitStatus::Usage);
        assert_eq!(
            failure.text,
            "No recipient addresses found in message header"
        );
    }
}

#[track_caller]
fn check_sender(text: &str, expected: Option<&str>) {
    let (sender, warning) = sender(text.as_bytes()).unwrap();
    assert_eq!(sender.as_ref().map(Address::as_str), expected);
    assert_eq!(warning, None);
}

#[test]
fn an_empty_sender_is_the_null_sender() {
    check_sender("", None);
    check_sender("<>", None);
    check_sender(" <> ", None);
    check_sender("alice", Some("alice"));
    check_sender("<me@x.example>", Some("me@x.example"));
    check_sender("Me <me@x.example>", Some("me@x.example"));
}

#[test]
fn of_a_malformed_sender_the_first_word_is_used_with_a_warning() {
    let (sender, warning) = sender(b"bad addr").unwrap();
    assert_eq!(sender.unwrap().as_str(), "bad");
    assert_eq!(
        warning.unwrap(),
        "-f option specified malformed sender: bad addr"
    );
}

#[test]
fn a_sender_that_smuggles_a_line_is_refused() {
    for text in [
        b"a@example.org\nRCPT TO:<v@example.net>".as_slice(),
        b"a@b\r\nDATA",
        b"\xff\xfe@x",
    ] {
        assert_eq!(sender(text).unwrap_err().status, ExitStatus::DataError);
    }
}

#[test]
fn a_caller_without_account_still_has_a_name() {
    assert_eq!(login_sender(Some("alice"), 1000).as_str(), "alice");
    assert_eq!(login_sender(None, 12_345).as_str(), "uid12345");
}
