//! Pauses that double, with jitter that is a function of what it is for.

use std::time::Duration;

/// A pause that doubles from a first to a longest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Backoff {
    /// From whole seconds.
    #[must_use]
    pub const fn secs(first: u64, max: u64) -> Self {
        Self {
            first: Duration::from_secs(first),
            max: Duration::from_secs(max),
        }
    }

    /// The pause after the `nth` failure in a row, counted from 1; 0 counts as 1.
    #[must_use]
    pub fn nth(&self, nth: u32) -> Duration {
        let doublings = nth.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }

    /// As [`Backoff::nth`], but up to a fifth shorter: by how much is a function of `seed` and
    /// `nth`, so that messages deferred together do not come back together.
    #[must_use]
    pub fn jittered(&self, nth: u32, seed: u64) -> Duration {
        let pause = self.nth(nth);
        pause - spread(pause / 5, seed ^ (u64::from(nth) << 48))
    }
}

/// A point within `range` (its end left out), chosen by `seed`.
pub(super) fn spread(range: Duration, seed: u64) -> Duration {
    let micros = u64::try_from(range.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(mix(seed) % micros.max(1))
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of the input.
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::secs(300, 3600);
        let pauses: Vec<u64> = (0..8).map(|n| backoff.nth(n).as_secs()).collect();
        assert_eq!(pauses, [300, 300, 600, 1200, 2400, 3600, 3600, 3600]);
        assert_eq!(backoff.nth(u32::MAX).as_secs(), 3600);
    }

    #[test]
    fn jitter_is_pure_and_takes_at_most_a_fifth() {
        let backoff = Backoff::secs(300, 3600);
        let pauses: Vec<Duration> = (0..1000).map(|seed| backoff.jittered(1, seed)).collect();
        assert_eq!(
            pauses,
            (0..1000)
                .map(|seed| backoff.jittered(1, seed))
                .collect::<Vec<_>>()
        );
        let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!(least.as_secs() >= 240 && least.as_secs() < 242, "{least:?}");
        assert!(most.as_secs() <= 300 && most.as_secs() >= 298, "{most:?}");
    }

    #[test]
    fn a_zero_pause_is_allowed() {
        assert_eq!(Backoff::secs(0, 0).jittered(7, 7), Duration::ZERO);
    }
}
