//! The invariant about whose turn it is (I7): a message alone of its submitter waits for at most one
//! message of each other submitter in its gateway's line.

use policy::schedule::Out;

use super::driver::{Relay, gateway_id};
use super::plan::GATEWAYS_MAX;
use super::world::Broken;

/// Who waits for a turn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Messages alone of their submitter, in whose line each stands, and how many may go before it.
    waiting: Vec<(u64, usize, usize)>,
    /// Which gateways were out when that was counted.
    out: Vec<Option<Out>>,
}

impl Turns {
    /// A message, alone of its submitter, stands in line at this gateway: `others` submitters may go
    /// first.
    pub(super) fn stands_in_line(&mut self, id: u64, gateway: usize, others: usize) {
        self.waiting.push((id, gateway, others));
    }

    /// An attempt begins: somebody's turn is over.
    pub(super) fn delivers(&mut self, id: u64, gateway: usize) -> Result<(), Broken> {
        self.given_up(id);
        let same = self.waiting.iter_mut().filter(|(_, at, _)| *at == gateway);
        for (waiting, _, left) in same {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| format!("I7: message {waiting} waits for more than its turn"))?;
        }
        Ok(())
    }

    /// A message leaves the line without a turn.
    pub(super) fn given_up(&mut self, id: u64) {
        self.waiting.retain(|(waiting, ..)| *waiting != id);
    }

    /// Where a gateway went out or came back, lines were made longer.
    pub(super) fn lines_may_have_moved(&mut self, relay: &Relay) {
        let gateways = (0..GATEWAYS_MAX).map(gateway_id);
        let out: Vec<_> = gateways
            .map(|id| relay.scheduler.gateway(id).and_then(|it| it.out))
            .collect();
        if out != self.out {
            self.clear();
            self.out = out;
        }
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
