//! `sendmail` when it cannot do what it is asked for: the exit status, one line, nothing queued.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use harness::{Host, MAILQ, POSTQUEUE, SENDMAIL, assert_silent, failure, finish, start};
use mail::StatusCode;
use smtp::reply::Reply;

const PLAIN: &str = "From: me@x.example\nTo: bob@b.example\n\nb\n";

#[track_caller]
fn refuse(arguments: &[&str], stdin: &str, status: i32, text: &str) {
    let host = Host::new();
    let relayd = host.relayd();
    let line = failure(&host.sendmail(arguments, stdin), status);
    assert_eq!(line, format!("sendmail: fatal: {text}\n"));
    // Whatever was queued would have come before this.
    assert_silent(&host.sendmail(&["-f", "marker", "a@x"], PLAIN));
    assert_eq!(relayd.recv().unwrap().sender(), "marker");
    assert!(host.maildrop().is_empty());
}

#[test]
fn usage_errors_are_64() {
    let no_recipient =
        "Recipient addresses must be specified on the command line or via the -t option";
    refuse(&[], PLAIN, 64, no_recipient);
    let none_found = "No recipient addresses found in message header";
    refuse(&["-t"], "Subject: s\n\nTo: a@x\n", 64, none_found);
    refuse(&["-t"], "Apparently-To: a@x\n\nb\n", 64, none_found);
    refuse(
        &["-Z", "a@x"],
        PLAIN,
        64,
        "unknown option -Z; see sendmail --help",
    );
    refuse(
        &["-bs", "a@x"],
        "",
        64,
        "stand-alone mode requires no recipient",
    );
    refuse(&["-bt"], "", 64, "unsupported: -bt");
    let id = "not a queue id (-qI) or destination (-qR): \"../../etc/passwd\"";
    refuse(&["-qI../../etc/passwd"], "", 64, id);
}

#[test]
fn bad_addresses_are_65() {
    let control = "control character or invalid UTF-8 in address";
    let text = format!("bad recipient address a?b@x: {control}");
    refuse(&["a\nb@x"], PLAIN, 65, &text);
    let text = format!("bad sender address a@x?DATA: {control}");
    refuse(&["-f", "a@x\nDATA", "b@x"], PLAIN, 65, &text);
    let text = "bad recipient address /etc/cron.d/evil: a file is not a mailbox";
    refuse(&["/etc/cron.d/evil"], PLAIN, 65, text);
    let long = format!("From: x\nX: {}\n\nb\n", "y".repeat(300_000));
    refuse(
        &["a@x"],
        &long,
        65,
        "the message's header is longer than 262144 bytes",
    );
}

#[test]
fn a_message_that_is_too_large_is_69() {
    let host = Host::new();
    let relayd = host.relayd();
    host.configure("message_size_limit = 20k");
    let large = format!("From: x\n\n{}", "0123456789\n".repeat(4_000));
    let line = failure(&host.sendmail(&["a@x"], &large), 69);
    assert!(
        line.contains("message file too big (limit: 20480 bytes)"),
        "{line}"
    );
    assert_silent(&host.sendmail(&["a@x"], PLAIN));
    assert!(relayd.recv().unwrap().content.len() < 100);
}

fn refusing(code: u16, status: (u8, u16, u16)) -> (Output, Host) {
    let host = Host::new();
    let status = StatusCode::new(status.0, status.1, status.2);
    let relayd = host.relayd_with(move |recipient| {
        (recipient == "bad@x").then(|| Reply::new(code, Some(status), "no thanks"))
    });
    let output = host.sendmail(&["a@x", "bad@x", "b@x"], PLAIN);
    assert!(relayd.try_recv().is_err());
    assert!(host.maildrop().is_empty());
    (output, host)
}

#[test]
fn a_recipient_that_relayd_refuses_refuses_the_message() {
    for (code, status, exit) in [
        (550, (5, 1, 1), 65),
        (553, (5, 1, 3), 65),
        (550, (5, 7, 1), 77),
        (452, (4, 3, 1), 75),
        (452, (4, 5, 3), 69),
    ] {
        let (output, _host) = refusing(code, status);
        let line = failure(&output, exit);
        assert!(
            line.contains(&format!("relayd refused the message: {code} ")),
            "{line}"
        );
    }
}

#[test]
fn closed_descriptors_are_not_an_empty_message() {
    let host = Host::new();
    let relayd = host.relayd();
    let shell = |redirection: &str, stdin: &str| {
        let script = format!("exec \"$0\" -i a@x {redirection}");
        let mut command = host.command("/bin/sh", &["-c", &script, SENDMAIL]);
        command.env("PATH", "/usr/bin:/bin");
        finish(command, stdin)
    };
    let line = failure(&shell("<&-", ""), 66);
    assert_eq!(
        line,
        "sendmail: fatal: cannot read the message: standard input is closed\n"
    );
    assert_eq!(shell("<&- >&- 2>&-", "").status.code(), Some(66));
    // Open for writing only, and a folder: reading fails.
    failure(&shell("0>/dev/null", ""), 74);
    failure(&shell("</", ""), 74);
    assert!(relayd.try_recv().is_err());
    // mailutils closes the other two.
    assert_silent(&shell(">&- 2>&-", PLAIN));
    assert!(relayd.recv().unwrap().content.ends_with("\r\n\r\nb\r\n"));
    // An empty stdin is an empty message, however it is open.
    assert_silent(&shell("<>/dev/null", ""));
    assert!(relayd.recv().unwrap().content.starts_with("From: "));
}

#[test]
fn a_message_whose_writer_was_killed_with_it_is_not_queued() {
    let host = Host::new();
    let relayd = host.relayd();
    let mut child = start(&mut host.command(SENDMAIL, &["-i", "a@x"]));
    let mut pipe = child.stdin.take().unwrap();
    // More than the pipe holds: when this returns, sendmail is reading.
    pipe.write_all(format!("From: x\n\n{}", "0123456789\n".repeat(100_000)).as_bytes())
        .unwrap();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9));
    drop(pipe);
    assert_silent(&host.sendmail(&["-f", "marker", "a@x"], PLAIN));
    assert_eq!(relayd.recv().unwrap().sender(), "marker");
    assert!(host.maildrop().is_empty());
}

#[test]
fn settings_that_do_not_tell_where_the_queue_is_are_78() {
    let host = Host::new();
    for (line, text) in [
        (2, "[paths]\nspool spool\n"),
        (3, "[paths]\nspool = spool\nrun =\n"),
        (1, "[pahts]\nspool = spool\nrun = run\n"),
    ] {
        std::fs::write(host.path("relayd.conf"), text).unwrap();
        for (program, arguments) in [
            (SENDMAIL, &["a@x"] as &[&str]),
            (SENDMAIL, &["-bs"]),
            (MAILQ, &[]),
            (POSTQUEUE, &["-f"]),
        ] {
            let told = failure(&host.run(program, arguments, PLAIN), 78);
            assert!(told.contains(&format!("relayd.conf:{line}: ")), "{told}");
        }
    }
    std::fs::remove_file(host.path("relayd.conf")).unwrap();
    failure(&host.sendmail(&["a@x"], PLAIN), 78);
}

#[test]
fn bytes_that_are_no_text_are_no_crash() {
    use std::os::unix::ffi::OsStrExt;
    let host = Host::new();
    let _relayd = host.relayd();
    let run = |argument: &[u8]| {
        let mut command: Command = host.command(SENDMAIL, &["a@x"]);
        command.arg(std::ffi::OsStr::from_bytes(argument));
        finish(command, PLAIN)
    };
    failure(&run(b"\xff\xfe@x"), 65);
    let name = {
        let mut command = host.command(SENDMAIL, &[]);
        command
            .arg(std::ffi::OsStr::from_bytes(b"-F\xff"))
            .arg("a@x");
        finish(command, "\nb\n")
    };
    assert_silent(&name);
}
