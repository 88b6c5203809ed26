//! The sessions with one gateway, open or opening: who is idle, who is busy, how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mail::QueueId;

use super::facts::SessionId;

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connecting, or in its TLS or AUTH dialogue.
    Opening,
    /// Without work since this monotonic time.
    Idle(Duration),
    /// In a transaction for this message.
    Busy(QueueId),
    /// Told to quit.
    Closing,
}

/// One session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// When its connect began.
    pub(super) opened: Duration,
    /// It has ended a transaction and stayed alive: the gateway worked through it.
    pub(super) proven: bool,
    /// Transactions that were begun on it.
    pub(super) uses: u32,
    /// What the one under way costs.
    pub(super) cost: u32,
    pub(super) phase: Phase,
}

/// All sessions with one gateway.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: BTreeMap<SessionId, Session>,
    idle: BTreeSet<(Duration, SessionId)>,
    opening: u32,
    closing: u32,
}

impl Sessions {
    /// Starts one.
    pub(super) fn open(&mut self, now: Duration, id: SessionId) {
        self.all.insert(
            id,
            Session {
                opened: now,
                proven: false,
                uses: 0,
                cost: 0,
                phase: Phase::Opening,
            },
        );
        self.opening += 1;
    }

    /// The session, if it is known.
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.all.get(&id)
    }

    /// Moves a session to another phase; nothing for an unknown one.
    pub(super) fn set_phase(&mut self, id: SessionId, phase: Phase) {
        let Some(session) = self.all.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut session.phase, phase);
        self.count(id, before, false);
        self.count(id, phase, true);
    }

    /// A transaction of this cost begins on an idle session.
    pub(super) fn begin(&mut self, id: SessionId, message: QueueId, cost: u32) {
        if let Some(session) = self.all.get_mut(&id) {
            session.uses = session.uses.saturating_add(1);
            session.cost = cost;
        }
        self.set_phase(id, Phase::Busy(message));
    }

    /// No further transaction is to be begun on it.
    pub(super) fn wear_out(&mut self, id: SessionId) {
        if let Some(session) = self.all.get_mut(&id) {
            session.uses = u32::MAX;
        }
    }

    /// Notes that the gateway worked through this session.
    pub(super) fn prove(&mut self, id: SessionId) {
        if let Some(session) = self.all.get_mut(&id) {
            session.proven = true;
        }
    }

    /// Forgets a session that has ended.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.all.remove(&id)?;
        self.count(id, session.phase, false);
        Some(session)
    }

    /// All of them, those told to quit included.
    pub(super) fn total(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// Those still connecting.
    pub(super) const fn opening(&self) -> u32 {
        self.opening
    }

    /// Those connected and not told to quit.
    pub(super) fn alive(&self) -> u32 {
        self.total() - self.opening - self.closing
    }

    /// The session that has been idle for the shortest time: the one to use.
    pub(super) fn newest_idle(&self) -> Option<SessionId> {
        self.idle.last().map(|&(_, id)| id)
    }

    /// The session that has been idle for the longest time, and since when: the one to close.
    pub(super) fn oldest_idle(&self) -> Option<(Duration, SessionId)> {
        self.idle.first().copied()
    }

    /// All idle ones, the one that has been so for longest first.
    pub(super) fn idle(&self) -> impl Iterator<Item = SessionId> {
        self.idle.iter().map(|&(_, id)| id)
    }

    /// Any idle session but this one.
    pub(super) fn idle_but(&self, but: Option<SessionId>) -> Option<SessionId> {
        self.idle().find(|&id| Some(id) != but)
    }

    fn count(&mut self, id: SessionId, phase: Phase, enters: bool) {
        let by = |n: u32| if enters { n + 1 } else { n - 1 };
        match phase {
            Phase::Opening => self.opening = by(self.opening),
            Phase::Closing => self.closing = by(self.closing),
            Phase::Idle(since) if enters => _ = self.idle.insert((since, id)),
            Phase::Idle(since) => _ = self.idle.remove(&(since, id)),
            Phase::Busy(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::GatewayId;

    #[test]
    fn the_counts_follow_the_phases() {
        let mut sessions = Sessions::default();
        let [a, b] = [1, 2].map(|number| SessionId::new(GatewayId::new(0), number));
        sessions.open(Duration::ZERO, a);
        sessions.open(Duration::ZERO, b);
        assert_eq!(
            (sessions.total(), sessions.opening(), sessions.alive()),
            (2, 2, 0)
        );
        sessions.set_phase(a, Phase::Idle(Duration::from_secs(1)));
        sessions.set_phase(b, Phase::Idle(Duration::from_secs(2)));
        assert_eq!((sessions.opening(), sessions.alive()), (0, 2));
        assert_eq!(sessions.newest_idle(), Some(b));
        assert_eq!(sessions.oldest_idle(), Some((Duration::from_secs(1), a)));
        assert_eq!(sessions.idle_but(Some(a)), Some(b));
        sessions.set_phase(b, Phase::Busy(QueueId::from_number(1)));
        assert_eq!(sessions.newest_idle(), Some(a));
        sessions.set_phase(a, Phase::Closing);
        assert_eq!((sessions.total(), sessions.alive()), (2, 1));
        assert_eq!(sessions.newest_idle(), None);
        sessions.remove(a);
        sessions.remove(b);
        assert_eq!((sessions.total(), sessions.alive()), (0, 0));
        assert!(sessions.remove(b).is_none());
    }
}
