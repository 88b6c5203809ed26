//! Aliases: what `/etc/aliases` says about names without a domain, and what an envelope becomes by
//! it.
//!
//! The file is that of sendmail and of Postfix's local(8): `name: target, target`, continued by
//! lines that begin with a blank, `#` comments on lines of their own, names in any case. It is read
//! as generously as it can be, because mail hangs on it: whatever cannot be used is a [`Problem`],
//! and the rest holds.
//!
//! There are no mailboxes on this host and this relay runs no commands, so `|command` and `/file`
//! add nothing. Mail for a name from which no address comes goes to root's address, or else to the
//! name at `domain`: it is never dropped.

mod expand;
mod lines;
mod read;

use mail::Address;
use std::collections::{HashMap, HashSet};

use crate::rewrite::Map;
use crate::settings::Problem;

pub use expand::{MOST_RECIPIENTS, complete};

/// A larger file is not looked at; it holds for `:include:` files too. In bytes.
pub const LARGEST_FILE: usize = 4 * 1024 * 1024;
/// The most `:include:` files that are read.
pub const MOST_INCLUDES: usize = 200;
/// More problems than this are not listed.
pub const MOST_PROBLEMS: usize = 100;

/// The aliases of a host.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    file: String,
    /// By name, in lower case.
    entries: HashMap<String, Entry>,
    includes: Vec<String>,
    problems: Vec<Problem>,
    summary: Summary,
}

#[derive(Clone, Debug)]
struct Entry {
    line: usize,
    targets: Vec<Target>,
}

#[derive(Clone, Debug)]
enum Target {
    /// An address, or a name that may be an alias itself.
    Address(Address),
    /// `\name`: the name itself, which is not looked up again.
    Itself(Address),
    /// What cannot be mailed to.
    Refused(Problem),
}

/// What an alias file holds, as `newaliases` of sendmail tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many aliases.
    pub aliases: usize,
    /// The longest right-hand side, in bytes.
    pub longest: usize,
    /// Names and right-hand sides, in bytes.
    pub total: usize,
}

impl Aliases {
    /// Reads the text of an alias file. `file` is only named in problems. `include` fetches the
    /// content of an `:include:` file by its absolute name, or says why it must not be used; it is
    /// asked at most once for each of at most [`MOST_INCLUDES`] files. The content of such a file
    /// never shows in a problem.
    ///
    /// Lines of any bytes are fine; the time is linear in what is read.
    #[must_use]
    pub fn parse(
        text: &[u8],
        file: &str,
        include: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Self {
        read::read(text, file, include)
    }

    /// What is wrong with the file, by line; at most [`MOST_PROBLEMS`].
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The `:include:` files that were asked for, whether they could be used or not.
    #[must_use]
    pub fn includes(&self) -> &[String] {
        &self.includes
    }

    /// How much there is.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// The aliases from which no address comes under `rules`: they lead back to themselves, or
    /// further than is followed, or to too many. What [`Aliases::problems`] names already is left out.
    #[must_use]
    pub fn dead_ends(&self, rules: &Rules<'_>) -> Vec<Problem> {
        expand::dead_ends(self, rules)
    }

    /// The alias for a bare name: `name+tag`, then `name`.
    fn find(&self, name: &Address) -> Option<(&str, &Entry)> {
        let found = |key: String| self.entries.get_key_value(&key);
        let (key, entry) = keys(name).into_iter().find_map(found)?;
        Some((key, entry))
    }

    fn root(&self) -> Option<(&str, &Entry)> {
        let (key, entry) = self.entries.get_key_value(ROOT)?;
        Some((key, entry))
    }
}

const ROOT: &str = "root";

/// What a bare name may be listed under, in lower case.
fn keys(name: &Address) -> Vec<String> {
    let whole = name.as_str().to_ascii_lowercase();
    let base = untagged(&whole).map(str::to_owned);
    std::iter::once(whole).chain(base).collect()
}

/// `joe` for the local part `joe+tag`; `None` where there is no tag, or nothing before it.
pub(crate) fn untagged(local: &str) -> Option<&str> {
    let (base, _) = local.split_once('+')?;
    (!base.is_empty() && !base.starts_with('"')).then_some(base)
}

/// What completing an envelope depends on besides the aliases.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The domain that completes bare addresses. Its mailboxes are elsewhere, so an address in it
    /// is never one of this host.
    pub domain: &'a str,
    /// The name of this host. An address in it is one of this host, unless `domain` is the same.
    pub hostname: &'a str,
    /// The setting `root`; it goes before an alias of that name.
    pub root: Option<&'a Address>,
    /// `[rewrite] senders`.
    pub senders: &'a Map,
    /// `[rewrite] recipients`.
    pub recipients: &'a Map,
}

impl Rules<'_> {
    /// The bare name of an address of this host: one without a domain, or at `localhost`,
    /// `localhost.localdomain` or the host's own name. `None` for every other address.
    #[must_use]
    pub fn local_name(&self, address: &Address) -> Option<Address> {
        let complete = address.qualified(self.domain);
        if address.domain().is_none() && complete.local() == address.local() {
            return Some(address.clone());
        }
        let is = |name: &str| {
            complete
                .domain()
                .is_some_and(|domain| domain.eq_ignore_ascii_case(name))
        };
        let of_host = is(self.hostname) && !self.hostname.eq_ignore_ascii_case(self.domain);
        if !(is("localhost") || is("localhost.localdomain") || of_host) {
            return None;
        }
        let name = Address::parse(complete.local()).ok()?;
        // `a!b@localhost` must not come back as `b@a`.
        (name.qualified(self.domain).local() == name.local()).then_some(name)
    }

    /// What a sender becomes: completed with `domain`, or what the map of senders says.
    #[must_use]
    pub fn sender(&self, sender: &Address) -> Address {
        let mapped = self.senders.look_up(sender, self);
        mapped.unwrap_or_else(|| sender.qualified(self.domain))
    }
}

/// Lower-case forms of what was seen, to merge case variants as [`Address::same_mailbox`] does.
#[derive(Default)]
struct Seen(HashSet<String>);

impl Seen {
    fn is_new(&mut self, address: &Address) -> bool {
        self.0.insert(address.as_str().to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests;
