//! `relayd`: keeps every accepted message on disk and relays it through the gateway.
//!
//! This file is the command line, the order in which things start, and the exit status.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stderr,
    reason = "before the log is open, standard error is where problems go"
)]

mod accept;
mod alarm;
mod attempt;
mod bounce;
mod budgets;
mod capture;
mod connect;
mod control;
mod delivery;
mod disk;
mod dispatch;
mod door;
mod expire;
mod fresh;
mod index;
mod intake;
mod kept;
mod listen;
mod log;
mod parts;
mod password;
mod place;
mod put_off;
mod quotas;
mod record;
mod relay;
mod report;
mod running;
mod serve;
mod settle;
mod target;
mod tls;
mod way;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};
use host::identity::{self, Account};
use policy::sysexits::ExitStatus;

use crate::running::Running;

/// What is said before the end, and the status to end with.
pub(crate) struct Failure {
    status: ExitStatus,
    text: String,
}

impl Failure {
    pub(crate) fn new(status: ExitStatus, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn config(text: impl Into<String>) -> Self {
        Self::new(ExitStatus::Config, text)
    }
}

fn main() -> ExitCode {
    let arguments = match command_line().try_get_matches() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            let status = if error.use_stderr() {
                ExitStatus::Usage
            } else {
                ExitStatus::Ok
            };
            return ExitCode::from(status.code());
        }
    };
    let file = arguments
        .get_one::<PathBuf>("config")
        .cloned()
        .unwrap_or_else(host::config::file);
    let done = if arguments.get_flag("check") {
        check(&file)
    } else {
        start(&file)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.text.lines() {
                eprintln!("relayd: fatal: {line}");
            }
            ExitCode::from(failure.status.code())
        }
    }
}

fn command_line() -> Command {
    Command::new("relayd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Queues mail on disk and relays it through an authenticated gateway")
        .after_help(
            "relayd stays in the foreground. Started as root, it becomes the account that `user` \
             names (relayd by default) before it reads any input.\n\
             SIGHUP reads the settings again; SIGTERM ends it after the transactions under way.",
        )
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .help("Check the settings and everything they name, then end"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Settings file [default: $RELAYD_CONFIG, else /etc/relayd/relayd.conf]"),
        )
}

/// Becomes whoever relayd would run as first, so that what only root can read is found out too.
fn check(file: &Path) -> Result<(), Failure> {
    if let Some(account) = account_to_become(file)? {
        become_for_good(&account)?;
    }
    let running = Running::load(file).map_err(Failure::config)?;
    if let Some(warning) = running.spool_warning() {
        eprintln!("relayd: warning: {warning}");
    }
    Ok(())
}

fn start(file: &Path) -> Result<(), Failure> {
    host::stdio::ignore_write_signals();
    let account = account_to_become(file)?;
    let settings = host::config::load(file).map_err(|error| Failure::config(error.to_string()))?;
    serve::refuse_a_second(&settings.paths.spool)?;
    // Ports below 1024 and the folders below /run and /var/spool want root; everything after does not.
    let listeners = listen::tcp(&settings)?;
    if let Some(account) = &account {
        listen::prepare_folders(&settings.paths, account)?;
        become_for_good(account)?;
    }
    host::privileges::forbid_core_dumps().map_err(|error| {
        Failure::new(
            ExitStatus::OsError,
            format!("forbidding core dumps: {error}"),
        )
    })?;
    let running = Running::load(file).map_err(Failure::config)?;
    serve::run(file, running, listeners)
}

fn become_for_good(account: &Account) -> Result<(), Failure> {
    host::privileges::become_for_good(account).map_err(|error| {
        Failure::new(
            ExitStatus::OsError,
            format!("becoming {}: {error}", account.login),
        )
    })
}

/// Whom root becomes; `None` for anybody else, who stays what he is.
fn account_to_become(file: &Path) -> Result<Option<Account>, Failure> {
    if identity::effective_uid() != 0 {
        return Ok(None);
    }
    let settings = host::config::load(file).map_err(|error| Failure::config(error.to_string()))?;
    let user = settings.user.as_deref().unwrap_or("relayd");
    let found = identity::account_named(user).map_err(|error| {
        Failure::new(
            ExitStatus::OsError,
            format!("looking up account {user}: {error}"),
        )
    })?;
    match found {
        Some(account) if account.uid == 0 => Err(Failure::config(format!(
            "user = {user}: relayd refuses to run as root; name another account"
        ))),
        Some(account) => Ok(Some(account)),
        None => Err(Failure::config(format!(
            "there is no account \"{user}\"; create it (scripts/install does), or name another with user ="
        ))),
    }
}
