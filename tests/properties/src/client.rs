//! The client's side of SMTP: what a gateway says, and what is made of it.

mod driver;
mod ledger;

use mail::{Address, Envelope, Notify, Recipient, Ret};
use smtp::client::{ClientConfig, TlsMode, Transaction};
use smtp::reply::ReplyParser;
use smtp::sasl::{Credentials, Secret};

use crate::cuts::Cuts;
use driver::Driver;

/// What stands before a reply that comes although nothing was asked.
const UNASKED: u8 = 0x1E;
/// After so many transactions the driver ends the session.
const TRANSACTIONS: usize = 3;

/// The first byte chooses what the client is to do, the others are what the gateway says, reply by reply. The way in
/// which a reply is cut changes nothing; nothing is said in the clear that must not be; every transaction has one
/// report that agrees with the replies; what the replies mean fails no mail without cause.
pub fn check(bytes: &[u8]) {
    let Some((switches, stream)) = bytes.split_first() else {
        return;
    };
    let replies = replies(stream);
    let told = run(*switches, &replies, Cuts::None);
    for cuts in [Cuts::Bytes, Cuts::Scattered(crc32fast::hash(stream))] {
        assert_eq!(told, run(*switches, &replies, cuts), "{cuts:?}");
    }
    replies.iter().for_each(|reply| check_reply(reply.text));
}

/// One reply as it stands in the input.
#[derive(Clone, Copy)]
struct Heard<'a> {
    text: &'a [u8],
    unasked: bool,
}

/// The input in replies: each ends with a line that says no other follows.
fn replies(stream: &[u8]) -> Vec<Heard<'_>> {
    let mut found = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (unasked, text) = match rest.strip_prefix(&[UNASKED]) {
            Some(text) => (true, text),
            None => (false, rest),
        };
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let mut length = 0;
        for line in lines {
            length += line.len();
            if line.get(3) != Some(&b'-') {
                break;
            }
        }
        let (text, after) = text.split_at(length);
        found.push(Heard { text, unasked });
        rest = after;
    }
    found
}

fn run(switches: u8, replies: &[Heard<'_>], cuts: Cuts) -> String {
    let is_set = |bit: u8| switches & 1 << bit != 0;
    let tls = match switches & 3 {
        0 | 3 => TlsMode::None,
        1 => TlsMode::StartTls,
        _ => TlsMode::Implicit,
    };
    let mut config = ClientConfig::new("me.example", tls);
    config.chunking = is_set(3);
    config.auth = is_set(2).then(|| Credentials {
        user: "joe".to_owned(),
        password: Secret::new("secret".to_owned()),
    });
    let mut driver = Driver::new(config, transaction(switches), cuts);
    for reply in replies {
        if !driver.hear(*reply) {
            break;
        }
    }
    driver.finish()
}

/// What the client is to send, again and again.
fn transaction(switches: u8) -> Transaction {
    let is_set = |bit: u8| switches & 1 << bit != 0;
    let address = |text| Address::parse(text).expect("an address");
    let last = if is_set(6) {
        "ä@b.example"
    } else {
        "c@b.example"
    };
    let recipients = ["a@b.example", "b@b.example", last].map(|text| {
        let mut recipient = Recipient::new(address(text));
        if is_set(7) {
            recipient.orcpt = Some("rfc822;A+B=C@b.example".to_owned());
            recipient.notify = Some(Notify::default());
        }
        recipient
    });
    let envelope = Envelope::new(Some(address("from@a.example")), Vec::new());
    let mut transaction = Transaction::new(&envelope, recipients.to_vec(), None);
    transaction.all_or_nothing = is_set(4);
    transaction.size = is_set(5).then_some(if is_set(7) { 0 } else { 5_000 });
    transaction.eightbit = is_set(6);
    if is_set(7) {
        transaction.ret = Some(Ret::Full);
        transaction.envid = Some("an id+=".to_owned());
    }
    transaction
}

/// A reply that was read can be shown on a line, and is read again as it is written.
fn check_reply(text: &[u8]) {
    let mut parser = ReplyParser::new();
    parser.push(text);
    let Ok(Some(reply)) = parser.next_reply() else {
        return;
    };
    assert!((100..600).contains(&reply.code) && !reply.lines.is_empty());
    assert!(!reply.to_string().contains(char::is_control));
    assert!(
        reply
            .status
            .is_none_or(|status| u16::from(status.class()) == reply.code / 100)
    );
    let wire = reply.to_wire();
    let mut parser = ReplyParser::new();
    parser.push(&wire);
    let again = parser.next_reply().expect("what is written is a reply");
    let again = again.expect("and a whole one");
    assert!(parser.is_empty());
    assert_eq!(
        (again.code, again.lines.len()),
        (reply.code, reply.lines.len())
    );
    // A longer line is cut when it is written, and blanks at its ends are not read.
    let fits = |line: &String| line.len() < 480 && line.trim_ascii() == line;
    if reply.lines.iter().all(fits) && reply.status.is_some() {
        assert_eq!(again, reply);
    }
}
