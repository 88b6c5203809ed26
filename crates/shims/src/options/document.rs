//! The help text and the manual page of `sendmail`, written from the table of options.

use std::fmt::Write;

use super::table::{Effect, Letter, MODES, OPTIONS, Value};

/// What `sendmail --help` prints.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "Usage: sendmail [option ...] [recipient ...]\n\
         Takes a message from standard input and queues it for relayd.\n\nOptions:\n",
    );
    for option in OPTIONS
        .iter()
        .filter(|option| option.effect != Effect::Ignored)
    {
        let _ = writeln!(text, "  {:<20} {}", synopsis(option), option.meaning);
    }
    text.push_str("\nModes:\n");
    for (letter, _, meaning) in MODES {
        let _ = writeln!(text, "  -b{letter:<18} {meaning}");
    }
    let ignored = OPTIONS
        .iter()
        .filter(|option| option.effect == Effect::Ignored);
    let ignored: Vec<String> = ignored.map(synopsis).collect();
    let _ = writeln!(text, "\nAccepted and ignored: {}", ignored.join(", "));
    text
}

/// The manual page sendmail(1), in roff.
#[must_use]
pub fn manual() -> String {
    let mut page = String::from(OPENING);
    page.push_str(".SH OPTIONS\nOptions end at the first operand or at\n.BR \\-\\- .\n");
    for option in OPTIONS {
        let _ = write!(page, ".TP\n.B {}\n", roff(&synopsis(option)));
        let _ = writeln!(
            page,
            "{}.\n({}.)",
            sentence(option.meaning),
            sentence(option.reason)
        );
    }
    page.push_str(".SH MODES\n");
    for (letter, _, meaning) in MODES {
        let _ = write!(page, ".TP\n.B \\-b{letter}\n{}.\n", sentence(meaning));
    }
    page.push_str(CLOSING);
    page
}

fn synopsis(option: &Letter) -> String {
    let Letter {
        letter,
        value,
        value_name,
        ..
    } = option;
    match value {
        Value::None => format!("-{letter}"),
        Value::Required => format!("-{letter} {value_name}"),
        Value::Attached if value_name.starts_with('[') => format!("-{letter}{value_name}"),
        Value::Attached => format!("-{letter}[{value_name}]"),
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    roff(&first.into_iter().chain(letters).collect::<String>())
}

/// Escapes what roff would read as its own; no text of the table begins with a dot.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

const OPENING: &str = r#".TH SENDMAIL 1 "" "relayd" "User Commands"
.SH NAME
sendmail \- hand a message to relayd
.SH SYNOPSIS
.B sendmail
.RI [ option " ...] [" recipient " ...]"
.br
.B mailq
.br
.B newaliases
.SH DESCRIPTION
.B sendmail
takes a message from standard input up to its end, or without
.B \-i
up to a line with a single dot, and queues it for
.BR relayd (8).
When it ends with status 0 the message is on stable storage and
.B relayd
answers for it. It needs no privilege: the message is handed over at
.IR /run/relayd/submit.sock ,
or, while
.B relayd
is down, left in
.IR /var/spool/relayd/maildrop .
.PP
The message may have any mix of line ends. A missing From header is written with the name of
.BR \-F ,
of the variable
.B NAME
or of the account.
Each recipient argument is a list as in a To header.
Called as
.B mailq
it lists the queue; called as
.B newaliases
it checks
.IR /etc/aliases ,
which counts as it stands: there is nothing to rebuild.
"#;

const CLOSING: &str = r".SH EXIT STATUS
Anything but 0 means that nothing was queued. One line on standard error says why.
.TP
.B 0
The message is queued, or what was asked for is done.
.TP
.B 64
The command line cannot be understood, or there is no recipient.
.TP
.B 65
An address is not one, or the message is refused for what it is.
.TP
.B 66
Standard input is closed.
.TP
.B 69
The message is too large, or the service is not there.
.TP
.B 74
The message could not be read.
.TP
.B 75
The message could not be queued now; try again later.
.TP
.B 77
The caller is not allowed to do this.
.TP
.B 78
The settings file is wrong in
.BR [paths] ,
so that the queue cannot be found, or the one named in RELAYD_CONFIG is missing.
Other mistakes in it do not matter here.
.SH ENVIRONMENT
.TP
.B NAME
The full name for a message without a From header.
.TP
.B RELAYD_CONFIG
The settings file to use instead of
.IR /etc/relayd/relayd.conf .
.SH SEE ALSO
.BR mailq (1),
.BR postqueue (1),
.BR relayd (8)
";
