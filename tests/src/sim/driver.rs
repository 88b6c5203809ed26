//! The part that relayd plays: it carries out what the scheduler decides, in the order that keeps
//! mail safe, and reports back.

use std::collections::BTreeMap;

use mail::{QueueId, Timestamp};
use policy::schedule::{
    Action, Circuit, GatewayId, Limits, Now, OriginKey, Queued, Scheduler, SessionId,
};
use std::time::Duration;

use super::Mutant;
use super::checks::Checks;
use super::disk::{Mask, Record};
use super::gateway::Gateway;
use super::plan::{MILLI, Micros, SECOND};
use super::world::{Broken, Event, RelayEvent, World};

/// Records are made durable this long after they are written, at most.
const SYNC_DELAY_MAX: Micros = 90 * MILLI;
/// No sequence of decisions without an event in between is longer than this.
const DECISIONS_MAX: u32 = 20_000;

/// A relay that runs.
pub(super) struct Relay {
    pub(super) scheduler: Scheduler,
    pub(super) started: Micros,
    pub(super) started_wall: Micros,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    sync_planned: bool,
    pub(super) names_planned: bool,
}

/// One connection as the relay sees it.
pub(super) struct Session {
    pub(super) stage: Stage,
    pub(super) opened: Micros,
    /// Opened while the circuit was down, and it is down still.
    pub(super) probe: bool,
    pub(super) transactions: u32,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Greeting,
    /// Without work since then.
    Idle(Micros),
    Busy(Transaction),
    Closing,
}

/// One message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) id: u64,
    /// Recipients named.
    pub(super) tried: Mask,
    /// Recipients that were uncertain before this attempt.
    pub(super) flagged: Mask,
    pub(super) accepted: Mask,
    pub(super) refused: Mask,
}

impl World {
    pub(super) fn restart(&mut self) {
        let mut scheduler = Scheduler::new(self.limits());
        let now = Now {
            mono: Duration::ZERO,
            wall: Timestamp::from_micros(self.wall()),
        };
        scheduler.set_gateways(&now, &self.gateway_limits());
        for gateway in (0..self.plan.gateways.len()).filter(|it| self.tells_pause(*it)) {
            scheduler.pause(gateway_id(gateway));
        }
        let (started, started_wall) = (self.now, self.wall());
        let sessions = BTreeMap::new();
        self.relay = Some(Relay {
            scheduler,
            started,
            started_wall,
            sessions,
            sync_planned: false,
            names_planned: false,
        });
        let found: Vec<u64> = self.disk.scan().map(|(id, _)| id).collect();
        for id in found {
            self.recover(id);
        }
    }

    /// An entry found on disk: done, in doubt, or still to be sent.
    fn recover(&mut self, id: u64) {
        let state = self.disk.get(id).expect("just found").state();
        if state.done == self.truth.all_recipients(id) && self.mutant != Some(Mutant::ForgetsDone) {
            self.disk.unlink(id);
            self.plan_name_sync();
        } else {
            self.queue(id);
        }
    }

    /// Tells the scheduler of an entry on disk.
    fn queue(&mut self, id: u64) {
        let entry = self.disk.get(id).expect("an entry on disk");
        let (state, held, arrival) = (entry.state(), entry.held, entry.arrival);
        let message = &self.plan.messages[index(id)];
        let one = self.mutant == Some(Mutant::OneOrigin);
        let name = |name: &str| if one { "x".to_owned() } else { name.to_owned() };
        let queued = Queued {
            id: queue_id(id),
            origin: OriginKey {
                submitter: name(&message.submitter),
                sender: name(&message.sender),
            },
            arrival: Timestamp::from_micros(arrival),
            attempts: state.attempts,
            route: self.route_of(id),
            uncertain: self.tie(state.uncertain_at()),
            recipients: (self.truth.all_recipients(id) & !state.done).count_ones(),
            held,
        };
        self.truth.queued(id, self.now, &queued);
        let now = self.clocks();
        self.scheduler().queued(&now, queued);
    }

    /// What the scheduler is told of the gateway that may have a message.
    fn tie(&self, uncertain_at: Option<usize>) -> Option<GatewayId> {
        let forgets = self.mutant == Some(Mutant::ForgetsTheTie);
        let tie = uncertain_at.map(|at| if forgets { at + 1 } else { at });
        tie.map(gateway_id)
    }

    fn limits(&self) -> Limits {
        Limits {
            queue_lifetime: Duration::from_micros(self.plan.queue_lifetime),
            ..Limits::default()
        }
    }

    pub(super) fn submit(&mut self, id: u64) {
        if self.truth.is_acknowledged(id) {
            return;
        }
        if self.relay.is_none() || self.disk_full {
            return self.after(SECOND, Event::Submit(id));
        }
        let delay = self.random.between(MILLI, 10 * MILLI);
        self.relay_after(delay, RelayEvent::Committed(id));
        // A crash before the fsync: the client is told nothing and tries again.
        self.after(delay + 5 * SECOND, Event::Submit(id));
    }

    pub(super) fn committed(&mut self, id: u64) {
        self.disk.create(id, self.wall());
        self.truth.acknowledged(id, self.now);
        self.report.accepted += 1;
        self.queue(id);
        if self.truth.is_lonely(id) {
            self.report.timed_turns += 1;
            let others = self.truth.live_submitters() - 1;
            self.lonely_stands_in_line(id, others);
        }
    }

    /// Its wait is counted where it is known which line it stands in.
    fn lonely_stands_in_line(&mut self, id: u64, others: usize) {
        let relay = self.relay.as_ref().expect("a relay runs");
        self.turns.lines_may_have_moved(relay);
        let first = self.route_of(id).first();
        if relay
            .scheduler
            .gateway(first)
            .is_some_and(|it| it.out.is_none())
        {
            self.turns.stands_in_line(id, index_of(first), others);
        }
    }

    /// Asks the scheduler until it has nothing more to say.
    pub(super) fn drive(&mut self) -> Result<(), Broken> {
        for _ in 0..DECISIONS_MAX {
            if self.relay.is_none() {
                return Ok(());
            }
            let now = self.clocks();
            let Some(action) = self.scheduler().next(&now) else {
                return self.check_rest();
            };
            self.note(|| format!("    {action:?}"));
            self.carry_out(action)?;
            if self.may_crash() {
                self.crash();
            }
        }
        Err("progress: the scheduler never comes to rest".into())
    }

    /// The scheduler has nothing to do now: its timer must lie ahead, and its memory be bounded.
    fn check_rest(&mut self) -> Result<(), Broken> {
        let mono = self.clocks().mono;
        let scheduler = &self.relay.as_ref().expect("a relay runs").scheduler;
        if scheduler.wake_at().is_some_and(|at| at <= mono) {
            return Err("progress: the timer lies in the past".into());
        }
        let relay = self.relay.as_ref().expect("a relay runs");
        self.checks[0].idle_sessions(self.now, relay)?;
        self.turns.lines_may_have_moved(relay);
        self.check_failover()?;
        let scheduler = &self.relay.as_ref().expect("a relay runs").scheduler;
        let known = scheduler.summary();
        let bounded = known.expiries <= known.messages
            && known.ready + known.waiting + known.active + known.held == known.messages;
        if bounded {
            Ok(())
        } else {
            Err(format!("memory: {known:?}"))
        }
    }

    fn carry_out(&mut self, action: Action) -> Result<(), Broken> {
        match action {
            Action::Open(session) => return self.open(session),
            Action::Deliver { session, id } => return self.deliver(session, id.number()),
            Action::Close(session) => {
                self.set_stage(session, Stage::Closing);
                self.relay_after(self.plan.round_trip, RelayEvent::Closed(session));
            }
            Action::GatewayWentDown { gateway, .. } => {
                self.report.outages += 1;
                self.routes.went_down(index_of(gateway), self.now);
                return self.checks[index_of(gateway)].went_down();
            }
            Action::GatewayCameBack { gateway, .. } => {
                let sessions = self.relay_mut().sessions.iter_mut();
                for (_, session) in sessions.filter(|(id, _)| id.gateway() == gateway) {
                    session.probe = false;
                }
                self.routes.came_back(index_of(gateway));
                return self.checks[index_of(gateway)].came_back();
            }
            Action::Expire(id) => return self.expire(id.number()),
        }
        Ok(())
    }

    fn open(&mut self, session: SessionId) -> Result<(), Broken> {
        let relay = self.relay.as_ref().expect("a relay runs");
        let provider = &self.plan.gateways[at(session)];
        if provider.paused || provider.gone {
            return Err(format!("pause: {session:?} is opened"));
        }
        self.checks[at(session)].opens(
            self.now,
            session.gateway(),
            provider.max_connections,
            relay,
        )?;
        let probe = is_down(relay, session.gateway());
        let entry = Session {
            stage: Stage::Connecting,
            opened: self.now,
            probe,
            transactions: 0,
        };
        self.relay_mut().sessions.insert(session, entry);
        self.report.sessions += 1;
        self.relay_after(self.plan.round_trip, RelayEvent::Syn(session, 0));
        Ok(())
    }

    fn deliver(&mut self, session: SessionId, id: u64) -> Result<(), Broken> {
        let relay = self.relay.as_ref().expect("a relay runs");
        self.truth.delivers(id, self.now)?;
        Checks::delivers(id, session, relay)?;
        self.checks[at(session)].begins(self.now)?;
        self.turns.lines_may_have_moved(relay);
        self.turns.delivers(id, at(session))?;
        let entry = self
            .disk
            .get(id)
            .ok_or_else(|| format!("I1: message {id} is sent but not on disk"))?;
        if entry.held {
            return Err(format!("hold: message {id} is held and is sent"));
        }
        let state = entry.state();
        self.goes_through(id, at(session), state.uncertain_at())?;
        let forgets = self.mutant == Some(Mutant::ForgetsDone);
        let tried = self.truth.all_recipients(id) & if forgets { Mask::MAX } else { !state.done };
        let transaction = Transaction {
            id,
            tried,
            flagged: state.uncertain(),
            accepted: 0,
            refused: 0,
        };
        self.set_stage(session, Stage::Busy(transaction));
        let fsync = self.random.between(MILLI, 20 * MILLI);
        self.relay_after(fsync, RelayEvent::Marked(session, id));
        Ok(())
    }

    fn expire(&mut self, id: u64) -> Result<(), Broken> {
        let relay = self.relay.as_ref().expect("a relay runs");
        let mut gateways = (0..self.plan.gateways.len()).map(gateway_id);
        let down = gateways.any(|gateway| is_down(relay, gateway));
        self.truth
            .expires(id, self.now, self.plan.queue_lifetime, down)?;
        self.checks.iter_mut().for_each(Checks::something_went);
        self.turns.given_up(id);
        self.report.expired += 1;
        let left = self.truth.all_recipients(id);
        self.record(id, Record::Done(left));
        Ok(())
    }

    /// Appends a record and has it made durable in time.
    pub(super) fn record(&mut self, id: u64, record: Record) {
        if self.disk.get(id).is_none() {
            return;
        }
        self.disk.append(id, record, self.now);
        let relay = self.relay_mut();
        if !std::mem::replace(&mut relay.sync_planned, true)
            && self.mutant != Some(Mutant::NeverSyncs)
        {
            let delay = self.random.between(MILLI, SYNC_DELAY_MAX);
            self.relay_after(delay, RelayEvent::Synced);
        }
    }

    /// Records are durable: what is finished may be retired.
    pub(super) fn synced(&mut self) {
        self.relay_mut().sync_planned = false;
        for id in self.disk.sync() {
            let all = self.truth.all_recipients(id);
            if self
                .disk
                .get(id)
                .is_some_and(|entry| entry.state().done == all)
            {
                self.disk.unlink(id);
                self.plan_name_sync();
            }
        }
    }

    pub(super) fn plan_name_sync(&mut self) {
        if !std::mem::replace(&mut self.relay_mut().names_planned, true) {
            let delay = self.random.between(MILLI, SYNC_DELAY_MAX);
            self.relay_after(delay, RelayEvent::NamesSynced);
        }
    }

    /// Moves a session on.
    pub(super) fn set_stage(&mut self, session: SessionId, stage: Stage) {
        if let Some(entry) = self.relay_mut().sessions.get_mut(&session) {
            entry.stage = stage;
        }
    }

    /// Idle sessions notice at once that their gateway is gone.
    pub(super) fn reset_idle_sessions(&mut self, gateway: usize) {
        let Some(relay) = &self.relay else { return };
        let idle = relay
            .sessions
            .iter()
            .filter(|(id, entry)| at(**id) == gateway && matches!(entry.stage, Stage::Idle(_)));
        let idle: Vec<SessionId> = idle.map(|(session, _)| *session).collect();
        for session in idle {
            self.relay_after(self.plan.round_trip, RelayEvent::PeerCloses(session));
        }
    }

    /// The gateway is back: if it was unreachable and mail waits, the time to the first delivery counts.
    pub(super) fn gateway_returned(&mut self, gateway: usize) -> Option<u64> {
        let relay = self.relay.as_ref()?;
        let provider = &self.plan.gateways[gateway];
        let slow = provider.rate.is_some() || self.checks[gateway].was_slowed(self.now);
        let shut = provider.paused || provider.gone || slow;
        if shut || self.now < self.disk_trouble_until || self.truth.poison_waits() {
            return None;
        }
        let token = self.checks[gateway].returned(gateway_id(gateway), relay)?;
        self.report.timed_returns += 1;
        Some(token)
    }

    /// Whether mail stands in the line of this gateway.
    pub(super) fn waits_for(&self, gateway: usize) -> bool {
        let relay = self.relay.as_ref();
        let summary = relay.and_then(|relay| relay.scheduler.gateway(gateway_id(gateway)));
        summary.is_some_and(|it| it.ready > 0)
    }

    /// A session is over, at both ends.
    pub(super) fn forget(&mut self, session: SessionId) -> Option<Session> {
        let connection = self.connection(session);
        self.gateways[at(session)].disconnect(connection);
        self.relay_mut().sessions.remove(&session)
    }

    /// The gateway at the other end.
    pub(super) fn far(&self, session: SessionId) -> &Gateway {
        &self.gateways[at(session)]
    }

    pub(super) const fn connection(&self, session: SessionId) -> (u32, u64) {
        (self.run, session.number())
    }

    pub(super) fn relay_mut(&mut self) -> &mut Relay {
        self.relay.as_mut().expect("a relay runs")
    }

    pub(super) fn scheduler(&mut self) -> &mut Scheduler {
        &mut self.relay_mut().scheduler
    }
}

/// A message's name for the scheduler.
pub(super) fn queue_id(id: u64) -> QueueId {
    QueueId::from_number(id)
}

/// A message's place in the plan.
pub(super) fn index(id: u64) -> usize {
    usize::try_from(id).expect("a small number")
}

/// A gateway's name for the scheduler.
pub(super) fn gateway_id(index: usize) -> GatewayId {
    GatewayId::new(u16::try_from(index).expect("a small number"))
}

/// A gateway's place in the plan.
pub(super) const fn index_of(gateway: GatewayId) -> usize {
    gateway.number() as usize
}

/// The same of the gateway that a session is with.
pub(super) const fn at(session: SessionId) -> usize {
    index_of(session.gateway())
}

pub(super) fn is_down(relay: &Relay, gateway: GatewayId) -> bool {
    let circuit = relay.scheduler.circuit(gateway);
    circuit.is_some_and(Circuit::is_down)
}
