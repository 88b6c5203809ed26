//! One gateway: its circuit, its brake and its sessions, and what to do with them next.

use std::collections::VecDeque;
use std::time::Duration;

use mail::QueueId;

use super::brake::Brake;
use super::circuit::Circuit;
use super::facts::{Action, AttemptEnd, AttemptOutcome, GatewayTrouble, SessionId, TroubleKind};
use super::limits::GatewayLimits;
use super::route::{GatewayId, Out};
use super::sessions::{Phase, Session, Sessions};

/// What the gateway's side wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One more session; [`Gateway::open`] names it.
    Open,
    Close(SessionId),
    /// This idle session takes the next message in line.
    Use(SessionId),
}

/// The gateway refused our password, and until when asking again would be too soon. No session is
/// opened before, whatever else happens: not by a probe, not because another session ended.
#[derive(Debug)]
struct Refusal {
    trouble: GatewayTrouble,
    until: Duration,
}

/// The state of one gateway. Where a number of `ready` messages is asked for, those are meant that
/// it could be given now.
#[derive(Debug)]
pub(super) struct Gateway {
    id: GatewayId,
    limits: GatewayLimits,
    /// An admin wants nothing sent through it.
    pub(super) paused: bool,
    /// The settings have it no more; it is forgotten once its sessions have ended.
    gone: bool,
    /// Why mail passes it, as of the last [`Gateway::review`].
    out: Option<Out>,
    /// Transactions that it answered to the end; wraps. Only compared for equality.
    answered: u16,
    circuit: Circuit,
    brake: Option<Brake>,
    refusal: Option<Refusal>,
    sessions: Sessions,
    /// The one session that asks whether a gateway that is down is back.
    probe: Option<SessionId>,
    /// What is to be announced; a pair for each outage at most, as the caller drains it.
    news: VecDeque<Action>,
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
            circuit: Circuit::Closed,
            brake: None,
            refusal: None,
            sessions: Sessions::default(),
            probe: None,
            news: VecDeque::new(),
        }
    }

    /// It allows this from now on.
    pub(super) fn set_limits(&mut self, _now: Duration, limits: GatewayLimits) {
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
        let out = (down || self.is_shut()).then_some(Out::Down);
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

    /// Breaks the waits of circuit and brake.
    pub(super) fn flush(&mut self, now: Duration, password_too: bool) {
        self.circuit.probe_now(now, password_too);
        self.brake = None;
        if password_too {
            self.refusal = None;
        }
    }

    /// What to do now; to be asked until `None`.
    pub(super) fn step(&mut self, now: Duration, ready: usize) -> Option<Step> {
        if let Some(id) = self.surplus() {
            return Some(self.close(id));
        }
        if self.is_shut() {
            return None;
        }
        if ready > 0
            && let Some(id) = self.usable()
        {
            return Some(Step::Use(id));
        }
        if let Some((since, id)) = self.sessions.oldest_idle()
            && since + self.limits.idle_close <= now
        {
            return Some(self.close(id));
        }
        let opens = self.opens_at(ready).is_some_and(|at| at <= now);
        opens.then_some(Step::Open)
    }

    /// Begins the session that [`Step::Open`] asked for.
    pub(super) fn open(&mut self, now: Duration, id: SessionId) {
        self.sessions.open(now, id);
        if self.circuit.is_down() {
            self.probe = Some(id);
        }
    }

    /// Marks the session that [`Step::Use`] named as busy.
    pub(super) fn assign(&mut self, session: SessionId, id: QueueId) {
        self.sessions.set_phase(session, Phase::Busy(id));
    }

    /// When [`Gateway::step`] or [`Gateway::review`] may have something to say although nothing
    /// happens.
    pub(super) fn wake_at(&self, ready: usize) -> Option<Duration> {
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
        [idle, out, self.opens_at(ready)]
            .into_iter()
            .flatten()
            .min()
    }

    /// A transaction came to its end: the gateway works.
    fn worked(&mut self, now: Duration, id: SessionId, ready: usize) {
        self.sessions.prove(id);
        if self.probe == Some(id) {
            self.come_back(now, ready);
        }
    }

    /// The gateway itself said, in a transaction, that it takes nothing: down, whatever else lives.
    fn parked(&mut self, now: Duration, id: SessionId, trouble: &GatewayTrouble) {
        self.note_refusal(now, trouble);
        if self.circuit.is_down() {
            self.fail(now, id, now, trouble);
        } else {
            self.go_down(now, now, trouble);
        }
    }

    /// A session ended by a fault.
    fn session_lost(
        &mut self,
        now: Duration,
        id: SessionId,
        session: &Session,
        trouble: &GatewayTrouble,
    ) {
        // A session that has worked may be closed for being idle or for having had its share. The
        // next connect tells whether it is more than that.
        let passing = matches!(
            trouble.kind,
            TroubleKind::Unreachable | TroubleKind::Refused4xx
        );
        if session.proven && passing && !self.circuit.is_down() {
            return;
        }
        if session.phase == Phase::Opening {
            return self.fail(now, id, session.opened, trouble);
        }
        if self.probe == Some(id) && trouble.kind == TroubleKind::Unreachable {
            // It let the probe in and then broke off: that is a refusal, asked at a slower pace.
            let kind = TroubleKind::Refused4xx;
            return self.fail(
                now,
                id,
                now,
                &GatewayTrouble {
                    kind,
                    ..trouble.clone()
                },
            );
        }
        self.fail(now, id, now, trouble);
    }

    /// A failure of a session that is gone or will be closed: a limit if others live, else an outage.
    fn fail(&mut self, now: Duration, id: SessionId, started: Duration, trouble: &GatewayTrouble) {
        let was_probe = self.probe.take_if(|probe| *probe == id).is_some();
        self.note_refusal(now, trouble);
        if self.circuit.is_down() {
            if was_probe {
                self.circuit.fail(now, started, trouble);
            }
        } else if self.sessions.alive() + self.sessions.opening() > 0 {
            let working = self.sessions.alive() + self.sessions.opening();
            self.brake = Some(Brake::new(now, working, self.brake.as_ref()));
        } else {
            self.remember_refusal(now);
            if !self.circuit.is_down() {
                self.go_down(now, started, trouble);
            }
        }
    }

    fn go_down(&mut self, now: Duration, started: Duration, trouble: &GatewayTrouble) {
        self.circuit.fail(now, started, trouble);
        self.announce_down(trouble);
    }

    fn announce_down(&mut self, trouble: &GatewayTrouble) {
        self.brake = None;
        self.probe = None;
        self.news.push_back(Action::GatewayWentDown {
            gateway: self.id,
            kind: trouble.kind,
            reason: trouble.bounded_reason(),
        });
    }

    fn come_back(&mut self, now: Duration, ready: usize) {
        self.probe = None;
        if let Some(after) = self.circuit.close(now) {
            self.news.push_back(Action::GatewayCameBack {
                gateway: self.id,
                after,
                waiting: ready,
            });
        }
    }

    fn note_refusal(&mut self, now: Duration, trouble: &GatewayTrouble) {
        if trouble.kind == TroubleKind::Auth {
            let reason = trouble.bounded_reason();
            let until = now + trouble.kind.pace().first;
            let trouble = GatewayTrouble {
                reason,
                ..trouble.clone()
            };
            self.refusal = Some(Refusal { trouble, until });
        }
    }

    /// A new session's password was refused while older sessions lived. When the last of them is
    /// gone, the refusal still stands, and the gateway is down.
    fn remember_refusal(&mut self, now: Duration) {
        if self.circuit.is_down() || self.sessions.alive() + self.sessions.opening() > 0 {
            return;
        }
        if let Some(Refusal { trouble, until }) =
            self.refusal.take_if(|refusal| now < refusal.until)
        {
            self.circuit.open_until(now, until, &trouble);
            self.announce_down(&trouble);
            self.refusal = Some(Refusal { trouble, until });
        }
    }

    /// A probe that got through and finds nothing left to deliver has shown enough.
    fn settle_probe(&mut self, now: Duration, ready: usize) {
        let is_idle = |id| {
            self.sessions
                .get(id)
                .is_some_and(|s| matches!(s.phase, Phase::Idle(_)))
        };
        if ready == 0 && self.probe.is_some_and(is_idle) {
            self.come_back(now, ready);
        }
    }

    /// An idle session that must go: the gateway is shut, or down and it is not the probe, or the cap
    /// fell.
    fn surplus(&self) -> Option<SessionId> {
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

    /// When one more session may be opened, if nothing else happens: zero for at once, `None` if only
    /// an event helps.
    fn opens_at(&self, ready: usize) -> Option<Duration> {
        let allowed = self.opens_unrefused_at(ready)?;
        let refused = self.refusal.as_ref().map(|refusal| refusal.until);
        Some(allowed.max(refused.unwrap_or_default()))
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

    /// The most sessions that the settings allow.
    fn cap(&self) -> u32 {
        self.limits.max_connections.max(1)
    }
}

/// Content was sent and no answer came. If that is all that the gateway ever does, mail must not go
/// into doubt at full speed: it counts as a refusal, which is asked at a slower pace.
fn answer_lost() -> GatewayTrouble {
    GatewayTrouble::new(
        TroubleKind::Refused4xx,
        "the answer to a message's content was lost",
    )
}
