//! relayd's ports: who may relay, what clients may cost, and what the log says of them, so that fail2ban counts them.

#![forbid(unsafe_code)]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tests::doors::{Doors, USER, expect_received};
use tests::gateway::{Gateway, Setup};
use tests::namespace::in_own_network;
use tests::patience;
use tests::peer::Peer;
use tests::program::{need, succeed};
use tests::report::number;
use tests::rig::{Access, Rig};

const LIMIT: Duration = Duration::from_secs(30);

/// An address of `allow`, and one that is not.
const KNOWN: &str = "192.0.2.1";
const STRANGER: &str = "198.51.100.1";

/// `max_sessions` where nothing is said.
const PLACES: usize = 256;

/// Says each line and hears a reply that begins as it must, to the greeting first.
#[track_caller]
fn converse(peer: &mut Peer, lines: &[(&str, &str)]) {
    for (said, wanted) in lines {
        peer.say(said.as_bytes());
        let reply = peer.reply();
        let good = reply.as_ref().is_some_and(|reply| reply.is(wanted));
        assert!(good, "to {said:?} wanted {wanted}, heard {reply:?}");
    }
}

/// A message by hand, up to and with its end.
const MESSAGE: [(&str, &str); 6] = [
    ("", "220"),
    ("EHLO client.test\r\n", "250"),
    ("MAIL FROM:<a@client.test>\r\n", "250"),
    ("RCPT TO:<b@other.test>\r\n", "250"),
    ("DATA\r\n", "354"),
    ("Subject: s\r\n\r\nx\r\n.\r\n", "250"),
];

#[test]
fn a_stranger_gets_no_further_than_rcpt_and_fail2ban_counts_it() {
    let test = "a_stranger_gets_no_further_than_rcpt_and_fail2ban_counts_it";
    if !in_own_network(test, &[KNOWN, STRANGER]) {
        return;
    }
    let gateway = Gateway::start(Setup::open_sink());
    let mut access = Access::open(gateway.port());
    // fail2ban looks for this name.
    access.log = "name = postfix\n".to_owned();
    // Nobody else is in this network, and each family has a socket of its own.
    access.sections = "[listen]\nsmtp = 0.0.0.0:25, [::]:25\nallow = 192.0.2.0/24\n".to_owned();
    let rig = Rig::started(access);
    let at = |address: &str| {
        let address: IpAddr = address.parse().expect("an address");
        Peer::tcp(SocketAddr::new(address, 25))
    };
    for (count, address) in ["127.0.0.1", "::1", KNOWN].iter().enumerate() {
        converse(&mut at(address), &MESSAGE);
        gateway.expect(count + 1, LIMIT);
    }
    let refusal = "554 5.7.1 <b@other.test>: Relay access denied";
    let mut peer = at(STRANGER);
    converse(&mut peer, &MESSAGE[..3]);
    converse(
        &mut peer,
        &[
            ("RCPT TO:<b@other.test>\r\n", refusal),
            ("DATA\r\n", "554"),
            ("QUIT\r\n", "221"),
        ],
    );
    let logged = format!(
        "NOQUEUE: reject: RCPT from unknown[{STRANGER}]: {refusal}; from=<a@client.test> to=<b@other.test> proto=ESMTP helo=<client.test>"
    );
    assert!(rig.log().contains(&logged), "{}", rig.log());
    let mut peer = at(STRANGER);
    converse(&mut peer, &[("", "220")]);
    let (errors, last) = ("FOO\r\n".repeat(19), "FOO\r\n");
    peer.say(errors.as_bytes());
    (0..19).for_each(|_| assert!(peer.reply().is_some_and(|reply| reply.is("500"))));
    converse(&mut peer, &[(last, "500"), ("", "421 4.7.0")]);
    expect_log(
        &rig,
        &format!("too many errors after UNKNOWN from unknown[{STRANGER}]"),
    );
    assert_eq!(counted_by_fail2ban(&rig), [STRANGER, STRANGER]);
    assert_eq!(gateway.expect(3, LIMIT).len(), 3);
}

/// The addresses that fail2ban counts against, once for each line.
fn counted_by_fail2ban(rig: &Rig) -> Vec<String> {
    need("/usr/bin/fail2ban-regex", "fail2ban");
    let mut command = Command::new("/usr/bin/fail2ban-regex");
    command.args(["--out", "ip"]);
    command.arg(rig.path().join("log/mail")).arg("postfix");
    let said = succeed(&mut command, b"");
    said.lines().map(str::to_owned).collect()
}

/// Waits for a line of the log: it may be written after the reply.
#[track_caller]
fn expect_log(rig: &Rig, line: &str) {
    let found = patience::until(LIMIT, || rig.log().contains(line).then_some(()));
    assert!(found.is_some(), "{line} is not in:\n{}", rig.log());
}

#[test]
fn more_clients_than_places_are_told_so_at_once() {
    const CLIENTS: usize = 500;
    let doors = Doors::open();
    let rig = &doors.scene.rig;
    let mut peers: Vec<Peer> = (0..CLIENTS).map(|_| doors.at_smtp()).collect();
    let (mut greeted, mut sent_away) = (Vec::new(), 0);
    for mut peer in peers.drain(..) {
        let reply = peer.reply().expect("everybody is told something");
        if reply.is("220") {
            greeted.push(peer);
        } else {
            assert!(reply.is("421 4.3.2"), "{reply:?}");
            assert_eq!(peer.reply(), None, "the connection is closed");
            sent_away += 1;
        }
    }
    assert_eq!((greeted.len(), sent_away), (PLACES, CLIENTS - PLACES));
    expect_log(rig, "[listen] smtp has 256 sessions");
    // The submit socket has places of its own, and those who are inside go on.
    rig.send(&["-i", "b@other.test"], b"Subject: s\n\nx\n");
    doors.scene.gateway.expect(1, LIMIT);
    converse(&mut greeted[PLACES - 1], &MESSAGE[1..]);
    doors.scene.gateway.expect(2, LIMIT);
    drop(greeted);
    patience::expect("places are free again", LIMIT, || {
        doors.at_smtp().reply().is_some_and(|reply| reply.is("220"))
    });
    number(
        "limits",
        &format!("{CLIENTS} connections at once: {PLACES} greeted, {sent_away} told 421"),
    );
}

#[test]
fn sendmail_leaves_its_mail_in_maildrop_where_the_socket_is_full() {
    let mut doors = Doors::closed();
    let rig = &mut doors.scene.rig;
    rig.change(|access| access.sections.push_str("[limits]\nmax_sessions = 1\n"));
    rig.start();
    let mut inside = Peer::unix(&rig.path().join("run/submit.sock"));
    // Of those who looked whether relayd is up, one may still be leaving.
    patience::expect("the only place is ours", LIMIT, || {
        if inside.reply().is_some_and(|reply| reply.is("220")) {
            return true;
        }
        inside = Peer::unix(&rig.path().join("run/submit.sock"));
        false
    });
    rig.send(&["-i", "b@other.test"], b"Subject: s\n\nx\n");
    doors.scene.gateway.expect(1, LIMIT);
    let waited = fs::read_dir(rig.spool().join("maildrop")).expect("it is there");
    assert_eq!(waited.count(), 0, "relayd took it in from there");
    expect_log(rig, "the submit socket has 1 sessions");
}

#[test]
fn a_wrong_password_costs_more_each_time() {
    let doors = Doors::open();
    let wrong = BASE64_STANDARD.encode(format!("\0{USER}\0guess"));
    let log_in = |response: &str, wanted: &str| {
        let mut peer = doors.at_submission();
        converse(
            &mut peer,
            &[
                ("", "220"),
                ("EHLO x.test\r\n", "250"),
                ("STARTTLS\r\n", "220"),
            ],
        );
        doors.secure(&mut peer).expect("the certificate is good");
        converse(&mut peer, &[("EHLO x.test\r\n", "250")]);
        let begun = Instant::now();
        converse(
            &mut peer,
            &[(&format!("AUTH PLAIN {response}\r\n"), wanted)],
        );
        begun.elapsed()
    };
    for seconds in [1, 2] {
        let took = log_in(&wrong, "535 5.7.8");
        assert!(took >= Duration::from_secs(seconds), "{took:?}");
    }
    log_in(&Doors::response(), "235");
    let failure =
        format!("SASL PLAIN authentication failed: authentication failure, sasl_username={USER}");
    assert_eq!(doors.scene.rig.log().matches(&failure).count(), 2);
}

/// What a client says before it goes away, and what the log then says after `lost connection after `; nothing: no line.
const LOST: [(&[(&str, &str)], &str); 9] = [
    (&[("", "220")], "CONNECT"),
    (&[("", "220"), ("HELO x\r\n", "250")], "HELO"),
    (
        &[("", "220"), ("EHLO x\r\n", "250"), ("NOOP\r\n", "250")],
        "NOOP",
    ),
    (&[("", "220"), ("foo bar\r\n", "500")], "UNKNOWN"),
    (
        &[
            ("", "220"),
            ("EHLO x\r\n", "250"),
            ("mail FROM:<a@x>\r\n", "250"),
        ],
        "MAIL",
    ),
    (
        &[
            ("", "220"),
            ("EHLO x\r\n", "250"),
            ("MAIL FROM:<>\r\n", "250"),
            ("RCPT TO:<b@x>\r\n", "250"),
        ],
        "RCPT",
    ),
    (
        &[
            ("", "220"),
            ("EHLO x\r\n", "250"),
            ("MAIL FROM:<>\r\n", "250"),
            ("RCPT TO:<b@x>\r\n", "250"),
            ("DATA\r\n", "354"),
        ],
        "DATA (7 bytes)",
    ),
    (&MESSAGE, ""),
    (&[("", "220"), ("QUIT\r\n", "221")], ""),
];

#[test]
fn the_log_says_how_a_session_was_broken_off() {
    let mut doors = Doors::closed();
    let rig = &mut doors.scene.rig;
    rig.change(|access| access.sections.push_str("[limits]\ncommand_timeout = 1s\n"));
    rig.start();
    let rig = &doors.scene.rig;
    let client = "localhost[127.0.0.1]";
    for (lines, after) in LOST {
        let before = rig.log().len();
        let mut peer = doors.at_smtp();
        converse(&mut peer, lines);
        if after.contains("bytes") {
            peer.say(b"x: y\r\n\r");
        }
        drop(peer);
        let told = patience::until(LIMIT, || {
            let log = rig.log().split_off(before);
            log.contains("disconnect from").then_some(log)
        });
        let told = told.unwrap_or_else(|| panic!("{after}: no end in {}", rig.log()));
        let lost = format!(
            "smtpd[{}]: lost connection after {after} from {client}\n",
            rig.pid()
        );
        let expected = usize::from(!after.is_empty());
        assert_eq!(told.matches(&lost).count(), expected, "{after}:\n{told}");
        let lines = told.matches("lost connection").count();
        assert_eq!(lines, expected, "{after}:\n{told}");
    }
    let mut peer = doors.at_smtp();
    converse(
        &mut peer,
        &[("", "220"), ("GET /a HTTP/1.1\r\nHost: x\r\n", "500")],
    );
    expect_log(
        rig,
        &format!("warning: non-SMTP command from {client}: GET /a HTTP/1.1\n"),
    );
    let mut peer = doors.at_smtp();
    converse(&mut peer, &[("", "220"), ("\u{16}\u{3}\u{1}\n", "500")]);
    expect_log(
        rig,
        &format!("warning: non-SMTP command from {client}: ???\n"),
    );
    let mut peer = doors.at_smtp();
    converse(
        &mut peer,
        &[("", "220"), ("EHLO x\r\n", "250"), ("", "421 4.4.2")],
    );
    expect_log(rig, &format!("timeout after EHLO from {client}\n"));
}

/// The kinds of sessions, and what their Received fields say (RFC 3848, RFC 6531). AUTH without TLS does not exist here.
#[test]
fn the_received_field_names_the_protocol() {
    let mut doors = Doors::closed();
    let rig = &mut doors.scene.rig;
    rig.change(|access| access.sections.push_str("allow = 127.0.0.0/8\n"));
    rig.start();
    let kinds = [
        ("HELO", false, false, "", "SMTP"),
        ("EHLO", false, false, "", "ESMTP"),
        ("EHLO", true, false, "", "ESMTPS"),
        ("EHLO", true, true, "", "ESMTPSA"),
        ("EHLO", false, false, " SMTPUTF8", "UTF8SMTP"),
        ("EHLO", true, false, " SMTPUTF8", "UTF8SMTPS"),
        ("EHLO", true, true, " SMTPUTF8", "UTF8SMTPSA"),
    ];
    for (count, (hello, tls, auth, parameter, protocol)) in kinds.into_iter().enumerate() {
        let mut peer = doors.at_submission();
        let hello = format!("{hello} client.test\r\n");
        converse(&mut peer, &[("", "220"), (&hello, "250")]);
        if tls {
            converse(&mut peer, &[("STARTTLS\r\n", "220")]);
            doors.secure(&mut peer).expect("the certificate is good");
            converse(&mut peer, &[(&hello, "250")]);
        }
        if auth {
            let login = format!("AUTH PLAIN {}\r\n", Doors::response());
            converse(&mut peer, &[(&login, "235")]);
        }
        let mail = format!("MAIL FROM:<a@client.test>{parameter}\r\n");
        converse(&mut peer, &[(&mail, "250")]);
        converse(&mut peer, &MESSAGE[3..]);
        let delivery = doors.scene.gateway.expect(count + 1, LIMIT).remove(count);
        expect_received(&delivery, "client.test", protocol);
    }
}
