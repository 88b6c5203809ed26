//! `relayctl user`: who may use the submission port, as `users_file` lists them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use host::{identity, prompt, random};
use policy::settings::Settings;
use policy::sysexits::ExitStatus;
use policy::users;
use zeroize::Zeroizing;

use crate::fail;

/// The account of relayd, where the settings name none.
const ACCOUNT: &str = "relayd";

pub(crate) fn command_line() -> Command {
    let name = Arg::new("name").value_name("NAME").required(true);
    let file = Arg::new("file")
        .long("file")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("The list, if it is not users_file of the settings");
    let stdin = Arg::new("stdin")
        .long("stdin")
        .action(ArgAction::SetTrue)
        .help("Read the password from the first line of standard input");
    Command::new("user")
        .about("Say who may use the submission port")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(file)
        .subcommand(
            Command::new("add")
                .about("Add a user, or give one another password")
                .arg(name.clone())
                .arg(stdin),
        )
        .subcommand(Command::new("remove").about("Remove a user").arg(name))
        .subcommand(Command::new("list").about("Print the users' names"))
}

pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    let place = match Place::of(matches) {
        Ok(place) => place,
        Err(problem) => return fail(ExitStatus::Config, &problem),
    };
    let done = match matches.subcommand() {
        Some(("add", matches)) => add(&place, matches),
        Some(("remove", matches)) => remove(&place, matches),
        _ => list(&place),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, problem)) => fail(status, &problem),
    }
}

type Failure = (ExitStatus, String);

/// Where the list is, and who reads it.
struct Place {
    file: PathBuf,
    reader: Option<identity::Account>,
}

impl Place {
    fn of(matches: &ArgMatches) -> Result<Self, String> {
        let settings = host::config::load(&host::config::file());
        let named = matches.get_one::<PathBuf>("file").cloned();
        let file = match (&settings, named) {
            (_, Some(file)) => file,
            (Ok(settings), None) => listed(settings)?,
            (Err(error), None) => return Err(error.to_string()),
        };
        let account = settings.ok().and_then(|settings| settings.user);
        let account = account.unwrap_or_else(|| ACCOUNT.to_owned());
        let reader = identity::account_named(&account)
            .map_err(|error| format!("looking up the account {account}: {error}"))?;
        Ok(Self { file, reader })
    }

    fn say(&self, what: &str) {
        let file = self.file.display();
        // A reader that went away has seen enough.
        let _ = writeln!(
            io::stdout(),
            "{what} in {file}; relayctl reload puts it in force"
        );
    }
}

fn listed(settings: &Settings) -> Result<PathBuf, String> {
    settings.listen.users_file.clone().ok_or_else(|| {
        "the settings name no users_file; add it to [listen], or give --file FILE".to_owned()
    })
}

fn add(place: &Place, matches: &ArgMatches) -> Result<(), Failure> {
    let name = name(matches);
    users::check_login(name).map_err(|what| (ExitStatus::Usage, format!("\"{name}\": {what}")))?;
    let password = password(name, matches.get_flag("stdin"))
        .map_err(|error| (ExitStatus::NoInput, error.to_string()))?;
    let salt = random::bytes().map_err(|error| (ExitStatus::OsError, error.to_string()))?;
    let hash = users::hashed(&password, salt);
    let mut is_new = true;
    let edited = host::users::edit(&place.file, place.reader.as_ref(), |text| {
        is_new = users::without(text, name).is_none();
        Ok(users::with(text, name, &hash))
    });
    edited.map_err(|problem| (ExitStatus::CannotCreate, problem))?;
    let done = if is_new {
        "is added"
    } else {
        "has a new password"
    };
    place.say(&format!("{name} {done}"));
    Ok(())
}

fn remove(place: &Place, matches: &ArgMatches) -> Result<(), Failure> {
    let name = name(matches);
    let mut known = true;
    let edited = host::users::edit(&place.file, place.reader.as_ref(), |text| {
        users::without(text, name).ok_or_else(|| {
            known = false;
            format!("{}: there is no user {name}", place.file.display())
        })
    });
    let status = if known {
        ExitStatus::CannotCreate
    } else {
        ExitStatus::NoUser
    };
    edited.map_err(|problem| (status, problem))?;
    place.say(&format!("{name} is removed"));
    Ok(())
}

fn list(place: &Place) -> Result<(), Failure> {
    let users = host::users::read(&place.file).map_err(|text| (ExitStatus::NoInput, text))?;
    let mut out = io::stdout().lock();
    for login in users.logins() {
        if writeln!(out, "{login}").is_err() {
            break;
        }
    }
    Ok(())
}

fn name(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("name").map_or("", String::as_str)
}

fn password(name: &str, from_stdin: bool) -> io::Result<Zeroizing<String>> {
    if from_stdin {
        return prompt::line(io::stdin().lock());
    }
    let first = prompt::password(&format!("Password for {name}: "))?;
    let second = prompt::password("Again: ")?;
    if *first != *second {
        let what = "the two passwords are not the same";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(first)
}
