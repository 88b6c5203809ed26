//! Reading the table of replies.
//!
//! A line is a rule: `STAGE CODE PROVIDER ACTION CAUSE WORDS`, separated by spaces. `relayd-replies`
//! in section 5 of the manual describes the columns; it is made from [`STAGES`] and [`ACTS`].

use super::pattern::Pattern;
use super::{Act, CodePattern, Place, Rule, StatusPattern};
use crate::providers;
use crate::settings::{Period, Problem};
use crate::verdict::cause::{Advice, NAMES};
use smtp::Stage;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// More problems than this help nobody.
const MOST_PROBLEMS: usize = 100;
/// The most rules in one file.
const MOST_RULES: usize = 1000;

const CONNECT: &[Stage] = &[Stage::Connect, Stage::Greeting];
const TLS: &[Stage] = &[Stage::StartTls, Stage::Tls];
const ANY: &[Stage] = &[
    Stage::Connect,
    Stage::Greeting,
    Stage::Ehlo,
    Stage::StartTls,
    Stage::Tls,
    Stage::Auth,
    Stage::Mail,
    Stage::Rcpt,
    Stage::Data,
    Stage::EndOfData,
    Stage::Rset,
    Stage::Quit,
    Stage::Idle,
];

/// The names of stages, and of several together.
pub(in crate::verdict) const STAGES: [(&str, &[Stage]); 12] = [
    ("connect", CONNECT),
    ("ehlo", &[Stage::Ehlo]),
    ("tls", TLS),
    ("auth", &[Stage::Auth]),
    ("mail", &[Stage::Mail]),
    ("rcpt", &[Stage::Rcpt]),
    ("data", &[Stage::Data]),
    ("end", &[Stage::EndOfData]),
    ("idle", &[Stage::Idle, Stage::Rset, Stage::Quit]),
    ("content", &[Stage::Data, Stage::EndOfData]),
    (
        "transaction",
        &[Stage::Mail, Stage::Rcpt, Stage::Data, Stage::EndOfData],
    ),
    ("any", ANY),
];

/// The names of actions, with what each does.
pub(in crate::verdict) const ACTS: [(&str, Act, &str); 12] = [
    (
        "retry",
        Act::Retry,
        "The mail is kept and tried again later, later each time.",
    ),
    (
        "next-transaction",
        Act::NextTransaction,
        "The recipients that were accepted are served, and the others at once after them.",
    ),
    (
        "reconnect",
        Act::Reconnect,
        "The session is over; the message goes out on another one at once.",
    ),
    (
        "slow-down",
        Act::SlowDown,
        "Mail is sent more slowly for a while.",
    ),
    (
        "fewer-connections",
        Act::FewerConnections,
        "Fewer sessions are opened for a while.",
    ),
    (
        "back-off",
        Act::BackOff,
        "The gateway is left alone for a while, longer each time.",
    ),
    (
        "pause",
        Act::Pause(None),
        "The quota is used up: the gateway is left alone until it is renewed. With pause:day, \
         pause:month or hours as in pause:24h relayd knows when that is.",
    ),
    (
        "park",
        Act::Park,
        "The gateway is left alone and asked rarely, until somebody has helped.",
    ),
    (
        "hold-sender",
        Act::HoldSender,
        "The mail is kept and tried again later: nothing of this sender can go out.",
    ),
    (
        "fail-recipient",
        Act::FailRecipient,
        "The mail is returned for this recipient.",
    ),
    ("fail-message", Act::FailMessage, "The mail is returned."),
    (
        "suppressed",
        Act::Suppressed,
        "The gateway accepted the recipient and will send nothing: the mail is returned.",
    ),
];

/// What is wrong, and what to do about it.
type Fault = (String, String);

/// Reads a file; the rules are those of [`super::Rulebook::with_own`].
pub(super) fn rules(text: &str, file_name: &str) -> Result<Vec<Rule>, Vec<Problem>> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut problems = Vec::new();
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let file: Arc<str> = Arc::from(file_name);
    for (number, line) in (1..).zip(text.lines()) {
        let inside = line.trim();
        if inside.is_empty() || inside.starts_with('#') {
            continue;
        }
        let result = if line.starts_with([' ', '\t']) {
            continued(rules.last_mut(), inside)
        } else {
            let place = (Arc::clone(&file), number);
            rule(inside, place).and_then(|rule| {
                rules.push(rule);
                (rules.len() <= MOST_RULES).then_some(()).ok_or_else(|| {
                    let message = format!("there are more than {MOST_RULES} rules");
                    (message, "keep those that are needed".to_owned())
                })
            })
        };
        if let Err((message, remedy)) = result {
            problems.push(Problem {
                file: file_name.to_owned(),
                line: number,
                message,
                remedy,
            });
            if problems.len() == MOST_PROBLEMS {
                break;
            }
        }
    }
    if problems.is_empty() {
        Ok(rules)
    } else {
        Err(problems)
    }
}

fn rule(line: &str, place: Place) -> Result<Rule, Fault> {
    let mut rest = line;
    let mut column = || {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        word
    };
    let (stages, codes, provider, act, cause) = (column(), column(), column(), column(), column());
    if cause.is_empty() {
        return Err((
            "this is not a rule".to_owned(),
            "write STAGE CODE PROVIDER ACTION CAUSE WORDS, such as rcpt 550 - pause:day quota \
             daily limit"
                .to_owned(),
        ));
    }
    let words = rest;
    let (codes, statuses) = codes_and_statuses(codes)?;
    let (provider, there_only) = provider_named(provider)?;
    Ok(Rule {
        stages: stages_named(stages)?,
        codes,
        statuses,
        provider,
        there_only,
        act: act_named(act)?,
        cause: named("cause", cause, &NAMES)?,
        words: patterns(words)?,
        advice: None,
        place,
    })
}

/// A line that begins with a space goes on with the rule before it: `| more words`, or
/// `= meaning; remedy`.
fn continued(rule: Option<&mut Rule>, line: &str) -> Result<(), Fault> {
    let Some(rule) = rule else {
        return Err((
            "the line begins with a space, but there is no rule before it".to_owned(),
            "remove the space".to_owned(),
        ));
    };
    if let Some(words) = line.strip_prefix('|') {
        if rule.words.is_empty() {
            return Err((
                "more words are given for a rule that has none".to_owned(),
                "put the first words into the rule's own line".to_owned(),
            ));
        }
        rule.words.extend(patterns(words.trim())?);
        return Ok(());
    }
    let advice = line
        .strip_prefix('=')
        .and_then(|words| words.split_once(';'));
    let Some((meaning, remedy)) = advice else {
        return Err((
            "the line begins with a space, but neither goes on with words nor explains".to_owned(),
            "write | and more words, or = and a meaning; and a remedy".to_owned(),
        ));
    };
    let clause = |text: &str| Cow::Owned(text.trim().trim_end_matches('.').to_owned());
    rule.advice = Some(Advice {
        meaning: clause(meaning),
        remedy: clause(remedy),
    });
    Ok(())
}

fn patterns(words: &str) -> Result<Vec<Pattern>, Fault> {
    if words.is_empty() || words == "-" {
        return Ok(Vec::new());
    }
    Pattern::read(&words.to_ascii_lowercase()).map_err(|problem| {
        let remedy = "write words with | between alternatives; * stands for anything, # for a \
                      number, {a,b} for one of several";
        (
            format!("the words cannot be read: {problem}"),
            remedy.to_owned(),
        )
    })
}

fn stages_named(text: &str) -> Result<Vec<Stage>, Fault> {
    let mut stages = Vec::new();
    for name in text.split(',') {
        stages.extend_from_slice(named("stage", name, &STAGES)?);
    }
    Ok(stages)
}

fn act_named(text: &str) -> Result<Act, Fault> {
    match text.strip_prefix("pause:") {
        None => named("action", text, &ACTS.map(|(name, act, _)| (name, act))),
        Some(period) => read_period(period)
            .map(|period| Act::Pause(Some(period)))
            .ok_or_else(|| {
                (
                    format!("{text:?} is not an action"),
                    "write pause:day, pause:month, or hours such as pause:24h".to_owned(),
                )
            }),
    }
}

fn read_period(text: &str) -> Option<Period> {
    match text {
        "day" => Some(Period::Day),
        "month" => Some(Period::Month),
        hours => {
            let hours: u64 = hours.strip_suffix('h')?.parse().ok()?;
            (1..=744)
                .contains(&hours)
                .then(|| Period::Last(Duration::from_secs(hours * 3600)))
        }
    }
}

fn provider_named(text: &str) -> Result<(Option<String>, bool), Fault> {
    if text == "-" {
        return Ok((None, false));
    }
    let (name, there_only) = match text.strip_suffix('!') {
        Some(name) => (name, true),
        None => (text, false),
    };
    if let Some(family) = providers::family_named(name) {
        return Ok((Some(family.to_owned()), there_only));
    }
    Err((
        format!("there is no provider {name:?}"),
        "write - for all, or a name that relayctl providers lists; with ! after it the rule holds \
         for that one alone"
            .to_owned(),
    ))
}

/// `5xx`, `421,45x`, or the same with `/` and enhanced codes: `550/5.4.5`, `5xx/x.7.70?,-`.
fn codes_and_statuses(text: &str) -> Result<(Vec<CodePattern>, Vec<StatusPattern>), Fault> {
    let (codes, statuses) = text.split_once('/').unwrap_or((text, ""));
    let codes: Option<Vec<_>> = codes.split(',').map(code_pattern).collect();
    let statuses: Option<Vec<_>> = match statuses {
        "" => Some(Vec::new()),
        statuses => statuses.split(',').map(status_pattern).collect(),
    };
    codes.zip(statuses).ok_or_else(|| {
        (
            format!("{text:?} is not a reply code"),
            "write codes such as 550, 45x or 5xx,421, and after a / enhanced ones such as 5.7.1, \
             x.4.5, x.7.* or - for none"
                .to_owned(),
        )
    })
}

fn code_pattern(text: &str) -> Option<CodePattern> {
    if text == "any" {
        return Some([None; 3]);
    }
    let digit = |b: u8| match b {
        b'x' => Some(None),
        b'0'..=b'9' => Some(Some(b - b'0')),
        _ => None,
    };
    let digits: Option<Vec<_>> = text.bytes().map(digit).collect();
    digits?.try_into().ok()
}

fn status_pattern(text: &str) -> Option<StatusPattern> {
    if text == "-" {
        return Some(StatusPattern::Absent);
    }
    let mut parts = text.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let class = match class {
        "x" => None,
        "2" | "4" | "5" => class.parse().ok(),
        _ => return None,
    };
    let subject = match subject {
        "?" => None,
        subject => Some(subject.parse().ok()?),
    };
    let known = |b: u8| b.is_ascii_digit() || b == b'?';
    let fine = detail == "*" || ((1..=3).contains(&detail.len()) && detail.bytes().all(known));
    (fine && parts.next().is_none()).then_some(StatusPattern::Like(
        class,
        subject,
        detail.to_owned(),
    ))
}

fn named<T: Copy>(what: &str, name: &str, all: &[(&str, T)]) -> Result<T, Fault> {
    if let Some((_, value)) = all.iter().find(|(known, _)| *known == name) {
        return Ok(*value);
    }
    let known: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    Err((
        format!("there is no {what} {name:?}"),
        format!("write one of {}", known.join(", ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_rules() {
        let text = "\u{FEFF}# comment\n\nrcpt,content 5xx/x.7.1,- ses! pause:24h quota  Daily * limit\n\t| # per {day,hour}\n  = it is used up; wait.\nany any - retry temporary -\n";
        let rules = rules(text, "f").unwrap();
        assert_eq!(rules.len(), 2);
        let first = &rules[0];
        assert_eq!(first.stages, [Stage::Rcpt, Stage::Data, Stage::EndOfData]);
        assert_eq!(first.statuses.len(), 2);
        assert_eq!(
            (first.provider.as_deref(), first.there_only),
            (Some("ses"), true)
        );
        assert_eq!(
            first.act,
            Act::Pause(Some(Period::Last(Duration::from_secs(86_400))))
        );
        assert_eq!(first.words.len(), 3);
        let advice = first.advice.as_ref().unwrap();
        assert_eq!(
            (&*advice.meaning, &*advice.remedy),
            ("it is used up", "wait")
        );
        assert!(rules[1].words.is_empty() && rules[1].provider.is_none());
    }

    #[test]
    fn each_mistake_is_named_with_its_line_and_a_remedy() {
        for (line, message, remedy) in [
            ("rcpt 550", "not a rule", "STAGE CODE"),
            (
                "rctp 550 - retry rate x",
                "no stage \"rctp\"",
                "connect, ehlo",
            ),
            ("rcpt 55 - retry rate x", "not a reply code", "45x"),
            ("rcpt 550/5 - retry rate x", "not a reply code", "x.4.5"),
            (
                "rcpt 550 sesame retry rate x",
                "no provider \"sesame\"",
                "relayctl providers",
            ),
            (
                "rcpt 550 - rtry rate x",
                "no action \"rtry\"",
                "hold-sender",
            ),
            ("rcpt 550 - pause:week rate x", "not an action", "pause:day"),
            (
                "rcpt 550 - retry reason x",
                "no cause \"reason\"",
                "recipient",
            ),
            (
                "rcpt 550 - retry rate a|",
                "words cannot be read",
                "alternatives",
            ),
            (" | more", "no rule before it", "remove"),
            (
                "rcpt 550 - retry rate x\n  more",
                "neither goes on",
                "remedy",
            ),
            (
                "rcpt 550 - retry rate -\n  | more",
                "a rule that has none",
                "first words",
            ),
        ] {
            let problems = rules(&format!("\n{line}\n"), "own.conf").unwrap_err();
            assert_eq!(problems.len(), 1, "{line}: {problems:?}");
            let problem = &problems[0];
            assert!(problem.message.contains(message), "{line}: {problem}");
            assert!(problem.remedy.contains(remedy), "{line}: {problem}");
            assert_eq!(problem.line, 1 + line.lines().count(), "{line}");
        }
        assert_eq!(
            rules(&"x\n".repeat(1000), "f").unwrap_err().len(),
            MOST_PROBLEMS
        );
        let many = "any any - retry rate x\n".repeat(MOST_RULES + 1);
        assert_eq!(rules(&many, "f").unwrap_err().len(), 1);
    }

    proptest::proptest! {
        /// Whatever the text, reading it ends, and problems lie inside the file.
        #[test]
        fn any_text_is_read_safely(text in "(?s)(rcpt|5xx|/|-|ses|park|quota|[|={}*#^, \n\t]|\\PC){0,80}") {
            if let Err(problems) = rules(&text, "f") {
                for problem in problems {
                    proptest::prop_assert!((1..=text.lines().count()).contains(&problem.line));
                }
            }
        }
    }
}
