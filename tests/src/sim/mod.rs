//! A seeded simulator of a relay's whole life: the real scheduler in a model world.
//!
//! One seed decides everything: what is submitted, how the gateway behaves, when the relay
//! crashes or the power fails, how the wall clock jumps, what an admin does. [`run`] plays it from
//! the first submission until the queue is empty, and checks the invariants of the design at every
//! step. The same seed plays the same run.
//!
//! - `plan`: the scenario, drawn from the seed.
//! - `world`: clocks, the calendar of events, crashes and restarts.
//! - `driver`: the part that relayd plays, in the order that relayd must keep: the attempt is
//!   marked durably, content goes out, the reply comes, the outcome is recorded, the record is
//!   durable within 100 ms, the entry is retired.
//! - `dialogue`: the sessions of that driver with the model gateway.
//! - `disk`: what is durable and what a power failure takes away.
//! - `gateway`: the far end and its faults; `meter`: what it counts.
//! - `truth`: what really happened to each message, and the invariants about it.
//! - `people`: what admins and users do meanwhile.
//! - `checks`: the invariants about each gateway's sessions and circuit; `routes`: which gateway a
//!   message goes through; `turns`: whose turn it is.
//!
//! A [`Mutant`] is a deliberate fault in the driver or in what the scheduler is told. Each must be
//! caught, or the simulator proves nothing.

mod checks;
mod dialogue;
mod disk;
mod driver;
mod gateway;
mod meter;
mod people;
mod plan;
mod random;
mod routes;
mod truth;
mod turns;
mod world;

use std::fmt;

/// A deliberate fault, to show that the checks can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Records a delivery when the content is out, before the reply (breaks I1).
    RecordsBeforeReply,
    /// Sends without a durable mark of the attempt (breaks I4).
    SkipsTheMark,
    /// Reports the end of an attempt, and retires, without ever making the record durable (I3).
    NeverSyncs,
    /// Forgets at start which recipients are done (breaks I3).
    ForgetsDone,
    /// Takes a gateway's 5xx for the message's fault (breaks I5).
    BouncesOnGateway5xx,
    /// Tells the scheduler a cap that is higher than the settings' (breaks the connection cap).
    IgnoresTheCap,
    /// Takes every refused connection for a settings change, so that probes never slow down (I6).
    Hammers,
    /// Waits 60 s for a connect instead of the scheduler's 5 s (breaks the return within 6 s, I6).
    PatientConnect,
    /// Tells the scheduler one origin for all (breaks I7).
    OneOrigin,
    /// Tells the scheduler only the first gateway of each route (breaks failover).
    NeverFailsOver,
    /// Tells the scheduler not to wait before the next gateway takes over (breaks failover).
    FailsOverAtOnce,
    /// Forgets at start which gateway may have a message (breaks I4).
    ForgetsTheTie,
    /// Does not tell the scheduler that a gateway is paused.
    IgnoresPauses,
    /// Tells the scheduler twice the rate that the gateway allows.
    IgnoresTheRate,
    /// Tells the scheduler nothing of the messages that one connection may have.
    IgnoresTheShare,
    /// Takes a call for less for the end of the connection.
    DeafToCalls,
    /// Feeds the wall clock into the timers (a clock jump expires mail).
    WallClockTimers,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::RecordsBeforeReply,
        Self::SkipsTheMark,
        Self::NeverSyncs,
        Self::ForgetsDone,
        Self::BouncesOnGateway5xx,
        Self::IgnoresTheCap,
        Self::Hammers,
        Self::PatientConnect,
        Self::OneOrigin,
        Self::NeverFailsOver,
        Self::FailsOverAtOnce,
        Self::ForgetsTheTie,
        Self::IgnoresPauses,
        Self::IgnoresTheRate,
        Self::IgnoresTheShare,
        Self::DeafToCalls,
        Self::WallClockTimers,
    ];

    /// What a violation begins with that shows this fault for what it is.
    #[must_use]
    pub const fn breaks(self) -> &'static str {
        match self {
            Self::RecordsBeforeReply => "I1:",
            Self::NeverSyncs | Self::ForgetsDone => "I3:",
            Self::SkipsTheMark | Self::ForgetsTheTie => "I4:",
            Self::BouncesOnGateway5xx => "I5:",
            Self::Hammers | Self::PatientConnect => "I6:",
            Self::NeverFailsOver | Self::FailsOverAtOnce => "failover:",
            Self::IgnoresTheRate => "rate:",
            Self::IgnoresTheShare => "share:",
            Self::DeafToCalls => "slow:",
            Self::IgnoresPauses => "pause:",
            Self::OneOrigin => "I7:",
            Self::IgnoresTheCap => "cap:",
            Self::WallClockTimers => "expiry:",
        }
    }
}

/// What happened in one run, or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs.
    pub seeds: u64,
    /// Events played.
    pub events: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Recipients whose mail the gateway took.
    pub deliveries: u64,
    /// Of these, for the second time or more; each was flagged uncertain before it was sent.
    pub duplicates: u64,
    /// Recipients refused for good.
    pub failed: u64,
    /// Messages given up by age.
    pub expired: u64,
    /// Kills and power failures.
    pub crashes: u64,
    /// Jumps of the wall clock.
    pub jumps: u64,
    /// Times that the circuit opened.
    pub outages: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Returns of a gateway whose first delivery was timed.
    pub timed_returns: u64,
    /// Messages whose wait for their turn was counted.
    pub timed_turns: u64,
}

impl Report {
    /// Adds another report to this one.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.accepted += other.accepted;
        self.deliveries += other.deliveries;
        self.duplicates += other.duplicates;
        self.failed += other.failed;
        self.expired += other.expired;
        self.crashes += other.crashes;
        self.jumps += other.jumps;
        self.outages += other.outages;
        self.sessions += other.sessions;
        self.timed_returns += other.timed_returns;
        self.timed_turns += other.timed_turns;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seeds={} events={} accepted={} deliveries={} duplicates={} failed={} expired={} crashes={} \
             jumps={} outages={} sessions={} timed_returns={} timed_turns={}",
            self.seeds,
            self.events,
            self.accepted,
            self.deliveries,
            self.duplicates,
            self.failed,
            self.expired,
            self.crashes,
            self.jumps,
            self.outages,
            self.sessions,
            self.timed_returns,
            self.timed_turns,
        )
    }
}

/// A broken invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// Simulated time in microseconds since the start of the run.
    pub at: u64,
    /// What is broken, beginning with the invariant's name.
    pub what: String,
    /// The events that led to it, the last ones only; empty unless a trace was asked for.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {} at {} us: {}", self.seed, self.at, self.what)?;
        write!(
            f,
            "replay: SEED={} cargo nextest run -p tests --test simulator --no-capture replay",
            self.seed
        )
    }
}

/// Plays one seed. With `trace`, a violation tells the events that led to it.
///
/// # Errors
/// The first broken invariant.
pub fn run(seed: u64, mutant: Option<Mutant>, trace: bool) -> Result<Report, Box<Violation>> {
    world::World::new(seed, mutant, trace).play()
}
