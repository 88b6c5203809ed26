//! Lets every disk call of every scenario fail with every error that a disk gives, and compares
//! what is there afterwards with what was promised. A file is never synced again after a sync of
//! it failed.

#![expect(
    clippy::print_stdout,
    reason = "the number of faults is part of the result"
)]

mod world;

use nix::errno::Errno;
use spool::testdisk::{Survival, TestDisk};
use spool::{ErrorKind, OutcomeKind, SpoolError};
use world::{SCENARIOS, Scenario, World};

const ERRORS: [Errno; 4] = [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EINTR];

fn world(disk: &TestDisk) -> World {
    World::on(disk.survivor(Survival::Kept)).expect("a spool can be opened")
}

/// The number of faults tried.
fn inject(base: &TestDisk, scenario: Scenario) -> usize {
    let calls = {
        let mut world = world(base);
        let before = world.disk.calls();
        scenario(&mut world).expect("no fault, no error");
        world.disk.calls() - before
    };
    for call in 1..=calls {
        for errno in ERRORS {
            let mut world = world(base);
            world.disk.fail_at(world.disk.calls() + call, errno as i32);
            let result = scenario(&mut world);
            let context = format!("call {call}, {errno}, {result:?}");
            assert!(
                !world.disk.retried_a_sync(),
                "{context}: a sync was retried"
            );
            for how in [Survival::Killed, Survival::Dropped, Survival::Kept] {
                check(&world, how).unwrap_or_else(|why| panic!("{context}, {how:?}: {why}"));
            }
        }
    }
    usize::try_from(calls).expect("a small number") * ERRORS.len()
}

fn check(world: &World, how: Survival) -> Result<(), String> {
    let after = world.check(world.disk.survivor(how))?;
    let refused = world.messages.values().filter(|message| message.failed);
    let ids: Vec<_> = refused.filter_map(|message| message.id).collect();
    for found in after.spool.scan().map_err(|error| error.to_string())? {
        if let spool::Found::Entry(meta) = found
            && ids.contains(&meta.id)
        {
            return Err("a message that was refused is there".into());
        }
    }
    Ok(())
}

fn every_scenario(disk: TestDisk) {
    drop(World::on(disk.clone()).expect("a spool can be made"));
    let faults: usize = SCENARIOS
        .iter()
        .map(|(_, scenario)| inject(&disk, *scenario))
        .sum();
    println!("faults: {faults}");
}

#[test]
fn no_error_breaks_a_promise_with_unnamed_files() {
    every_scenario(TestDisk::new());
}

#[test]
fn no_error_breaks_a_promise_with_named_files() {
    every_scenario(TestDisk::without_unnamed_files());
}

/// Errors at the start stop the start, or nothing.
#[test]
fn a_failed_start_leaves_the_mail_alone() {
    let disk = TestDisk::new();
    let mut first = World::on(disk.clone()).unwrap();
    first.accept(1, 1, false).unwrap();
    first.leave(2, 1).unwrap();
    drop(first.disk);
    drop(first.spool);
    let calls = {
        let copy = disk.survivor(Survival::Kept);
        drop(World::on(copy.clone()).unwrap());
        copy.calls()
    };
    for call in 1..=calls {
        for errno in ERRORS {
            let disk = disk.survivor(Survival::Kept);
            disk.fail_at(call, errno as i32);
            drop(World::on(disk.clone()));
            let mut world = World::on(disk.survivor(Survival::Killed)).unwrap();
            world.messages = first.messages.clone();
            world.check(world.disk.survivor(Survival::Dropped)).unwrap();
        }
    }
}

fn is_poisoned(result: Result<(), SpoolError>) -> bool {
    matches!(
        result,
        Err(SpoolError {
            kind: ErrorKind::Poisoned,
            ..
        })
    )
}

/// After a failed sync the file takes nothing any more, through no claim; a new file does.
#[test]
fn a_failed_sync_is_healed_by_a_new_file_only() {
    let mut world = World::on(TestDisk::new()).unwrap();
    world.accept(1, 2, false).unwrap();
    let mut claim = world.claim(1).unwrap();
    world.mark(&mut claim, 1, &[0, 1]).unwrap();
    world
        .record(&mut claim, 1, &[(0, OutcomeKind::Sent)])
        .unwrap();
    world
        .disk
        .fail_at(world.disk.calls() + 1, Errno::EIO as i32);
    assert!(claim.sync().is_err());
    assert!(is_poisoned(claim.sync()));
    assert!(is_poisoned(
        claim.record(&[world::outcome(1, OutcomeKind::Deferred)])
    ));
    assert!(is_poisoned(claim.mark_attempt(&world::mark(&[1]))));
    drop(claim);
    let mut claim = world.claim(1).unwrap();
    assert!(is_poisoned(claim.mark_attempt(&world::mark(&[1]))));
    claim.rewrite().unwrap();
    claim.mark_attempt(&world::mark(&[1])).unwrap();
    assert!(!world.disk.retried_a_sync());
    world.messages.get_mut(&1).unwrap().to[0].done_durable = true;
    world.check(world.disk.survivor(Survival::Dropped)).unwrap();
}

/// A full disk takes the records of an attempt all the same, since their place was written at
/// acceptance; and what it does not take is written when it can be.
#[test]
fn outcomes_that_a_disk_does_not_take_are_written_later() {
    let mut world = World::on(TestDisk::new()).unwrap();
    world.accept(1, 2, false).unwrap();
    let mut claim = world.claim(1).unwrap();
    world.mark(&mut claim, 1, &[0, 1]).unwrap();
    world
        .disk
        .fail_at(world.disk.calls() + 1, Errno::ENOSPC as i32);
    let full = world
        .record(&mut claim, 1, &[(0, OutcomeKind::Sent)])
        .unwrap_err();
    assert!(full.is_full());
    assert!(claim.meta().recipients[0].done.is_some());
    world
        .record(&mut claim, 1, &[(1, OutcomeKind::Sent)])
        .unwrap();
    world.sync(&mut claim, 1).unwrap();
    assert!(claim.meta().is_finished());
    world.check(world.disk.survivor(Survival::Dropped)).unwrap();
}

/// A mark that could not be written is not written later, when nothing is sent any more.
#[test]
fn a_mark_that_failed_is_gone() {
    let mut world = World::on(TestDisk::new()).unwrap();
    world.accept(1, 1, false).unwrap();
    let mut claim = world.claim(1).unwrap();
    world
        .disk
        .fail_at(world.disk.calls() + 1, Errno::ENOSPC as i32);
    assert!(
        claim
            .mark_attempt(&world::mark(&[0]))
            .unwrap_err()
            .is_full()
    );
    claim.sync().unwrap();
    drop(claim);
    let claim = world.claim(1).unwrap();
    assert_eq!((claim.meta().attempts, claim.meta().uncertain), (0, false));
}
