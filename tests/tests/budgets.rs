//! `[limits] rate`: who hands in more than that is told so or has mail held, is named in the log, and is the only one to
//! notice.

#![forbid(unsafe_code)]

use std::os::unix::process::CommandExt as _;
use std::process::Output;
use std::time::Duration;

use nix::unistd::Uid;
use tests::gateway::{Gateway, Setup};
use tests::program::run;
use tests::rig::{Access, Rig};

const LIMIT: Duration = Duration::from_secs(30);
const MESSAGE: &[u8] = b"X-PHP-Originating-Script: 33:mailer.php\nSubject: s\n\ntext\n";

/// relayd with a rate of three messages an hour, and its gateway.
fn relayd(over_rate: &str) -> (Rig, Gateway) {
    let gateway = Gateway::start(Setup::open_sink());
    let mut access = Access::open(gateway.port());
    access.sections = format!("[limits]\nrate = 3/h\nover_rate = {over_rate}\n");
    (Rig::started(access), gateway)
}

/// Hands a message in as this uid, or as whoever runs the tests.
fn hand_in(rig: &Rig, uid: Option<u32>, recipient: &str) -> Output {
    let mut command = rig.command("sendmail");
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    command.args(["-i", "-f", "app@test.example", recipient]);
    run(&mut command, MESSAGE)
}

/// Two users who hand in mail; one alone where the tests may not become others.
fn users() -> (Option<u32>, Option<u32>) {
    match Uid::effective().is_root() {
        true => (Some(33), Some(34)),
        false => (None, None),
    }
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn who_hands_in_too_much_is_put_off_and_nobody_else_is() {
    let (rig, gateway) = relayd("defer");
    let (app, other) = users();
    for n in 0..3 {
        let taken = hand_in(&rig, app, &format!("a{n}@x.test"));
        assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    }
    for n in 3..6 {
        let refused = hand_in(&rig, app, &format!("a{n}@x.test"));
        assert_eq!(refused.status.code(), Some(75), "{refused:?}");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(told.contains("too much mail from uid "), "{told}");
        assert!(told.contains("; try again in "), "{told}");
    }
    if other.is_some() {
        let taken = hand_in(&rig, other, "b@x.test");
        assert_eq!(taken.status.code(), Some(0), "{taken:?}");
        gateway.expect(4, LIMIT);
    } else {
        gateway.expect(3, LIMIT);
    }
    rig.expect_empty_spool(LIMIT);
    let log = rig.log();
    let named = ", script 33:mailer.php hands in more than 3 messages/h, 3 at once: its mail is refused for now";
    assert_eq!(count(&log, named), 1, "{log}");
    let uid = app.unwrap_or_else(|| Uid::effective().as_raw());
    assert!(log.contains(&format!("warning: uid {uid}")), "{log}");
}

#[test]
fn mail_beyond_the_rate_can_be_held() {
    let (mut rig, gateway) = relayd("hold");
    let (app, _) = users();
    for n in 0..5 {
        let taken = hand_in(&rig, app, &format!("a{n}@x.test"));
        assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    }
    gateway.expect(3, LIMIT);
    let listing = rig.expect_mailq(" Kbytes in 2 Requests.", LIMIT);
    assert_eq!(count(&listing, "!"), 2, "{listing}");
    assert_eq!(count(&rig.log(), "its mail is held"), 1, "{}", rig.log());
    // It is held still after a restart, and nobody counted it as sent.
    rig.stop();
    rig.start();
    let listing = rig.expect_mailq(" Kbytes in 2 Requests.", LIMIT);
    assert_eq!(count(&listing, "!"), 2, "{listing}");
    assert_eq!(gateway.read(|record| record.deliveries.len()), 3);
}
