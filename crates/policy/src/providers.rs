//! What is known of providers: where their gateways are and what those allow, and how sure that is.
//!
//! `provider = NAME` in `[gateway NAME]` takes a [`Provider`]'s facts as that gateway's defaults;
//! every one of them can be given a value of its own in the section.

mod listing;
mod read;

use std::fmt;
use std::sync::LazyLock;

pub use listing::{describe, list};

/// Every provider, by its name.
fn all() -> &'static [Provider] {
    static ALL: LazyLock<Vec<Provider>> =
        LazyLock::new(|| read::providers(include_str!("providers/providers.conf")));
    &ALL
}

/// One provider, or one of its ways in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// As it is written after `provider =`.
    pub name: &'static str,
    /// Whose replies it gives, as the table of replies names them: `gmail` and `google-relay` are
    /// both `google`.
    pub family: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What may or must follow the name after a colon.
    pub argument: Argument,
    /// What is known, in the order in which it is told.
    pub facts: Vec<Fact>,
}

/// What follows a provider's name: `ses:eu-west-1`, `mailgun:eu`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// A word that takes the place of `{}` in the host's name, with an example.
    Required(&'static str),
    /// One of these words may follow; each has a host of its own.
    Optional(Vec<(&'static str, &'static str)>),
}

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub topic: Topic,
    /// The value; for a setting as it would stand in the file.
    pub value: &'static str,
    /// How sure it is.
    pub sure: Sure,
    /// Where it is from.
    pub source: &'static str,
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A setting of `[gateway NAME]`, by its key; the fact is its default.
    Sets(&'static str),
    /// Something to know, which sets nothing.
    Tells(&'static str),
}

impl Topic {
    /// The name of the setting or thing.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sets(name) | Self::Tells(name) => name,
        }
    }
}

/// How sure a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sure {
    /// The provider says so.
    Documented,
    /// It was seen in a transcript or a log.
    Observed,
    /// Nobody said so, and nobody saw it.
    Guessed,
}

impl fmt::Display for Sure {
    /// `documented`, `observed` or `guessed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Documented => "documented",
            Self::Observed => "observed",
            Self::Guessed => "guessed",
        })
    }
}

/// A provider as a gateway's section names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The provider.
    pub provider: &'static Provider,
    host: String,
}

/// Why a value of `provider` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresetError {
    /// There is no provider of this name.
    Unknown(String),
    /// The provider wants a word after its name, such as the example.
    NeedsArgument(&'static Provider, &'static str),
    /// The provider does not know this word; those that it knows are told.
    WrongArgument(&'static Provider, String, Vec<&'static str>),
}

impl Preset {
    /// Reads `NAME` or `NAME:WORD`.
    ///
    /// # Errors
    /// There is no such provider, or the word is missing or wrong.
    pub fn parse(text: &str) -> Result<Self, PresetError> {
        let (name, word) = match text.split_once(':') {
            Some((name, word)) => (name.trim(), Some(word.trim())),
            None => (text.trim(), None),
        };
        let provider =
            Provider::named(name).ok_or_else(|| PresetError::Unknown(name.to_owned()))?;
        let host = provider.host(word)?;
        Ok(Self { provider, host })
    }

    /// What the preset says for a setting.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        if key == "host" {
            return Some(&self.host);
        }
        self.provider.sets(key)
    }
}

impl Provider {
    /// The provider of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        all().iter().find(|provider| provider.name == name)
    }

    /// The name as it is to be written: `ses:REGION`, `mailgun[:eu]`.
    #[must_use]
    pub fn form(&self) -> String {
        match &self.argument {
            Argument::None => self.name.to_owned(),
            Argument::Required(_) => format!("{}:REGION", self.name),
            Argument::Optional(words) => {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                format!("{}[:{}]", self.name, words.join("|"))
            }
        }
    }

    /// Every provider, in the order of their names.
    #[must_use]
    pub fn all() -> &'static [Self] {
        all()
    }

    /// What it says for a setting.
    fn sets(&self, key: &str) -> Option<&'static str> {
        let sets = |fact: &&Fact| matches!(fact.topic, Topic::Sets(name) if name == key);
        self.facts.iter().find(sets).map(|fact| fact.value)
    }

    fn host(&'static self, word: Option<&str>) -> Result<String, PresetError> {
        let form = self.sets("host").unwrap_or_default();
        match (&self.argument, word) {
            (Argument::None | Argument::Optional(_), None) => Ok(form.to_owned()),
            (Argument::Required(example), None) => Err(PresetError::NeedsArgument(self, example)),
            (Argument::Required(_), Some(word)) if is_label(word) => Ok(form.replace("{}", word)),
            (Argument::Required(_) | Argument::None, Some(word)) => Err(
                PresetError::WrongArgument(self, word.to_owned(), Vec::new()),
            ),
            (Argument::Optional(words), Some(word)) => {
                let known = words.iter().find(|(known, _)| *known == word);
                known.map(|(_, host)| (*host).to_owned()).ok_or_else(|| {
                    let known = words.iter().map(|(known, _)| *known).collect();
                    PresetError::WrongArgument(self, word.to_owned(), known)
                })
            }
        }
    }
}

fn is_label(word: &str) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&word.len()) && word.bytes().all(fine) && !word.starts_with('-')
}

/// Whose replies a name means: that of a provider, or of a family of them.
#[must_use]
pub fn family_named(name: &str) -> Option<&'static str> {
    let is_meant = |provider: &&Provider| provider.name == name || provider.family == name;
    all().iter().find(is_meant).map(|provider| provider.family)
}

/// Whose replies a gateway gives, by its host's name, for one whose section names no provider.
#[must_use]
pub fn family_of_host(host: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    let is_theirs = |provider: &&Provider| {
        let form = provider.sets("host").unwrap_or_default();
        let variants: &[(&str, &str)] = match &provider.argument {
            Argument::Optional(words) => words.as_slice(),
            _ => &[],
        };
        is_like(&host, form) || variants.iter().any(|(_, variant)| is_like(&host, variant))
    };
    all().iter().find(is_theirs).map(|provider| provider.family)
}

fn is_like(host: &str, form: &str) -> bool {
    match form.split_once("{}") {
        Some((before, after)) => {
            let middle = host
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after));
            middle.is_some_and(is_label)
        }
        None => host == form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let host =
            |text| Preset::parse(text).map(|preset| preset.value("host").unwrap().to_owned());
        assert_eq!(
            host("ses:eu-west-1").as_deref(),
            Ok("email-smtp.eu-west-1.amazonaws.com")
        );
        assert_eq!(host("mailgun").as_deref(), Ok("smtp.mailgun.org"));
        assert_eq!(host("mailgun:eu").as_deref(), Ok("smtp.eu.mailgun.org"));
        assert!(matches!(host("ses"), Err(PresetError::NeedsArgument(..))));
        for wrong in ["ses:a.b", "ses:", "mailgun:us", "gmail:eu"] {
            assert!(
                matches!(host(wrong), Err(PresetError::WrongArgument(..))),
                "{wrong}"
            );
        }
        assert_eq!(
            host("sesame"),
            Err(PresetError::Unknown("sesame".to_owned()))
        );
    }

    #[test]
    fn providers_are_known_by_their_hosts() {
        assert_eq!(
            family_of_host("email-smtp.us-east-1.amazonaws.com"),
            Some("ses")
        );
        assert_eq!(family_of_host("SMTP.gmail.com"), Some("google"));
        assert_eq!(family_of_host("smtp.eu.mailgun.org"), Some("mailgun"));
        assert_eq!(family_of_host("smtp.example.com"), None);
        assert_eq!(family_of_host("email-smtp.a.b.amazonaws.com"), None);
    }

    #[test]
    fn each_has_a_host_and_no_fact_twice() {
        for (place, provider) in all().iter().enumerate() {
            let name = provider.name;
            assert!(
                provider.sets("host").is_some_and(|host| !host.is_empty()),
                "{name}"
            );
            assert!(
                all()[..place].iter().all(|other| other.name != name),
                "{name}"
            );
            for (place, fact) in provider.facts.iter().enumerate() {
                let before = &provider.facts[..place];
                assert!(
                    before.iter().all(|other| other.topic != fact.topic),
                    "{name} {fact:?}"
                );
                assert!(
                    !fact.value.is_empty() && !fact.source.is_empty(),
                    "{name} {fact:?}"
                );
            }
            let required = matches!(provider.argument, Argument::Required(_));
            assert_eq!(
                provider.sets("host").unwrap().contains("{}"),
                required,
                "{name}"
            );
        }
    }

    /// A limit that nobody is sure of must not slow mail down or cut it.
    #[test]
    fn limits_that_are_guessed_set_nothing() {
        for provider in all() {
            for fact in provider
                .facts
                .iter()
                .filter(|fact| fact.sure == Sure::Guessed)
            {
                let allowed = matches!(
                    fact.topic,
                    Topic::Tells(_) | Topic::Sets("host" | "port" | "tls")
                );
                assert!(allowed, "{}: {fact:?}", provider.name);
            }
        }
    }
}
