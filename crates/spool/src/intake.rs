//! Taking in what `sendmail` left in `maildrop`.
//!
//! The files there belong to whoever wrote them, who may change them at any time and may put
//! anything beside them. So nothing is believed before it was read and checked, what is kept is
//! the copy that was checked, and nothing in the folder can stop the rest from being taken in.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::sync::Arc;

use mail::{Envelope, QueueId, Timestamp};
use nix::errno::Errno;

use crate::content::Content;
use crate::disk::{Disk, Facts, RealDisk};
use crate::entry::{self, Fault, check_file};
use crate::error::{Damage, ErrorKind, SpoolError};
use crate::folders::{Folder, clean, is};
use crate::format::{HEADER_LEN, Header};
use crate::maildrop::{DropName, READY_MODE};
use crate::recover::is_about_the_file;
use crate::spool::{Inner, Spool};

/// A file that is not ready after so long never will be. Partner: `sendmail` gives up its
/// submission long before, after a day at most.
const UNFINISHED_S: u64 = 36 * 3600;

/// What intake accepts.
#[derive(Clone, Copy, Debug)]
pub struct IntakeLimits {
    /// Largest content in bytes.
    pub size_max: u64,
    /// How many files are taken in one call; each is held open.
    pub batch: usize,
}

/// One thing found in maildrop.
#[derive(Debug)]
pub enum Dropped<D: Disk = RealDisk> {
    /// A whole submission, to be copied into an entry made by [`Spool::create_from`] with
    /// `Source::Drop`, and then removed.
    Submission(Submission<D>),
    /// It was taken in before relayd was killed. The file was removed now.
    TakenBefore {
        /// The file's name.
        name: DropName,
        /// The entry made from it.
        id: QueueId,
    },
    /// Not a submission.
    Rejected {
        /// Its name, with unusual bytes replaced.
        name: String,
        /// Its owner, where that is known.
        uid: Option<u32>,
        /// What is wrong with it.
        why: Damage,
        /// Where it lies in `corrupt` now; `None` where the system did not let it be moved. It is
        /// then reported this once.
        moved_to: Option<String>,
    },
}

/// A submission in maildrop, read and found whole. Dropping it leaves it there for later.
pub struct Submission<D: Disk = RealDisk> {
    inner: Arc<Inner<D>>,
    file: Arc<D::File>,
    name: DropName,
    uid: u32,
    header: Header,
    envelope: Envelope,
}

/// Takes up to `limits.batch` submissions from maildrop. What is not a submission is moved to
/// `corrupt` and reported. `now` is the wall clock.
///
/// After each round of intake the caller calls [`Spool::sync_maildrop`].
///
/// # Errors
///
/// `Refused` before [`Spool::scan`]; what the disk says about the folder or the system, but
/// nothing about single files.
pub fn take<D: Disk>(
    spool: &Spool<D>,
    limits: IntakeLimits,
    now: Timestamp,
) -> Result<Vec<Dropped<D>>, SpoolError> {
    let inner = &spool.inner;
    if !inner.drops.is_scanned() {
        let path = &inner.folders.maildrop.path;
        return Err(SpoolError::refused(
            "take from",
            path,
            "the entries were not scanned yet",
        ));
    }
    let mut found = Vec::new();
    for name in first_names(inner, limits.batch)? {
        let Some(drop_name) = parse(&name) else {
            found.extend(inner.reject(&name, None, Damage::Name));
            continue;
        };
        found.extend(inner.take_one(drop_name, limits, now)?);
    }
    Ok(found)
}

/// At most `batch` names that can be submissions and are not in hand, and as many others. More
/// are not remembered, however many there are.
fn first_names<D: Disk>(inner: &Inner<D>, batch: usize) -> Result<Vec<OsString>, SpoolError> {
    let folder = &inner.folders.maildrop;
    let (mut good, mut others) = (Vec::new(), Vec::new());
    let mut visit = |name: &OsStr| match parse(name) {
        Some(drop_name) if good.len() < batch && !inner.drops.is_left_alone(drop_name) => {
            good.push(name.to_owned());
        }
        None if others.len() < batch && !inner.drops.was_reported(name) => {
            others.push(name.to_owned());
        }
        _ => {}
    };
    let visited = inner.disk.visit_names(&folder.dir, &mut visit);
    visited.map_err(|error| SpoolError::io("list", &folder.path, error))?;
    good.extend(others);
    Ok(good)
}

fn parse(name: &OsStr) -> Option<DropName> {
    name.to_str().and_then(|text| text.parse().ok())
}

/// Why a file in maildrop is not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not there (any more).
    Gone,
    /// It is still being written.
    NotReady,
    /// It is not a submission.
    Damage(Damage),
    /// The system said so.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if is(&error, Errno::ENOENT) {
            Self::Gone
        } else {
            Self::Io(error)
        }
    }
}

impl From<Damage> for Refusal {
    fn from(why: Damage) -> Self {
        Self::Damage(why)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Damage(why) => why.into(),
            Fault::Io(error) => error.into(),
        }
    }
}

type Look<D> = (<D as Disk>::File, Facts, Header, Envelope);

/// Opens a file in maildrop and reads all of it but the content.
pub(crate) fn look_at<D: Disk>(
    disk: &D,
    folder: &Folder<D>,
    name: DropName,
    size_max: u64,
    now: Timestamp,
) -> Result<Look<D>, Refusal> {
    let name = name.file_name();
    // Not opened before it is known to be a file and ready: a FIFO would wait, and one that is
    // still being written may not be opened by relayd.
    check(&disk.facts_at(&folder.dir, &name)?, size_max, now)?;
    let file = disk.open(&folder.dir, &name, false)?;
    let facts = disk.facts(&file)?;
    check(&facts, size_max, now)?;
    let (header, envelope) = entry::read_drop(disk, &file, facts.size, size_max)?;
    Ok((file, facts, header, envelope))
}

fn check(facts: &Facts, size_max: u64, now: Timestamp) -> Result<(), Refusal> {
    check_file(facts)?;
    match facts.links {
        0 => return Err(Refusal::Gone),
        1 => {}
        // A user could link another's file here.
        links => return Err(Damage::Links(links).into()),
    }
    if facts.mode != READY_MODE {
        let age_s = now.as_secs().saturating_sub(facts.modified_s);
        let never = age_s > UNFINISHED_S;
        return Err(if never {
            Damage::Unfinished.into()
        } else {
            Refusal::NotReady
        });
    }
    let most = size_max.saturating_add(HEADER_LEN + u64::from(crate::ENVELOPE_MAX));
    if facts.size > most {
        Err(Damage::TooLarge.into())
    } else {
        Ok(())
    }
}

impl<D: Disk> Inner<D> {
    fn take_one(
        self: &Arc<Self>,
        name: DropName,
        limits: IntakeLimits,
        now: Timestamp,
    ) -> Result<Option<Dropped<D>>, SpoolError> {
        if let Some(id) = self.drops.taken_as(name)
            && self.remove_drop(name)?
        {
            return Ok(Some(Dropped::TakenBefore { name, id }));
        }
        if !self.drops.take_in_hand(name) {
            return Ok(None);
        }
        let taken = self.open_submission(name, limits, now);
        if !matches!(taken, Ok(Some(Dropped::Submission(_)))) {
            self.drops.out_of_hand(name);
        }
        taken
    }

    fn open_submission(
        self: &Arc<Self>,
        name: DropName,
        limits: IntakeLimits,
        now: Timestamp,
    ) -> Result<Option<Dropped<D>>, SpoolError> {
        let folder = &self.folders.maildrop;
        let look = look_at(&*self.disk, folder, name, limits.size_max, now);
        let whole = look.and_then(|(file, facts, header, envelope)| {
            let file = Arc::new(file);
            let content = entry::content(Arc::clone(&self.disk), Arc::clone(&file), &header);
            verify(content)?;
            Ok((file, facts, header, envelope))
        });
        let file_name = name.file_name();
        match whole {
            Ok((file, Facts { uid, .. }, header, envelope)) => {
                let inner = Arc::clone(self);
                let submission = Submission {
                    inner,
                    file,
                    name,
                    uid,
                    header,
                    envelope,
                };
                Ok(Some(Dropped::Submission(submission)))
            }
            Err(Refusal::Gone | Refusal::NotReady) => Ok(None),
            Err(Refusal::Damage(why)) => {
                let facts = self.disk.facts_at(&folder.dir, &file_name).ok();
                Ok(self.reject(&file_name, facts.map(|facts| facts.uid), why))
            }
            Err(Refusal::Io(error)) if is_about_the_file(&error) => {
                Ok(self.unreadable_drop(file_name))
            }
            Err(Refusal::Io(error)) => {
                Err(SpoolError::io("read", folder.path.join(file_name), error))
            }
        }
    }

    /// Moves something to `corrupt` and reports it; what cannot be moved is reported once.
    fn reject(&self, name: &OsStr, uid: Option<u32>, why: Damage) -> Option<Dropped<D>> {
        let folder = &self.folders.maildrop;
        let moved_to = self.folders.set_aside(&*self.disk, folder, name).ok();
        let report = moved_to.is_some() || self.drops.is_news(name.to_owned());
        let name = clean(name);
        report.then_some(Dropped::Rejected {
            name,
            uid,
            why,
            moved_to,
        })
    }

    /// A file that may not be read, or that the disk cannot read now, stays where it is.
    fn unreadable_drop(&self, name: OsString) -> Option<Dropped<D>> {
        let (clean, why) = (clean(&name), Damage::Unreadable);
        let rejected = Dropped::Rejected {
            name: clean,
            uid: None,
            why,
            moved_to: None,
        };
        self.drops.is_news(name).then_some(rejected)
    }
}

fn verify<D: Disk>(mut content: Content<D>) -> Result<(), Refusal> {
    if content.verify()? {
        Ok(())
    } else {
        Err(Damage::ContentChecksum.into())
    }
}

impl<D: Disk> Submission<D> {
    /// The file's name.
    #[must_use]
    pub fn name(&self) -> DropName {
        self.name
    }

    /// Who wrote it: the file's owner.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The envelope that it asks for. No other field of the file counts.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Size of the content in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.header.content_len
    }

    /// The content. Its writer may change it at any time: only a copy that was read to its end
    /// without an error is what was checked.
    #[must_use]
    pub fn content(&self) -> Content<D> {
        entry::content(
            Arc::clone(&self.inner.disk),
            Arc::clone(&self.file),
            &self.header,
        )
    }

    /// Removes the file, after the entry made from it was accepted. Durable after
    /// [`Spool::sync_maildrop`].
    ///
    /// # Errors
    ///
    /// `Refused` if no entry was made from it; what the disk says.
    pub fn remove(self) -> Result<(), SpoolError> {
        match self.inner.remove_drop(self.name)? {
            true => Ok(()),
            false => Err(self.fault(ErrorKind::Refused("no entry was made from this file"))),
        }
    }

    /// Moves the file to `corrupt`, since it may not be accepted; returns where it lies there.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn set_aside(self) -> Result<String, SpoolError> {
        let folder = &self.inner.folders.maildrop;
        self.inner
            .folders
            .set_aside(&*self.inner.disk, folder, &self.name.file_name())
    }

    fn fault(&self, kind: ErrorKind) -> SpoolError {
        let path = self.inner.folders.maildrop.path.join(self.name.to_string());
        SpoolError::new("remove", path, kind)
    }
}

impl<D: Disk> fmt::Debug for Submission<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Submission").field(&self.name).finish()
    }
}

impl<D: Disk> Drop for Submission<D> {
    fn drop(&mut self) {
        self.inner.drops.out_of_hand(self.name);
    }
}
