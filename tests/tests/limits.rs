//! What a gateway allows is kept to, as the gateway itself counts it.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use tests::certificate::{Authority, Validity};
use tests::gateway::{Fault, Gateway, Record, Rule, Setup, Stage};
use tests::rig::Rig;

const LIMIT: Duration = Duration::from_secs(120);
const WINDOW: Duration = Duration::from_secs(1);

/// A gateway, and relayd with these lines about it.
fn with(lines: &str) -> (Gateway, Rig) {
    let authority = Authority::new();
    let gateway = Gateway::start(Setup::provider(
        authority.issue("gateway.test", Validity::Current),
    ));
    let mut access = Rig::access_to(&gateway, &authority);
    access.more = lines.to_owned();
    let rig = Rig::started(access);
    (gateway, rig)
}

fn send(rig: &Rig, count: usize) {
    for number in 0..count {
        let recipient = format!("r{number}@x.test");
        rig.send(
            &["-i", "-f", "app@test.example", &recipient],
            b"Subject: limits\n\ntext\n",
        );
    }
}

/// When each message was begun at the gateway.
fn begun(record: &Record) -> Vec<Instant> {
    let commands = record.commands.iter();
    let mails = commands.filter(|command| command.line.starts_with("MAIL "));
    mails.map(|command| command.at).collect()
}

/// The most of these in any window.
fn most_in_a_window(mut times: Vec<Instant>) -> usize {
    times.sort_unstable();
    let in_window = |(n, from): (usize, &Instant)| {
        let window = times[n..].iter();
        window.take_while(|at| **at - *from <= WINDOW).count()
    };
    times.iter().enumerate().map(in_window).max().unwrap_or(0)
}

#[test]
fn neither_the_rate_nor_the_share_of_a_connection_is_ever_exceeded() {
    let (gateway, mut rig) = with("rate = 10/s\nmax_messages_per_connection = 7\n");
    send(&rig, 50);
    let deliveries = gateway.expect(50, LIMIT);
    rig.expect_empty_queue(LIMIT);
    assert!(rig.stop().success());
    let record = gateway.record();
    assert!(most_in_a_window(begun(&record)) <= 10, "as counted at MAIL");
    let taken = deliveries.iter().map(|delivery| delivery.at).collect();
    assert!(most_in_a_window(taken) <= 10, "as counted when complete");
    for connection in 1..=record.connections {
        let on_it = record.commands.iter().filter(|command| {
            command.connection == connection && command.line.starts_with("MAIL ")
        });
        assert!(on_it.count() <= 7, "connection {connection}");
    }
    gateway.expect_good_manners();
}

#[test]
fn a_gateway_that_calls_for_less_gets_less_and_is_not_taken_for_down() {
    let (gateway, mut rig) = with("");
    let reply = Fault::reply("454 4.7.0 Throttling failure: Maximum sending rate exceeded.");
    gateway.add(Rule::at(Stage::Mail, reply).after(3).times(2));
    send(&rig, 10);
    gateway.expect(10, LIMIT);
    rig.expect_empty_queue(LIMIT);
    assert!(rig.stop().success());
    let log = rig.log();
    assert!(log.contains("Throttling failure"), "{log}");
    assert!(!log.contains("gateway main down"), "{log}");
    assert_eq!(log.matches(": removed").count(), 10);
}
