//! The manual page relayd-replies(5): how a rule is written, made from the names that are read.

use super::cause::NAMES;
use super::rulebook::{ACTS, STAGES};
use crate::log::printable::roff;
use std::fmt::Write;

/// The manual page relayd-replies(5), as roff source.
#[must_use]
pub fn manual() -> String {
    let mut out = String::from(HEAD);
    let stages: Vec<&str> = STAGES.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(out, ".TP\n.B STAGE\n{}", roff(STAGE));
    let _ = writeln!(out, "The names are {}.", roff(&stages.join(", ")));
    out.push_str(COLUMNS);
    out.push_str(".SH ACTIONS\n");
    for (name, _, meaning) in ACTS {
        let _ = writeln!(out, ".TP\n.B {}\n{}", roff(name), roff(meaning));
    }
    out.push_str(".SH CAUSES\nA cause decides what relayd says about the refusal.\n");
    for (name, cause) in NAMES {
        let words = cause.advice().map_or_else(
            || "Nothing is said.".to_owned(),
            |advice| format!("{}: {}.", advice.meaning, advice.remedy),
        );
        let _ = writeln!(out, ".TP\n.B {}\n{}", roff(name), roff(&words));
    }
    out.push_str(TAIL);
    out
}

const STAGE: &str = "What the reply is the answer to; several with commas between them. connect is \
     the greeting, tls STARTTLS, end the end of the message, idle what comes between messages; \
     content is data and end, transaction is mail, rcpt, data and end.";

const HEAD: &str = r#".TH RELAYD-REPLIES 5
.SH NAME
relayd\-replies \- what the gateway's refusals mean
.SH SYNOPSIS
.B [replies]
.br
.B file = /etc/relayd/replies
.SH DESCRIPTION
relayd has a table of rules that say what the replies of gateways mean: whether a quota is used up, a
sender is not verified, or a recipient does not exist.
Rules of your own go before them.
.PP
A refusal that no rule knows keeps the mail, whatever its code: it is tried again, at longer and
longer intervals, and returned to its sender once queue_lifetime has passed.
With soft_bounce = no such a refusal returns it at once, and with yes no refusal does.
Nothing that is said before MAIL ever returns a message, and no reply of class 4 does.
.PP
A line is a rule of six columns with spaces between them:
.PP
.nf
STAGE  CODE       PROVIDER  ACTION       CAUSE  WORDS
rcpt   550,55x    \-         pause:day    quota  daily * {limit,quota} | used up
auth   535/5.7.8  ses!      park         password
  = the key is wrong; take the new one from the safe
.fi
.PP
Empty lines, and lines that begin with #, are comments.
A line that begins with a space goes on with the rule before it: with more words after a |, or after
a = with what the refusal means and, after a semicolon, what to do about it.
The first rule that fits counts.
.SH COLUMNS
"#;

const COLUMNS: &str = r#".TP
.B CODE
Reply codes with commas between them; x is any digit.
After a slash enhanced codes: 5.7.1, x.7.1 for any class, x.7.5?? for any digits, x.7.* for any
detail, \- for none.
.TP
.B PROVIDER
\- for all, or a name of
.BR "relayctl providers" .
Such a rule is asked first where the gateway is of this provider, and later elsewhere; with a ! after
the name it holds for this provider alone.
.TP
.B ACTION
See below.
.TP
.B CAUSE
See below.
.TP
.B WORDS
What stands in the text, with | between alternatives; \- or nothing for any text.
* stands for up to 60 characters, # for a number, ^ at the beginning for the start of the text,
{a,b} for one of several.
Case does not matter.
Addresses and links in the reply are not looked at.
"#;

const TAIL: &str = r#".SH SEE ALSO
.BR relayd.conf (5),
.BR relayctl (8),
.BR relayd\-log (5)
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_it() {
        let page = manual();
        for name in STAGES.iter().map(|(name, _)| *name) {
            assert!(page.contains(name), "{name}");
        }
        for name in NAMES
            .iter()
            .map(|(name, _)| *name)
            .chain(ACTS.iter().map(|(name, ..)| *name))
        {
            assert!(page.contains(&format!(".B {}\n", roff(name))), "{name}");
        }
    }
}
