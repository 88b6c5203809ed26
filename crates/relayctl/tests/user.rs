//! `relayctl user`, run as an admin runs it.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with settings that name a list of users.
fn settings() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = "[gateway catch]\ndeliver = capture:Maildir\n[listen]\n\
                submission = 127.0.0.1:587\ntls_cert = c\ntls_key = k\nusers_file = users\n";
    std::fs::write(folder.path().join("relayd.conf"), text).unwrap();
    folder
}

fn relayctl(folder: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relayctl"))
        .args(arguments)
        .env("RELAYD_CONFIG", folder.join("relayd.conf"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read the password has closed its end.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn users_are_added_changed_listed_and_removed() {
    let folder = settings();
    let run = |arguments: &[&str], stdin| {
        let output = relayctl(folder.path(), arguments, stdin);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let added = run(&["user", "add", "web1", "--stdin"], "open sesame\n");
    assert!(added.starts_with("web1 is added in "), "{added}");
    run(&["user", "add", "web2", "--stdin"], "other\n");
    let changed = run(&["user", "add", "web1", "--stdin"], "close sesame\n");
    assert!(
        changed.starts_with("web1 has a new password in "),
        "{changed}"
    );
    assert_eq!(run(&["user", "list"], ""), "web1\nweb2\n");

    let file = folder.path().join("users");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0);
    let users = policy::users::Users::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(users.verify("web1", "close sesame"));
    assert!(!users.verify("web1", "open sesame"));

    run(&["user", "remove", "web1"], "");
    assert_eq!(run(&["user", "list"], ""), "web2\n");
}

#[test]
fn what_cannot_be_done_says_why_and_changes_nothing() {
    let folder = settings();
    for (arguments, stdin, status, what) in [
        (
            &["user", "add", "a:b", "--stdin"][..],
            "x\n",
            64,
            "no colon",
        ),
        (
            &["user", "add", "a", "--stdin"],
            "",
            66,
            "there is no password",
        ),
        (&["user", "remove", "a"], "", 67, "there is no user a"),
        (&["user", "list"], "", 66, "No such file"),
        (&["user"], "", 64, "Usage"),
    ] {
        let output = relayctl(folder.path(), arguments, stdin);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(what), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("users").exists());
}

#[test]
fn settings_without_a_list_say_what_to_add() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "[gateway catch]\ndeliver = capture:Maildir\n";
    std::fs::write(folder.path().join("relayd.conf"), settings).unwrap();
    let output = relayctl(folder.path(), &["user", "list"], "");
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("add it to [listen], or give --file FILE"));
}
