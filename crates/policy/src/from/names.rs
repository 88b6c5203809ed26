//! The name that stands with the default address in place of an author.

use mail::Address;
use mail::authors::Author;

use super::Host;

/// The longest name taken over from a message, in characters.
const NAME_LIMIT: usize = 120;

/// How many of several authors are named.
const NAMED: usize = 3;

/// What the name is made from: text in which `{name}` stands for the author's name, `{address}` for
/// the address and `{host}` for the first label of this host's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameForm(String);

impl Default for NameForm {
    /// The author's name alone.
    fn default() -> Self {
        Self("{name}".to_owned())
    }
}

impl NameForm {
    /// Reads a form.
    ///
    /// # Errors
    /// The word in braces that is not one of the three, or the brace that is not paired; it comes
    /// with its braces.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let word = &rest[at..];
            let known = ["{name}", "{address}", "{host}"];
            let Some(found) = known.iter().find(|known| word.starts_with(**known)) else {
                let end = word.find('}').map_or(1, |end| end + 1);
                return Err(word[..end].to_owned());
            };
            rest = &word[found.len()..];
        }
        Ok(Self(text.to_owned()))
    }

    fn filled(&self, name: &str, address: &str, host: &str) -> String {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        // One pass, so that braces in a name stay what they are.
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
            out.push_str(match &rest[at..end] {
                "{name}" => name,
                "{address}" => address,
                "{host}" => host,
                other => other,
            });
            rest = &rest[end..];
        }
        out.push_str(rest);
        out
    }
}

/// The name for these authors; `None` where there is none to be named.
pub(super) fn of(authors: &[Author], form: &NameForm, host: Host<'_>) -> Option<String> {
    let (short, _) = host.hostname.split_once('.').unwrap_or((host.hostname, ""));
    if let [author] = authors
        && let Some(name) = of_program(author, host, short)
    {
        return Some(name);
    }
    let mut names: Vec<String> = authors.iter().take(NAMED).filter_map(of_person).collect();
    if authors.len() > NAMED {
        names.push("others".to_owned());
    }
    let name: String = names.join(", ").chars().take(NAME_LIMIT).collect();
    let address = authors.first().and_then(|author| author.address.as_ref());
    let address = address.map_or("", Address::as_str);
    (!name.is_empty()).then(|| form.filled(&name, address, short))
}

/// The name of a person: as given, or the local part, or the address.
fn of_person(author: &Author) -> Option<String> {
    let address = author.address.as_ref();
    // An address as name looks like fraud once it stands before another address.
    let is_name = |name: &&String| address.is_none_or(|a| !name.eq_ignore_ascii_case(a.as_str()));
    let given = author.name.as_ref().filter(is_name);
    let given = given.or(author.comment.as_ref().filter(is_name)).cloned();
    given.or_else(|| {
        let local = plain_local(address?);
        Some(if local.is_empty() {
            address?.to_string()
        } else {
            local
        })
    })
}

/// `root on web1 (Cron Daemon)`, where the author is an account of this host that does not go by
/// another name.
fn of_program(author: &Author, host: Host<'_>, short: &str) -> Option<String> {
    let address = author.address.as_ref()?;
    if !is_of_host(address, host) {
        return None;
    }
    let account = plain_local(address);
    let inner = |name: &str| Some(name.strip_prefix('(')?.strip_suffix(')')?.to_owned());
    let detail = match &author.name {
        Some(name) if name.eq_ignore_ascii_case(&account) => author.comment.clone(),
        Some(name) => Some(inner(name)?),
        None => author.comment.clone(),
    };
    let detail = detail.map_or(String::new(), |detail| format!(" ({detail})"));
    Some(format!("{account} on {short}{detail}"))
}

fn is_of_host(address: &Address, host: Host<'_>) -> bool {
    let Some(domain) = address.domain() else {
        return true;
    };
    let names = [host.hostname, host.domain];
    !is_reachable(address) || names.iter().any(|name| name.eq_ignore_ascii_case(domain))
}

/// Whether mail to the address could leave this host at all.
pub(super) fn is_reachable(address: &Address) -> bool {
    address.domain().is_some_and(|domain| {
        let local = ["localhost", "localhost.localdomain"];
        !local.iter().any(|name| name.eq_ignore_ascii_case(domain))
    })
}

/// The local part without quotes.
fn plain_local(address: &Address) -> String {
    let local = address.local();
    let inner = local.strip_prefix('"').and_then(|l| l.strip_suffix('"'));
    match inner {
        Some(inner) => inner.replace("\\\\", "\\").replace("\\\"", "\""),
        None => local.to_owned(),
    }
}
