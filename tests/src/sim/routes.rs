//! The invariants about which gateway a message goes through: the next one of its route only after
//! the one before has been down for long enough, and then in fact; never another one than the one that
//! may have it already (I4).

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use policy::schedule::{Circuit, GatewayId, GatewayLimits, MessageState, Route, When};
use policy::settings::Rate;

use super::Mutant;
use super::driver::{gateway_id, index, is_down, queue_id};
use super::plan::Micros;
use super::world::{Broken, World};

/// Messages of a run whose failover is looked at.
const LOOKED_THROUGH: usize = 100;

/// Since when each gateway has been down, by what the scheduler announces.
#[derive(Debug)]
pub(super) struct Routes {
    down_since: Vec<Option<Micros>>,
}

impl Routes {
    pub(super) fn new(gateways: usize) -> Self {
        Self {
            down_since: vec![None; gateways],
        }
    }

    pub(super) fn went_down(&mut self, gateway: usize, now: Micros) {
        self.down_since[gateway] = Some(now);
    }

    pub(super) fn came_back(&mut self, gateway: usize) {
        self.down_since[gateway] = None;
    }

    pub(super) fn crashed(&mut self) {
        self.down_since.fill(None);
    }
}

impl World {
    /// What the scheduler is told of the gateways.
    pub(super) fn gateway_limits(&self) -> BTreeMap<GatewayId, GatewayLimits> {
        let extra = u32::from(self.mutant == Some(Mutant::IgnoresTheCap)) * 2;
        let hasty = self.mutant == Some(Mutant::FailsOverAtOnce);
        let known = self.plan.gateways.iter().enumerate();
        let known = known.filter(|(_, provider)| !provider.gone);
        known
            .map(|(index, provider)| {
                let after = if hasty { 0 } else { provider.fallback_after };
                let deaf = self.mutant == Some(Mutant::IgnoresTheShare);
                let share = provider.share.filter(|_| !deaf);
                let limits = GatewayLimits {
                    rate: provider.rate.map(|rate| self.told(rate)),
                    max_messages_per_connection: share.and_then(NonZeroU32::new),
                    max_connections: provider.max_connections + extra,
                    fallback_after: Duration::from_micros(after),
                    ..GatewayLimits::default()
                };
                (gateway_id(index), limits)
            })
            .collect()
    }

    fn told(&self, rate: Rate) -> Rate {
        let twice = u32::from(self.mutant == Some(Mutant::IgnoresTheRate)) + 1;
        Rate {
            amount: rate
                .amount
                .saturating_mul(NonZeroU32::new(twice).expect("1 or 2")),
            ..rate
        }
    }

    /// The route that the settings in force give a message.
    pub(super) fn route_of(&self, id: u64) -> Route {
        let choices = self.choices(id);
        let (first, others) = choices.split_first().expect("at least one choice");
        let route = Route::to(gateway_id(*first));
        if self.mutant == Some(Mutant::NeverFailsOver) {
            return route;
        }
        others.iter().fold(route, |route, other| {
            let more = route.or(gateway_id(*other), When::Either);
            more.expect("at most three different gateways")
        })
    }

    /// The gateways that a message may go through, those of the settings only, unless it knows no
    /// such one.
    fn choices(&self, id: u64) -> Vec<usize> {
        let route = &self.plan.messages[index(id)].route;
        let there = |gateway: &usize| !self.plan.gateways[*gateway].gone;
        let left: Vec<usize> = route.iter().copied().filter(there).collect();
        if left.is_empty() { route.clone() } else { left }
    }

    /// A message goes to this gateway: it must be its turn, and the one that may have it already.
    pub(super) fn goes_through(
        &self,
        id: u64,
        gateway: usize,
        uncertain_at: Option<usize>,
    ) -> Result<(), Broken> {
        if let Some(tie) = uncertain_at
            && !self.plan.gateways[tie].gone
        {
            return if tie == gateway {
                Ok(())
            } else {
                Err(format!(
                    "I4: message {id} may be at gateway {tie} and goes to gateway {gateway}"
                ))
            };
        }
        // What it may have had keeps its way until the message is done.
        if self.truth.is_tied_to(id, gateway) {
            return Ok(());
        }
        let choices = self.choices(id);
        let before = choices.iter().take_while(|choice| **choice != gateway);
        for choice in before {
            if !self.is_out(*choice) {
                return Err(format!(
                    "failover: message {id} goes to gateway {gateway}, and gateway {choice} is not out"
                ));
            }
        }
        if choices.contains(&gateway) {
            Ok(())
        } else {
            Err(format!(
                "failover: message {id} has no way to gateway {gateway}"
            ))
        }
    }

    /// The gateway was down for long enough, or is not to be used.
    fn is_out(&self, gateway: usize) -> bool {
        let provider = &self.plan.gateways[gateway];
        let since = self.routes.down_since[gateway];
        let down = since.is_some_and(|since| self.now >= since + provider.fallback_after);
        let relay = self.relay.as_ref().expect("a relay runs");
        let circuit = relay.scheduler.circuit(gateway_id(gateway));
        let spent = circuit.is_some_and(Circuit::is_spent);
        down || spent || provider.paused || provider.gone
    }

    /// The scheduler rests: no mail waits for a gateway that is out while the next one is idle.
    pub(super) fn check_failover(&self) -> Result<(), Broken> {
        let relay = self.relay.as_ref().expect("a relay runs");
        let any_out = (0..self.plan.gateways.len()).any(|gateway| self.is_out(gateway));
        // A backlog takes too long to look through at every step.
        let too_many = self.plan.messages.len() > LOOKED_THROUGH;
        if !any_out || too_many || self.now < self.disk_trouble_until {
            return Ok(());
        }
        for (id, entry) in self.disk.scan() {
            let choices = self.choices(id);
            let tied = self.truth.is_tied_to(id, choices[0]);
            if tied || entry.state().uncertain_at().is_some() || !self.is_out(choices[0]) {
                continue;
            }
            let next = choices.iter().find(|choice| !self.is_out(**choice));
            let Some(next) = next.copied().map(gateway_id) else {
                continue;
            };
            let provider = &self.plan.gateways[usize::from(next.number())];
            let idle = !is_down(relay, next)
                && provider.rate.is_none()
                && !self.checks[usize::from(next.number())].was_slowed(self.now)
                && !relay
                    .sessions
                    .keys()
                    .any(|session| session.gateway() == next)
                && !self.checks[usize::from(next.number())].password_is_refused(self.now);
            let waits = relay.scheduler.state_of(queue_id(id)) == Some(MessageState::Ready);
            if idle && waits {
                return Err(format!(
                    "failover: message {id} waits for {}, which is out, and {next} is idle",
                    gateway_id(choices[0])
                ));
            }
        }
        Ok(())
    }
}
