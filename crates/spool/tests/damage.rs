//! Files that are not what was written: cut, changed, too long, forged, or not files at all.

#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at what it does not expect"
)]

use std::io::Read;
use std::path::{Path, PathBuf};

use mail::{Address, Envelope, Origin, QueueId, Submitter, Timestamp};
use spool::testdisk::TestDisk;
use spool::{
    Damage, Dropped, ErrorKind, FileKind, Found, IntakeLimits, Meta, Queue, Source, Spool,
    SpoolError, drop_in, take,
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LIMITS: IntakeLimits = IntakeLimits {
    size_max: 1 << 20,
    batch: 100,
};
const CONTENT: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

fn open(disk: &TestDisk) -> Spool<TestDisk> {
    let spool = Spool::open(disk.clone(), Path::new("/spool")).unwrap();
    spool.scan().unwrap();
    spool
}

fn envelope() -> Envelope {
    let address = |text| Address::parse(text).unwrap();
    Envelope::new(Some(address("a@x.example")), vec![address("b@y.example")])
}

fn origin() -> Origin {
    Origin {
        submitter: Submitter::Local {
            uid: 7,
            login: None,
        },
        script: Some("x.php".into()),
    }
}

fn accept(spool: &Spool<TestDisk>) -> Meta {
    let mut draft = spool.create(&envelope(), &origin(), NOW).unwrap();
    draft.write(CONTENT).unwrap();
    draft.commit().unwrap()
}

fn path(queue: Queue, id: QueueId) -> PathBuf {
    path_in(queue, 6, id)
}

/// The digit tells which of the queue's folders.
fn path_in(queue: Queue, digit: usize, id: QueueId) -> PathBuf {
    let text = id.to_string();
    Path::new("/spool")
        .join(queue.name())
        .join(&text[digit..=digit])
        .join(&text)
}

/// What an entry's file says, if it is not damaged.
fn read(spool: &Spool<TestDisk>, id: QueueId) -> Result<(Meta, Vec<u8>), SpoolError> {
    let claim = spool.claim(id)?;
    let mut bytes = Vec::new();
    claim
        .content()?
        .read_to_end(&mut bytes)
        .expect("verified before");
    Ok((claim.meta().clone(), bytes))
}

#[test]
fn every_cut_of_an_entry_is_detected() {
    let disk = TestDisk::new();
    let spool = open(&disk);
    let meta = accept(&spool);
    let path = path(Queue::Incoming, meta.id);
    let whole = disk.bytes(&path).unwrap();
    for length in 0..whole.len() {
        disk.put(&path, FileKind::Regular, 0o600, &whole[..length]);
        let error = read(&spool, meta.id).unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::Damaged(_)),
            "{length}: {error}"
        );
        assert!(disk.bytes(&path).is_none(), "{length}: still in the queue");
        let aside = path_in_corrupt(meta.id);
        assert_eq!(disk.bytes(&aside).unwrap(), &whole[..length]);
        disk.put(&aside, FileKind::Regular, 0o600, b"");
        clear_corrupt(&disk, meta.id);
    }
}

fn path_in_corrupt(id: QueueId) -> PathBuf {
    path_in(Queue::Corrupt, 11, id)
}

/// The model has no way to remove a file from outside but through a spool's own disk calls.
fn clear_corrupt(disk: &TestDisk, id: QueueId) {
    use spool::Disk;
    let aside = path_in_corrupt(id);
    let dir = disk
        .open_root(aside.parent().unwrap(), spool::DirUse::Full)
        .unwrap();
    disk.remove(&dir, aside.file_name().unwrap()).unwrap();
}

#[test]
fn every_flipped_bit_of_an_entry_is_detected_or_harmless() {
    let disk = TestDisk::new();
    let spool = open(&disk);
    let meta = accept(&spool);
    let path = path(Queue::Incoming, meta.id);
    let whole = disk.bytes(&path).unwrap();
    let mut detected = 0;
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        disk.put(&path, FileKind::Regular, 0o600, &flipped);
        match read(&spool, meta.id) {
            Ok((again, content)) => {
                assert_eq!((again, &content[..]), (meta.clone(), CONTENT), "bit {bit}");
            }
            Err(error) => {
                assert!(
                    matches!(error.kind, ErrorKind::Damaged(_)),
                    "{bit}: {error}"
                );
                detected += 1;
                clear_corrupt(&disk, meta.id);
            }
        }
    }
    let journal = 4096 - whole.iter().rposition(|byte| *byte != 0).unwrap() - 1;
    assert_eq!(
        detected,
        (whole.len() - journal) * 8,
        "all but the empty journal"
    );
}

fn leave(disk: &TestDisk) -> PathBuf {
    let dir = Path::new("/spool/maildrop");
    let mut draft = drop_in(disk.clone(), dir, &envelope()).unwrap();
    draft.write(CONTENT).unwrap();
    dir.join(draft.commit().unwrap().to_string())
}

fn rejected(disk: &TestDisk, path: &Path, bytes: &[u8]) -> Damage {
    disk.put(path, FileKind::Regular, 0o644, bytes);
    let spool = open(disk);
    let mut dropped = take(&spool, LIMITS, NOW).unwrap();
    match (dropped.pop(), dropped.len()) {
        (
            Some(Dropped::Rejected {
                why,
                moved_to: Some(_),
                ..
            }),
            0,
        ) => why,
        other => panic!("{other:?} of {} bytes", bytes.len()),
    }
}

#[test]
fn every_cut_of_a_submission_is_rejected() {
    let disk = TestDisk::new();
    drop(open(&disk));
    let path = leave(&disk);
    let whole = disk.bytes(&path).unwrap();
    for length in 0..whole.len() {
        let copy = disk.survivor(spool::testdisk::Survival::Kept);
        rejected(&copy, &path, &whole[..length]);
    }
    let longer = [&whole[..], b"x"].concat();
    let copy = disk.survivor(spool::testdisk::Survival::Kept);
    assert_eq!(rejected(&copy, &path, &longer), Damage::Trailing);
}

#[test]
fn every_flipped_bit_of_a_submission_is_rejected() {
    let disk = TestDisk::new();
    drop(open(&disk));
    let path = leave(&disk);
    let whole = disk.bytes(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let copy = disk.survivor(spool::testdisk::Survival::Kept);
        rejected(&copy, &path, &flipped);
    }
}

#[test]
fn an_entry_is_no_submission_and_a_submission_no_entry() {
    let disk = TestDisk::new();
    let spool = open(&disk);
    let entry = disk
        .bytes(&path(Queue::Incoming, accept(&spool).id))
        .unwrap();
    drop(spool);
    let path = leave(&disk);
    let submission = disk.bytes(&path).unwrap();
    // Forged times, attempts and outcomes come with the header of an entry.
    assert_eq!(rejected(&disk, &path, &entry), Damage::Misplaced);
    let id = QueueId::from_number(0xABC);
    disk.put(
        &self::path(Queue::Incoming, id),
        FileKind::Regular,
        0o600,
        &submission,
    );
    let spool = Spool::open(disk.clone(), Path::new("/spool")).unwrap();
    let found = spool.scan().unwrap();
    let misplaced = |one: &Found| {
        matches!(
            one,
            Found::Damaged {
                why: Damage::Misplaced,
                ..
            }
        )
    };
    assert_eq!(
        (
            found.len(),
            found.iter().filter(|one| misplaced(one)).count()
        ),
        (2, 1)
    );
}

#[test]
fn what_is_no_entry_is_set_aside_and_stops_nothing() {
    let disk = TestDisk::new();
    let spool = open(&disk);
    let meta = accept(&spool);
    let bytes = disk.bytes(&path(Queue::Incoming, meta.id)).unwrap();
    drop(spool);
    let put = |path: &str, kind, bytes: &[u8]| disk.put(Path::new(path), kind, 0o600, bytes);
    put("/spool/incoming/3/backup~", FileKind::Regular, b"x");
    put("/spool/incoming/stray", FileKind::Regular, b"x");
    put("/spool/deferred/5/000000000005", FileKind::Other, b"");
    put("/spool/hold/6/000000000006", FileKind::Regular, &bytes);
    put("/spool/deferred/7/000000000007", FileKind::Regular, b"");
    disk.put(
        &path(Queue::Hold, meta.id),
        FileKind::Regular,
        0o600,
        &bytes,
    );
    let spool = Spool::open(disk.clone(), Path::new("/spool")).unwrap();
    let found = spool.scan().unwrap();
    let mut damage = Vec::new();
    let mut entries = Vec::new();
    for one in found {
        match one {
            Found::Entry(meta) => entries.push((meta.id, meta.queue)),
            Found::Damaged { why, moved_to, .. } => damage.push((moved_to.unwrap(), why)),
        }
    }
    damage.sort_by(|a, b| a.0.cmp(&b.0));
    let text = meta.id.to_string();
    let own = format!("{}/{text}", &text[11..]);
    let mut expected = vec![
        ("0/backup_".to_owned(), Damage::Name),
        ("0/stray".to_owned(), Damage::Name),
        ("5/000000000005".to_owned(), Damage::NotRegular),
        ("6/000000000006".to_owned(), Damage::Misplaced),
        ("7/000000000007".to_owned(), Damage::NoHeader),
        (own, Damage::SecondOfItsId),
    ];
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(damage, expected);
    assert_eq!(entries, [(meta.id, Queue::Hold)]);
}

#[test]
fn junk_in_maildrop_does_not_stop_intake() {
    let disk = TestDisk::new();
    drop(open(&disk));
    disk.set_uid(1001);
    disk.set_time(NOW.as_secs());
    leave(&disk);
    let hex = |digit: &str| format!("/spool/maildrop/{}", digit.repeat(32));
    disk.put(Path::new(&hex("1")), FileKind::Other, 0o644, b"");
    disk.put(
        Path::new(&hex("2")),
        FileKind::Regular,
        0o600,
        b"being written",
    );
    disk.put(Path::new(&hex("3")), FileKind::Directory, 0o755, b"");
    disk.put(
        Path::new("/spool/maildrop/a b\u{1b}c"),
        FileKind::Regular,
        0o644,
        b"",
    );
    let spool = open(&disk);
    let mut seen = Vec::new();
    for dropped in take(&spool, LIMITS, NOW).unwrap() {
        match dropped {
            Dropped::Submission(submission) => {
                assert_eq!(
                    (submission.uid(), submission.envelope()),
                    (1001, &envelope())
                );
                seen.push("submission".to_owned());
            }
            Dropped::Rejected { name, why, .. } => seen.push(format!("{name} {why:?}")),
            Dropped::TakenBefore { .. } => seen.push("before".to_owned()),
        }
    }
    seen.sort();
    let one = format!("{} NotRegular", "1".repeat(32));
    let three = format!("{} NotRegular", "3".repeat(32));
    assert_eq!(seen, [one.as_str(), &three, "a_b_c Name", "submission"]);
    // What was being written is left until it never will be ready.
    let late = Timestamp::from_secs(NOW.as_secs() + 37 * 3600);
    let again = take(&spool, LIMITS, late).unwrap();
    let unfinished = |one: &Dropped<_>| {
        matches!(
            one,
            Dropped::Rejected {
                why: Damage::Unfinished,
                ..
            }
        )
    };
    assert_eq!(
        (
            again.len(),
            again.iter().filter(|one| unfinished(one)).count()
        ),
        (2, 1)
    );
}

#[test]
fn a_submission_in_hand_is_not_given_twice() {
    let disk = TestDisk::new();
    drop(open(&disk));
    leave(&disk);
    let spool = open(&disk);
    let first = take(&spool, LIMITS, NOW).unwrap();
    assert_eq!(
        (first.len(), take(&spool, LIMITS, NOW).unwrap().len()),
        (1, 0)
    );
    drop(first);
    let Some(Dropped::Submission(one)) = take(&spool, LIMITS, NOW).unwrap().pop() else {
        panic!("it is there");
    };
    let source = Source::Drop(one.name());
    let mut draft = spool
        .create_from(source, one.envelope(), &origin(), NOW)
        .unwrap();
    draft.write(CONTENT).unwrap();
    draft.commit().unwrap();
    drop(one);
    let taken = take(&spool, LIMITS, NOW).unwrap();
    assert!(
        matches!(taken[..], [Dropped::TakenBefore { .. }]),
        "{taken:?}"
    );
    assert!(take(&spool, LIMITS, NOW).unwrap().is_empty());
}

#[test]
fn a_folder_that_others_may_write_is_refused() {
    use spool::Disk;
    let disk = TestDisk::new();
    drop(open(&disk));
    let dir = disk
        .open_root(Path::new("/spool/deferred"), spool::DirUse::Full)
        .unwrap();
    disk.set_dir_mode(&dir, 0o750).unwrap();
    drop(open(&disk));
    assert_eq!(disk.dir_mode(&dir).unwrap(), 0o700, "repaired");
    disk.set_dir_mode(&dir, 0o770).unwrap();
    let error = Spool::open(disk.clone(), Path::new("/spool")).unwrap_err();
    assert!(
        matches!(
            error.kind,
            ErrorKind::Mode {
                wanted: 0o700,
                found: 0o770
            }
        ),
        "{error}"
    );
}
