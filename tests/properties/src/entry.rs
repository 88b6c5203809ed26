//! A file of the spool that holds anything.

mod file;
mod working;

use std::io::Read;
use std::path::{Path, PathBuf};

use mail::{Envelope, Origin, QueueId, Submitter, Timestamp};
use spool::testdisk::TestDisk;
use spool::{
    Dropped, ErrorKind, FileKind, Found, IntakeLimits, Meta, Queue, Source, Spool, SpoolError,
    Submission, take,
};

use crate::storable::NOW;
use file::Input;

const ROOT: &str = "/spool";
const NUMBER: u64 = 0xABC;
const LIMITS: IntakeLimits = IntakeLimits {
    size_max: 1 << 20,
    batch: 10,
};

/// The first byte says what the others are: a file as it is, or the parts of one that are put together with the right
/// lengths and checksums; an entry, or a submission in maildrop. It is read whole, or set aside as it is, or left
/// alone; and an entry that is read can be worked on, and is found again as it was left.
pub fn check(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let mut input = Input::new(rest);
    match kind % 4 {
        0 => check_entry(rest, &[]),
        1 => check_drop(rest),
        2 => {
            let built = input.entry(NUMBER);
            check_entry(&built, input.rest());
        }
        _ => check_drop(&input.submission()),
    }
}

fn new_disk() -> TestDisk {
    let disk = TestDisk::new();
    disk.set_uid(1001);
    disk.set_time(NOW.as_secs());
    drop(open(&disk));
    disk
}

fn open(disk: &TestDisk) -> Spool<TestDisk> {
    Spool::open(disk.clone(), Path::new(ROOT)).expect("the folders are there")
}

fn path(queue: Queue, name: &str) -> PathBuf {
    let digit = match queue {
        // Any name may lie there, so that the last digit tells the folder.
        Queue::Corrupt => name.len() - 1,
        _ => name.len() - 6,
    };
    let shard = &name[digit..=digit];
    Path::new(ROOT).join(queue.name()).join(shard).join(name)
}

/// The one thing that a start finds.
fn scan(disk: &TestDisk) -> (Spool<TestDisk>, Found) {
    let spool = open(disk);
    let mut found = spool.scan().expect("a scan");
    let one = found.pop().expect("there is a file");
    assert!(found.is_empty());
    (spool, one)
}

fn check_entry(bytes: &[u8], work: &[u8]) {
    let disk = new_disk();
    let id = QueueId::from_number(NUMBER);
    let name = id.to_string();
    disk.put(
        &path(Queue::Incoming, &name),
        FileKind::Regular,
        0o600,
        bytes,
    );
    let (spool, found) = scan(&disk);
    let meta = match found {
        Found::Entry(meta) => meta,
        Found::Damaged { why, moved_to, .. } => {
            assert!(!why.to_string().is_empty() && moved_to.is_some());
            return assert_set_aside(&disk, &spool, &name, bytes);
        }
    };
    assert_eq!((meta.id, meta.queue), (id, Queue::Incoming));
    check_meta(&meta);
    if let Some(content) = check_content(&spool, &disk, &meta, bytes) {
        check_copy(&meta, &content, bytes);
        drop(spool);
        working::check(&disk, work);
    }
}

fn assert_set_aside(disk: &TestDisk, spool: &Spool<TestDisk>, name: &str, bytes: &[u8]) {
    assert_eq!(disk.bytes(&path(Queue::Incoming, name)), None);
    let aside = disk.bytes(&path(Queue::Corrupt, name));
    assert_eq!(aside.as_deref(), Some(bytes));
    assert!(spool.scan().expect("a scan").is_empty());
}

fn check_meta(meta: &Meta) {
    let count = meta.envelope.recipients.len();
    assert!((1..=10_000).contains(&count) && meta.recipients.len() == count);
    let mut uncertain = false;
    for (place, state) in (0_u32..).zip(&meta.recipients) {
        uncertain |= state.done.is_none() && state.uncertain;
        if let Some(last) = &state.last {
            assert_eq!(last.recipient, place);
            assert_eq!(last.kind.done(), state.done);
        }
        assert!(state.done.is_none() || state.last.is_some());
    }
    assert_eq!(meta.uncertain, uncertain);
    let pending: Vec<u32> = meta.pending().collect();
    assert_eq!(meta.is_finished(), pending.is_empty());
}

/// The content, if it is what the header says; else the entry was set aside.
fn check_content(
    spool: &Spool<TestDisk>,
    disk: &TestDisk,
    meta: &Meta,
    bytes: &[u8],
) -> Option<Vec<u8>> {
    let claim = spool.claim(meta.id).expect("it was found");
    assert_eq!(claim.meta(), meta);
    match claim.content() {
        Ok(mut content) => {
            let mut read = Vec::new();
            content.read_to_end(&mut read).expect("it was verified");
            assert_eq!((read.len() as u64, content.len()), (meta.size, meta.size));
            assert!(read.is_empty() || bytes.windows(read.len()).any(|part| part == read));
            Some(read)
        }
        Err(error) => {
            let damaged = matches!(error.kind, ErrorKind::Damaged(_));
            assert!(damaged, "{error}");
            drop(claim);
            assert_set_aside(disk, spool, &meta.id.to_string(), bytes);
            None
        }
    }
}

/// Accepted anew, the message makes the same envelope and content.
fn check_copy(meta: &Meta, content: &[u8], bytes: &[u8]) {
    let disk = new_disk();
    let spool = open(&disk);
    let made = match meta.source.clone() {
        Some(source) => spool.create_from(source, &meta.envelope, &meta.origin, NOW),
        None => spool.create(&meta.envelope, &meta.origin, NOW),
    };
    let copy = commit(made, content).expect("what was read can be stored");
    let copied = disk.bytes(&path(Queue::Incoming, &copy.id.to_string()));
    let copied = copied.expect("it was accepted");
    let end = file::HEADER + file::envelope_length(bytes) + content.len();
    assert_eq!(copied[file::HEADER..end], bytes[file::HEADER..end]);
    assert_eq!(
        (copy.envelope, copy.origin),
        (meta.envelope.clone(), meta.origin.clone())
    );
}

fn commit(
    made: Result<spool::Draft<TestDisk>, SpoolError>,
    content: &[u8],
) -> Result<Meta, SpoolError> {
    let mut draft = made?;
    draft.write(content)?;
    draft.commit()
}

/// A file in maildrop is taken in once, or set aside as it is.
fn check_drop(bytes: &[u8]) {
    let disk = new_disk();
    let name = "0123456789abcdef".repeat(2);
    let place = Path::new(ROOT).join("maildrop").join(&name);
    disk.put(&place, FileKind::Regular, 0o644, bytes);
    let spool = open(&disk);
    assert!(spool.scan().expect("a scan").is_empty());
    let mut dropped = take(&spool, LIMITS, NOW).expect("a round");
    match dropped.pop() {
        Some(Dropped::Submission(submission)) => check_submission(&spool, submission),
        Some(Dropped::Rejected { why, moved_to, .. }) => {
            assert!(!why.to_string().is_empty());
            let moved = moved_to.expect("the disk lets it");
            let aside = Path::new(ROOT).join("corrupt").join(moved);
            assert_eq!(disk.bytes(&aside).as_deref(), Some(bytes));
        }
        other => panic!("{other:?}"),
    }
    assert!(dropped.is_empty() && disk.bytes(&place).is_none());
    assert!(take(&spool, LIMITS, NOW).expect("a round").is_empty());
}

fn check_submission(spool: &Spool<TestDisk>, submission: Submission<TestDisk>) {
    assert_eq!(submission.uid(), 1001);
    let mut content = Vec::new();
    let read = submission.content().read_to_end(&mut content);
    read.expect("it was verified");
    assert_eq!(content.len() as u64, submission.size());
    let origin = Origin {
        submitter: Submitter::Local {
            uid: submission.uid(),
            login: None,
        },
        script: None,
    };
    let envelope: Envelope = submission.envelope().clone();
    let source = Source::Drop(submission.name());
    let made = spool.create_from(source, &envelope, &origin, Timestamp::from_secs(5));
    let meta = commit(made, &content).expect("a submission can be taken in");
    assert_eq!(meta.envelope, envelope);
    submission.remove().expect("an entry was made of it");
}
