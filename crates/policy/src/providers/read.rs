//! Reading the table of providers, which its head describes.

use super::{Argument, Fact, Provider, Sure, Topic};

/// Reads the table that comes with relayd. It is not an admin's to write, so a mistake in it is one
/// of the program, and a test finds it.
///
/// # Panics
/// A line is wrong.
pub(super) fn providers(text: &'static str) -> Vec<Provider> {
    let mut all: Vec<Provider> = Vec::new();
    for line in text.lines() {
        let inside = line.trim();
        if inside.is_empty() || inside.starts_with('#') {
            continue;
        }
        let good = match (line.starts_with(' '), all.last_mut()) {
            (false, _) => provider(inside).map(|provider| all.push(provider)),
            (true, Some(provider)) => add(provider, inside),
            (true, None) => None,
        };
        assert!(good.is_some(), "the table of providers is wrong: {line}");
    }
    all
}

fn provider(line: &'static str) -> Option<Provider> {
    let mut words = line.splitn(4, ' ');
    let (mark, name, family) = (words.next()?, words.next()?, words.next()?);
    (mark == "provider").then_some(Provider {
        name,
        family,
        title: words.next()?,
        argument: Argument::None,
        facts: Vec::new(),
    })
}

fn add(provider: &mut Provider, line: &'static str) -> Option<()> {
    if let Some(example) = line.strip_prefix("regions ") {
        provider.argument = Argument::Required(example);
    } else if let Some(variant) = line.strip_prefix("variant ") {
        let variant = variant.split_once(' ')?;
        match &mut provider.argument {
            Argument::Optional(variants) => variants.push(variant),
            other => *other = Argument::Optional(vec![variant]),
        }
    } else {
        provider.facts.push(fact(line)?);
    }
    Some(())
}

fn fact(line: &'static str) -> Option<Fact> {
    let (topic, rest) = line.split_once(" = ")?;
    let mut parts = rest.splitn(3, " ; ");
    Some(Fact {
        topic: topic
            .strip_prefix("know ")
            .map_or(Topic::Sets(topic), Topic::Tells),
        value: parts.next()?,
        sure: match parts.next()? {
            "documented" => Sure::Documented,
            "observed" => Sure::Observed,
            "guessed" => Sure::Guessed,
            _ => return None,
        },
        source: parts.next()?,
    })
}
