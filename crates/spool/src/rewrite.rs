//! Putting a new file in the place of an entry's old one, under the same id.
//!
//! Needed when a sync of the old file failed, since nothing that is written to it later can be
//! trusted, and when its journal has grown long. The content is copied as it is.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use crate::claim::Claim;
use crate::content::Content;
use crate::disk::Disk;
use crate::entry::{self, Tail};
use crate::error::SpoolError;
use crate::folders::Folder;
use crate::format::HEADER_LEN;
use crate::journal;
use crate::writer::{entry_name, write_all};

const COPY_LEN: usize = 64 * 1024;

impl<D: Disk> Claim<D> {
    /// Copies the entry into a new file with the state that [`Claim::meta`] shows, and puts it in
    /// the place of the old one. When this returns, all that was recorded is durable.
    ///
    /// # Errors
    ///
    /// What the disk says; then [`Claim::meta`] still has everything, and it can be tried again.
    pub fn rewrite(&mut self) -> Result<(), SpoolError> {
        let (inner, id) = (Arc::clone(&self.inner), self.meta.id);
        let mut content = self.content()?;
        // A rewrite that failed before may have left its name.
        inner.forget_tmp(Some(&entry_name(id)));
        let (file, tmp_name) = inner.new_file(id)?;
        let queue = inner.find(id)?;
        let folder = inner.folders.of(queue, id);
        let copied = self.copy_to(&file, &mut content);
        let replaced = copied.and_then(|tail| {
            self.replace(&file, tmp_name, folder)?;
            Ok(tail)
        });
        let tail = replaced.map_err(|error| {
            inner.forget_tmp(Some(&entry_name(id)));
            self.fault("rewrite", error)
        })?;
        // The old file has no name any more.
        (self.file, self.tail, self.first_tail) = (Arc::new(file), tail, tail.offset);
        self.unwritten.clear();
        let synced = inner.disk.sync(&self.file);
        match synced.and_then(|()| inner.disk.sync_dir(&folder.dir)) {
            Ok(()) => inner.poisoned().remove(&id),
            Err(error) => {
                inner.poisoned().insert(id);
                return Err(self.fault("sync", error));
            }
        };
        Ok(())
    }

    fn copy_to(&self, file: &D::File, content: &mut Content<D>) -> io::Result<Tail> {
        use std::io::Read;
        let disk = &*self.inner.disk;
        let front = usize::try_from(self.header.content_start() - HEADER_LEN);
        let mut envelope = vec![0; front.expect("bounded by ENVELOPE_MAX")];
        if entry::read_full(disk, &self.file, &mut envelope, HEADER_LEN)? < envelope.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all(disk, file, &self.header.encode(), 0)?;
        write_all(disk, file, &envelope, HEADER_LEN)?;
        let (mut at, mut buffer) = (self.header.content_start(), vec![0; COPY_LEN]);
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                count => {
                    write_all(disk, file, &buffer[..count], at)?;
                    at += count as u64;
                }
            }
        }
        self.copy_journal(file, at)
    }

    fn copy_journal(&self, file: &D::File, at: u64) -> io::Result<Tail> {
        let (mut bytes, mut chain) = (Vec::new(), self.header.chain());
        for record in self.meta.snapshot() {
            chain = journal::append(&mut bytes, chain, &record);
        }
        let offset = at + bytes.len() as u64;
        let zeros = self.header.file_len().saturating_sub(offset);
        bytes.resize(
            bytes.len() + usize::try_from(zeros).expect("two blocks at most"),
            0,
        );
        write_all(&*self.inner.disk, file, &bytes, at)?;
        Ok(Tail { offset, chain })
    }

    /// The new file is whole and durable before it takes the old one's name, and a rename is one
    /// step, so a crash leaves either the one or the other.
    fn replace(
        &self,
        file: &D::File,
        tmp_name: Option<OsString>,
        folder: &Folder<D>,
    ) -> io::Result<()> {
        let (disk, tmp) = (&*self.inner.disk, &self.inner.folders.tmp);
        let name = entry_name(self.meta.id);
        if !disk.lock(file)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if tmp_name.is_none() {
            disk.link(file, &tmp.dir, &name)?;
        }
        disk.sync(file)?;
        disk.rename((&tmp.dir, &name), (&folder.dir, &name), true)
    }
}
