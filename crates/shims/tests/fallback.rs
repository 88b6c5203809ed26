//! `sendmail` while relayd is down, stuck or leaving: maildrop takes the message.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use harness::{Host, SENDMAIL, assert_silent, failure, finish};

const PLAIN: &str = "From: me@x.example\nTo: bob@b.example\n\nb\n";

#[track_caller]
fn assert_dropped(host: &Host) {
    assert_silent(&host.sendmail(&["-f", "me@x", "a@x"], PLAIN));
    let dropped = host.maildrop();
    assert_eq!(dropped.len(), 1);
    let status = fs::metadata(&dropped[0]).unwrap();
    assert_eq!(status.permissions().mode() & 0o777, 0o644);
    let bytes = fs::read(&dropped[0]).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("To: bob@b.example\r\n\r\nb\r\n"), "{text}");
    assert!(text.contains("me@x") && text.contains("a@x"), "{text}");
}

#[test]
fn nobody_listens() {
    let host = Host::new();
    assert_dropped(&host);
}

#[test]
fn nobody_listens_since_the_settings_are_wrong() {
    let host = Host::new();
    host.configure_badly();
    assert_dropped(&host);
}

#[test]
fn mail_of_others_stays_marked() {
    let host = Host::new();
    assert_silent(&host.sendmail(&["-G", "a@x"], PLAIN));
    let found = spool::list(&host.path("spool")).unwrap();
    assert!(matches!(&found[..], [spool::Found::Entry(meta)] if meta.envelope.as_is));
}

#[test]
fn a_socket_was_left_behind() {
    let host = Host::new();
    drop(UnixListener::bind(host.path("run/submit.sock")).unwrap());
    assert_dropped(&host);
}

#[test]
fn relayd_is_leaving() {
    let host = Host::new();
    host.babbler("421 4.3.2 shutting down\r\n");
    assert_dropped(&host);
}

#[test]
fn relayd_breaks_off_or_makes_no_sense() {
    for words in [
        "",
        "220 hello\r\n",
        "220 hello\r\n250 ehlo\r\n",
        "nonsense\r\n",
        "220-x\r\n",
    ] {
        let host = Host::new();
        host.babbler(words);
        assert_dropped(&host);
    }
}

#[test]
fn relayd_breaks_off_after_the_content() {
    let host = Host::new();
    host.babbler("220 x\r\n250 x\r\n250 x\r\n250 x\r\n");
    assert_dropped(&host);
}

#[test]
fn every_umask_gives_the_same_file() {
    for umask in ["0777", "0000"] {
        let host = Host::new();
        let script = format!("umask {umask}; exec \"$0\" a@x");
        let command = host.command("/bin/sh", &["-c", &script, SENDMAIL]);
        assert_silent(&finish(command, PLAIN));
        let status = fs::metadata(&host.maildrop()[0]).unwrap();
        assert_eq!(status.permissions().mode() & 0o777, 0o644);
    }
}

#[test]
fn with_both_ways_closed_the_caller_is_told_to_try_again() {
    let host = Host::new();
    fs::remove_dir(host.path("spool/maildrop")).unwrap();
    let line = failure(&host.sendmail(&["a@x"], PLAIN), 75);
    assert!(
        line.contains("cannot queue the message: relayd at "),
        "{line}"
    );
    assert!(
        line.contains("submit.sock: No such file or directory"),
        "{line}"
    );
    assert!(line.contains("maildrop"), "{line}");
}

#[test]
fn a_file_size_limit_is_told_and_leaves_nothing() {
    let host = Host::new();
    let script = "ulimit -f 8; exec \"$0\" -i a@x";
    let command = host.command("/bin/sh", &["-c", script, SENDMAIL]);
    let line = failure(&finish(command, &"0123456789\n".repeat(10_000)), 75);
    assert!(line.contains("File too large"), "{line}");
    assert!(host.maildrop().is_empty());
}

#[test]
fn the_size_limit_holds_here_too() {
    let host = Host::new();
    host.configure("message_size_limit = 20k");
    failure(&host.sendmail(&["a@x"], &"0123456789\n".repeat(4_000)), 69);
    assert!(host.maildrop().is_empty());
}

#[test]
fn another_user_can_drop_and_not_look() {
    if host::identity::effective_uid() != 0 {
        return;
    }
    let host = Host::new();
    fs::set_permissions(host.path(""), Permissions::from_mode(0o755)).unwrap();
    let mut command = host.command(SENDMAIL, &["a@x"]);
    std::os::unix::process::CommandExt::uid(&mut command, 54_321);
    assert_silent(&finish(command, PLAIN));
    let status = fs::metadata(&host.maildrop()[0]).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&status), 54_321);
    let text = String::from_utf8_lossy(&fs::read(&host.maildrop()[0]).unwrap()).into_owned();
    assert!(text.contains("uid54321"), "{text}");
}
