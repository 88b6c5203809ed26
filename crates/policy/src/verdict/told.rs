//! A ruling in words, for somebody who asks what relayd would do about a reply.

use super::{Judge, Rulebook, Scope, Verdict};
use crate::schedule::Effect;
use smtp::Stage;
use smtp::reply::{Reply, ReplyParser};
use std::fmt::Write;

/// What a reply means and what relayd does about it, in a few lines. `stage` is the name of a stage
/// as rules name it, `text` the reply in one line.
///
/// # Errors
/// There is no such stage, or the text is not a reply.
pub fn told(judge: &Judge<'_>, stage: &str, text: &str) -> Result<String, String> {
    let stage = Rulebook::stage_named(stage)?;
    let mut parser = ReplyParser::new();
    parser.push(text.trim().as_bytes());
    parser.push(b"\r\n");
    match parser.next_reply() {
        Ok(Some(reply)) => Ok(told_of(judge, stage, &reply)),
        _ => Err(format!(
            "{text:?} is not a reply; write one line that begins with a code"
        )),
    }
}

fn told_of(judge: &Judge<'_>, stage: Stage, reply: &Reply) -> String {
    let ruling = judge
        .of_acceptance(stage, reply)
        .unwrap_or_else(|| judge.classify(stage, reply));
    let mut out = format!("{}\n", done(ruling.verdict, ruling.effect));
    if let Some(wait) = ruling.retry_after {
        let _ = writeln!(out, "It asks to wait {} s.", wait.as_secs());
    }
    if let Some(advice) = &ruling.advice {
        let _ = writeln!(
            out,
            "It means: {}.\nWhat to do: {}.",
            advice.meaning, advice.remedy
        );
    }
    match judge.rules.place(stage, reply, judge.provider) {
        Some((file, line)) => _ = writeln!(out, "The rule is in {file}, line {line}."),
        None => out.push_str("No rule knows this reply.\n"),
    }
    out
}

const fn done(verdict: Verdict, effect: Effect) -> &'static str {
    match verdict {
        Verdict::Defer(Scope::Sender) => "The mail of this sender is kept and tried again later.",
        Verdict::Defer(_) => "The mail is kept and tried again later.",
        Verdict::Fail(Scope::Recipient) => "The mail is returned for this recipient.",
        Verdict::Fail(_) => "The mail is returned.",
        Verdict::Uncertain => "The mail may have been sent; it is tried again later.",
        Verdict::Gateway(_) => match effect {
            Effect::Reconnect => "Mail goes on at once over another session.",
            Effect::SlowDown => "All mail is kept and sent more slowly.",
            Effect::FewerConnections => "All mail is kept and sent over fewer sessions.",
            Effect::PauseUntil(_) => "All mail is kept until the quota is renewed.",
            Effect::BackOff => "All mail is kept, and the gateway asked again later.",
            Effect::Park => "All mail is kept until somebody helps; the gateway is asked rarely.",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::judge;
    use super::*;
    use crate::settings::SoftBounce::Smart;

    #[test]
    fn a_reply_is_told() {
        let told = |stage, text| told(&judge(Smart), stage, text);
        let ses = told(
            "end",
            "554 Message rejected: Email address is not verified.",
        )
        .unwrap();
        assert!(ses.starts_with("The mail of this sender is kept"), "{ses}");
        assert!(ses.contains("not verified at SES") && ses.contains("set default in [from]"));
        assert!(
            ses.contains("The rule is in providers.conf, line "),
            "{ses}"
        );
        let slow = told("mail", "450 4.7.1 slow down, try again in 92 seconds").unwrap();
        assert!(
            slow.contains("sent more slowly") && slow.contains("wait 92 s"),
            "{slow}"
        );
        assert!(
            told("end", "554 no")
                .unwrap()
                .contains("No rule knows this reply")
        );
        assert!(told("rctp", "550 x").unwrap_err().contains("connect, ehlo"));
        assert!(told("rcpt", "no reply").is_err());
    }
}
