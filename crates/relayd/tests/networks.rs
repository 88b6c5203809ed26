//! Who may hand in mail at a port that other hosts reach: run in a network of its own, which has an
//! address that is not loopback. Needs root, as the network does.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use support::{PATIENCE, Rig, free_port, is_root};

/// Set where the test already runs in a network of its own.
const INSIDE: &str = "RELAYD_TEST_NETWORK";
/// Addresses of this host there.
const KNOWN: &str = "192.0.2.1";
const STRANGER: &str = "198.51.100.1";

/// Runs the test of this name again in a new network with both addresses; true inside of it.
fn in_own_network(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !is_root() {
        let why = "needs root: it makes a network";
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
        return false;
    }
    let script = format!(
        "ip link set lo up && ip address add {KNOWN}/32 dev lo && \
         ip address add {STRANGER}/32 dev lo && \
         exec \"$0\" --exact {test} --nocapture"
    );
    let status = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
    false
}

/// Connects from one of our own addresses to the other side of the same.
fn talk(address: &str, port: u16, lines: &[&str]) -> Vec<String> {
    let to: SocketAddr = format!("{address}:{port}").parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    assert_eq!(stream.local_addr().unwrap().ip(), to.ip());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut replies = Vec::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut reply = |replies: &mut Vec<String>| {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        replies.push(line.trim_end().to_owned());
    };
    reply(&mut replies);
    if !replies[0].starts_with("220") {
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "it was closed after the greeting");
        return replies;
    }
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        reply(&mut replies);
    }
    replies
}

#[test]
fn a_port_is_for_the_networks_that_are_named() {
    if !in_own_network("a_port_is_for_the_networks_that_are_named") {
        return;
    }
    let port = free_port();
    let settings = format!(
        "[gateway catch]\ndeliver = capture:Maildir\n[listen]\nsmtp = [::]:{port}\n\
         allow = 192.0.2.0/24\n"
    );
    let mut rig = Rig::new("", &settings);
    rig.start();
    let dialogue = [
        "HELO there",
        "MAIL FROM:<a@x.example>",
        "RCPT TO:<b@y.example>",
        "QUIT",
    ];
    for address in ["127.0.0.1", KNOWN] {
        let replies = talk(address, port, &dialogue);
        let codes: Vec<&str> = replies.iter().map(|reply| &reply[..3]).collect();
        assert_eq!(codes, ["220", "250", "250", "250", "221"], "{address}");
    }
    let refused = talk(STRANGER, port, &[]);
    let text = "554 5.7.1 <unknown[198.51.100.1]>: Client host rejected: Access denied";
    assert_eq!(refused, [text]);
    let logged = format!("NOQUEUE: reject: CONNECT from unknown[{STRANGER}]: {text}; proto=SMTP");
    assert!(rig.log().contains(&logged), "{}", rig.log());
}
