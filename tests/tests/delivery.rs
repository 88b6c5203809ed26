//! What becomes of each recipient and each message at a gateway that takes, refuses and defers; and what relayd does
//! when it is stopped, started twice or given bad settings.

#![forbid(unsafe_code)]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tests::certificate::{Authority, Validity};
use tests::gateway::{Fault, Gateway, Rule, Setup, Stage};
use tests::program::run;
use tests::rig::Rig;

const LIMIT: Duration = Duration::from_secs(30);

fn provider() -> (Gateway, Authority) {
    let authority = Authority::new();
    let gateway = Gateway::start(Setup::provider(
        authority.issue("gateway.test", Validity::Current),
    ));
    (gateway, authority)
}

#[test]
fn each_recipient_gets_its_own_verdict() {
    let (gateway, authority) = provider();
    gateway
        .add(Rule::at(Stage::Rcpt, Fault::reply("550 5.1.1 no such user here")).naming("<gone@"));
    gateway.add(
        Rule::at(Stage::Rcpt, Fault::reply("450 4.2.0 mailbox busy"))
            .naming("<busy@")
            .times(1),
    );
    let rig = Rig::before(&gateway, &authority);
    rig.send(
        &[
            "-i",
            "-f",
            "app@test.example",
            "good@x.test",
            "gone@x.test",
            "busy@x.test",
        ],
        b"Subject: three\n\ntext\n",
    );

    let all = gateway.expect(2, LIMIT);
    let first = all
        .iter()
        .find(|d| d.sender == "app@test.example")
        .expect("the message itself");
    assert_eq!(first.addresses(), ["good@x.test"]);
    let bounce = all
        .iter()
        .find(|d| d.sender.is_empty())
        .expect("a report to the sender");
    assert_eq!(bounce.addresses(), ["app@test.example"]);
    let report = String::from_utf8_lossy(&bounce.content).into_owned();
    assert!(
        report.contains("gone@x.test") && report.contains("5.1.1"),
        "{report}"
    );
    assert!(!report.contains("busy@x.test"), "{report}");

    let listing = rig.expect_mailq("busy@x.test", LIMIT);
    assert!(listing.contains("450 4.2.0 mailbox busy"), "{listing}");
    assert!(
        !listing.contains("gone@x.test") && !listing.contains("good@x.test"),
        "{listing}"
    );
    assert_eq!(rig.postqueue(&["-f"]), "");
    let last = gateway.expect(3, LIMIT).remove(2);
    assert_eq!(
        last.addresses(),
        ["busy@x.test"],
        "only who was left is tried again"
    );
    rig.expect_empty_queue(LIMIT);
    gateway.expect_good_manners();
}

/// RFC 5321 4.5.3.1.10: after 452 to the 101st recipient the others follow in a transaction of their own, at once.
#[test]
fn five_hundred_recipients_travel_together_and_come_apart() {
    let (gateway, authority) = provider();
    gateway.add(
        Rule::at(Stage::Rcpt, Fault::reply("452 4.5.3 too many recipients"))
            .after(100)
            .times(400),
    );
    let rig = Rig::before(&gateway, &authority);
    let recipients: Vec<String> = (0..500).map(|n| format!("r{n}@x.test")).collect();
    let line: Vec<&str> = ["-i", "-f", "app@test.example"]
        .into_iter()
        .chain(recipients.iter().map(String::as_str))
        .collect();
    rig.send(&line, b"Subject: many\n\ntext\n");
    let served = |r: &tests::gateway::Record| {
        r.deliveries
            .iter()
            .map(|d| d.recipients.len())
            .sum::<usize>()
    };
    assert!(
        gateway.wait(LIMIT, |r| served(r) >= 500),
        "{}",
        gateway.read(|r| served(r))
    );
    rig.expect_empty_queue(LIMIT);
    assert_eq!(gateway.read(|r| served(r)), 500, "each recipient once");
    gateway.expect_good_manners();
}

#[test]
fn plain_text_after_starttls_is_not_believed() {
    let (gateway, authority) = provider();
    gateway.add(
        Rule::at(
            Stage::StartTls,
            Fault::reply("220 2.0.0 go ahead\n250 2.0.0 injected"),
        )
        .times(1),
    );
    let rig = Rig::before(&gateway, &authority);
    rig.send(
        &["-i", "-f", "app@test.example", "to@x.test"],
        b"Subject: s\n\ntext\n",
    );
    let delivery = gateway.expect(1, Duration::from_secs(75)).remove(0);
    assert!(
        delivery.encrypted && delivery.connection > 1,
        "the poisoned connection was given up"
    );
    gateway.expect_good_manners();
}

/// A gateway may stop offering what it offered; relayd uses what is there now.
#[test]
fn a_gateway_without_extensions_is_spoken_to_plainly() {
    let (gateway, authority) = provider();
    gateway.change(|setup| setup.keywords.clear());
    let rig = Rig::before(&gateway, &authority);
    rig.send(
        &["-i", "-f", "app@test.example", "a@x.test", "b@x.test"],
        b"Subject: s\n\n.\n..text\n",
    );
    let delivery = gateway.expect(1, LIMIT).remove(0);
    assert_eq!(delivery.body(), b".\r\n..text\r\n");
    assert!(delivery.parameters.is_empty(), "{:?}", delivery.parameters);
    gateway.expect_good_manners();
}

#[test]
fn addresses_beyond_ascii_need_smtputf8() {
    let (gateway, authority) = provider();
    let rig = Rig::before(&gateway, &authority);
    rig.send(
        &["-i", "-f", "app@test.example", "g\u{fc}n@x.test"],
        b"Subject: s\n\ntext\n",
    );
    let delivery = gateway.expect(1, LIMIT).remove(0);
    assert_eq!(delivery.addresses(), ["g\u{fc}n@x.test"]);
    assert!(
        delivery.parameters.contains(&"SMTPUTF8".to_owned()),
        "{:?}",
        delivery.parameters
    );
    gateway.expect_good_manners();
}

#[test]
fn a_message_of_twenty_megabytes_arrives_whole() {
    let (gateway, authority) = provider();
    let rig = Rig::before(&gateway, &authority);
    let line = [b"x".repeat(75), b"\n".to_vec()].concat();
    let body = line.repeat(20 * 1024 * 1024 / line.len());
    rig.send(
        &["-i", "-f", "app@test.example", "to@x.test"],
        &[b"Subject: big\n\n".to_vec(), body.clone()].concat(),
    );
    let delivery = gateway.expect(1, Duration::from_secs(60)).remove(0);
    let arrived: Vec<u8> = delivery
        .body()
        .iter()
        .copied()
        .filter(|b| *b != b'\r')
        .collect();
    assert!(arrived == body, "{} bytes of {}", arrived.len(), body.len());
}

#[test]
fn a_second_relayd_refuses_to_start() {
    let (gateway, authority) = provider();
    let rig = Rig::before(&gateway, &authority);
    let output = run(&mut rig.command("relayd"), b"");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    rig.send(
        &["-i", "-f", "app@test.example", "to@x.test"],
        b"Subject: s\n\nthe first one still works\n",
    );
    gateway.expect(1, LIMIT);
}

#[test]
fn bad_settings_are_refused_at_the_start_and_kept_out_by_a_reload() {
    let (gateway, authority) = provider();
    let mut rig = Rig::before(&gateway, &authority);
    rig.change(|access| access.more = "max_conections = 3\n".to_owned());
    let check = run(rig.command("relayd").arg("--check"), b"");
    let complaint = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(78), "{complaint}");
    assert!(
        complaint.contains("max_conections") && complaint.contains("max_connections"),
        "{complaint}"
    );
    assert!(
        complaint.contains("relayd.conf:"),
        "file and line: {complaint}"
    );

    rig.reload();
    tests::patience::expect("the log tells of the bad settings", LIMIT, || {
        rig.log().contains("max_conections")
    });
    rig.send(
        &["-i", "-f", "app@test.example", "to@x.test"],
        b"Subject: s\n\nold settings hold\n",
    );
    gateway.expect(1, LIMIT);
    assert!(rig.stop().success());
    let refused = run(&mut rig.command("relayd"), b"");
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let (gateway, authority) = provider();
    let rig = Rig::new(Rig::access_to(&gateway, &authority));
    let secret = rig.path().join("secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644))
        .expect("the rig is ours");
    let output = run(&mut rig.command("relayd"), b"");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{complaint}");
    assert!(complaint.contains("secret"), "{complaint}");
    assert_eq!(gateway.read(|r| r.connections), 0);
}

#[test]
fn messages_waiting_at_a_stop_go_out_after_the_start() {
    let (mut gateway, authority) = provider();
    let mut rig = Rig::before(&gateway, &authority);
    gateway.close();
    for number in 0..10 {
        rig.send(
            &["-i", "-f", "app@test.example", &format!("r{number}@x.test")],
            b"Subject: s\n\ntext\n",
        );
    }
    assert!(rig.stop().success());
    gateway.reopen();
    rig.start();
    gateway.expect(10, LIMIT);
    rig.expect_empty_queue(LIMIT);
    assert_eq!(gateway.read(|r| r.deliveries.len()), 10);
}

/// SIGTERM while the gateway thinks about the final dot: its answer is waited for, within a bound.
#[test]
fn a_stop_in_mid_transaction_loses_nothing() {
    let (gateway, authority) = provider();
    gateway.add(Rule::at(Stage::EndOfData, Fault::Silence).times(1));
    let mut rig = Rig::before(&gateway, &authority);
    rig.send(
        &["-i", "-f", "app@test.example", "to@x.test"],
        b"Subject: s\n\ntext\n",
    );
    assert!(gateway.wait(LIMIT, |r| r.strikes == [Stage::EndOfData]));
    rig.signal(nix::sys::signal::Signal::SIGTERM);
    gateway.hang_up();
    assert!(rig.reap_after("SIGTERM").success());
    rig.start();
    rig.postqueue(&["-f"]);
    gateway.expect(1, LIMIT);
    rig.expect_empty_queue(LIMIT);
}
