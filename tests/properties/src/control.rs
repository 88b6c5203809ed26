//! The control socket's language, and what listings make of the texts that mail brings with it.

use mail::Timestamp;
use policy::control::{
    Answer, End, LONGEST_ANSWER, LONGEST_REQUEST, Request, RequestError, StatusLine,
};
use policy::listing::{Mailq, NULL_SENDER, QueueName, QueueRecord, QueuedRecipient, json_line};
use policy::log::printable;
use serde_json::Value;

/// Reads the bytes as a line of the control socket, either way, and puts them into the listings of the queue: what is
/// read prints as it was; whatever a text holds, it stays within its line and its place.
pub fn check(line: &[u8]) {
    check_request(line);
    let text = String::from_utf8_lossy(line);
    check_answer(&text);
    check_printable(line, &text);
    check_listings(&text);
}

fn check_request(line: &[u8]) {
    match Request::parse(line) {
        Ok(request) => {
            let printed = request.to_string();
            assert_eq!(printed.as_bytes(), line);
            assert!(printed.len() <= LONGEST_REQUEST && !printed.contains(char::is_control));
        }
        Err(error) => {
            let too_long = line.len() > LONGEST_REQUEST;
            assert_eq!(error == RequestError::TooLong, too_long);
        }
    }
}

fn check_answer(text: &str) {
    if let Ok(answer) = Answer::parse(text) {
        let printed = answer.to_string();
        assert!(!printed.contains(char::is_control), "{printed:?}");
        assert!(printed.chars().count() <= LONGEST_ANSWER + 20);
        assert_eq!(Answer::parse(&printed), Ok(answer));
    }
    if let Some(end) = End::parse(text) {
        assert_eq!(End::parse(&end.to_string()), Some(end));
    }
    if let Ok(line) = StatusLine::parse(text) {
        let printed = line.to_string();
        assert!(!printed.contains(char::is_control), "{printed:?}");
        assert_eq!(StatusLine::parse(&printed), Ok(line));
    }
}

/// Text that is shown has no control character, and shown again it stays as it is.
fn check_printable(bytes: &[u8], text: &str) {
    for shown in [
        printable::bytes(bytes),
        printable::text(text),
        printable::shortened(text, 40),
    ] {
        assert!(!shown.contains(char::is_control));
        assert_eq!(printable::text(&shown), shown);
    }
    assert!(printable::shortened(text, 40).chars().count() <= 40);
}

/// A record made of the parts of the text between blank lines.
fn record(text: &str) -> QueueRecord {
    let mut parts = text.split("\n\n");
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (id, sender) = (next(), next());
    let recipient = |part: &str| {
        let (address, reason) = part
            .split_once('\t')
            .map_or((part, None), |(a, r)| (a, Some(r)));
        QueuedRecipient {
            address: address.to_owned(),
            reason: reason.map(str::to_owned),
        }
    };
    QueueRecord {
        queue_name: QueueName::ALL[text.len() % QueueName::ALL.len()],
        id,
        forced_expire: text.len().is_multiple_of(2),
        arrival: Timestamp::from_secs(text.len() as u64 * 40_000_000),
        size: text.len() as u64 * 1_000,
        sender: (!sender.is_empty()).then_some(sender),
        recipients: parts.map(recipient).collect(),
    }
}

fn check_listings(text: &str) {
    let record = record(text);
    let line = json_line(&record);
    assert_eq!(line.find('\n'), Some(line.len() - 1), "one line");
    let read: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(read["queue_id"], record.id);
    assert_eq!(
        read["sender"],
        record.sender.as_deref().unwrap_or(NULL_SENDER)
    );
    let recipients = read["recipients"].as_array().expect("a list");
    assert_eq!(recipients.len(), record.recipients.len());
    for (shown, recipient) in recipients.iter().zip(&record.recipients) {
        assert_eq!(shown["address"], recipient.address);
        assert_eq!(shown["delay_reason"].as_str(), recipient.reason.as_deref());
    }
    let mut listing = Mailq::new(|_| 60);
    let shown = listing.record(&record);
    assert!(!shown.replace('\n', "").contains(char::is_control));
    // The heading and the message's own line, each recipient, and at most a reason for each.
    let lines = shown.lines().count() - 2;
    let count = record.recipients.len();
    assert!((count..=2 * count).contains(&lines), "{shown}");
}
