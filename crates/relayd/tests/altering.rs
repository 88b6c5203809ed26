//! What the running relayd changes in a message on its way out: the From policy, and what the
//! gateway could not carry.

mod support;

use support::gateway::{Gateway, Taken};
use support::submit::submit;
use support::{Rig, gateway_section};

const FROM: &str = "[from]\nallow = site.example\ndefault = noreply@site.example\n\
                    name = {name} via oursite\n";
const VISITOR: &str = "From: Vera Visitor <vera@far.example>\r\nTo: boss@site.example\r\n\
                       Subject: A question\r\n\r\nHow much?\r\n";

/// A relayd with a From policy and a gateway that takes everything.
fn relaying(policy: &str) -> (Rig, Gateway) {
    let gateway = Gateway::start();
    let mut rig = Rig::new("", &format!("{policy}{}", gateway_section(gateway.port)));
    rig.start();
    (rig, gateway)
}

fn only(gateway: &Gateway) -> Taken {
    gateway.wait_taken(1).remove(0)
}

fn sender(taken: &Taken) -> Option<String> {
    taken.envelope.sender.as_ref().map(ToString::to_string)
}

#[test]
fn a_visitors_from_becomes_ours_and_answers_go_to_the_visitor() {
    let (rig, gateway) = relaying(FROM);
    let id = submit(&rig, "vera@far.example", &["boss@site.example"], VISITOR);
    let taken = only(&gateway);
    let text = taken.text();
    for line in [
        "From: \"Vera Visitor via oursite\" <noreply@site.example>\r\n",
        "Reply-To: \"Vera Visitor\" <vera@far.example>\r\n",
        "Subject: A question\r\n",
        "\r\n\r\nHow much?\r\n",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    assert_eq!(sender(&taken).as_deref(), Some("noreply@site.example"));
    rig.wait_log(&[&id, "altered:", "vera@far.example"]);
    rig.wait_log(&[&id, "removed"]);
}

#[test]
fn a_from_of_ours_stays_to_the_letter() {
    let (rig, gateway) = relaying(FROM);
    let message = VISITOR.replace("vera@far.example", "vera@site.example");
    let id = submit(&rig, "app@site.example", &["boss@site.example"], &message);
    let taken = only(&gateway);
    let from = "From: Vera Visitor <vera@site.example>\r\n";
    assert!(taken.text().contains(from), "{}", taken.text());
    assert_eq!(sender(&taken).as_deref(), Some("app@site.example"));
    rig.wait_log(&[&id, "removed"]);
    assert_eq!(rig.count_log(&[&id, "altered:"]), 0);
}

#[test]
fn without_a_policy_nothing_is_rewritten() {
    let (rig, gateway) = relaying("");
    submit(&rig, "vera@far.example", &["boss@site.example"], VISITOR);
    let taken = only(&gateway);
    assert!(
        taken
            .text()
            .contains("From: Vera Visitor <vera@far.example>\r\n")
    );
    assert_eq!(sender(&taken).as_deref(), Some("vera@far.example"));
}

#[test]
fn a_refused_from_returns_the_message() {
    let (rig, gateway) = relaying("[from]\nallow = site.example\npolicy = refuse\n");
    let id = submit(&rig, "app@site.example", &["boss@site.example"], VISITOR);
    rig.wait_log(&[&id, "dsn=5.7.1", "status=bounced"]);
    let report = only(&gateway);
    assert_eq!(sender(&report), None);
    assert_eq!(report.recipients(), ["app@site.example"]);
    assert!(
        report.text().contains("Status: 5.7.1\r\n"),
        "{}",
        report.text()
    );
    rig.wait_log(&[&id, "removed"]);
}

#[test]
fn a_line_that_no_gateway_must_take_is_encoded_and_not_cut() {
    let (rig, gateway) = relaying("");
    let long = "x".repeat(1500);
    let message = format!("From: app@site.example\r\nSubject: long\r\n\r\n{long}\r\nend\r\n");
    let id = submit(&rig, "app@site.example", &["boss@site.example"], &message);
    let taken = only(&gateway);
    let longest = taken.text().split("\r\n").map(str::len).max();
    assert!(longest.is_some_and(|length| length <= 998), "{longest:?}");
    let parsed = mailparse::parse_mail(&taken.content);
    let body = parsed.and_then(|mail| mail.get_body()).unwrap_or_default();
    assert_eq!(body.replace("\r\n", "\n"), format!("{long}\nend\n"));
    rig.wait_log(&[&id, "altered:"]);
}
