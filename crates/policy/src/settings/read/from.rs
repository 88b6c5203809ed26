//! Reading the From policy: `[from]`, and what a gateway has of its own.

use super::{Block, Reader};
use crate::addresses::AddressPattern;
use crate::from::{Action, NameForm, Rules};
use crate::settings::Section;
use crate::settings::scan::quoted;
use crate::settings::values::{self, Fault};
use mail::Address;

/// What one section says.
struct Part {
    block: Block,
    /// What stands before the names of the keys.
    prefix: &'static str,
    allow: Option<Vec<AddressPattern>>,
    default: Option<Address>,
    name: Option<NameForm>,
    policy: Option<Action>,
}

impl Reader {
    /// The From policy of a gateway: what its section does not say holds as in `[from]`.
    pub(super) fn sender_rules(&mut self, gateway: &Block) -> Rules {
        let own = Block {
            heading: gateway.heading.clone(),
            section: gateway.section,
            preset: None,
        };
        let bounce_from = self.optional(gateway, "bounce_from", values::mail_address);
        let own = self.sender_part(own, "from_");
        // What is wrong in [from] is said once, however many gateways there are.
        let known = self.problems.len();
        let shared = self.sender_part(Block::of(Section::From), "");
        let new = self.problems.split_off(known);
        for problem in new {
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        self.check_senders(&own, &shared);
        let default = own.default.or(shared.default);
        let allow = own.allow.or(shared.allow).unwrap_or_else(|| {
            let domain = default.as_ref().and_then(|address| address.domain());
            let domain = domain.map(|domain| AddressPattern::Domain(domain.to_owned()));
            domain.into_iter().collect()
        });
        let usual = match default {
            Some(_) => Action::Rewrite,
            None => Action::Keep,
        };
        Rules {
            action: own.policy.or(shared.policy).unwrap_or(usual),
            allow,
            default,
            name: own.name.or(shared.name).unwrap_or_default(),
            bounce_from,
        }
    }

    fn sender_part(&mut self, block: Block, prefix: &'static str) -> Part {
        let key = |name: &str| format!("{prefix}{name}");
        Part {
            prefix,
            allow: self.optional(&block, &key("allow"), senders),
            default: self.optional(&block, &key("default"), values::mail_address),
            name: self.optional(&block, &key("name"), name_form),
            policy: self.optional(&block, &key("policy"), policy),
            block,
        }
    }

    /// Complains about a policy that lacks what it needs, and about settings that do nothing.
    fn check_senders(&mut self, own: &Part, shared: &Part) {
        let parts = [own, shared];
        let given = |reader: &Self, name: &str| {
            let key = |part: &&Part| {
                let key = format!("{}{name}", part.prefix);
                let line = reader.line_of(&part.block, &key);
                (line > 0).then_some((line, key))
            };
            parts.iter().find_map(key)
        };
        if given(self, "default").is_some() {
            return;
        }
        let default = "add a line default = noreply@yourdomain.com to [from]";
        let policy = own.policy.or(shared.policy);
        let (place, message, remedy) = match policy {
            Some(Action::Rewrite) => (
                given(self, "policy"),
                "is rewrite, but no default is given",
                default.to_owned(),
            ),
            Some(Action::Refuse) if given(self, "allow").is_none() => (
                given(self, "policy"),
                "is refuse, but nothing is allowed",
                "add a line allow = yourdomain.com to [from]".to_owned(),
            ),
            None if given(self, "policy").is_none() => (
                given(self, "allow").or_else(|| given(self, "name")),
                "does nothing without default",
                format!("{default}, or policy = refuse"),
            ),
            _ => return,
        };
        let Some((line, key)) = place else {
            return;
        };
        self.complain(line, format!("{key} {message}"), remedy);
    }
}

/// Domains and addresses.
pub(super) fn senders(text: &str) -> Result<Vec<AddressPattern>, Fault> {
    let items = text.split([',', ' ', '\t']).filter(|item| !item.is_empty());
    items.map(sender).collect()
}

fn sender(item: &str) -> Result<AddressPattern, Fault> {
    if item.contains('@') {
        return values::mail_address(item).map(AddressPattern::Mailbox);
    }
    match item.strip_prefix('*').unwrap_or(item).strip_prefix('.') {
        Some(domain) => values::host_name(domain).map(AddressPattern::Subdomains),
        None => values::host_name(item).map(AddressPattern::Domain),
    }
}

fn name_form(text: &str) -> Result<NameForm, Fault> {
    NameForm::parse(text).map_err(|word| Fault {
        message: format!("{} does not stand for anything", quoted(&word)),
        remedy: "write {name}, {address} or {host}, and no other braces".to_owned(),
    })
}

fn policy(text: &str) -> Result<Action, Fault> {
    match text {
        "rewrite" => Ok(Action::Rewrite),
        "refuse" => Ok(Action::Refuse),
        "keep" => Ok(Action::Keep),
        _ => Err(Fault {
            message: format!("{} is not one of the values", quoted(text)),
            remedy: "write one of rewrite, refuse, keep".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn rules(from: &str, gateway: &str) -> Result<Rules, String> {
        let text = format!("[from]\n{from}\n[gateway main]\nhost = h\n{gateway}\n");
        match Settings::parse(&text, "f") {
            Ok(mut settings) => Ok(settings.gateways.remove(0).from),
            Err(problems) => Err(problems
                .iter()
                .map(|problem| format!("{problem} "))
                .collect()),
        }
    }

    fn address(text: &str) -> Option<Address> {
        Address::parse(text).ok()
    }

    #[test]
    fn nothing_said_keeps_everything() {
        let rules = rules("", "").unwrap();
        assert_eq!(rules, Rules::default());
        assert!(rules.is_idle());
    }

    #[test]
    fn a_default_is_enough() {
        let rules = rules("default = n@d.example", "").unwrap();
        assert_eq!(rules.action, Action::Rewrite);
        assert_eq!(
            rules.allow,
            [AddressPattern::Domain("d.example".to_owned())]
        );
        assert_eq!(rules.default, address("n@d.example"));
    }

    #[test]
    fn gateways_override_one_by_one() {
        let from = "allow = a.example, .b.example *.c.example,x@d.example\n\
                    default = n@a.example\nname = {name} via s\npolicy = refuse";
        let shared = rules(from, "").unwrap();
        let allowed = [
            AddressPattern::Domain("a.example".to_owned()),
            AddressPattern::Subdomains("b.example".to_owned()),
            AddressPattern::Subdomains("c.example".to_owned()),
            AddressPattern::Mailbox(address("x@d.example").unwrap()),
        ];
        assert_eq!(shared.allow, allowed);
        assert_eq!(shared.action, Action::Refuse);
        let own = "from_policy = keep\nfrom_default = o@a.example\nbounce_from = b@a.example";
        let expected = Rules {
            action: Action::Keep,
            default: address("o@a.example"),
            bounce_from: address("b@a.example"),
            ..shared
        };
        assert_eq!(rules(from, own).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_meant_is_complained_about() {
        for (from, gateway, words) in [
            (
                "policy = rewrite",
                "",
                "f:2: policy is rewrite, but no default",
            ),
            ("", "from_policy = rewrite", "f:5: from_policy is rewrite"),
            (
                "policy = refuse",
                "",
                "policy is refuse, but nothing is allowed",
            ),
            (
                "allow = a.example",
                "",
                "allow does nothing without default",
            ),
            ("name = x", "", "name does nothing without default"),
            (
                "policy = maybe",
                "",
                "\"maybe\" is not one of the values. write one of rewrite",
            ),
            ("default = n", "", "not a full mail address"),
            (
                "default = n@x\nallow = a b/c",
                "",
                "\"b/c\" is not a host name",
            ),
            (
                "default = n@x\nname = {nam}",
                "",
                "\"{nam}\" does not stand for",
            ),
        ] {
            let problems = rules(from, gateway).unwrap_err();
            assert!(problems.contains(words), "{from}: {problems}");
            assert_eq!(problems.matches("f:").count(), 1, "{problems}");
        }
        assert!(rules("policy = refuse\nallow = a.example", "").is_ok());
        assert!(rules("policy = keep\nname = x", "").is_ok());
    }
}
