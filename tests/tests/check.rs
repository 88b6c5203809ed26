//! `relayctl check`: its texts and exit statuses with relayd up and down, and mail logs told by the roads of `[alarm]`.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tests::gateway::{Fault, Gateway, Setup, Stage};
use tests::patience;
use tests::program::{built, run};
use tests::rig::{Access, Rig};
use tests::told::Told;

const PATIENCE: Duration = Duration::from_secs(60);
const MAIL: &[u8] = b"Subject: s\n\nbody\n";

fn check(rig: &Rig, arguments: &[&str]) -> Output {
    run(rig.command("relayctl").arg("check").args(arguments), b"")
}

#[track_caller]
fn said(output: &Output, status: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    text
}

#[test]
fn a_relayd_that_works_is_ok_in_every_style() {
    let gateway = Gateway::start(Setup::open_sink());
    let mut access = Access::open(gateway.port());
    // However full the disk is that the tests run on.
    access.sections = "[alarm]\ndisk_free = 0%\n".to_owned();
    let rig = Rig::started(access);
    rig.send(&["joe@example.net"], MAIL);
    rig.expect_empty_queue(PATIENCE);
    let human = said(&check(&rig, &[]), 0);
    assert!(
        human.starts_with("OK: nothing is wrong\nrelayd runs. 0 in the queue"),
        "{human}"
    );
    assert!(
        human.contains("\ngateway main: up\n") && human.contains("% free\n"),
        "{human}"
    );
    let nagios = said(&check(&rig, &["--nagios"]), 0);
    assert!(
        nagios.starts_with("RELAYD OK - 0 in the queue | queue=0;;;0 "),
        "{nagios}"
    );
    assert_eq!(nagios.lines().count(), 1);
    let json: Value = serde_json::from_str(&said(&check(&rig, &["--json"]), 0)).expect("JSON");
    assert_eq!(
        (&json["status"], &json["running"]),
        (&"OK".into(), &true.into())
    );
    assert!(
        json["disk"]["free_bytes"]
            .as_u64()
            .is_some_and(|free| free > 0)
    );
    assert_eq!(json["gateways"][0]["name"], "main");
}

#[test]
fn trouble_is_told_with_the_status_of_a_plugin() {
    let gateway = Gateway::start(Setup::open_sink());
    let mut access = Access::open(gateway.port());
    access.sections = "[alarm]\ngateway_refuses_after = 1s\ndisk_free = 0%\n".to_owned();
    let mut rig = Rig::started(access);
    gateway.fail(
        Stage::Greeting,
        Fault::reply("554 5.7.1 your account is | blocked"),
    );
    rig.send(&["joe@example.net"], MAIL);
    let mut nagios = String::new();
    patience::expect("the gateway is found to be down", PATIENCE, || {
        let output = check(&rig, &["--nagios"]);
        nagios = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.code() == Some(2)
    });
    assert!(
        nagios.starts_with("RELAYD CRITICAL - gateway main takes no mail: "),
        "{nagios}"
    );
    assert!(nagios.contains(" | queue=1;;;0 "), "{nagios}");
    assert_eq!(nagios.matches('|').count(), 1, "{nagios}");
    let json: Value = serde_json::from_str(&said(&check(&rig, &["--json"]), 2)).expect("JSON");
    assert_eq!(json["findings"][0]["cause"], "gateway main");

    // relayd does not run, and the spool tells how much waits.
    rig.kill();
    let down = said(&check(&rig, &["--nagios"]), 2);
    assert!(
        down.starts_with("RELAYD CRITICAL - relayd is not running; 1 message waits | queue=1;"),
        "{down}"
    );
    rig.send(&["joe@example.net"], MAIL);
    let human = said(&check(&rig, &[]), 2);
    assert!(
        human.contains("relayd is not running; 2 messages wait\n"),
        "{human}"
    );
    assert!(human.contains("systemctl start relayd"), "{human}");
    fs::write(rig.settings(), "nonsense\n").expect("the folder is ours");
    assert!(said(&check(&rig, &[]), 2).contains("relayd is not running"));
}

const BAD: &str = "Nov 24 03:00:00 h postfix/smtp[1]: 4ABC: to=<a@b.example>, relay=none, dsn=4.4.1, status=deferred (x)\n";
const GOOD: &str = "Nov 24 03:00:00 h postfix/smtp[1]: 4ABC: to=<a@b.example>, relay=h, dsn=2.0.0, status=sent (x)\n";

/// As the hourly job runs it: new lines are told once; they stay new until somebody was told.
#[test]
fn new_lines_of_mail_logs_are_told_once() {
    let told = Told::new(|_| {});
    let mut rig = Rig::new(Access::open(9));
    let section = told.section(&rig, "alarm");
    rig.change(|access| access.sections = section);
    let log = rig.path().join("mail.log");
    let state = rig.path().join("check");
    let tell = || {
        let mut command = rig.command("relayctl");
        command
            .args(["check", "--tell", "--state"])
            .arg(&state)
            .arg("--log")
            .arg(&log);
        run(&mut command, b"")
    };
    fs::write(&log, format!("{GOOD}{BAD}{GOOD}")).expect("the folder is ours");
    told.gateway
        .fail(Stage::Mail, Fault::reply("451 4.3.0 not now"));
    let refused = tell();
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    told.gateway.behave();
    let done = tell();
    assert!(
        done.status.success() && done.stderr.is_empty() && done.stdout.is_empty(),
        "{done:?}"
    );
    assert!(tell().status.success());
    assert_eq!(told.subjects(), ["1 line in the mail log to look at"]);
    let body = String::from_utf8_lossy(told.deliveries()[0].body()).replace("=\r\n", "");
    assert!(
        body.contains("status=3Ddeferred") || body.contains("status=deferred"),
        "{body}"
    );
    assert!(
        !body.contains("=sent") && !body.contains("=3Dsent"),
        "{body}"
    );

    fs::rename(&log, log.with_extension("log.1")).expect("the folder is ours");
    fs::write(&log, format!("{BAD}{BAD}")).expect("the folder is ours");
    assert!(tell().status.success());
    assert_eq!(
        told.subjects().last().map(String::as_str),
        Some("2 lines in the mail log to look at")
    );

    let listed = run(
        rig.command("relayctl")
            .args(["check", "--log"])
            .arg(&log)
            .arg("--state")
            .arg(rig.path().join("other")),
        b"",
    );
    assert_eq!(said(&listed, 1), format!("{BAD}{BAD}"));
}

/// The script for cron, with our programs in the place of the installed ones.
#[test]
fn the_hourly_job_names_what_there_is() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../etc/cron.hourly/check_mail_logs");
    let text = fs::read_to_string(&script).expect("the repository has it");
    let syntax = run(std::process::Command::new("sh").arg("-n").arg(&script), b"");
    assert!(syntax.status.success(), "{syntax:?}");
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("/usr/sbin/"))
    {
        let words: Vec<&str> = line
            .split_whitespace()
            .filter(|word| !word.starts_with('$'))
            .collect();
        let mut command = std::process::Command::new(built("relayctl"));
        command.args(&words[1..]);
        if words.last() == Some(&"--log") {
            command.arg("/dev/null");
        }
        let output = run(command.arg("--help"), b"");
        assert!(
            output.status.success() && words[0] == "/usr/sbin/relayctl",
            "{line}: {output:?}"
        );
    }
}
