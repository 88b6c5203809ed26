//! Listing the spool without relayd: for root, when it is down. Changes nothing.

use std::ffi::OsStr;
use std::path::Path;

use mail::{Origin, QueueId, Submitter, Timestamp};

use crate::disk::{Disk, RealDisk};
use crate::error::{Damage, SpoolError};
use crate::folders::{Folder, Folders, clean, is};
use crate::intake::{Refusal, look_at};
use crate::maildrop::DropName;
use crate::meta::{Found, Meta, Queue, RecipientState};
use crate::recover::Scan;
use crate::{ENVELOPE_MAX, format};

/// Everything in the spool at `root`, `corrupt` and `maildrop` included, oldest first. Takes no
/// lock and moves nothing, so it may run beside relayd; an entry that is moved meanwhile can then
/// be missed or shown as damaged.
///
/// # Errors
///
/// If a folder is missing or may not be read.
pub fn list(root: &Path) -> Result<Vec<Found>, SpoolError> {
    list_on(&RealDisk, root)
}

fn list_on<D: Disk>(disk: &D, root: &Path) -> Result<Vec<Found>, SpoolError> {
    let folders = Folders::open(disk, root)?;
    let scan = Scan {
        disk,
        folders: &folders,
        set_aside: false,
    };
    let mut found = Vec::new();
    for queue in [Queue::Hold, Queue::Deferred, Queue::Incoming] {
        scan.queue(queue, &mut found)?;
    }
    scan.sort(&mut found);
    scan.queue(Queue::Corrupt, &mut found)?;
    for name in folders.maildrop.names(disk)? {
        found.extend(submission(disk, &folders.maildrop, &name));
    }
    Ok(found)
}

/// What lies in maildrop under one name; nothing if it is gone meanwhile or not whole yet.
fn submission<D: Disk>(disk: &D, folder: &Folder<D>, name: &OsStr) -> Option<Found> {
    let damaged = |why| Found::Damaged {
        name: clean(name),
        queue: Queue::Maildrop,
        why,
        moved_to: None,
    };
    let Some(drop_name) = name.to_str().and_then(|text| text.parse::<DropName>().ok()) else {
        return Some(damaged(Damage::Name));
    };
    let look = look_at(
        disk,
        folder,
        drop_name,
        format::CONTENT_MAX,
        Timestamp::default(),
    );
    let (facts, header, envelope) = match look {
        Ok((_, facts, header, envelope)) => (facts, header, envelope),
        Err(Refusal::Damage(why)) => return Some(damaged(why)),
        Err(Refusal::Gone | Refusal::NotReady) => return None,
        Err(Refusal::Io(error)) if is(&error, nix::errno::Errno::ENOENT) => return None,
        Err(Refusal::Io(_)) => return Some(damaged(Damage::Unreadable)),
    };
    debug_assert!(header.envelope_len <= ENVELOPE_MAX);
    let submitter = Submitter::Local {
        uid: facts.uid,
        login: None,
    };
    Some(Found::Entry(Box::new(Meta {
        id: QueueId::from_number(0),
        queue: Queue::Maildrop,
        arrival: Timestamp::from_secs(facts.modified_s),
        size: header.content_len,
        recipients: vec![RecipientState::default(); envelope.recipients.len()],
        envelope,
        origin: Origin {
            submitter,
            script: None,
        },
        source: Some(crate::Source::Drop(drop_name)),
        attempts: 0,
        uncertain: false,
        last_attempt: None,
    })))
}
