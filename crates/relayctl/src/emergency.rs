//! `relayctl emergency`, also called `emergency_mail_sender`: tells a person at once, by the roads
//! of `[alarm]`, without relayd and without the spool.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use host::secret::Keeper;
use policy::log::printable;
use policy::settings::Emergency;
use policy::sysexits::ExitStatus;
use roads::{Event, Letter, Listener, Tried};

use crate::{fail, misused};

/// The program's other name.
const NAME: &str = "emergency_mail_sender";
/// The account of relayd, where the settings name none.
const ACCOUNT: &str = "relayd";
/// What is read of standard input, in bytes. What is sent of it is cut with a word about it.
const LONGEST_BODY: u64 = (1 << 20) + 1;
/// Subjects are cut to this many characters.
const LONGEST_SUBJECT: usize = 500;

/// Whether this process was started by the other name.
pub(crate) fn is_called() -> bool {
    let program = std::env::args_os().next();
    program.is_some_and(|program| Path::new(&program).file_name() == Some(OsStr::new(NAME)))
}

/// Runs as the program of the other name.
pub(crate) fn by_name() -> ExitCode {
    let command = with_arguments(Command::new(NAME)).version(env!("CARGO_PKG_VERSION"));
    match command.try_get_matches() {
        Ok(matches) => run(&matches),
        Err(error) => misused(&error),
    }
}

pub(crate) fn command_line() -> Command {
    with_arguments(Command::new("emergency"))
}

fn with_arguments(command: Command) -> Command {
    command
        .about("Tell a person at once what stands on standard input, by the roads of [alarm]")
        .arg(
            Arg::new("subject")
                .value_name("SUBJECT")
                .value_parser(value_parser!(OsString))
                .required(true)
                .num_args(1..),
        )
        .arg(
            Arg::new("debug")
                .long("debug")
                .short('d')
                .action(ArgAction::SetTrue)
                .help("Show what is said, without secrets"),
        )
}

pub(crate) fn run(arguments: &ArgMatches) -> ExitCode {
    let subject = match subject(arguments) {
        Ok(subject) => subject,
        Err(problem) => return fail(ExitStatus::Usage, problem),
    };
    let debug = arguments.get_flag("debug");
    let mut body = Vec::new();
    let read = io::stdin().lock().take(LONGEST_BODY).read_to_end(&mut body);
    if let Err(error) = read {
        return fail(ExitStatus::IoError, &format!("standard input: {error}"));
    }
    if body.is_empty() {
        if debug {
            say("-- nothing on standard input, so nothing is sent");
        }
        return ExitCode::SUCCESS;
    }
    let file = host::config::file();
    let (emergency, problems) = match host::config::load_emergency(&file) {
        Ok(read) => read,
        Err(error) => return fail(ExitStatus::Config, &error.to_string()),
    };
    for problem in problems {
        warn(&problem.to_string());
    }
    if emergency.alarm.roads.is_empty() {
        let text = format!(
            "{}: there is no road for alarms. Add host, webhook, command or file to [alarm]; relayd.conf(5) describes them.",
            file.display()
        );
        return fail(ExitStatus::Config, &text);
    }
    for (section, account) in emergency.shared_with_gateways() {
        warn(&format!(
            "[{section}]: {} is the gateway's server too, and may be down when you need it",
            account.host
        ));
    }
    let tried = carry(&emergency, &subject, &body, debug);
    report(&tried)
}

/// The subject, made fit for a header field.
fn subject(arguments: &ArgMatches) -> Result<String, &'static str> {
    let words = arguments.get_many::<OsString>("subject");
    let words: Vec<String> = words.into_iter().flatten().map(|word| text(word)).collect();
    let subject = words.join(" ");
    if subject.contains(['\r', '\n']) {
        return Err("the subject has a line break in it; nothing is sent");
    }
    Ok(printable::shortened(subject.trim(), LONGEST_SUBJECT))
}

/// UTF-8, or else Latin-1.
fn text(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn carry(emergency: &Emergency, subject: &str, body: &[u8], debug: bool) -> Vec<Tried> {
    let host = emergency.hostname.clone();
    let host = host.unwrap_or_else(host::identity::hostname);
    let keeper = Keeper::of_relayd(Some(account(emergency)));
    let at = host::clock::wall();
    let letter = Letter {
        subject,
        body,
        host: &host,
        at,
        number: host::random::bytes().map_or_else(|_| at.as_micros(), u64::from_be_bytes),
        event: Event::Alone,
    };
    let listener: Option<Listener> = debug.then(|| Arc::new(say) as Listener);
    roads::carry(&letter, &emergency.alarm.roads, &keeper, listener.as_ref())
}

/// Whose secrets are used.
pub(crate) fn account(emergency: &Emergency) -> &str {
    emergency.user.as_deref().unwrap_or(ACCOUNT)
}

/// Says on which roads it did not go, and ends accordingly.
pub(crate) fn report(tried: &[Tried]) -> ExitCode {
    let status = roads::status(tried);
    for Tried { road, outcome } in tried {
        match outcome {
            Ok(accepted) => {
                for one in &accepted.left_out {
                    warn(&format!("{road}: {one}"));
                }
            }
            Err(refusal) => warn(&format!("{road}: {}", refusal.text)),
        }
    }
    if status == ExitStatus::Ok {
        return ExitCode::SUCCESS;
    }
    fail(status, "no road took it; nobody is told")
}

fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "relayctl: warning: {text}");
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
