//! The gateway is away, relayd is away, both are away: what callers see, and what happens when they are back.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests::certificate::{Authority, Validity};
use tests::gateway::{Delivery, Fault, Gateway, Setup, Stage};
use tests::rig::Rig;

/// How long mail may lie still after the gateway's return (DESIGN.md I6).
const RETURN: Duration = Duration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(60);
const WAITING: usize = 500;

fn provider() -> (Gateway, Authority) {
    let authority = Authority::new();
    let gateway = Gateway::start(Setup::provider(
        authority.issue("gateway.test", Validity::Current),
    ));
    (gateway, authority)
}

/// Sends messages `first..first + count` from four callers at a time.
fn send(rig: &Rig, first: usize, count: usize) {
    std::thread::scope(|scope| {
        for caller in 0..4 {
            scope.spawn(move || {
                for number in (first..first + count).skip(caller).step_by(4) {
                    let recipient = format!("r{number}@x.test");
                    rig.send(
                        &["-i", "-f", "app@test.example", &recipient],
                        b"Subject: waiting\n\ntext\n",
                    );
                }
            });
        }
    });
}

fn assert_each_once(deliveries: &[Delivery], count: usize) {
    let recipients: BTreeSet<&str> = deliveries.iter().flat_map(Delivery::addresses).collect();
    assert_eq!(
        (deliveries.len(), recipients.len()),
        (count, count),
        "messages and different recipients"
    );
}

#[test]
fn five_hundred_waiting_messages_move_within_six_seconds_of_the_gateways_return() {
    let (mut gateway, authority) = provider();
    let mut rig = Rig::before(&gateway, &authority);
    gateway.close();
    send(&rig, 0, WAITING);
    let listing = rig.expect_mailq("Connection refused", LIMIT);
    assert!(
        listing.ends_with(&format!(" Kbytes in {WAITING} Requests.\n")),
        "{listing}"
    );

    let back = Instant::now();
    gateway.reopen();
    let first = gateway.expect(1, LIMIT)[0].at;
    let pause = first.saturating_duration_since(back);
    let all = gateway.expect(WAITING, LIMIT);
    tests::report::number(
        "outage",
        &format!(
            "first of {WAITING} after {pause:.2?}, last after {:.2?}",
            back.elapsed()
        ),
    );
    assert!(
        pause <= RETURN,
        "the first message left {pause:?} after the gateway's return"
    );
    assert_each_once(&all, WAITING);
    rig.expect_empty_queue(LIMIT);
    assert!(
        gateway.read(|r| r.peak) <= 4,
        "max_connections holds while draining"
    );
    gateway.expect_good_manners();
    assert!(rig.stop().success());
}

/// As above, with an outage long enough for the probes to be at their slowest, and visible to the gateway.
#[test]
fn probes_never_come_more_than_six_seconds_apart_and_one_at_a_time() {
    let (gateway, authority) = provider();
    gateway.fail(Stage::Greeting, Fault::Drop);
    let rig = Rig::before(&gateway, &authority);
    send(&rig, 0, 20);
    assert!(
        gateway.wait(LIMIT, |r| r.connections >= 6),
        "relayd stopped probing"
    );
    let record = gateway.record();
    let gaps: Vec<Duration> = record
        .connected_at
        .windows(2)
        .map(|w| w[1] - w[0])
        .collect();
    tests::report::number("outage", &format!("gaps between probes: {gaps:.1?}"));
    assert!(gaps.iter().all(|gap| *gap <= RETURN), "{gaps:?}");
    assert_eq!(record.peak, 1, "one probe at a time");

    let back = Instant::now();
    gateway.behave();
    let first = gateway.expect(1, LIMIT)[0].at;
    assert!(first.saturating_duration_since(back) <= RETURN);
    assert_each_once(&gateway.expect(20, LIMIT), 20);
}

#[test]
fn with_relayd_stopped_sendmail_succeeds_and_the_mail_goes_out_after_the_start() {
    let (gateway, authority) = provider();
    let mut rig = Rig::before(&gateway, &authority);
    assert!(rig.stop().success());
    send(&rig, 0, 20);
    assert_eq!(gateway.read(|r| r.connections), 0);
    rig.start();
    assert_each_once(&gateway.expect(20, LIMIT), 20);
    rig.expect_empty_queue(LIMIT);
}

#[test]
fn mail_dropped_while_relayd_was_down_has_the_same_bytes_and_envelope() {
    let (gateway, authority) = provider();
    let mut rig = Rig::before(&gateway, &authority);
    assert!(rig.stop().success());
    let message = b"To: Someone <to@x.test>\nBcc: hidden@x.test\nSubject: s\n\n.\n..two\r\nlast without newline";
    rig.send(&["-t", "-i", "-f", "sender@test.example"], message);
    rig.start();
    let delivery = gateway.expect(1, LIMIT).remove(0);
    assert_eq!(delivery.sender, "sender@test.example");
    assert_eq!(delivery.addresses(), ["hidden@x.test", "to@x.test"]);
    assert_eq!(delivery.body(), b".\r\n..two\r\nlast without newline\r\n");
    assert!(delivery.fields("Bcc").is_empty());
    gateway.expect_good_manners();
}

#[test]
fn with_neither_relayd_nor_maildrop_sendmail_ends_with_75_and_one_line() {
    let (gateway, authority) = provider();
    let mut rig = Rig::before(&gateway, &authority);
    assert!(rig.stop().success());
    std::fs::remove_dir_all(rig.spool()).expect("the spool is ours");
    let output = rig.sendmail(&["-i", "to@x.test"], b"Subject: s\n\ntext\n");
    let complaint = String::from_utf8(output.stderr).unwrap();
    tests::report::show(&complaint);
    assert_eq!(output.status.code(), Some(75));
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.starts_with("sendmail: "), "{complaint}");
    assert!(output.stdout.is_empty());
}

/// A message already on its way when the reply is lost is sent again, and only that one.
#[test]
fn a_lost_reply_makes_the_message_uncertain_and_brings_it_twice_at_most() {
    let (gateway, authority) = provider();
    gateway.add(tests::gateway::Rule::at(Stage::EndOfData, Fault::LoseReply).times(1));
    let rig = Rig::before(&gateway, &authority);
    send(&rig, 0, 1);
    assert!(gateway.wait(LIMIT, |r| r.deliveries.len() == 1));
    let listing = rig.expect_mailq("(", LIMIT);
    tests::report::show(&listing);
    rig.command("postqueue")
        .arg("-f")
        .status()
        .expect("postqueue runs");
    let all = gateway.expect(2, LIMIT);
    assert_eq!(all[0].addresses(), all[1].addresses());
    rig.expect_empty_queue(LIMIT);
    assert_eq!(gateway.read(|r| r.deliveries.len()), 2);
}
