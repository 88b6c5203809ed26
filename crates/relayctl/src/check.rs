//! `relayctl check`: what is wrong, by relayd's own knowledge or, where it is down, by the spool; for
//! a person, for a program, for Nagios, or told by the roads of `[alarm]`.

mod logs;
mod state;
mod tell;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use host::control::{self, ControlError};
use policy::alarm::{Disk, Facts, Oldest, Report, Style, examine};
use policy::control::{Request, StatusLine};
use policy::settings::{Emergency, Essentials, Paths};
use policy::sysexits::ExitStatus;
use spool::{Found, Queue};

use crate::fail;

/// The Monitoring Plugins' status where nothing can be said.
const UNKNOWN: u8 = 3;
/// Where `--tell` remembers what was told.
const STATE: &str = "/var/lib/relayd/check";

pub(crate) fn command_line() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("check")
        .about("Say what is wrong; ends with 0 (nothing), 1 (warning), 2 (critical) or 3 (unknown)")
        .arg(flag("json", "Print one JSON object").conflicts_with("nagios"))
        .arg(flag("nagios", "Print what Nagios and Icinga read"))
        .arg(
            Arg::new("log")
                .long("log")
                .value_name("FILE")
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Look for trouble in the new lines of these mail logs instead"),
        )
        .arg(
            flag(
                "tell",
                "Tell it by the roads of [alarm], once, and when it is over; print nothing",
            )
            .conflicts_with_all(["json", "nagios"]),
        )
        .arg(
            Arg::new("state")
                .long("state")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .default_value(STATE)
                .help("Where to remember what was told and how far logs were read"),
        )
}

pub(crate) fn run(arguments: &ArgMatches) -> ExitCode {
    let settings = Settings::load();
    let folder = arguments.get_one::<PathBuf>("state");
    let folder = folder.cloned().unwrap_or_else(|| PathBuf::from(STATE));
    let files: Vec<PathBuf> = arguments
        .get_many("log")
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    match (files.is_empty(), arguments.get_flag("tell")) {
        (true, false) => show(&settings, style(arguments)),
        (true, true) => tell::relayd(&settings, &folder),
        (false, false) => logs::show(&files, &folder),
        (false, true) => tell::logs(&settings, &files, &folder),
    }
}

fn style(arguments: &ArgMatches) -> Style {
    if arguments.get_flag("json") {
        Style::Json
    } else if arguments.get_flag("nagios") {
        Style::Nagios
    } else {
        Style::Human
    }
}

/// What a check needs of the settings. It works with a file that is broken or missing.
struct Settings {
    emergency: Emergency,
    paths: Paths,
}

impl Settings {
    fn load() -> Self {
        let file = host::config::file();
        let (emergency, _) = host::config::load_emergency(&file).unwrap_or_default();
        let essentials = host::config::load_essentials(&file);
        let paths = essentials.map(|Essentials { paths, .. }| paths);
        Self {
            emergency,
            paths: paths.unwrap_or_else(|_| host::config::default_paths()),
        }
    }
}

fn show(settings: &Settings, style: Style) -> ExitCode {
    let facts = match facts(&settings.paths) {
        Ok(facts) => facts,
        Err(problem) => {
            print(&format!("RELAYD UNKNOWN - {problem}\n"));
            return ExitCode::from(UNKNOWN);
        }
    };
    let watch = &settings.emergency.alarm.watch;
    let picture = examine(&facts, watch, host::clock::wall());
    let report = Report {
        facts: &facts,
        picture: &picture,
        watch,
    };
    print(&report.text(style));
    ExitCode::from(report.status())
}

/// From relayd, or where it is down from the spool.
fn facts(paths: &Paths) -> Result<Facts, String> {
    let mut lines = match control::query(&paths.run, &Request::Facts) {
        Ok(lines) => lines,
        Err(ControlError::Down { .. }) => return Ok(from_spool(paths)),
        Err(error) => return Err(error.to_string()),
    };
    let mut facts = Facts {
        running: true,
        ..Facts::default()
    };
    while let Some(line) = lines.next_line().map_err(|error| error.to_string())? {
        if let Ok(line) = StatusLine::parse(&line) {
            facts.take(&line);
        }
    }
    Ok(facts)
}

/// What the spool itself tells; what may not be read is left out.
fn from_spool(paths: &Paths) -> Facts {
    let mut facts = Facts::default();
    if let Ok(condition) = spool::condition(&paths.spool, SystemTime::now()) {
        facts.disk = Some(Disk {
            free: condition.bytes.0,
            size: condition.bytes.1,
            free_files: condition.files.0,
            files: condition.files.1,
        });
        facts.damaged = condition.damaged;
        let dropped = (condition.dropped > 0).then_some(condition.dropped);
        facts.maildrop = dropped.map(|number| (condition.oldest_drop, number));
    }
    let now = host::clock::wall();
    for found in spool::list(&paths.spool).unwrap_or_default() {
        let Found::Entry(meta) = found else { continue };
        match meta.queue {
            Queue::Hold => facts.held += 1,
            Queue::Incoming | Queue::Deferred => {
                facts.waiting += 1;
                facts.deferred += u64::from(meta.queue == Queue::Deferred);
                let age = now.since(meta.arrival);
                if facts.oldest.as_ref().is_none_or(|oldest| oldest.age < age) {
                    facts.oldest = Some(Oldest {
                        id: meta.id.to_string(),
                        age,
                        reason: None,
                    });
                }
            }
            Queue::Corrupt | Queue::Maildrop => {}
        }
    }
    facts
}

fn print(text: &str) {
    // A reader that went away has seen enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn cannot_remember(error: &io::Error, folder: &std::path::Path) -> ExitCode {
    let text = format!(
        "{}: {error}; --state names another folder",
        folder.display()
    );
    fail(ExitStatus::CannotCreate, &text)
}
