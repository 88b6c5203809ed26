//! A disk that fails in the middle: nobody gets a message twice, nothing is lost, and it is made good
//! when the disk works again. The fault is a folder that may not be written.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mail::StatusCode;
use smtp::reply::Reply;

use support::gateway::Gateway;
use support::submit::{Dialogue, submit};
use support::{Rig, wait_for};

/// Lets names in `incoming` be made and removed, or not.
fn set_writable(rig: &Rig, writable: bool) {
    let mode = if writable { 0o700 } else { 0o500 };
    for shard in fs::read_dir(rig.path("spool/incoming")).unwrap() {
        let shard = shard.unwrap().path();
        fs::set_permissions(shard, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn gateway() -> Gateway {
    let gateway = Gateway::start();
    gateway.refuse(|recipient| {
        let status = Some(StatusCode::new(5, 1, 1));
        recipient
            .starts_with("gone@")
            .then(|| Reply::new(550, status, "no such user"))
    });
    gateway.shut_gate();
    gateway
}

#[test]
fn a_delivered_entry_that_cannot_be_removed_is_not_delivered_again() {
    let gateway = gateway();
    let rig = Rig::relaying("", gateway.port);
    let id = submit(&rig, "app", &["bob@far.example"], "A: b\r\n\r\n\r\n");
    gateway.wait_waiting(1);
    set_writable(&rig, false);
    gateway.open_gate();
    rig.wait_log(&[&id, "removing the finished entry", "Permission denied"]);
    assert_eq!(rig.count_log(&[&id, "removed"]), 0);
    set_writable(&rig, true);
    wait_for("it is removed", || {
        assert_eq!(rig.control("FLUSH"), ["OK"]);
        rig.entries("incoming").is_empty().then_some(())
    });
    rig.wait_empty();
    rig.wait_log(&[&id, ": removed"]);
    assert_eq!(gateway.taken().len(), 1);
}

#[test]
fn a_report_that_cannot_be_queued_makes_no_second_copy() {
    let gateway = gateway();
    let mut rig = Rig::relaying("", gateway.port);
    let recipients = ["bob@far.example", "gone@far.example"];
    let id = submit(&rig, "app", &recipients, "A: b\r\n\r\n\r\n");
    gateway.wait_waiting(1);
    set_writable(&rig, false);
    gateway.open_gate();
    rig.wait_log(&[&id, "the report to the sender cannot be queued"]);
    rig.wait_log(&[&id, "moving the entry"]);
    // What is known is on disk: a killed relayd does not send to bob again either.
    let record = wait_for("bob is done", || {
        let list = rig.list();
        let recipients = list[0]["recipients"].as_array()?.len();
        (recipients == 1).then(|| list[0].clone())
    });
    assert_eq!(record["recipients"][0]["address"], "gone@far.example");
    rig.kill();
    set_writable(&rig, true);
    rig.start();
    wait_for("the report goes out", || {
        assert_eq!(rig.control("FLUSH"), ["OK"]);
        (gateway.taken().len() == 2).then_some(())
    });
    rig.wait_empty();
    let taken = gateway.taken();
    assert_eq!(taken[0].recipients(), ["bob@far.example"]);
    assert_eq!(taken[1].recipients(), ["app@site.example"]);
}

#[test]
fn a_message_that_cannot_be_stored_is_refused_for_now() {
    let gateway = gateway();
    let rig = Rig::relaying("", gateway.port);
    set_writable(&rig, false);
    let reply = Dialogue::local(&rig).message("app", &["bob"], b"A: b\r\n\r\n\r\n");
    assert!(reply.starts_with("451 4.3.0"), "{reply}");
    rig.wait_log(&["a message was not accepted", "Permission denied"]);
    set_writable(&rig, true);
    assert!(rig.list().is_empty() && rig.entries("incoming").is_empty());
    gateway.open_gate();
    submit(&rig, "app", &["bob@far.example"], "A: b\r\n\r\n\r\n");
    gateway.wait_taken(1);
}
