//! What an attacker, a slip or a broken disk may put into relayd's other ways in: settings, aliases, the control and the
//! submit socket, and files of the spool. One table for each, `data/hostile_*.json`, and one line for each row.
//!
//! Whatever the row, relayd lives or ends with a status of its own and a line that says why, and nothing panics.
//!
//! Needs root, for users, owners and mounts.

#![forbid(unsafe_code)]

mod aliases;
mod config;
mod control;
mod image;
mod spool;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tests::namespace::root_or_skip;
use tests::program::run;
use tests::rig::Rig;
use tests::table::{self, Faults, words};

const LIMIT: Duration = Duration::from_secs(30);

/// What is sent where nothing else is said.
const MESSAGE: &[u8] = b"From: a@x.test\nSubject: s\n\nbody\n";

#[test]
fn settings() {
    if root_or_skip("settings") {
        let rows = table::rows(include_str!("../../data/hostile_config.json"));
        table::run_all("hostile_config", &rows, config::judge);
    }
}

#[test]
fn aliases_files() {
    if root_or_skip("aliases_files") {
        let rows = table::rows(include_str!("../../data/hostile_aliases.json"));
        table::run_all("hostile_aliases", &rows, aliases::judge);
    }
}

#[test]
fn sockets() {
    if root_or_skip("sockets") {
        let rows = table::rows(include_str!("../../data/hostile_control.json"));
        let mut panel = control::Panel::new();
        table::run_all("hostile_control", &rows, |row| panel.judge(row));
    }
}

#[test]
fn spool_files() {
    if root_or_skip("spool_files") {
        let rows = table::rows(include_str!("../../data/hostile_spool.json"));
        let mut store = spool::Store::new();
        table::run_all("hostile_spool", &rows, |row| store.judge(row));
    }
}

/// Runs a program that must end by itself: status 124 says that it did not.
fn bounded(rig: &Rig, program: &Path, arguments: &[&str]) -> Output {
    let mut command = rig.enter("/usr/bin/timeout");
    command.arg("30").arg(program).args(arguments);
    run(command.env("RELAYD_CONFIG", rig.settings()), b"")
}

/// Runs a row's `make` in the rig's folder as root.
fn make(rig: &Rig, row: &Value) {
    let Some(script) = row["make"].as_str() else {
        return;
    };
    let mut command = Command::new("/bin/sh");
    command.args(["-e", "-c", script]).current_dir(rig.path());
    let output = run(&mut command, b"");
    assert!(output.status.success(), "{script}: {output:?}");
}

/// `text` holds each of the words, and none of those that it must not.
fn compare_words(name: &str, text: &str, has: &Value, lacks: &Value, faults: &mut Faults) {
    for word in words(has) {
        faults.require(text.contains(word), || {
            format!("{name} lacks {word:?}: {text}")
        });
    }
    for word in words(lacks).into_iter().chain(["panicked", "\u{1b}"]) {
        faults.require(!text.contains(word), || {
            format!("{name} has {word:?}: {text}")
        });
    }
}

/// relayd has not panicked.
fn expect_calm(rig: &Rig, faults: &mut Faults) {
    let said = fs::read_to_string(rig.path().join("log/stderr")).unwrap_or_default();
    faults.require(!said.contains("panicked"), || said);
}
