//! Thousands of lives of a relay, each from one seed; every mutant of it must be caught.
//!
//! `SEED=123 cargo nextest run -p tests --test simulator --no-capture replay` plays one seed again
//! and tells its events. `SEEDS=200000` makes the long test longer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mail::{QueueId, Timestamp};
use policy::schedule::{GatewayId, Limits, Now, OriginKey, Queued, Route, Scheduler};
use tests::sim::{Mutant, Report, Violation, run};

/// Runs of the long test, unless `SEEDS` says otherwise.
const SEEDS: u64 = 4_000;
/// Within so many seeds each mutant must be caught.
const MUTANT_SEEDS: u64 = 2_000;

#[test]
fn thousands_of_seeds_keep_every_invariant() {
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    match play_all(seeds, None) {
        Ok(report) => println!("simulator: {report}"),
        Err(violation) => panic!("{}", told_again(&violation)),
    }
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let shown = |seed| {
            let violation = run(seed, Some(mutant), false).err()?;
            violation
                .what
                .starts_with(mutant.breaks())
                .then_some(violation)
        };
        let caught = (0..MUTANT_SEEDS).find_map(shown);
        let caught = caught.unwrap_or_else(|| panic!("{mutant:?} got away"));
        println!("{mutant:?}: seed {}: {}", caught.seed, caught.what);
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..50 {
        let twice = [run(seed, None, false), run(seed, None, true)]
            .map(|played| played.expect("a clean run"));
        assert_eq!(twice[0], twice[1], "seed {seed}");
    }
}

/// Plays the one seed that `SEED` names; 1 if it names none.
#[test]
fn replay() {
    let seed = number("SEED").unwrap_or(1);
    match run(seed, None, true) {
        Ok(report) => println!("seed {seed} keeps every invariant: {report}"),
        Err(violation) => panic!("{violation}"),
    }
}

/// Plays seeds 0 to `seeds` on all processors; stops at the first violation it meets.
fn play_all(seeds: u64, mutant: Option<Mutant>) -> Result<Report, Box<Violation>> {
    let next = AtomicU64::new(0);
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return Ok(sum);
            }
            match run(seed, mutant, false) {
                Ok(report) => sum.add(&report),
                Err(violation) => {
                    next.store(seeds, Ordering::Relaxed);
                    return Err(violation);
                }
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut sum = Report::default();
        for thread in threads {
            sum.add(&thread.join().expect("a worker that does not panic")?);
        }
        Ok(sum)
    })
}

/// The same violation with the events that led to it.
fn told_again(violation: &Violation) -> String {
    run(violation.seed, None, true)
        .map_or_else(|traced| traced.to_string(), |_| violation.to_string())
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}

/// Both are to be run in a process of their own, as nextest does: they measure the process.
#[test]
fn a_hundred_thousand_messages_take_little_memory() {
    let bytes = bytes_per_message(10);
    assert!(bytes <= 340, "{bytes}");
}

#[test]
fn even_if_each_has_a_submitter_of_its_own() {
    let bytes = bytes_per_message(100_000);
    assert!(bytes <= 500, "{bytes}");
}

/// What 100,000 messages of so many submitters take, each.
fn bytes_per_message(submitters: u64) -> u64 {
    let before = resident_bytes();
    let scheduler = scheduler_with(100_000, submitters);
    let grown = resident_bytes().saturating_sub(before) / 100_000;
    drop(scheduler);
    grown
}

fn scheduler_with(messages: u64, submitters: u64) -> Scheduler {
    let mut scheduler = Scheduler::new(Limits::default());
    let wall = Timestamp::from_secs(1_800_000_000);
    let now = Now {
        mono: Duration::ZERO,
        wall,
    };
    for id in 0..messages {
        let queued = Queued {
            id: QueueId::from_number(id),
            origin: OriginKey {
                submitter: format!("uid {}", id % submitters),
                sender: "app@example.org".to_owned(),
            },
            arrival: Timestamp::from_micros(wall.as_micros() + id),
            attempts: 0,
            route: Route::to(GatewayId::new(0)),
            uncertain: None,
            held: false,
            recipients: 1,
        };
        scheduler.queued(&now, queued);
    }
    scheduler
}

/// Memory of this process, by the kernel's own count of 4096-byte pages.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = status
        .split(' ')
        .nth(1)
        .expect("the second number is the resident set");
    pages.parse::<u64>().expect("a number") * 4096
}
