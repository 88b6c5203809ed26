//! The same spool on the real disk, from several threads.

#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at what it does not expect"
)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use mail::{Address, Envelope, Origin, QueueId, StatusCode, Submitter, Timestamp};
use spool::{
    AttemptMark, Damage, Dropped, ErrorKind, Found, IntakeLimits, NOTE_MAX, Note, Outcome,
    OutcomeKind, Queue, RealDisk, Source, Spool, drop_in, list, take,
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LIMITS: IntakeLimits = IntakeLimits {
    size_max: 1 << 20,
    batch: 100,
};

fn envelope() -> Envelope {
    let address = |text| Address::parse(text).unwrap();
    Envelope::new(None, vec![address("b@y.example"), address("c@y.example")])
}

fn origin() -> Origin {
    let address = "127.0.0.1".into();
    Origin {
        submitter: Submitter::Client {
            address,
            user: None,
        },
        script: None,
    }
}

fn open(root: &Path) -> Spool {
    let spool = Spool::open(RealDisk, root).unwrap();
    spool.scan().unwrap();
    spool
}

fn accept(spool: &Spool, content: &[u8]) -> QueueId {
    let mut draft = spool.create(&envelope(), &origin(), NOW).unwrap();
    draft.write(content).unwrap();
    draft.commit().unwrap().id
}

fn content(spool: &Spool, id: QueueId) -> Vec<u8> {
    let mut bytes = Vec::new();
    spool.content(id).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn outcome(recipient: u32, kind: OutcomeKind) -> Outcome {
    let (status, relay) = (StatusCode::new(2, 0, 0), "relay".into());
    Outcome {
        recipient,
        kind,
        status,
        at: NOW,
        relay,
        text: "é".repeat(900),
    }
}

#[test]
fn one_message_from_acceptance_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("spool");
    let id = accept(&open(&root), b"one\r\n");
    let spool = open(&root);
    let mut claim = spool.claim(id).unwrap();
    assert!(matches!(spool.claim(id).unwrap_err().kind, ErrorKind::Busy));
    let mark = |to: &[u32]| AttemptMark {
        gateway: "g".into(),
        at: NOW,
        recipients: to.to_vec(),
    };
    claim.mark_attempt(&mark(&[0, 1])).unwrap();
    claim
        .record(&[
            outcome(0, OutcomeKind::Sent),
            outcome(1, OutcomeKind::Deferred),
        ])
        .unwrap();
    claim.sync().unwrap();
    drop(claim);
    spool.move_to(id, Queue::Deferred).unwrap();
    let meta = match &list(&root).unwrap()[..] {
        [Found::Entry(meta)] => meta.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (meta.queue, meta.attempts, meta.uncertain),
        (Queue::Deferred, 1, false)
    );
    assert_eq!(
        meta.recipients[1].last.as_ref().unwrap().text.len(),
        1000,
        "cut"
    );
    assert_eq!(content(&spool, id), b"one\r\n");
    let mut claim = spool.claim(id).unwrap();
    assert!(claim.mark_attempt(&mark(&[0, 1])).is_err());
    claim.mark_attempt(&mark(&[1])).unwrap();
    claim.record(&[outcome(1, OutcomeKind::Failed)]).unwrap();
    assert!(claim.meta().is_finished());
    claim.rewrite().unwrap();
    assert!(
        matches!(spool.claim(id).unwrap_err().kind, ErrorKind::Busy),
        "still claimed"
    );
    drop(claim);
    assert!(spool.claim(id).unwrap().meta().is_finished());
    spool.retire(id).unwrap();
    spool.sync_retired().unwrap();
    assert_eq!(list(&root).unwrap(), []);
    assert!(spool.claim(id).unwrap_err().is_no_such_entry());
}

#[test]
fn many_threads_accept_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let accept_some = |worker: usize| {
        let spool = spool.clone();
        let texts = (0..25).map(move |n| format!("message {worker} {n}\r\n"));
        move || {
            texts
                .map(|text| (accept(&spool, text.as_bytes()), text))
                .collect::<Vec<_>>()
        }
    };
    let workers: Vec<_> = (0..8)
        .map(|worker| thread::spawn(accept_some(worker)))
        .collect();
    let all: Vec<_> = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect();
    let ids: BTreeSet<_> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!((all.len(), ids.len()), (200, 200));
    for (id, text) in &all {
        assert_eq!(content(&spool, *id), text.as_bytes());
    }
    drop(spool);
    let found = Spool::open(RealDisk, dir.path()).unwrap().scan().unwrap();
    let found = found.iter().filter_map(|one| match one {
        Found::Entry(meta) => Some(meta.id),
        Found::Damaged { .. } => None,
    });
    assert_eq!(found.collect::<BTreeSet<_>>(), ids);
}

#[test]
fn one_relayd_at_a_time_and_modes_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("spool");
    let spool = open(&root);
    let second = Spool::open(RealDisk, &root).unwrap_err();
    assert!(matches!(second.kind, ErrorKind::AnotherRelayd), "{second}");
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode(""), 0o711);
    assert_eq!(mode("maildrop"), 0o1733);
    for name in [
        "incoming",
        "incoming/F",
        "deferred",
        "hold",
        "corrupt/0",
        "state",
        "tmp",
    ] {
        assert_eq!(mode(name), 0o700, "{name}");
    }
    let id = accept(&spool, b"x").to_string();
    assert_eq!(mode(&format!("incoming/{}/{id}", &id[6..7])), 0o600);
    spool.canary().unwrap();
    assert!(spool.space().unwrap().bytes > 0);
    drop(spool);
    open(&root);
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let mut draft = spool.create(&envelope(), &origin(), NOW).unwrap();
    draft.write(&vec![b'x'; 300_000]).unwrap();
    drop(draft);
    assert_eq!(list(dir.path()).unwrap(), []);
    let mut left = drop_in(RealDisk, &dir.path().join("maildrop"), &envelope()).unwrap();
    left.write(b"x").unwrap();
    drop(left);
    assert_eq!(list(dir.path()).unwrap(), []);
}

#[test]
fn submissions_are_taken_in_and_junk_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let maildrop = dir.path().join("maildrop");
    let mut draft = drop_in(RealDisk, &maildrop, &envelope()).unwrap();
    draft.write(b"left\r\n").unwrap();
    let name = draft.commit().unwrap();
    let mode = fs::metadata(maildrop.join(name.to_string()))
        .unwrap()
        .mode()
        & 0o7777;
    assert_eq!(mode, 0o644);
    let junk = |digit: &str| maildrop.join(digit.repeat(32));
    fs::write(dir.path().join("secret"), "x").unwrap();
    symlink(dir.path().join("secret"), junk("1")).unwrap();
    nix::unistd::mkfifo(&junk("2"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(junk("3")).unwrap();
    fs::write(junk("4"), "not ours").unwrap();
    fs::set_permissions(junk("4"), Permissions::from_mode(0o644)).unwrap();
    fs::hard_link(dir.path().join("secret"), junk("5")).unwrap();
    let sparse = fs::File::create(junk("6")).unwrap();
    sparse.set_len(5 << 30).unwrap();
    sparse
        .set_permissions(Permissions::from_mode(0o644))
        .unwrap();

    let (mut taken, mut why) = (Vec::new(), Vec::new());
    for dropped in take(&spool, LIMITS, NOW).unwrap() {
        match dropped {
            Dropped::Submission(submission) => taken.push(submission),
            Dropped::Rejected {
                name, why: damage, ..
            } => why.push((name, damage)),
            Dropped::TakenBefore { .. } => panic!("nothing was taken before"),
        }
    }
    why.sort_by(|a, b| a.0.cmp(&b.0));
    let why: Vec<_> = why.into_iter().map(|(_, damage)| damage).collect();
    use Damage::{Links, NoHeader, NotRegular, TooLarge};
    assert_eq!(
        why,
        [
            NotRegular,
            NotRegular,
            NotRegular,
            NoHeader,
            Links(2),
            TooLarge
        ]
    );
    let submission = taken.pop().unwrap();
    assert_eq!(submission.name(), name);
    let source = Source::Drop(name);
    let mut draft = spool
        .create_from(source, submission.envelope(), &origin(), NOW)
        .unwrap();
    let mut bytes = Vec::new();
    submission.content().read_to_end(&mut bytes).unwrap();
    draft.write(&bytes).unwrap();
    let meta = draft.commit().unwrap();
    submission.remove().unwrap();
    spool.sync_maildrop().unwrap();
    assert_eq!(fs::read_dir(&maildrop).unwrap().count(), 0);
    assert_eq!(content(&spool, meta.id), b"left\r\n");
}

#[test]
fn a_submission_that_changes_while_it_is_read_is_not_taken_for_what_was_checked() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let maildrop = dir.path().join("maildrop");
    let mut draft = drop_in(RealDisk, &maildrop, &envelope()).unwrap();
    draft.write(&b"0123456789\r\n".repeat(20_000)).unwrap();
    let path = maildrop.join(draft.commit().unwrap().to_string());
    let Some(Dropped::Submission(submission)) = take(&spool, LIMITS, NOW).unwrap().pop() else {
        panic!("it is there");
    };
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut copy = Vec::new();
    let error = submission.content().read_to_end(&mut copy).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

/// More than one name is no damage in a queue: backups are made of hard links.
#[test]
fn a_hard_linked_backup_does_not_set_the_queue_aside() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("spool");
    let spool = open(&root);
    let id = accept(&spool, b"x");
    let text = id.to_string();
    let path = root.join("incoming").join(&text[6..7]).join(&text);
    fs::hard_link(path, dir.path().join("backup")).unwrap();
    assert!(matches!(spool.scan().unwrap()[..], [Found::Entry(_)]));
    assert_eq!(content(&spool, id), b"x");
}

#[test]
fn a_journal_that_has_grown_long_is_rewritten_as_its_state() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let id = accept(&spool, b"x\r\n");
    let text = id.to_string();
    let path = dir.path().join("incoming").join(&text[6..7]).join(&text);
    let mut claim = spool.claim(id).unwrap();
    for _ in 0..17_000 {
        claim.record(&[outcome(0, OutcomeKind::Deferred)]).unwrap();
    }
    assert!(fs::metadata(&path).unwrap().len() > 16 << 20);
    let mark = AttemptMark {
        gateway: "g".into(),
        at: NOW,
        recipients: vec![0],
    };
    claim.mark_attempt(&mark).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 4096);
    let before = claim.meta().clone();
    drop(claim);
    assert_eq!(*spool.claim(id).unwrap().meta(), before);
    assert_eq!(content(&spool, id), b"x\r\n");
}

#[test]
fn a_damaged_note_is_an_error_and_a_removed_one_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(RealDisk, dir.path()).unwrap();
    assert_eq!(spool.note(Note::Quotas).unwrap(), None);
    spool.keep_note(Note::Quotas, b"some text").unwrap();
    assert_eq!(spool.note(Note::Quotas).unwrap().unwrap(), b"some text");
    let path = dir.path().join("state/quotas");
    for damaged in [&b"some test"[..], b"abc", b""] {
        std::fs::write(&path, damaged).unwrap();
        let error = spool.note(Note::Quotas).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Damaged(_)), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(spool.note(Note::Quotas).unwrap(), None);
    let large = spool.keep_note(Note::Quotas, &vec![0; NOTE_MAX + 1]);
    assert!(matches!(large.unwrap_err().kind, ErrorKind::Refused(_)));
}
