//! The world of one run: its clocks, its calendar of events, crashes and restarts.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use mail::Timestamp;
use policy::schedule::{Now, SessionId};

use super::checks::Checks;
use super::disk::{Disk, Mask};
use super::driver::Relay;
use super::gateway::{Gateway, Reply, Weather};
use super::plan::{DAY, MILLI, MINUTE, Micros, Plan, SECOND};
use super::random::Random;
use super::routes::Routes;
use super::truth::Truth;
use super::turns::Turns;
use super::{Mutant, Report, Violation};

/// Wall-clock time at the start of every run.
const EPOCH: Micros = 1_800_000_000 * SECOND;
/// After the troubles, everything must be over within this time.
const DRAIN_MAX: Micros = 30 * DAY;
/// More events than any sound run takes.
const EVENTS_MAX: u64 = 400_000;
/// How many events a trace keeps.
const TRACE_MAX: usize = 60;

/// Ends a run: what is broken.
pub(super) type Broken = String;

/// Something that happens at a time. Those of the relay carry the run that they belong to, and die
/// with it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Somebody hands message `id` in.
    Submit(u64),
    Weather(usize, Weather),
    /// The wall clock jumps by so many microseconds.
    Jump(i64),
    Intervene(Intervention),
    DiskFull(bool),
    Restart,
    /// From here on nothing fails.
    Calm,
    /// This gateway came back, and must have been given something by now.
    ReturnIsDue(usize, u64),
    /// The content of a message is complete at the gateway, whoever may still be there to be told.
    Taken {
        run: u32,
        session: SessionId,
        id: u64,
        accepted: Mask,
        flagged: Mask,
    },
    /// Something concerns the relay of this run.
    Relay(u32, RelayEvent),
}

/// Something that happens to the relay.
#[derive(Clone, Copy, Debug)]
pub(super) enum RelayEvent {
    /// The fsync of an accepted message returns.
    Committed(u64),
    /// The `nth` packet that asks for a connection arrives.
    Syn(SessionId, u32),
    /// The session's dialogue up to AUTH is over.
    Greeted(SessionId),
    /// A session that waits for an answer gives up.
    TimedOut(SessionId),
    /// The gateway closes a session that is idle.
    PeerCloses(SessionId),
    /// QUIT is answered.
    Closed(SessionId),
    /// The fsync of an attempt's mark returns.
    Marked(SessionId, u64),
    /// MAIL and RCPT are answered.
    Enveloped(SessionId, u64),
    /// The content is sent.
    Sent(SessionId, u64),
    /// The answer to the content is there, or will never be.
    Replied(SessionId, u64, Reply),
    /// The fsync of all new records returns.
    Synced,
    /// The fsync of all removed names returns.
    NamesSynced,
}

/// What people do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Intervention {
    FlushAll,
    FlushByUser,
    FlushOne,
    Hold,
    Release,
    Remove,
    /// The limits of a gateway change.
    Settings(usize),
    /// An admin pauses a gateway, or lets it go on.
    Pause(usize, bool),
    /// The settings lose a gateway, or have it again.
    Gone(usize, bool),
}

struct Scheduled {
    at: Micros,
    order: u64,
    event: Event,
}

/// Everything there is in one run.
pub(super) struct World {
    seed: u64,
    pub(super) mutant: Option<Mutant>,
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) now: Micros,
    wall_offset: i64,
    calendar: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    pub(super) disk: Disk,
    pub(super) disk_full: bool,
    /// The scheduler gives a failing disk a rest, which ends by then.
    pub(super) disk_trouble_until: Micros,
    pub(super) gateways: Vec<Gateway>,
    /// `None` between a crash and the restart.
    pub(super) relay: Option<Relay>,
    pub(super) run: u32,
    pub(super) calm: bool,
    /// One for each gateway.
    pub(super) checks: Vec<Checks>,
    pub(super) routes: Routes,
    pub(super) turns: Turns,
    pub(super) truth: Truth,
    pub(super) report: Report,
    trace: Option<VecDeque<String>>,
}

impl World {
    pub(super) fn new(seed: u64, mutant: Option<Mutant>, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let mut world = Self {
            seed,
            mutant,
            random,
            now: 0,
            wall_offset: 0,
            calendar: BinaryHeap::new(),
            order: 0,
            disk: Disk::default(),
            disk_full: false,
            disk_trouble_until: 0,
            gateways: plan.gateways.iter().map(|_| Gateway::new()).collect(),
            relay: None,
            run: 0,
            calm: false,
            checks: plan.gateways.iter().map(|_| Checks::default()).collect(),
            routes: Routes::new(plan.gateways.len()),
            turns: Turns::default(),
            truth: Truth::new(&plan.messages),
            report: Report {
                seeds: 1,
                ..Report::default()
            },
            trace: trace.then(VecDeque::new),
            plan,
        };
        world.fill_calendar();
        world
    }

    /// Plays the run to its end.
    pub(super) fn play(mut self) -> Result<Report, Box<Violation>> {
        match self.play_events() {
            Ok(()) => Ok(self.report),
            Err(what) => {
                let trace = self.trace.take().map_or_else(Vec::new, Vec::from);
                Err(Box::new(Violation {
                    seed: self.seed,
                    at: self.now,
                    what,
                    trace,
                }))
            }
        }
    }

    pub(super) fn after(&mut self, delay: Micros, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Plans something for the relay that runs now.
    pub(super) fn relay_after(&mut self, delay: Micros, event: RelayEvent) {
        self.after(delay, Event::Relay(self.run, event));
    }

    /// Wall-clock time.
    pub(super) fn wall(&self) -> Micros {
        (EPOCH + self.now).saturating_add_signed(self.wall_offset)
    }

    /// Both clocks as the running relay reads them.
    pub(super) fn clocks(&self) -> Now {
        let relay = self.relay.as_ref().expect("a relay runs");
        let mono = if self.mutant == Some(Mutant::WallClockTimers) {
            self.wall().saturating_sub(relay.started_wall)
        } else {
            self.now - relay.started
        };
        Now {
            mono: Duration::from_micros(mono),
            wall: Timestamp::from_micros(self.wall()),
        }
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        let Some(trace) = &mut self.trace else { return };
        if trace.len() == TRACE_MAX {
            trace.pop_front();
        }
        trace.push_back(format!("{:>16} run {} {}", self.now, self.run, text()));
    }

    fn at(&mut self, at: Micros, event: Event) {
        self.order += 1;
        self.calendar.push(Reverse(Scheduled {
            at,
            order: self.order,
            event,
        }));
    }

    fn fill_calendar(&mut self) {
        let end = self.plan.trouble_until;
        let bursts = self.random.one_in(2);
        let burst = self.random.between(0, end);
        for id in 0..self.truth.len() {
            let at = if bursts {
                burst + id % 7 * MILLI
            } else {
                self.random.between(0, end)
            };
            self.at(at, Event::Submit(id));
        }
        for _ in 0..self.plan.weather_changes {
            let weather = Weather::any_trouble(&mut self.random);
            let gateway = self.any_gateway();
            // Trouble in the midst of a burst finds sessions at work.
            let start = if bursts && self.random.one_in(2) {
                burst + self.random.between(0, 2 * SECOND)
            } else {
                self.random.between(0, end)
            };
            let longest = self.random.pick(&[5 * SECOND, MINUTE, 20 * MINUTE, end]);
            let stop = start + self.random.between(0, longest);
            self.at(start, Event::Weather(gateway, weather));
            self.at(stop, Event::Weather(gateway, Weather::Up));
        }
        for _ in 0..self.plan.interventions {
            let at = if bursts && self.random.one_in(2) {
                burst + self.random.between(0, 2 * SECOND)
            } else {
                self.random.between(0, end)
            };
            let intervention = self.any_intervention();
            self.at(at, Event::Intervene(intervention));
        }
        for _ in 0..self.plan.clock_jumps {
            let at = self.random.between(0, end);
            let size = self
                .random
                .pick(&[SECOND, 10 * MINUTE, 2 * DAY, 400 * DAY])
                .cast_signed();
            let jump = if self.random.one_in(2) { size } else { -size };
            self.at(at, Event::Jump(jump));
        }
        for _ in 0..self.plan.disk_full {
            let at = self.random.between(0, end);
            self.at(at, Event::DiskFull(true));
            self.at(at + 3 * MINUTE, Event::DiskFull(false));
        }
        self.at(end, Event::Calm);
        self.at(0, Event::Restart);
    }

    fn any_intervention(&mut self) -> Intervention {
        use Intervention::{
            FlushAll, FlushByUser, FlushOne, Gone, Hold, Pause, Release, Remove, Settings,
        };
        let (gateway, on) = (self.any_gateway(), self.random.one_in(2));
        self.random.pick(&[
            FlushAll,
            FlushByUser,
            FlushOne,
            Hold,
            Hold,
            Release,
            Remove,
            Settings(gateway),
            Pause(gateway, on),
            Gone(gateway, on),
        ])
    }

    fn any_gateway(&mut self) -> usize {
        let last = self.plan.gateways.len() as u64 - 1;
        let index = self.random.between(0, last);
        usize::try_from(index).expect("a small number")
    }

    fn play_events(&mut self) -> Result<(), Broken> {
        while let Some(at) = self.next_time() {
            if at > self.plan.trouble_until + DRAIN_MAX {
                return Err("drain: the queue is not empty 30 days after the last trouble".into());
            }
            if self.report.events > EVENTS_MAX {
                return Err("progress: the run takes too many events".into());
            }
            self.now = self.now.max(at);
            self.report.events += 1;
            self.disk.check_durable_in_time(self.now)?;
            if self.may_crash() {
                self.crash();
            } else if self
                .calendar
                .peek()
                .is_some_and(|Reverse(next)| next.at <= self.now)
            {
                let Reverse(next) = self.calendar.pop().expect("just seen");
                self.note(|| format!("{:?}", next.event));
                self.dispatch(next.event)?;
            }
            self.drive()?;
        }
        self.check_end()
    }

    /// The time of the next event or of the scheduler's next timer.
    fn next_time(&self) -> Option<Micros> {
        let event = self.calendar.peek().map(|Reverse(next)| next.at);
        [event, self.timer()].into_iter().flatten().min()
    }

    fn timer(&self) -> Option<Micros> {
        let wake = self.relay.as_ref()?.scheduler.wake_at()?;
        let mono = self.clocks().mono;
        let left = u64::try_from(wake.saturating_sub(mono).as_nanos().div_ceil(1000)).ok()?;
        Some(self.now.saturating_add(left))
    }

    pub(super) fn may_crash(&mut self) -> bool {
        let one_in = self.plan.crash_one_in;
        one_in > 0 && !self.calm && self.relay.is_some() && self.random.one_in(one_in)
    }

    /// The relay is killed, or the power fails.
    pub(super) fn crash(&mut self) {
        let power = self.random.one_in(2);
        self.note(|| format!("CRASH, power fails: {power}"));
        self.relay = None;
        self.run += 1;
        self.report.crashes += 1;
        self.gateways.iter_mut().for_each(Gateway::disconnect_all);
        self.checks.iter_mut().for_each(Checks::crashed);
        self.routes.crashed();
        self.turns.clear();
        if power {
            self.disk.lose_power(&mut self.random);
        } else {
            self.disk.survive_kill();
        }
        let downtime = self.random.pick(&[0, SECOND, MINUTE]);
        self.after(downtime, Event::Restart);
    }

    fn dispatch(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Submit(id) => self.submit(id),
            Event::Weather(gateway, weather) if !self.calm => self.turn(gateway, weather),
            Event::Weather(..) => {}
            Event::Jump(by) => {
                self.wall_offset += by;
                self.report.jumps += 1;
                self.truth.jumped(self.now);
            }
            Event::Intervene(intervention) => self.intervene(intervention),
            Event::DiskFull(full) => {
                self.disk_full = full && !self.calm;
                self.disk_trouble_until = if full {
                    Micros::MAX
                } else {
                    self.now + 2 * SECOND
                };
                self.checks.iter_mut().for_each(Checks::something_went);
            }
            Event::Restart => self.restart(),
            Event::Calm => self.calm_down(),
            Event::ReturnIsDue(gateway, token) => {
                // Its mail may have gone another way meanwhile.
                if self.waits_for(gateway) {
                    return self.checks[gateway].return_is_due(token);
                }
            }
            Event::Taken {
                run,
                session,
                id,
                accepted,
                flagged,
            } => {
                return self.taken(run, session, id, accepted, flagged);
            }
            Event::Relay(run, event) if run == self.run && self.relay.is_some() => {
                return self.relay_event(event);
            }
            Event::Relay(..) => {}
        }
        Ok(())
    }

    fn turn(&mut self, gateway: usize, weather: Weather) {
        self.gateways[gateway].turn(weather);
        self.checks[gateway].weather_changed();
        if weather == Weather::Refused {
            self.reset_idle_sessions(gateway);
        }
        if weather == Weather::Up
            && let Some(token) = self.gateway_returned(gateway)
        {
            self.after(6 * SECOND, Event::ReturnIsDue(gateway, token));
        }
    }

    fn calm_down(&mut self) {
        self.disk_full = false;
        for gateway in 0..self.gateways.len() {
            self.turn(gateway, Weather::Up);
            self.intervene(Intervention::Gone(gateway, false));
            self.intervene(Intervention::Pause(gateway, false));
        }
        self.calm = true;
        self.intervene(Intervention::Release);
    }

    fn check_end(&self) -> Result<(), Broken> {
        if let Some((id, entry)) = self.disk.scan().next() {
            return Err(format!(
                "drain: message {id} is left on disk: {:?}",
                entry.state()
            ));
        }
        let summary = self
            .relay
            .as_ref()
            .ok_or("drain: no relay runs")?
            .scheduler
            .summary();
        if summary != policy::schedule::Summary::default() {
            return Err(format!(
                "memory: something is left in the scheduler: {summary:?}"
            ));
        }
        if self.gateways.iter().any(|it| it.connections() > 0) {
            return Err("sessions: a connection is left".into());
        }
        self.truth.all_accounted_for()
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
