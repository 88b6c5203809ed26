//! Alias files. A row gives the file (`aliases`), what else there is (`make`), to whom a message goes (`to`), and who
//! gets it; what the log says, and what `newaliases` says and ends with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::gateway::{Gateway, Setup};
use tests::program::{built, run};
use tests::rig::{Access, Rig};
use tests::table::{Faults, bytes, words};

use super::{LIMIT, MESSAGE, compare_words, expect_calm, make};

pub(super) fn judge(row: &Value) -> Faults {
    let mut faults = Faults::default();
    let gateway = Gateway::start(Setup::open_sink());
    let mut access = Access::open(gateway.port());
    access.aliases = "aliases";
    let mut rig = Rig::new(access);
    fs::write(rig.path().join("aliases"), bytes(&row["aliases"])).expect("the folder is ours");
    make(&rig, row);
    rig.start();
    let mut arguments = vec!["-i", "-f", "a@x.test"];
    arguments.extend(words(&row["to"]));
    let output = rig.sendmail(&arguments, MESSAGE);
    faults.require(output.status.success(), || format!("{output:?}"));
    let want = &row["want"];
    let all = gateway.expect(1, LIMIT);
    faults.compare(
        "recipients",
        &words(&want["recipients"]),
        &all[0].addresses(),
    );
    rig.expect_empty_spool(LIMIT);
    faults.compare(
        "messages",
        &1,
        &gateway.read(|record| record.deliveries.len()),
    );
    compare_words(
        "the log",
        &rig.log(),
        &want["log"],
        &want["lacks"],
        &mut faults,
    );
    compare_newaliases(&rig, want, &mut faults);
    let evil = rig.path().join("evil");
    faults.require(!evil.exists(), || "it made a file".to_owned());
    expect_calm(&rig, &mut faults);
    faults
}

fn compare_newaliases(rig: &Rig, want: &Value, faults: &mut Faults) {
    let link: PathBuf = rig.path().join("newaliases");
    std::os::unix::fs::symlink(built("sendmail"), &link).expect("the folder is ours");
    let output = run(
        Command::new(&link).env("RELAYD_CONFIG", rig.settings()),
        b"",
    );
    let status = output.status.code().map(i64::from);
    faults.compare("status of newaliases", &want["exit"].as_i64(), &status);
    let said = String::from_utf8_lossy(&output.stderr);
    compare_words("newaliases", &said, &want["says"], &want["lacks"], faults);
}
