//! What the running relayd does with a message: delivers it, keeps it, returns it, holds it, sets it
//! aside.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use mail::StatusCode;
use smtp::reply::Reply;

use support::gateway::Gateway;
use support::submit::{Dialogue, submit};
use support::{Rig, free_port, gateway_section, wait_for};

/// Refuses `gone@…` for good and `later@…` for now.
fn usual_rule(recipient: &str) -> Option<Reply> {
    let refusal = |code, status: (u8, u16, u16), text| {
        let status = StatusCode::new(status.0, status.1, status.2);
        Some(Reply::new(code, Some(status), text))
    };
    match recipient.split('@').next() {
        Some("gone") => refusal(550, (5, 1, 1), "no such user"),
        Some("later") => refusal(451, (4, 2, 1), "come back later"),
        _ => None,
    }
}

fn strict_gateway() -> Gateway {
    let gateway = Gateway::start();
    gateway.refuse(usual_rule);
    gateway
}

#[test]
fn a_message_is_captured_complete() {
    let rig = Rig::capturing("", "");
    let id = submit(
        &rig,
        "app",
        &["bob", "BOB@site.example"],
        "Subject: hi\r\n\r\nbody\r\n",
    );
    rig.wait_empty();
    let captured = rig.captured();
    let [text] = captured.as_slice() else {
        panic!("not one message: {captured:?}")
    };
    let start = "Return-Path: <app@site.example>\nDelivered-To: bob@site.example\nReceived: by relay.example (relayd, from userid ";
    assert!(text.starts_with(start), "{text}");
    for part in [
        "Subject: hi\n",
        "From: app@site.example\n",
        "Date: ",
        "Message-I",
        "\n\nbody\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let words = ["to=<bob@site.example>", "relay=capture", "status=sent"];
    rig.wait_log(&[&[id.as_str()], words.as_slice()].concat());
    rig.wait_log(&[&id, "removed"]);
}

#[test]
fn a_large_message_is_streamed_intact() {
    let gateway = Gateway::start();
    let rig = Rig::relaying("", gateway.port);
    let mut body = String::new();
    for number in 0..50_000 {
        body.push_str(&format!(
            ".{number} of a line that begins with a dot\r\n..\r\n"
        ));
    }
    submit(
        &rig,
        "app",
        &["bob@far.example"],
        &format!("Subject: big\r\n\r\n{body}"),
    );
    let taken = gateway.wait_taken(1).remove(0);
    assert!(taken.content.len() > 2_000_000);
    assert_eq!(taken.text().split_once("\r\n\r\n").unwrap().1, body);
    rig.wait_empty();
}

#[test]
fn a_refused_recipient_is_reported_to_the_sender_once() {
    let gateway = strict_gateway();
    let rig = Rig::relaying("", gateway.port);
    let recipients = ["bob@far.example", "gone@far.example"];
    let id = submit(
        &rig,
        "app",
        &recipients,
        "Subject: hello\r\n\r\nsecret body\r\n",
    );
    let taken = gateway.wait_taken(2);
    rig.wait_empty();
    assert_eq!(gateway.taken().len(), 2);
    assert_eq!(taken[0].recipients(), ["bob@far.example"]);

    let report = &taken[1];
    assert_eq!(report.envelope.sender, None);
    assert_eq!(report.recipients(), ["app@site.example"]);
    let parsed = mailparse::parse_mail(&report.content).unwrap();
    assert_eq!(parsed.ctype.mimetype, "multipart/report");
    assert_eq!(parsed.ctype.params["report-type"], "delivery-status");
    let part = |number: usize| parsed.subparts[number].get_body().unwrap();
    assert!(part(0).contains("<gone@far.example>: "), "{}", part(0));
    assert_eq!(parsed.subparts[1].ctype.mimetype, "message/delivery-status");
    for line in [
        "Reporting-MTA: dns; relay.example\r\n",
        "Final-Recipient: rfc822; gone@far.example\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        "Remote-MTA: dns; 127.0.0.1\r\n",
        "Diagnostic-Code: smtp; ",
    ] {
        assert!(part(1).contains(line), "{line} in {}", part(1));
    }
    assert!(!part(1).contains("bob@"));
    assert_eq!(parsed.subparts[2].ctype.mimetype, "text/rfc822-headers");
    assert!(part(2).contains("Subject: hello") && !part(2).contains("secret body"));

    rig.wait_log(&[&id, "to=<gone@far.example>", "dsn=5.1.1", "status=bounced"]);
    rig.wait_log(&[&id, "sender non-delivery notification: "]);
    let line = rig.wait_log(&["from=<>", "nrcpt=1 (queue active)"]);
    assert!(!line.contains(&id));
}

#[test]
fn what_can_neither_be_delivered_nor_returned_is_held() {
    let gateway = strict_gateway();
    let mut rig = Rig::relaying("", gateway.port);
    let id = submit(
        &rig,
        "",
        &["gone@far.example"],
        "Subject: report\r\n\r\n\r\n",
    );
    let held = |rig: &Rig| {
        wait_for("the message is held", || {
            let list = rig.list();
            list.first()
                .filter(|one| one["queue_name"] == "hold")
                .cloned()
        })
    };
    let record = held(&rig);
    assert_eq!(record["queue_id"], id.as_str());
    assert_eq!(rig.entries("hold"), [id.as_str()]);
    let reason = record["recipients"][0]["delay_reason"].as_str().unwrap();
    assert!(reason.contains("550 5.1.1"), "{reason}");
    rig.wait_log(&[&id, "held"]);
    // Flushing is not releasing, and neither is a restart.
    assert_eq!(rig.control("FLUSH"), ["OK"]);
    rig.stop();
    rig.start();
    held(&rig);
    assert_eq!(gateway.taken().len(), 0);
    assert_eq!(rig.count_log(&["to=<gone@far.example>"]), 1);
}

#[test]
fn a_deferred_message_is_listed_as_such_and_expires() {
    let gateway = strict_gateway();
    let rig = Rig::relaying("queue_lifetime = 2s\n", gateway.port);
    let id = submit(
        &rig,
        "app",
        &["later@far.example"],
        "Subject: x\r\n\r\n\r\n",
    );
    rig.wait_log(&[&id, "status=deferred", "451 4.2.1"]);
    let record = wait_for("the message is listed as deferred", || {
        rig.list()
            .into_iter()
            .find(|one| one["queue_name"] == "deferred")
    });
    assert_eq!(record["queue_id"], id.as_str());
    assert_eq!(rig.entries("deferred"), [id.as_str()]);

    rig.wait_log(&[&id, "status=expired, returned to sender"]);
    let report = gateway.wait_taken(1).remove(0);
    assert_eq!(report.recipients(), ["app@site.example"]);
    for words in [
        "Status: 4.4.7",
        "delivery time expired; last trouble: ",
        "451 4.2.1",
    ] {
        assert!(
            report.text().contains(words),
            "{words} in {}",
            report.text()
        );
    }
    assert!(!report.text().contains("Remote-MTA"));
    rig.wait_empty();
    assert_eq!(rig.count_log(&["status=expired"]), 1);
}

#[test]
fn an_expired_message_without_sender_is_held() {
    let gateway = strict_gateway();
    let rig = Rig::relaying("queue_lifetime = 1s\n", gateway.port);
    let id = submit(&rig, "", &["later@far.example"], "Subject: x\r\n\r\n\r\n");
    rig.wait_log(&[&id, "held"]);
    wait_for("it is listed as held", || {
        rig.list()
            .into_iter()
            .find(|one| one["queue_name"] == "hold")
    });
    // Held, it is not given up again and again.
    assert_eq!(rig.control("FLUSH"), ["OK"]);
    assert_eq!(rig.control("STATUS")[0], "OK");
    assert_eq!(rig.count_log(&[&id, "held"]), 1);
}

#[test]
fn mail_waits_for_a_gateway_that_is_down_and_goes_out_when_it_is_back() {
    let port = free_port();
    let rig = Rig::relaying("", port);
    let ids: Vec<String> = (0..20)
        .map(|number| {
            submit(
                &rig,
                "app",
                &[&format!("u{number}@far.example")],
                "A: b\r\n\r\n\r\n",
            )
        })
        .collect();
    for id in &ids {
        rig.wait_log(&[
            id,
            "relay=none",
            "status=deferred (delivery temporarily suspended: connect to 127.0.0.1",
        ]);
    }
    assert_eq!(rig.entries("deferred").len(), 20);
    assert_eq!(rig.entries("incoming").len(), 0);
    let list = rig.list();
    assert_eq!(list.len(), 20);
    for record in &list {
        assert_eq!(record["queue_name"], "deferred");
        let reason = record["recipients"][0]["delay_reason"].as_str().unwrap();
        assert!(reason.contains("Connection refused"), "{reason}");
    }
    let back = Instant::now();
    let gateway = Gateway::at(port);
    gateway.wait_taken(20);
    assert!(
        back.elapsed() < Duration::from_secs(8),
        "{:?}",
        back.elapsed()
    );
    rig.wait_empty();
    assert_eq!(gateway.taken().len(), 20);
    assert_eq!(rig.count_log(&["delivery temporarily suspended"]), 20);
}

#[test]
fn a_replaced_password_is_used_without_restart() {
    let port = free_port();
    let mut rig = Rig::new(
        "",
        &format!(
            "{}user = app\npassword_file = secret\n",
            gateway_section(port)
        ),
    );
    rig.write("secret", "wrong\n", 0o600);
    rig.start();
    // First the gateway does not answer at all, so that the refusal comes within an outage.
    let id = submit(&rig, "app", &["bob@far.example"], "A: b\r\n\r\n\r\n");
    rig.wait_log(&[&id, "Connection refused"]);
    let gateway = Gateway::start_wanting(port, "app", "right");
    wait_for("the login is refused", || {
        (gateway.refused_logins() > 0).then_some(())
    });
    let reason = wait_for("the reason is shown", || {
        let list = rig.list();
        let reason = list[0]["recipients"][0]["delay_reason"].as_str()?;
        reason.contains("535").then(|| reason.to_owned())
    });
    assert!(reason.contains("535"), "{reason}");
    rig.write("secret", "right\n", 0o600);
    // Facts that keep coming in must not keep relayd from looking.
    wait_for("the message goes out", || {
        rig.control("STATUS");
        (gateway.taken().len() == 1).then_some(())
    });
    assert_eq!(gateway.refused_logins(), 1);
}

#[test]
fn a_damaged_entry_is_set_aside_and_stops_nothing() {
    let gateway = strict_gateway();
    let mut rig = Rig::relaying("", gateway.port);
    let first = submit(&rig, "app", &["later@far.example"], "A: b\r\n\r\none\r\n");
    let second = submit(&rig, "app", &["later@far.example"], "A: b\r\n\r\ntwo\r\n");
    for id in [&first, &second] {
        rig.wait_log(&[id, "status=deferred"]);
        wait_for("it is moved", || {
            rig.entries("deferred").contains(id).then_some(())
        });
    }
    damage(&rig, &first, "one");
    assert_eq!(rig.control(&format!("FLUSH-ID {first}")), ["OK"]);
    rig.wait_log(&[&first, "checksum"]);
    assert_eq!(rig.entries("corrupt"), [first.as_str()]);
    wait_for("it is not listed any more", || {
        (rig.list().len() == 1).then_some(())
    });

    // The same at start.
    rig.kill();
    let path = rig.entry("deferred", &second);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 8]).unwrap();
    rig.start();
    rig.wait_log(&[&second, "shorter than its header says"]);
    assert_eq!(rig.list().len(), 0);
    submit(&rig, "app", &["bob@far.example"], "A: b\r\n\r\n\r\n");
    gateway.wait_taken(1);
}

/// Changes one byte of a queued message's content.
fn damage(rig: &Rig, id: &str, text: &str) {
    let path = rig.entry("deferred", id);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes
        .windows(text.len())
        .rposition(|window| window == text.as_bytes())
        .unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_sendmail_left_while_relayd_was_down_is_taken_in() {
    let mut rig = Rig::capturing("", "");
    rig.stop();
    let to = vec![mail::Address::parse("bob").unwrap()];
    let envelope = mail::Envelope::new(Some(mail::Address::parse("cron").unwrap()), to);
    for number in 0..3 {
        let maildrop = rig.path("spool/maildrop");
        let mut draft = spool::drop_in(spool::RealDisk, &maildrop, &envelope).unwrap();
        draft
            .write(format!("Subject: {number}\r\n\r\n\r\n").as_bytes())
            .unwrap();
        draft.commit().unwrap();
    }
    rig.start();
    wait_for("all is captured", || {
        (rig.captured().len() == 3).then_some(())
    });
    rig.wait_empty();
    assert_eq!(fs::read_dir(rig.path("spool/maildrop")).unwrap().count(), 0);
    assert!(rig.captured()[0].contains("Delivered-To: bob@site.example\n"));
}

#[test]
fn a_killed_relayd_delivers_after_its_next_start() {
    let gateway = Gateway::start();
    gateway.shut_gate();
    let mut rig = Rig::relaying("", gateway.port);
    let id = submit(&rig, "app", &["bob@far.example"], "A: b\r\n\r\n\r\n");
    gateway.wait_waiting(1);
    let other = submit(&rig, "app", &["eve@far.example"], "A: b\r\n\r\n\r\n");
    gateway.wait_waiting(2);
    rig.kill();
    rig.start();
    // Both may have been delivered, so both wait, and that is said.
    for id in [&id, &other] {
        rig.wait_log(&[id, "warning"]);
    }
    assert_eq!(rig.list().len(), 2);
    gateway.open_gate();
    assert_eq!(rig.control("FLUSH"), ["OK"]);
    rig.wait_empty();
}

#[test]
fn a_header_that_no_gateway_should_see_is_refused() {
    let rig = Rig::capturing("", "");
    let mut dialogue = Dialogue::local(&rig);
    let loops = "Received: from a by b; now\r\n".repeat(60);
    let reply = dialogue.message("app", &["bob"], format!("{loops}\r\n\r\n").as_bytes());
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
    let script = "X-PHP-Originating-Script: 0:a\u{1}b.php\r\n\r\nx\r\n";
    let reply = dialogue.message("app", &["bob"], script.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    rig.wait_log(&[": uid=", " from=<app@site.example> script=0:ab.php"]);
    rig.wait_empty();
}
