//! What a gateway's faults and returns mean: its circuit goes down and comes back, it is given less, or
//! a session was simply over.

use std::time::Duration;

use super::brake::Brake;
use super::circuit::Waker;
use super::effect::Effect;
use super::facts::{Action, GatewayTrouble, SessionId, TroubleKind};
use super::gateway::Gateway;
use super::sessions::{Phase, Session};

/// The gateway refused our password, and until when asking again would be too soon. No session is
/// opened before, whatever else happens: not by a probe, not because another session ended.
#[derive(Debug)]
pub(super) struct Refusal {
    trouble: GatewayTrouble,
    pub(super) until: Duration,
}

impl Gateway {
    /// Breaks the waits of circuit and brake, as far as who asks may. The pace stays as it is.
    pub(super) fn flush(&mut self, now: Duration, by: Waker) {
        self.circuit.probe_now(now, by);
        self.brake = None;
        if by >= Waker::Admin {
            self.refusal = None;
        }
    }

    /// A transaction came to its end: the gateway works.
    pub(super) fn worked(&mut self, now: Duration, id: SessionId, ready: usize) {
        self.sessions.prove(id);
        self.pace.went_well();
        let most = self.limits.max_connections.max(1);
        self.ramp = self.ramp.map(|ramp| ramp + 1).filter(|ramp| *ramp < most);
        if self.probe == Some(id) {
            self.come_back(now, ready);
        }
    }

    /// The gateway itself said, in a transaction, that it takes nothing: down, whatever else lives.
    pub(super) fn parked(&mut self, now: Duration, id: SessionId, trouble: &GatewayTrouble) {
        self.note_refusal(now, trouble);
        if self.adapt(now, id, trouble) {
            return;
        }
        if self.circuit.is_down() {
            self.fail(now, id, now, trouble);
        } else {
            self.go_down(now, now, trouble);
        }
    }

    /// What the gateway said is about how we use it: less from now on, and no outage. False where that
    /// does not help, or nothing is left to lessen.
    fn adapt(&mut self, now: Duration, id: SessionId, trouble: &GatewayTrouble) -> bool {
        if self.circuit.is_down() {
            return false;
        }
        match trouble.effect {
            Effect::SlowDown => self.pace.slow_down(now, trouble.retry_after),
            Effect::Reconnect => {
                let proven = self.is_proven(id);
                self.sessions.wear_out(id);
                proven
            }
            Effect::FewerConnections => {
                let alive = u32::from(self.sessions.get(id).is_some());
                let others = self.sessions.alive() + self.sessions.opening() - alive;
                self.sessions.wear_out(id);
                if others > 0 {
                    self.brake = Some(Brake::new(now, others, self.brake.as_ref()));
                }
                others > 0
            }
            Effect::PauseUntil(_) | Effect::BackOff | Effect::Park => false,
        }
    }

    /// A session ended by a fault.
    pub(super) fn session_lost(
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
        let over = passing || trouble.effect == Effect::Reconnect;
        if session.proven && over && trouble.effect.says_no_limit() && !self.circuit.is_down() {
            return;
        }
        if self.adapt(now, id, trouble) {
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
            self.ramp = Some(1).filter(|ramp| *ramp < self.limits.max_connections);
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
    pub(super) fn remember_refusal(&mut self, now: Duration) {
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
    pub(super) fn settle_probe(&mut self, now: Duration, ready: usize) {
        let is_idle = |id| {
            self.sessions
                .get(id)
                .is_some_and(|s| matches!(s.phase, Phase::Idle(_)))
        };
        if ready == 0 && self.probe.is_some_and(is_idle) {
            self.come_back(now, ready);
        }
    }
}

/// Content was sent and no answer came. If that is all that the gateway ever does, mail must not go
/// into doubt at full speed: it counts as a refusal, which is asked at a slower pace.
pub(super) fn answer_lost() -> GatewayTrouble {
    GatewayTrouble::new(
        TroubleKind::Refused4xx,
        "the answer to a message's content was lost",
    )
}
