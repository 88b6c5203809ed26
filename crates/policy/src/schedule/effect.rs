//! What a refusal asks of the one who sends: the part of a verdict that the scheduler carries out.

use super::backoff::Backoff;
use super::facts::TroubleKind;
use crate::settings::Period;

/// How often a gateway is asked whether its quota for a day, or for we do not know how long, is
/// renewed.
const PAUSE_DAY: Backoff = Backoff::secs(1800, 3600);
/// The same of a quota for a month.
const PAUSE_MONTH: Backoff = Backoff::secs(3600, 6 * 3600);
/// The same of a gateway that only a person can help. At first it may be an outage that says so.
const PARKED: Backoff = Backoff::secs(5, 300);

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
    /// Whether it says nothing of how much we send or how many sessions we open.
    pub(super) const fn says_no_limit(self) -> bool {
        matches!(self, Self::Reconnect | Self::BackOff | Self::Park)
    }

    /// How often a gateway is asked again after trouble of this kind that asks for this.
    pub(super) const fn pace(self, kind: TroubleKind) -> Backoff {
        match (self, kind) {
            (Self::PauseUntil(Some(Period::Month)), _) => PAUSE_MONTH,
            (Self::PauseUntil(_), _) => PAUSE_DAY,
            (Self::Park, TroubleKind::Refused4xx | TroubleKind::Refused5xx) => PARKED,
            _ => kind.pace(),
        }
    }

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
