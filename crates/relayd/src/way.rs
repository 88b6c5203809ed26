//! The way of each entry: which of its recipients are tried next, and through which gateways.
//!
//! The scheduler knows gateways by numbers; here they get them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mail::Timestamp;
use policy::route::{self, Shares, Source};
use policy::schedule::{GatewayId, Route};
use policy::settings::Gateway;
use spool::Meta;

/// The numbers of gateways by name. A name keeps its number for as long as relayd runs, whatever is
/// reloaded.
#[derive(Default)]
pub(crate) struct Numbers(Mutex<Vec<String>>);

impl Numbers {
    /// The number of a gateway, which it gets now if it has none.
    pub(crate) fn of(&self, name: &str) -> GatewayId {
        let mut names = self.lock();
        let place = names.iter().position(|known| known == name);
        let place = place.unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        // Nobody reloads 65,536 names.
        GatewayId::new(u16::try_from(place).unwrap_or(u16::MAX))
    }

    /// The name of a gateway that has a number.
    pub(crate) fn name(&self, gateway: GatewayId) -> String {
        let names = self.lock();
        let name = names.get(usize::from(gateway.number()));
        name.cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is tried next of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The recipients, by their places in the envelope; `None`: all that are not done.
    ///
    /// An entry is made for recipients of one way. Only new settings, or the time that it lay in
    /// `maildrop`, make it one of several; those are tried in turn.
    pub(crate) places: Option<Vec<u32>>,
    /// The gateways that they may go through.
    pub(crate) route: Route,
    /// The gateway that may have given them the message already.
    pub(crate) uncertain: Option<GatewayId>,
}

/// The way of an entry under these gateways, of which there is at least one.
pub(crate) fn way(gateways: &[Gateway], numbers: &Numbers, meta: &Meta) -> Way {
    let (places, shares) = match gateways {
        [_] => (None, vec![0]),
        _ => next_part(gateways, meta),
    };
    let first = route::pick(gateways, &shares, meta.id);
    let route = route_from(gateways, numbers, first);
    let uncertain = meta.uncertain && {
        let states = meta.recipients.iter().zip(0u32..);
        let tried = |place: &u32| places.as_ref().is_none_or(|all| all.contains(place));
        let mut states = states.filter(|(_, place)| tried(place));
        states.any(|(state, _)| state.uncertain && state.done.is_none())
    };
    let marked = meta
        .last_attempt
        .as_ref()
        .map(|mark| numbers.of(&mark.gateway));
    Way {
        uncertain: uncertain.then(|| marked.unwrap_or(route.first())),
        places,
        route,
    }
}

fn route_from(gateways: &[Gateway], numbers: &Numbers, first: usize) -> Route {
    let number = |place: usize| numbers.of(gateways.get(place).map_or("", |gateway| &gateway.name));
    let others = route::others(gateways, first).into_iter();
    others.fold(Route::to(number(first)), |route, (place, when)| {
        route.or(number(place), when).unwrap_or(route)
    })
}

/// The recipients whose turn it is, and who shares their mail: of several groups the one that was
/// tried the longest time ago, or never.
fn next_part(gateways: &[Gateway], meta: &Meta) -> (Option<Vec<u32>>, Shares) {
    let source = Source {
        submitter: &meta.origin.submitter,
        sender: meta.envelope.sender.as_ref(),
    };
    let mut groups: Vec<(Shares, Option<Timestamp>, Vec<u32>)> = Vec::new();
    for place in meta.pending() {
        let at = place as usize;
        let Some(recipient) = meta.envelope.recipients.get(at) else {
            continue;
        };
        let tried = meta
            .recipients
            .get(at)
            .and_then(|state| state.last.as_ref());
        let tried = tried.map(|outcome| outcome.at);
        let shares = route::shares(gateways, source, recipient);
        match groups.iter_mut().find(|(known, ..)| *known == shares) {
            Some((_, last, places)) => {
                *last = (*last).max(tried);
                places.push(place);
            }
            None => groups.push((shares, tried, vec![place])),
        }
    }
    if groups.len() == 1 {
        return groups
            .pop()
            .map_or((None, vec![0]), |(shares, ..)| (None, shares));
    }
    let next = groups.into_iter().min_by_key(|(_, last, _)| *last);
    next.map_or((None, vec![0]), |(shares, _, places)| {
        (Some(places), shares)
    })
}
