//! The one place where work is handed out: facts from everywhere go in, `policy::schedule` is asked,
//! and what it decides is carried out. Nobody else decides what is tried next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mail::QueueId;
use policy::log::Line;
use policy::schedule::{
    Action, AttemptEnd, Circuit, Flush, GatewayTrouble, Limits, Queued, Scheduler, SessionId,
    Summary, TroubleKind,
};
use spool::Queue;
use tokio::sync::{mpsc, oneshot};

use crate::outcome;
use crate::relay::{self, Relay};
use crate::{delivery, running::Running};

/// How long transactions under way may take once relayd is told to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Facts taken in before the scheduler is asked again.
const BATCH: usize = 256;
/// How often a refused password's file is looked at, so that a corrected one is used at once.
const PASSWORD_WATCH: Duration = Duration::from_secs(2);

/// A fact for the dispatcher.
pub(crate) enum Event {
    Queued(Queued),
    SessionReady(SessionId),
    SessionFailed(SessionId, GatewayTrouble),
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

/// Owner of the scheduler and of the sessions' command channels.
pub(crate) struct Dispatcher {
    relay: Arc<Relay>,
    inbox: mpsc::Receiver<Event>,
    scheduler: Scheduler,
    sessions: HashMap<SessionId, mpsc::Sender<Command>>,
    /// The password source as it was when the gateway refused it.
    refused_password: Option<delivery::PasswordStamp>,
}

impl Dispatcher {
    pub(crate) fn new(relay: Arc<Relay>, inbox: mpsc::Receiver<Event>) -> Self {
        let scheduler = Scheduler::new(limits(&relay.running()));
        Self {
            relay,
            inbox,
            scheduler,
            sessions: HashMap::new(),
            refused_password: None,
        }
    }

    /// Works until [`Event::Stop`], then ends the sessions.
    pub(crate) async fn run(mut self) {
        loop {
            self.carry_out().await;
            let Some(event) = self.next_event().await else {
                continue;
            };
            if !self.take(event) {
                break;
            }
            for _ in 1..BATCH {
                let Ok(event) = self.inbox.try_recv() else {
                    break;
                };
                if !self.take(event) {
                    return self.stop().await;
                }
            }
        }
        self.stop().await;
    }

    /// The next fact, or `None` when it is time to ask the scheduler again.
    async fn next_event(&mut self) -> Option<Event> {
        let timer = self
            .scheduler
            .wake_at()
            .map(|at| at.saturating_sub(host::clock::monotonic()));
        let watch = self.refused_password.as_ref().map(|_| PASSWORD_WATCH);
        let Some(pause) = timer.into_iter().chain(watch).min() else {
            return self.inbox.recv().await;
        };
        match tokio::time::timeout(pause, self.inbox.recv()).await {
            Ok(event) => event,
            Err(_) => {
                self.look_at_password();
                None
            }
        }
    }

    /// Takes a fact in; false if it is the order to stop.
    fn take(&mut self, event: Event) -> bool {
        let now = relay::now();
        match event {
            Event::Queued(queued) => {
                let id = queued.id;
                self.scheduler.queued(&now, queued);
                if self.scheduler.circuit().is_down() {
                    self.put_off(vec![id]);
                }
            }
            Event::SessionReady(session) => {
                self.refused_password = None;
                self.scheduler.session_ready(&now, session);
            }
            Event::SessionFailed(session, trouble) => {
                self.sessions.remove(&session);
                self.scheduler.session_failed(&now, session, trouble);
            }
            Event::SessionClosed(session) => {
                self.sessions.remove(&session);
                self.scheduler.session_closed(&now, session);
            }
            Event::AttemptEnded { session, id, end } => {
                if !end.session_alive {
                    self.sessions.remove(&session);
                }
                self.relay.index.update(id, |item| item.active = false);
                self.scheduler.attempt_ended(&now, session, id, end);
            }
            Event::Flush(what) => self.scheduler.flush(&now, what),
            Event::Hold(id) => self.scheduler.hold(id),
            Event::AskGateway(answer) => {
                let _ = answer.send(self.gateway_state());
            }
            Event::SettingsChanged => {
                self.refused_password = None;
                self.scheduler.set_limits(limits(&self.relay.running()));
                self.scheduler.settings_changed(&now);
            }
            Event::Stop => return false,
        }
        true
    }

    /// Does what the scheduler decides until it has nothing more to do now.
    async fn carry_out(&mut self) {
        while let Some(action) = self.scheduler.next(&relay::now()) {
            match action {
                Action::Open(session) => self.open(session),
                Action::Deliver { session, id } => {
                    self.relay.index.update(id, |item| item.active = true);
                    self.command(session, Command::Deliver(id)).await;
                }
                Action::Close(session) => self.command(session, Command::Quit).await,
                Action::GatewayWentDown { kind, reason } => self.gateway_went_down(kind, &reason),
                Action::GatewayCameBack { after, waiting } => {
                    let running = self.relay.running();
                    let gateway = &running.gateway().name;
                    self.relay.log.write(&Line::GatewayUp {
                        gateway,
                        after,
                        waiting,
                    });
                }
                Action::Expire(id) => {
                    let relay = Arc::clone(&self.relay);
                    tokio::spawn(async move { outcome::expire(&relay, id).await });
                }
            }
        }
    }

    fn open(&mut self, session: SessionId) {
        let (sender, commands) = mpsc::channel(1);
        self.sessions.insert(session, sender);
        tokio::spawn(delivery::run(Arc::clone(&self.relay), session, commands));
    }

    async fn command(&mut self, session: SessionId, command: Command) {
        // A session takes one command at a time and reports before the next, so there is room. One
        // that is gone has reported its end, which is in the inbox.
        if let Some(sender) = self.sessions.get(&session) {
            let _ = sender.send(command).await;
        }
    }

    fn gateway_went_down(&mut self, kind: TroubleKind, reason: &str) {
        let running = self.relay.running();
        self.relay.log.write(&Line::GatewayDown {
            gateway: &running.gateway().name,
            reason,
        });
        if kind == TroubleKind::Auth {
            self.refused_password = Some(delivery::password_stamp(running.gateway()));
        }
        self.put_off(
            self.relay
                .index
                .ids_where(|item| !item.active && item.meta.queue == Queue::Incoming),
        );
    }

    /// Moves entries that wait for the gateway to `deferred`, so that what counts files sees them
    /// there, and logs each once.
    fn put_off(&self, ids: Vec<QueueId>) {
        let Circuit::Down { kind, reason, .. } = self.scheduler.circuit() else {
            return;
        };
        let (relay, kind, reason) = (Arc::clone(&self.relay), *kind, reason.clone());
        tokio::spawn(async move { outcome::put_off(&relay, ids, kind, &reason).await });
    }

    fn gateway_state(&self) -> GatewayState {
        let down = match self.scheduler.circuit() {
            Circuit::Down { reason, .. } => Some(reason.clone()),
            Circuit::Closed => None,
        };
        GatewayState {
            down,
            summary: self.scheduler.summary(),
        }
    }

    /// A password file that was replaced after the refusal is as good as changed settings.
    fn look_at_password(&mut self) {
        let Some(refused) = &self.refused_password else {
            return;
        };
        let running = self.relay.running();
        if delivery::password_stamp(running.gateway()) != *refused {
            self.refused_password = None;
            self.scheduler.settings_changed(&relay::now());
        }
    }

    /// Lets transactions under way finish and says goodbye to the gateway, within a bound.
    async fn stop(mut self) {
        for sender in self.sessions.values() {
            // One that is busy finds its channel closed afterwards.
            let _ = sender.try_send(Command::Quit);
        }
        let open: Vec<SessionId> = self.sessions.drain().map(|(session, _)| session).collect();
        let mut left = open.len();
        let ended = async {
            while left > 0 {
                match self.inbox.recv().await {
                    Some(Event::SessionClosed(_) | Event::SessionFailed(..)) => left -= 1,
                    Some(Event::AttemptEnded { end, .. }) if !end.session_alive => left -= 1,
                    Some(_) => {}
                    None => break,
                }
            }
        };
        if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
            self.relay.log.warn(&format!(
                "stopping with {left} transactions unfinished; their messages are found uncertain at the next start"
            ));
        }
    }
}

fn limits(running: &Running) -> Limits {
    Limits {
        max_connections: running.gateway().max_connections,
        queue_lifetime: running.settings.queue_lifetime,
        ..Limits::default()
    }
}
