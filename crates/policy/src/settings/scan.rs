//! The first look at a settings file, line by line.
//!
//! The INI reader knows no line numbers and lets several mistakes pass: a line without `=` becomes
//! part of the next key, a backslash at the end joins lines, of two equal keys one is dropped, a
//! comment after a value becomes part of it. All of that is found and explained here. What is left
//! over is a text of headings and `key = value` lines that every INI reader reads the same way.

use super::keys::{KEYS, Key, Section};
use super::nearest::nearest;
use crate::log::printable;
use std::collections::HashMap;

/// A heading with the name that may follow it, as `gateway main`; empty before any heading.
pub(super) type Heading = String;

/// What the first look found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The lines that are in order, the others left empty.
    pub(super) text: String,
    /// The headings in order, with their sections and lines.
    pub(super) headings: Vec<(Heading, Section, usize)>,
    /// The line of each key.
    pub(super) lines: HashMap<(Heading, String), usize>,
    /// What is wrong: line, message, remedy.
    pub(super) problems: Vec<Complaint>,
}

/// A problem before the file's name is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) line: usize,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// Files and lines larger than this are not settings.
const LARGEST_FILE: usize = 256 * 1024;
const LONGEST_LINE: usize = 2000;

/// Looks at every line of `text`.
pub(super) fn scan(text: &str) -> Scan {
    let mut scanner = Scanner::default();
    let mut text = text;
    if let Some(rest) = text.strip_prefix('\u{FEFF}') {
        scanner.complain(
            1,
            "the file begins with a byte order mark",
            "save it as UTF-8 without a byte order mark",
        );
        text = rest;
    }
    if text.len() > LARGEST_FILE {
        scanner.complain(
            0,
            "the file is larger than 256 KiB",
            "check that it is the right file",
        );
        return scanner.scan;
    }
    scanner
        .scan
        .headings
        .push((Heading::new(), Section::Top, 0));
    for (index, line) in text.lines().enumerate() {
        scanner.line(index + 1, line);
        scanner.scan.text.push('\n');
    }
    scanner.scan
}

#[derive(Default)]
struct Scanner {
    scan: Scan,
    /// Set while the lines of a heading that was refused go by.
    skipping: bool,
}

impl Scanner {
    fn complain(&mut self, line: usize, message: impl Into<String>, remedy: impl Into<String>) {
        self.scan.problems.push(Complaint {
            line,
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    fn line(&mut self, number: usize, raw: &str) {
        let line = raw.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            return;
        }
        if line.len() > LONGEST_LINE {
            return self.complain(number, "the line is longer than 2000 bytes", "shorten it");
        }
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return self.complain(
                number,
                "the line holds a control character",
                "remove it; an editor that shows control characters helps to find it",
            );
        }
        if line.ends_with('\\') {
            return self.complain(
                number,
                "the line ends with a backslash, and lines cannot be continued",
                "write the whole setting on one line",
            );
        }
        if line.starts_with('[') {
            self.heading(number, line)
        } else {
            self.setting(number, line)
        }
    }

    fn heading(&mut self, number: usize, line: &str) {
        self.skipping = true;
        let Some(inside) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        else {
            let end = if line.contains(']') {
                "text follows the ]"
            } else {
                "the ] is missing"
            };
            return self.complain(
                number,
                format!("the section heading is broken: {end}"),
                "write the heading on a line of its own, as in [paths]",
            );
        };
        let (section, heading) = match self.understood(inside) {
            Ok(found) => found,
            Err((message, remedy)) => return self.complain(number, message, remedy),
        };
        if let Some((_, _, first)) = self
            .scan
            .headings
            .iter()
            .find(|(known, ..)| *known == heading)
        {
            let message = format!("[{heading}] stands here a second time");
            let remedy = format!("move these settings to the first one, in line {first}");
            return self.complain(number, message, remedy);
        }
        self.skipping = false;
        self.scan.text.push_str(&format!("[{heading}]"));
        self.scan.headings.push((heading, section, number));
    }

    /// The section that a heading names, and the heading in its usual form.
    fn understood(&self, inside: &str) -> Result<(Section, Heading), (String, String)> {
        let mut words = inside.split_whitespace();
        let first = words.next().unwrap_or("");
        let rest: Vec<&str> = words.collect();
        let known = Section::ALL
            .into_iter()
            .filter(|section| *section != Section::Top);
        let Some(section) = known.clone().find(|section| section.word() == first) else {
            let message = format!("there is no section [{}]", shown(inside));
            return Err((
                message,
                suggestion(nearest(first, known.map(Section::word))),
            ));
        };
        match (section, rest.as_slice()) {
            (Section::Gateway | Section::Alarm, [name]) if is_name(name) => {
                Ok((section, format!("{first} {name}")))
            }
            (Section::Gateway, _) => Err((
                format!("[{}] does not name a gateway", shown(inside)),
                "write [gateway NAME]; the name is one word of letters, digits, . _ and -"
                    .to_owned(),
            )),
            (_, []) => Ok((section, first.to_owned())),
            _ => Err((
                format!("[{first}] takes no name"),
                format!("write [{first}] without \"{}\"", shown(&rest.join(" "))),
            )),
        }
    }

    fn setting(&mut self, number: usize, line: &str) {
        let Some((name, value)) = line.split_once('=') else {
            // The text itself is not repeated: it may be a password that lost its key.
            return self.complain(
                number,
                "the line is neither a setting nor a comment nor a section heading",
                "write it as \"name = value\", or begin it with #",
            );
        };
        if self.skipping {
            return;
        }
        let (name, value) = (name.trim(), value.trim());
        let Some((heading, section, _)) = self.scan.headings.last().cloned() else {
            return;
        };
        let Some(key) = Key::find(section, name) else {
            let (message, remedy) = unknown(section, name);
            return self.complain(number, message, remedy);
        };
        let place = (heading, name.to_owned());
        if let Some(first) = self.scan.lines.get(&place) {
            let remedy = format!("remove one of the two; the first is in line {first}");
            return self.complain(number, format!("{name} is set a second time"), remedy);
        }
        self.scan.lines.insert(place, number);
        if let Some((message, remedy)) = fault_of_value(key, value) {
            return self.complain(number, message, remedy);
        }
        self.scan.text.push_str(&format!("{name} = {value}"));
    }
}

fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(fine)
}

/// What to say about a key that is not in the section. Its value is never repeated.
fn unknown(section: Section, name: &str) -> (String, String) {
    if ["password", "passwd", "pass"]
        .iter()
        .any(|word| name.eq_ignore_ascii_case(word))
    {
        let message = "a password must not stand in this file, which others may read".to_owned();
        let remedy = "put it into a file of its own, readable by relayd alone, and write \
                      password_file = /etc/relayd/secrets/NAME; or use password_command or \
                      password_credential; then change the password if others could read it";
        return (message, remedy.to_owned());
    }
    let here = KEYS
        .iter()
        .filter(|key| key.section == section)
        .map(|key| key.name);
    let place = if section == Section::Top {
        "before the first section"
    } else {
        section.place()
    };
    let message = format!(
        "there is no setting {} {}",
        quoted(name),
        in_place(section, place)
    );
    let homes: Vec<_> = KEYS.iter().filter(|key| key.name == name).collect();
    match homes.as_slice() {
        [] => (message, suggestion(nearest(name, here))),
        [home, ..] => (
            message,
            format!("{name} belongs in {}; move it there", home.section.place()),
        ),
    }
}

fn in_place(section: Section, place: &str) -> String {
    if section == Section::Top {
        place.to_owned()
    } else {
        format!("in {place}")
    }
}

fn suggestion(near: Option<&str>) -> String {
    match near {
        Some(name) => format!("perhaps {name} is meant"),
        None => "relayd.conf(5) lists what there is".to_owned(),
    }
}

/// What is wrong with the outer form of a value.
fn fault_of_value(key: &Key, value: &str) -> Option<(String, String)> {
    let name = key.name;
    if value.is_empty() {
        let remedy = "give a value, or remove the line so that the default holds".to_owned();
        return Some((format!("{name} has no value"), remedy));
    }
    if has_comment(value) {
        let message = format!(
            "the value of {name} is followed by a comment, which would be part of the value"
        );
        return Some((message, "put the comment on a line of its own".to_owned()));
    }
    let is_quoted = value.starts_with(['"', '\'']) && key.kind != super::Kind::Command;
    is_quoted.then(|| {
        let message =
            format!("the value of {name} stands in quotes, which would be part of the value");
        (message, "remove the quotes".to_owned())
    })
}

/// Whether a word of the value begins with `#` or `;`.
fn has_comment(value: &str) -> bool {
    value
        .split_whitespace()
        .any(|word| word.starts_with(['#', ';']))
}

/// Text of the file as a message may show it.
pub(super) fn shown(text: &str) -> String {
    printable::shortened(text, 60)
}

/// The same in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}
