//! relayd tells a person by another road what is wrong, once, and once that it is over: staged troubles with scaled
//! thresholds.

#![forbid(unsafe_code)]

use std::fs;
use std::time::Duration;

use tests::certificate::{Authority, Validity};
use tests::gateway::{Fault, Gateway, Rule, Setup, Stage};
use tests::hook::Hook;
use tests::namespace::root_or_skip;
use tests::patience;
use tests::program::{run, succeed};
use tests::rig::Rig;
use tests::told::Told;

const PATIENCE: Duration = Duration::from_secs(90);
const MAIL: &[u8] = b"Subject: s\n\nbody\n";

/// Thresholds that fit a test.
const SCALED: &str = "gateway_down_after = 1s\ngateway_refuses_after = 1s\nclear_after = 1s\n";

struct Scene {
    gateway: Gateway,
    authority: Authority,
    told: Told,
    rig: Rig,
}

impl Scene {
    /// A gateway, a person, and a relayd that runs unless `enclosed` in what a script makes.
    fn new(thresholds: &str, enclosed: Option<&str>) -> Self {
        let authority = Authority::new();
        let identity = authority.issue("gateway.test", Validity::Current);
        let gateway = Gateway::start(Setup::provider(identity));
        let told = Told::new(|_| {});
        let mut rig = Rig::new(Rig::access_to(&gateway, &authority));
        let mut section = told.section(&rig, "alarm") + SCALED + thresholds;
        if !thresholds.contains("disk_free") {
            // However full the disk is that the tests run on.
            section += "disk_free = 0%\n";
        }
        rig.change(|access| access.sections = section);
        if let Some(script) = enclosed {
            rig.enclose(script);
        }
        rig.start();
        Self {
            gateway,
            authority,
            told,
            rig,
        }
    }

    fn send(&self) {
        self.rig.send(&["joe@example.net"], MAIL);
    }

    fn relayctl(&self, word: &str) {
        succeed(self.rig.command("relayctl").arg(word), b"");
    }

    /// Exactly one alarm with these words, which says what to do.
    #[track_caller]
    fn expect_alarm(&self, words: &str, remedy: &str) {
        let subjects = self.told.expect(words, PATIENCE);
        assert!(
            subjects.len() == 1 && subjects[0].starts_with("ALARM: "),
            "{subjects:#?}"
        );
        let mail = &self.told.deliveries()[0];
        let body = String::from_utf8_lossy(mail.body()).replace("=\r\n", "");
        assert!(body.contains(remedy), "{body}");
        assert!(
            self.rig.log().contains("warning: alarm: ALARM: "),
            "{}",
            self.rig.log()
        );
    }

    /// Exactly one all-clear after it.
    #[track_caller]
    fn expect_all_clear(&self) {
        let subjects = self.told.expect("Over: ", PATIENCE);
        assert_eq!(subjects.len(), 2, "{subjects:#?}");
        let mail = &self.told.deliveries()[1];
        assert!(String::from_utf8_lossy(mail.body()).contains("It lasted "));
    }
}

#[test]
fn a_revoked_password() {
    let scene = Scene::new("", None);
    scene.gateway.fail(
        Stage::Auth,
        Fault::reply("535 5.7.8 Username and Password not accepted"),
    );
    scene.send();
    scene.expect_alarm("gateway main refuses user or password: ", "password");
    scene.gateway.behave();
    scene.relayctl("reload");
    scene.rig.expect_empty_queue(PATIENCE);
    scene.expect_all_clear();
}

#[test]
fn an_expired_certificate() {
    let scene = Scene::new("", None);
    let expired = scene.authority.issue("gateway.test", Validity::Expired);
    scene.gateway.change(|setup| setup.identity = Some(expired));
    scene.send();
    scene.expect_alarm(
        "gateway main cannot be trusted: ",
        "certificate must be valid",
    );
    let renewed = scene.authority.issue("gateway.test", Validity::Current);
    scene.gateway.change(|setup| setup.identity = Some(renewed));
    scene.relayctl("flush");
    scene.expect_all_clear();
}

#[test]
fn a_gateway_that_cannot_be_reached() {
    let mut scene = Scene::new("", None);
    scene.gateway.close();
    for _ in 0..3 {
        scene.send();
    }
    scene.expect_alarm("gateway main cannot be reached: ", "firewall");
    scene.gateway.reopen();
    scene.rig.expect_empty_queue(PATIENCE);
    scene.expect_all_clear();
    let over = &scene.told.deliveries()[1];
    let text = String::from_utf8_lossy(over.body()).replace("=\r\n", "");
    assert!(
        text.contains("have gone out since. In the queue now: 0 messages."),
        "{text}"
    );
}

#[test]
fn a_spent_quota() {
    let scene = Scene::new("", None);
    scene.gateway.fail(
        Stage::EndOfData,
        Fault::reply("550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to"),
    );
    scene.send();
    scene.expect_alarm(
        "gateway main has no quota left: ",
        "wait until the provider renews it",
    );
    scene.gateway.behave();
    // No flush ends the wait for a quota; an admin who knows better reloads.
    scene.relayctl("reload");
    scene.rig.expect_empty_queue(PATIENCE);
    scene.expect_all_clear();
}

#[test]
fn a_sender_that_is_not_verified() {
    let scene = Scene::new("", None);
    let words = "554 Message rejected: Email address is not verified. The following identities failed the check in \
                 region EU-WEST-1: root@test.example";
    scene.gateway.fail(Stage::EndOfData, Fault::reply(words));
    scene.send();
    scene.expect_alarm(
        "since the gateway does not accept the sender",
        "verify it or its domain",
    );
    scene.gateway.behave();
    scene.relayctl("flush");
    scene.rig.expect_empty_queue(PATIENCE);
    scene.expect_all_clear();
}

#[test]
fn a_message_that_is_stuck() {
    let scene = Scene::new("stuck_after = 2s\n", None);
    scene
        .gateway
        .add(Rule::at(Stage::Rcpt, Fault::reply("450 4.2.1 busy")).naming("stuck@"));
    scene.rig.send(&["stuck@example.net"], MAIL);
    scene.send();
    scene.expect_alarm(" waits for ", "mailq lists");
    scene.gateway.behave();
    scene.relayctl("flush");
    scene.rig.expect_empty_queue(PATIENCE);
    scene.expect_all_clear();
}

#[test]
fn a_disk_that_is_nearly_full() {
    if !root_or_skip("a_disk_that_is_nearly_full") {
        return;
    }
    let script = "mount -t tmpfs -o size=8m,mode=711,uid=65534,gid=65534 tmpfs \"$1/spool\"";
    let scene = Scene::new("disk_free = 10%\n", Some(script));
    let fill = "head -c 7800k /dev/zero > \"$0/spool/fill\"; chmod 666 \"$0/spool/fill\"";
    let shell = |line: &str| {
        succeed(
            scene
                .rig
                .enter("/bin/sh")
                .args(["-c", line])
                .arg(scene.rig.path()),
            b"",
        );
    };
    shell(fill);
    scene.expect_alarm("the disk of the spool has ", "Free some of it");
    shell("rm \"$0/spool/fill\"");
    scene.expect_all_clear();
}

/// Found by a check, since relayd cannot say so itself.
#[test]
fn a_relayd_that_was_killed() {
    let mut scene = Scene::new("", None);
    scene.gateway.close();
    scene.send();
    let state = scene.rig.path().join("check");
    let check = |rig: &Rig| {
        let mut command = rig.command("relayctl");
        succeed(
            command.args(["check", "--tell", "--state"]).arg(&state),
            b"",
        );
    };
    check(&scene.rig);
    scene.rig.kill();
    check(&scene.rig);
    check(&scene.rig);
    let subjects = scene.told.subjects();
    let about_relayd =
        |subject: &&String| subject.contains("relayd is not running; 1 message waits");
    assert_eq!(
        subjects.iter().filter(about_relayd).count(),
        1,
        "{subjects:#?}"
    );
    scene.gateway.reopen();
    scene.rig.start();
    check(&scene.rig);
    check(&scene.rig);
    let subjects = scene.told.subjects();
    let over = subjects.iter().filter(|subject| *subject == "Over: relayd");
    assert_eq!(over.count(), 1, "{subjects:#?}");
}

/// The road is closed as well, and relayd is restarted meanwhile: nothing is lost, nothing comes twice.
#[test]
fn alarms_wait_for_a_road() {
    let mut scene = Scene::new("", None);
    scene.gateway.close();
    scene.told.gateway.close();
    scene.send();
    patience::expect("it is logged that nobody was told", PATIENCE, || {
        scene.rig.log().contains("alarm not told: localhost:")
    });
    scene.rig.kill();
    scene.rig.start();
    scene.gateway.reopen();
    scene.rig.expect_empty_queue(PATIENCE);
    patience::expect("the end is logged", PATIENCE, || {
        scene.rig.log().contains("alarm: Over: gateway main")
    });
    assert_eq!(scene.told.deliveries().len(), 0);
    scene.told.gateway.reopen();
    scene.told.expect("Over: gateway main", PATIENCE);
    let subjects = scene.told.subjects();
    assert_eq!(subjects.len(), 2, "{subjects:#?}");
    assert!(
        subjects[0].starts_with("ALARM: gateway main cannot be reached"),
        "{subjects:#?}"
    );
}

/// Retries that succeed, with the thresholds as they come: nobody is told, but the heartbeat is heard.
#[test]
fn a_normal_day_is_quiet() {
    let gateway = Gateway::start(Setup::open_sink());
    let told = Told::new(|_| {});
    let hook = Hook::start(200);
    let mut rig = Rig::new(tests::rig::Access::open(gateway.port()));
    rig.write("beat", &format!("{}/ping/secret\n", hook.url()), 0o600);
    let section = told.section(&rig, "alarm")
        + "heartbeat_file = beat\nheartbeat_every = 1s\nclear_after = 1s\n";
    rig.change(|access| access.sections = section);
    rig.start();
    for (stage, reply) in [
        (Stage::Greeting, "421 4.3.2 come back later"),
        (Stage::Mail, "451 4.3.0 not now"),
        (Stage::Rcpt, "450 4.2.0 greylisted"),
        (Stage::EndOfData, "451 4.7.1 try again"),
    ] {
        gateway.add(Rule::at(stage, Fault::reply(reply)).times(1));
        rig.send(&["joe@example.net"], MAIL);
        let flushed = patience::until(PATIENCE, || {
            succeed(rig.command("relayctl").arg("flush"), b"");
            (rig.mailq() == "Mail queue is empty\n").then_some(())
        });
        assert!(flushed.is_some(), "{}", rig.mailq());
    }
    let beats = hook.posts().len();
    patience::expect("two more heartbeats", PATIENCE, || {
        hook.posts().len() >= beats + 2
    });
    assert!(hook.posts().iter().all(|beat| beat.path == "/ping/secret"));
    assert_eq!(told.gateway.record().connections, 0);
    let kept = fs::read(rig.spool().join("state/alarms"));
    assert!(kept.is_err(), "something was alarmed about: {kept:?}");
    let check = run(rig.command("relayctl").arg("check"), b"");
    assert!(check.status.success(), "{check:?}");
}
