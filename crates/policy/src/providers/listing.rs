//! What `relayctl providers` prints.

use super::{Argument, Fact, Provider, Topic};
use std::fmt::Write;

/// One line for each provider: how it is written, and what it is called.
#[must_use]
pub fn list() -> String {
    let mut out = String::new();
    for provider in Provider::all() {
        let _ = writeln!(out, "{:24} {}", provider.form(), provider.title);
    }
    out.push_str("relayctl providers NAME tells what one of them sets, and how sure that is.\n");
    out
}

/// Everything about one provider.
#[must_use]
pub fn describe(provider: &Provider) -> String {
    let mut out = format!("{}\n\n  provider = {}\n", provider.title, provider.form());
    if let Argument::Required(example) = &provider.argument {
        let _ = writeln!(out, "  such as   {}:{example}", provider.name);
    }
    if let Argument::Optional(words) = &provider.argument {
        for (word, host) in words {
            let _ = writeln!(out, "  {}:{word} has the host {host}", provider.name);
        }
    }
    if provider.family != provider.name {
        let _ = writeln!(
            out,
            "  rules for its replies stand under {}",
            provider.family
        );
    }
    let (sets, tells): (Vec<&Fact>, Vec<&Fact>) = provider
        .facts
        .iter()
        .partition(|fact| matches!(fact.topic, Topic::Sets(_)));
    for (title, facts) in [
        ("What it sets, where the section says nothing else:", sets),
        ("What is known besides, and sets nothing:", tells),
    ] {
        if !facts.is_empty() {
            let _ = writeln!(out, "\n{title}");
        }
        for fact in facts {
            let name = fact.topic.name();
            let value = fact.value.replace("{}", "REGION");
            let _ = writeln!(out, "  {name:28} {value}");
            let _ = writeln!(out, "  {:28}   {}: {}", "", fact.sure, fact.source);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_and_told() {
        let listed = list();
        for provider in Provider::all() {
            assert!(listed.contains(&provider.form()), "{}", provider.name);
            let told = describe(provider);
            for fact in &provider.facts {
                assert!(told.contains(fact.source) && told.contains(&fact.sure.to_string()));
            }
        }
    }

    #[test]
    fn one_provider() {
        let told = describe(Provider::named("ses").unwrap());
        assert!(
            told.starts_with("Amazon SES\n\n  provider = ses:REGION\n  such as   ses:"),
            "{told}"
        );
        assert!(told.contains("host                         email-smtp.REGION.amazonaws.com\n"));
        assert!(
            told.contains("  documented: SES developer guide\n"),
            "{told}"
        );
    }
}
