//! A spool on the model disk, to see that what was let in can be kept.

use std::cell::RefCell;
use std::path::Path;

use mail::{Envelope, Origin, Submitter, Timestamp};
use spool::Spool;
use spool::testdisk::TestDisk;

/// When everything happens.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_458_252);

/// The disk remembers everything, so it is changed for a new one after so many messages.
const MESSAGES: u32 = 2_000;

thread_local! {
    static SPOOL: RefCell<(Spool<TestDisk>, u32)> = RefCell::new((new_spool(), 0));
}

fn new_spool() -> Spool<TestDisk> {
    Spool::open(TestDisk::new(), Path::new("/spool")).expect("a spool on an empty disk")
}

/// Panics if the spool would refuse a message with this envelope. Nothing is kept.
pub(crate) fn assert_storable(envelope: &Envelope) {
    let submitter = Submitter::Local {
        uid: 7,
        login: None,
    };
    let origin = Origin {
        submitter,
        script: None,
    };
    let created = SPOOL.with_borrow_mut(|(spool, count)| {
        *count += 1;
        if *count % MESSAGES == 0 {
            *spool = new_spool();
        }
        spool.create(envelope, &origin, NOW).map(drop)
    });
    assert!(created.is_ok(), "{created:?}: {envelope:?}");
}
