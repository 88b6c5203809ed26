//! The brake on new sessions: when the gateway refuses one session while others work, that is a
//! limit, not an outage. The cap falls to what works and comes back one session at a time.

use std::time::Duration;

use super::facts::{GatewayTrouble, TroubleKind};

/// Time from a refusal to the first extra session, and between further ones.
const STEP_FIRST: Duration = Duration::from_secs(30);
/// The longest such step, reached by doubling when every trial is refused again.
const STEP_MAX: Duration = Duration::from_secs(8 * 60);

/// A cap below the settings' own, which recovers with time.
#[derive(Clone, Debug)]
pub(super) struct Brake {
    /// What was refused.
    trouble: GatewayTrouble,
    /// When.
    at: Duration,
    /// Sessions that worked then; at least 1.
    base: u32,
    /// How long it takes to try one more.
    step: Duration,
}

impl Brake {
    /// A session was refused while `working` others live. `previous` is the brake in force, if any.
    pub(super) fn new(
        now: Duration,
        working: u32,
        trouble: &GatewayTrouble,
        previous: Option<&Self>,
    ) -> Self {
        let step = if trouble.kind == TroubleKind::Auth {
            trouble.kind.pace().first
        } else {
            previous.map_or(STEP_FIRST, |brake| brake.next_step(now))
        };
        let trouble = GatewayTrouble {
            reason: trouble.bounded_reason(),
            ..trouble.clone()
        };
        Self {
            trouble,
            at: now,
            base: working.max(1),
            step,
        }
    }

    /// The step for a refusal at `now`: doubled if it met a trial of this brake, else unchanged,
    /// because several sessions opened together are refused together.
    fn next_step(&self, now: Duration) -> Duration {
        if now < self.at + self.step {
            self.step
        } else {
            (self.step * 2).clamp(STEP_FIRST, STEP_MAX)
        }
    }

    /// When one more than `total` sessions may be open.
    pub(super) fn allows_more_at(&self, total: u32) -> Duration {
        self.at
            + self
                .step
                .saturating_mul((total + 1).saturating_sub(self.base))
    }

    /// A password refused to a new session while older ones still worked, and until when asking
    /// again would be too soon.
    pub(super) fn refused_password(&self, now: Duration) -> Option<(&GatewayTrouble, Duration)> {
        let until = self.at + self.step;
        (self.trouble.kind == TroubleKind::Auth && now < until).then_some((&self.trouble, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn too_many() -> GatewayTrouble {
        GatewayTrouble::new(TroubleKind::Refused4xx, "421 too many connections")
    }

    #[test]
    fn the_cap_comes_back_one_by_one() {
        let brake = Brake::new(secs(100), 1, &too_many(), None);
        let times: Vec<u64> = [1, 2, 3]
            .iter()
            .map(|&total| brake.allows_more_at(total).as_secs())
            .collect();
        assert_eq!(times, [130, 160, 190]);
        assert!(brake.allows_more_at(0) <= secs(100));
    }

    #[test]
    fn a_refused_trial_doubles_the_step_but_a_refused_burst_does_not() {
        let first = Brake::new(secs(100), 3, &too_many(), None);
        let burst = Brake::new(secs(101), 2, &too_many(), Some(&first));
        assert_eq!(burst.allows_more_at(2), secs(131));
        let trial = Brake::new(secs(131), 2, &too_many(), Some(&burst));
        assert_eq!(trial.allows_more_at(2), secs(191));
    }

    #[test]
    fn a_refused_password_holds_for_its_half_hour() {
        let brake = Brake::new(
            secs(0),
            2,
            &GatewayTrouble::new(TroubleKind::Auth, "535"),
            None,
        );
        assert_eq!(brake.allows_more_at(2), secs(1800));
        assert_eq!(
            brake.refused_password(secs(1799)).map(|(_, until)| until),
            Some(secs(1800))
        );
        assert!(brake.refused_password(secs(1800)).is_none());
    }
}
