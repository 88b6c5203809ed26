//! The folder in which a check remembers: one run at a time, files replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Larger files are not ours.
const LONGEST: u64 = 4 << 20;

/// The folder, held by this process alone.
pub(super) struct State {
    folder: PathBuf,
    _lock: File,
}

impl State {
    /// Makes the folder where it is missing, and waits for another run to end.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn hold(folder: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("lock"))?;
        lock.lock()?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// A file's text; empty where there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(super) fn read(folder: &Path, name: &str) -> io::Result<String> {
        let mut text = String::new();
        match File::open(folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(text),
            file => file?.take(LONGEST).read_to_string(&mut text)?,
        };
        Ok(text)
    }

    /// Replaces a file; after a crash there is the old one or the new one.
    ///
    /// # Errors
    /// What the disk says; the old file stands then.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let new = self.folder.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()
    }
}
