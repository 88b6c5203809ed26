//! The sample file and the manual page, both from the table of keys.

use super::keys::{Fallback, KEYS, Key, Section};
use crate::log::printable::roff;
use std::fmt::Write;

/// The sample settings file: every key with its meaning and default, commented out but for what
/// a gateway needs at least.
#[must_use]
pub fn sample() -> String {
    let mut out = String::from(HEAD);
    for section in Section::ALL {
        if let Some(introduction) = introduction(section) {
            let _ = write!(out, "\n{}", commented(introduction));
            let name = if section == Section::Gateway {
                " main"
            } else {
                ""
            };
            let _ = writeln!(out, "[{}{name}]", section.word());
        }
        for key in KEYS.iter().filter(|key| key.section == section) {
            sample_key(&mut out, key);
        }
    }
    out
}

const HEAD: &str = "\
# Settings of relayd. relayd.conf(5) describes them as well.
#
# A setting is written as \"name = value\", one a line. A line that begins with # is a comment; a
# comment after a value is not possible. Values are not quoted. What is commented out below shows
# the default, or an example where there is none. After a change: relayd --check, then
# relayctl reload.
";

fn introduction(section: Section) -> Option<&'static str> {
    match section {
        Section::Top => None,
        Section::Paths => Some("Folders."),
        Section::Aliases => Some("Who gets the mail for names of this host, such as root."),
        Section::Rewrite => Some("Envelope addresses that are replaced by others."),
        Section::From => Some("Whom mail may be from, for gateways that take that from some only."),
        Section::Replies => Some("What the gateway's refusals mean."),
        Section::Gateway => Some(
            "A gateway that mail is relayed through. The name after \"gateway\" is yours to choose; \
             it stands in the log. There may be several such sections: fallback, overflow, weight \
             and the names that begin with for_ say which takes what.",
        ),
        Section::Listen => {
            Some("Where mail is taken in by SMTP. Programs that call sendmail do not need this.")
        }
        Section::Limits => Some("What clients that hand in mail may cost."),
        Section::Log => Some("The log."),
        Section::Alarm => Some(
            "How trouble is told to a person, by roads that do not need the gateway: a mail account \
             of its own, a web address, a command, a file. They are tried in this order until one \
             takes the alarm. Sections [alarm NAME] add further roads, tried after these in the \
             order of the file. relayctl emergency sends by them at once.",
        ),
    }
}

/// What the sample sets, so that it is a complete file.
const GIVEN: [&str; 3] = ["host", "user", "password_file"];

fn sample_key(out: &mut String, key: &Key) {
    let default = match key.default {
        Fallback::Value(value) => format!("Default: {value}"),
        Fallback::Words(words) => format!("Default: {words}"),
    };
    let _ = write!(out, "\n{}{}", commented(key.meaning), commented(&default));
    let is_given = key.section == Section::Gateway && GIVEN.contains(&key.name);
    let mark = if is_given { "" } else { "#" };
    let _ = writeln!(out, "{mark}{} = {}", key.name, key.shown());
}

/// Words as comment lines of at most 99 characters.
fn commented(words: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > 99 {
            let _ = writeln!(out, "{line}");
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
    out
}

/// The manual page relayd.conf(5), as roff source.
#[must_use]
pub fn manual() -> String {
    let mut out = String::from(MANUAL_HEAD);
    for section in Section::ALL {
        let title = match section {
            Section::Top => "BEFORE THE FIRST SECTION".to_owned(),
            Section::Gateway => "SECTION [gateway NAME]".to_owned(),
            Section::Alarm => "SECTIONS [alarm] AND [alarm NAME]".to_owned(),
            _ => format!("SECTION [{}]", section.word()),
        };
        let _ = writeln!(out, ".SH {title}");
        if let Some(introduction) = introduction(section) {
            let _ = writeln!(out, "{}", roff(introduction));
        }
        for key in KEYS.iter().filter(|key| key.section == section) {
            manual_key(&mut out, key);
        }
    }
    out.push_str(MANUAL_TAIL);
    out
}

fn manual_key(out: &mut String, key: &Key) {
    let default = match key.default {
        Fallback::Value(value) => format!("\\fB{}\\fR", roff(value)),
        Fallback::Words(words) => roff(words),
    };
    let _ = writeln!(out, ".TP\n.B {}", roff(key.name));
    let _ = writeln!(out, "{}", roff(key.meaning));
    let _ = writeln!(out, "Value: {}.", roff(key.kind.form()));
    let _ = writeln!(out, "Default: {default}.");
    if matches!(key.default, Fallback::Words(_)) || key.shown() != key.example {
        let _ = writeln!(out, "Example: \\fB{}\\fR.", roff(key.example));
    }
}

const MANUAL_HEAD: &str = r#".TH RELAYD.CONF 5
.SH NAME
relayd.conf \- settings of relayd
.SH SYNOPSIS
.B /etc/relayd/relayd.conf
.SH DESCRIPTION
The file holds settings written as
.BR "name = value" ,
one a line, under headings in brackets.
Empty lines, and lines whose first character other than a space is # or ;, are comments.
A comment cannot follow a value, values are not quoted, and a line cannot be continued.
A relative path counts from the folder of the file.
.PP
The file is read strictly: an unknown name, a name that stands twice or a value that cannot be
understood is an error, and relayd then keeps the settings that it has, or does not start.
.B relayd --check
lists everything that is wrong with a file;
.B relayctl reload
puts a changed file into use.
"#;

const MANUAL_TAIL: &str = r#".SH FILES
.TP
.I /etc/relayd/relayd.conf
The settings. The environment variable RELAYD_CONFIG names another file.
.TP
.I /etc/relayd/secrets/
A folder for password files, readable by relayd alone.
.SH SEE ALSO
.BR relayd (8),
.BR relayctl (8),
.BR relayd\-log (5),
.BR relayd\-replies (5),
.BR sendmail (1)
"#;
