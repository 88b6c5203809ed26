//! The roads by which trouble reaches a person when mail itself may be what is broken: a mail
//! account of its own, a web address, a command, a file. Uses neither the spool nor relayd.
//!
//! [`carry`] tries them in order until one takes the letter. It blocks; every road has a deadline.
#![forbid(unsafe_code)]

mod account;
mod command;
mod file;
mod hook;
mod letter;
mod transcript;
mod wire;

use std::sync::Arc;

use host::secret::{self, Keeper};
use policy::settings::PasswordSource;
use policy::settings::alarm::{By, Road};
use policy::sysexits::ExitStatus;

pub use hook::ask;
pub use letter::{Event, Letter};

/// Hears every line that is said on a road, with secrets masked.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// What became of a letter on one road.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The road in a word or two and its section, as `smtp.example.com:587 ([alarm])`.
    pub road: String,
    /// Whether it was taken.
    pub outcome: Result<Accepted, Refusal>,
}

/// A road took the letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What was said in the end; may be empty.
    pub said: String,
    /// Those who do not get it all the same, each with the reason.
    pub left_out: Vec<String>,
}

/// Why a road did not take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What helps.
    pub kind: RefusalKind,
    /// In words; one line, without secrets.
    pub text: String,
}

/// What helps after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The settings, or a file that they name, are wrong.
    Settings,
    /// It did not work now, and may later.
    Temporary,
    /// It was refused for good.
    Final,
}

impl Refusal {
    fn new(kind: RefusalKind, text: impl AsRef<str>) -> Self {
        let text = policy::log::printable::shortened(text.as_ref(), policy::log::LONGEST);
        Self { kind, text }
    }

    fn temporary(text: impl AsRef<str>) -> Self {
        Self::new(RefusalKind::Temporary, text)
    }

    fn settings(text: impl AsRef<str>) -> Self {
        Self::new(RefusalKind::Settings, text)
    }
}

type Outcome = Result<Accepted, Refusal>;

/// Tries the roads in order until one takes the letter; the last of what is returned is then that
/// one. `keeper` is whose secrets are used. Blocks for at most about a minute a road.
#[must_use]
pub fn carry(
    letter: &Letter<'_>,
    roads: &[Road],
    keeper: &Keeper,
    listener: Option<&Listener>,
) -> Vec<Tried> {
    let mut tried = Vec::new();
    for road in roads {
        if let Some(listener) = listener {
            listener(&format!("-- {}", name(road)));
        }
        let outcome = match &road.by {
            By::Smtp(account) => account::send(letter, account, keeper, listener),
            By::Webhook(hook) => hook::post(letter, hook, keeper, listener),
            By::Command(line) => command::run(letter, line),
            By::File(path) => file::append(letter, path),
        };
        let done = outcome.is_ok();
        tried.push(Tried {
            road: name(road),
            outcome,
        });
        if done {
            break;
        }
    }
    tried
}

/// What keeps a road closed for certain: a secret or a certificate file that cannot be used. A
/// `password_command` is not run for it.
#[must_use]
pub fn fault(road: &Road, keeper: &Keeper) -> Option<String> {
    let (secret, ca_file) = match &road.by {
        By::Smtp(account) => (account.password.as_ref(), account.ca_file.as_deref()),
        By::Webhook(hook) => (hook.secret.as_ref(), None),
        By::Command(_) | By::File(_) => return None,
    };
    let secret = secret.filter(|source| !matches!(source, PasswordSource::Command(_)));
    let unusable = secret.and_then(|source| secret::fetch(source, keeper).err());
    let untrusted = || ca_file.and_then(|file| tls::client(Some(file)).err());
    unusable.map(|error| error.to_string()).or_else(untrusted)
}

/// A road as a person knows it. A web address may be a secret and is not shown.
fn name(road: &Road) -> String {
    let what = match &road.by {
        By::Smtp(account) => format!("{}:{}", account.host, account.port),
        By::Webhook(_) => "webhook".to_owned(),
        By::Command(_) => "command".to_owned(),
        By::File(path) => path.display().to_string(),
    };
    format!("{what} ([{}])", road.section)
}

/// How a program ends that had these roads tried: 0 if one took the letter; else 75 if another
/// time may help, 69 if it was refused for good, 78 if nothing but the settings stood in the way.
#[must_use]
pub fn status(tried: &[Tried]) -> ExitStatus {
    let kinds: Option<Vec<RefusalKind>> = tried
        .iter()
        .map(|one| one.outcome.as_ref().err().map(|refusal| refusal.kind))
        .collect();
    match kinds {
        None => ExitStatus::Ok,
        Some(kinds) if kinds.contains(&RefusalKind::Temporary) => ExitStatus::TempFail,
        Some(kinds) if kinds.contains(&RefusalKind::Final) => ExitStatus::Unavailable,
        Some(_) => ExitStatus::Config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_what_helps() {
        let tried = |kind| Tried {
            road: String::new(),
            outcome: Err(Refusal::new(kind, "x")),
        };
        let taken = Tried {
            road: String::new(),
            outcome: Ok(Accepted::default()),
        };
        use RefusalKind::{Final, Settings, Temporary};
        for (all, status) in [
            (vec![], ExitStatus::Config),
            (vec![tried(Settings)], ExitStatus::Config),
            (vec![tried(Settings), tried(Final)], ExitStatus::Unavailable),
            (vec![tried(Temporary), tried(Final)], ExitStatus::TempFail),
            (vec![tried(Temporary), taken], ExitStatus::Ok),
        ] {
            assert_eq!(super::status(&all), status, "{all:?}");
        }
    }
}
