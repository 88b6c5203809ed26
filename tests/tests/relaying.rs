//! The main job against a real provider's software: Debian's Postfix with STARTTLS and SASL AUTH as gateway, a thousand
//! messages from eight callers at a time. Needs root, because Postfix does.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::certificate::{Authority, Validity};
use tests::namespace::root_or_skip;
use tests::patience;
use tests::postfix::{Account, Postfix, free_port};
use tests::rig::{Access, Rig};

const MESSAGES: usize = 1000;
const CALLERS: usize = 8;
const MAX_CONNECTIONS: u32 = 4;
const USER: &str = "relay-user";
const PASSWORD: &str = "correct horse; battery#staple\\";

#[test]
fn a_thousand_messages_reach_postfix_whole_and_once() {
    if !root_or_skip("a_thousand_messages_reach_postfix_whole_and_once") {
        return;
    }
    let authority = Authority::new();
    let port = free_port();
    let identity = authority.issue("gateway.test", Validity::Current);
    let gateway = Postfix::gateway(
        port,
        &identity,
        &Account {
            user: USER,
            password: PASSWORD,
        },
    );
    let mut access = Access::provider(port, &authority, (USER, PASSWORD));
    access.max_connections = MAX_CONNECTIONS;
    let mut rig = Rig::started(access);

    let begin = Instant::now();
    send_all(&rig);
    let accepted = begin.elapsed();
    patience::expect(
        "all messages in the Maildir",
        Duration::from_secs(240),
        || gateway.count() >= MESSAGES,
    );
    let delivered = begin.elapsed();
    rig.expect_empty_queue(Duration::from_secs(20));
    assert!(rig.stop().success(), "SIGTERM ends relayd with 0");

    check_bodies(&gateway);
    let peak = gateway.peak();
    tests::report::number(
        "relaying",
        &format!(
            "{MESSAGES} messages from {CALLERS} callers: accepted in {accepted:.1?}, delivered in {delivered:.1?}, \
         0 lost, 0 twice, bodies byte-identical, at most {peak} connections (limit {MAX_CONNECTIONS})"
        ),
    );
    assert!(
        peak <= MAX_CONNECTIONS as usize,
        "{peak} connections at one time"
    );
    assert_eq!(
        rig.log().matches(": removed").count(),
        MESSAGES,
        "one story for each message"
    );
}

fn send_all(rig: &Rig) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= MESSAGES {
                        return;
                    }
                    let recipient = format!("r{number}@x.test");
                    let message = [
                        format!("Subject: {number}\nTo: {recipient}\n\n").into_bytes(),
                        body(number),
                    ]
                    .concat();
                    rig.send(&["-i", "-f", "app@test.example", &recipient], &message);
                }
            });
        }
    });
}

/// Each message arrived once, with the body it was sent with.
fn check_bodies(gateway: &Postfix) {
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for message in gateway.delivered() {
        let at = message
            .windows(2)
            .position(|w| w == b"\n\n")
            .expect("a header block");
        let header = String::from_utf8_lossy(&message[..at]);
        let subject = header
            .lines()
            .find_map(|l| l.strip_prefix("Subject: "))
            .expect("our subject");
        let number: usize = subject.parse().expect("our number");
        assert!(
            message[at + 2..] == body(number),
            "body of message {number} differs"
        );
        *seen.entry(number).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    let lost: Vec<_> = (0..MESSAGES)
        .filter(|number| !seen.contains_key(number))
        .collect();
    assert!(
        lost.is_empty() && twice.is_empty(),
        "lost: {lost:?}, twice: {twice:?}"
    );
}

/// Between 0 and some 20 kB of lines that trip careless relays: dots, `From `, trailing blanks, eight bits, empty lines.
fn body(number: usize) -> Vec<u8> {
    let tricky: [&[u8]; 8] = [
        b".",
        b"..",
        b". ",
        b"From me",
        b"",
        b"trailing  \t",
        "gr\u{fc}n \u{20ac}".as_bytes(),
        b"\xff\xfe raw",
    ];
    let mut state = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut draw = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = format!("message {number}\n").into_bytes();
    for _ in 0..draw(60) {
        let choice = usize::try_from(draw(16)).expect("small");
        match tricky.get(choice) {
            Some(line) => text.extend_from_slice(line),
            None => (0..draw(700))
                .for_each(|_| text.push(b' ' + u8::try_from(draw(95)).expect("below 95"))),
        }
        text.push(b'\n');
    }
    text
}
