//! The invariants about one gateway's sessions and circuit: the cap, one probe at a time and at its
//! pace, mail soon after the gateway's return (I6).

use policy::schedule::{Circuit, GatewayId, SessionId, TroubleKind};

use super::driver::{Relay, Session, Stage, is_down};
use super::plan::{HOUR, MILLI, MINUTE, Micros, SECOND};
use super::world::{Broken, Intervention};

/// No further session is opened for this long after one was refused while others lived.
const LIMIT_PAUSE: Micros = 30 * SECOND;

/// The least pause after a call for less.
const SLOW_MIN: Micros = 50 * MILLI;
/// It may be longer than that, and longer with every call.
const SLOWED_FOR: Micros = 2 * HOUR;

/// A session without work lives so long.
const IDLE_CLOSE: Micros = 5 * SECOND;

/// What is watched of one gateway from step to step.
#[derive(Debug, Default)]
pub(super) struct Checks {
    is_down: bool,
    /// The latest failure of any session.
    last_failure: Option<(Micros, TroubleKind)>,
    /// The failure that decides when the next probe may go.
    probe_failure: Option<(Micros, TroubleKind)>,
    /// When the gateway refused the password last, as far as this run of the relay knows.
    password_refused: Option<Micros>,
    /// A gateway that came back and has been given nothing yet.
    pending_return: Option<u64>,
    returns: u64,
    /// When a session was refused while so many others lived.
    limit: Option<(Micros, usize)>,
    /// When the gateway called for less.
    slowed: Option<Micros>,
}

impl Checks {
    pub(super) fn crashed(&mut self) {
        *self = Self {
            returns: self.returns,
            ..Self::default()
        };
    }

    /// The scheduler had forgotten the gateway and begins with a closed circuit.
    pub(super) const fn knows_anew(&mut self) {
        self.is_down = false;
        self.probe_failure = None;
    }

    pub(super) fn went_down(&mut self) -> Result<(), Broken> {
        self.probe_failure = self.last_failure;
        self.limit = None;
        self.change_circuit(true)
    }

    pub(super) fn came_back(&mut self) -> Result<(), Broken> {
        self.probe_failure = None;
        self.change_circuit(false)
    }

    /// A session fails before a transaction.
    pub(super) const fn session_failed(&mut self, now: Micros, kind: TroubleKind, probe: bool) {
        self.last_failure = Some((now, kind));
        if probe && self.is_down {
            self.probe_failure = self.last_failure;
        }
    }

    /// A session that was being opened failed, and is gone. If others live, that is a limit.
    pub(super) fn session_refused(&mut self, now: Micros, id: GatewayId, relay: &Relay) {
        let others = open_sessions(relay, id);
        if others > 0 && !self.is_down {
            self.limit = Some((now, others));
        }
    }

    /// The scheduler opens a session.
    pub(super) fn opens(
        &self,
        now: Micros,
        id: GatewayId,
        most: u32,
        relay: &Relay,
    ) -> Result<(), Broken> {
        let sessions = sessions(relay, id).count();
        if sessions >= most as usize {
            return Err(format!(
                "cap: a session is opened while {sessions} of {most} exist"
            ));
        }
        let waiting = |summary: policy::schedule::GatewaySummary| summary.ready + summary.passed;
        if relay
            .scheduler
            .gateway(id)
            .is_none_or(|it| waiting(it) == 0)
        {
            return Err("sessions: one is opened although nothing waits for it".into());
        }
        if is_down(relay, id) {
            return self.opens_probe(now, id, relay);
        }
        if let Some((at, others)) = self.limit
            && now < at + LIMIT_PAUSE
            && open_sessions(relay, id) >= others
        {
            return Err(format!(
                "cap: another session {} us after one was refused while {others} lived",
                now - at
            ));
        }
        Ok(())
    }

    fn opens_probe(&self, now: Micros, id: GatewayId, relay: &Relay) -> Result<(), Broken> {
        let probing = |session: &Session| session.probe && session.stage != Stage::Closing;
        if sessions(relay, id).any(probing) {
            return Err("I6: a second probe while one is under way".into());
        }
        match self.probe_failure {
            Some((at, kind)) if now < at + pause(kind) => Err(format!(
                "I6: a probe {} us after the last one failed by {kind:?}",
                now - at
            )),
            _ => Ok(()),
        }
    }

    /// A session without work is closed in time.
    pub(super) fn idle_sessions(&self, now: Micros, relay: &Relay) -> Result<(), Broken> {
        let late = |session: &Session| matches!(session.stage, Stage::Idle(since) if now >= since + IDLE_CLOSE);
        match relay.sessions.iter().find(|(_, session)| late(session)) {
            Some((id, _)) => Err(format!("sessions: {} is idle and stays open", id.number())),
            None => Ok(()),
        }
    }

    /// The gateway refuses the password of a session opened at a given time.
    pub(super) fn password_refused(&mut self, now: Micros, opened: Micros) -> Result<(), Broken> {
        let last = self.password_refused.replace(now);
        match last {
            Some(last) if opened > last && opened - last < pause(TroubleKind::Auth) => {
                Err(format!(
                    "I6: a refused password is tried again after {} us",
                    opened - last
                ))
            }
            _ => Ok(()),
        }
    }

    /// The gateway calls for less.
    pub(super) const fn calls_for_less(&mut self, now: Micros) {
        self.slowed = Some(now);
    }

    /// It did not long ago.
    pub(super) fn was_slowed(&self, now: Micros) -> bool {
        self.slowed.is_some_and(|at| now < at + SLOWED_FOR)
    }

    /// An attempt begins: not at once after the gateway called for less.
    pub(super) fn begins(&self, now: Micros) -> Result<(), Broken> {
        match self.slowed {
            Some(at) if now < at + SLOW_MIN => Err(format!(
                "slow: mail goes {} us after the gateway called for less",
                now - at
            )),
            _ => Ok(()),
        }
    }

    /// The gateway refused the password not long ago, so that no session may be opened.
    pub(super) fn password_is_refused(&self, now: Micros) -> bool {
        let last = self.password_refused;
        last.is_some_and(|last| now < last + pause(TroubleKind::Auth))
    }

    pub(super) fn waits_were_broken(&mut self, by: Intervention) {
        let (any, password_too) = match by {
            Intervention::FlushAll | Intervention::Settings(_) | Intervention::Gone(..) => {
                (true, true)
            }
            Intervention::FlushByUser | Intervention::FlushOne => (true, false),
            Intervention::Hold
            | Intervention::Release
            | Intervention::Remove
            | Intervention::Pause(..) => (false, false),
        };
        let is_password = self
            .probe_failure
            .is_some_and(|(_, kind)| kind == TroubleKind::Auth);
        if password_too || (any && !is_password) {
            self.probe_failure = None;
        }
        if password_too {
            self.password_refused = None;
        }
        if any {
            self.limit = None;
        }
        // Mail may have left the line, so that nothing is due.
        self.pending_return = None;
    }

    /// An attempt begins: on the probe only, if the gateway is down.
    pub(super) fn delivers(id: u64, session: SessionId, relay: &Relay) -> Result<(), Broken> {
        if is_down(relay, session.gateway()) && !relay.sessions[&session].probe {
            return Err(format!(
                "I6: message {id} goes to a gateway that is down, and not by the probe"
            ));
        }
        Ok(())
    }

    pub(super) const fn weather_changed(&mut self) {
        self.pending_return = None;
    }

    /// The gateway answered a transaction, or mail left the line otherwise.
    pub(super) const fn something_went(&mut self) {
        self.pending_return = None;
    }

    /// The gateway is back. If mail waits for it and the way is free, the first must go in time.
    pub(super) fn returned(&mut self, id: GatewayId, relay: &Relay) -> Option<u64> {
        let unreachable = matches!(
            relay.scheduler.circuit(id),
            Some(Circuit::Down {
                kind: TroubleKind::Unreachable,
                ..
            })
        );
        let free = sessions(relay, id).all(|session| session.stage == Stage::Connecting);
        let ready = relay.scheduler.gateway(id).map_or(0, |it| it.ready);
        if !unreachable || !free || ready == 0 {
            return None;
        }
        self.returns += 1;
        self.pending_return = Some(self.returns);
        Some(self.returns)
    }

    pub(super) fn return_is_due(&self, token: u64) -> Result<(), Broken> {
        if self.pending_return == Some(token) {
            return Err("I6: the gateway has been back for 6 s and was given nothing".into());
        }
        Ok(())
    }

    fn change_circuit(&mut self, down: bool) -> Result<(), Broken> {
        if self.is_down == down {
            return Err(format!("I6: the circuit is told twice to be down: {down}"));
        }
        self.is_down = down;
        Ok(())
    }
}

fn sessions(relay: &Relay, id: GatewayId) -> impl Iterator<Item = &Session> {
    let all = relay.sessions.iter();
    all.filter(move |(session, _)| session.gateway() == id)
        .map(|(_, session)| session)
}

/// Sessions that are not about to end.
fn open_sessions(relay: &Relay, id: GatewayId) -> usize {
    sessions(relay, id)
        .filter(|session| session.stage != Stage::Closing)
        .count()
}

/// The least pause after a failed probe.
const fn pause(kind: TroubleKind) -> Micros {
    match kind {
        TroubleKind::Unreachable => SECOND,
        TroubleKind::Refused4xx
        | TroubleKind::Refused5xx
        | TroubleKind::Tls
        | TroubleKind::NoAuth => 5 * SECOND,
        TroubleKind::Auth => 30 * MINUTE,
    }
}
