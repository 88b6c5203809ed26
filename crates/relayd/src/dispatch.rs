//! The one place where work is handed out: facts from everywhere go in, `policy::schedule` is asked,
//! and what it decides is carried out. Nobody else decides what is tried next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mail::QueueId;
use policy::log::Line;
use policy::schedule::{
    Action, AttemptEnd, AttemptOutcome, Circuit, Flush, GatewayId, GatewayLimits, GatewayTrouble,
    Limits, Queued, Scheduler, SessionId, Summary, TroubleKind,
};
use spool::Queue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::password::Stamp;
use crate::relay::{self, Relay};
use crate::{delivery, expire, put_off, running::Running};

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
    /// Who asks is answered with why the gateway takes no mail, if it does not.
    AskGateway(oneshot::Sender<GatewayState>),
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

/// How the gateway does, for listings and `STATUS`.
pub(crate) struct GatewayState {
    /// Why it takes no mail; `None` while it does.
    pub(crate) down: Option<String>,
    pub(crate) summary: Summary,
}

/// What a session is told.
pub(crate) enum Command {
    Deliver(QueueId),
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
    /// Entries to be put off, since the gateway is down.
    suspended: VecDeque<QueueId>,
    /// The password that the gateway refused.
    refused_password: Option<Stamp>,
    /// When its file was last looked at.
    looked_at: Instant,
}

impl Dispatcher {
    pub(crate) fn new(relay: Arc<Relay>, inbox: mpsc::Receiver<Event>) -> Self {
        let running = relay.running();
        let mut scheduler = Scheduler::new(limits(&running));
        scheduler.set_gateways(&relay::now(), &gateways(&running));
        Self {
            relay,
            inbox,
            scheduler,
            sessions: HashMap::new(),
            suspended: VecDeque::new(),
            refused_password: None,
            looked_at: Instant::now(),
        }
    }

    /// Works until [`Event::Stop`], then ends the sessions.
    pub(crate) async fn run(mut self) {
        // Sessions see that relayd stops before that event is here, and what they do then says
        // nothing about the gateway.
        while self.take_batch().await && !self.relay.is_stopping() {
            self.look_at_password();
            self.carry_out();
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
        if !self.suspended.is_empty() {
            return self.inbox.try_recv().ok();
        }
        let timer = self
            .scheduler
            .wake_at()
            .map(|at| at.saturating_sub(host::clock::monotonic()));
        let watch = self.refused_password.as_ref().map(|_| PASSWORD_WATCH);
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
            Event::Queued(queued) => {
                if self.circuit().is_down() {
                    self.suspended.push_back(queued.id);
                }
                self.scheduler.queued(&now, queued);
            }
            Event::SessionReady(session) => {
                self.refused_password = None;
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
            Event::AskGateway(answer) => {
                let _ = answer.send(self.gateway_state());
            }
            Event::SettingsChanged => {
                self.refused_password = None;
                let running = self.relay.running();
                self.scheduler.set_limits(limits(&running));
                self.scheduler.set_gateways(&now, &gateways(&running));
                self.scheduler.settings_changed(&now);
            }
            Event::Stop => return false,
        }
        true
    }

    fn session_failed(&mut self, session: SessionId, failure: SessionFailure) {
        let now = relay::now();
        self.forget(session);
        if failure.trouble.kind == TroubleKind::Auth {
            self.refused_password = Some(failure.password);
        }
        self.scheduler
            .session_failed(&now, session, failure.trouble);
        if failure.outdated {
            self.refused_password = None;
            self.scheduler.settings_changed(&now);
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
        self.scheduler
            .attempt_ended(&relay::now(), session, id, end);
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
                    self.command(session, Command::Deliver(id));
                }
                Action::Close(session) => self.command(session, Command::Quit),
                Action::GatewayWentDown { reason, .. } => self.gateway_went_down(&reason),
                Action::GatewayCameBack { after, waiting, .. } => {
                    let running = self.relay.running();
                    let gateway = &running.gateway().name;
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

    fn open(&mut self, session: SessionId) {
        let (commands, orders) = mpsc::channel(1);
        let open = Open {
            commands,
            message: None,
        };
        self.sessions.insert(session, open);
        let relay = Arc::clone(&self.relay);
        let probe = self.circuit().is_down();
        let opened = tokio::spawn(delivery::run(
            Arc::clone(&relay),
            relay.running().gateway().name.clone(),
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
        if let Command::Deliver(id) = &command {
            open.message = Some(*id);
        }
        // A session takes one command at a time and reports before the next, so there is room. One
        // that is gone has reported its end, which is in the inbox.
        let _ = open.commands.try_send(command);
    }

    fn expire(&mut self, id: QueueId) {
        self.relay.index.update(id, |item| item.active = true);
        let (relay, waiting_for) = (Arc::clone(&self.relay), self.gateway_state().down);
        tokio::spawn(async move { expire::expire(&relay, id, waiting_for.as_deref()).await });
    }

    fn gateway_went_down(&mut self, reason: &str) {
        let running = self.relay.running();
        self.relay.log.write(&Line::GatewayDown {
            gateway: &running.gateway().name,
            reason,
        });
        self.suspended = self
            .relay
            .index
            .ids_where(|item| !item.active && item.meta.queue == Queue::Incoming)
            .into();
    }

    /// Puts off some of the entries that wait for the gateway.
    async fn put_off(&mut self) {
        let Circuit::Down { kind, reason, .. } = self.circuit().clone() else {
            return self.suspended.clear();
        };
        let count = self.suspended.len().min(PUT_OFF_BATCH);
        if count > 0 {
            let ids = self.suspended.drain(..count).collect();
            put_off::put_off(&self.relay, ids, kind, &reason).await;
        }
    }

    fn gateway_state(&self) -> GatewayState {
        let down = match self.circuit() {
            Circuit::Down { reason, .. } => Some(reason.clone()),
            Circuit::Closed => None,
        };
        GatewayState {
            down,
            summary: self.scheduler.summary(),
        }
    }

    fn circuit(&self) -> &Circuit {
        self.scheduler
            .circuit(relay::GATEWAY)
            .unwrap_or(&Circuit::Closed)
    }

    /// A password file that was replaced after the refusal is as good as changed settings. Looked at
    /// at its own pace, however many facts come in.
    fn look_at_password(&mut self) {
        let Some(refused) = &self.refused_password else {
            return;
        };
        if self.looked_at.elapsed() < PASSWORD_WATCH {
            return;
        }
        self.looked_at = Instant::now();
        if Stamp::of(self.relay.running().gateway()) != *refused {
            self.refused_password = None;
            self.scheduler.settings_changed(&relay::now());
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

fn limits(running: &Running) -> Limits {
    Limits {
        queue_lifetime: running.settings.queue_lifetime,
        ..Limits::default()
    }
}

fn gateways(running: &Running) -> BTreeMap<GatewayId, GatewayLimits> {
    let gateway = running.gateway();
    let limits = GatewayLimits {
        max_connections: gateway.max_connections,
        idle_close: gateway.idle_close,
        ..GatewayLimits::default()
    };
    BTreeMap::from([(relay::GATEWAY, limits)])
}
