//! A stored message on its way to a gateway: the From policy and re-encoding.

use mail::Address;
use mail::authors::{self, Author};
use mail::header::{Field, HeaderBlock};
use mail::repair::{Channel, LINE_LIMIT, Plan, Scanner, ascii_address};
use policy::addresses::AddressPattern;
use policy::from::{Action, Host, NameForm, Outgoing, Rules};
use policy::outgoing::{Reading, Unfit};

use crate::canonical::assert_canonical;
use crate::cuts::Cuts;
use crate::header::normalised;

const HOST: Host<'_> = Host {
    hostname: "web1.d.example",
    domain: "d.example",
};
/// The fields that the policy may touch.
const TOUCHED: [&str; 5] = ["From", "Reply-To", "Sender", "Resent-From", "Resent-Sender"];

/// The first byte chooses the policy and what the gateway can carry, the others are the message. The way in which it is
/// cut changes nothing; what is sent can be carried, and would not be changed a second time; the policy touches only
/// what it has to.
pub fn check(bytes: &[u8]) {
    let Some((switches, input)) = bytes.split_first() else {
        return;
    };
    let content = normalised(input, false, Cuts::None);
    let rules = rules(*switches);
    let is_set = |bit: u8| switches & 1 << bit != 0;
    let channel = Channel {
        eight_bit: is_set(2),
        utf8_header: is_set(3),
    };
    let sender = match (is_set(4), is_set(5)) {
        (false, _) => None,
        (true, false) => Address::parse("a@d.example").ok(),
        (true, true) => Address::parse("bounce@elsewhere.example").ok(),
    };
    check_policy(&rules, HeaderBlock::split(&content).0, sender.as_ref());
    let [one, bytewise, scattered] =
        Cuts::all(&content).map(|cuts| sent(&content, &rules, sender.as_ref(), channel, cuts));
    assert_eq!(one, bytewise);
    assert_eq!(one, scattered);
    if let Some(sent) = one {
        check_sent(&sent, channel);
    }
}

fn rules(switches: u8) -> Rules {
    let address = |text| Address::parse(text).ok();
    let allow = vec![
        AddressPattern::Domain("d.example".to_owned()),
        AddressPattern::Subdomains("sub.example".to_owned()),
        AddressPattern::Mailbox(Address::parse("x@one.example").expect("an address")),
    ];
    let rewriting = Rules {
        action: Action::Rewrite,
        allow,
        default: address("n@d.example"),
        name: NameForm::default(),
        bounce_from: None,
    };
    let name = "{name} ({address}) via {host}";
    let mut rules = match switches & 3 {
        0 => Rules::default(),
        1 => rewriting,
        2 => Rules {
            action: Action::Refuse,
            ..rewriting
        },
        _ => Rules {
            name: NameForm::parse(name).expect("a form"),
            ..rewriting
        },
    };
    if switches & 64 != 0 {
        rules.bounce_from = address("bounces@d.example");
    }
    rules
}

/// Whether an address may stand as sender, said from the rules' documentation.
fn is_allowed(address: &Address) -> bool {
    let ascii = ascii_address(address).unwrap_or_else(|| address.clone());
    let text = ascii.as_str().to_ascii_lowercase();
    let domain = ascii.domain().unwrap_or_default().to_ascii_lowercase();
    domain == "d.example" || domain.ends_with(".sub.example") || text == "x@one.example"
}

fn authors_in<'a>(fields: impl Iterator<Item = Field<'a>>, name: &str) -> Vec<Author> {
    let fields = fields.filter(|field| field.is(name));
    fields
        .flat_map(|field| authors::parse(field.value()))
        .collect()
}

fn all_allowed(authors: &[Author]) -> bool {
    let allowed = |author: &Author| author.address.as_ref().is_some_and(is_allowed);
    !authors.is_empty() && authors.iter().all(allowed)
}

fn check_policy(rules: &Rules, block: HeaderBlock<'_>, sender: Option<&Address>) {
    let from = authors_in(block.fields(), "From");
    let outgoing = match rules.apply(HOST, block.as_bytes(), sender) {
        Ok(outgoing) => outgoing,
        Err(refused) => {
            assert!(rules.action == Action::Refuse && !all_allowed(&from));
            assert!(refused.from.chars().count() <= 200);
            return;
        }
    };
    assert!(rules.action != Action::Refuse || all_allowed(&from));
    match (sender, &outgoing.sender) {
        (None, now) => assert_eq!(*now, rules.bounce_from),
        (Some(before), Some(now)) => {
            let may_stay = rules.action == Action::Keep || is_allowed(before);
            assert_eq!(before == now, may_stay);
        }
        (Some(_), None) => panic!("a sender became none"),
    }
    let changed = outgoing.block.is_some();
    assert!(!changed || rules.action == Action::Rewrite);
    if rules.action == Action::Rewrite {
        check_rewritten(block, &outgoing, &from);
        let now = outgoing.block.as_deref().unwrap_or(block.as_bytes());
        let again = rules.apply(HOST, now, outgoing.sender.as_ref());
        let again = again.expect("nothing is refused");
        assert_eq!((again.block, again.sender), (None, outgoing.sender));
    }
}

/// The From that is sent is allowed; the fields that are not the policy's are as they were; replies reach the authors.
fn check_rewritten(block: HeaderBlock<'_>, outgoing: &Outgoing, from: &[Author]) {
    let new = outgoing.block.as_deref().unwrap_or(block.as_bytes());
    let message = [new, b"\r\nbody\r\n"].concat();
    assert_eq!(HeaderBlock::split(&message).0.as_bytes(), new);
    let new = HeaderBlock::new(new);
    let others = |block: HeaderBlock<'_>| {
        let is_other = |field: &Field<'_>| !TOUCHED.iter().any(|name| field.is(name));
        let raw = block
            .fields()
            .filter(is_other)
            .map(|field| field.raw().to_vec());
        raw.collect::<Vec<_>>()
    };
    assert_eq!(others(block), others(new));
    assert_eq!(new.fields().filter(|field| field.is("From")).count(), 1);
    assert!(all_allowed(&authors_in(new.fields(), "From")));
    for name in ["Sender", "Resent-From", "Resent-Sender"] {
        for field in new.fields().filter(|field| field.is(name)) {
            assert!(all_allowed(&authors::parse(field.value())), "{name}");
        }
    }
    let old: Vec<&[u8]> = block.fields().map(Field::raw).collect();
    for field in new.fields().filter(|field| !old.contains(&field.raw())) {
        assert!(field.raw().is_ascii(), "{}", field.raw().escape_ascii());
        assert_short(field.raw());
    }
    if outgoing.changes.reply_to {
        let replies = authors_in(new.fields(), "Reply-To");
        assert!(!replies.is_empty());
        for reply in replies {
            let is_author =
                |author: &Author| author.address.as_ref().and_then(ascii_address) == reply.address;
            assert!(from.iter().any(is_author), "{reply:?}");
        }
    }
}

/// What the gateway is given; `None` if it is given nothing.
fn sent(
    content: &[u8],
    rules: &Rules,
    sender: Option<&Address>,
    channel: Channel,
    cuts: Cuts,
) -> Option<Vec<u8>> {
    let mut reading = Reading::new();
    cuts.pieces(content).for_each(|piece| reading.feed(piece));
    let read = reading.finish();
    assert_eq!(read.eight_bit(), !content.is_ascii());
    let mut passage = match read.prepare(rules, HOST, sender, channel) {
        Ok(passage) => passage,
        Err(Unfit::Refused(_)) => return None,
        Err(Unfit::HeaderTooLong) => panic!("inputs are smaller"),
    };
    let changes = passage.changes_content();
    let told = passage.from.to_string();
    let mut out = Vec::new();
    cuts.pieces(content)
        .for_each(|piece| passage.feed(piece, &mut out));
    let repaired = passage.finish(&mut out);
    assert!(changes || out == content);
    assert!(repaired.any() || !told.is_empty() || out == content);
    Some(out)
}

/// The channel can carry it, and there is nothing left to repair.
fn check_sent(sent: &[u8], channel: Channel) {
    assert_canonical(sent);
    assert_short(sent);
    let (block, body) = HeaderBlock::split(sent);
    assert!(channel.utf8_header || block.as_bytes().is_ascii());
    assert!(channel.eight_bit || sent[body..].is_ascii());
    let mut scanner = Scanner::new();
    scanner.feed(sent);
    let again = Plan::new(scanner.finish(), channel);
    assert!(again.is_none(), "{}", sent.escape_ascii());
}

fn assert_short(text: &[u8]) {
    for line in text.split(|byte| *byte == b'\n') {
        assert!(
            line.len() <= LINE_LIMIT + 1,
            "a line of {} bytes",
            line.len()
        );
    }
}
