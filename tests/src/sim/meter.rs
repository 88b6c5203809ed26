//! A gateway's own count of mail, and the invariant about it: never more than the rate in any window.

use std::collections::VecDeque;

use super::plan::{Micros, Provider};
use super::world::Broken;

/// Most recipients of one message.
const RECIPIENTS_MAX: u32 = 8;

/// What came in the latest window.
#[derive(Debug)]
pub(super) struct Meter {
    /// When, by which run of the relay, how much.
    came: VecDeque<(Micros, u32, u32)>,
}

impl Meter {
    pub(super) const fn new() -> Self {
        Self {
            came: VecDeque::new(),
        }
    }

    pub(super) fn count(
        &mut self,
        now: Micros,
        run: u32,
        cost: u32,
        provider: &Provider,
    ) -> Result<(), Broken> {
        let Some(rate) = provider.rate else {
            return Ok(());
        };
        let window = rate.per.as_micros() as Micros;
        self.came.retain(|(at, ..)| at + window >= now);
        self.came.push_back((now, run, cost));
        let most = rate.amount.get();
        let all: u32 = self.came.iter().map(|(_, _, cost)| cost).sum();
        let same = self.came.iter().filter(|(_, other, _)| *other == run);
        let same: u32 = same.map(|(_, _, cost)| cost).sum();
        // A relay that was killed does not know what was under way then.
        let under_way = (provider.max_connections + 1) * RECIPIENTS_MAX;
        if same > most || all > most + under_way {
            return Err(format!(
                "rate: {same} ({all} by all runs) where {rate} is allowed"
            ));
        }
        Ok(())
    }
}
