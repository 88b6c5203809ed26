//! The brake on new sessions: when the gateway refuses one session while others work, that is a
//! limit, not an outage. The cap falls to what works and comes back one session at a time.

use std::time::Duration;

/// Time from a refusal to the first extra session, and between further ones.
const STEP_FIRST: Duration = Duration::from_secs(30);
/// The longest such step, reached by doubling when every trial is refused again.
const STEP_MAX: Duration = Duration::from_secs(8 * 60);

/// A cap below the settings' own, which recovers with time.
#[derive(Clone, Debug)]
pub(super) struct Brake {
    /// When a session was refused.
    at: Duration,
    /// Sessions that worked then; at least 1.
    base: u32,
    /// How long it takes to try one more.
    step: Duration,
}

impl Brake {
    /// A session was refused while `working` others live. `previous` is the brake in force, if any.
    pub(super) fn new(now: Duration, working: u32, previous: Option<&Self>) -> Self {
        let step = previous.map_or(STEP_FIRST, |brake| brake.next_step(now));
        Self {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_cap_comes_back_one_by_one() {
        let brake = Brake::new(secs(100), 1, None);
        let times: Vec<u64> = [1, 2, 3]
            .iter()
            .map(|&total| brake.allows_more_at(total).as_secs())
            .collect();
        assert_eq!(times, [130, 160, 190]);
        assert!(brake.allows_more_at(0) <= secs(100));
    }

    #[test]
    fn a_refused_trial_doubles_the_step_but_a_refused_burst_does_not() {
        let first = Brake::new(secs(100), 3, None);
        let burst = Brake::new(secs(101), 2, Some(&first));
        assert_eq!(burst.allows_more_at(2), secs(131));
        let trial = Brake::new(secs(131), 2, Some(&burst));
        assert_eq!(trial.allows_more_at(2), secs(191));
    }
}
