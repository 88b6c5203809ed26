//! The lines of all gateways. A message in line stands in one of them; a gateway that it passed, since
//! that is down, knows it as a stray: it is asked whether it is back for the sake of its strays, and
//! one of them is what it is asked with.

use std::collections::{BTreeMap, BTreeSet};

use mail::QueueId;

use super::fairness::Line;
use super::origins::Origin;
use super::route::{GatewayId, Route, Standing};

/// Every message that is ready to go.
#[derive(Debug, Default)]
pub(super) struct Lines {
    of: BTreeMap<GatewayId, Line>,
    strays: BTreeMap<GatewayId, BTreeSet<(u64, QueueId)>>,
    len: usize,
}

impl Lines {
    /// Puts a message in line.
    pub(super) fn push(&mut self, standing: &Standing, origin: Origin, rank: u64, id: QueueId) {
        self.of
            .entry(standing.at)
            .or_default()
            .push(origin, rank, id);
        for gateway in standing.passed() {
            self.strays.entry(gateway).or_default().insert((rank, id));
        }
        self.len += 1;
    }

    /// Takes a message of this route out of the line where it stands.
    pub(super) fn remove(&mut self, at: GatewayId, route: &Route, key: (Origin, u64, QueueId)) {
        let (origin, rank, id) = key;
        if let Some(line) = self.of.get_mut(&at) {
            line.remove(origin.id, rank, id);
            if line.len() == 0 {
                self.of.remove(&at);
            }
        }
        for gateway in route.choices() {
            if let Some(strays) = self.strays.get_mut(&gateway) {
                strays.remove(&(rank, id));
                if strays.is_empty() {
                    self.strays.remove(&gateway);
                }
            }
        }
        self.len -= 1;
    }

    /// The message whose turn is next at this gateway.
    pub(super) fn head(&self, gateway: GatewayId) -> Option<QueueId> {
        let (_, (_, _, id)) = self.of.get(&gateway)?.head()?;
        Some(id)
    }

    /// Gives a turn at this gateway, to the message that is returned. It stays in line.
    pub(super) fn give_turn(&mut self, gateway: GatewayId) -> Option<QueueId> {
        let (_, _, id) = self.of.get_mut(&gateway)?.give_turn()?;
        Some(id)
    }

    /// The oldest stray of this gateway.
    pub(super) fn stray(&self, gateway: GatewayId) -> Option<QueueId> {
        let (_, id) = self.strays.get(&gateway)?.first()?;
        Some(*id)
    }

    /// Messages in the line of this gateway.
    pub(super) fn len_of(&self, gateway: GatewayId) -> usize {
        self.of.get(&gateway).map_or(0, Line::len)
    }

    /// Messages that passed this gateway.
    pub(super) fn strays_of(&self, gateway: GatewayId) -> usize {
        self.strays.get(&gateway).map_or(0, BTreeSet::len)
    }

    /// Messages in any line.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The gateways that have a line, with its length.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (GatewayId, usize)> {
        self.of.iter().map(|(gateway, line)| (*gateway, line.len()))
    }
}
