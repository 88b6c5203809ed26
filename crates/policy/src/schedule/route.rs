//! Which gateways a message may go through, in which order, and which of them it waits for now.

use std::fmt;

/// Most gateways that one message can choose from.
pub const CHOICES_MAX: usize = 4;

/// A gateway of the settings. The caller gives the numbers and keeps each for one gateway for as
/// long as it runs, whatever is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(u16);

impl GatewayId {
    /// The gateway of this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gateway {}", self.0)
    }
}

/// Why a gateway takes no mail, so that mail goes through another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Out {
    /// It has been down for [`super::GatewayLimits::fallback_after`], or it is paused or gone.
    Down,
    /// Its quota is used up.
    Spent,
}

/// When a gateway takes over from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// That one is [`Out::Down`].
    Down,
    /// That one is [`Out::Spent`].
    Spent,
    /// That one takes no mail for either reason.
    Either,
}

impl When {
    /// Whether it is for this reason.
    #[must_use]
    pub const fn covers(self, why: Out) -> bool {
        matches!(
            (self, why),
            (Self::Either, _) | (Self::Down, Out::Down) | (Self::Spent, Out::Spent)
        )
    }
}

/// The gateways that a message may go through, the preferred one first: at least one and at most
/// [`CHOICES_MAX`]. Weights and rules about senders are the caller's business, who picks the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    first: GatewayId,
    others: [Option<(GatewayId, When)>; CHOICES_MAX - 1],
}

impl Route {
    /// Only this gateway.
    #[must_use]
    pub const fn to(first: GatewayId) -> Self {
        Self {
            first,
            others: [None; CHOICES_MAX - 1],
        }
    }

    /// The same with one more gateway behind those that it has. `None` if there is no room for it, or
    /// if it is there already.
    #[must_use]
    pub fn or(mut self, gateway: GatewayId, when: When) -> Option<Self> {
        if self.choices().any(|known| known == gateway) {
            return None;
        }
        let free = self.others.iter_mut().find(|other| other.is_none())?;
        *free = Some((gateway, when));
        Some(self)
    }

    /// The preferred one.
    #[must_use]
    pub const fn first(&self) -> GatewayId {
        self.first
    }

    /// All of them, in order.
    pub fn choices(&self) -> impl Iterator<Item = GatewayId> {
        let others = self.others.iter().flatten().map(|(gateway, _)| *gateway);
        std::iter::once(self.first).chain(others)
    }

    /// Where a message of this route stands, given what is out: at the first gateway that takes mail,
    /// or at the first of all if none does.
    pub(super) fn standing(&self, out: impl Fn(GatewayId) -> Option<Out>) -> Standing {
        let mut passed = [None; CHOICES_MAX];
        let mut why = match out(self.first) {
            None => return Standing::at(self.first),
            Some(why) => why,
        };
        passed[0] = Some(self.first);
        for (slot, (gateway, when)) in passed[1..].iter_mut().zip(self.others.iter().flatten()) {
            if !when.covers(why) {
                continue;
            }
            match out(*gateway) {
                None => {
                    return Standing {
                        at: *gateway,
                        passed,
                    };
                }
                Some(other) => (*slot, why) = (Some(*gateway), other),
            }
        }
        passed[0] = None;
        Standing {
            at: self.first,
            passed,
        }
    }
}

/// Where a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// In the line of this gateway.
    pub(super) at: GatewayId,
    /// These take no mail, and would have it if they did: it is theirs to ask whether they are back.
    pub(super) passed: [Option<GatewayId>; CHOICES_MAX],
}

impl Standing {
    /// At this gateway, whatever others do.
    pub(super) const fn at(gateway: GatewayId) -> Self {
        Self {
            at: gateway,
            passed: [None; CHOICES_MAX],
        }
    }

    pub(super) fn passed(&self) -> impl Iterator<Item = GatewayId> {
        self.passed.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: GatewayId = GatewayId::new(0);
    const B: GatewayId = GatewayId::new(1);
    const C: GatewayId = GatewayId::new(2);

    fn route() -> Route {
        let route = Route::to(A).or(B, When::Down).unwrap();
        route.or(C, When::Either).unwrap()
    }

    /// Where mail stands, and whom it passed, with some gateways out.
    fn standing(out: &[(GatewayId, Out)]) -> (GatewayId, Vec<GatewayId>) {
        let why = |gateway| {
            let found = out.iter().find(|(other, _)| *other == gateway);
            found.map(|(_, why)| *why)
        };
        let standing = route().standing(why);
        (standing.at, standing.passed().collect())
    }

    #[test]
    fn mail_goes_to_the_first_gateway_that_takes_over_for_the_reason_at_hand() {
        assert_eq!(standing(&[]), (A, vec![]));
        assert_eq!(standing(&[(B, Out::Down)]), (A, vec![]));
        assert_eq!(standing(&[(A, Out::Down)]), (B, vec![A]));
        assert_eq!(standing(&[(A, Out::Spent)]), (C, vec![A]));
        assert_eq!(
            standing(&[(A, Out::Down), (B, Out::Spent)]),
            (C, vec![A, B])
        );
        assert_eq!(standing(&[(A, Out::Spent), (B, Out::Down)]), (C, vec![A]));
    }

    #[test]
    fn where_all_are_out_it_waits_at_the_first_and_the_others_are_asked_too() {
        let all = [(A, Out::Down), (B, Out::Down), (C, Out::Down)];
        assert_eq!(standing(&all), (A, vec![B, C]));
        assert_eq!(standing(&[(A, Out::Spent), (C, Out::Down)]), (A, vec![C]));
    }

    #[test]
    fn a_route_has_each_gateway_once_and_four_at_most() {
        assert_eq!(route().or(B, When::Either), None);
        let full = route().or(GatewayId::new(3), When::Down).unwrap();
        assert_eq!(full.choices().count(), CHOICES_MAX);
        assert_eq!(full.or(GatewayId::new(4), When::Down), None);
    }
}
