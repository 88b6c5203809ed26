//! How long a client may take: for a whole command, however its bytes drip, and for content at no
//! less than a crawl. A deadline for each byte would let one client hold its place for days.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes that buy one second more, as with Postfix's `smtpd_min_data_rate`.
const BYTES_A_SECOND: u32 = 500;

/// When a client must have said what is waited for.
pub(super) struct Deadline {
    silence: Duration,
    at: Instant,
}

impl Deadline {
    /// From `now` on, with `silence` for each command.
    pub(super) fn new(silence: Duration, now: Instant) -> Self {
        let at = now + silence;
        Self { silence, at }
    }

    pub(super) const fn at(&self) -> Instant {
        self.at
    }

    /// A command was answered: the next one has all the time again.
    pub(super) fn renew(&mut self, now: Instant) {
        self.at = now + self.silence;
    }

    /// So many bytes came.
    pub(super) fn received(&mut self, count: usize, now: Instant) {
        let bought =
            Duration::from_secs(1) * u32::try_from(count).unwrap_or(u32::MAX) / BYTES_A_SECOND;
        self.at = (self.at + bought).min(now + self.silence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(300);

    /// When a client is sent away that sends `count` bytes every `pause`, and is never answered.
    fn lasts(count: usize, pause: Duration) -> Duration {
        let begun = Instant::now();
        let (mut deadline, mut now) = (Deadline::new(SILENCE, begun), begun);
        while now + pause <= deadline.at() && now - begun < SILENCE * 100 {
            now += pause;
            deadline.received(count, now);
        }
        deadline.at() - begun
    }

    #[test]
    fn dripping_bytes_buys_next_to_nothing() {
        let minute = Duration::from_secs(60);
        assert!(lasts(1, minute) < SILENCE + Duration::from_secs(1));
        assert!(lasts(2048, minute) < SILENCE + Duration::from_secs(25));
        // What comes at the least rate may go on.
        assert!(lasts(64 * 1024, minute) >= SILENCE * 100);
        assert!(lasts(500, Duration::from_secs(1)) >= SILENCE * 100);
    }

    #[test]
    fn nobody_saves_time_up() {
        let begun = Instant::now();
        let mut deadline = Deadline::new(SILENCE, begun);
        deadline.received(usize::MAX, begun);
        assert_eq!(deadline.at(), begun + SILENCE);
        let later = begun + Duration::from_secs(200);
        deadline.renew(later);
        assert_eq!(deadline.at(), later + SILENCE);
    }
}
