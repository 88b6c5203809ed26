//! From the text of an alias file to [`Aliases`].

use super::lines::{Logical, lines};
use super::{Aliases, Entry, LARGEST_FILE, MOST_INCLUDES, MOST_PROBLEMS, Target};
use crate::log::printable;
use crate::settings::Problem;
use mail::Address;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

/// The most targets of all aliases together, those of `:include:` files counted at each use.
const MOST_TARGETS: usize = 200_000;

type Include<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<u8>, String>;

/// Reads a file; the rules are those of [`Aliases::parse`].
pub(super) fn read(text: &[u8], file: &str, include: Include<'_>) -> Aliases {
    let mut reader = Reader {
        file,
        include,
        included: HashMap::new(),
        included_bytes: 0,
        targets: 0,
        aliases: Aliases {
            file: file.to_owned(),
            ..Aliases::default()
        },
    };
    if text.len() > LARGEST_FILE {
        let remedy = "check that it is the right file";
        reader.complain(
            0,
            "the file is larger than 4 MiB, and no alias of it is used",
            remedy,
        );
        return reader.aliases;
    }
    let found = lines(text, file, true);
    reader.aliases.problems = found.problems;
    for line in &found.logical {
        reader.alias(line);
    }
    let problems = &mut reader.aliases.problems;
    // Stable: the lines of this file in their order, those of another one behind its first use.
    problems.sort_by_key(|problem| (problem.file != file, problem.line));
    problems.truncate(MOST_PROBLEMS);
    reader.aliases
}

struct Reader<'a> {
    file: &'a str,
    include: Include<'a>,
    /// What each `:include:` file gave, or why it gives nothing.
    included: HashMap<String, Result<Vec<Target>, String>>,
    included_bytes: usize,
    targets: usize,
    aliases: Aliases,
}

impl Reader<'_> {
    fn problem(&self, line: usize, message: impl Into<String>, remedy: &str) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line,
            message: message.into(),
            remedy: remedy.to_owned(),
        }
    }

    fn complain(&mut self, line: usize, message: impl Into<String>, remedy: &str) {
        let problem = self.problem(line, message, remedy);
        self.keep(problem);
    }

    fn keep(&mut self, problem: Problem) {
        if self.aliases.problems.len() < MOST_PROBLEMS {
            self.aliases.problems.push(problem);
        }
    }

    fn alias(&mut self, logical: &Logical) {
        let line = logical.line_at(0);
        let Some(colon) = unquoted(&logical.text, ':').next() else {
            let remedy = "write it as \"name: address\", or begin it with #";
            return self.complain(line, "the line is neither an alias nor a comment", remedy);
        };
        let Some(name) = self.name(line, logical.text[..colon].trim()) else {
            return;
        };
        let mut targets = Vec::new();
        for (offset, piece) in pieces(&logical.text, colon + 1) {
            self.piece(logical.line_at(offset), piece, &mut targets);
        }
        if targets.is_empty() {
            let message = format!("{} has no address", shown(&name));
            return self.complain(
                line,
                message,
                "write one after the colon, or remove the line",
            );
        }
        let length = logical.text[colon + 1..].trim().len();
        match self.aliases.entries.entry(name) {
            Slot::Occupied(first) => {
                let message = format!("{} is defined a second time", shown(first.key()));
                let first = first.get().line;
                let remedy = format!("remove one of the two; the first, in line {first}, holds");
                self.complain(line, message, &remedy);
            }
            Slot::Vacant(slot) => {
                let summary = &mut self.aliases.summary;
                summary.aliases += 1;
                summary.longest = summary.longest.max(length);
                summary.total += slot.key().len() + length;
                slot.insert(Entry { line, targets });
            }
        }
    }

    /// The name to the left of the colon, in lower case.
    fn name(&mut self, line: usize, text: &str) -> Option<String> {
        let (message, remedy) = match Address::parse(text) {
            _ if text == "*" => (
                "there is no alias for all names".to_owned(),
                "remove it; mail for names without an alias goes to root's address",
            ),
            Ok(name) if name.domain().is_none() => {
                return Some(name.as_str().to_ascii_lowercase());
            }
            Ok(name) => (
                format!(
                    "{} has a domain, and aliases are for names without one",
                    shown(name.as_str())
                ),
                "write the name alone, or use [rewrite] recipients in relayd.conf",
            ),
            Err(_) if text.is_empty() => (
                "there is no name before the colon".to_owned(),
                "write the line as \"name: address\"",
            ),
            Err(_) => (
                format!("{} is not a name", shown(text)),
                "write one name, in quotes if there is a blank in it",
            ),
        };
        self.complain(line, message, remedy);
        None
    }

    /// Adds what one part between commas stands for.
    fn piece(&mut self, line: usize, piece: &str, targets: &mut Vec<Target>) {
        let before = targets.len();
        if self.targets >= MOST_TARGETS {
            let message = "there are more than 200,000 addresses in all, and the rest is left out";
            return self.complain(line, message, "shorten the lists");
        }
        match form(piece) {
            Form::Include(path) => self.include(line, &path, targets),
            Form::Itself(name) => match Address::parse(name) {
                Ok(name) if name.domain().is_none() => targets.push(Target::Itself(name)),
                Ok(address) => targets.push(Target::Address(address)),
                Err(_) => self.no_address(line, piece, targets),
            },
            Form::Addresses => match addresses(piece) {
                Some(found) => targets.extend(found.into_iter().map(Target::Address)),
                None => self.no_address(line, piece, targets),
            },
            Form::Command(text) => {
                let message = format!("{} is a command, and this relay runs none", shown(&text));
                self.refuse(line, message, "name an address instead", targets);
            }
            Form::File(path) => {
                let message = format!(
                    "{} is a file, and this relay writes mail to none",
                    shown(&path)
                );
                self.refuse(line, message, "name an address instead", targets);
            }
        }
        self.targets += targets.len() - before;
    }

    fn no_address(&mut self, line: usize, piece: &str, targets: &mut Vec<Target>) {
        let message = format!("{} is not an address", shown(piece));
        let remedy = "write names or addresses with commas between them";
        self.refuse(line, message, remedy, targets);
    }

    fn refuse(&mut self, line: usize, message: String, remedy: &str, targets: &mut Vec<Target>) {
        let problem = self.problem(line, message, remedy);
        self.keep(problem.clone());
        targets.push(Target::Refused(problem));
    }

    fn include(&mut self, line: usize, path: &str, targets: &mut Vec<Target>) {
        if !self.included.contains_key(path) {
            let found = self.fetched(path);
            self.included.insert(path.to_owned(), found);
        }
        match &self.included[path] {
            Ok(found) if self.targets + found.len() <= MOST_TARGETS => {
                targets.extend_from_slice(found);
            }
            Ok(_) => {
                let message = "there are more than 200,000 addresses in all; this list is left out";
                self.refuse(line, message.to_owned(), "shorten the lists", targets);
            }
            Err(why) => {
                let message = format!("the file {} is not used: {why}", shown(path));
                self.refuse(line, message, "correct it, or name addresses here", targets);
            }
        }
    }

    fn fetched(&mut self, path: &str) -> Result<Vec<Target>, String> {
        if !path.starts_with('/') {
            return Err("its name does not begin with /".to_owned());
        }
        if self.aliases.includes.len() >= MOST_INCLUDES {
            return Err("there are more than 200 such files".to_owned());
        }
        self.aliases.includes.push(path.to_owned());
        let text = (self.include)(path)?;
        self.included_bytes += text.len();
        if self.included_bytes > LARGEST_FILE {
            return Err("it and those before it are larger than 4 MiB".to_owned());
        }
        let file = printable::shortened(path, 200);
        let found = lines(&text, &file, false);
        found
            .problems
            .into_iter()
            .for_each(|problem| self.keep(problem));
        let mut targets = Vec::new();
        for line in &found.logical {
            for (offset, piece) in pieces(&line.text, 0) {
                self.included_piece(&file, line.line_at(offset), piece, &mut targets);
            }
        }
        if targets.is_empty() {
            return Err("there is no address in it".to_owned());
        }
        Ok(targets)
    }

    /// One part of an `:include:` file. What stands there is never shown: it may be the wrong file.
    fn included_piece(&mut self, file: &str, line: usize, piece: &str, targets: &mut Vec<Target>) {
        let found = match form(piece) {
            Form::Addresses => addresses(piece),
            _ => None,
        };
        match found {
            Some(found) => targets.extend(found.into_iter().map(Target::Address)),
            None => self.keep(Problem {
                file: file.to_owned(),
                line,
                message: "there is something that is not an address".to_owned(),
                remedy: "write addresses only, one a line or with commas between them".to_owned(),
            }),
        }
    }
}

/// What a part between commas is.
enum Form<'a> {
    Command(String),
    File(String),
    Include(String),
    Itself(&'a str),
    Addresses,
}

fn form(piece: &str) -> Form<'_> {
    let inside = unwrapped(piece);
    let text = inside.as_deref().unwrap_or(piece);
    if text.starts_with('|') {
        return Form::Command(text.to_owned());
    }
    if text.starts_with('/') && !text.contains('@') {
        return Form::File(text.to_owned());
    }
    let word = ":include:";
    if let Some(head) = text.get(..word.len())
        && head.eq_ignore_ascii_case(word)
    {
        return Form::Include(text[word.len()..].trim().to_owned());
    }
    match piece.strip_prefix('\\') {
        Some(name) => Form::Itself(name),
        None => Form::Addresses,
    }
}

/// What stands within quotes that begin and end a part.
fn unwrapped(piece: &str) -> Option<String> {
    let inside = piece.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    Some(text)
}

/// The addresses of `Bob <b@x>` or `bob carol`; `None` if any of it is none. A colon is refused:
/// it is a new alias after a blank, a line of another kind of file, or a URL.
fn addresses(piece: &str) -> Option<Vec<Address>> {
    let mut depth = 0_usize;
    for at in unquoted_any(piece, &[':', '[', ']']) {
        match piece.as_bytes()[at] {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    let found: Result<Vec<Address>, _> = mail::recipients::parse_list(piece).into_iter().collect();
    found.ok().filter(|found| !found.is_empty())
}

/// The parts of `text` from `start` on that commas separate, with their offsets; empty ones are
/// left out.
fn pieces(text: &str, start: usize) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut from = start;
    let commas = unquoted(&text[start..], ',').map(|at| start + at);
    for end in commas.chain(std::iter::once(text.len())) {
        let part = &text[from..end];
        let blank = part.len() - part.trim_start().len();
        if !part.trim().is_empty() {
            found.push((from + blank, part.trim()));
        }
        from = end + 1;
    }
    found
}

fn unquoted(text: &str, mark: char) -> impl Iterator<Item = usize> {
    unquoted_any(text, std::slice::from_ref(&mark)).into_iter()
}

/// Where one of `marks` stands outside quotes and comments, and not after a backslash.
fn unquoted_any(text: &str, marks: &[char]) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut quoted, mut comments) = (false, 0_usize);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '"' if comments == 0 => quoted = !quoted,
            '(' if !quoted => comments += 1,
            ')' if !quoted => comments = comments.saturating_sub(1),
            _ if !quoted && comments == 0 && marks.contains(&c) => found.push(at),
            _ => {}
        }
    }
    found
}

fn shown(text: &str) -> String {
    format!("\"{}\"", printable::shortened(text, 60))
}
