//! The rules that find the cause of a refusal in its code and its text.
//!
//! Quotas and senders are looked for before code classes, since providers answer both with codes
//! that mean something else elsewhere: `550 5.4.5` is a quota at Google, `554 5.2.0` one at
//! Microsoft, `535` a sender at Oracle. The first rule that fits decides.

use super::Cause;
use smtp::Stage;
use smtp::reply::Reply;
use std::time::Duration;

/// Where a rule holds.
#[derive(Clone, Copy)]
enum At {
    /// In answer to any command.
    Any,
    /// RCPT.
    Rcpt,
    /// DATA, the content, or MAIL, which announces its size.
    Message,
    /// DATA or the content.
    Content,
}

struct Rule {
    at: At,
    /// Reply codes; empty: every code.
    codes: &'static [u16],
    /// Enhanced codes as subject and detail, if the words do not fit.
    statuses: &'static [(u16, u16)],
    /// Words in the text, in lower case: alternatives separated by `|`; a `*` stands for anything.
    /// Empty: none.
    words: &'static str,
    cause: Cause,
}

const ANY: &[u16] = &[];
const NONE: &[(u16, u16)] = &[];

const fn rule(
    at: At,
    codes: &'static [u16],
    statuses: &'static [(u16, u16)],
    words: &'static str,
    cause: Cause,
) -> Rule {
    Rule {
        at,
        codes,
        statuses,
        words,
        cause,
    }
}

const RULES: &[Rule] = &[
    rule(
        At::Any,
        ANY,
        NONE,
        "sender*not verified|email address is not verified|not a verified|unverified sender|\
         sender verify failed|sender address rejected|sender rejected|sender*not allowed|\
         sender*not authorized|sender*not permitted|sendasdenied|not allowed to send as|\
         not allowed to send from|not authorized to send on behalf|from address*not verified|\
         from address not allowed|from address*does not match|from domain must|not owned by|\
         not one of your addresses|must match your login|must be same as auth|\
         relaying disallowed as|does not match a verified sender identity|\
         authorization failed: address|verify your*domain|domain*is not verified|\
         domain of sender*does not|only accepted from authorized ip ranges|\
         only send testing emails",
        Cause::Sender,
    ),
    rule(At::Any, ANY, &[(1, 7), (7, 27)], "", Cause::Sender),
    // Before the account: "the account that you tried to reach is disabled" is not about ours.
    rule(
        At::Rcpt,
        ANY,
        &[(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1), (7, 13)],
        "",
        Cause::Recipient,
    ),
    rule(
        At::Any,
        ANY,
        NONE,
        "account*suspended|account*disabled|account*blocked|account*locked|\
         account*not activated|account is not yet active|user suspended|\
         is not allowed to send|not enabled for this account|compromised|\
         unusual sending activity|outgoing blocked|sandbox|sending paused|sending*paused|\
         not subscribed to ses",
        Cause::Account,
    ),
    rule(
        At::Any,
        ANY,
        &[(1, 8)],
        "not authorized to send",
        Cause::Sender,
    ),
    rule(
        At::Any,
        ANY,
        &[(4, 5)],
        "daily*limit|daily*quota|hourly*limit|hourly*quota|monthly*limit|monthly*quota|\
         sending limit|sending quota|message quota|messages quota|submissionquotaexceeded|\
         credits exceeded|out of credits|insufficient credit|limit for this account|\
         max emails per|exceeded the max|per day|24-hour|relay quota|email quota|relay limit|\
         account*exceeded",
        Cause::Quota,
    ),
    rule(
        At::Any,
        ANY,
        NONE,
        "rate exceeded|rate limit|rate-limit|ratelimit|throttl|too fast|slow down|\
         too many messages|too many emails|too many requests|too many mails|\
         messages per second|emails per second|per minute|too many concurrent|\
         too many connections|too many simultaneous|concurrent connections limit|\
         too many invalid",
        Cause::Rate,
    ),
    rule(
        At::Any,
        ANY,
        NONE,
        "authentication required|authentication is required|authenticate first|\
         must authenticate|authentication needed|requires authentication|\
         need to authenticate|need authentication|turn on smtp authentication|\
         not authenticated|must issue a starttls|encryption required|tls required|\
         auth required",
        Cause::NotAuthenticated,
    ),
    rule(At::Any, &[530], NONE, "*", Cause::NotAuthenticated),
    rule(
        At::Any,
        ANY,
        NONE,
        "relay access denied|relaying denied|relay denied|relay not permitted|\
         relaying not permitted|unable to relay|not permitted to relay|not allowed to relay|\
         relay access*not permitted|we do not relay",
        Cause::RelayDenied,
    ),
    rule(
        At::Rcpt,
        &[452, 552],
        NONE,
        "too many recipients|recipient limit",
        Cause::TooManyRecipients,
    ),
    rule(
        At::Rcpt,
        ANY,
        &[(5, 3)],
        "too many recipients",
        Cause::TooManyRecipients,
    ),
    rule(
        At::Any,
        ANY,
        NONE,
        "blocklist|blacklist|block list|black list|blocked using|dnsbl|unauthorized ip|\
         ip*not allowed|ip*not authorized|ip*not whitelisted",
        Cause::HostBlocked,
    ),
    rule(
        At::Rcpt,
        ANY,
        NONE,
        "suppress|unsubscribed|previously bounced",
        Cause::Suppressed,
    ),
    rule(
        At::Rcpt,
        ANY,
        &[(2, 2)],
        "mailbox full|mailbox is full|mailbox*over quota|mailbox*quota|over quota|overquota|\
         out of storage|insufficient mailbox space",
        Cause::MailboxFull,
    ),
    rule(
        At::Rcpt,
        ANY,
        NONE,
        "user unknown|unknown user|no such user|no such recipient|no such mailbox|no such id|\
         no such address|no such person|user not found|recipient not found|recipient unknown|\
         unknown recipient|unknown address|mailbox unavailable|mailbox not found|\
         mailbox does not exist|mailbox unknown|does not exist|doesn't exist|\
         invalid recipient|invalid mailbox|no mailbox here|not a valid mailbox|\
         user doesn't have|bad destination mailbox|\
         recipient address rejected: domain not found|domain not found|null mx|\
         address rejected: access denied",
        Cause::Recipient,
    ),
    rule(At::Rcpt, &[556], NONE, "*", Cause::Recipient),
    rule(At::Rcpt, ANY, &[(3, 4)], "", Cause::TooLarge),
    rule(
        At::Message,
        ANY,
        &[(3, 4)],
        "too large|too big|size exceeds|size limit|exceeds*size|exceeded*size|\
         maximum message size|maximum size|exceeds byte limit",
        Cause::TooLarge,
    ),
    rule(
        At::Content,
        ANY,
        &[(4, 6)],
        "too many hops|mail loop|routing loop|hop count",
        Cause::Loop,
    ),
    rule(
        At::Content,
        ANY,
        NONE,
        "virus|malware|infected|content rejected|content denied|\
         bare lf|bare <lf>|bare newline|line too long|missing*header|duplicate*header|\
         invalid*header|malformed*header|header*missing|not rfc 2822|not rfc 5322|\
         not rfc2822|not rfc5322|message parse error|requiretls",
        Cause::Content,
    ),
    rule(
        At::Any,
        &[500, 501, 502, 504, 555],
        NONE,
        "*",
        Cause::Protocol,
    ),
];

/// The cause of a refusal.
pub(super) fn cause(stage: Stage, reply: &Reply) -> Cause {
    let text = own_words(&reply.text());
    let known = RULES
        .iter()
        .find(|rule| rule.at.holds(stage) && rule.fits(reply, &text));
    match known {
        Some(rule) => rule.cause,
        None if is_content_status(stage, reply) => Cause::Content,
        None if reply.is_permanent() => Cause::Unclear,
        None => Cause::Temporary,
    }
}

/// 5.6.x is about content or its conversion (RFC 3463 section 3.7).
fn is_content_status(stage: Stage, reply: &Reply) -> bool {
    At::Message.holds(stage) && reply.status.is_some_and(|status| status.subject() == 6)
}

impl At {
    const fn holds(self, stage: Stage) -> bool {
        match self {
            Self::Any => true,
            Self::Rcpt => matches!(stage, Stage::Rcpt),
            Self::Message => matches!(stage, Stage::Mail | Stage::Data | Stage::EndOfData),
            Self::Content => matches!(stage, Stage::Data | Stage::EndOfData),
        }
    }
}

impl Rule {
    fn fits(&self, reply: &Reply, text: &str) -> bool {
        let has_status =
            |status: mail::StatusCode| self.statuses.contains(&(status.subject(), status.detail()));
        let has_code = self.codes.is_empty() || self.codes.contains(&reply.code);
        has_code && (self.has_words(text) || reply.status.is_some_and(has_status))
    }

    fn has_words(&self, text: &str) -> bool {
        !self.words.is_empty() && self.words.split('|').any(|words| holds(text, words))
    }
}

/// Whether the parts of a pattern, separated by `*`, stand in the text one after the other.
fn holds(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The text in lower case without what is quoted in it: addresses and links, whose words would
/// else decide what the answer means.
fn own_words(text: &str) -> String {
    let is_quoted = |word: &&str| !word.contains('@') && !word.contains("://");
    let words: Vec<String> = text
        .split_whitespace()
        .filter(is_quoted)
        .map(str::to_ascii_lowercase)
        .collect();
    words.join(" ")
}

/// How long a text asks to wait: `try again in 92 seconds`. At most a day.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let (_, rest) = text
        .split_once("try again in ")
        .or_else(|| text.split_once("retry after "))?;
    let rest = rest.trim_start_matches("about ");
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number: u64 = rest[..end].parse().ok()?;
    let unit = rest[end..].trim_start();
    let seconds = match unit.chars().next() {
        Some('m') if !unit.starts_with("ms") && !unit.starts_with("mil") => 60,
        Some('h') => 3600,
        Some('s') => 1,
        _ => return None,
    };
    Some(Duration::from_secs(
        number.saturating_mul(seconds).min(86_400),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(holds("daily user sending limit exceeded", "daily*limit"));
        assert!(!holds("limit daily", "daily*limit"));
        assert!(holds("", "*") && holds("x", "*"));
    }

    #[test]
    fn quoted_addresses_and_links_do_not_decide() {
        assert_eq!(
            own_words("<quota@x.y>: Sorry, see https://x.y/virus User Unknown"),
            "sorry, see user unknown"
        );
    }

    #[test]
    fn waits() {
        let cases = [
            ("Too many messages. Try again in 92 seconds.", Some(92)),
            ("try again in 5 min", Some(300)),
            ("try again in about 2 hours", Some(7200)),
            ("try again in 30s", Some(30)),
            ("try again in 99999999999999999 h", Some(86_400)),
            ("try again in 5 ms", None),
            ("try again in a while", None),
            ("try again later", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(
                retry_after(text),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
    }

    #[test]
    fn words_are_in_lower_case() {
        for rule in RULES {
            assert_eq!(rule.words, rule.words.to_ascii_lowercase());
            assert!(rule.words.is_empty() || rule.words.split('|').all(|words| !words.is_empty()));
        }
    }
}
