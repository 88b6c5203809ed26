//! Reading which gateway takes which mail, and what gateways say of each other.

use super::from::senders;
use super::{Block, Reader};
use crate::route::{OriginPattern, Takes};
use crate::settings::scan::quoted;
use crate::settings::values::{self, Fault};
use crate::settings::{Gateway, Network, Overflow, Section};

/// More gateways than this nobody has.
const MOST_GATEWAYS: usize = 16;
/// More patterns than this in one setting are for a map.
const MOST_PATTERNS: usize = 1000;

impl Reader {
    /// The mail that a gateway takes.
    pub(super) fn takes(&mut self, block: &Block) -> Takes {
        Takes {
            senders: self
                .optional(block, "for_senders", mailboxes)
                .unwrap_or_default(),
            recipients: self
                .optional(block, "for_recipients", mailboxes)
                .unwrap_or_default(),
            origins: self
                .optional(block, "for_origins", origins)
                .unwrap_or_default(),
        }
    }

    /// Looks at all gateways together: whom they name, and who takes what no other does.
    pub(super) fn join_gateways(&mut self, gateways: &mut [Gateway]) {
        if gateways.len() > MOST_GATEWAYS {
            let message = format!("there are more than {MOST_GATEWAYS} gateways");
            let last = gateways.last().map(|gateway| block_of(&gateway.name));
            let line = last.map_or(0, |block| self.line_of_heading(&block));
            self.complain(line, message, "remove those that are not needed");
        }
        let names: Vec<String> = gateways
            .iter()
            .map(|gateway| gateway.name.clone())
            .collect();
        for gateway in gateways.iter() {
            for (key, named) in named_by(gateway) {
                if !names.iter().any(|name| name == named) {
                    let block = block_of(&gateway.name);
                    let message = format!("{key}: there is no gateway {}", quoted(named));
                    let remedy = format!("add a section [gateway {named}], or name another");
                    self.complain(self.line_of(&block, key), message, remedy);
                }
            }
        }
        let by_others = |gateway: &Gateway| {
            let own = gateway.name.clone();
            let others = named_by(gateway).map(|(_, name)| name.to_owned());
            others.filter(move |name| *name != own).collect::<Vec<_>>()
        };
        let all_named: Vec<String> = gateways.iter().flat_map(by_others).collect();
        for gateway in gateways.iter_mut() {
            let given = self.is_given(&block_of(&gateway.name), "weight");
            gateway.spare = gateway.takes.all() && !given && all_named.contains(&gateway.name);
        }
        let general = |gateway: &Gateway| gateway.takes.all() && !gateway.spare;
        if !gateways.is_empty() && !gateways.iter().any(general) {
            self.nobody_for_the_rest(gateways);
        }
    }

    fn nobody_for_the_rest(&mut self, gateways: &[Gateway]) {
        let lines = gateways.iter().map(|gateway| {
            let block = block_of(&gateway.name);
            self.line_of_heading(&block)
        });
        let line = lines.min().unwrap_or(0);
        if gateways.iter().any(|gateway| gateway.spare) {
            let message = "every gateway is the fallback or overflow of another, and none takes mail of its own";
            let remedy = "give the gateway that mail goes to first a line weight = 1";
            return self.complain(line, message, remedy);
        }
        let message = "every gateway takes certain mail alone, and none takes the rest";
        let remedy = "add a gateway without for_senders, for_recipients and for_origins, or \
                      remove those of one";
        self.complain(line, message, remedy);
    }

    fn line_of_heading(&self, block: &Block) -> usize {
        let own = |(heading, ..): &&(String, Section, usize)| *heading == block.heading;
        self.headings.iter().find(own).map_or(0, |(.., line)| *line)
    }
}

/// The other gateways that a gateway names, each with the key.
fn named_by(gateway: &Gateway) -> impl Iterator<Item = (&'static str, &str)> {
    let fallback = gateway.fallback.as_ref();
    let overflow = match &gateway.quota.overflow {
        Overflow::To(name) => Some(("overflow", name.as_str())),
        Overflow::Pause => None,
    };
    let fallback = fallback.map(|next| ("fallback", next.gateway.as_str()));
    fallback.into_iter().chain(overflow)
}

fn block_of(name: &str) -> Block {
    Block {
        heading: format!("gateway {name}"),
        section: Section::Gateway,
        preset: None,
    }
}

fn mailboxes(text: &str) -> Result<Vec<crate::addresses::AddressPattern>, Fault> {
    bounded(senders(text)?)
}

fn origins(text: &str) -> Result<Vec<OriginPattern>, Fault> {
    let items = text.split([',', ' ', '\t']).filter(|item| !item.is_empty());
    bounded(items.map(origin).collect::<Result<_, _>>()?)
}

fn bounded<T>(patterns: Vec<T>) -> Result<Vec<T>, Fault> {
    if patterns.len() <= MOST_PATTERNS {
        return Ok(patterns);
    }
    Err(Fault {
        message: format!("there are more than {MOST_PATTERNS} of them"),
        remedy: "keep those that matter".to_owned(),
    })
}

fn origin(item: &str) -> Result<OriginPattern, Fault> {
    let remedy = "write login:NAME, uid:NUMBER, client:NETWORK or user:NAME, with commas between \
                  them";
    let fault = || Fault {
        message: format!("{} does not say who hands mail in", quoted(item)),
        remedy: remedy.to_owned(),
    };
    let (kind, value) = item.split_once(':').ok_or_else(fault)?;
    match kind {
        "login" => values::login(value).map(OriginPattern::Login),
        "uid" => values::whole(
            value,
            0..=u32::MAX - 1,
            "write a user's number, such as uid:33",
        )
        .map(OriginPattern::Uid),
        "client" => Network::parse(value)
            .map(OriginPattern::Client)
            .map_err(|error| Fault {
                message: format!("{} {}", quoted(value), error.problem),
                remedy: "write a network such as client:172.17.0.0/16".to_owned(),
            }),
        "user" if !value.is_empty() => Ok(OriginPattern::User(value.to_owned())),
        _ => Err(fault()),
    }
}

#[cfg(test)]
mod tests {
    use crate::addresses::AddressPattern;
    use crate::route::OriginPattern;
    use crate::settings::{Network, Settings};

    fn read(text: &str) -> Result<Settings, String> {
        Settings::parse(text, "f").map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }

    fn gateways(sections: &[(&str, &str)]) -> Result<Settings, String> {
        let section =
            |(name, lines): &(&str, &str)| format!("[gateway {name}]\nhost = h\n{lines}\n");
        read(&sections.iter().map(section).collect::<String>())
    }

    #[test]
    fn what_a_gateway_takes_is_read() {
        let lines = "for_senders = example.com, a@example.org\nfor_recipients = .partner.example\n\
                     for_origins = login:www-data, uid:33 client:10.0.0.0/8,user:shop@x";
        let settings = gateways(&[("main", ""), ("shop", lines)]).unwrap();
        let [main, shop] = settings.gateways.as_slice() else {
            panic!("two gateways")
        };
        assert!(main.takes.all() && !shop.takes.all());
        assert_eq!(shop.takes.senders.len(), 2);
        let above = AddressPattern::Subdomains("partner.example".to_owned());
        assert_eq!(shop.takes.recipients, [above]);
        let origins = [
            OriginPattern::Login("www-data".to_owned()),
            OriginPattern::Uid(33),
            OriginPattern::Client(Network::parse("10.0.0.0/8").unwrap()),
            OriginPattern::User("shop@x".to_owned()),
        ];
        assert_eq!(shop.takes.origins, origins);
    }

    #[test]
    fn who_is_named_and_has_no_weight_is_a_spare() {
        let spares = |sections: &[(&str, &str)]| -> Vec<bool> {
            let settings = gateways(sections).unwrap();
            settings
                .gateways
                .iter()
                .map(|gateway| gateway.spare)
                .collect()
        };
        assert_eq!(spares(&[("a", "fallback = b"), ("b", "")]), [false, true]);
        assert_eq!(
            spares(&[("a", "quota = 9/day\noverflow = b"), ("b", "")]),
            [false, true]
        );
        let both = [
            ("a", "fallback = b\nweight = 1"),
            ("b", "fallback = a\nweight = 2"),
        ];
        assert_eq!(spares(&both), [false, false]);
        let first = [("a", "fallback = b\nweight = 1"), ("b", "fallback = a")];
        assert_eq!(spares(&first), [false, true]);
        let own = [("a", "fallback = b"), ("b", "for_senders = x.example")];
        assert_eq!(spares(&own), [false, false]);
        assert_eq!(spares(&[("a", ""), ("b", "")]), [false, false]);
    }

    #[test]
    fn mistakes_are_named_with_their_lines() {
        let cases: [(&[(&str, &str)], &str); 8] = [
            (
                &[("a", "fallback = c")],
                "f:3: fallback: there is no gateway \"c\". add a section [gateway c], or name another.",
            ),
            (
                &[("a", "quota = 9/day\noverflow = c")],
                "f:4: overflow: there is no gateway \"c\".",
            ),
            (
                &[("a", "fallback = b"), ("b", "fallback = a")],
                "f:1: every gateway is the fallback or overflow of another",
            ),
            (
                &[
                    ("a", "for_senders = x.example"),
                    ("b", "for_origins = uid:1"),
                ],
                "f:1: every gateway takes certain mail alone, and none takes the rest.",
            ),
            (
                &[("a", ""), ("b", "for_origins = www-data")],
                "f:6: for_origins: \"www-data\" does not say who hands mail in. write login:NAME",
            ),
            (
                &[("a", ""), ("b", "for_origins = client:10.1.2.3/8")],
                "is an address within a network",
            ),
            (
                &[("a", ""), ("b", "for_origins = uid:x")],
                "f:6: for_origins: \"x\" is not a number",
            ),
            (
                &[("a", ""), ("b", "for_recipients = @x")],
                "f:6: for_recipients: \"@x\" is not a full mail address",
            ),
        ];
        for (sections, words) in cases {
            let problems = gateways(sections).unwrap_err();
            assert!(problems.contains(words), "{problems}");
            assert_eq!(problems.matches("f:").count(), 1, "{problems}");
        }
        let names: Vec<String> = (0..17).map(|n| format!("g{n}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let problems = gateways(&many).unwrap_err();
        assert!(
            problems.starts_with("f:49: there are more than 16 gateways"),
            "{problems}"
        );
    }
}
