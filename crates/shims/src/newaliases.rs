//! `newaliases` and `sendmail -bi`: nothing needs to be rebuilt, so the alias file is checked.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use host::aliases;
use host::config;
use host::identity;
use host::secret::Keeper;
use mail::Address;
use policy::aliases::{Aliases, Rules};
use policy::settings::{Problem, Settings};
use policy::sysexits::ExitStatus;

use crate::failure::{Failure, printable};
use crate::queue;

/// The account of relayd where no settings say otherwise.
const DEFAULT_USER: &str = "relayd";

/// What of the settings counts here.
struct Place {
    file: PathBuf,
    keeper: Keeper,
    hostname: String,
    domain: String,
    root: Option<Address>,
}

/// Checks the alias file: silent if it is in order; with `verbose`, one line on standard output
/// says how much there is, in the words of sendmail.
///
/// # Errors
/// 65: something in the file is wrong; each problem is a line on standard error. 78: the file must
/// not be used as it is, or the settings are wrong. relayd goes on with what is good.
pub(crate) fn run(verbose: bool) -> Result<(), Failure> {
    let Some(place) = place()? else {
        return told(verbose, "no alias file is set");
    };
    let shown = place.file.display();
    let unusable = |problem: Problem| Failure::new(ExitStatus::Config, problem.to_string());
    let found = aliases::load(&place.file, &place.keeper).map_err(unusable)?;
    let problems = problems(&found, &place);
    for problem in &problems {
        let line = printable(&format!("newaliases: warning: {problem}"), 1_000);
        // There is nobody left to tell if this fails; the status tells it too.
        let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
    }
    match problems.len() {
        0 => {
            let sum = found.summary();
            let (count, longest, total) = (sum.aliases, sum.longest, sum.total);
            told(
                verbose,
                &format!("{shown}: {count} aliases, longest {longest} bytes, {total} bytes total"),
            )
        }
        1 => Err(fault(&place.file, "one problem")),
        count => Err(fault(&place.file, &format!("{count} problems"))),
    }
}

fn fault(file: &Path, count: &str) -> Failure {
    let file = file.display();
    let text = format!("{file}: {count}; what is not named above is in use");
    Failure::new(ExitStatus::DataError, text)
}

fn problems(aliases: &Aliases, place: &Place) -> Vec<Problem> {
    let map = policy::rewrite::Map::default();
    let ends = aliases.dead_ends(&Rules {
        domain: &place.domain,
        hostname: &place.hostname,
        root: place.root.as_ref(),
        senders: &map,
        recipients: &map,
    });
    [aliases.problems(), &ends].concat()
}

/// Where the aliases are; `None` where the settings want none.
fn place() -> Result<Option<Place>, Failure> {
    let settings = match config::load(&config::file()) {
        Ok(settings) => Some(settings),
        Err(error) if error.is_missing() && config::named_file().is_none() => None,
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            return Err(Failure::new(ExitStatus::Config, first));
        }
    };
    let file = match &settings {
        Some(settings) => settings.aliases.clone(),
        None => Some(aliases::DEFAULT_FILE.into()),
    };
    Ok(file.map(|file| Place::new(file, settings)))
}

impl Place {
    fn new(file: PathBuf, settings: Option<Settings>) -> Self {
        let (hostname, domain, root, user) = match settings {
            Some(set) => (set.hostname, set.domain, set.root, set.user),
            None => (None, None, None, None),
        };
        let user = user.as_deref().unwrap_or(DEFAULT_USER);
        let account = identity::account_named(user).ok().flatten();
        let hostname = hostname.unwrap_or_else(identity::hostname);
        Self {
            file,
            keeper: account
                .as_ref()
                .map_or_else(Keeper::this_process, Keeper::account),
            domain: domain.unwrap_or_else(|| hostname.clone()),
            hostname,
            root,
        }
    }
}

fn told(verbose: bool, text: &str) -> Result<(), Failure> {
    if !verbose {
        return Ok(());
    }
    let line = printable(text, 1_000);
    queue::quiet_if_nobody_reads(io::stdout().write_all(format!("{line}\n").as_bytes()))
}
