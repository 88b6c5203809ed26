//! The far end: its weather, its connections, and what it did with the mail in truth.

use std::collections::BTreeSet;

use super::random::Random;

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
    /// Answers MAIL with a 451 that is about the account.
    Parks,
}

impl Weather {
    /// Every kind of trouble, the common ones more than once.
    const TROUBLES: [Self; 17] = [
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
}

impl Gateway {
    pub(super) const fn new() -> Self {
        Self {
            weather: Weather::Up,
            connections: BTreeSet::new(),
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
