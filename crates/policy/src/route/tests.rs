//! Which way mail goes.

use proptest::prelude::*;

use super::*;
use crate::settings::Settings;

/// Gateways of these names with these lines of their own.
fn gateways(sections: &[(&str, &str)]) -> Vec<Gateway> {
    let section = |(name, lines): &(&str, &str)| format!("[gateway {name}]\nhost = h\n{lines}\n");
    let text: String = sections.iter().map(section).collect();
    Settings::parse(&text, "f").unwrap().gateways
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn local(uid: u32, login: &str) -> Submitter {
    let login = Some(login.to_owned());
    Submitter::Local { uid, login }
}

fn client(address: &str, user: Option<&str>) -> Submitter {
    Submitter::Client {
        address: address.to_owned(),
        user: user.map(str::to_owned),
    }
}

fn named(gateways: &[Gateway], submitter: &Submitter, sender: &str, recipient: &str) -> String {
    let sender = Some(sender)
        .filter(|sender| !sender.is_empty())
        .map(address);
    let source = Source {
        submitter,
        sender: sender.as_ref(),
    };
    let shares = shares(gateways, source, &Recipient::new(address(recipient)));
    let names: Vec<&str> = shares
        .iter()
        .map(|at| gateways[*at].name.as_str())
        .collect();
    names.join(" ")
}

#[test]
fn the_closest_gateway_takes_the_mail() {
    let all = gateways(&[
        ("main", ""),
        ("news", "for_senders = news@example.com"),
        ("own", "for_senders = example.com"),
        ("below", "for_senders = .example.com, .shop.example.com"),
        ("partner", "for_recipients = partner.example"),
        (
            "boss",
            "for_recipients = partner.example\nfor_senders = boss@example.com",
        ),
        ("apps", "for_origins = client:172.17.0.0/16"),
        ("app", "for_origins = client:172.17.1.0/24"),
        ("shop", "for_origins = user:shop, login:shop"),
        ("cron", "for_origins = uid:0"),
    ]);
    let web = local(33, "www-data");
    for (submitter, sender, recipient, expected) in [
        (&web, "a@other.example", "x@y.example", "main"),
        (&web, "", "x@y.example", "main"),
        (&web, "A@Example.COM", "x@y.example", "own"),
        (&web, "news@example.com", "x@y.example", "news"),
        (&web, "a@shop.example.com", "x@y.example", "below"),
        (&web, "a@notexample.com", "x@y.example", "main"),
        (&web, "news@example.com", "x@partner.example", "partner"),
        (&web, "boss@example.com", "x@partner.example", "boss"),
        (&web, "boss@example.com", "x@sub.partner.example", "own"),
        (
            &client("172.17.9.9", None),
            "a@b.example",
            "x@y.example",
            "apps",
        ),
        (
            &client("172.17.1.9", None),
            "a@b.example",
            "x@y.example",
            "app",
        ),
        (
            &client("172.17.1.9", Some("shop")),
            "a@b.example",
            "x@y.example",
            "shop",
        ),
        (
            &client("172.18.1.9", Some("other")),
            "a@b.example",
            "x@y.example",
            "main",
        ),
        (&local(500, "shop"), "a@b.example", "x@y.example", "shop"),
        (&local(0, "root"), "a@b.example", "x@y.example", "cron"),
        (&local(0, "root"), "a@example.com", "x@y.example", "own"),
    ] {
        assert_eq!(
            named(&all, submitter, sender, recipient),
            expected,
            "{submitter:?} {sender} {recipient}"
        );
    }
}

#[test]
fn a_domain_in_other_letters_is_its_ascii_form() {
    let all = gateways(&[("main", ""), ("own", "for_senders = xn--bcher-kva.example")]);
    let web = local(33, "www-data");
    assert_eq!(named(&all, &web, "a@bücher.example", "x@y.example"), "own");
}

#[test]
fn equals_share_and_spares_do_not() {
    let all = gateways(&[
        ("a", "fallback = c"),
        ("b", "weight = 3"),
        ("c", ""),
        ("n1", "for_senders = n.example"),
        ("n2", "for_senders = n.example"),
    ]);
    let web = local(33, "www-data");
    assert_eq!(named(&all, &web, "a@b.example", "x@y.example"), "a b");
    assert_eq!(named(&all, &web, "a@n.example", "x@y.example"), "n1 n2");
    let mut counts = [0; 5];
    for number in 0..40_000 {
        counts[pick(&all, &[0, 1], QueueId::from_number(number))] += 1;
    }
    assert!((9_500..10_500).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[0] + counts[1], 40_000);
}

#[test]
fn others_take_over_in_order_and_none_twice() {
    let all = gateways(&[
        ("a", "weight = 1\nfallback = b\nquota = 9/day\noverflow = c"),
        ("b", "fallback = c\nfallback_after = 9m"),
        ("c", "fallback = a\nquota = 9/day\noverflow = a"),
    ]);
    assert_eq!(others(&all, 0), [(1, When::Down), (2, When::Spent)]);
    assert_eq!(others(&all, 1), [(2, When::Down), (0, When::Either)]);
    assert_eq!(others(&all, 2), [(0, When::Either), (1, When::Down)]);
    assert_eq!(place_of(&all, "c"), Some(2));
    assert_eq!(place_of(&all, "d"), None);
    let names: Vec<String> = (0..9).map(|n| format!("g{n}")).collect();
    let lines: Vec<String> = (0..9)
        .map(|n| format!("fallback = g{}\nweight = 1", (n + 1) % 9))
        .collect();
    let ring: Vec<(&str, &str)> = names
        .iter()
        .zip(&lines)
        .map(|(n, l)| (n.as_str(), l.as_str()))
        .collect();
    let ring = gateways(&ring);
    assert_eq!(
        others(&ring, 7),
        [(8, When::Down), (0, When::Down), (1, When::Down)]
    );
}

#[test]
fn recipients_of_different_ways_are_told_apart() {
    let all = gateways(&[
        ("main", ""),
        ("partner", "for_recipients = partner.example"),
    ]);
    let to = [
        "a@x.example",
        "b@partner.example",
        "c@y.example",
        "d@PARTNER.example",
    ];
    let envelope = Envelope::new(None, to.map(address).to_vec());
    let part = |shares: &[usize], recipients: &[usize]| Part {
        shares: shares.to_vec(),
        recipients: recipients.to_vec(),
    };
    let parts = split(&all, &local(33, "www-data"), &envelope);
    assert_eq!(parts, [part(&[0], &[0, 2]), part(&[1], &[1, 3])]);
    let only = split(&all[..1], &local(33, "www-data"), &envelope);
    assert_eq!(only, [part(&[0], &[0, 1, 2, 3])]);
}

/// What may stand in the section of a gateway.
fn section() -> impl Strategy<Value = String> {
    let takes = prop_oneof![
        Just(String::new()),
        "for_senders = [a-c]\\.example\n",
        "for_recipients = \\.?[a-c]\\.example\n",
        "for_origins = uid:[0-3]\n",
        "for_origins = client:10\\.[0-3]\\.0\\.0/16\n",
    ];
    let fallback = prop_oneof![
        Just(String::new()),
        "fallback = g[0-4]\nfallback_after = 1m\n"
    ];
    (takes, fallback, 1_u32..9)
        .prop_map(|(takes, fallback, weight)| format!("{takes}{fallback}weight = {weight}\n"))
}

fn settings() -> impl Strategy<Value = Vec<Gateway>> {
    proptest::collection::vec(section(), 1..6).prop_filter_map("not good", |sections| {
        let heading = |(at, lines): (usize, String)| format!("[gateway g{at}]\nhost = h\n{lines}");
        let text: String = sections.into_iter().enumerate().map(heading).collect();
        Settings::parse(&text, "f")
            .ok()
            .map(|settings| settings.gateways)
    })
}

fn submitter() -> impl Strategy<Value = Submitter> {
    prop_oneof![
        (0_u32..4).prop_map(|uid| local(uid, "somebody")),
        (0_u8..4).prop_map(|net| client(&format!("10.{net}.0.1"), None)),
    ]
}

proptest! {
    /// Every recipient is in one part, and in the part of its own gateways; every part has a
    /// gateway that may take it, and the same message goes the same way again.
    #[test]
    fn nobody_is_left_out_or_sent_astray(
        all in settings(),
        submitter in submitter(),
        sender in proptest::option::of("x@[a-d]\\.example"),
        recipients in proptest::collection::vec("[m-p]@(s\\.)?[a-d]\\.example", 1..20),
        id in 0_u64..1_000_000,
    ) {
        let sender = sender.map(|text| address(&text));
        let recipients: Vec<Address> = recipients.iter().map(|text| address(text)).collect();
        let envelope = Envelope::new(sender, recipients);
        let parts = split(&all, &submitter, &envelope);
        let mut seen: Vec<usize> = parts.iter().flat_map(|part| part.recipients.clone()).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..envelope.recipients.len()).collect::<Vec<_>>());
        let source = Source { submitter: &submitter, sender: envelope.sender.as_ref() };
        for part in &parts {
            prop_assert!(!part.shares.is_empty());
            for place in &part.recipients {
                let recipient = &envelope.recipients[*place];
                prop_assert_eq!(&part.shares, &shares(&all, source, recipient));
                for place in &part.shares {
                    prop_assert!(all[*place].takes.fits(source, &recipient.address).is_some());
                    prop_assert!(!all[*place].spare);
                }
            }
            let id = QueueId::from_number(id);
            let first = pick(&all, &part.shares, id);
            prop_assert!(part.shares.contains(&first));
            prop_assert_eq!(first, pick(&all, &part.shares, id));
            let mut passed: Vec<usize> =
                others(&all, first).into_iter().map(|(place, _)| place).collect();
            passed.push(first);
            let count = passed.len();
            passed.sort_unstable();
            passed.dedup();
            prop_assert_eq!(passed.len(), count);
        }
    }
}
