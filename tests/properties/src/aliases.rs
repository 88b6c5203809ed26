//! Alias files and rewrite maps, and what an envelope becomes by them.

use std::collections::BTreeSet;

use mail::recipients::parse_list;
use mail::{Address, Envelope};
use policy::aliases::{Aliases, MOST_RECIPIENTS, Rules, complete};
use policy::rewrite::Map;
use policy::settings::Problem;

use crate::storable::assert_storable;

/// What no message may repeat, since it stands in the file that is included.
const SECRET: &str = "S3CR3T";

/// The first byte chooses the rules; the others are, parted by NUL, the alias file, the file that `:include:` gives, the
/// maps of senders and recipients, and the recipients of a message. Whatever is wrong is told on a line; every message
/// goes somewhere, to nobody twice, to nobody on this host, and can be stored.
pub fn check(bytes: &[u8]) {
    let Some((switches, rest)) = bytes.split_first() else {
        return;
    };
    let mut texts = rest.splitn(5, |byte| *byte == 0);
    let mut next = || texts.next().unwrap_or_default();
    let (file, included, senders, recipients, list) = (next(), next(), next(), next(), next());
    let aliases = parsed(file, included);
    let (senders, recipients) = (map(senders), map(recipients));
    let root = Address::parse("admin@elsewhere.example").ok();
    let rules = Rules {
        domain: if switches & 1 == 0 {
            "d.example"
        } else {
            "h.d.example"
        },
        hostname: "h.d.example",
        root: root.as_ref().filter(|_| switches & 2 != 0),
        senders: &senders,
        recipients: &recipients,
    };
    let dead_ends = aliases.dead_ends(&rules);
    check_problems(&dead_ends);
    let addresses: Vec<Address> = parse_list(list).into_iter().flatten().collect();
    addresses
        .iter()
        .for_each(|address| check_rules(&rules, address));
    if !addresses.is_empty() {
        check_complete(&aliases, &rules, addresses);
    }
}

fn parsed(file: &[u8], included: &[u8]) -> Aliases {
    let mut asked = Vec::new();
    let mut include = |path: &str| {
        asked.push(path.to_owned());
        match path.len() % 4 {
            0 => Err("it is not there".to_owned()),
            _ => Ok(included.to_vec()),
        }
    };
    let aliases = Aliases::parse(file, "/etc/aliases", &mut include);
    assert_eq!(aliases.includes(), asked);
    assert!(asked.iter().all(|path| path.starts_with('/')));
    let once: BTreeSet<&String> = asked.iter().collect();
    assert_eq!(once.len(), asked.len(), "asked for once");
    check_problems(aliases.problems());
    let is_named = String::from_utf8_lossy(file).contains(SECRET);
    for problem in aliases.problems() {
        assert!(
            is_named || !problem.to_string().contains(SECRET),
            "{problem}"
        );
    }
    let summary = aliases.summary();
    assert!(summary.longest <= summary.total && summary.total <= 2 * file.len());
    aliases
}

fn map(text: &[u8]) -> Map {
    Map::parse(text, "/etc/map").unwrap_or_else(|problems| {
        assert!(!problems.is_empty());
        check_problems(&problems);
        Map::default()
    })
}

fn check_problems(problems: &[Problem]) {
    assert!(problems.len() <= 100);
    for problem in problems {
        let words = [&problem.file, &problem.message, &problem.remedy];
        for words in words {
            assert!(
                !words.is_empty() && !words.contains(char::is_control),
                "{problem:?}"
            );
            assert!(words.len() < 1_000, "{problem:?}");
        }
    }
}

/// What a map gives is a whole address.
fn check_rules(rules: &Rules<'_>, address: &Address) {
    let mapped = [rules.senders, rules.recipients].map(|map| map.look_up(address, rules));
    let sender = rules.sender(address);
    assert_eq!(mapped[0].as_ref().unwrap_or(&sender), &sender);
    for one in mapped.iter().flatten().chain([&sender]) {
        assert!(one.domain().is_some(), "{address} became {one}");
        assert_eq!(Address::parse(one.as_str()).as_ref(), Ok(one));
    }
    if let Some(name) = rules.local_name(address) {
        assert!(name.domain().is_none(), "{name}");
        assert_eq!(rules.local_name(&name), Some(name));
    }
}

fn check_complete(aliases: &Aliases, rules: &Rules<'_>, addresses: Vec<Address>) {
    let handed_in: BTreeSet<String> = addresses.iter().map(Address::to_string).collect();
    let sender = addresses.last().cloned();
    let mut envelope = Envelope::new(sender, addresses);
    let warnings = complete(&mut envelope, aliases, rules);
    assert!(warnings.len() <= 20);
    for warning in &warnings {
        assert!(
            !warning.is_empty() && !warning.contains(char::is_control),
            "{warning:?}"
        );
    }
    assert!((1..=MOST_RECIPIENTS).contains(&envelope.recipients.len()));
    let mut seen = BTreeSet::new();
    for recipient in &envelope.recipients {
        let address = &recipient.address;
        assert!(
            seen.insert(address.as_str().to_ascii_lowercase()),
            "{address} twice"
        );
        assert!(address.domain().is_some(), "{address}");
        assert_eq!(rules.local_name(address), None, "{address} is of this host");
        let from = recipient.original.as_deref().unwrap_or(address.as_str());
        assert!(handed_in.contains(from), "{from} was not handed in");
    }
    let sender = envelope.sender.as_ref().expect("it has one");
    assert!(sender.domain().is_some());
    let whole = envelope.recipients.iter().map(|one| &one.address);
    assert!(envelope.smtputf8 || whole.chain([sender]).all(Address::is_ascii));
    assert_storable(&envelope);
}
