//! `relayctl hold` and `relayctl release`: messages that are not tried until an admin says so.

use std::path::Path;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use host::control::{self, ControlError};
use policy::control::{Request, Selection, is_queue_name};

pub(crate) fn command_line(name: &'static str, about: &'static str) -> Command {
    let by = |name: &'static str, value: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).value_name(value).help(help);
        arg.action(ArgAction::Append)
    };
    let id = |text: &str| match is_queue_name(text) {
        true => Ok(text.to_owned()),
        false => Err("this is not a queue id"),
    };
    Command::new(name)
        .about(about)
        .arg(
            Arg::new("id")
                .value_name("ID")
                .num_args(1..)
                .value_parser(id),
        )
        .arg(by(
            "sender",
            "ADDRESS",
            "All from this address; <> for reports",
        ))
        .arg(by("recipient", "ADDRESS", "All to this address"))
        .arg(by(
            "origin",
            "WHO",
            "All handed in by \"uid N\", \"user NAME\" or \"client ADDRESS\"",
        ))
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("All that are queued"),
        )
        .group(
            ArgGroup::new("which")
                .args(["id", "sender", "recipient", "origin", "all"])
                .required(true)
                .multiple(true),
        )
}

pub(crate) fn hold(run: &Path, arguments: &ArgMatches) -> Result<(), ControlError> {
    each(run, arguments, Request::Hold)
}

pub(crate) fn release(run: &Path, arguments: &ArgMatches) -> Result<(), ControlError> {
    each(run, arguments, Request::Release)
}

/// One request for each thing named.
fn each(
    run: &Path,
    arguments: &ArgMatches,
    request: fn(Selection) -> Request,
) -> Result<(), ControlError> {
    let named = |name: &str, selection: fn(String) -> Selection| {
        let values = arguments.get_many::<String>(name).into_iter().flatten();
        values.cloned().map(selection).collect::<Vec<_>>()
    };
    let mut selections = named("id", Selection::Id);
    selections.extend(named("sender", Selection::Sender));
    selections.extend(named("recipient", Selection::Recipient));
    selections.extend(named("origin", Selection::Origin));
    if arguments.get_flag("all") {
        selections.push(Selection::All);
    }
    for selection in selections {
        control::command(run, &request(selection))?;
    }
    Ok(())
}
