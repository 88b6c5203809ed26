//! relayd is killed with SIGKILL at fifty random moments under load. Nothing acknowledged is lost, and a message comes
//! twice only where a reply was outstanding when the kill struck.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::certificate::{Authority, Validity};
use tests::gateway::{Delivery, Gateway, Record, Setup};
use tests::rig::Rig;

const ROUNDS: usize = 50;
const CALLERS: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);
/// A recorded outcome is durable this long after the reply (DESIGN.md I3); a kill within may bring the message again.
const DURABLE_AFTER: Duration = Duration::from_millis(100);

/// One call of sendmail: what it was told, and when.
struct Call {
    acknowledged: bool,
    begin: Instant,
    end: Instant,
}

#[test]
fn fifty_kills_lose_nothing() {
    let authority = Authority::new();
    let gateway = Gateway::start(Setup::provider(
        authority.issue("gateway.test", Validity::Current),
    ));
    let mut rig = Rig::before(&gateway, &authority);
    let calls: Mutex<BTreeMap<usize, Call>> = Mutex::default();
    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut kills = Vec::new();

    std::thread::scope(|scope| {
        let caller = Caller::of(&rig);
        for _ in 0..CALLERS {
            let (caller, calls, stop, next) = (caller.clone(), &calls, &stop, &next);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let call = caller.call(number);
                    calls.lock().expect("no caller panics").insert(number, call);
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..ROUNDS {
                wait_for_a_random_moment(round, &gateway, &next);
                kills.push(Instant::now());
                rig.kill();
                rig.start();
            }
        }));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    // What a kill has left uncertain waits longer than a test should.
    rig.postqueue(&["-f"]);
    rig.expect_empty_spool(LIMIT);
    judge(
        &calls.into_inner().expect("no caller panics"),
        &kills,
        &gateway.record(),
    );
}

/// Runs sendmail from any thread while the rig is busy being killed.
#[derive(Clone)]
struct Caller {
    sendmail: std::path::PathBuf,
    settings: std::path::PathBuf,
}

impl Caller {
    fn of(rig: &Rig) -> Self {
        Self {
            sendmail: tests::program::built("sendmail"),
            settings: rig.settings(),
        }
    }

    fn call(&self, number: usize) -> Call {
        let mut command = std::process::Command::new(&self.sendmail);
        command
            .env("RELAYD_CONFIG", &self.settings)
            .args(["-i", "-f", "app@test.example"]);
        command.arg(format!("r{number}@x.test"));
        let begin = Instant::now();
        let output = tests::program::run(
            &mut command,
            format!("Subject: {number}\n\ntext\n").as_bytes(),
        );
        assert!(
            output.status.success(),
            "a kill is nothing the caller sees: {output:?}"
        );
        Call {
            acknowledged: true,
            begin,
            end: Instant::now(),
        }
    }
}

/// Not by the clock: after a random number of steps seen at either end, from 0 to some 40 commands at the gateway in
/// even rounds, from 0 to 12 calls in odd ones.
fn wait_for_a_random_moment(round: usize, gateway: &Gateway, calls: &AtomicUsize) {
    let draw = (round as u64 + 7).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let draw = usize::try_from(draw).expect("24 bits");
    if round.is_multiple_of(2) {
        let goal = gateway.read(|r| r.commands.len()) + draw % 40;
        assert!(
            gateway.wait(LIMIT, |r| r.commands.len() >= goal),
            "relayd does nothing in round {round}"
        );
    } else {
        let goal = calls.load(Ordering::Relaxed) + draw % 12;
        tests::patience::expect("callers go on", LIMIT, || {
            calls.load(Ordering::Relaxed) >= goal
        });
    }
}

fn judge(calls: &BTreeMap<usize, Call>, kills: &[Instant], record: &Record) {
    let mut copies: HashMap<usize, Vec<&Delivery>> = HashMap::new();
    for delivery in &record.deliveries {
        let number = delivery.fields("Subject")[0].parse().expect("our number");
        copies.entry(number).or_default().push(delivery);
    }
    let lost: Vec<_> = calls
        .iter()
        .filter(|(n, c)| c.acknowledged && !copies.contains_key(n))
        .collect();
    let mut tally = Tally::default();
    for (number, deliveries) in copies.iter().filter(|(_, d)| d.len() > 1) {
        let call = &calls[number];
        for (copy, next) in deliveries.iter().zip(&deliveries[1..]) {
            let same_entry = queue_id(copy) == queue_id(next);
            tally.count(*number, copy, same_entry.then_some(record), call, kills);
        }
    }
    tests::report::number(
        "killing",
        &format!(
            "{} messages, {} kills, {} lost, {} twice: {} reply to relayd outstanding, {} read but not yet durable (oldest \
         {:.1?}), {} reply to sendmail outstanding",
            calls.len(),
            kills.len(),
            lost.len(),
            tally.outstanding + tally.not_durable + tally.submission,
            tally.outstanding,
            tally.not_durable,
            tally.oldest,
            tally.submission
        ),
    );
    assert!(
        lost.is_empty(),
        "lost: {:?}",
        lost.iter().map(|(n, _)| n).collect::<Vec<_>>()
    );
    assert!(
        tally.unexplained.is_empty(),
        "twice without reason: {:#?}",
        tally.unexplained
    );
    record_is_clean(record);
}

fn record_is_clean(record: &Record) {
    assert!(record.violations.is_empty(), "{:#?}", record.violations);
    assert!(
        record.peak <= 4 + 4,
        "after a kill the old connections may still be closing: {}",
        record.peak
    );
}

/// Why messages came twice.
#[derive(Default)]
struct Tally {
    outstanding: usize,
    not_durable: usize,
    submission: usize,
    oldest: Duration,
    unexplained: Vec<String>,
}

impl Tally {
    /// `copy` was not the last copy of its message: which kill explains that? With `gateway` both copies are of one
    /// queue entry, so relayd delivered it twice; without, sendmail handed the message in twice.
    fn count(
        &mut self,
        number: usize,
        copy: &Delivery,
        gateway: Option<&Record>,
        call: &Call,
        kills: &[Instant],
    ) {
        let Some(record) = gateway else {
            if kills
                .iter()
                .any(|kill| call.begin <= *kill && *kill <= call.end)
            {
                self.submission += 1;
            } else {
                self.unexplained.push(format!(
                    "message {number} was queued twice without a kill during the call"
                ));
            }
            return;
        };
        // The relayd that had this connection died at the first kill after the connection began. What it had sent before
        // may reach the gateway even later.
        let began = record.connected_at[usize::try_from(copy.connection - 1).expect("small")];
        let end = kills.iter().find(|kill| **kill >= began);
        let age = end.map_or(Duration::MAX, |kill| {
            kill.saturating_duration_since(copy.at)
        });
        let went_on =
            |c: &tests::gateway::Command| c.connection == copy.connection && c.at > copy.at;
        let reply_was_read = record.commands.iter().any(went_on);
        if age > DURABLE_AFTER {
            self.unexplained.push(format!(
                "message {number} on connection {}, {age:?} before a kill",
                copy.connection
            ));
        } else {
            self.oldest = self.oldest.max(age);
            *(if reply_was_read {
                &mut self.not_durable
            } else {
                &mut self.outstanding
            }) += 1;
        }
    }
}

/// The id in our Received field.
fn queue_id(delivery: &Delivery) -> String {
    let received = delivery.fields("Received").remove(0);
    let after = received
        .split(" id ")
        .nth(1)
        .expect("our Received field names the id");
    after
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect()
}
