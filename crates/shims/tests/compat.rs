//! COMPAT.md says of `sendmail`'s options what the program does with them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsString;

use shims::failure::Failure;
use shims::options::{self, Invocation, MODES, Mode, OPTIONS, Task};

const PAGE: &str = include_str!("../../../COMPAT.md");

/// Postfix's own letters, from its getopt string.
const POSTFIX: &str = "ABCFGILNORUVXbcefhimnopqrtvx";

/// The rows of the table of options: what is given, and what happens here.
fn rows() -> Vec<(Vec<&'static str>, &'static str)> {
    let (_, rest) = PAGE.split_once("\n## Options of sendmail\n").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [given, _, here, _, seen] = cells[..] else {
            panic!("not five cells: {row}");
        };
        assert!(["run", "source", "suite"].contains(&seen), "{row}");
        let given = given.split('`').filter(|text| text.starts_with('-'));
        (given.collect(), here)
    })
    .collect()
}

fn parse(given: &str) -> Result<Invocation, Failure> {
    let arguments = given.split(' ').chain(["a@x.example"]);
    options::parse(arguments.map(OsString::from), Task::Deliver)
}

#[test]
fn options_do_what_the_page_says() {
    let rows = rows();
    assert!(rows.len() > 10);
    let plain = options::parse([OsString::from("a@x.example")], Task::Deliver);
    for (given, here) in rows {
        for one in given {
            let found = parse(one);
            match here.split([' ', ':', ';']).next().unwrap() {
                "64" => assert_eq!(found.unwrap_err().status.code(), 64, "{one}"),
                "ignored" => assert_eq!(found, plain, "{one}"),
                "accepted" => assert!(found.is_ok() && found != plain, "{one}"),
                _ => panic!("{one}: not understood: {here}"),
            }
        }
    }
}

#[test]
fn the_page_names_every_option_that_postfix_does_not_take() {
    let given: Vec<&str> = rows().into_iter().flat_map(|(given, _)| given).collect();
    let named = |option: &str| given.iter().any(|one| one.starts_with(option));
    for letter in OPTIONS.iter().map(|option| option.letter) {
        let known = POSTFIX.contains(letter);
        assert!(known || named(&format!("-{letter}")), "-{letter}");
    }
    for (letter, mode, _) in MODES {
        let refused = matches!(mode, Mode::Refused(_));
        assert_eq!(refused, named(&format!("-b{letter}")), "-b{letter}");
    }
}
