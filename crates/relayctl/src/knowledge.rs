//! What relayd knows without being asked over a socket: its providers, and what replies mean.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ArgMatches;
use host::secret::Keeper;
use policy::providers::{self, Provider};
use policy::settings::{Settings, SoftBounce};
use policy::sysexits::ExitStatus;
use policy::verdict::{self, Judge, Rulebook};

use crate::fail;

/// `relayctl providers [NAME]`.
pub(crate) fn providers(arguments: &ArgMatches) -> ExitCode {
    let Some(name) = arguments.get_one::<String>("name") else {
        return print(&providers::list());
    };
    let (name, _) = name.split_once(':').unwrap_or((name, ""));
    match Provider::named(name) {
        Some(provider) => print(&providers::describe(provider)),
        None => fail(
            ExitStatus::Usage,
            &format!("there is no provider {name:?}; relayctl providers lists them"),
        ),
    }
}

/// `relayctl reply STAGE REPLY...`: with the settings' own rules and gateway, where there are any.
pub(crate) fn reply(arguments: &ArgMatches) -> ExitCode {
    let word = |name| arguments.get_one::<String>(name).map(String::as_str);
    let lines = arguments.get_many::<String>("reply").into_iter().flatten();
    let text = lines.map(String::as_str).collect::<Vec<_>>().join(" ");
    let (settings, rules) = match in_force() {
        Ok(found) => found,
        Err(problem) => return fail(ExitStatus::Config, &problem),
    };
    let gateway = settings
        .as_ref()
        .and_then(|settings| settings.gateways.first());
    let family = match word("provider") {
        Some(name) => match providers::family_named(name) {
            Some(family) => Some(family),
            None => {
                let problem = format!("there is no provider {name:?}");
                return fail(ExitStatus::Usage, &problem);
            }
        },
        None => gateway.and_then(|gateway| gateway.family()),
    };
    let judge = Judge {
        rules: &rules,
        provider: family,
        soft_bounce: settings.map_or(SoftBounce::default(), |settings| settings.soft_bounce),
    };
    match verdict::told(&judge, word("stage").unwrap_or_default(), &text) {
        Ok(told) => print(&told),
        Err(problem) => fail(ExitStatus::Usage, &problem),
    }
}

/// The settings and rules that relayd would use; without settings the rules that come with it.
fn in_force() -> Result<(Option<Settings>, Rulebook), String> {
    match host::config::load(&host::config::file()) {
        Ok(settings) => {
            let keeper = Keeper::of_relayd(settings.user.as_deref());
            let rules = host::replies::load(settings.replies.as_deref(), &keeper)?;
            Ok((Some(settings), rules))
        }
        Err(error) if error.is_missing() => Ok((None, Rulebook::built_in())),
        Err(error) => Err(error.to_string()),
    }
}

fn print(text: &str) -> ExitCode {
    // A reader that went away has seen enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
