//! Finding and reading the settings file.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use policy::settings::{Emergency, Essentials, Paths, Problem, Settings};

use crate::secret::Keeper;
use crate::trusted::{self, Owner, Refusal};

/// Where the settings are, unless [`VARIABLE`] names another file.
pub const DEFAULT_FILE: &str = "/etc/relayd/relayd.conf";

/// The environment variable that names another settings file. It gives nobody any right: no program
/// of the suite has a set-id bit.
pub const VARIABLE: &str = "RELAYD_CONFIG";

/// Where the sockets are unless the settings say otherwise.
pub const DEFAULT_RUN: &str = "/run/relayd";

/// Where the queue is unless the settings say otherwise.
pub const DEFAULT_SPOOL: &str = "/var/spool/relayd";

/// A settings file is not read beyond this.
const LONGEST: u64 = 1024 * 1024;

/// Why there are no settings.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file must not be used: others could have written it, or it is no file.
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The file was read and is wrong; at least one problem.
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// Whether there simply is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for ConfigError {
    /// One line for each problem: file, line, what is wrong, what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: {error}. Create it, or name another file in {VARIABLE}."
                )
            }
            Self::Unsafe {
                path,
                message,
                remedy,
            } => write!(f, "{}: {message}; {remedy}", path.display()),
            Self::Invalid(problems) => {
                for (number, problem) in problems.iter().enumerate() {
                    let separator = if number == 0 { "" } else { "\n" };
                    write!(f, "{separator}{problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// The file that [`VARIABLE`] names, where it is set and not empty.
#[must_use]
pub fn named_file() -> Option<PathBuf> {
    std::env::var_os(VARIABLE)
        .filter(|name: &OsString| !name.is_empty())
        .map(PathBuf::from)
}

/// The settings file of this process.
#[must_use]
pub fn file() -> PathBuf {
    named_file().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))
}

/// Reads the settings at `path`; relative paths in it count from its folder.
///
/// The file must be a regular one, or a link to one, of root or of the user that this process runs
/// as, and neither it nor its folder writable by others or by a group: settings name commands that
/// are run, and say where all mail goes.
///
/// # Errors
/// It is missing, cannot be read, is not such a file, is longer than 1 MiB, is not UTF-8, or does not
/// hold valid settings. A daemon ends with status 78 then.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let bytes = bounded(path, read_trusted(path))?;
    let not_utf8 = |error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error));
    let text = String::from_utf8(bytes).map_err(not_utf8)?;
    let name = path.display().to_string();
    let mut settings = Settings::parse(&text, &name).map_err(ConfigError::Invalid)?;
    settings.resolve_paths(&folder_of(path).map_err(unreadable)?);
    Ok(settings)
}

/// Reads from the settings at `path` what the programs that hand mail in need, however wrong the
/// rest of the file is, and whoever owns it: in a user namespace, root's files belong to nobody. What
/// these programs do with it they do with the rights of their caller.
///
/// # Errors
/// It is missing, cannot be read, is not a regular file, is longer than 1 MiB, or its `[paths]` is
/// wrong.
pub fn load_essentials(path: &Path) -> Result<Essentials, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let bytes = bounded(path, trusted::read_any(path, LONGEST + 1))?;
    let (text, name) = (String::from_utf8_lossy(&bytes), path.display().to_string());
    let mut essentials = Essentials::parse(&text, &name).map_err(ConfigError::Invalid)?;
    essentials.resolve_paths(&folder_of(path).map_err(unreadable)?);
    Ok(essentials)
}

/// Reads from the settings at `path` what sending an alarm needs, however wrong the rest of the file
/// is, and what is wrong in the sections of alarms.
///
/// # Errors
/// It is missing, cannot be read, is longer than 1 MiB, or others can write it: like [`load`]'s, these
/// settings name commands that are run.
pub fn load_emergency(path: &Path) -> Result<(Emergency, Vec<Problem>), ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let bytes = bounded(path, read_trusted(path))?;
    let (text, name) = (String::from_utf8_lossy(&bytes), path.display().to_string());
    let (mut emergency, problems) = Emergency::parse(&text, &name);
    emergency.resolve_paths(&folder_of(path).map_err(unreadable)?);
    Ok((emergency, problems))
}

fn folder_of(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    Ok(path.parent().unwrap_or(Path::new("/")).to_owned())
}

fn read_trusted(path: &Path) -> Result<Vec<u8>, Refusal> {
    let keeper = Keeper::this_process();
    trusted::read(path, &keeper, Owner::RootOrKeeper, LONGEST + 1)
}

/// What was read of the file, if that is all of it.
fn bounded(path: &Path, read: Result<Vec<u8>, Refusal>) -> Result<Vec<u8>, ConfigError> {
    let path = path.to_owned();
    match read {
        Ok(bytes) if bytes.len() as u64 > LONGEST => {
            let error = io::Error::new(io::ErrorKind::InvalidData, "longer than 1 MiB");
            Err(ConfigError::Unreadable { path, error })
        }
        Ok(bytes) => Ok(bytes),
        Err(Refusal::Io(error)) => Err(ConfigError::Unreadable { path, error }),
        Err(Refusal::Unsafe { message, remedy }) => Err(ConfigError::Unsafe {
            path,
            message,
            remedy,
        }),
    }
}

/// The folders that are used where no settings file says otherwise.
#[must_use]
pub fn default_paths() -> Paths {
    Paths {
        spool: PathBuf::from(DEFAULT_SPOOL),
        run: PathBuf::from(DEFAULT_RUN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str =
        "[paths]\nspool = spool\nrun = run\n[gateway out]\ndeliver = capture:out\n";

    #[test]
    fn paths_count_from_the_folder_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relayd.conf");
        std::fs::write(&file, MINIMAL).unwrap();
        let settings = load(&file).unwrap();
        assert_eq!(settings.paths.spool, folder.path().join("spool"));
        assert_eq!(settings.paths.run, folder.path().join("run"));
    }

    #[test]
    fn a_missing_file_is_told_from_a_wrong_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relayd.conf");
        let missing = load(&file).unwrap_err();
        assert!(missing.is_missing());
        assert!(missing.to_string().contains("RELAYD_CONFIG"), "{missing}");

        std::fs::write(&file, "nonsense = 1\n").unwrap();
        let wrong = load(&file).unwrap_err();
        assert!(!wrong.is_missing());
        assert!(wrong.to_string().contains("relayd.conf:1:"), "{wrong}");
    }

    #[test]
    fn the_essentials_are_read_from_a_file_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relayd.conf");
        let written = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            assert!(load(&file).is_err());
            load_essentials(&file)
        };
        let found = written(b"# \xe9t\xe9\n[paths]\nrun = run\n[gateway\n").unwrap();
        assert_eq!(found.paths.run, folder.path().join("run"));
        assert_eq!(found.paths.spool, default_paths().spool);
        let wrong = written(b"\n[paths]\nrun\n").unwrap_err().to_string();
        assert!(wrong.contains("relayd.conf:3:"), "{wrong}");
    }

    #[test]
    fn a_file_that_is_too_long_or_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relayd.conf");
        std::fs::write(&file, "#".repeat(1024 * 1024 + 1)).unwrap();
        let error = load(&file).unwrap_err();
        assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for place in [folder.path(), Path::new("/dev/zero"), &fifo] {
            for error in [
                load(place).unwrap_err(),
                load_essentials(place).unwrap_err(),
            ] {
                let text = error.to_string();
                assert!(text.contains("it is not a regular file"), "{text}");
            }
        }
    }

    #[test]
    fn settings_that_others_can_write_are_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relayd.conf");
        std::fs::write(&file, MINIMAL).unwrap();
        let change = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for mode in [0o620, 0o602] {
            change(&file, mode);
            let error = load(&file).unwrap_err().to_string();
            assert!(error.contains("writable by others"), "{error}");
            // Whoever hands mail in does it by his own rights.
            load_essentials(&file).unwrap();
        }
        change(&file, 0o600);
        change(folder.path(), 0o777);
        let error = load(&file).unwrap_err().to_string();
        assert!(error.contains("its folder"), "{error}");
        change(folder.path(), 0o1777);
        load(&file).unwrap();
    }

    #[test]
    fn the_compiled_in_folders_are_those_of_the_settings_table() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relayd.conf");
        std::fs::write(&file, "[gateway out]\ndeliver = capture:out\n").unwrap();
        assert_eq!(load(&file).unwrap().paths, default_paths());
    }
}
