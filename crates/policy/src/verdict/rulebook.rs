//! The table of replies: which words of a gateway mean what. It is data, in the files of `replies/`
//! and in a file that an admin may write; `read` says what a line of it looks like.
//!
//! The rules are asked one after the other, and the first that fits decides: those of the admin,
//! then those of the gateway's provider, then all. What is about quotas and senders stands before
//! what is about codes, since providers answer both with codes that mean something else elsewhere:
//! `550 5.4.5` is a quota at Google, `554 5.2.0` one at Microsoft, `535` a sender at Oracle.

mod pattern;
mod read;

pub(super) use read::{ACTS, STAGES};

use super::cause::{Advice, Cause};
use crate::settings::{Period, Problem};
use mail::StatusCode;
use pattern::Pattern;
use smtp::Stage;
use smtp::reply::Reply;
use std::sync::{Arc, LazyLock};

/// Text is looked at up to here, in bytes.
const LONGEST_TEXT: usize = 2000;

/// The rules that come with relayd, in this order.
const BUILT_IN: [(&str, &str); 2] = [
    ("providers.conf", include_str!("replies/providers.conf")),
    ("general.conf", include_str!("replies/general.conf")),
];

/// Rules in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    own: Vec<Rule>,
}

/// What is to be done about a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Keep it and ask again later.
    Retry,
    /// Send the rest in another transaction.
    NextTransaction,
    /// Go on at once on another connection.
    Reconnect,
    /// Send more slowly.
    SlowDown,
    /// Open fewer connections.
    FewerConnections,
    /// Leave the gateway alone for a while.
    BackOff,
    /// Leave it alone until the quota is renewed.
    Pause(Option<Period>),
    /// Leave it alone until somebody has helped.
    Park,
    /// Keep the mail of this sender.
    HoldSender,
    /// Give up this recipient.
    FailRecipient,
    /// Give up the message.
    FailMessage,
    /// The recipient was accepted and will get nothing.
    Suppressed,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    stages: Vec<Stage>,
    codes: Vec<CodePattern>,
    /// Empty: with any enhanced code and without.
    statuses: Vec<StatusPattern>,
    provider: Option<String>,
    /// It holds for gateways of this provider alone.
    there_only: bool,
    pub(super) act: Act,
    pub(super) cause: Cause,
    /// Empty: whatever the words are.
    words: Vec<Pattern>,
    pub(super) advice: Option<Advice>,
    place: Place,
}

/// The file in which a rule stands, and its line.
type Place = (Arc<str>, usize);

/// A reply code; a digit that is `None` may be any.
type CodePattern = [Option<u8>; 3];

#[derive(Clone, Debug, PartialEq, Eq)]
enum StatusPattern {
    /// There is no enhanced code.
    Absent,
    /// Class and subject, if they matter; the digits of the detail, of which any may be `?`, or `*`
    /// for whatever it is.
    Like(Option<u8>, Option<u16>, String),
}

impl Rulebook {
    /// The rules that come with relayd, and no others.
    #[must_use]
    pub const fn built_in() -> Self {
        Self { own: Vec::new() }
    }

    /// Rules of an admin, which go before those that come with relayd. `file_name` is only named in
    /// problems.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the lines; at most 100 problems.
    pub fn with_own(text: &str, file_name: &str) -> Result<Self, Vec<Problem>> {
        read::rules(text, file_name).map(|own| Self { own })
    }

    /// The file and the line of the rule that decides about a reply.
    pub(super) fn place(
        &self,
        stage: Stage,
        reply: &Reply,
        provider: Option<&str>,
    ) -> Option<(&str, usize)> {
        let (file, line) = &self.find(stage, reply, provider)?.place;
        Some((file, *line))
    }

    /// The stage of a name such as `rcpt`, or what to write instead.
    pub(super) fn stage_named(name: &str) -> Result<Stage, String> {
        let found = STAGES.iter().find(|(known, _)| *known == name);
        let stage = found.and_then(|(_, stages)| stages.last().copied());
        stage.ok_or_else(|| {
            let known: Vec<&str> = STAGES.iter().map(|(name, _)| *name).collect();
            format!(
                "there is no stage {name:?}; write one of {}",
                known.join(", ")
            )
        })
    }

    /// The first rule that fits.
    pub(super) fn find(
        &self,
        stage: Stage,
        reply: &Reply,
        provider: Option<&str>,
    ) -> Option<&Rule> {
        let answer = Answer::of(stage, reply);
        let fits = |rule: &&Rule| rule.fits(&answer, provider);
        let theirs = |rule: &&Rule| provider.is_some() && rule.provider.as_deref() == provider;
        let known: &'static [Rule] = &KNOWN;
        self.own
            .iter()
            .find(fits)
            .or_else(|| known.iter().filter(theirs).find(fits))
            .or_else(|| known.iter().find(fits))
    }

    /// The cause that a text names by the advice of one of the rules, or by the cause's own, as
    /// [`Advice::beside`] wrote it.
    #[must_use]
    pub fn cause_told_in(&self, text: &str) -> Option<Cause> {
        let (_, told) = text.rsplit_once(" -- ")?;
        let says = |advice: &Advice| {
            let remedy = told.strip_prefix(&*advice.meaning);
            remedy.and_then(|rest| rest.strip_prefix("; ")) == Some(&*advice.remedy)
        };
        let mut rules = self.own.iter().chain(KNOWN.iter());
        let named = rules.find(|rule| rule.advice.as_ref().is_some_and(says));
        named
            .map(|rule| rule.cause)
            .or_else(|| Cause::told_in(text))
    }
}

/// The built-in rules, read once.
static KNOWN: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| match read::rules(text, name) {
        Ok(rules) => rules,
        Err(problems) => panic!("{}", problems[0]),
    };
    BUILT_IN.iter().flat_map(read).collect()
});

/// A reply as rules look at it.
struct Answer {
    stage: Stage,
    code: u16,
    status: Option<StatusCode>,
    text: String,
}

impl Answer {
    fn of(stage: Stage, reply: &Reply) -> Self {
        let text = own_words(&reply.text());
        Self {
            stage,
            code: reply.code,
            status: reply.status.or_else(|| status_in(&text)),
            text,
        }
    }
}

impl Rule {
    fn fits(&self, answer: &Answer, provider: Option<&str>) -> bool {
        let there =
            !self.there_only || (provider.is_some() && self.provider.as_deref() == provider);
        there
            && self.stages.contains(&answer.stage)
            && self.codes.iter().any(|code| is_like(*code, answer.code))
            && self.has_status(answer.status)
            && (self.words.is_empty() || self.words.iter().any(|words| words.is_in(&answer.text)))
    }

    fn has_status(&self, status: Option<StatusCode>) -> bool {
        self.statuses.is_empty() || self.statuses.iter().any(|known| known.fits(status))
    }
}

fn is_like(pattern: CodePattern, code: u16) -> bool {
    let digits = [code / 100, code / 10 % 10, code % 10];
    let same =
        |(known, digit): (Option<u8>, u16)| known.is_none_or(|known| u16::from(known) == digit);
    pattern.into_iter().zip(digits).all(same)
}

impl StatusPattern {
    fn fits(&self, status: Option<StatusCode>) -> bool {
        match (self, status) {
            (Self::Absent, status) => status.is_none(),
            (Self::Like(..), None) => false,
            (Self::Like(class, subject, detail), Some(status)) => {
                class.is_none_or(|class| class == status.class())
                    && subject.is_none_or(|subject| subject == status.subject())
                    && has_digits(detail, &status.detail().to_string())
            }
        }
    }
}

fn has_digits(pattern: &str, digits: &str) -> bool {
    let same = |(known, digit): (u8, u8)| known == b'?' || known == digit;
    let alike = pattern.len() == digits.len() && pattern.bytes().zip(digits.bytes()).all(same);
    pattern == "*" || alike
}

/// The text in lower case without what is quoted in it: addresses and links, whose words would
/// else decide what the answer means.
fn own_words(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
    let is_quoted = |word: &&str| !word.contains('@') && !word.contains("://");
    let words: Vec<String> = text
        .split_whitespace()
        .filter(is_quoted)
        .map(str::to_ascii_lowercase)
        .collect();
    words.join(" ")
}

/// An enhanced code within the text: with a comma after it, or as qmail and Cisco write it, as in
/// `(#5.7.1)`.
fn status_in(text: &str) -> Option<StatusCode> {
    let first = text.split(' ').next().unwrap_or_default();
    let read = |word: &str| StatusCode::split_from(word).map(|(status, _)| status);
    read(first.trim_end_matches([',', ';', ':'])).or_else(|| {
        let (_, rest) = text.split_once('#')?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        read(rest[..end.unwrap_or(rest.len())].trim_end_matches('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_addresses_and_links_do_not_decide() {
        assert_eq!(
            own_words("<quota@x.y>: Sorry, see https://x.y/virus User Unknown"),
            "sorry, see user unknown"
        );
    }

    #[test]
    fn enhanced_codes_are_found_in_the_text() {
        let found = |text| status_in(text).map(|status| status.to_string());
        assert_eq!(found("sorry (#5.7.1)").as_deref(), Some("5.7.1"));
        assert_eq!(found("#5.1.0 address rejected.").as_deref(), Some("5.1.0"));
        assert_eq!(found("ticket #5").as_deref(), None);
        assert_eq!(found("[#102]."), None);
        assert_eq!(found("5.7.0, denied").as_deref(), Some("5.7.0"));
    }

    #[test]
    fn patterns_of_codes() {
        assert!(is_like([Some(5), None, None], 552) && !is_like([Some(5), None, None], 452));
        let like = |detail: &str| StatusPattern::Like(None, Some(7), detail.to_owned());
        let status = Some(StatusCode::new(5, 7, 705));
        assert!(like("70?").fits(status) && !like("7?").fits(status) && !like("1").fits(status));
        assert!(StatusPattern::Absent.fits(None) && !StatusPattern::Absent.fits(status));
    }

    #[test]
    fn the_built_in_rules_are_good() {
        assert!(KNOWN.len() > 150, "{}", KNOWN.len());
    }

    #[test]
    fn own_rules_go_first_and_providers_before_the_others() {
        let reply = Reply::new(550, None, "Daily thing used up");
        let book = Rulebook::with_own("rcpt 550 - pause:day quota  daily thing\n", "f").unwrap();
        let found = book.find(Stage::Rcpt, &reply, None).unwrap();
        assert_eq!(found.act, Act::Pause(Some(Period::Day)));
        let elsewhere = book.find(Stage::EndOfData, &reply, None);
        assert_eq!(elsewhere.map(|rule| rule.act), None);
        let only = Rulebook::with_own("rcpt 550 ses! park account  daily\n", "f").unwrap();
        let act = |provider| {
            only.find(Stage::Rcpt, &reply, provider)
                .map(|rule| rule.act)
        };
        assert_eq!(
            (act(Some("ses")), act(None), act(Some("zoho"))),
            (Some(Act::Park), None, None)
        );
    }
}
