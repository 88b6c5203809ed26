//! Fetching a gateway's password: from a file, from a command, or from systemd.
//!
//! A password that others can read is refused rather than used: the fault is then found while the
//! machine is being set up, and not after it was copied.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc::{O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::getgroups;
use policy::settings::PasswordSource;
use zeroize::Zeroizing;

use crate::identity::{self, Account};

mod command;

/// A password. It cannot be printed, and its memory is overwritten when it is dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The password itself; at least one character, no control character among them.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Longest file or output that is looked at, in bytes.
const LONGEST: u64 = 4096;

/// How long a `password_command` may take.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no password. Never holds any part of one.
#[derive(Debug, PartialEq, Eq)]
pub struct SecretError {
    /// Where it was looked for: a file name, or `password_command`.
    pub place: String,
    /// What is wrong, and what to do where that is not plain.
    pub problem: String,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for SecretError {}

/// Whose secrets they are: who may own the file, and which group may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    pub(crate) uid: u32,
    pub(crate) groups: Vec<u32>,
}

impl Keeper {
    /// This process: its effective uid, and the groups it is in.
    #[must_use]
    pub fn this_process() -> Self {
        let mut groups: Vec<u32> = getgroups()
            .unwrap_or_default()
            .iter()
            .map(|group| group.as_raw())
            .collect();
        groups.push(identity::effective_gid());
        Self {
            uid: identity::effective_uid(),
            groups,
        }
    }

    /// Whoever uses the secrets of relayd: this process, or where that is root's, the account that
    /// the settings give relayd, for whom the files may be. An account that is not there is left
    /// out of account.
    #[must_use]
    pub fn of_relayd(login: Option<&str>) -> Self {
        let account = login.map(identity::account_named);
        let account = account.and_then(|found| found.ok().flatten());
        match account.filter(|_| identity::effective_uid() == 0) {
            Some(account) => Self::account(&account),
            None => Self::this_process(),
        }
    }

    /// An account that this process is about to become, so that root can read beforehand what is
    /// meant for it.
    #[must_use]
    pub fn account(account: &Account) -> Self {
        Self {
            uid: account.uid,
            groups: vec![account.gid],
        }
    }
}

/// Fetches a password.
///
/// A file must be a regular file, not a symbolic link; owned by root or the keeper; writable by its
/// owner alone; not open to others in any way; and readable by a group only if that group is root's
/// or one of the keeper's. The first line counts, without its line end. A command is run by
/// `/bin/sh -c`, must end within [`COMMAND_TIMEOUT`], and blocks until then.
///
/// # Errors
/// There is no acceptable password there; the text says why and never shows it.
pub fn fetch(source: &PasswordSource, keeper: &Keeper) -> Result<Secret, SecretError> {
    match source {
        PasswordSource::File(path) => from_file(path, keeper),
        PasswordSource::Credential(name) => from_file(&credential_path(name)?, keeper),
        PasswordSource::Command(line) => {
            let failed = |problem| SecretError {
                place: "password_command".into(),
                problem,
            };
            let output = command::first_output(line, COMMAND_TIMEOUT, LONGEST).map_err(failed)?;
            first_line(&output).map_err(|problem| failed(problem.to_owned()))
        }
    }
}

fn credential_path(name: &str) -> Result<PathBuf, SecretError> {
    let failed = |problem: &str| SecretError {
        place: name.into(),
        problem: problem.into(),
    };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(failed("a credential's name is a plain file name"));
    }
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
        .filter(|folder| !folder.is_empty())
        .ok_or_else(|| failed("systemd passed no credentials; see LoadCredential= in the unit"))?;
    Ok(Path::new(&folder).join(name))
}

fn from_file(path: &Path, keeper: &Keeper) -> Result<Secret, SecretError> {
    let failed = |problem| SecretError {
        place: path.display().to_string(),
        problem,
    };
    // O_NONBLOCK: a fifo must not hold the program up before it is seen to be one.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
        .open(path)
        .map_err(|error| failed(open_problem(&error)))?;
    check(&file, keeper).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(error.to_string()))?;
    first_line(&bytes).map_err(|problem| failed(problem.to_owned()))
}

fn open_problem(error: &io::Error) -> String {
    if error.raw_os_error() == Some(nix::libc::ELOOP) {
        return "it is a symbolic link; name the file itself".to_owned();
    }
    error.to_string()
}

/// Looks at the open file, not at its name, which could by now be another file's.
fn check(file: &File, keeper: &Keeper) -> Result<(), String> {
    let status = file.metadata().map_err(|error| error.to_string())?;
    if !status.is_file() {
        return Err("it is not a regular file".into());
    }
    if status.uid() != 0 && status.uid() != keeper.uid {
        return Err(format!(
            "it belongs to uid {}; it must belong to root or to the account of relayd",
            status.uid()
        ));
    }
    let mode = status.mode();
    if mode & 0o007 != 0 {
        return Err(format!(
            "everybody may get at it (mode {:04o}); chmod o= it",
            mode & 0o7777
        ));
    }
    if mode & 0o020 != 0 {
        return Err(format!(
            "its group may write it (mode {:04o}); chmod g-w it",
            mode & 0o7777
        ));
    }
    let readers = status.gid();
    if mode & 0o040 != 0 && readers != 0 && !keeper.groups.contains(&readers) {
        return Err(format!(
            "group {readers} may read it and is not relayd's; chmod g= it"
        ));
    }
    Ok(())
}

fn first_line(bytes: &[u8]) -> Result<Secret, &'static str> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err("its first line is empty");
    }
    if line.len() as u64 >= LONGEST {
        return Err("its first line is longer than 4 KiB");
    }
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8 text")?;
    if text.chars().any(char::is_control) {
        return Err("its first line holds a control character");
    }
    Ok(Secret(Zeroizing::new(text.to_owned())))
}

#[cfg(test)]
mod tests;
