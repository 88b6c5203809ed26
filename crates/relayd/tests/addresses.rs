//! Where the running relayd sends mail for local names: aliases, `root`, and rewrite maps.

mod support;

use support::submit::submit;
use support::{Rig, wait_for};

const MESSAGE: &str = "Subject: hi\r\n\r\nbody\r\n";

/// A relayd that captures, with these files in its folder.
fn rig(rest: &str, files: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(
        "",
        &format!("[gateway catch]\ndeliver = capture:Maildir\n{rest}"),
    );
    for (name, text) in files {
        rig.write(name, text, 0o644);
    }
    rig.start();
    rig
}

/// The recipients of the one message that was captured.
fn delivered_to(rig: &Rig) -> Vec<String> {
    rig.wait_empty();
    let captured = rig.captured();
    let [text] = captured.as_slice() else {
        panic!("not one message: {captured:?}")
    };
    let lines = text.lines();
    lines
        .filter_map(|line| line.strip_prefix("Delivered-To: "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn aliases_lead_to_everybody_they_name_and_to_nobody_twice() {
    let aliases = "# admins\nroot: admin, ops@far.example\nadmin: Ann <ann@far.example>, \\\n  ops@far.example\nhook: |/bin/true\n";
    let aliases = aliases.replace("\\\n", "\n");
    let rig = rig("[aliases]\nfile = aliases\n", &[("aliases", &aliases)]);
    submit(&rig, "cron", &["root", "someone@far.example"], MESSAGE);
    assert_eq!(
        delivered_to(&rig),
        ["ann@far.example", "ops@far.example", "someone@far.example"]
    );
    rig.wait_log(&["to=<ann@far.example>", "orig_to=<root>", "status=sent"]);
}

#[test]
fn a_command_is_never_run_and_the_mail_goes_to_root() {
    let aliases = "root: ann@far.example\nhook: |/bin/true\n";
    let rig = rig("[aliases]\nfile = aliases\n", &[("aliases", aliases)]);
    let id = submit(&rig, "app", &["hook"], MESSAGE);
    assert_eq!(delivered_to(&rig), ["ann@far.example"]);
    rig.wait_log(&[&format!("warning: {id}: "), "aliases:2"]);
}

#[test]
fn a_changed_alias_counts_without_a_reload_and_a_broken_file_keeps_the_old_ones() {
    let rig = rig(
        "[aliases]\nfile = aliases\n",
        &[("aliases", "root: old@far.example\n")],
    );
    submit(&rig, "app", &["root"], MESSAGE);
    rig.wait_log(&["to=<old@far.example>", "status=sent"]);
    rig.write(
        "aliases",
        "root: fresh@far.example, and-more@far.example\n",
        0o644,
    );
    submit(&rig, "app", &["root"], MESSAGE);
    rig.wait_log(&["to=<fresh@far.example>", "status=sent"]);
}

#[test]
fn rewrite_maps_change_senders_and_recipients_of_the_envelope() {
    let rest = "[rewrite]\nsenders = senders\nrecipients = recipients\n";
    let files = [
        ("senders", "www-data@site.example noreply@site.example\n"),
        ("recipients", "@old.example @new.example\n"),
    ];
    let rig = rig(rest, &files);
    submit(&rig, "www-data", &["bob@old.example"], MESSAGE);
    assert_eq!(delivered_to(&rig), ["bob@new.example"]);
    let captured = wait_for("the message", || rig.captured().pop());
    assert!(
        captured.starts_with("Return-Path: <noreply@site.example>\n"),
        "{captured}"
    );
    assert_eq!(
        rig.count_log(&["from=<noreply@site.example>", "queue active"]),
        1
    );
}
