//! The circuit of one gateway (I6): closed while mail flows, down while it cannot, and when the
//! next probe may go.

use std::time::Duration;

use super::effect::Effect;
use super::facts::{GatewayTrouble, TroubleKind};

/// The longest wait that a gateway can ask for with "try again in N seconds".
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The least wait for a quota's renewal, whatever is said of it.
const RENEWAL_MIN: Duration = Duration::from_secs(1);
/// The longest wait for a quota's renewal: a month.
const RENEWAL_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// Who breaks a wait: each may break what the one before may, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waker {
    /// Anybody on the host: not the wait after a refused password.
    User,
    /// An admin: everything but the wait for a quota.
    Admin,
    /// Settings or secrets that changed: everything.
    Settings,
}

/// Whether the gateway takes mail.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Circuit {
    /// As far as known, it does.
    #[default]
    Closed,
    /// It does not: messages wait for it.
    Down {
        /// Monotonic time of the failure that opened the circuit.
        since: Duration,
        /// What is wrong, by the latest failure.
        kind: TroubleKind,
        /// The same in one line.
        reason: String,
        /// Monotonic time from which the next probe may go, if mail waits by then.
        next_probe: Duration,
        /// Failures of this kind in a row.
        failures: u32,
        /// The amount of mail that it allows is used up.
        spent: bool,
    },
}

impl Circuit {
    /// Whether it is down.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }

    /// Monotonic time from which a probe may go; `None` while closed.
    #[must_use]
    pub const fn next_probe(&self) -> Option<Duration> {
        match self {
            Self::Closed => None,
            Self::Down { next_probe, .. } => Some(*next_probe),
        }
    }

    /// Since which monotonic time it has been down; `None` while closed.
    #[must_use]
    pub const fn since(&self) -> Option<Duration> {
        match self {
            Self::Closed => None,
            Self::Down { since, .. } => Some(*since),
        }
    }

    /// How long it has been down at `now`; `None` while closed.
    #[must_use]
    pub fn down_for(&self, now: Duration) -> Option<Duration> {
        Some(now.saturating_sub(self.since()?))
    }

    /// Takes a failure in: opens the circuit, or moves the next probe of the same outage.
    ///
    /// `started` is when the failed connect began. Where nothing answers, that is where the pause
    /// counts from, so that a connect that hung for 5 s is followed by the next after 1 s.
    pub(super) fn fail(&mut self, now: Duration, started: Duration, trouble: &GatewayTrouble) {
        let (since, failures) = match self {
            Self::Down {
                since,
                kind,
                failures,
                ..
            } if *kind == trouble.kind => (*since, failures.saturating_add(1)),
            Self::Down { since, .. } => (*since, 1),
            Self::Closed => (now, 1),
        };
        *self = Self::Down {
            since,
            kind: trouble.kind,
            reason: trouble.bounded_reason(),
            next_probe: next_probe(now, started, trouble, failures),
            failures,
            spent: matches!(trouble.effect, Effect::PauseUntil(_)),
        };
    }

    /// Opens the circuit with the next probe at a given time: a refusal seen earlier counts now.
    pub(super) fn open_until(
        &mut self,
        now: Duration,
        next_probe: Duration,
        trouble: &GatewayTrouble,
    ) {
        let (kind, reason) = (trouble.kind, trouble.bounded_reason());
        *self = Self::Down {
            since: now,
            kind,
            reason,
            next_probe,
            failures: 1,
            spent: false,
        };
    }

    /// Whether it is down because the amount of mail that it allows is used up.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        matches!(self, Self::Down { spent: true, .. })
    }

    /// Lets the next probe go at once, if who asks may break this wait.
    pub(super) fn probe_now(&mut self, now: Duration, by: Waker) {
        if let Self::Down {
            kind,
            next_probe,
            spent,
            ..
        } = self
            && (!*spent || by == Waker::Settings)
            && (*kind != TroubleKind::Auth || by >= Waker::Admin)
        {
            *next_probe = (*next_probe).min(now);
        }
    }

    /// Closes it. Returns how long it was down, if it was.
    pub(super) fn close(&mut self, now: Duration) -> Option<Duration> {
        let after = self.down_for(now);
        *self = Self::Closed;
        after
    }
}

/// When the probe after the `failures`th failure may go.
fn next_probe(
    now: Duration,
    started: Duration,
    trouble: &GatewayTrouble,
    failures: u32,
) -> Duration {
    let pace = trouble.effect.pace(trouble.kind);
    let own = if trouble.kind == TroubleKind::Unreachable {
        (started + pace.nth(failures)).max(now + pace.first)
    } else {
        now + pace.nth(failures)
    };
    let longest = match trouble.effect {
        Effect::PauseUntil(_) => RENEWAL_MAX,
        _ => RETRY_AFTER_MAX,
    };
    let asked = trouble
        .retry_after
        .map_or(Duration::ZERO, |wait| now + wait.min(longest));
    match trouble.effect {
        // When a quota is renewed is known: neither sooner nor later.
        Effect::PauseUntil(_) if trouble.retry_after.is_some() => asked.max(now + RENEWAL_MIN),
        _ => own.max(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// The pauses that an outage of one kind sees when every probe fails at once.
    fn pauses(kind: TroubleKind, count: usize) -> Vec<u64> {
        let (mut circuit, mut now) = (Circuit::Closed, secs(100));
        let mut seen = Vec::new();
        for _ in 0..count {
            circuit.fail(now, now, &GatewayTrouble::new(kind, "x"));
            let next = circuit.next_probe().unwrap();
            seen.push((next - now).as_secs());
            now = next;
        }
        seen
    }

    #[test]
    fn each_kind_has_its_pace() {
        assert_eq!(pauses(TroubleKind::Unreachable, 6), [1, 2, 4, 5, 5, 5]);
        for kind in [
            TroubleKind::Refused4xx,
            TroubleKind::Tls,
            TroubleKind::NoAuth,
        ] {
            assert_eq!(pauses(kind, 6), [5, 10, 20, 40, 60, 60], "{kind:?}");
        }
        assert_eq!(pauses(TroubleKind::Auth, 3), [1800, 1800, 1800]);
        let parked = pauses(TroubleKind::Refused5xx, 8);
        assert_eq!(parked, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn only_other_settings_end_the_wait_for_a_quota() {
        let mut trouble = GatewayTrouble::new(TroubleKind::Refused4xx, "daily quota");
        trouble.effect = Effect::PauseUntil(None);
        let mut circuit = Circuit::Closed;
        circuit.fail(secs(0), secs(0), &trouble);
        circuit.probe_now(secs(3), Waker::Admin);
        assert_eq!(circuit.next_probe(), Some(secs(1800)));
        for (said, kept) in [(0, 1), (600, 600), (86_400, 86_400)] {
            trouble.retry_after = Some(secs(said));
            circuit.fail(secs(0), secs(0), &trouble);
            assert_eq!(circuit.next_probe(), Some(secs(kept)));
        }
        circuit.probe_now(secs(3), Waker::Settings);
        assert_eq!(circuit.next_probe(), Some(secs(3)));
    }

    #[test]
    fn a_connect_that_hung_counts_into_the_pause() {
        let trouble = GatewayTrouble::new(TroubleKind::Unreachable, "timed out");
        let mut circuit = Circuit::Closed;
        for _ in 0..5 {
            circuit.fail(secs(15), secs(10), &trouble);
        }
        assert_eq!(circuit.next_probe(), Some(secs(16)));
    }

    #[test]
    fn another_kind_starts_its_own_pace_within_the_same_outage() {
        let mut circuit = Circuit::Closed;
        circuit.fail(
            secs(1),
            secs(1),
            &GatewayTrouble::new(TroubleKind::Unreachable, "refused"),
        );
        circuit.fail(
            secs(2),
            secs(2),
            &GatewayTrouble::new(TroubleKind::Refused4xx, "421 starting"),
        );
        assert_eq!(circuit.next_probe(), Some(secs(7)));
        assert_eq!(circuit.close(secs(8)), Some(secs(7)));
        assert_eq!(circuit.close(secs(9)), None);
    }

    #[test]
    fn the_gateways_own_wish_is_honoured_up_to_an_hour() {
        let mut trouble = GatewayTrouble::new(TroubleKind::Refused4xx, "try again in 92 seconds");
        for (asked, expected) in [(92, 92), (1, 5), (1_000_000, 3600)] {
            trouble.retry_after = Some(secs(asked));
            let mut circuit = Circuit::Closed;
            circuit.fail(secs(0), secs(0), &trouble);
            assert_eq!(circuit.next_probe(), Some(secs(expected)), "{asked}");
        }
    }

    #[test]
    fn only_an_admin_has_a_refused_password_tried_again() {
        let mut circuit = Circuit::Closed;
        circuit.fail(
            secs(0),
            secs(0),
            &GatewayTrouble::new(TroubleKind::Auth, "535"),
        );
        circuit.probe_now(secs(3), Waker::User);
        assert_eq!(circuit.next_probe(), Some(secs(1800)));
        circuit.probe_now(secs(3), Waker::Admin);
        assert_eq!(circuit.next_probe(), Some(secs(3)));
    }

    #[test]
    fn a_long_reason_is_cut_on_a_character() {
        let mut circuit = Circuit::Closed;
        circuit.fail(
            secs(0),
            secs(0),
            &GatewayTrouble::new(TroubleKind::Tls, "é".repeat(5000)),
        );
        let Circuit::Down { reason, .. } = circuit else {
            panic!("closed")
        };
        assert_eq!(reason.len(), 1000);
    }
}
