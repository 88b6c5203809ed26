//! The one place where work is handed out: facts from everywhere go in, `policy::schedule` is asked,
//! and what it decides is carried out. Nobody else decides what is tried next.

mod gateways;
mod holds;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mail::QueueId;
use policy::log::Line;
use policy::schedule::{
    Action, AttemptEnd, AttemptOutcome, Circuit, Flush, GatewayId, GatewayTrouble, Now, Out,
    Queued, Route, Scheduler, SessionId, TroubleKind,
};
use spool::Queue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::password::Stamp;
use crate::relay::{self, Relay};
use crate::{delivery, expire, put_off};

pub(crate) use gateways::{GatewayState, States};
use gateways::{gateways, limits};
use holds::Holds;

/// How long transactions under way may take once relayd is told to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Facts taken in before the scheduler is asked again.
const BATCH: usize = 256;
/// Entries put off before facts are taken in again.
const PUT_OFF_BATCH: usize = 500;
/// How often a refused password's file is looked at, so that a corrected one is used at once.
const PASSWORD_WATCH: Duration = Duration::from_secs(2);

/// A fact for the dispatcher.
pub(crate) enum Event {
    Queued(Queued),
    SessionReady(SessionId),
    SessionFailed(SessionId, SessionFailure),
    SessionClosed(SessionId),
    AttemptEnded {
        session: SessionId,
        id: QueueId,
        end: AttemptEnd,
    },
    Flush(Flush),
    /// The entry was put on hold.
    Hold(QueueId),
    /// An admin wants these held or released; who asks hears when it is done.
    Keep {
        ids: Vec<QueueId>,
        held: bool,
        done: oneshot::Sender<()>,
    },
    /// Who asks is answered with how the gateways do.
    AskGateways(oneshot::Sender<States>),
    SettingsChanged,
    Stop,
}

/// Why a session could not be opened.
pub(crate) struct SessionFailure {
    pub(crate) trouble: GatewayTrouble,
    /// The password that was used.
    pub(crate) password: Stamp,
    /// The settings changed meanwhile, so this says nothing about those in force.
    pub(crate) outdated: bool,
}

/// What a session is told.
pub(crate) enum Command {
    /// A message, and the recipients of it that go this way; `None` where all do.
    Deliver(QueueId, Option<Vec<u32>>),
    Quit,
}

/// A session as the dispatcher sees it. Dropping it tells the session to end.
struct Open {
    commands: mpsc::Sender<Command>,
    /// The message that it was given.
    message: Option<QueueId>,
}

/// Owner of the scheduler and of the sessions' command channels.
pub(crate) struct Dispatcher {
    relay: Arc<Relay>,
    inbox: mpsc::Receiver<Event>,
    scheduler: Scheduler,
    sessions: HashMap<SessionId, Open>,
    /// Entries to be put off, since the gateway is down that they wait for.
    suspended: VecDeque<(GatewayId, QueueId)>,
    /// The passwords that gateways refused.
    refused_passwords: BTreeMap<GatewayId, Stamp>,
    /// Gateways that have taken a session.
    proven: BTreeSet<GatewayId>,
    /// When their files were last looked at.
    looked_at: Instant,
    /// What an admin wants held or released.
    holds: Holds,
    /// Gateways whose mail goes through others.
    passed: BTreeMap<GatewayId, Out>,
}

impl Dispatcher {
    pub(crate) fn new(relay: Arc<Relay>, inbox: mpsc::Receiver<Event>) -> Self {
        let running = relay.running();
        let mut scheduler = Scheduler::new(limits(&running));
        scheduler.set_gateways(&relay::now(), &gateways(&relay, &running));
        Self {
            relay,
            inbox,
            scheduler,
            sessions: HashMap::new(),
            suspended: VecDeque::new(),
            refused_passwords: BTreeMap::new(),
            proven: BTreeSet::new(),
            looked_at: Instant::now(),
            holds: Holds::default(),
            passed: BTreeMap::new(),
        }
    }

    /// Works until [`Event::Stop`], then ends the sessions.
    pub(crate) async fn run(mut self) {
        // Sessions see that relayd stops before that event is here, and what they do then says
        // nothing about the gateway.
        while self.take_batch().await && !self.relay.is_stopping() {
            self.look_at_password();
            self.move_held().await;
            self.carry_out();
            self.tell_who_takes_over();
            self.put_off().await;
        }
        self.stop().await;
    }

    /// Waits for facts, or until it is time to ask the scheduler again; false at the order to stop.
    async fn take_batch(&mut self) -> bool {
        let Some(event) = self.next_event().await else {
            return true;
        };
        if !self.take(event) {
            return false;
        }
        for _ in 1..BATCH {
            let Ok(event) = self.inbox.try_recv() else {
                break;
            };
            if !self.take(event) {
                return false;
            }
        }
        true
    }

    async fn next_event(&mut self) -> Option<Event> {
        if !self.suspended.is_empty() || !self.holds.is_empty() {
            return self.inbox.try_recv().ok();
        }
        let timer = self
            .scheduler
            .wake_at()
            .map(|at| at.saturating_sub(host::clock::monotonic()));
        let watch = (!self.refused_passwords.is_empty()).then_some(PASSWORD_WATCH);
        let Some(pause) = timer.into_iter().chain(watch).min() else {
            return self.inbox.recv().await;
        };
        tokio::time::timeout(pause, self.inbox.recv())
            .await
            .unwrap_or_default()
    }

    /// Takes a fact in; false if it is the order to stop.
    fn take(&mut self, event: Event) -> bool {
        let now = relay::now();
        match event {
            Event::Queued(queued) => self.queued(&now, queued),
            Event::SessionReady(session) => {
                self.refused_passwords.remove(&session.gateway());
                self.proven.insert(session.gateway());
                self.scheduler.session_ready(&now, session);
            }
            Event::SessionFailed(session, failure) => self.session_failed(session, failure),
            Event::SessionClosed(session) => {
                self.forget(session);
                self.scheduler.session_closed(&now, session);
            }
            Event::AttemptEnded { session, id, end } => self.attempt_ended(session, id, end),
            Event::Flush(what) => self.scheduler.flush(&now, what),
            Event::Hold(id) => self.scheduler.hold(id),
            Event::Keep { ids, held, done } => self.keep(ids, held, done),
            Event::AskGateways(answer) => {
                let _ = answer.send(self.states());
            }
            Event::SettingsChanged => self.settings_changed(&now),
            Event::Stop => return false,
        }
        true
    }

    fn queued(&mut self, now: &Now, queued: Queued) {
        let (id, route) = (queued.id, queued.route);
        self.scheduler.queued(now, queued);
        if self.scheduler.circuit(route.first()).is_none() {
            // Its way was found before the settings changed.
            return self.reroute(id);
        }
        if self.waits_for(&route) {
            self.suspended.push_back((route.first(), id));
        }
    }

    /// Whether a message of this route has to wait until its first gateway is back.
    fn waits_for(&self, route: &Route) -> bool {
        let down = |id| self.scheduler.circuit(id).is_some_and(Circuit::is_down);
        let taken_over = self.scheduler.gateway(route.first());
        let taken_over = taken_over.is_some_and(|gateway| gateway.out.is_some());
        down(route.first()) && (!taken_over || route.choices().all(down))
    }

    fn settings_changed(&mut self, now: &Now) {
        self.refused_passwords.clear();
        let running = self.relay.running();
        self.scheduler.set_limits(limits(&running));
        self.scheduler
            .set_gateways(now, &gateways(&self.relay, &running));
        for id in self.relay.index.ids_where(|_| true) {
            self.reroute(id);
        }
        self.scheduler.settings_changed(now);
    }

    /// Finds the way of a message anew.
    fn reroute(&mut self, id: QueueId) {
        let Some(item) = self.relay.index.get(id) else {
            return;
        };
        let route = self.relay.way(&item.meta).route;
        self.relay
            .index
            .update(id, |item| item.gateway = route.first());
        self.scheduler.reroute(id, route);
    }

    fn session_failed(&mut self, session: SessionId, failure: SessionFailure) {
        let now = relay::now();
        self.forget(session);
        if failure.trouble.kind == TroubleKind::Auth {
            self.refused_passwords
                .insert(session.gateway(), failure.password);
        }
        self.scheduler
            .session_failed(&now, session, failure.trouble);
        if failure.outdated {
            self.secret_changed(session.gateway());
        }
    }

    fn attempt_ended(&mut self, session: SessionId, id: QueueId, end: AttemptEnd) {
        // The scheduler counts a session whose answer was lost as ended, whatever it says.
        if !end.session_alive || end.outcome == AttemptOutcome::Uncertain {
            self.forget(session);
        } else if let Some(open) = self.sessions.get_mut(&session) {
            open.message = None;
        }
        self.relay.index.update(id, |item| item.active = false);
        let partly = end.outcome != AttemptOutcome::Finished;
        self.holds.attempt_ended(id, partly);
        self.scheduler
            .attempt_ended(&relay::now(), session, id, end);
        if partly && self.has_several_gateways() {
            // Those that are left may go another way.
            self.reroute(id);
        }
    }

    fn has_several_gateways(&self) -> bool {
        self.relay.running().settings.gateways.len() > 1
    }

    fn secret_changed(&mut self, gateway: GatewayId) {
        self.refused_passwords.remove(&gateway);
        self.scheduler.secret_changed(&relay::now(), gateway);
    }

    /// A session has ended. The message that it was given last may never have reached it.
    fn forget(&mut self, session: SessionId) {
        let ended = self.sessions.remove(&session);
        if let Some(id) = ended.and_then(|open| open.message) {
            self.relay.index.update(id, |item| item.active = false);
        }
    }

    /// Does what the scheduler decides until it has nothing more to do now.
    fn carry_out(&mut self) {
        while let Some(action) = self.scheduler.next(&relay::now()) {
            match action {
                Action::Open(session) => self.open(session),
                Action::Deliver { session, id } => {
                    self.relay.index.update(id, |item| item.active = true);
                    let only = self.recipients_now(id);
                    self.command(session, Command::Deliver(id, only));
                }
                Action::Close(session) => self.command(session, Command::Quit),
                Action::GatewayWentDown {
                    gateway, reason, ..
                } => self.gateway_went_down(gateway, &reason),
                Action::GatewayCameBack {
                    gateway,
                    after,
                    waiting,
                } => {
                    let gateway = &self.relay.numbers.name(gateway);
                    self.relay.log.write(&Line::GatewayUp {
                        gateway,
                        after,
                        waiting,
                    });
                }
                Action::Expire(id) => self.expire(id),
            }
        }
    }

    /// The recipients of a message that are tried now, where that is not all.
    fn recipients_now(&self, id: QueueId) -> Option<Vec<u32>> {
        if !self.has_several_gateways() {
            return None;
        }
        let item = self.relay.index.get(id)?;
        self.relay.way(&item.meta).places
    }

    fn open(&mut self, session: SessionId) {
        let (commands, orders) = mpsc::channel(1);
        let open = Open {
            commands,
            message: None,
        };
        self.sessions.insert(session, open);
        let relay = Arc::clone(&self.relay);
        let gateway = session.gateway();
        let circuit = self.scheduler.circuit(gateway);
        let probe = circuit.is_some_and(Circuit::is_down);
        let opened = tokio::spawn(delivery::run(
            Arc::clone(&relay),
            relay.numbers.name(gateway),
            session,
            probe,
            orders,
        ));
        tokio::spawn(async move {
            // A session that dies of a fault of ours must not be waited for.
            if opened.await.is_err() {
                let _ = relay.events.send(Event::SessionClosed(session)).await;
            }
        });
    }

    fn command(&mut self, session: SessionId, command: Command) {
        let Some(open) = self.sessions.get_mut(&session) else {
            return;
        };
        if let Command::Deliver(id, _) = &command {
            open.message = Some(*id);
        }
        // A session takes one command at a time and reports before the next, so there is room. One
        // that is gone has reported its end, which is in the inbox.
        let _ = open.commands.try_send(command);
    }

    fn expire(&mut self, id: QueueId) {
        self.relay.index.update(id, |item| item.active = true);
        let gateway = self.relay.index.get(id).map(|item| item.gateway);
        let waiting_for = gateway.and_then(|gateway| self.why_down(gateway));
        let relay = Arc::clone(&self.relay);
        tokio::spawn(async move { expire::expire(&relay, id, waiting_for.as_deref()).await });
    }

    fn gateway_went_down(&mut self, gateway: GatewayId, reason: &str) {
        self.relay.log.write(&Line::GatewayDown {
            gateway: &self.relay.numbers.name(gateway),
            reason,
        });
        let waiting = self.relay.index.ids_where(|item| {
            !item.active && item.meta.queue == Queue::Incoming && item.gateway == gateway
        });
        let waiting = waiting.into_iter().map(|id| (gateway, id));
        self.suspended.extend(waiting);
    }

    /// Puts off some of the entries that wait for the gateway.
    async fn put_off(&mut self) {
        let count = self.suspended.len().min(PUT_OFF_BATCH);
        let mut waiting: BTreeMap<GatewayId, Vec<QueueId>> = BTreeMap::new();
        for (gateway, id) in self.suspended.drain(..count) {
            waiting.entry(gateway).or_default().push(id);
        }
        for (gateway, ids) in waiting {
            // One that came back meanwhile has its mail tried.
            if let Some(Circuit::Down { kind, reason, .. }) = self.scheduler.circuit(gateway) {
                put_off::put_off(&self.relay, ids, *kind, reason).await;
            }
        }
    }

    /// A password file that was replaced after the refusal is as good as changed settings. Looked at
    /// at its own pace, however many facts come in.
    fn look_at_password(&mut self) {
        if self.refused_passwords.is_empty() || self.looked_at.elapsed() < PASSWORD_WATCH {
            return;
        }
        self.looked_at = Instant::now();
        for gateway in &self.relay.running().settings.gateways {
            let id = self.relay.numbers.of(&gateway.name);
            let refused = self.refused_passwords.get(&id);
            if refused.is_some_and(|refused| Stamp::of(gateway) != *refused) {
                self.secret_changed(id);
            }
        }
    }

    /// Lets transactions under way finish and says goodbye to the gateway, within a bound. What is
    /// queued meanwhile is on disk, and waits for the next start.
    async fn stop(mut self) {
        for open in self.sessions.values_mut() {
            // One that is busy finds its channel closed afterwards.
            let _ = open.commands.try_send(Command::Quit);
            open.commands = mpsc::channel(1).0;
        }
        let deadline = Instant::now() + STOP_WITHIN;
        while !self.sessions.is_empty() {
            match tokio::time::timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(event)) => _ = self.take(event),
                Ok(None) | Err(_) => break,
            }
        }
        let unfinished = self.sessions.values().filter(|open| open.message.is_some());
        for id in unfinished.filter_map(|open| open.message) {
            self.relay.log.warn(&format!(
                "{id}: stopping in the middle of its transaction; it is tried again after the next start"
            ));
        }
    }
}
