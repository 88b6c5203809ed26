//! The far end: its weather, its connections, and what it did with the mail in truth.

use std::collections::BTreeSet;

use super::meter::Meter;
use super::plan::{Micros, Provider};
use super::random::Random;
use super::world::Broken;

/// How the gateway behaves for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Up,
    /// Connections are refused and those that exist are reset.
    Refused,
    /// Nothing answers; connections that exist hang.
    Blackhole,
    /// Greets with a 421.
    Greeting421,
    /// Greets with a 554.
    Greeting554,
    /// Takes so many connections, and greets others with a 421.
    TooMany(usize),
    /// Refuses the password.
    Password,
    /// Its certificate has run out.
    BadTls,
    /// Offers no AUTH.
    NoAuth,
    /// Answers fifty times slower.
    Slow,
    /// Takes content and drops the connection instead of answering.
    DropsAfterData,
    /// Drops the connection at MAIL.
    DropsAtMail,
    /// The same, and says so: the reply is known.
    SaysTooMany(usize),
    /// Answers MAIL with a 451 that is about the account.
    Parks,
    /// Calls for less at MAIL.
    Throttles,
    /// Says at MAIL that the quota is used up.
    Spent,
}

impl Weather {
    /// Every kind of trouble, the common ones more than once.
    const TROUBLES: [Self; 22] = [
        Self::Refused,
        Self::Refused,
        Self::Refused,
        Self::Blackhole,
        Self::Blackhole,
        Self::Greeting421,
        Self::Greeting554,
        Self::TooMany(1),
        Self::TooMany(2),
        Self::Password,
        Self::Password,
        Self::BadTls,
        Self::NoAuth,
        Self::Slow,
        Self::DropsAfterData,
        Self::DropsAtMail,
        Self::Parks,
        Self::SaysTooMany(1),
        Self::SaysTooMany(2),
        Self::Throttles,
        Self::Throttles,
        Self::Spent,
    ];

    pub(super) fn any_trouble(random: &mut Random) -> Self {
        random.pick(&Self::TROUBLES)
    }
}

/// The answer to one recipient or to a message's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Accepted,
    Deferred,
    Refused,
    /// There is none.
    Lost,
}

/// What a packet meets on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Arrives,
    Reset,
    Silence,
}

/// One connection, by the run of the relay and the session's number in it.
pub(super) type Connection = (u32, u64);

/// The gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) weather: Weather,
    connections: BTreeSet<Connection>,
    meter: Meter,
}

impl Gateway {
    pub(super) const fn new() -> Self {
        Self {
            weather: Weather::Up,
            connections: BTreeSet::new(),
            meter: Meter::new(),
        }
    }

    /// Changes the weather. A gateway that goes away resets its connections.
    pub(super) fn turn(&mut self, weather: Weather) {
        self.weather = weather;
        if weather == Weather::Refused {
            self.connections.clear();
        }
    }

    pub(super) fn connect(&mut self, connection: Connection) {
        self.connections.insert(connection);
    }

    pub(super) fn disconnect(&mut self, connection: Connection) {
        self.connections.remove(&connection);
    }

    pub(super) fn disconnect_all(&mut self) {
        self.connections.clear();
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Counts mail at a time; `run` is the run of the relay that sent it.
    pub(super) fn count(
        &mut self,
        now: Micros,
        run: u32,
        cost: u32,
        provider: &Provider,
    ) -> Result<(), Broken> {
        self.meter.count(now, run, cost, provider)
    }

    /// What becomes of bytes sent on a connection now.
    pub(super) fn reach(&self, connection: Connection) -> Reach {
        match self.weather {
            Weather::Blackhole => Reach::Silence,
            Weather::Refused => Reach::Reset,
            _ if self.connections.contains(&connection) => Reach::Arrives,
            _ => Reach::Reset,
        }
    }
}
