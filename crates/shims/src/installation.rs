//! Where relayd's sockets and spool are, found out at the least cost.
//!
//! Without `RELAYD_CONFIG` the compiled-in folders are tried first and the settings are read only if
//! nobody is there, or if a message is larger than the default limit: reading them would be half
//! the work of handing over a small message.

use std::path::{Path, PathBuf};

use host::config::{self, ConfigError};
use policy::settings::Essentials;
use policy::sysexits::ExitStatus;

use crate::failure::Failure;

/// The limit on a message's size unless the settings say otherwise, in bytes: 25 MiB, the default
/// of the settings key `message_size_limit`.
const DEFAULT_SIZE_LIMIT: u64 = 26_214_400;

/// The folders and the limit in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installation {
    run: PathBuf,
    spool: PathBuf,
    size_limit: u64,
    settings_read: bool,
}

impl Installation {
    /// The installation that the environment names, or else the compiled-in one.
    ///
    /// # Errors
    /// `RELAYD_CONFIG` names a file that is missing, or whose `[paths]` is wrong: status 78. What
    /// else is wrong in it is for relayd to report.
    pub(crate) fn find() -> Result<Self, Failure> {
        let paths = config::default_paths();
        let mut found = Self {
            run: paths.run,
            spool: paths.spool,
            size_limit: DEFAULT_SIZE_LIMIT,
            settings_read: false,
        };
        if let Some(file) = config::named_file() {
            found.take(config::load_essentials(&file).map_err(unusable)?);
        }
        Ok(found)
    }

    /// Reads the system's settings file unless settings were read already. Tells whether the
    /// folders changed. A missing file changes nothing.
    ///
    /// # Errors
    /// Its `[paths]` is wrong: status 78. A message left in the wrong folder would never be found.
    pub(crate) fn look_closer(&mut self) -> Result<bool, Failure> {
        if self.settings_read {
            return Ok(false);
        }
        let before = (self.run.clone(), self.spool.clone());
        match config::load_essentials(Path::new(config::DEFAULT_FILE)) {
            Ok(essentials) => self.take(essentials),
            Err(error) if error.is_missing() => self.settings_read = true,
            Err(error) => return Err(unusable(error)),
        }
        Ok((&before.0, &before.1) != (&self.run, &self.spool))
    }

    fn take(&mut self, essentials: Essentials) {
        self.run = essentials.paths.run;
        self.spool = essentials.paths.spool;
        self.size_limit = essentials.message_size_limit;
        self.settings_read = true;
    }

    /// Whether a message of `size` bytes is within the limit.
    pub(crate) fn takes_size(&mut self, size: u64) -> bool {
        if size > self.size_limit {
            // Without settings the limit stays what it is.
            let _ = self.look_closer();
        }
        size <= self.size_limit
    }

    /// The limit on a message's size in bytes, as far as it is known.
    pub(crate) fn size_limit(&self) -> u64 {
        self.size_limit
    }

    /// The socket for submissions.
    pub(crate) fn submit_socket(&self) -> PathBuf {
        self.run.join("submit.sock")
    }

    /// The folder with the control socket.
    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    /// The folder of the queue.
    pub(crate) fn spool(&self) -> &Path {
        &self.spool
    }

    /// Where messages are left while relayd is down.
    pub(crate) fn maildrop(&self) -> PathBuf {
        self.spool.join("maildrop")
    }
}

fn unusable(error: ConfigError) -> Failure {
    let text = error.to_string();
    Failure::new(ExitStatus::Config, text.lines().next().unwrap_or_default())
}
