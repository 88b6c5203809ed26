//! Settings. A row gives lines for the parts of a good file (`top`, `gateway`, `sections`), or a whole one (`settings`),
//! and what else there is (`make`, or `enclose` for mounts). `relayd --check` and relayd itself end with `exit`; where
//! the check cannot know, `check` says how that ends.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

use serde_json::Value;
use tests::enclosure::{ALICE, Enclosure};
use tests::peer::Peer;
use tests::postfix::free_port;
use tests::program::{built, run};
use tests::rig::{Access, Rig};
use tests::table::{Faults, bytes, text};

use super::{MESSAGE, bounded, compare_words, expect_calm, make};

pub(super) fn judge(row: &Value) -> Faults {
    let mut faults = Faults::default();
    match row["special"].as_str() {
        Some("families") => families(&mut faults),
        Some("own settings") => own_settings(&mut faults),
        Some(other) => faults.add(format!("no such special row: {other}")),
        None => ends(row, &mut faults),
    }
    faults
}

fn ends(row: &Value, faults: &mut Faults) {
    let mut access = Access::open(9);
    access.top = text(&row["top"]);
    access.more = text(&row["gateway"]);
    access.sections = text(&row["sections"]);
    if row["tls"] == true {
        access.tls = "starttls";
    }
    let mut rig = Rig::new(access);
    if !row["settings"].is_null() {
        fs::write(rig.settings(), bytes(&row["settings"])).expect("the folder is ours");
    }
    make(&rig, row);
    if let Some(script) = row["enclose"].as_str() {
        rig.enclose(script);
    }
    let want = &row["want"];
    let (exit, check) = (want["exit"].as_i64(), want["check"].as_i64());
    let check = check.or(exit);
    let output = bounded(&rig, &built("relayd"), &["--check"]);
    faults.compare(
        "status of --check",
        &check,
        &output.status.code().map(i64::from),
    );
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if exit == Some(0) {
        rig.start();
        faults.require(rig.stop().success(), || {
            "it does not stop in good order".to_owned()
        });
        said.push_str(&rig.log());
    } else {
        let output = bounded(&rig, &built("relayd"), &[]);
        faults.compare("status", &exit, &output.status.code().map(i64::from));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    compare_words("what it says", &said, &want["says"], &want["lacks"], faults);
    expect_calm(&rig, faults);
}

/// A port for IPv6 has no IPv4 clients, who would look like IPv6 ones; its loopback is this host.
fn families(faults: &mut Faults) {
    let port = free_port();
    let mut access = Access::open(9);
    access.sections = format!("[listen]\nsmtp = [::]:{port}\nallow = 127.0.0.0/8\n");
    let _rig = Rig::started(access);
    let four = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    faults.require(four.is_err(), || "IPv4 comes in by [::]".to_owned());
    let mut six = Peer::tcp((Ipv6Addr::LOCALHOST, port));
    six.say(b"HELO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n");
    for code in ["220", "250", "250", "250"] {
        let reply = six.reply();
        faults.require(reply.as_ref().is_some_and(|r| r.is(code)), || {
            format!("{reply:?}")
        });
    }
}

/// Settings of a caller's own lead to a queue of the caller's own.
fn own_settings(faults: &mut Faults) {
    let rig = Rig::started(Access::open(9));
    let home = Rig::new(Access::open(9));
    let enclosure = Enclosure::host(rig.path());
    let mut command = enclosure.command_as(ALICE);
    command.args(["/usr/sbin/sendmail", "-i", "b@x.test"]);
    command.env("RELAYD_CONFIG", home.settings());
    let output = run(&mut command, MESSAGE);
    faults.compare("status", &Some(75), &output.status.code());
    faults.compare("the queue", "Mail queue is empty\n", &*rig.mailq());
}
