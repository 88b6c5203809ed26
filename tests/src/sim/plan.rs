//! The scenario of one run, drawn from its seed.

use std::num::NonZeroU32;
use std::time::Duration;

use policy::settings::{Counted, Rate};

use super::random::Random;

/// Microseconds.
pub(super) type Micros = u64;

pub(super) const MILLI: Micros = 1_000;
pub(super) const SECOND: Micros = 1_000_000;
pub(super) const MINUTE: Micros = 60 * SECOND;
pub(super) const HOUR: Micros = 60 * MINUTE;
pub(super) const DAY: Micros = 24 * HOUR;

/// Most gateways of one run.
pub(super) const GATEWAYS_MAX: usize = 3;

/// What the gateway says to one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Accepted,
    /// Refused with a 4xx so many times, then accepted.
    Deferred(u8),
    /// Refused with a 4xx for ever.
    DeferredForever,
    /// Refused with a 5xx.
    Refused,
}

/// A message to be.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) submitter: String,
    pub(super) sender: String,
    /// Each recipient's fate at RCPT; at most eight.
    pub(super) recipients: Vec<Fate>,
    /// The whole message's fate at the end of its data.
    pub(super) content: Fate,
    /// The gateway drops the connection whenever it sees this message.
    pub(super) poison: bool,
    /// Its submitter has this one message only: how long it waits for its turn is counted.
    pub(super) lonely: bool,
    /// The gateways that it may go through, by index, the preferred one first.
    pub(super) route: Vec<usize>,
}

/// One gateway with what the settings say of it.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    pub(super) max_connections: u32,
    /// How long it must be down before the next of a route takes over.
    pub(super) fallback_after: Micros,
    /// Transactions after which it closes a connection with a 421.
    pub(super) connection_limit: u32,
    /// How fast it takes mail; the settings say the same.
    pub(super) rate: Option<Rate>,
    /// Messages that it takes on one connection; the settings say the same.
    pub(super) share: Option<u32>,
    /// It counts a message when it is complete, not at MAIL.
    pub(super) counts_at_end: bool,
    /// An admin paused it.
    pub(super) paused: bool,
    /// It is not in the settings now.
    pub(super) gone: bool,
}

/// The scenario.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) messages: Vec<Message>,
    /// The troubled part of the run; after it the gateway is up and nothing fails.
    pub(super) trouble_until: Micros,
    pub(super) gateways: Vec<Provider>,
    pub(super) queue_lifetime: Micros,
    pub(super) round_trip: Micros,
    /// The relay crashes before one event in so many; 0 for never.
    pub(super) crash_one_in: u64,
    /// Changes of the gateway's weather.
    pub(super) weather_changes: u64,
    /// What admins and users do: flush, hold, release, change settings.
    pub(super) interventions: u64,
    pub(super) clock_jumps: u64,
    /// Times at which the disk is full for a while.
    pub(super) disk_full: u64,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let trouble_until = random.pick(&[2 * MINUTE, 20 * MINUTE, 2 * HOUR, 12 * HOUR, 2 * DAY]);
        let backlog = random.one_in(100);
        let count = if backlog {
            random.between(300, 600)
        } else {
            random.between(1, 40)
        };
        let often: &[u64] = if backlog {
            &[0, 5000]
        } else {
            &[0, 0, 2000, 300, 60]
        };
        let crash_one_in = random.pick(often);
        let gateways = random.pick(&[1, 1, 2, 2, GATEWAYS_MAX]);
        Self {
            messages: (0..count)
                .map(|n| message(random, n, backlog, gateways))
                .collect(),
            trouble_until,
            gateways: (0..gateways)
                .map(|_| Provider::draw(random, backlog))
                .collect(),
            queue_lifetime: random.pick(&[5 * DAY, 5 * DAY, 5 * DAY, DAY, 2 * HOUR, 10 * MINUTE]),
            round_trip: random.between(MILLI, 80 * MILLI),
            crash_one_in,
            weather_changes: random.between(0, 4 + 4 * gateways as u64),
            interventions: random.between(0, 8),
            clock_jumps: if random.one_in(3) {
                random.between(1, 3)
            } else {
                0
            },
            disk_full: u64::from(random.one_in(6)),
        }
    }
}

fn rate(random: &mut Random, backlog: bool) -> Option<Rate> {
    if random.one_in(2) {
        return None;
    }
    let (low, high, per) = random.pick(&[(8, 20, 1), (8, 20, 1), (30, 60, 60), (60, 200, 3600)]);
    let (high, per) = if backlog { (20, 1) } else { (high, per) };
    let amount = u32::try_from(random.between(low.min(high), high)).expect("small");
    let of = random.pick(&[Counted::Messages, Counted::Messages, Counted::Recipients]);
    Some(Rate {
        amount: NonZeroU32::new(amount).expect("at least 8"),
        of,
        per: Duration::from_secs(per),
    })
}

impl Provider {
    fn draw(random: &mut Random, backlog: bool) -> Self {
        Self {
            max_connections: u32::try_from(random.between(1, 6)).expect("small"),
            fallback_after: random.pick(&[0, 30 * SECOND, 5 * MINUTE, 5 * MINUTE, HOUR]),
            connection_limit: random.pick(&[u32::MAX, u32::MAX, 10, 3, 1]),
            rate: rate(random, backlog),
            share: random.pick(&[None, None, Some(1), Some(5), Some(20)]),
            counts_at_end: random.one_in(2),
            paused: false,
            gone: false,
        }
    }
}

/// Most messages take the first gateway, and most of those that can have another one behind it.
fn route(random: &mut Random, gateways: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..gateways).collect();
    if random.one_in(4) {
        left.rotate_left(1);
    }
    let count = if random.one_in(5) { 1 } else { gateways };
    left.truncate(count);
    left
}

fn message(random: &mut Random, n: u64, backlog: bool, gateways: usize) -> Message {
    let lonely = random.one_in(if backlog { 40 } else { 6 });
    let submitter = if lonely {
        format!("lonely {n}")
    } else {
        format!("uid {}", random.between(0, 3))
    };
    let sender = if backlog {
        "app@x".to_owned()
    } else {
        format!("s{}@x", random.between(0, 4))
    };
    let recipients = if random.one_in(4) {
        random.between(2, 8)
    } else {
        1
    };
    Message {
        submitter,
        sender,
        recipients: (0..recipients).map(|_| fate(random, backlog)).collect(),
        content: if random.one_in(8) {
            fate(random, backlog)
        } else {
            Fate::Accepted
        },
        poison: !backlog && random.one_in(200),
        lonely,
        route: route(random, gateways),
    }
}

fn fate(random: &mut Random, backlog: bool) -> Fate {
    match random.between(0, 59) {
        0..=3 => Fate::Deferred(u8::try_from(random.between(1, 3)).expect("small")),
        4..=5 => Fate::Refused,
        6 if !backlog => Fate::DeferredForever,
        _ => Fate::Accepted,
    }
}
