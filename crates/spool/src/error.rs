//! What can go wrong, as values: which operation, on which file, and why.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An operation on the spool that did not succeed.
#[derive(Debug)]
pub struct SpoolError {
    /// What was being done, as a verb such as `open`, `write`, `sync`, `link`.
    pub op: &'static str,
    /// The file or folder it was done to.
    pub path: PathBuf,
    /// Why it failed.
    pub kind: ErrorKind,
}

/// Why an operation failed.
#[derive(Debug)]
pub enum ErrorKind {
    /// The system said so.
    Io(io::Error),
    /// Another process holds `state/lock`: another relayd runs on this spool.
    AnotherRelayd,
    /// The entry is claimed already.
    Busy,
    /// There is no such entry in `incoming`, `deferred` or `hold`.
    NoSuchEntry,
    /// What the file holds is not what was written.
    Damaged(Damage),
    /// A sync of this file failed before, so nothing that is written to it can be trusted
    /// (reliability rule: a failed fsync is never retried). `Claim::rewrite` makes a new file.
    Poisoned,
    /// The caller asked for something that the format or an invariant forbids; says what.
    Refused(&'static str),
    /// A folder is open to writers that it must be closed to.
    Mode {
        /// The permission bits it must have.
        wanted: u32,
        /// The permission bits it has.
        found: u32,
    },
}

impl SpoolError {
    pub(crate) fn new(op: &'static str, path: impl AsRef<Path>, kind: ErrorKind) -> Self {
        let path = path.as_ref().to_owned();
        Self { op, path, kind }
    }

    pub(crate) fn io(op: &'static str, path: impl AsRef<Path>, error: io::Error) -> Self {
        Self::new(op, path, ErrorKind::Io(error))
    }

    /// What makes the error for a failed operation on one path.
    pub(crate) fn at(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::io(op, path, error)
    }

    pub(crate) fn refused(op: &'static str, path: impl AsRef<Path>, why: &'static str) -> Self {
        Self::new(op, path, ErrorKind::Refused(why))
    }

    pub(crate) fn damaged(path: impl AsRef<Path>, why: Damage) -> Self {
        Self::new("read", path, ErrorKind::Damaged(why))
    }

    /// The system's error number, where the system said so.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match &self.kind {
            ErrorKind::Io(error) => error.raw_os_error(),
            _ => None,
        }
    }

    /// Whether the disk or the user's share of it is full (ENOSPC, EDQUOT): SMTP's 452 4.3.1.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use nix::errno::Errno::{EDQUOT, ENOSPC};
        self.errno()
            .is_some_and(|number| number == ENOSPC as i32 || number == EDQUOT as i32)
    }

    /// Whether the entry is not there (any more).
    #[must_use]
    pub fn is_no_such_entry(&self) -> bool {
        matches!(self.kind, ErrorKind::NoSuchEntry)
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "cannot {} {path}: {}", self.op, self.kind)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::AnotherRelayd => f.write_str("another relayd runs on this spool"),
            Self::Busy => f.write_str("the entry is claimed already"),
            Self::NoSuchEntry => f.write_str("no such entry"),
            Self::Damaged(why) => why.fmt(f),
            Self::Poisoned => f.write_str("a sync of this file failed before"),
            Self::Refused(why) => f.write_str(why),
            Self::Mode { wanted, found } => {
                write!(f, "its mode is {found:04o} and must be {wanted:04o}")
            }
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a file in the spool is not an entry, or not the one that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Not a regular file.
    NotRegular,
    /// More than one name leads to the file; the number of names.
    Links(u64),
    /// Nothing in this folder may have such a name.
    Name,
    /// The file names another id, or belongs into another folder.
    Misplaced,
    /// Another entry has the same id.
    SecondOfItsId,
    /// Its writer never made it ready, and was given time enough.
    Unfinished,
    /// The file may not be opened, or reading it failed.
    Unreadable,
    /// Shorter than a header.
    NoHeader,
    /// The first bytes are not those of an entry.
    Magic,
    /// Written by a version of this program that is not known here.
    Version(u16),
    /// The header's checksum is wrong.
    HeaderChecksum,
    /// The header's fields contradict each other.
    Header,
    /// A length is above its limit.
    TooLarge,
    /// The file is shorter than its header says.
    CutShort,
    /// There are bytes after the end.
    Trailing,
    /// The checksum of envelope and origin is wrong.
    EnvelopeChecksum,
    /// A field of envelope or origin breaks the rules of the format.
    Envelope,
    /// The content's checksum is wrong.
    ContentChecksum,
    /// A record of the journal has a right checksum and a wrong meaning.
    Journal,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotRegular => "not a regular file",
            Self::Links(links) => return write!(f, "the file has {links} names"),
            Self::Name => "no entry can have this name",
            Self::Misplaced => "the file lies under a name or in a folder that is not its own",
            Self::SecondOfItsId => "another entry has the same id",
            Self::Unfinished => "its writer never finished it",
            Self::Unreadable => "the file cannot be read",
            Self::NoHeader => "the file is shorter than a header",
            Self::Magic => "the first bytes are not those of an entry",
            Self::Version(version) => return write!(f, "format version {version} is unknown"),
            Self::HeaderChecksum => "the header's checksum is wrong",
            Self::Header => "the header contradicts itself",
            Self::TooLarge => "a length is above its limit",
            Self::CutShort => "the file is shorter than its header says",
            Self::Trailing => "there are bytes after the end",
            Self::EnvelopeChecksum => "the envelope's checksum is wrong",
            Self::Envelope => "a field of the envelope breaks the format",
            Self::ContentChecksum => "the content's checksum is wrong",
            Self::Journal => "a journal record breaks the format",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Damage {}
