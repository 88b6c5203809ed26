//! One gateway: its circuit, its brake and its sessions, and what to do with them next.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use mail::QueueId;

use super::brake::Brake;
use super::circuit::Circuit;
use super::facts::{Action, AttemptEnd, AttemptOutcome, GatewayTrouble, SessionId, TroubleKind};
use super::limits::GatewayLimits;
use super::outage::{Refusal, answer_lost};
use super::pace::Pace;
use super::route::{GatewayId, Out};
use super::sessions::{Phase, Sessions};

/// What the gateway's side wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One more session; [`Gateway::open`] names it.
    Open,
    Close(SessionId),
    /// This idle session takes the next message in line.
    Use(SessionId),
}

/// What could be given to a gateway now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Messages.
    pub(super) ready: usize,
    /// Recipients of the one whose turn it is.
    pub(super) recipients: u32,
}

/// The state of one gateway: what it is asked to do. What its faults mean is `outage`'s part.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) id: GatewayId,
    pub(super) limits: GatewayLimits,
    /// An admin wants nothing sent through it.
    pub(super) paused: bool,
    /// The settings have it no more; it may come back.
    gone: bool,
    /// Why mail passes it, as of the last [`Gateway::review`].
    out: Option<Out>,
    /// Transactions that it answered to the end; wraps. Only compared for equality.
    answered: u16,
    pub(super) pace: Pace,
    pub(super) circuit: Circuit,
    pub(super) brake: Option<Brake>,
    /// After an outage: so many sessions, one more with each answer.
    pub(super) ramp: Option<u32>,
    pub(super) refusal: Option<Refusal>,
    pub(super) sessions: Sessions,
    /// The one session that asks whether a gateway that is down is back.
    pub(super) probe: Option<SessionId>,
    /// What is to be announced; a pair for each outage at most, as the caller drains it.
    pub(super) news: VecDeque<Action>,
}

impl Gateway {
    /// One that was not asked yet.
    pub(super) fn new(id: GatewayId) -> Self {
        Self {
            id,
            limits: GatewayLimits::default(),
            paused: false,
            gone: false,
            out: None,
            answered: 0,
            pace: Pace::default(),
            circuit: Circuit::Closed,
            brake: None,
            ramp: None,
            refusal: None,
            sessions: Sessions::default(),
            probe: None,
            news: VecDeque::new(),
        }
    }

    /// It allows this from now on.
    pub(super) fn set_limits(&mut self, now: Duration, limits: GatewayLimits) {
        self.pace
            .set_rate(now, limits.rate, limits.max_connections.max(1));
        self.limits = limits;
    }

    /// The settings have it, or have it no more.
    pub(super) const fn set_gone(&mut self, gone: bool) {
        self.gone = gone;
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Why mail passes it now.
    pub(super) const fn out(&self) -> Option<Out> {
        self.out
    }

    pub(super) const fn answered(&self) -> u16 {
        self.answered
    }

    /// Finds out whether mail is to pass it. True if that has changed.
    pub(super) fn review(&mut self, now: Duration) -> bool {
        let down = self.goes_out_at().is_some_and(|at| at <= now);
        let out = if self.is_shut() {
            Some(Out::Down)
        } else if self.circuit.is_spent() {
            Some(Out::Spent)
        } else {
            down.then_some(Out::Down)
        };
        std::mem::replace(&mut self.out, out) != out
    }

    /// When mail will pass it if it stays down.
    fn goes_out_at(&self) -> Option<Duration> {
        let since = self.circuit.since()?;
        Some(since.saturating_add(self.limits.fallback_after))
    }

    /// Nothing is to be begun with it, whatever it would take.
    const fn is_shut(&self) -> bool {
        self.paused || self.gone
    }

    pub(super) const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    pub(super) fn sessions(&self) -> u32 {
        self.sessions.total()
    }

    /// What is to be announced, `ready` messages being in line.
    pub(super) fn news(&mut self, now: Duration, ready: usize) -> Option<Action> {
        self.settle_probe(now, ready);
        self.news.pop_front()
    }

    /// The session is connected, secure and authenticated.
    pub(super) fn session_ready(&mut self, now: Duration, id: SessionId) {
        if self
            .sessions
            .get(id)
            .is_some_and(|session| session.phase == Phase::Opening)
        {
            self.sessions.set_phase(id, Phase::Idle(now));
        }
    }

    /// The session failed outside a transaction.
    pub(super) fn session_failed(
        &mut self,
        now: Duration,
        id: SessionId,
        trouble: &GatewayTrouble,
    ) {
        let Some(session) = self.sessions.remove(id) else {
            return;
        };
        if session.phase != Phase::Closing {
            self.session_lost(now, id, &session, trouble);
            self.remember_refusal(now);
        }
    }

    /// The session ended without a fault.
    pub(super) fn session_closed(&mut self, now: Duration, id: SessionId) {
        let Some(session) = self.sessions.remove(id) else {
            return;
        };
        let is_probe = self.probe == Some(id) && session.phase != Phase::Closing;
        if is_probe || session.phase == Phase::Opening {
            let trouble = GatewayTrouble::new(
                TroubleKind::Unreachable,
                "connection closed before its first transaction",
            );
            self.session_lost(now, id, &session, &trouble);
        }
        self.remember_refusal(now);
    }

    /// The message in transaction on a session.
    pub(super) fn message_on(&self, session: SessionId) -> Option<QueueId> {
        match self.sessions.get(session)?.phase {
            Phase::Busy(id) => Some(id),
            _ => None,
        }
    }

    /// Whether this session has worked before: its death alone says nothing about the gateway.
    pub(super) fn is_proven(&self, session: SessionId) -> bool {
        self.sessions.get(session).is_some_and(|s| s.proven)
    }

    /// A transaction ended. `ready` counts the messages in line, this one included if it is back.
    pub(super) fn attempt_ended(
        &mut self,
        now: Duration,
        id: SessionId,
        end: &AttemptEnd,
        ready: usize,
    ) {
        let Some(session) = self.sessions.get(id).copied() else {
            return;
        };
        self.pace.end(now, session.cost);
        // Where an answer is missing, the next one could be taken for it.
        if end.session_alive && end.outcome != AttemptOutcome::Uncertain {
            self.sessions.set_phase(id, Phase::Idle(now));
        } else {
            self.sessions.remove(id);
        }
        match &end.outcome {
            AttemptOutcome::Finished | AttemptOutcome::Partial | AttemptOutcome::Deferred => {
                self.answered = self.answered.wrapping_add(1);
                self.worked(now, id, ready);
            }
            AttemptOutcome::NotStarted if end.session_alive => {}
            // Our own fault, and the session had to be dropped: it says nothing about the gateway.
            AttemptOutcome::NotStarted => _ = self.probe.take_if(|probe| *probe == id),
            AttemptOutcome::Uncertain => self.session_lost(now, id, &session, &answer_lost()),
            AttemptOutcome::GatewayDown(trouble) if end.session_alive => {
                self.parked(now, id, trouble)
            }
            AttemptOutcome::GatewayDown(trouble) => self.session_lost(now, id, &session, trouble),
        }
        self.remember_refusal(now);
    }

    /// What to do now; to be asked until `None`.
    pub(super) fn step(&mut self, now: Duration, waiting: Waiting) -> Option<Step> {
        if let Some(id) = self.surplus() {
            return Some(self.close(id));
        }
        if self.is_shut() {
            return None;
        }
        if self.uses_at(waiting).is_some_and(|at| at <= now)
            && let Some(id) = self.usable()
        {
            return Some(Step::Use(id));
        }
        if let Some((since, id)) = self.sessions.oldest_idle()
            && since + self.limits.idle_close <= now
        {
            return Some(self.close(id));
        }
        let opens = self.opens_at(waiting).is_some_and(|at| at <= now);
        opens.then_some(Step::Open)
    }

    /// Begins the session that [`Step::Open`] asked for.
    pub(super) fn open(&mut self, now: Duration, id: SessionId) {
        self.sessions.open(now, id);
        if self.circuit.is_down() {
            self.probe = Some(id);
        }
    }

    /// The session that [`Step::Use`] named takes this message.
    pub(super) fn assign(
        &mut self,
        now: Duration,
        session: SessionId,
        id: QueueId,
        recipients: u32,
    ) {
        let cost = self.pace.cost(recipients);
        self.pace.begin(now, cost);
        self.sessions.begin(session, id, cost);
    }

    /// When [`Gateway::step`] or [`Gateway::review`] may have something to say although nothing
    /// happens.
    pub(super) fn wake_at(&self, waiting: Waiting) -> Option<Duration> {
        if self.is_shut() {
            return None;
        }
        let idle = self
            .sessions
            .oldest_idle()
            .map(|(since, _)| since + self.limits.idle_close);
        let out = match self.out {
            Some(_) => None,
            None => self.goes_out_at(),
        };
        let uses = self.usable().and_then(|_| self.uses_at(waiting));
        [idle, out, uses, self.opens_at(waiting)]
            .into_iter()
            .flatten()
            .min()
    }

    /// An idle session that must go: the gateway is shut, or down and it is not the probe, or it has had
    /// its share of messages, or the cap fell.
    fn surplus(&self) -> Option<SessionId> {
        let share = self.limits.max_messages_per_connection;
        let share = share.map_or(u32::MAX, NonZeroU32::get);
        let worn = self.sessions.idle().find(|id| {
            let session = self.sessions.get(*id);
            session.is_some_and(|session| session.uses >= share)
        });
        if worn.is_some() {
            return worn;
        }
        if self.is_shut() {
            self.sessions.idle_but(None)
        } else if self.circuit.is_down() {
            self.sessions.idle_but(self.probe)
        } else if self.sessions.total() > self.cap() {
            self.sessions.oldest_idle().map(|(_, id)| id)
        } else {
            None
        }
    }

    /// The idle session that takes the next message. While the circuit is down, only the probe is
    /// idle, as every other one is surplus.
    fn usable(&self) -> Option<SessionId> {
        self.sessions.newest_idle()
    }

    /// When the next message may begin; `None` if there is none, or if one must end first.
    fn uses_at(&self, waiting: Waiting) -> Option<Duration> {
        if waiting.ready == 0 {
            return None;
        }
        self.pace.allows_at(self.pace.cost(waiting.recipients))
    }

    /// When one more session may be opened, if nothing else happens: zero for at once, `None` if only
    /// an event helps.
    fn opens_at(&self, waiting: Waiting) -> Option<Duration> {
        let allowed = self.opens_unrefused_at(waiting.ready)?;
        let refused = self.refusal.as_ref().map(|refusal| refusal.until);
        let paced = self.uses_at(waiting)?;
        Some(allowed.max(refused.unwrap_or_default()).max(paced))
    }

    /// The same without regard to a refused password.
    fn opens_unrefused_at(&self, ready: usize) -> Option<Duration> {
        let opening = self.sessions.opening();
        let wanted = ready > usize::try_from(opening).unwrap_or(usize::MAX);
        if !wanted || self.sessions.total() >= self.cap() {
            return None;
        }
        if let Some(next_probe) = self.circuit.next_probe() {
            return self.probe.is_none().then_some(next_probe);
        }
        if self.sessions.alive() == 0 {
            // The first session finds out for all of them.
            return (opening == 0).then_some(Duration::ZERO);
        }
        Some(self.brake.as_ref().map_or(Duration::ZERO, |brake| {
            brake.allows_more_at(self.sessions.total())
        }))
    }

    fn close(&mut self, id: SessionId) -> Step {
        self.probe.take_if(|probe| *probe == id);
        self.sessions.set_phase(id, Phase::Closing);
        Step::Close(id)
    }

    /// The most sessions that may be open now.
    pub(super) fn cap(&self) -> u32 {
        let most = self.limits.max_connections.max(1);
        self.ramp.map_or(most, |ramp| ramp.min(most))
    }
}
