//! `newaliases` checks the alias file, and is silent if it is in order.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Output;

mod harness;

use harness::{Host, SENDMAIL, assert_silent, failure, finish};

/// A host with this alias file in a folder of its own.
fn host(text: &str) -> Host {
    let host = Host::new();
    let folder = host.path("etc");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let file = folder.join("aliases");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    set(&host, "etc/aliases");
    host
}

fn set(host: &Host, file: &str) {
    // The account of the tests stands for that of relayd.
    let user = harness::login();
    let text =
        format!("user = {user}\n[aliases]\nfile = {file}\n[gateway out]\ndeliver = capture:out\n");
    fs::write(host.path("relayd.conf"), text).unwrap();
}

fn newaliases(host: &Host, arguments: &[&str]) -> Output {
    let mut command = host.command(SENDMAIL, arguments);
    command.arg0("/usr/bin/newaliases");
    finish(command, "")
}

#[test]
fn a_good_file_is_no_news() {
    let host = host("# people\npostmaster: root\nroot: admin@example.com\n");
    assert_silent(&newaliases(&host, &[]));
    assert_silent(&host.sendmail(&["-bi"], ""));
    assert_silent(&host.sendmail(&["-I"], ""));
    let output = newaliases(&host, &["-v"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.ends_with("/etc/aliases: 2 aliases, longest 17 bytes, 35 bytes total\n"),
        "{said}"
    );
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn every_problem_is_named_with_its_line() {
    let host = host("a: b\nb: a\nroot |cmd\nc: |/bin/x\u{9b}\nd: |/bin/x\n");
    let output = newaliases(&host, &[]);
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 6, "{said}");
    let file = host.path("etc/aliases");
    for (line, place) in lines.iter().zip([
        "3: the line",
        "4: the line holds",
        "5: \"|/bin/x\"",
        "1: \"a\"",
        "2: \"b\"",
    ]) {
        let start = format!("newaliases: warning: {}:{place}", file.display());
        assert!(line.starts_with(&start), "{start}: {said}");
    }
    assert!(
        lines[5].starts_with("newaliases: fatal: ") && lines[5].contains("5 problems"),
        "{said}"
    );
    assert!(!said.contains('\u{9b}') && output.stdout.is_empty());
}

#[test]
fn a_file_that_must_not_be_used_is_a_fault_of_the_configuration() {
    let host = host("root: evil@example.net\n");
    let file = host.path("etc/aliases");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    assert!(failure(&newaliases(&host, &[]), 78).contains("writable by others"));
    fs::remove_file(&file).unwrap();
    assert!(failure(&newaliases(&host, &[]), 78).contains("cannot be read"));
    fs::write(host.path("relayd.conf"), "nonsense\n").unwrap();
    assert!(failure(&newaliases(&host, &[]), 78).contains("relayd.conf:1"));
    set(&host, "none");
    assert_silent(&newaliases(&host, &[]));
}
