//! What a gateway's refusals come to through the real relayd: what is kept and what is returned, what `mailq` and the
//! log say of it, and how an admin's own rules change that.

#![forbid(unsafe_code)]

use std::time::Duration;

use tests::certificate::{Authority, Validity};
use tests::gateway::{Fault, Gateway, Rule, Setup, Stage};
use tests::rig::Rig;

const LIMIT: Duration = Duration::from_secs(30);

const UNVERIFIED: &str = "554 Message rejected: Email address is not verified. The following identities failed the \
                          check in region EU-WEST-1: app@test.example";

fn provider() -> (Gateway, Authority) {
    let authority = Authority::new();
    let identity = authority.issue("gateway.test", Validity::Current);
    (Gateway::start(Setup::provider(identity)), authority)
}

fn send(rig: &Rig, recipient: &str) {
    rig.send(
        &["-i", "-f", "app@test.example", recipient],
        b"Subject: s\n\ntext\n",
    );
}

/// Refuses every message at `stage` with `reply` and says what `mailq` and the log say of it then.
fn kept_because(stage: Stage, reply: &str, words: &str) -> (String, String) {
    let (gateway, authority) = provider();
    gateway.add(Rule::at(stage, Fault::reply(reply)));
    let rig = Rig::before(&gateway, &authority);
    send(&rig, "to@x.test");
    let listing = rig.expect_mailq(words, LIMIT);
    tests::report::show(&listing);
    assert!(listing.ends_with(" Kbytes in 1 Request.\n"), "{listing}");
    assert!(!rig.log().contains("status=bounced"), "{}", rig.log());
    (listing, rig.log())
}

#[test]
fn an_unverified_sender_keeps_the_mail_and_is_explained() {
    let words = "the sender address is not verified at SES";
    let (listing, log) = kept_because(Stage::EndOfData, UNVERIFIED, words);
    assert!(listing.contains("said: 554 Message rejected"), "{listing}");
    assert!(listing.contains("or set default in [from]"), "{listing}");
    let line = log.lines().find(|line| line.contains("status=deferred"));
    let line = line.expect("a line of the attempt");
    assert!(
        line.ends_with("(in reply to end of DATA command))"),
        "what Postfix's readers look for is as it was: {line}"
    );
    let explained = log.lines().find(|line| line.contains(words));
    let explained = explained.expect("a line of its own");
    assert!(
        explained.contains("warning: ") && explained.contains("; verify it"),
        "{explained}"
    );
}

#[test]
fn a_spent_quota_keeps_the_mail_though_its_code_is_final() {
    let reply = "550 5.4.5 Daily user sending limit exceeded. For more information go to x";
    let words = "the amount of mail that the provider lets you send is used up";
    let (_, log) = kept_because(Stage::Mail, reply, words);
    assert!(log.contains("gateway main down: "), "{log}");
}

#[test]
fn a_refused_password_is_explained() {
    let words = "some providers want an app password or an API key";
    let (listing, log) = kept_because(Stage::Auth, "535 5.7.8 Error: authentication failed", words);
    assert!(listing.contains("SASL authentication failed"), "{listing}");
    assert!(log.contains(words), "{log}");
}

#[test]
fn what_no_rule_knows_is_kept() {
    let words = "not clearly because of the recipient";
    let (listing, _) = kept_because(Stage::EndOfData, "554 5.7.1 No thank you", words);
    assert!(
        listing.contains("until queue_lifetime has passed"),
        "{listing}"
    );
}

#[test]
fn what_is_accepted_and_not_sent_is_returned() {
    let (gateway, authority) = provider();
    let suppressed = "254 4.7.1 Suppression for user ocid1 to gone@x.test";
    gateway.add(Rule::at(Stage::EndOfData, Fault::reply(suppressed)).times(1));
    let rig = Rig::before(&gateway, &authority);
    send(&rig, "gone@x.test");
    rig.expect_empty_queue(LIMIT);
    let log = rig.log();
    let bounced = log.lines().find(|line| line.contains("status=bounced"));
    assert!(
        bounced.is_some_and(|line| line.contains("Suppression for user")),
        "{log}"
    );
    assert!(log.contains("sender non-delivery notification"), "{log}");
}

#[test]
fn own_rules_go_first_and_are_read_again_on_reload() {
    let (gateway, authority) = provider();
    gateway.add(Rule::at(Stage::EndOfData, Fault::reply("554 5.7.1 No thank you")).times(2));
    let mut rig = Rig::before(&gateway, &authority);
    send(&rig, "to@x.test");
    rig.expect_mailq("No thank you", LIMIT);

    rig.write(
        "replies",
        "end 554 - fail-mesage content  no thank you\n",
        0o644,
    );
    rig.change(|access| access.sections = "[replies]\nfile = replies\n".to_owned());
    rig.reload();
    tests::patience::expect("the log tells of the bad rule", LIMIT, || {
        rig.log()
            .contains("replies:1: there is no action \"fail-mesage\"")
    });

    let rules = "end 554 - fail-message content  no thank you\n  = it is not wanted; write less\n";
    rig.write("replies", rules, 0o644);
    rig.reload();
    tests::patience::expect("the rules are in force", LIMIT, || {
        rig.log().contains("reload -- ")
    });
    rig.postqueue(&["-f"]);
    rig.expect_empty_queue(LIMIT);
    assert!(rig.log().contains("status=bounced"), "{}", rig.log());
    let told = rig
        .command("relayctl")
        .args(["reply", "end", "554 No thank you"])
        .output();
    let told = told.expect("relayctl runs");
    let words = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        words.contains("The mail is returned.") && words.contains("write less"),
        "{words}"
    );
    assert!(words.contains("replies, line 1."), "{words}");
}
