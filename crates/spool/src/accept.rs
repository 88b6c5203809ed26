//! Accepting a message: from the first byte to the instant at which it is safe.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use mail::{Envelope, Origin, QueueId, Timestamp};
use nix::errno::Errno;

use crate::claim::Claim;
use crate::disk::{Disk, RealDisk};
use crate::envelope::Section;
use crate::error::SpoolError;
use crate::folders::{Folder, is};
use crate::format::Kind;
use crate::meta::{Meta, Queue, RecipientState, Source};
use crate::spool::{Inner, Spool};
use crate::writer::{Writer, entry_name, no_unnamed_files};

const ENTRY_MODE: u32 = 0o600;

/// A message that is being accepted. Dropping it leaves nothing.
pub struct Draft<D: Disk = RealDisk> {
    inner: Arc<Inner<D>>,
    writer: Writer<D>,
    section: Section,
    /// Its name in `tmp`, while it has one: only where the file system makes no files without.
    tmp_name: Option<OsString>,
    arrival: Timestamp,
}

impl<D: Disk> fmt::Debug for Draft<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Draft").field(&self.id()).finish()
    }
}

impl<D: Disk> Spool<D> {
    /// Begins to accept a message. `arrival` is the wall clock, from which the id is made too.
    ///
    /// # Errors
    ///
    /// `Refused` where the envelope has no recipients or more than [`crate::RECIPIENTS_MAX`], or
    /// cannot be stored; else what the disk says.
    pub fn create(
        &self,
        envelope: &Envelope,
        origin: &Origin,
        arrival: Timestamp,
    ) -> Result<Draft<D>, SpoolError> {
        self.begin(None, envelope, origin, arrival)
    }

    /// As [`Spool::create`], for a message made from something in the spool, which is recorded.
    ///
    /// # Errors
    ///
    /// As [`Spool::create`].
    pub fn create_from(
        &self,
        source: Source,
        envelope: &Envelope,
        origin: &Origin,
        arrival: Timestamp,
    ) -> Result<Draft<D>, SpoolError> {
        self.begin(Some(source), envelope, origin, arrival)
    }

    fn begin(
        &self,
        source: Option<Source>,
        envelope: &Envelope,
        origin: &Origin,
        arrival: Timestamp,
    ) -> Result<Draft<D>, SpoolError> {
        let inner = Arc::clone(&self.inner);
        let id = inner.next_id(arrival)?;
        let (file, tmp_name) = inner.new_file(id)?;
        let origin = Some(origin.clone());
        let section = Section {
            envelope: envelope.clone(),
            origin,
            source,
        };
        match Writer::new(Arc::new(file), (Kind::Entry, id, arrival), &section) {
            Ok(writer) => Ok(Draft {
                inner,
                writer,
                section,
                tmp_name,
                arrival,
            }),
            Err(why) => {
                inner.forget_tmp(tmp_name.as_ref());
                Err(SpoolError::refused(
                    "store",
                    inner.path(Queue::Incoming, id),
                    why,
                ))
            }
        }
    }
}

impl<D: Disk> Inner<D> {
    /// A new file on the spool's file system, without a name or else with one in `tmp`.
    pub(crate) fn new_file(&self, id: QueueId) -> Result<(D::File, Option<OsString>), SpoolError> {
        let folder = self.folders.of(Queue::Incoming, id);
        let fault = |error| SpoolError::io("create a file in", &folder.path, error);
        match self.disk.create_unnamed(&folder.dir, ENTRY_MODE) {
            Err(error) if no_unnamed_files(&error) => {
                let name = entry_name(id);
                let file = self
                    .disk
                    .create_new(&self.folders.tmp.dir, &name, ENTRY_MODE);
                Ok((file.map_err(fault)?, Some(name)))
            }
            file => Ok((file.map_err(fault)?, None)),
        }
    }

    /// Removes a name in `tmp`. Best effort: the next start removes what stays.
    pub(crate) fn forget_tmp(&self, name: Option<&OsString>) {
        if let Some(name) = name {
            let _ = self.disk.remove(&self.folders.tmp.dir, name);
        }
    }
}

impl<D: Disk> Draft<D> {
    /// The id that the message will have, for its Received header and the log.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.writer.header().id
    }

    /// Bytes of content so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.writer.content_len()
    }

    /// Adds to the content, which is in the form in which it will be sent: lines end with CRLF,
    /// dots are not stuffed.
    ///
    /// # Errors
    ///
    /// What the disk says. Then the draft is of no more use and is to be dropped.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let written = self.writer.write(&self.inner.disk, bytes);
        written.map_err(|error| self.fault("write", error))
    }

    /// Accepts the message: when this returns, it is safe (I1). The id is that of
    /// [`Draft::id`], unless a foreign file had that name; then it is a new one.
    ///
    /// # Errors
    ///
    /// What the disk says; then nothing is left of the message. A sync that failed is not tried
    /// again (I2).
    pub fn commit(mut self) -> Result<Meta, SpoolError> {
        self.accept()
    }

    /// As [`Draft::commit`], and takes the entry to work on it, as [`Spool::claim`] would, without
    /// opening and reading what was just written.
    ///
    /// # Errors
    ///
    /// As [`Draft::commit`].
    pub fn commit_claimed(mut self) -> Result<Claim<D>, SpoolError> {
        // Nobody else can have opened it before it has its name.
        let locked = self.inner.disk.lock(self.writer.file());
        match locked.map_err(|error| self.fault("lock", error))? {
            true => {}
            false => return Err(self.fault("lock", Errno::EWOULDBLOCK.into())),
        }
        let meta = self.accept()?;
        let file = Arc::clone(self.writer.file());
        Ok(Claim::fresh(&self.inner, file, self.writer.header(), meta))
    }

    fn accept(&mut self) -> Result<Meta, SpoolError> {
        let inner = Arc::clone(&self.inner);
        let finished = self.writer.finish(&inner.disk);
        finished.map_err(|error| self.fault("write", error))?;
        let by_rename = self.tmp_name.is_some();
        if by_rename {
            // A rename may become durable before the bytes do, so they come first.
            let synced = inner.disk.sync(self.writer.file());
            synced.map_err(|error| self.fault("sync", error))?;
        }
        self.give_name()?;
        let folder = inner.folders.of(Queue::Incoming, self.id());
        if let Err(error) = self.make_durable(folder, by_rename) {
            self.take_name_back(folder);
            return Err(self.fault("sync", error));
        }
        // From here on the mail is safe.
        let meta = self.meta();
        inner.drops.committed(&meta);
        Ok(meta)
    }

    fn give_name(&mut self) -> Result<(), SpoolError> {
        let inner = Arc::clone(&self.inner);
        loop {
            let id = self.id();
            let folder = inner.folders.of(Queue::Incoming, id);
            let name = entry_name(id);
            let named = match &self.tmp_name {
                None => inner.disk.link(self.writer.file(), &folder.dir, &name),
                Some(old) => {
                    let from = (&inner.folders.tmp.dir, old.as_os_str());
                    inner.disk.rename(from, (&folder.dir, &name), false)
                }
            };
            match named {
                Ok(()) => break,
                Err(error) if is(&error, Errno::EEXIST) => {
                    let id = inner.next_id(self.arrival)?;
                    let changed = self.writer.set_id(&inner.disk, id);
                    changed.map_err(|error| self.fault("write", error))?;
                }
                Err(error) => return Err(self.fault("name", error)),
            }
        }
        self.tmp_name = None;
        Ok(())
    }

    /// One sync of the file makes its bytes and its new name durable (`FORMAT.md` says on what
    /// evidence). After a rename the folder is synced too.
    fn make_durable(&self, folder: &Folder<D>, by_rename: bool) -> std::io::Result<()> {
        self.inner.disk.sync(self.writer.file())?;
        if by_rename {
            self.inner.disk.sync_dir(&folder.dir)
        } else {
            Ok(())
        }
    }

    /// The message is refused, so its name must go. Best effort: if the disk does not let it go,
    /// the caller may hand in the message again and two copies are sent; none is lost.
    fn take_name_back(&self, folder: &Folder<D>) {
        let _ = self.inner.disk.remove(&folder.dir, &entry_name(self.id()));
        let _ = self.inner.disk.sync_dir(&folder.dir);
    }

    fn meta(&self) -> Meta {
        let Section {
            envelope,
            origin,
            source,
        } = self.section.clone();
        Meta {
            id: self.id(),
            queue: Queue::Incoming,
            arrival: self.arrival,
            size: self.size(),
            recipients: vec![RecipientState::default(); envelope.recipients.len()],
            envelope,
            origin: origin.expect("every draft is made with one"),
            source,
            attempts: 0,
            uncertain: false,
            last_attempt: None,
        }
    }

    fn fault(&self, op: &'static str, error: std::io::Error) -> SpoolError {
        SpoolError::io(op, self.inner.path(Queue::Incoming, self.id()), error)
    }
}

impl<D: Disk> Drop for Draft<D> {
    fn drop(&mut self) {
        self.inner.forget_tmp(self.tmp_name.as_ref());
    }
}
