//! `relayctl`: the admin's tool. It asks the running relayd over its control socket, and keeps the
//! files that an admin should not write by hand.
#![forbid(unsafe_code)]

mod check;
mod emergency;
mod knowledge;
mod queue;
mod user;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Arg, Command};
use host::control::{self, ControlError};
use policy::control::{Class, Request, StatusLine};
use policy::settings::Paths;
use policy::sysexits::ExitStatus;

fn main() -> ExitCode {
    if emergency::is_called() {
        return emergency::by_name();
    }
    let matches = match command_line().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return misused(&error),
    };
    match matches.subcommand() {
        Some(("check", arguments)) => return check::run(arguments),
        Some(("emergency", arguments)) => return emergency::run(arguments),
        Some(("providers", arguments)) => return knowledge::providers(arguments),
        Some(("reply", arguments)) => return knowledge::reply(arguments),
        Some(("user", arguments)) => return user::run(arguments),
        _ => {}
    }
    let paths = match paths() {
        Ok(paths) => paths,
        Err(problem) => return fail(ExitStatus::Config, &problem),
    };
    let done = match matches.subcommand() {
        Some(("reload", _)) => control::command(&paths.run, &Request::Reload),
        Some(("flush", _)) => control::command(&paths.run, &Request::Flush),
        Some(("hold", arguments)) => queue::hold(&paths.run, arguments),
        Some(("release", arguments)) => queue::release(&paths.run, arguments),
        _ => status(&paths),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(status_of(&error), &error.to_string()),
    }
}

const fn status_of(error: &ControlError) -> ExitStatus {
    match error {
        ControlError::NotPermitted { .. }
        | ControlError::Refused {
            class: Class::Denied,
            ..
        } => ExitStatus::NoPermission,
        _ => ExitStatus::Unavailable,
    }
}

/// The command line cannot be understood, or asks for help.
fn misused(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let status = if error.use_stderr() {
        ExitStatus::Usage
    } else {
        ExitStatus::Ok
    };
    ExitCode::from(status.code())
}

fn command_line() -> Command {
    Command::new("relayctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The admin's tool of relayd")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("reload")
                .about("Read the settings again; those in force stay if the new ones are wrong"),
        )
        .subcommand(Command::new("flush").about("Try everything that waits now"))
        .subcommand(queue::command_line(
            "hold",
            "Try some messages no more until they are released",
        ))
        .subcommand(queue::command_line(
            "release",
            "Release messages that are held",
        ))
        .subcommand(Command::new("status").about("Show the gateway and the queue"))
        .subcommand(
            Command::new("providers")
                .about("List the providers that relayd knows, or all about one")
                .arg(Arg::new("name").value_name("NAME")),
        )
        .subcommand(
            Command::new("reply")
                .about("Say what a reply of the gateway means, and what relayd does about it")
                .arg(Arg::new("stage").value_name("STAGE").required(true))
                .arg(
                    Arg::new("reply")
                        .value_name("REPLY")
                        .required(true)
                        .num_args(1..),
                )
                .arg(Arg::new("provider").long("provider").value_name("NAME")),
        )
        .subcommand(check::command_line())
        .subcommand(emergency::command_line())
        .subcommand(user::command_line())
}

/// Where relayd is, by its settings; where there are none, the compiled-in folders.
fn paths() -> Result<Paths, String> {
    match host::config::load(&host::config::file()) {
        Ok(settings) => Ok(settings.paths),
        Err(error) if error.is_missing() && host::config::named_file().is_none() => {
            Ok(host::config::default_paths())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn status(paths: &Paths) -> Result<(), ControlError> {
    let mut lines = control::query(&paths.run, &Request::Status)?;
    let mut out = io::stdout().lock();
    while let Some(line) = lines.next_line()? {
        // A line that is not understood is from a newer relayd; it can be read all the same.
        let text = match StatusLine::parse(&line) {
            Ok(StatusLine { name, value }) => format!("{name:>14}  {value}"),
            Err(_) => line,
        };
        // A reader that went away has seen enough.
        if writeln!(out, "{text}").is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn fail(status: ExitStatus, problem: &str) -> ExitCode {
    for line in problem.lines() {
        let _ = writeln!(io::stderr(), "relayctl: fatal: {line}");
    }
    ExitCode::from(status.code())
}
