//! The control socket: who may ask what, and what is answered.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use support::submit::submit;
use support::{Rig, ask, free_port, is_root};

/// A uid without rights and without an account.
const STRANGER: u32 = 61_234;
/// Set where this program asks for another user: the socket, and the request.
const ASK_AT: &str = "RELAYD_TEST_ASK_AT";
const ASK_WHAT: &str = "RELAYD_TEST_ASK_WHAT";

#[test]
fn ask_as_told() {
    // Does something only where another test starts it.
    if let Some(socket) = std::env::var_os(ASK_AT) {
        let stream = UnixStream::connect(socket).unwrap();
        for line in ask(stream, &std::env::var(ASK_WHAT).unwrap()) {
            println!("answer: {line}");
        }
    }
}

/// What a stranger is answered.
fn as_stranger(rig: &Rig, request: &str) -> Vec<String> {
    let program = rig.path("asker");
    if !program.exists() {
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        support::open_to_all(&program);
    }
    let output = Command::new(program)
        .args(["--exact", "ask_as_told", "--nocapture"])
        .env(ASK_AT, rig.path("run/control.sock"))
        .env(ASK_WHAT, request)
        .current_dir("/")
        .uid(STRANGER)
        .gid(STRANGER)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| {
            line.split_once("answer: ")
                .map(|(_, answer)| answer.to_owned())
        })
        .collect()
}

/// A relay whose folder can be entered by all.
fn open_rig(top: &str) -> Rig {
    let rig = Rig::relaying(top, free_port());
    support::open_to_all(&rig.path(""));
    rig
}

#[test]
fn everybody_may_list_and_flush_and_root_alone_may_reload() {
    if !is_root() {
        return;
    }
    let rig = open_rig("");
    submit(&rig, "app", &["bob@far.example"], "A: b\r\n\r\n\r\n");
    let list = as_stranger(&rig, "LIST");
    assert_eq!(
        (list[0].as_str(), list[2].as_str()),
        ("OK", "END 1"),
        "{list:?}"
    );
    assert_eq!(as_stranger(&rig, "FLUSH"), ["OK"]);
    let refused =
        format!("ERR denied User unknown({STRANGER}) is not allowed to reload the settings");
    assert_eq!(as_stranger(&rig, "RELOAD"), [refused]);
}

#[test]
fn listing_and_flushing_can_be_kept_to_some() {
    if !is_root() {
        return;
    }
    let rig = open_rig("mailq_users = alice\nflush_users = alice\n");
    let who = format!("ERR denied User unknown({STRANGER}) is not allowed to");
    for (request, what) in [
        ("LIST", "view the mail queue"),
        ("STATUS", "view the mail queue"),
        ("FLUSH", "flush the mail queue"),
        ("FLUSH-ID ABCDEF012345", "flush the mail queue"),
        ("FLUSH-SITE a.example", "flush the mail queue"),
    ] {
        assert_eq!(as_stranger(&rig, request), [format!("{who} {what}")]);
        // Root is asked about nothing.
        assert_eq!(rig.control(request)[0], "OK");
    }
    // A reload changes who may.
    rig.configure(
        "mailq_users = any\n",
        &support::gateway_section(free_port()),
    );
    assert_eq!(rig.control("RELOAD"), ["OK"]);
    assert_eq!(as_stranger(&rig, "LIST")[0], "OK");
}

#[test]
fn what_is_no_request_is_refused() {
    let rig = Rig::capturing("", "");
    let long = "x".repeat(100_000);
    for request in [
        "",
        "list",
        "FLUSH-ID",
        "FLUSH-ID ../x",
        "FLUSH-SITE a b",
        "\0",
        &long,
    ] {
        let answer = rig.control(request);
        // Of a long one the answer may be lost with the connection.
        let lost = answer.is_empty() && request.len() > 512;
        assert!(
            lost || answer[0].starts_with("ERR syntax "),
            "{request:?} {answer:?}"
        );
    }
    // An id that is not queued is no error, as in Postfix.
    assert_eq!(rig.control("FLUSH-ID ABCDEF"), ["OK"]);
    let status = rig.control("STATUS");
    assert!(
        status.contains(&"gateway catch: up (sessions 0, ready 0)".to_owned()),
        "{status:?}"
    );
}

#[test]
fn a_client_that_says_nothing_keeps_nobody_out() {
    let rig = Rig::capturing("", "");
    let silent: Vec<_> = (0..8)
        .map(|_| UnixStream::connect(rig.path("run/control.sock")).unwrap())
        .collect();
    assert_eq!(rig.control("STATUS")[0], "OK");
    drop(silent);
}

#[test]
fn the_sockets_are_open_to_all_and_the_spool_is_not() {
    let rig = Rig::capturing("", "");
    let mode = |name: &str| {
        let status = std::fs::metadata(rig.path(name)).unwrap();
        status.permissions().mode() & 0o7777
    };
    assert_eq!(mode("run/submit.sock"), 0o666);
    assert_eq!(mode("run/control.sock"), 0o666);
    assert_eq!(mode("spool"), 0o711);
    assert_eq!(mode("spool/incoming/0"), 0o700);
    assert_eq!(mode("spool/maildrop"), 0o1733);
}
