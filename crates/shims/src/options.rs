//! The command line of `sendmail`: one table of options, and a reader of argv made from it.
//!
//! The grammar is getopt's in POSIX order, as Postfix uses it: options end at the first operand or
//! at `--`; letters may be clustered (`-ti`); a value may be attached (`-fX`) or the next argument
//! (`-f X`). The letters are Postfix's and those that other sendmails take besides. Every letter
//! that any caller is known to pass is accepted, most of them to no effect; a letter that nobody
//! documents is refused, since ignoring it could send mail that was not meant to be sent.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use mail::{Body, Notify, Ret};

use crate::failure::Failure;

mod document;
mod table;

pub use document::{help, manual};
pub use table::{Effect, Letter, MODES, Mode, OPTIONS, Value};

/// A command line that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What is asked for.
    pub task: Task,
    /// `-t`: recipients are in the header.
    pub extract_recipients: bool,
    /// `-i`: a line with a single dot is text.
    pub ignore_dots: bool,
    /// `-v` together with [`Task::RebuildAliases`]: say what was found.
    pub verbose: bool,
    /// `-G`: the message is somebody else's, and its header is left as it is.
    pub gateway_submission: bool,
    /// `-f` or `-r`, the last one; empty means the null sender.
    pub sender: Option<Vec<u8>>,
    /// `-F`, the last one; may be empty.
    pub full_name: Option<Vec<u8>>,
    /// `-B`.
    pub body: Option<Body>,
    /// `-N`.
    pub notify: Option<Notify>,
    /// `-R`.
    pub ret: Option<Ret>,
    /// `-V`: printable ASCII, at most 100 characters.
    pub envid: Option<String>,
    /// The arguments after the options.
    pub operands: Vec<OsString>,
}

/// What a command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Take a message from stdin.
    #[default]
    Deliver,
    /// Speak SMTP on stdin and stdout.
    Smtp,
    /// List the queue.
    ListQueue,
    /// Try everything in the queue now.
    Flush,
    /// Try one message now.
    FlushId(Vec<u8>),
    /// Try what is for one domain now.
    FlushSite(Vec<u8>),
    /// Check the alias file; there is no data base to rebuild.
    RebuildAliases,
    /// Succeed and do nothing.
    Nothing,
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
}

/// The name a program is called by decides what it does without options.
#[must_use]
pub fn task_of_name(program: &str) -> Task {
    match program {
        "mailq" => Task::ListQueue,
        "newaliases" => Task::RebuildAliases,
        "hoststat" | "purgestat" => Task::Nothing,
        "smtpd" => Task::Smtp,
        _ => Task::Deliver,
    }
}

/// Reads the arguments after the program's name. `initial` is what to do if no option says
/// otherwise; see [`task_of_name`].
///
/// # Errors
/// The command line cannot be understood or contradicts itself; always status 64.
pub fn parse<I>(arguments: I, initial: Task) -> Result<Invocation, Failure>
where
    I: IntoIterator<Item = OsString>,
{
    let mut found = Invocation::new(initial);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let bytes = argument.as_bytes();
        match bytes {
            b"--" => break,
            b"--help" => found.task = Task::Help,
            b"--version" => found.task = Task::Version,
            [b'-', b'-', ..] => return Err(unknown_option(bytes)),
            [b'-', cluster @ ..] if !cluster.is_empty() => {
                parse_cluster(cluster, &mut arguments, &mut found)?;
            }
            _ => {
                found.operands.push(argument);
                break;
            }
        }
    }
    found.operands.extend(arguments);
    found.verbose &= found.task == Task::RebuildAliases;
    found.check()?;
    Ok(found)
}

fn parse_cluster(
    cluster: &[u8],
    arguments: &mut impl Iterator<Item = OsString>,
    found: &mut Invocation,
) -> Result<(), Failure> {
    let mut rest = cluster;
    while let [letter, after @ ..] = rest {
        let option = OPTIONS
            .iter()
            .find(|option| option.letter == char::from(*letter))
            .ok_or_else(|| unknown_option(&[b'-', *letter]))?;
        let value = match option.value {
            Value::None => {
                rest = after;
                found.apply(option, b"")?;
                continue;
            }
            Value::Attached => after.to_vec(),
            Value::Required if !after.is_empty() => after.to_vec(),
            Value::Required => arguments.next().map(OsString::into_vec).ok_or_else(|| {
                Failure::usage(format!("option -{} needs a value", option.letter))
            })?,
        };
        return found.apply(option, &value);
    }
    Ok(())
}

fn unknown_option(text: &[u8]) -> Failure {
    let shown = crate::failure::printable(&String::from_utf8_lossy(text), 40);
    Failure::usage(format!("unknown option {shown}; see sendmail --help"))
}

impl Invocation {
    fn new(task: Task) -> Self {
        Self {
            task,
            extract_recipients: false,
            ignore_dots: false,
            verbose: false,
            gateway_submission: false,
            sender: None,
            full_name: None,
            body: None,
            notify: None,
            ret: None,
            envid: None,
            operands: Vec::new(),
        }
    }

    fn apply(&mut self, option: &Letter, value: &[u8]) -> Result<(), Failure> {
        match option.effect {
            Effect::Ignored => {}
            Effect::Sender => self.sender = Some(value.to_vec()),
            Effect::FullName => self.full_name = Some(value.to_vec()),
            Effect::ExtractRecipients => self.extract_recipients = true,
            Effect::IgnoreDots => self.ignore_dots = true,
            Effect::Verbose => self.verbose = true,
            Effect::GatewaySubmission => self.gateway_submission = true,
            Effect::OldOption => self.ignore_dots |= value.first() == Some(&b'i'),
            Effect::BodyType => self.body = Some(body_type(value)?),
            Effect::Notify => self.notify = Some(notify(value)?),
            Effect::Return => self.ret = Some(ret(value)?),
            Effect::EnvelopeId => self.envid = Some(envelope_id(value)?),
            Effect::TrafficLog => refuse_verp(value)?,
            Effect::Mode => self.task = task_of_mode(value)?,
            Effect::Queue => self.task = task_of_queue_run(value)?,
            Effect::Aliases => self.task = Task::RebuildAliases,
        }
        Ok(())
    }

    /// The contradictions that Postfix finds, in its words.
    fn check(&self) -> Result<(), Failure> {
        if self.extract_recipients
            && !matches!(self.task, Task::Deliver | Task::Help | Task::Version)
        {
            return Err(Failure::usage("-t can be used only in delivery mode"));
        }
        let alone = match self.task {
            Task::Smtp => "stand-alone mode",
            Task::ListQueue => "display queue mode",
            Task::Flush => "flush queue mode",
            Task::FlushId(_) => "flush queue_id",
            Task::FlushSite(_) => "flush site",
            Task::RebuildAliases => "alias initialization mode",
            Task::Deliver | Task::Nothing | Task::Help | Task::Version => return Ok(()),
        };
        if self.operands.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!("{alone} requires no recipient")))
    }
}

fn body_type(value: &[u8]) -> Result<Body, Failure> {
    match value.to_ascii_uppercase().as_slice() {
        b"8BITMIME" => Ok(Body::EightBitMime),
        b"7BIT" => Ok(Body::SevenBit),
        _ => Err(Failure::usage("specify -B8BITMIME or -B7BIT")),
    }
}

fn ret(value: &[u8]) -> Result<Ret, Failure> {
    match value.to_ascii_lowercase().as_slice() {
        b"full" => Ok(Ret::Full),
        b"hdrs" => Ok(Ret::Headers),
        _ => Err(Failure::usage("specify -R full or -R hdrs")),
    }
}

fn notify(value: &[u8]) -> Result<Notify, Failure> {
    let mut wishes = Notify::default();
    let value = value.to_ascii_lowercase();
    if value == b"never" {
        return Ok(wishes);
    }
    for word in value.split(|byte| *byte == b',') {
        match word.trim_ascii() {
            b"success" => wishes.success = true,
            b"failure" => wishes.failure = true,
            b"delay" => wishes.delay = true,
            _ => {
                let text = "specify -N never, or one or more of success, failure and delay";
                return Err(Failure::usage(text));
            }
        }
    }
    Ok(wishes)
}

/// RFC 3461 section 4.4: at most 100 characters of printable ASCII.
fn envelope_id(value: &[u8]) -> Result<String, Failure> {
    let printable = value.iter().all(|byte| (b' '..=b'~').contains(byte));
    if value.is_empty() || value.len() > 100 || !printable {
        return Err(Failure::usage(
            "an envelope id (-V) is 1 to 100 printable ASCII characters",
        ));
    }
    Ok(OsStr::from_bytes(value).to_string_lossy().into_owned())
}

fn refuse_verp(value: &[u8]) -> Result<(), Failure> {
    if value.first() == Some(&b'V') {
        return Err(Failure::usage(
            "-XV (one sender address per recipient) is not supported",
        ));
    }
    Ok(())
}

fn task_of_mode(value: &[u8]) -> Result<Task, Failure> {
    let letter = value.first().copied().map_or(' ', char::from);
    match MODES.iter().find(|(known, ..)| *known == letter) {
        Some((_, Mode::Does(task), _)) => Ok(task.clone()),
        Some((_, Mode::Refused(reason), _)) => Err(Failure::usage(format!("-b{letter}: {reason}"))),
        None => {
            let shown = crate::failure::printable(&letter.to_string(), 4);
            Err(Failure::usage(format!("unsupported: -b{shown}")))
        }
    }
}

fn task_of_queue_run(value: &[u8]) -> Result<Task, Failure> {
    match value {
        [] => Ok(Task::Flush),
        [first, ..] if first.is_ascii_digit() => Ok(Task::Nothing),
        b"I" => Err(Failure::usage("specify: -qIqueueid")),
        b"R" => Err(Failure::usage("specify: -qRsitename")),
        [b'I', id @ ..] => Ok(Task::FlushId(id.to_vec())),
        [b'R', site @ ..] => Ok(Task::FlushSite(site.to_vec())),
        [other, ..] => {
            let shown = crate::failure::printable(&char::from(*other).to_string(), 4);
            Err(Failure::usage(format!("-q{shown} is not implemented")))
        }
    }
}

#[cfg(test)]
mod tests;
