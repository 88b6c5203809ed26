//! The scheduler itself: facts in, decisions out. The parts that it is made of are its siblings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mail::QueueId;

use super::backoff::spread;
use super::circuit::Circuit;
use super::facts::{
    Action, AttemptEnd, AttemptOutcome, Flush, GatewayTrouble, Limits, MessageState, Now, Queued,
    SessionId, Summary, TroubleKind,
};
use super::fairness::Line;
use super::gateway::{Gateway, Step};
use super::messages::{Message, Place, micros};

/// Messages found deferred at start are tried within this time, spread evenly, so that a restart
/// is not a storm.
const RESTART_SPREAD: Duration = Duration::from_secs(300);

/// Decides what a relay does next. See the module's head for what it keeps.
///
/// After each fact, call [`Scheduler::next`] until it returns `None`, then sleep until the next
/// fact or [`Scheduler::wake_at`]. Facts about unknown sessions or messages are ignored: they are
/// late answers about something that was removed meanwhile.
///
/// Every fact and every decision costs O(log n) for n messages, but [`Scheduler::flush`] of
/// everything and a change of the lifetime in [`Scheduler::set_limits`], which cost O(n log n).
#[derive(Debug)]
pub struct Scheduler {
    pub(super) limits: Limits,
    pub(super) gateway: Gateway,
    pub(super) messages: BTreeMap<QueueId, Message>,
    pub(super) line: Line,
    /// Waiting messages by the time of their next attempt.
    pub(super) timers: BTreeSet<(u64, QueueId)>,
    /// Messages by the time at which they may be too old.
    pub(super) expiries: BTreeSet<(u64, QueueId)>,
    /// Our own disk failed: nothing is begun before this monotonic time.
    pub(super) stalled_until: Option<Duration>,
    pub(super) held: usize,
    pub(super) active: usize,
    /// Transactions that the gateway answered to the end; wraps. Only compared for equality.
    pub(super) answered: u32,
}

impl Scheduler {
    /// An empty queue and a gateway not yet asked.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            gateway: Gateway::default(),
            messages: BTreeMap::new(),
            line: Line::default(),
            timers: BTreeSet::new(),
            expiries: BTreeSet::new(),
            stalled_until: None,
            held: 0,
            active: 0,
            answered: 0,
        }
    }

    /// Other limits hold from now on. Sessions above a lower cap are closed as they become idle.
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
        let origin = self.line.join(&queued.origin);
        let message = Message::new(now, &queued, origin);
        let arrival = message.arrival;
        self.messages.insert(id, message);
        self.held += 1;
        if queued.held {
            return;
        }
        if queued.uncertain {
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
        self.gateway.session_ready(now.mono, session);
    }

    /// A session failed before a transaction was begun on it, or while it was idle.
    pub fn session_failed(&mut self, now: &Now, session: SessionId, trouble: GatewayTrouble) {
        if let Some(id) = self.gateway.message_on(session) {
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
        self.gateway.session_failed(now.mono, session, &trouble);
    }

    /// A session ended without fault: it was told to, or the gateway closed it while it was idle.
    pub fn session_closed(&mut self, now: &Now, session: SessionId) {
        if self.gateway.message_on(session).is_some() {
            let trouble = GatewayTrouble::new(
                TroubleKind::Unreachable,
                "connection closed in a transaction",
            );
            return self.session_failed(now, session, trouble);
        }
        self.gateway.session_closed(now.mono, session);
    }

    /// The attempt of a message on a session is over, and its outcome is recorded.
    pub fn attempt_ended(&mut self, now: &Now, session: SessionId, id: QueueId, end: AttemptEnd) {
        if self.gateway.message_on(session) != Some(id) {
            return;
        }
        if self
            .messages
            .get(&id)
            .is_some_and(|message| message.place == Place::Active { session })
        {
            self.settle(now, session, id, &end);
        }
        if matches!(
            end.outcome,
            AttemptOutcome::Finished | AttemptOutcome::Partial | AttemptOutcome::Deferred
        ) {
            self.answered = self.answered.wrapping_add(1);
        }
        self.gateway
            .attempt_ended(now.mono, session, &end, self.line.len());
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
        self.gateway.flush(now.mono, flush == Flush::All);
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
        if let Some(message) = self.messages.remove(&id) {
            self.line.leave(message.origin);
        }
    }

    /// The settings or secrets changed: the gateway may be asked again at once, whatever it refused.
    pub fn settings_changed(&mut self, now: &Now) {
        self.gateway.flush(now.mono, true);
    }

    /// The next thing to do; `None` when there is nothing until a fact or [`Scheduler::wake_at`].
    pub fn next(&mut self, now: &Now) -> Option<Action> {
        self.release_due(now);
        self.stalled_until.take_if(|until| *until <= now.mono);
        if let Some(news) = self.gateway.news(now.mono, self.line.len()) {
            return Some(news);
        }
        if let Some(id) = self.next_expired(now) {
            self.remove(id);
            return Some(Action::Expire(id));
        }
        match self
            .gateway
            .step(now.mono, self.startable(), &self.limits)?
        {
            Step::Open(session) => Some(Action::Open(session)),
            Step::Close(session) => Some(Action::Close(session)),
            Step::Use(session) => {
                let id = self.line.pop()?;
                self.start(id, session);
                Some(Action::Deliver { session, id })
            }
        }
    }

    /// Monotonic time at which to ask [`Scheduler::next`] again if no fact comes before. Valid
    /// after `next` has returned `None` for this `now`, and then later than it.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let timer = self
            .timers
            .first()
            .map(|&(at, _)| Duration::from_micros(at));
        let expiry = self
            .expiries
            .first()
            .map(|&(at, _)| Duration::from_micros(at));
        let gateway = self.gateway.wake_at(self.startable(), &self.limits);
        [timer, expiry, gateway, self.stalled_until]
            .into_iter()
            .flatten()
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

    /// Whether the gateway takes mail.
    #[must_use]
    pub const fn circuit(&self) -> &Circuit {
        self.gateway.circuit()
    }

    /// How many messages there are of each kind.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            messages: self.messages.len(),
            ready: self.line.len(),
            waiting: self.timers.len(),
            active: self.active,
            held: self.held,
            sessions: usize::try_from(self.gateway.sessions()).unwrap_or(usize::MAX),
            origins: self.line.origins(),
            expiries: self.expiries.len(),
        }
    }
}
