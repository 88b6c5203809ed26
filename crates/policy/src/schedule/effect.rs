//! What a refusal asks of the one who sends: the part of a verdict that the scheduler carries out.

use super::facts::TroubleKind;
use crate::settings::Period;

/// What is to change at a gateway because of what it said. It goes with
/// [`super::GatewayTrouble::retry_after`], which says how long the gateway wants to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The connection is at fault, not the gateway: go on at once on a new one. It was closed for
    /// being idle, or for having had its share of messages.
    Reconnect,
    /// Mail is sent faster than allowed: fewer messages a minute, on the sessions that there are.
    SlowDown,
    /// Too many sessions are open: close this one, and open fewer.
    FewerConnections,
    /// The amount of mail allowed is used up: send nothing until it is renewed. `None` where the
    /// reply does not say for which time it is counted.
    PauseUntil(Option<Period>),
    /// The gateway cannot take mail now: ask again, later and later.
    BackOff,
    /// Only a person can help, as after a refused password or a blocked account: stop, raise an
    /// alarm, and ask again rarely.
    Park,
}

impl Effect {
    /// What trouble of a kind asks for where nothing more is known.
    #[must_use]
    pub const fn of(kind: TroubleKind) -> Self {
        match kind {
            TroubleKind::Unreachable | TroubleKind::Refused4xx => Self::BackOff,
            TroubleKind::Refused5xx
            | TroubleKind::Tls
            | TroubleKind::NoAuth
            | TroubleKind::Auth => Self::Park,
        }
    }
}
