//! What `sendmail` does when relayd is down: it leaves the submission in `maildrop`.
//!
//! The folder has mode 1733: anybody may make a file there, only relayd may list them, and
//! nobody may remove another's. So the file gets a name that cannot be guessed and mode 0644.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use mail::{Envelope, QueueId, Timestamp};
use nix::errno::Errno;

use crate::disk::{DirUse, Disk, RealDisk};
use crate::envelope::Section;
use crate::error::SpoolError;
use crate::format::Kind;
use crate::writer::{Writer, no_unnamed_files};

/// Mode of a file in maildrop that is whole. relayd has no other right to read it than this.
pub(crate) const READY_MODE: u32 = 0o644;
/// Mode of one that has a name and is still being written.
pub(crate) const WRITING_MODE: u32 = 0o600;

/// The name of a file in maildrop: 128 unguessable bits as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropName([u8; 16]);

impl DropName {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(self) -> [u8; 16] {
        self.0
    }

    pub(crate) fn file_name(self) -> OsString {
        self.to_string().into()
    }
}

impl fmt::Display for DropName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DropName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DropName {
    type Err = ();

    /// Exactly what [`fmt::Display`] prints.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(digit) {
            return Err(());
        }
        u128::from_str_radix(text, 16)
            .map(|number| Self(number.to_be_bytes()))
            .map_err(|_| ())
    }
}

/// Begins a submission in the folder `dir`, which is the spool's `maildrop`.
///
/// # Errors
///
/// What the disk says; `Refused` where the envelope cannot be stored.
pub fn drop_in<D: Disk>(
    disk: D,
    dir: &Path,
    envelope: &Envelope,
) -> Result<DropDraft<D>, SpoolError> {
    let fault = |op| SpoolError::at(op, dir);
    let folder = disk.open_root(dir, DirUse::Drop).map_err(fault("open"))?;
    let mut bytes = [0; 16];
    disk.random(&mut bytes).map_err(fault("choose a name in"))?;
    let name = DropName(bytes);
    let section = Section {
        envelope: envelope.clone(),
        origin: None,
        source: None,
    };
    let (file, named) = match disk.create_unnamed(&folder, READY_MODE) {
        Err(error) if no_unnamed_files(&error) => {
            let file = disk.create_new(&folder, &name.file_name(), WRITING_MODE);
            (file.map_err(fault("create a file in"))?, true)
        }
        file => (file.map_err(fault("create a file in"))?, false),
    };
    let path = dir.join(name.to_string());
    let mut draft = DropDraft {
        disk,
        folder,
        name,
        path,
        named,
        committed: false,
        writer: None,
    };
    let ident = (Kind::Drop, QueueId::from_number(0), Timestamp::default());
    let refused = |why| SpoolError::refused("store", &draft.path, why);
    draft.writer = Some(Writer::new(Arc::new(file), ident, &section).map_err(refused)?);
    Ok(draft)
}

/// A submission that is being written to maildrop. Dropping it leaves nothing there.
pub struct DropDraft<D: Disk = RealDisk> {
    disk: D,
    folder: D::Dir,
    name: DropName,
    path: PathBuf,
    /// It has its name already, since the file system makes no files without one.
    named: bool,
    committed: bool,
    /// `None` only while the draft is being made.
    writer: Option<Writer<D>>,
}

impl<D: Disk> fmt::Debug for DropDraft<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DropDraft").field(&self.name).finish()
    }
}

impl<D: Disk> DropDraft<D> {
    /// Bytes of content so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::content_len)
    }

    /// Adds to the content, which is in CRLF form.
    ///
    /// # Errors
    ///
    /// What the disk says. Nothing is left in maildrop after an error, as after dropping this.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let Self {
            disk, path, writer, ..
        } = self;
        let writer = writer.as_mut().expect("made with the draft");
        writer
            .write(disk, bytes)
            .map_err(|error| SpoolError::io("write", &*path, error))
    }

    /// Makes the submission visible and durable. When this returns the name, the mail is safe.
    ///
    /// # Errors
    ///
    /// What the disk says; then nothing is left in maildrop.
    pub fn commit(mut self) -> Result<DropName, SpoolError> {
        let Self {
            disk,
            folder,
            name,
            path,
            named,
            writer,
            ..
        } = &mut self;
        let writer = writer.as_mut().expect("made with the draft");
        let fault = |op| SpoolError::at(op, path);
        writer.finish(disk).map_err(fault("write"))?;
        let file = writer.file();
        if *named {
            disk.set_mode(file, READY_MODE)
                .map_err(fault("make ready"))?;
        } else {
            disk.link(file, folder, &name.file_name())
                .map_err(fault("name"))?;
            *named = true;
        }
        disk.sync(file).map_err(fault("sync"))?;
        // The file's own sync made the name durable too. That of the folder is worth trying and
        // is not allowed to everybody.
        match disk.sync_dir(folder) {
            Err(error) if error.raw_os_error() != Some(Errno::EACCES as i32) => {
                return Err(fault("sync the folder of")(error));
            }
            _ => {}
        }
        // From here on the mail is safe.
        self.committed = true;
        Ok(self.name)
    }
}

impl<D: Disk> Drop for DropDraft<D> {
    fn drop(&mut self) {
        if self.named && !self.committed {
            // Best effort: the file was never acknowledged, and intake knows what is not whole.
            let _ = self.disk.remove(&self.folder, &self.name.file_name());
            let _ = self.disk.sync_dir(&self.folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_as_they_are_read() {
        let name = DropName([0xAB; 16]);
        assert_eq!(name.to_string().parse(), Ok(name));
        for bad in [
            "",
            "ab",
            &"AB".repeat(16),
            &"+b".repeat(16),
            &"ab".repeat(17),
        ] {
            assert_eq!(bad.parse::<DropName>(), Err(()), "{bad}");
        }
    }
}
