//! `sendmail -bs`, with relayd and without.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use harness::{Host, SENDMAIL, failure};

const DIALOGUE: &str = "EHLO [127.0.0.1]\r\nMAIL FROM:<me@x>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n\
    From: me@x\r\n\r\nHällo\r\n..dot\r\n.\r\nQUIT\r\n";

/// The codes of the last lines of replies.
fn codes(stdout: &[u8]) -> Vec<String> {
    let text = String::from_utf8(stdout.to_vec()).unwrap();
    assert!(text.ends_with("\r\n"), "{text}");
    let last = text
        .lines()
        .filter(|line| line.as_bytes().get(3) == Some(&b' '));
    last.map(|line| line[..3].to_owned()).collect()
}

#[track_caller]
fn converse(host: &Host, arguments: &[&str], stdin: &str) -> Vec<String> {
    let output = host.sendmail(arguments, stdin);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    codes(&output.stdout)
}

const ALL_WELL: [&str; 7] = ["220", "250", "250", "250", "250", "354", "250"];

#[test]
fn a_session_is_passed_to_relayd() {
    let host = Host::new();
    let relayd = host.relayd();
    let found = converse(&host, &["-bs", "-odb", "-oem", "-om"], DIALOGUE);
    assert_eq!(
        (&found[..7], &found[7..]),
        (&ALL_WELL.map(String::from)[..], &["221".to_owned()][..])
    );
    let submission = relayd.recv().unwrap();
    assert_eq!(
        (submission.sender(), submission.recipients().len()),
        ("me@x".to_owned(), 2)
    );
    assert_eq!(submission.content, "From: me@x\r\n\r\nHällo\r\n.dot\r\n");
    assert!(host.maildrop().is_empty());
}

#[test]
fn without_relayd_the_session_ends_in_maildrop() {
    let host = Host::new();
    let found = converse(&host, &["-bs"], DIALOGUE);
    assert_eq!(
        (&found[..7], &found[7..]),
        (&ALL_WELL.map(String::from)[..], &["221".to_owned()][..])
    );
    let dropped = host.maildrop();
    assert_eq!(dropped.len(), 1);
    let text = String::from_utf8_lossy(&std::fs::read(&dropped[0]).unwrap()).into_owned();
    assert!(
        text.contains("From: me@x\r\n\r\nHällo\r\n.dot\r\n"),
        "{text}"
    );
}

#[test]
fn the_end_of_input_ends_the_session_and_queues_nothing() {
    let half = &DIALOGUE[..DIALOGUE.find("..dot").unwrap()];
    for stdin in ["", "EHLO x\r\nMAIL FROM:<me@x>\r\n", half] {
        let host = Host::new();
        converse(&host, &["-bs"], stdin);
        assert!(host.maildrop().is_empty());
        let relayd = host.relayd();
        converse(&host, &["-bs"], stdin);
        assert!(relayd.try_recv().is_err());
        assert!(host.maildrop().is_empty());
    }
}

#[test]
fn a_disk_that_takes_nothing_is_told_in_a_reply() {
    let host = Host::new();
    std::fs::remove_dir(host.path("spool/maildrop")).unwrap();
    let found = converse(&host, &["-bs"], DIALOGUE);
    assert!(found.contains(&"451".to_owned()), "{found:?}");
}

#[test]
fn a_relayd_that_will_not_serve_is_done_without() {
    let host = Host::new();
    host.babbler("421 4.3.2 too many connections\r\n");
    assert_eq!(converse(&host, &["-bs"], DIALOGUE).last().unwrap(), "221");
    assert_eq!(host.maildrop().len(), 1);
}

#[test]
fn a_relayd_that_goes_away_is_told_in_a_reply() {
    let host = Host::new();
    host.babbler("220 hello\r\n");
    let mut child = harness::start(&mut host.command(SENDMAIL, &["-bs"]));
    // The client keeps its end open.
    let pipe = child.stdin.take().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    assert_eq!(codes(&output.stdout), ["220", "421"]);
    failure(&output, 75);
}
