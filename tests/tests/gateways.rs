//! Several gateways behind the real relayd: failover and back, recipients that go different ways, a message that may have
//! been delivered, what each gateway has of its own, and what the log says of all that.

#![forbid(unsafe_code)]

use std::time::Duration;

use tests::gateway::{Delivery, Fault, Gateway, Rule, Setup, Stage};
use tests::patience;
use tests::program::succeed;
use tests::rig::{Access, Rig};

const LIMIT: Duration = Duration::from_secs(60);

/// A gateway's section, in clear and without a user.
fn section(name: &str, gateway: &Gateway, more: &str) -> String {
    let port = gateway.port();
    format!("[gateway {name}]\nhost = 127.0.0.1\nport = {port}\ntls = none\n{more}\n")
}

/// relayd before `main` with these lines of its own, and before others.
fn relayd(main: &Gateway, more: &str, others: &str) -> Rig {
    let mut access = Access::open(main.port());
    access.more = more.to_owned();
    access.sections = others.to_owned();
    Rig::started(access)
}

fn sink() -> Gateway {
    Gateway::start(Setup::open_sink())
}

fn send(rig: &Rig, recipients: &[&str]) {
    let mut arguments = vec!["-i", "-f", "app@test.example"];
    arguments.extend(recipients);
    rig.send(&arguments, b"From: app@test.example\nSubject: s\n\ntext\n");
}

#[track_caller]
fn expect_log(rig: &Rig, text: &str) -> String {
    let found = patience::until(LIMIT, || Some(rig.log()).filter(|log| log.contains(text)));
    found.unwrap_or_else(|| panic!("the log does not say {text:?}:\n{}", rig.log()))
}

fn status(rig: &Rig) -> String {
    succeed(rig.command("relayctl").arg("status"), b"")
}

/// Who got something, message by message.
fn recipients(deliveries: &[Delivery]) -> Vec<String> {
    let each = deliveries
        .iter()
        .map(|delivery| delivery.addresses().join(" "));
    each.collect()
}

#[test]
fn another_gateway_takes_over_and_gives_back() {
    let (mut main, spare) = (sink(), sink());
    let own = "from_default = noreply@spare.example\nhelo_name = other.test.example";
    let rig = relayd(
        &main,
        "fallback = spare\nfallback_after = 1s\n",
        &section("spare", &spare, own),
    );
    send(&rig, &["first@x.test"]);
    let first = main.expect(1, LIMIT).remove(0);
    assert_eq!(first.hello, "relay.test.example");
    // Its answer has been heard: it is not in doubt when the gateway closes.
    rig.expect_empty_queue(LIMIT);
    assert!(
        first.header().contains("From: app@test.example"),
        "{first:?}"
    );

    main.close();
    send(&rig, &["second@x.test"]);
    let second = spare.expect(1, LIMIT).remove(0);
    assert_eq!(second.hello, "other.test.example");
    assert_eq!(second.sender, "noreply@spare.example");
    assert!(
        second.header().contains("<noreply@spare.example>"),
        "{second:?}"
    );
    rig.expect_empty_queue(LIMIT);
    let log = rig.log();
    let address = format!("127.0.0.1[127.0.0.1]:{}", main.port());
    for line in [
        format!("warning: gateway main down: connect to {address}: Connection refused"),
        "warning: mail for gateway main goes through spare: it takes no mail".to_owned(),
        format!(
            "to=<second@x.test>, relay=127.0.0.1[127.0.0.1]:{}",
            spare.port()
        ),
    ] {
        assert!(log.contains(&line), "{line}\n{log}");
    }
    let status = status(&rig);
    assert!(
        status.contains("gateway main  down: connect to "),
        "{status}"
    );
    assert!(status.contains("gateway spare  up"), "{status}");

    // Mail that would be its own asks whether it is back, and goes through the other meanwhile.
    main.reopen();
    let back = patience::until(LIMIT, || {
        send(&rig, &["third@x.test"]);
        rig.log()
            .contains("gateway main up: down_for=")
            .then_some(())
    });
    assert!(back.is_some(), "{}", rig.log());
    rig.expect_empty_queue(LIMIT);
    let before = spare.read(|record| record.deliveries.len());
    send(&rig, &["last@x.test"]);
    let back = main.wait(LIMIT, |record| {
        let mut all = record.deliveries.iter();
        all.any(|delivery| delivery.addresses() == ["last@x.test"])
    });
    assert!(back, "{}", rig.log());
    assert_eq!(spare.read(|record| record.deliveries.len()), before);
}

#[test]
fn recipients_go_their_own_ways_and_none_waits_for_another() {
    let (mut main, partner) = (sink(), sink());
    let others = section("partner", &partner, "for_recipients = partner.test");
    let rig = relayd(&main, "", &others);
    main.close();
    send(
        &rig,
        &["a@x.test", "b@partner.test", "c@x.test", "d@partner.test"],
    );
    let through_partner = partner.expect(1, LIMIT);
    assert_eq!(
        recipients(&through_partner),
        ["b@partner.test d@partner.test"]
    );
    rig.expect_mailq("Connection refused", LIMIT);
    let listing = rig.expect_mailq("in 1 Request.", LIMIT);
    assert!(
        listing.contains("a@x.test") && listing.contains("c@x.test"),
        "{listing}"
    );
    assert!(!listing.contains("partner.test"), "{listing}");
    main.reopen();
    let through_main = main.expect(1, LIMIT);
    assert_eq!(recipients(&through_main), ["a@x.test c@x.test"]);
    let message_id = |delivery: &Delivery| delivery.fields("Message-Id");
    assert_eq!(
        message_id(&through_main[0]),
        message_id(&through_partner[0])
    );
    assert_eq!(through_main[0].content, through_partner[0].content);
    rig.expect_empty_spool(LIMIT);
    rig.expect_empty_queue(LIMIT);
    assert_eq!(
        rig.log().matches("(queue active)").count(),
        2,
        "{}",
        rig.log()
    );
    assert_eq!(rig.log().matches(": removed").count(), 2, "{}", rig.log());
}

/// A message that was queued before another gateway was there for some of its recipients.
#[test]
fn a_queued_message_follows_new_settings() {
    let (mut main, partner) = (sink(), sink());
    let mut rig = relayd(&main, "", "");
    main.close();
    send(&rig, &["b@partner.test"]);
    send(&rig, &["c@x.test", "d@partner.test"]);
    rig.expect_mailq("Connection refused", LIMIT);
    rig.expect_mailq("in 2 Requests.", LIMIT);
    let others = section("partner", &partner, "for_recipients = partner.test");
    rig.change(|access| access.sections = others);
    rig.reload();
    assert_eq!(recipients(&partner.expect(1, LIMIT)), ["b@partner.test"]);
    main.reopen();
    assert_eq!(recipients(&main.expect(1, LIMIT)), ["c@x.test"]);
    let both = recipients(&partner.expect(2, LIMIT));
    assert_eq!(both, ["b@partner.test", "d@partner.test"]);
    rig.expect_empty_spool(LIMIT);
}

#[test]
fn what_may_have_been_delivered_waits_for_the_gateway_that_may_have_it() {
    let (mut main, spare) = (sink(), sink());
    main.add(Rule::at(Stage::EndOfData, Fault::LoseReply).times(1));
    let rig = relayd(
        &main,
        "fallback = spare\nfallback_after = 1s\n",
        &section("spare", &spare, ""),
    );
    send(&rig, &["doubtful@x.test"]);
    main.expect(1, LIMIT);
    expect_log(&rig, ": gateway main may have taken this message");
    main.close();
    send(&rig, &["other@x.test"]);
    spare.expect(1, LIMIT);
    expect_log(&rig, "mail for gateway main goes through spare");
    // Even if it is asked for at once, and after a restart.
    rig.postqueue(&["-f"]);
    let mut rig = rig;
    rig.stop();
    rig.start();
    rig.postqueue(&["-f"]);
    send(&rig, &["third@x.test"]);
    assert_eq!(
        recipients(&spare.expect(2, LIMIT)),
        ["other@x.test", "third@x.test"]
    );
    let listing = rig.mailq();
    assert!(listing.contains("doubtful@x.test"), "{listing}");
    main.reopen();
    rig.postqueue(&["-f"]);
    let again = recipients(&main.expect(2, LIMIT));
    assert_eq!(again, ["doubtful@x.test", "doubtful@x.test"]);
    rig.expect_empty_queue(LIMIT);
    assert_eq!(spare.read(|record| record.deliveries.len()), 2);
}

#[test]
fn gateways_that_stand_side_by_side_share_the_mail() {
    let (main, second) = (sink(), sink());
    let rig = relayd(
        &main,
        "weight = 1\n",
        &section("second", &second, "weight = 1"),
    );
    for n in 0..40 {
        send(&rig, &[&format!("to{n}@x.test")]);
    }
    rig.expect_empty_queue(LIMIT);
    let counts = [&main, &second].map(|gateway| gateway.read(|record| record.deliveries.len()));
    assert_eq!(counts[0] + counts[1], 40);
    // Less than 8 of 40 at even odds: once in 30,000 runs is too often for a test; less than 2 never.
    assert!(counts.iter().all(|count| *count >= 2), "{counts:?}");
}

#[test]
fn held_mail_waits_until_it_is_released() {
    let (mut main, other) = (sink(), sink());
    let mut rig = relayd(
        &main,
        "",
        &section("other", &other, "for_senders = other.example"),
    );
    main.close();
    send(&rig, &["a@x.test"]);
    send(&rig, &["b@x.test"]);
    let listing = rig.expect_mailq("in 2 Requests.", LIMIT);
    let id = listing
        .lines()
        .find(|line| line.contains("app@test.example"));
    let id = id
        .and_then(|line| line.split_whitespace().next())
        .expect("an id");
    let id = id.trim_end_matches(['*', '!']).to_owned();
    let ctl = |rig: &Rig, arguments: &[&str]| succeed(rig.command("relayctl").args(arguments), b"");
    ctl(&rig, &["hold", &id]);
    assert!(rig.mailq().contains(&format!("{id}!")), "{}", rig.mailq());
    assert!(
        rig.log().contains(&format!("{id}: placed on hold")),
        "{}",
        rig.log()
    );
    // A flush and a restart leave it held, and the other goes.
    rig.stop();
    main.reopen();
    rig.start();
    rig.postqueue(&["-f"]);
    main.expect(1, LIMIT);
    rig.expect_mailq("in 1 Request.", LIMIT);
    ctl(&rig, &["release", "--all"]);
    main.expect(2, LIMIT);
    rig.expect_empty_spool(LIMIT);
    assert!(
        rig.log().contains(&format!("{id}: released from hold")),
        "{}",
        rig.log()
    );
    // By who handed it in.
    main.close();
    send(&rig, &["c@x.test"]);
    rig.expect_mailq("in 1 Request.", LIMIT);
    let uid = format!("uid {}", nix::unistd::Uid::current());
    ctl(&rig, &["hold", "--origin", "uid 4294967"]);
    assert!(!rig.mailq().contains('!'), "{}", rig.mailq());
    ctl(&rig, &["hold", "--origin", &uid]);
    assert!(rig.mailq().contains('!'), "{}", rig.mailq());
    ctl(&rig, &["release", "--recipient", "C@x.test"]);
    main.reopen();
    main.expect(3, LIMIT);
}

#[test]
fn a_message_for_many_goes_out_in_several_transactions() {
    let main = sink();
    main.add(
        Rule::at(Stage::Rcpt, Fault::reply("450 4.2.0 greylisted"))
            .naming("to7@")
            .times(1),
    );
    let rig = relayd(&main, "max_recipients = 50\n", "");
    let to: Vec<String> = (0..120).map(|n| format!("to{n}@x.test")).collect();
    send(&rig, &to.iter().map(String::as_str).collect::<Vec<_>>());
    let all = main.expect(3, LIMIT);
    assert!(all.iter().all(|delivery| delivery.recipients.len() <= 50));
    // The one that was put off holds nobody up, and goes when its time has come.
    let listing = rig.expect_mailq("greylisted", LIMIT);
    assert!(listing.contains("to7@x.test"), "{listing}");
    rig.postqueue(&["-f"]);
    rig.expect_empty_queue(LIMIT);
    let deliveries = main.read(|record| record.deliveries.clone());
    let mut got: Vec<&str> = deliveries.iter().flat_map(Delivery::addresses).collect();
    got.sort_unstable();
    let mut expected: Vec<&str> = to.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(got, expected);
}
