//! `[rewrite]` maps: addresses that are replaced by others, as Postfix does with its canonical and
//! generic maps.
//!
//! One `pattern address` a line, blanks between them. The patterns, in the order in which they are
//! looked up: `user@domain`, `user` (a name of this host, or in `domain`) and `@domain`. The
//! address may be `@domain`, which keeps the local part. A map decides who mail is from and whom
//! it goes to, so a file with any mistake in it is refused as a whole.

use mail::Address;
use std::collections::HashMap;

use crate::aliases::{Rules, untagged};
use crate::log::printable;
use crate::settings::Problem;

/// A larger file is refused; in bytes.
pub const LARGEST_FILE: usize = 4 * 1024 * 1024;
/// More problems than this are not listed.
const MOST_PROBLEMS: usize = 100;

/// What a map file says. The default is an empty one, which replaces nothing.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// By pattern, in lower case.
    rows: HashMap<String, Row>,
}

#[derive(Clone, Debug)]
struct Row {
    line: usize,
    replacement: Replacement,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Replacement {
    Address(Address),
    /// A domain for the local part that was there.
    Domain(String),
}

impl Map {
    /// Reads the text of a map file. `file` is only named in problems. Empty lines, and lines that
    /// begin with `#`, are left out.
    ///
    /// # Errors
    /// Everything that is wrong, by line; at most 100 problems.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, Vec<Problem>> {
        let mut map = Self::default();
        let mut problems = Vec::new();
        if text.len() > LARGEST_FILE {
            let fault = Fault::new(
                "the file is larger than 4 MiB",
                "check that it is the right file",
            );
            return Err(vec![fault.at(file, 0)]);
        }
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Err(fault) = map.line(index + 1, line) {
                problems.push(fault.at(file, index + 1));
            }
            if problems.len() == MOST_PROBLEMS {
                break;
            }
        }
        if problems.is_empty() {
            Ok(map)
        } else {
            Err(problems)
        }
    }

    /// What `address` is replaced by; `None` where no pattern fits. The result is not looked up
    /// again. A bare address is looked up as it is and completed with `domain`.
    ///
    /// Where `user+tag` itself is in no pattern, `user` is looked up, and the tag goes into the
    /// new address, as Postfix does.
    #[must_use]
    pub fn look_up(&self, address: &Address, rules: &Rules<'_>) -> Option<Address> {
        if self.rows.is_empty() {
            return None;
        }
        let complete = address.qualified(rules.domain);
        let (local, domain) = (complete.local(), complete.domain()?);
        let lower = |text: &str| text.to_ascii_lowercase();
        let (key, at_domain) = (lower(local), lower(domain));
        let is_own =
            at_domain.eq_ignore_ascii_case(rules.domain) || rules.local_name(address).is_some();
        let base = untagged(&key);
        let mut forms = vec![(format!("{key}@{at_domain}"), false)];
        forms.extend(base.map(|base| (format!("{base}@{at_domain}"), true)));
        if is_own {
            forms.push((key.clone(), false));
            forms.extend(base.map(|base| (base.to_owned(), true)));
        }
        forms.push((format!("@{at_domain}"), false));
        let found = |(key, tagged): (String, bool)| Some((self.rows.get(&key)?, tagged));
        let (row, tagged) = forms.into_iter().find_map(found)?;
        row.replacement.for_local(local, tagged)
    }

    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), Fault> {
        let words = line.trim_ascii();
        if words.is_empty() || words.starts_with(b"#") {
            return Ok(());
        }
        let text = std::str::from_utf8(words)
            .map_err(|_| Fault::new("the line is not UTF-8 text", "save it as UTF-8"))?;
        if text
            .chars()
            .any(|c| c.is_control() && c != '\t' || c == '\u{FEFF}')
        {
            let remedy = "remove it; an editor that shows control characters helps to find it";
            return Err(Fault::new("the line holds a control character", remedy));
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            let remedy = "write each pattern and its address on one line, without a blank before";
            return Err(Fault::new(
                "the line begins with a blank, and lines cannot be continued",
                remedy,
            ));
        }
        let (pattern, replacement) = two_words(text)?;
        let pattern = pattern_key(pattern)?;
        let replacement = Replacement::parse(replacement)?;
        if let Some(first) = self.rows.get(&pattern) {
            let remedy = format!("remove one of the two; the first is in line {}", first.line);
            return Err(Fault::new(
                format!("{} stands there a second time", shown(&pattern)),
                remedy,
            ));
        }
        let row = Row {
            line: number,
            replacement,
        };
        self.rows.insert(pattern, row);
        Ok(())
    }
}

impl Replacement {
    fn parse(text: &str) -> Result<Self, Fault> {
        let remedy =
            "write an address such as user@example.com, or @example.com for another domain";
        let fault = || {
            Fault::new(
                format!("{} is not a full mail address", shown(text)),
                remedy,
            )
        };
        if let Some(domain) = text.strip_prefix('@') {
            return domain_of(domain).map(Self::Domain).ok_or_else(fault);
        }
        match Address::parse(text) {
            Ok(address) if address.domain().is_some() => Ok(Self::Address(address)),
            _ => Err(fault()),
        }
    }

    /// The new address for what had the local part `local`; with its tag, if `tagged`. `None` where
    /// it would become too long.
    fn for_local(&self, local: &str, tagged: bool) -> Option<Address> {
        match self {
            Self::Domain(domain) => Address::parse(&format!("{local}@{domain}")).ok(),
            Self::Address(address) => {
                let tag = local.split_once('+').filter(|_| tagged);
                let (Some((_, tag)), Some(domain)) = (tag, address.domain()) else {
                    return Some(address.clone());
                };
                if address.local().starts_with('"') {
                    return Some(address.clone());
                }
                Address::parse(&format!("{}+{tag}@{domain}", address.local())).ok()
            }
        }
    }
}

fn two_words(text: &str) -> Result<(&str, &str), Fault> {
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(pattern), Some(replacement), None) => Ok((pattern, replacement)),
        (_, _, Some(word)) if word.starts_with('#') => Err(Fault::new(
            "a comment follows on the same line",
            "put the comment on a line of its own",
        )),
        _ => Err(Fault::new(
            "the line is not a pattern and an address",
            "write it as \"old@example.com new@example.com\", with one blank or more between them",
        )),
    }
}

/// What stands behind the @ of a pattern, if it is a domain.
fn domain_of(text: &str) -> Option<String> {
    let probe = Address::parse(&format!("x@{text}")).ok()?;
    let domain = probe.domain().filter(|_| !text.contains('@'));
    domain.map(str::to_owned)
}

fn pattern_key(text: &str) -> Result<String, Fault> {
    let remedy = "write user@domain, user or @domain";
    let fault = || Fault::new(format!("{} is not a pattern", shown(text)), remedy);
    if text.ends_with([':', '=']) {
        let remedy = "remove the sign at its end; a blank parts the pattern from the address";
        return Err(Fault::new(
            format!("{} is not a pattern", shown(text)),
            remedy,
        ));
    }
    if let Some(domain) = text.strip_prefix('@') {
        let domain = domain_of(domain).ok_or_else(fault)?;
        return Ok(format!("@{}", domain.to_ascii_lowercase()));
    }
    let address = Address::parse(text).map_err(|_| fault())?;
    Ok(address.as_str().to_ascii_lowercase())
}

struct Fault {
    message: String,
    remedy: String,
}

impl Fault {
    fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    fn at(self, file: &str, line: usize) -> Problem {
        Problem {
            file: file.to_owned(),
            line,
            message: self.message,
            remedy: self.remedy,
        }
    }
}

fn shown(text: &str) -> String {
    format!("\"{}\"", printable::shortened(text, 60))
}

#[cfg(test)]
mod tests;
