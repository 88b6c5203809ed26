//! Stops every scenario before every disk call, takes what a crash may leave, and compares it
//! with what was promised. The last tests see to it that this would notice a missing sync.

#![expect(
    clippy::print_stdout,
    reason = "the number of crash points is part of the result"
)]

mod world;

use spool::testdisk::{Survival, Sync, TestDisk};
use world::{SCENARIOS, Scenario, World};

const SUBSETS: u64 = 32;

#[derive(Default)]
struct Tally {
    points: usize,
    violations: Vec<String>,
}

/// A disk with an empty spool on it, so that the scenarios need not make one.
fn fresh(disk: TestDisk) -> TestDisk {
    drop(World::on(disk.clone()).expect("a spool can be made"));
    disk.survivor(Survival::Kept)
}

fn survivals(call: u64) -> impl Iterator<Item = Survival> {
    let random = (0..SUBSETS).map(move |seed| Survival::Random(call * SUBSETS + seed));
    [Survival::Dropped, Survival::Kept, Survival::Killed]
        .into_iter()
        .chain(random)
}

/// Runs a scenario until call number `call`, and says whether it got to its end.
fn run(base: &TestDisk, skipped: Option<Sync>, scenario: Scenario, call: u64) -> (World, bool) {
    let mut world = World::on(base.survivor(Survival::Kept)).expect("a spool can be opened");
    if let Some(kind) = skipped {
        world.disk.skip(kind);
    }
    world.disk.stop_at(world.disk.calls() + call);
    let ended = scenario(&mut world).is_ok();
    (world, ended)
}

fn enumerate(base: &TestDisk, skipped: Option<Sync>, scenario: Scenario) -> Tally {
    let mut tally = Tally::default();
    for call in 1.. {
        let (world, ended) = run(base, skipped, scenario, call);
        for how in survivals(call) {
            tally.points += 1;
            let result = world
                .check(world.disk.survivor(how))
                .and_then(|after| match how {
                    // Killed, started again, and only then the power goes.
                    Survival::Killed => {
                        tally.points += 1;
                        world.check_again(&after)
                    }
                    _ => Ok(()),
                });
            tally.violations.extend(
                result
                    .err()
                    .map(|why| format!("call {call}, {how:?}: {why}")),
            );
        }
        if ended {
            return tally;
        }
    }
    unreachable!("every scenario ends");
}

impl World {
    fn check_again(&self, after: &World) -> Result<(), String> {
        let mut expected = self.messages.clone();
        expected.extend(
            after
                .messages
                .iter()
                .map(|(number, it)| (*number, it.clone())),
        );
        let mut world =
            World::on(after.disk.survivor(Survival::Killed)).map_err(|e| e.to_string())?;
        (world.messages, world.ids) = (expected, after.ids.clone());
        (world.note_kept, world.note_tried) = (after.note_kept, after.note_tried);
        world
            .check(after.disk.survivor(Survival::Dropped))
            .map(|_| ())
    }
}

fn every_scenario(name: &str, disk: TestDisk) {
    let base = fresh(disk);
    let mut points = 0;
    for (scenario_name, scenario) in SCENARIOS {
        let tally = enumerate(&base, None, scenario);
        println!("{name}, {scenario_name}: {} crash points", tally.points);
        assert_eq!(
            tally.violations,
            Vec::<String>::new(),
            "{name}, {scenario_name}"
        );
        points += tally.points;
    }
    println!("crash points: {points}");
}

#[test]
fn nothing_is_lost_with_unnamed_files() {
    every_scenario("unnamed files", TestDisk::new());
}

#[test]
fn nothing_is_lost_with_named_files() {
    every_scenario("named files", TestDisk::without_unnamed_files());
}

#[test]
fn nothing_is_lost_with_short_writes() {
    let base = fresh(TestDisk::new());
    base.short_writes();
    let mut world = World::on(base).expect("a spool can be opened");
    world.accept(1, 3, true).unwrap();
    world
        .check(world.disk.survivor(Survival::Dropped))
        .map(|_| ())
        .unwrap();
}

/// A spool that is only half made is made whole, and takes mail.
#[test]
fn making_the_spool_may_stop_anywhere() {
    let mut points = 0;
    for call in 1.. {
        let disk = TestDisk::new();
        disk.stop_at(call);
        let made = World::on(disk.clone());
        for how in survivals(call) {
            let mut world = World::on(disk.survivor(how)).expect("made whole");
            world.accept(1, 1, false).unwrap();
            let again = world.disk.survivor(Survival::Dropped);
            world.check(again).map(|_| ()).unwrap();
            points += 1;
        }
        if made.is_ok() {
            break;
        }
    }
    println!("crash points: {points}");
}

/// The start after a crash may crash too: killed anywhere in intake, then a power cut anywhere
/// in the next intake.
#[test]
fn intake_may_be_stopped_twice() {
    let base = fresh(TestDisk::new());
    let (_, scenario) = SCENARIOS[1];
    let mut points = 0;
    for call in 1.. {
        let (world, ended) = run(&base, None, scenario, call);
        points += stop_again(&world);
        if ended {
            break;
        }
    }
    println!("crash points: {points}");
}

fn stop_again(world: &World) -> usize {
    let mut points = 0;
    for second in 1.. {
        let disk = world.disk.survivor(Survival::Killed);
        let mut again = World::on(disk.clone()).expect("a spool can be opened");
        (again.messages, again.ids) = (world.messages.clone(), world.ids.clone());
        disk.stop_at(disk.calls() + second);
        let ended = again.intake().is_ok();
        for how in [
            Survival::Dropped,
            Survival::Random(second),
            Survival::Random(second + 1000),
        ] {
            let result = again.check(disk.survivor(how)).map(|_| ());
            assert_eq!(result, Ok(()), "second stop at {second}, {how:?}");
            points += 1;
        }
        if ended {
            return points;
        }
    }
    unreachable!("intake ends");
}

fn is_noticed(disk: TestDisk, skipped: Sync, scenario_name: &str, expected: &str) {
    let base = fresh(disk);
    let (_, scenario) = *SCENARIOS
        .iter()
        .find(|(name, _)| *name == scenario_name)
        .expect("its name");
    let tally = enumerate(&base, Some(skipped), scenario);
    let found = tally
        .violations
        .iter()
        .filter(|why| why.contains(expected))
        .count();
    println!(
        "without {skipped:?}: {found} of {} crash points wrong",
        tally.points
    );
    assert!(
        found > 0,
        "{scenario_name} without {skipped:?}: {:?}",
        tally.violations
    );
}

#[test]
fn a_missing_file_sync_is_noticed() {
    is_noticed(TestDisk::new(), Sync::File, "accept", "accepted and lost");
    is_noticed(TestDisk::new(), Sync::File, "intake", "accepted and lost");
    is_noticed(
        TestDisk::without_unnamed_files(),
        Sync::File,
        "accept",
        "accepted and lost",
    );
}

#[test]
fn a_missing_sync_of_marks_and_outcomes_is_noticed() {
    is_noticed(
        TestDisk::new(),
        Sync::Data,
        "attempt and outcome",
        "marked and forgotten",
    );
    is_noticed(
        TestDisk::new(),
        Sync::Data,
        "partial outcome",
        "done durably and forgotten",
    );
}

#[test]
fn a_missing_folder_sync_is_noticed() {
    is_noticed(
        TestDisk::new(),
        Sync::Dir,
        "retire",
        "retired and there again",
    );
    is_noticed(
        TestDisk::new(),
        Sync::Dir,
        "intake",
        "retired and there again",
    );
}
