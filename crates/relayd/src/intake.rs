//! Takes in what `sendmail` left in `maildrop` while relayd was down.
//!
//! Each file is copied into an entry of our own through the same steps as any other message, then
//! removed. Entries remember which file they were made from, so a crash between the two repeats
//! nothing.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::Panicked;
use mail::Submitter;
use policy::log::Line;
use spool::{Dropped, IntakeLimits, Meta, Source, SpoolError, Submission as DropFile};

use crate::accept::{AcceptError, Reception, Submission};
use crate::relay::Relay;

/// Files taken in one go.
const BATCH: usize = 100;
/// How often the folder is looked at. `sendmail` uses it only while relayd is down or out of
/// reach, so nobody waits for this but mail that was already late.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How much content is copied at a time.
const BLOCK: usize = 64 * 1024;

/// Starts looking at `maildrop`, at once and for as long as relayd runs.
pub(crate) fn serve(relay: &Arc<Relay>) {
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        let mut complained = false;
        while !relay.is_stopping() {
            match take_batch(&relay).await {
                Ok(BATCH..) => continue,
                Ok(_) => complained = false,
                Err(problem) if !complained => {
                    relay.log.warn(&format!("maildrop: {problem}"));
                    complained = true;
                }
                Err(_) => {}
            }
            let mut stopping = relay.stopping.clone();
            let _ = tokio::time::timeout(LOOK_EVERY, stopping.wait_for(|stop| *stop)).await;
        }
    });
}

/// Takes what is there, up to a batch; gives how many files that was.
async fn take_batch(relay: &Arc<Relay>) -> Result<usize, String> {
    let limits = IntakeLimits {
        size_max: relay.running().settings.message_size_limit,
        batch: BATCH,
    };
    let spool = relay.spool.clone();
    let take = move || spool::take(&spool, limits, host::clock::wall());
    let found = flat(relay.disk.run(take).await)?;
    let count = found.len();
    let mut taken = Vec::new();
    let mut trouble = None;
    for one in found {
        match one {
            // The disk does not take one, so it would not take the others. They stay for later.
            Dropped::Submission(_) if trouble.is_some() => {}
            Dropped::Submission(file) => match take_one(relay, file).await {
                Ok(meta) => taken.extend(meta),
                Err(problem) => trouble = Some(problem),
            },
            Dropped::TakenBefore { .. } => {}
            Dropped::Rejected {
                name,
                why,
                moved_to,
                ..
            } => log_damaged(relay, &name, moved_to.is_some(), &why.to_string()),
        }
    }
    if count > 0 {
        let spool = relay.spool.clone();
        let synced = relay.disk.run(move || spool.sync_maildrop()).await;
        if let Err(problem) = flat(synced) {
            trouble.get_or_insert(problem);
        }
    }
    // Made known whatever happened: they are on disk, and nothing else would ever look for them
    // there. One whose file may come back after a crash is not tried: the spool refuses its mark.
    for meta in taken {
        relay.queued(meta).await;
    }
    trouble.map_or(Ok(count), Err)
}

/// Takes one file in. A file at fault is set aside and gives `None`; an error is about the disk, and
/// the file stays.
async fn take_one(relay: &Arc<Relay>, file: DropFile) -> Result<Option<Meta>, String> {
    let name = file.name().to_string();
    match copy(relay, &file).await {
        Ok(meta) => {
            let removed = relay.disk.run(move || file.remove()).await;
            if let Err(problem) = flat(removed) {
                // It is taken in all the same; the spool removes the file before the first attempt.
                relay.log.warn(&format!("maildrop: {problem}"));
            }
            Ok(Some(meta))
        }
        Err(AcceptError::Spool(error)) => Err(error.to_string()),
        Err(AcceptError::Internal(problem)) => Err(problem),
        Err(fault) => {
            let aside = flat(relay.disk.run(move || file.set_aside()).await);
            log_damaged(relay, &name, aside.is_ok(), &fault.to_string());
            aside.map(|_| None)
        }
    }
}

fn log_damaged(relay: &Relay, name: &str, moved: bool, why: &str) {
    relay.log.write(&Line::Damaged {
        name,
        queue: "maildrop",
        moved,
        why,
    });
}

/// What came of work on the disk, as text where it failed.
fn flat<T>(done: Result<Result<T, SpoolError>, Panicked>) -> Result<T, String> {
    done.map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}

async fn copy(relay: &Arc<Relay>, file: &DropFile) -> Result<Meta, AcceptError> {
    let uid = file.uid();
    let login = relay.login_of(uid).await;
    let submission = Submission {
        envelope: file.envelope().clone(),
        submitter: Submitter::Local { uid, login },
        introduction: None,
        source: Some(Source::Drop(file.name())),
    };
    let mut reception = Reception::new(relay, submission);
    let mut content = file.content();
    loop {
        let (rest, block) = read_block(relay, content).await?;
        if block.is_empty() {
            return reception.finish().await.map(|accepted| accepted.first);
        }
        reception = reception.content(&block).await?;
        content = rest;
    }
}

async fn read_block(
    relay: &Relay,
    mut content: spool::Content,
) -> Result<(spool::Content, Vec<u8>), AcceptError> {
    let read = relay.disk.run(move || {
        let mut block = Vec::with_capacity(BLOCK);
        let count = (&mut content).take(BLOCK as u64).read_to_end(&mut block);
        count
            .map(|_| (content, block))
            .map_err(|error| AcceptError::Internal(error.to_string()))
    });
    read.await
        .unwrap_or_else(|error| Err(AcceptError::Internal(error.to_string())))
}
