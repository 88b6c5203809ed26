//! Where each message of the scheduler is filed: in line, on a timer, in a transaction, held; and the
//! calendar of their ages.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use mail::QueueId;

use super::backoff::Backoff;
use super::facts::{AttemptEnd, AttemptOutcome, Now, SessionId};
use super::gateway::Gateway;
use super::messages::{Message, Place, RUN_MIN, Strike, micros};
use super::route::{GatewayId, Out, Standing};
use super::scheduler::Scheduler;

/// The pause after our own disk could not mark an attempt.
const LOCAL_PAUSE: Duration = Duration::from_secs(60);
/// A message that is too old and has not had its chance yet is looked at again after this time.
const OVERDUE_PAUSE: Duration = Duration::from_secs(600);
/// The pause of everything after that: a disk that fails for one message may fail for all, and each
/// would cost a transaction.
const STALL: Duration = Duration::from_secs(1);

/// The message's side of a decision.
impl Scheduler {
    /// What the end of its attempt means for a message.
    pub(super) fn settle(&mut self, now: &Now, session: SessionId, id: QueueId, end: &AttemptEnd) {
        match &end.outcome {
            AttemptOutcome::Finished => self.remove(id),
            AttemptOutcome::Partial => self.go_on(now, id),
            AttemptOutcome::Deferred => {
                if let Some(message) = self.messages.get_mut(&id) {
                    message.clear_strikes();
                }
                self.defer(now, id, self.limits.deferred);
            }
            AttemptOutcome::Uncertain => {
                if let Some(message) = self.messages.get_mut(&id) {
                    message.tied_to = Some(session.gateway());
                }
                self.defer(now, id, self.limits.uncertain);
            }
            AttemptOutcome::NotStarted => {
                self.stalled_until = Some(now.mono + STALL);
                self.wait(now, id, LOCAL_PAUSE);
            }
            AttemptOutcome::GatewayDown(trouble) => {
                let proves = trouble.effect.says_no_limit();
                self.back_in_line(now, id, session, end.session_alive, proves);
            }
        }
    }

    /// The message keeps its place for the recipients that are left.
    fn go_on(&mut self, now: &Now, id: QueueId) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        message.clear_strikes();
        let rank = message.arrival;
        self.rest(now, id, Place::Ready { rank });
    }

    /// The attempt counts, and the message waits on its own timer.
    fn defer(&mut self, now: &Now, id: QueueId, backoff: Backoff) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let pause = backoff.jittered(message.count_attempt(), id.number());
        self.wait(now, id, pause);
    }

    fn wait(&mut self, now: &Now, id: QueueId, pause: Duration) {
        self.rest(
            now,
            id,
            Place::Waiting {
                until: micros(now.mono + pause),
            },
        );
    }

    /// The gateway failed under the message: no timer, unless it is what breaks the sessions. A limit
    /// that we met proves nothing against the message.
    fn back_in_line(
        &mut self,
        now: &Now,
        id: QueueId,
        session: SessionId,
        session_alive: bool,
        proves: bool,
    ) {
        let Some(gateway) = self.gateways.get(&session.gateway()) else {
            return;
        };
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let strike = if !proves || (!session_alive && gateway.is_proven(session)) {
            message.passing_strike()
        } else {
            message.strike(session.gateway(), gateway.answered())
        };
        let rank = match strike {
            Strike::KeepsPlace => message.arrival,
            Strike::ToTheEnd => message.arrival.max(now.wall.as_micros()),
            Strike::Suspect => return self.defer(now, id, self.limits.deferred),
        };
        self.rest(now, id, Place::Ready { rank });
    }

    /// An attempt is over and something is left to do: files the message where it belongs.
    fn rest(&mut self, now: &Now, id: QueueId, place: Place) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        if std::mem::take(&mut message.hold) {
            return self.put(id, Place::Held);
        }
        self.put(id, place);
        self.plan_expiry(id, micros(now.mono));
    }

    pub(super) fn start(&mut self, now: Duration, id: QueueId, session: SessionId) {
        let recipients = self.messages.get(&id).map_or(1, |it| it.recipients);
        if let Some(gateway) = self.gateways.get_mut(&session.gateway()) {
            gateway.assign(now, session, id, recipients);
        }
        self.put(id, Place::Active { session });
        self.cancel_expiry(id);
    }

    pub(super) fn make_ready(&mut self, id: QueueId) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        let rank = message.arrival;
        self.put(id, Place::Ready { rank });
    }

    /// Puts messages whose timer has run out in line.
    pub(super) fn release_due(&mut self, now: &Now) {
        while let Some(&(at, id)) = self.timers.first()
            && at <= micros(now.mono)
        {
            self.make_ready(id);
        }
    }

    /// Moves a message from where it is filed to another place.
    pub(super) fn put(&mut self, id: QueueId, place: Place) {
        self.unfile(id);
        self.file(id, place);
    }

    /// Files a message that is filed nowhere.
    pub(super) fn file(&mut self, id: QueueId, place: Place) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        message.place = place;
        match place {
            Place::Ready { rank } => {
                let standing = standing(&self.gateways, message);
                message.at = standing.at;
                self.lines.push(&standing, message.origin, rank, id);
            }
            Place::Waiting { until } => _ = self.timers.insert((until, id)),
            Place::Active { .. } => self.active += 1,
            Place::Held => self.held += 1,
        }
    }

    /// Takes a message from where it is filed. The caller files it anew or forgets it.
    pub(super) fn unfile(&mut self, id: QueueId) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        match message.place {
            Place::Ready { rank } => {
                let key = (message.origin, rank, id);
                self.lines.remove(message.at, &message.route, key);
            }
            Place::Waiting { until } => _ = self.timers.remove(&(until, id)),
            Place::Active { .. } => self.active -= 1,
            Place::Held => self.held -= 1,
        }
    }

    /// What is in line takes its stand anew: some gateway went out or came back.
    pub(super) fn stand_anew(&mut self) {
        let in_line = |(id, message): (&QueueId, &Message)| match message.place {
            Place::Ready { rank } => Some((rank, *id)),
            _ => None,
        };
        let mut ids: Vec<_> = self.messages.iter().filter_map(in_line).collect();
        // Oldest first, so that the lines that it makes longer give their turns in that order.
        ids.sort_unstable();
        for (rank, id) in ids {
            self.put(id, Place::Ready { rank });
        }
    }
}

/// Where a message stands: at the gateway that may have it, or where its route says.
fn standing(gateways: &BTreeMap<GatewayId, Gateway>, message: &Message) -> Standing {
    let known = |gateway: &GatewayId| gateways.get(gateway).is_some_and(|it| !it.is_gone());
    match message.tied_to.filter(known) {
        Some(gateway) => Standing::at(gateway),
        None => message
            .route
            .standing(|gateway| gateways.get(&gateway).map_or(Some(Out::Down), Gateway::out)),
    }
}

/// The calendar of ages.
impl Scheduler {
    /// A message that is too old and has had its chance: it was tried, or it never could be.
    pub(super) fn next_expired(&mut self, now: &Now) -> Option<QueueId> {
        while let Some(&(at, id)) = self.expiries.first()
            && at <= micros(now.mono)
        {
            if self.may_expire(now, id) {
                return Some(id);
            }
            self.plan_expiry(id, micros(now.mono + OVERDUE_PAUSE));
        }
        None
    }

    fn may_expire(&self, now: &Now, id: QueueId) -> bool {
        let Some(message) = self.messages.get(&id) else {
            return false;
        };
        let had_its_chance = match message.place {
            Place::Waiting { .. } => message.attempts > 0,
            // In line it is about to be tried once more, unless the gateway has been down for long.
            Place::Ready { .. } => self
                .circuit(message.at)
                .and_then(|circuit| circuit.down_for(now.mono))
                .is_some_and(|down| down >= RUN_MIN),
            Place::Active { .. } | Place::Held => false,
        };
        had_its_chance && message.is_overdue(now, &self.limits)
    }

    /// Enters a message in the calendar: when it is too old, but not before `earliest`.
    pub(super) fn plan_expiry(&mut self, id: QueueId, earliest: u64) {
        self.cancel_expiry(id);
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let at = message.expires_at(&self.limits).max(earliest);
        // A microsecond more or less does not matter, and a time that is never 0 takes less memory.
        let at = NonZeroU64::new(at).unwrap_or(NonZeroU64::MIN);
        message.expiry = Some(at);
        self.expiries.insert((at.get(), id));
    }

    pub(super) fn cancel_expiry(&mut self, id: QueueId) {
        if let Some(at) = self
            .messages
            .get_mut(&id)
            .and_then(|message| message.expiry.take())
        {
            self.expiries.remove(&(at.get(), id));
        }
    }
}
