//! What an envelope becomes: senders and recipients completed, rewritten, expanded, none twice.

use super::{Aliases, Entry, ROOT, Rules, Seen, Target, keys};
use crate::log::printable;
use crate::settings::Problem;
use mail::{Address, Envelope, Recipient};
use std::collections::HashSet;

/// The most recipients of a message after expansion.
pub const MOST_RECIPIENTS: usize = 10_000;
/// Aliases of aliases are followed this far (a chain of them, not a list).
const DEPTH: usize = 50;
/// The most targets looked at for one message.
const STEPS: usize = 100_000;
/// More warnings than this about one message help nobody.
const MOST_WARNINGS: usize = 20;

/// Completes the addresses of an envelope. Returns warnings for the log, each one line, that name
/// the file and line at fault; at most 20.
///
/// A sender is completed with `domain` or replaced by [`Rules::senders`]. A recipient is looked up
/// in [`Rules::recipients`] first, then, if it is one of this host, in the aliases, and so is each
/// address that comes of it. Bare names keep their `+tag` unless an alias takes them. A name of
/// this host without an alias goes to root's address where there is one, else to the name at
/// `domain`; so does a name whose aliases give no address, lead back to themselves, lead on for
/// more than 50 steps, or give too many recipients: every recipient ends in at least one address.
///
/// Of recipients that are the same mailbox the first stays. One that changed keeps in `original`
/// what was handed in; `ORCPT` and `NOTIFY` go to each address that it became (RFC 3461 section
/// 5.2.7.3). `owner-` aliases do not change the sender.
pub fn complete(envelope: &mut Envelope, aliases: &Aliases, rules: &Rules<'_>) -> Vec<String> {
    if let Some(sender) = &mut envelope.sender {
        *sender = rules.sender(sender);
    }
    let mut completion = Completion {
        aliases,
        rules,
        steps: STEPS,
        kept: Vec::with_capacity(envelope.recipients.len()),
        seen: Seen::default(),
        warnings: Vec::new(),
    };
    let handed_in = std::mem::take(&mut envelope.recipients);
    let mut left = handed_in.len();
    for recipient in handed_in {
        left -= 1;
        completion.add(recipient, left);
    }
    envelope.recipients = completion.kept;
    let recipients = envelope
        .recipients
        .iter()
        .map(|recipient| &recipient.address);
    envelope.smtputf8 |= !recipients.chain(&envelope.sender).all(Address::is_ascii);
    completion.warnings
}

struct Completion<'a> {
    aliases: &'a Aliases,
    rules: &'a Rules<'a>,
    steps: usize,
    kept: Vec<Recipient>,
    seen: Seen,
    warnings: Vec<String>,
}

impl Completion<'_> {
    /// Adds what `recipient` becomes; `left` more are to come and keep their places.
    fn add(&mut self, recipient: Recipient, left: usize) {
        let room = MOST_RECIPIENTS
            .saturating_sub(self.kept.len() + left)
            .max(1);
        for address in self.addresses(&recipient.address, room) {
            if !self.seen.is_new(&address) {
                continue;
            }
            let mut recipient = recipient.clone();
            if address != recipient.address {
                let handed_in = recipient.address.to_string();
                recipient.original.get_or_insert(handed_in);
                recipient.address = address;
            }
            self.kept.push(recipient);
        }
    }

    /// What an address becomes; at least one, at most `room`.
    fn addresses(&mut self, address: &Address, room: usize) -> Vec<Address> {
        let mut walk = Walk::new(self.aliases, self.rules, room, self.steps);
        let trouble = match walk.run(address) {
            Ok(()) if !walk.found.is_empty() => None,
            Ok(()) if walk.too_deep => Some("lead on and on"),
            Ok(()) if walk.refused.is_empty() => Some("lead back to themselves"),
            Ok(()) => Some(""),
            Err(TooLarge) => Some("give too many addresses"),
        };
        let (refused, mut found) = (walk.refused, walk.found);
        self.steps = walk.steps;
        if trouble.is_some() {
            found = self.instead(address);
        }
        let target = match (trouble, found.first()) {
            (Some(_), Some(first)) => format!("to {first} instead"),
            _ => "to the other addresses alone".to_owned(),
        };
        let name = printable::shortened(address.as_str(), 100);
        for Problem {
            file,
            line,
            message,
            ..
        } in refused
        {
            self.warn(format!(
                "{file}:{line}: {message}; mail for {name} goes {target}"
            ));
        }
        if let Some(trouble) = trouble.filter(|trouble| !trouble.is_empty()) {
            let file = &self.aliases.file;
            self.warn(format!(
                "{file}: the aliases of {name} {trouble}; mail for it goes {target}"
            ));
        }
        found
    }

    /// Where mail goes for a name from which no address came.
    fn instead(&self, address: &Address) -> Vec<Address> {
        let mapped = self.rules.recipients.look_up(address, self.rules);
        let address = mapped.as_ref().unwrap_or(address);
        let mut walk = Walk::new(self.aliases, self.rules, 1000, STEPS);
        match walk.run_root() {
            Ok(()) if !walk.found.is_empty() => walk.found,
            _ => {
                let name = self.rules.local_name(address);
                let name = name.as_ref().unwrap_or(address);
                vec![name.qualified(self.rules.domain)]
            }
        }
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(warning);
        }
    }
}

/// More addresses or more work than is allowed for.
struct TooLarge;

/// The way from one address to what it becomes. Each alias is entered once, so it ends.
struct Walk<'a> {
    aliases: &'a Aliases,
    rules: &'a Rules<'a>,
    room: usize,
    /// Targets that may still be looked at.
    steps: usize,
    entered: HashSet<&'a str>,
    found: Vec<Address>,
    seen: Seen,
    refused: Vec<&'a Problem>,
    too_deep: bool,
    next: Vec<Step>,
}

/// An address on the way.
struct Step {
    address: Address,
    /// It is not looked up again.
    itself: bool,
    depth: usize,
    /// It came from root's alias.
    of_root: bool,
}

impl<'a> Walk<'a> {
    fn new(aliases: &'a Aliases, rules: &'a Rules<'a>, room: usize, steps: usize) -> Self {
        Self {
            aliases,
            rules,
            room,
            steps,
            entered: HashSet::new(),
            found: Vec::new(),
            seen: Seen::default(),
            refused: Vec::new(),
            too_deep: false,
            next: Vec::new(),
        }
    }

    fn run(&mut self, address: &Address) -> Result<(), TooLarge> {
        self.next.push(Step {
            address: address.clone(),
            itself: false,
            depth: 0,
            of_root: false,
        });
        self.finish()
    }

    fn run_root(&mut self) -> Result<(), TooLarge> {
        self.root(0)?;
        self.finish()
    }

    fn finish(&mut self) -> Result<(), TooLarge> {
        while let Some(step) = self.next.pop() {
            self.step(&step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TooLarge> {
        let mapped = self.rules.recipients.look_up(&step.address, self.rules);
        let address = mapped.as_ref().unwrap_or(&step.address);
        let Some(name) = self.rules.local_name(address) else {
            return self.arrive(address.qualified(self.rules.domain));
        };
        let keys = keys(&name);
        if self.rules.root.is_some() && keys.iter().any(|key| key == ROOT) {
            return self.root(step.depth);
        }
        if step.itself {
            let known = keys.iter().any(|key| self.entered.contains(&**key));
            // There is no mailbox to put a copy into.
            return if known {
                Ok(())
            } else {
                self.without_alias(&name, step)
            };
        }
        match self.aliases.find(&name) {
            Some((key, entry)) => self.enter(key, entry, step.depth + 1, step.of_root),
            None => self.without_alias(&name, step),
        }
    }

    /// A name of this host that stands for nobody else: root takes its mail.
    fn without_alias(&mut self, name: &Address, step: &Step) -> Result<(), TooLarge> {
        let has_root = self.rules.root.is_some() || self.aliases.root().is_some();
        if has_root && !step.of_root {
            return self.root(step.depth);
        }
        self.arrive(name.qualified(self.rules.domain))
    }

    fn root(&mut self, depth: usize) -> Result<(), TooLarge> {
        if let Some(root) = self.rules.root {
            return self.arrive(root.qualified(self.rules.domain));
        }
        match self.aliases.root() {
            Some((key, entry)) => self.enter(key, entry, depth + 1, true),
            None => Ok(()),
        }
    }

    fn enter(
        &mut self,
        key: &'a str,
        entry: &'a Entry,
        depth: usize,
        of_root: bool,
    ) -> Result<(), TooLarge> {
        if !self.entered.insert(key) {
            return Ok(());
        }
        if depth > DEPTH {
            self.too_deep = true;
            return Ok(());
        }
        self.steps = self
            .steps
            .checked_sub(entry.targets.len())
            .ok_or(TooLarge)?;
        let of_root = of_root || key == ROOT;
        let first = self.next.len();
        for target in &entry.targets {
            let (address, itself) = match target {
                Target::Address(address) => (address, false),
                Target::Itself(name) => (name, true),
                Target::Refused(problem) => {
                    self.refused.push(problem);
                    continue;
                }
            };
            self.next.push(Step {
                address: address.clone(),
                itself,
                depth,
                of_root,
            });
        }
        // The first target is to be the next one taken.
        self.next[first..].reverse();
        Ok(())
    }

    fn arrive(&mut self, address: Address) -> Result<(), TooLarge> {
        if self.seen.is_new(&address) {
            if self.found.len() >= self.room {
                return Err(TooLarge);
            }
            self.found.push(address);
        }
        Ok(())
    }
}

/// The rules are those of [`Aliases::dead_ends`].
pub(super) fn dead_ends(aliases: &Aliases, rules: &Rules<'_>) -> Vec<Problem> {
    let mut left = 50 * STEPS;
    let mut found = Vec::new();
    for (name, entry) in &aliases.entries {
        let Ok(address) = Address::parse(name) else {
            continue;
        };
        let mut walk = Walk::new(aliases, rules, MOST_RECIPIENTS, STEPS);
        let end = walk.run(&address);
        let (too_deep, nothing) = (
            walk.too_deep,
            walk.found.is_empty() && walk.refused.is_empty(),
        );
        left = left.saturating_sub(STEPS - walk.steps);
        if left == 0 {
            break;
        }
        let message = match end {
            Err(TooLarge) => "gives more addresses than a message may have recipients",
            Ok(()) if too_deep => "leads on for more than 50 aliases",
            Ok(()) if nothing => "leads back to itself, and to no address",
            Ok(()) => continue,
        };
        found.push(Problem {
            file: aliases.file.clone(),
            line: entry.line,
            message: format!("\"{}\" {message}", printable::shortened(name, 60)),
            remedy: "name an address".to_owned(),
        });
    }
    found.sort_by_key(|problem| problem.line);
    found.truncate(super::MOST_PROBLEMS);
    found
}
