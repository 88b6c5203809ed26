//! What is known of each queued message, and when it has been queued for too long.

use std::num::NonZeroU64;
use std::time::Duration;

use mail::Timestamp;

use super::facts::{Now, Queued, SessionId};
use super::limits::Limits;
use super::origins::Origin;
use super::route::{CHOICES_MAX, GatewayId, Route};

/// The least time that a message spends in this run before it can expire, unless the lifetime
/// itself is shorter: after a restart with a wrong clock, or after weeks switched off, a message
/// gets its hour of attempts.
pub(super) const RUN_MIN: Duration = Duration::from_secs(3600);

/// Sessions that had worked and that may end under one message before it stands back for others.
const PASSING_STRIKES: u8 = 3;

/// Where a message stands, with the key under which it is filed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ready {
        /// Its place among its origin's messages.
        rank: u64,
    },
    Waiting {
        /// Monotonic microseconds.
        until: u64,
    },
    Active {
        session: SessionId,
    },
    Held,
}

/// One message. 104 bytes, whatever the message is.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) origin: Origin,
    /// The gateways that it may go through.
    pub(super) route: Route,
    /// This one may have it, so it goes through no other.
    pub(super) tied_to: Option<GatewayId>,
    /// The gateway in whose line it stands; only of meaning while it is in line.
    pub(super) at: GatewayId,
    pub(super) place: Place,
    /// Wall-clock microseconds; its rank in line.
    pub(super) arrival: u64,
    /// When this run learned of it, in monotonic microseconds.
    added: u64,
    /// Its age at that moment by the wall clock, in microseconds; 0 if it came from the future.
    age_then: u64,
    /// The entry in the expiry calendar.
    pub(super) expiry: Option<NonZeroU64>,
    pub(super) attempts: u32,
    /// Recipients still to be served, at most.
    pub(super) recipients: u32,
    /// Transactions that each gateway of the route had answered when this message last met a broken
    /// session there; wraps.
    strike_marks: [u16; CHOICES_MAX],
    strikes: u8,
    /// Sessions that had worked before and ended under it.
    passing_strikes: u8,
    /// To be held as soon as its attempt is over.
    pub(super) hold: bool,
}

/// What a broken session means for the message that was on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// Back to its own place.
    KeepsPlace,
    /// Behind all that are in line: it may be what breaks the sessions.
    ToTheEnd,
    /// Others went through meanwhile, so it is what breaks them: a timer of its own.
    Suspect,
}

impl Message {
    pub(super) fn new(now: &Now, queued: &Queued) -> Self {
        Self {
            origin: Origin::of(&queued.origin),
            route: queued.route,
            tied_to: queued.uncertain,
            at: queued.route.first(),
            place: Place::Held,
            arrival: queued.arrival.as_micros(),
            added: micros(now.mono),
            age_then: micros(now.wall.since(queued.arrival)),
            expiry: None,
            attempts: queued.attempts,
            recipients: queued.recipients.max(1),
            strike_marks: [0; CHOICES_MAX],
            strikes: 0,
            passing_strikes: 0,
            hold: false,
        }
    }

    /// When it will be too old, by the monotonic clock.
    pub(super) fn expires_at(&self, limits: &Limits) -> u64 {
        let lifetime = micros(limits.queue_lifetime);
        let in_this_run =
            micros(RUN_MIN.min(limits.queue_lifetime)).max(lifetime.saturating_sub(self.age_then));
        self.added.saturating_add(in_this_run)
    }

    /// Whether it is too old by both clocks. The monotonic one is not fooled by a jump in this run,
    /// the wall clock corrects a wrong start of it. An arrival in the future says nothing.
    pub(super) fn is_overdue(&self, now: &Now, limits: &Limits) -> bool {
        let arrival = Timestamp::from_micros(self.arrival);
        let by_wall = now.wall < arrival || now.wall.since(arrival) >= limits.queue_lifetime;
        by_wall && micros(now.mono) >= self.expires_at(limits)
    }

    /// Its session broke before the content was taken, and this gateway had never worked through that
    /// session. `answered` counts the transactions of all messages that got to their end there.
    pub(super) fn strike(&mut self, gateway: GatewayId, answered: u16) -> Strike {
        let choice = self.route.choices().position(|choice| choice == gateway);
        let mark = &mut self.strike_marks[choice.unwrap_or_default()];
        let others_passed = std::mem::replace(mark, answered) != answered;
        self.strikes = self.strikes.saturating_add(1);
        match self.strikes {
            1 => Strike::KeepsPlace,
            2 => Strike::ToTheEnd,
            _ if others_passed => Strike::Suspect,
            _ => Strike::ToTheEnd,
        }
    }

    /// Its session had worked before and ended before the content was taken: gateways close sessions
    /// that had their share. It proves nothing against the message, but others need not wait for it.
    pub(super) const fn passing_strike(&mut self) -> Strike {
        self.passing_strikes = self.passing_strikes.saturating_add(1);
        if self.passing_strikes <= PASSING_STRIKES {
            Strike::KeepsPlace
        } else {
            Strike::ToTheEnd
        }
    }

    /// The gateway answered about the message: it breaks no sessions.
    pub(super) const fn clear_strikes(&mut self) {
        self.strikes = 0;
        self.passing_strikes = 0;
    }

    /// Counts an attempt that was about the message. Returns how many there are now.
    pub(super) const fn count_attempt(&mut self) -> u32 {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts
    }
}

/// Whole microseconds; saturates after 584,000 years.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_little_memory() {
        assert_eq!(size_of::<Message>(), 104);
    }
}
