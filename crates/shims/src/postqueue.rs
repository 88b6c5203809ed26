//! The `postqueue` program: Postfix's options, texts and statuses.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};
use policy::sysexits::ExitStatus;

use crate::failure::Failure;
use crate::installation::Installation;
use crate::queue::{self, Request};

const USAGE: &str =
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

/// Does what the command line asks for.
///
/// # Errors
/// Status 69 for everything, as with Postfix; 78 if the settings do not tell where the queue is.
pub fn run(arguments: &mut dyn Iterator<Item = OsString>) -> Result<(), Failure> {
    let request = parse(arguments)?;
    queue::run(&request, &mut Installation::find()?)
}

/// The command line, for the reader and the manual page.
#[must_use]
pub fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .short(letter(name))
            .action(ArgAction::Count)
            .help(help)
    };
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        let option = Arg::new(name)
            .short(letter(name))
            .value_name(value)
            .help(help);
        option.action(ArgAction::Append).allow_hyphen_values(true)
    };
    Command::new("postqueue")
        .about("List the queue of relayd, or have it tried now")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(flag("p", "List the queue, as mailq does"))
        .arg(flag("j", "List the queue, one JSON object a line"))
        .arg(flag("f", "Try everything in the queue now"))
        .arg(value("i", "QUEUE-ID", "Try one message now"))
        .arg(value("s", "SITE", "Try what is for one domain now"))
        .arg(flag("v", "Accepted and ignored"))
}

fn letter(name: &str) -> Option<char> {
    name.chars().next()
}

fn parse(arguments: &mut dyn Iterator<Item = OsString>) -> Result<Request, Failure> {
    let usage = || Failure::new(ExitStatus::Unavailable, USAGE);
    let matches = command()
        .try_get_matches_from(arguments)
        .map_err(|_| usage())?;
    let mut requests = requests(&matches);
    match (requests.pop(), requests.is_empty()) {
        (Some(request), true) => Ok(request),
        _ => Err(usage()),
    }
}

fn requests(matches: &ArgMatches) -> Vec<Request> {
    let modes = [
        ("p", Request::List),
        ("j", Request::ListJson),
        ("f", Request::Flush),
    ];
    let mut requests: Vec<Request> = modes
        .into_iter()
        .filter(|(letter, _)| matches.get_count(letter) > 0)
        .map(|(_, request)| request)
        .collect();
    let values = |letter| {
        matches
            .get_many::<String>(letter)
            .into_iter()
            .flatten()
            .cloned()
    };
    requests.extend(values("i").map(Request::FlushId));
    requests.extend(values("s").map(Request::FlushSite));
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Request, u8> {
        let mut arguments = arguments.iter().map(OsString::from);
        parse(&mut arguments).map_err(|failure| {
            assert!(failure.text.starts_with("usage: postqueue -f | "));
            failure.status.code()
        })
    }

    #[test]
    fn one_thing_at_a_time() {
        assert_eq!(parsed(&["-p"]), Ok(Request::List));
        assert_eq!(parsed(&["-pv"]), Ok(Request::List));
        assert_eq!(parsed(&["-j"]), Ok(Request::ListJson));
        assert_eq!(parsed(&["-f", "-v"]), Ok(Request::Flush));
        assert_eq!(parsed(&["-i", "ABC"]), Ok(Request::FlushId("ABC".into())));
        assert_eq!(parsed(&["-i../x"]), Ok(Request::FlushId("../x".into())));
        assert_eq!(
            parsed(&["-s", "a.example"]),
            Ok(Request::FlushSite("a.example".into()))
        );
    }

    #[test]
    fn everything_else_is_a_usage_error() {
        for arguments in [
            &[] as &[&str],
            &["-p", "-j"],
            &["-p", "x"],
            &["x"],
            &["-z"],
            &["-i"],
            &["-i", "A", "-s", "b"],
            &["-i", "A", "-i", "B"],
            &["--help"],
            &["--version"],
            &["-c", "/etc", "-p"],
        ] {
            assert_eq!(parsed(arguments), Err(69), "{arguments:?}");
        }
    }
}
