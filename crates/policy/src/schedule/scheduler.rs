//! The scheduler itself: facts in, decisions out. The parts that it is made of are its siblings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mail::QueueId;

use super::backoff::spread;
use super::circuit::Waker;
use super::facts::{
    Action, AttemptEnd, AttemptOutcome, Flush, GatewayTrouble, MessageState, Now, Queued,
    SessionId, Summary, TroubleKind,
};
use super::gateway::{Gateway, Step};
use super::limits::Limits;
use super::lines::Lines;
use super::messages::{Message, Place, micros};
use super::route::GatewayId;

/// Messages found deferred at start are tried within this time, spread evenly, so that a restart
/// is not a storm.
const RESTART_SPREAD: Duration = Duration::from_secs(300);

/// Decides what a relay does next. See the module's head for what it keeps.
///
/// After each fact, call [`Scheduler::next`] until it returns `None`, then sleep until the next
/// fact or [`Scheduler::wake_at`]. Facts about unknown sessions or messages are ignored: they are
/// late answers about something that was removed meanwhile.
///
/// Every fact and every decision costs O(log n) for n messages, times the number of gateways. Three
/// things cost O(n log n): [`Scheduler::flush`] of everything, a change of the lifetime in
/// [`Scheduler::set_limits`], and that a gateway goes out or comes back.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) limits: Limits,
    pub(super) gateways: BTreeMap<GatewayId, Gateway>,
    pub(super) messages: BTreeMap<QueueId, Message>,
    pub(super) lines: Lines,
    /// Waiting messages by the time of their next attempt.
    pub(super) timers: BTreeSet<(u64, QueueId)>,
    /// Messages by the time at which they may be too old.
    pub(super) expiries: BTreeSet<(u64, QueueId)>,
    /// Our own disk failed: nothing is begun before this monotonic time.
    pub(super) stalled_until: Option<Duration>,
    pub(super) held: usize,
    pub(super) active: usize,
    /// The number of the session that was opened last.
    last_session: u64,
}

impl Scheduler {
    /// An empty queue and no gateway: [`Scheduler::set_gateways`] names them.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            gateways: BTreeMap::new(),
            messages: BTreeMap::new(),
            lines: Lines::default(),
            timers: BTreeSet::new(),
            expiries: BTreeSet::new(),
            stalled_until: None,
            held: 0,
            active: 0,
            last_session: 0,
        }
    }

    /// Other limits hold from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        let lifetime_changed = limits.queue_lifetime != self.limits.queue_lifetime;
        self.limits = limits;
        if lifetime_changed {
            let ids: Vec<QueueId> = self.expiries.iter().map(|&(_, id)| id).collect();
            for id in ids {
                self.plan_expiry(id, 0);
            }
        }
    }

    /// A message was accepted, or was found on disk at start. One already known stays as it is.
    ///
    /// A new message is ready at once. One found uncertain waits from now on as if its attempt had
    /// just ended; one found deferred is tried within five minutes.
    pub fn queued(&mut self, now: &Now, queued: Queued) {
        if self.messages.contains_key(&queued.id) {
            return;
        }
        let id = queued.id;
        let message = Message::new(now, &queued);
        let arrival = message.arrival;
        self.messages.insert(id, message);
        self.held += 1;
        if queued.held {
            return;
        }
        if queued.uncertain.is_some() {
            let pause = self
                .limits
                .uncertain
                .jittered(queued.attempts.max(1), id.number());
            self.put(
                id,
                Place::Waiting {
                    until: micros(now.mono + pause),
                },
            );
        } else if queued.attempts > 0 {
            let pause = spread(RESTART_SPREAD, id.number());
            self.put(
                id,
                Place::Waiting {
                    until: micros(now.mono + pause),
                },
            );
        } else {
            self.put(id, Place::Ready { rank: arrival });
        }
        self.plan_expiry(id, micros(now.mono));
    }

    /// An opened session is connected, secure and authenticated.
    pub fn session_ready(&mut self, now: &Now, session: SessionId) {
        if let Some(gateway) = self.gateways.get_mut(&session.gateway()) {
            gateway.session_ready(now.mono, session);
        }
    }

    /// A session failed before a transaction was begun on it, or while it was idle.
    pub fn session_failed(&mut self, now: &Now, session: SessionId, trouble: GatewayTrouble) {
        if let Some(id) = self.message_on(session) {
            let outcome = AttemptOutcome::GatewayDown(trouble);
            return self.attempt_ended(
                now,
                session,
                id,
                AttemptEnd {
                    outcome,
                    session_alive: false,
                },
            );
        }
        if let Some(gateway) = self.gateways.get_mut(&session.gateway()) {
            gateway.session_failed(now.mono, session, &trouble);
        }
    }

    /// A session ended without fault: it was told to, or the gateway closed it while it was idle.
    pub fn session_closed(&mut self, now: &Now, session: SessionId) {
        if self.message_on(session).is_some() {
            let trouble = GatewayTrouble::new(
                TroubleKind::Unreachable,
                "connection closed in a transaction",
            );
            return self.session_failed(now, session, trouble);
        }
        if let Some(gateway) = self.gateways.get_mut(&session.gateway()) {
            gateway.session_closed(now.mono, session);
        }
    }

    /// The attempt of a message on a session is over, and its outcome is recorded.
    pub fn attempt_ended(&mut self, now: &Now, session: SessionId, id: QueueId, end: AttemptEnd) {
        if self.message_on(session) != Some(id) {
            return;
        }
        if self
            .messages
            .get(&id)
            .is_some_and(|message| message.place == Place::Active { session })
        {
            self.settle(now, session, id, &end);
        }
        let waiting = self.waiting_for(session.gateway());
        if let Some(gateway) = self.gateways.get_mut(&session.gateway()) {
            gateway.attempt_ended(now.mono, session, &end, waiting);
        }
    }

    /// Breaks waits, as the flush says.
    pub fn flush(&mut self, now: &Now, flush: Flush) {
        match flush {
            Flush::All | Flush::ByUser => {
                for (_, id) in std::mem::take(&mut self.timers) {
                    self.make_ready(id);
                }
            }
            Flush::Id(id) => {
                if self
                    .messages
                    .get(&id)
                    .is_some_and(|message| matches!(message.place, Place::Waiting { .. }))
                {
                    self.make_ready(id);
                }
            }
        }
        let by = match flush {
            Flush::All => Waker::Admin,
            Flush::ByUser | Flush::Id(_) => Waker::User,
        };
        for gateway in self.gateways.values_mut() {
            gateway.flush(now.mono, by);
        }
    }

    /// Holds a message: at once, or as soon as its attempt is over if that leaves anything to do.
    pub fn hold(&mut self, id: QueueId) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        if matches!(message.place, Place::Active { .. }) {
            message.hold = true;
        } else {
            self.put(id, Place::Held);
            self.cancel_expiry(id);
        }
    }

    /// Releases a held message: it is ready at once.
    pub fn release(&mut self, now: &Now, id: QueueId) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        message.hold = false;
        if message.place == Place::Held {
            self.make_ready(id);
            self.plan_expiry(id, micros(now.mono));
        }
    }

    /// Forgets a message. If it is in a transaction, that goes on; its end concerns the session only.
    pub fn remove(&mut self, id: QueueId) {
        self.unfile(id);
        self.cancel_expiry(id);
        self.messages.remove(&id);
    }

    /// The next thing to do; `None` when there is nothing until a fact or [`Scheduler::wake_at`].
    pub fn next(&mut self, now: &Now) -> Option<Action> {
        self.release_due(now);
        self.stalled_until.take_if(|until| *until <= now.mono);
        if let Some(news) = self.news(now.mono) {
            return Some(news);
        }
        self.review_gateways(now.mono);
        if let Some(id) = self.next_expired(now) {
            self.remove(id);
            return Some(Action::Expire(id));
        }
        let (gateway, step) = self.next_step(now.mono)?;
        Some(match step {
            Step::Open => Action::Open(self.open(now.mono, gateway)),
            Step::Close(session) => Action::Close(session),
            Step::Use(session) => {
                let id = self.next_message(gateway)?;
                self.start(now.mono, id, session);
                Action::Deliver { session, id }
            }
        })
    }

    /// Begins a session with this gateway.
    fn open(&mut self, now: Duration, gateway: GatewayId) -> SessionId {
        self.last_session += 1;
        let session = SessionId::new(gateway, self.last_session);
        if let Some(gateway) = self.gateways.get_mut(&gateway) {
            gateway.open(now, session);
        }
        session
    }

    /// Monotonic time at which to ask [`Scheduler::next`] again if no fact comes before. Valid
    /// after `next` has returned `None` for this `now`, and then later than it.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|&(at, _)| at);
        let expiry = self.expiries.first().map(|&(at, _)| at);
        let times = timer.into_iter().chain(expiry);
        let gateways = self.gateways.iter();
        let gateways = gateways.filter_map(|(id, gateway)| gateway.wake_at(self.waiting(*id)));
        times
            .map(Duration::from_micros)
            .chain(gateways)
            .chain(self.stalled_until)
            .min()
    }

    /// Where a message stands; `None` if it is unknown.
    #[must_use]
    pub fn state_of(&self, id: QueueId) -> Option<MessageState> {
        Some(match self.messages.get(&id)?.place {
            Place::Ready { .. } => MessageState::Ready,
            Place::Waiting { until } => MessageState::Waiting {
                until: Duration::from_micros(until),
            },
            Place::Active { .. } => MessageState::Active,
            Place::Held => MessageState::Held,
        })
    }

    /// How many messages there are of each kind.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            messages: self.messages.len(),
            ready: self.lines.len(),
            waiting: self.timers.len(),
            active: self.active,
            held: self.held,
            sessions: self.sessions(),
            stranded: self.stranded(),
            expiries: self.expiries.len(),
        }
    }
}
