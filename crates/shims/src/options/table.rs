//! The table of `sendmail`'s options.
//!
//! The reader, the help text, the manual page and the tests are all made from it.

use super::Task;

/// Whether an option has a value, and where it may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// It has none; the next letter of the cluster is another option.
    None,
    /// The rest of the argument, or the next argument.
    Required,
    /// The rest of the argument, which may be empty; never the next argument.
    Attached,
}

/// What an option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sets the envelope sender.
    Sender,
    /// Sets the full name for a From header.
    FullName,
    /// Takes recipients from the header.
    ExtractRecipients,
    /// A line with a single dot does not end the message.
    IgnoreDots,
    /// Makes `newaliases` say what it found.
    Verbose,
    /// The header is left as it is.
    GatewaySubmission,
    /// The `-o` family, of which only `-oi` acts.
    OldOption,
    /// Sets the body type.
    BodyType,
    /// Asks for delivery reports.
    Notify,
    /// Says how much of the message a report returns.
    Return,
    /// Sets the envelope id.
    EnvelopeId,
    /// `-XV` is refused, `-X FILE` ignored.
    TrafficLog,
    /// Chooses what to do; see [`MODES`].
    Mode,
    /// Starts a queue run.
    Queue,
    /// Rebuilds aliases.
    Aliases,
    /// None.
    Ignored,
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The letter after the dash.
    pub letter: char,
    /// Its value.
    pub value: Value,
    /// The name of its value in the help text; empty where it has none.
    pub value_name: &'static str,
    /// What it does.
    pub effect: Effect,
    /// What it does, in words.
    pub meaning: &'static str,
    /// Why it is treated so, and who else does the same.
    pub reason: &'static str,
}

const fn row(
    letter: char,
    value: Value,
    value_name: &'static str,
    effect: Effect,
    meaning: &'static str,
    reason: &'static str,
) -> Letter {
    Letter {
        letter,
        value,
        value_name,
        effect,
        meaning,
        reason,
    }
}

use Effect::{Aliases, BodyType, EnvelopeId, ExtractRecipients, FullName, GatewaySubmission};
use Effect::{IgnoreDots, Ignored, OldOption, Queue, Return, Sender, TrafficLog};
use Value::{Attached, None, Required};

/// Every option that is known, in the order of the manual. A letter that is not here is refused.
pub const OPTIONS: &[Letter] = &[
    row(
        'A',
        Required,
        "c|m",
        Ignored,
        "ignored",
        "chooses sendmail.org's configuration file; Postfix and dma ignore it; MIMEDefang passes -Ac",
    ),
    row(
        'B',
        Required,
        "8BITMIME|7BIT",
        BodyType,
        "the body type that is declared to the gateway",
        "as Postfix; cron and mutt pass it",
    ),
    row(
        'b',
        Required,
        "MODE",
        Effect::Mode,
        "what to do instead of sending a message; see the modes",
        "as Postfix",
    ),
    row(
        'C',
        Required,
        "FILE",
        Ignored,
        "ignored; the file is not opened",
        "a caller must not choose the settings; dma and nullmailer ignore it, Postfix refuses most files",
    ),
    row('c', None, "", Ignored, "ignored", "as Postfix"),
    row(
        'D',
        Required,
        "FILE",
        Ignored,
        "ignored; the file is not opened",
        "sendmail.org's debug log",
    ),
    row(
        'd',
        Attached,
        "LEVEL",
        Ignored,
        "ignored",
        "sendmail.org's debugging; dma, nullmailer and ssmtp ignore it, Postfix refuses it",
    ),
    row(
        'E',
        Attached,
        "ARG",
        Ignored,
        "ignored",
        "OpenSMTPD, Exim and qmail ignore it",
    ),
    row(
        'e',
        Required,
        "MODE",
        Ignored,
        "ignored; errors are always told by exit status and on standard error",
        "as Postfix",
    ),
    row(
        'F',
        Required,
        "NAME",
        FullName,
        "the sender's full name, for a message without a From header",
        "as Postfix; before the NAME variable and the account's name",
    ),
    row(
        'f',
        Required,
        "ADDRESS",
        Sender,
        "the envelope sender; an empty ADDRESS or <> is the null sender; the last one counts",
        "as Postfix: everybody may choose it, no header tells",
    ),
    row(
        'G',
        None,
        "",
        GatewaySubmission,
        "passes on mail that others wrote: no From, Date and Message-ID is added, and bare addresses in the header stay bare; Bcc is removed all the same",
        "as Postfix",
    ),
    row(
        'h',
        Required,
        "N",
        Ignored,
        "ignored",
        "hop count; Postfix ignores it",
    ),
    row('I', None, "", Aliases, "the same as -bi", "as Postfix"),
    row(
        'i',
        None,
        "",
        IgnoreDots,
        "a line with a single dot is text and does not end the message",
        "as every sendmail",
    ),
    row(
        'J',
        Attached,
        "ARG",
        Ignored,
        "ignored",
        "OpenSMTPD and qmail ignore it",
    ),
    row(
        'L',
        Required,
        "TAG",
        Ignored,
        "ignored",
        "a name for log lines",
    ),
    row(
        'M',
        Required,
        "MACRO",
        Ignored,
        "ignored",
        "sendmail.org's macros",
    ),
    row(
        'm',
        None,
        "",
        Ignored,
        "ignored",
        "\"me too\", the behaviour anyway; as Postfix; mail(1) passes it",
    ),
    row(
        'N',
        Required,
        "CONDITIONS",
        Effect::Notify,
        "when to report on delivery: never, or success, failure and delay with commas between",
        "as Postfix; a wrong word is refused, where Postfix warns and goes on",
    ),
    row(
        'n',
        None,
        "",
        Ignored,
        "ignored",
        "do not expand aliases; every sendmail but Postfix, OpenSMTPD and qmail accepts it",
    ),
    row(
        'O',
        Required,
        "OPTION=VALUE",
        Ignored,
        "ignored",
        "sendmail.org's long options; Postfix ignores nearly all, RT passes some",
    ),
    row(
        'o',
        Required,
        "X[VALUE]",
        OldOption,
        "-oi is -i; all others are ignored",
        "as Postfix; callers pass -oem, -odb, -om, -oi and more",
    ),
    row(
        'p',
        Required,
        "PROTOCOL",
        Ignored,
        "ignored",
        "where the message came from; Postfix ignores it",
    ),
    row(
        'Q',
        Attached,
        "REASON",
        Ignored,
        "ignored",
        "sendmail.org's quarantine",
    ),
    row(
        'q',
        Attached,
        "[TIME|IID|RSITE]",
        Queue,
        "try queued messages now: all, one by its queue id (-qI), or those for one domain (-qR); with a TIME nothing is done",
        "as Postfix",
    ),
    row(
        'R',
        Required,
        "full|hdrs",
        Return,
        "how much of the message a delivery report returns",
        "as Postfix; a wrong word is refused",
    ),
    row(
        'r',
        Required,
        "ADDRESS",
        Sender,
        "the same as -f",
        "as every sendmail",
    ),
    row(
        's',
        None,
        "",
        Ignored,
        "ignored",
        "keep From_ lines, sendmail.org",
    ),
    row('T', None, "", Ignored, "ignored", "sendmail.org accepts it"),
    row(
        't',
        None,
        "",
        ExtractRecipients,
        "recipients are those of To, Cc and Bcc, or of Resent-To, Resent-Cc and Resent-Bcc if any of these is there, besides those on the command line; Bcc is removed in any case",
        "as Postfix",
    ),
    row(
        'U',
        None,
        "",
        Ignored,
        "ignored",
        "initial user submission; as Postfix",
    ),
    row(
        'V',
        Required,
        "ENVID",
        EnvelopeId,
        "the envelope id that delivery reports carry",
        "as Postfix; Sympa passes it attached",
    ),
    row(
        'v',
        None,
        "",
        Effect::Verbose,
        "with -bi, say how many aliases there are; else ignored",
        "Postfix mails a report of each delivery; mail -v passes it",
    ),
    row(
        'X',
        Required,
        "FILE",
        TrafficLog,
        "ignored, the file is not opened; -XV is refused",
        "a traffic log would let a caller choose a file to write (CVE-2016-10033); -XV asks for VERP, which ignoring would break",
    ),
    row('x', None, "", Ignored, "ignored", "as Postfix"),
];

/// What `-b` with a letter does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It chooses this task.
    Does(Task),
    /// It is refused, for this reason.
    Refused(&'static str),
}

/// The modes of `-b`: letter, treatment, and what it is in words.
pub const MODES: &[(char, Mode, &str)] = &[
    (
        'd',
        Mode::Refused(DAEMON),
        "run as a daemon: refused, since relayd is one of its own",
    ),
    (
        'h',
        Mode::Does(Task::Nothing),
        "host status: nothing is done, as with Postfix",
    ),
    (
        'H',
        Mode::Does(Task::Nothing),
        "flush host status: nothing is done, as with Postfix",
    ),
    (
        'i',
        Mode::Does(Task::RebuildAliases),
        "check the alias file; there is nothing to rebuild",
    ),
    ('l', Mode::Refused(DAEMON), "the same as -bd"),
    (
        'm',
        Mode::Does(Task::Deliver),
        "send a message; the default",
    ),
    (
        'p',
        Mode::Does(Task::ListQueue),
        "list the queue, as mailq does",
    ),
    (
        's',
        Mode::Does(Task::Smtp),
        "speak SMTP on standard input and output",
    ),
    (
        'v',
        Mode::Refused(VERIFY),
        "verify addresses: refused, since only the gateway could tell",
    ),
];

const DAEMON: &str =
    "sendmail is no daemon here; the mail system is relayd, which its own service starts";
const VERIFY: &str = "addresses cannot be verified here, and nothing was sent";
