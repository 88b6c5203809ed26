//! What the dispatcher tells the scheduler of the gateways, and others of how they do.

use std::collections::BTreeMap;

use policy::alarm::Down;
use policy::log::Line;
use policy::route;
use policy::schedule::{Circuit, GatewayId, GatewayLimits, GatewaySummary, Limits, Out, Summary};
use policy::settings::Gateway;

use super::Dispatcher;
use crate::relay::Relay;
use crate::running::Running;

/// How the gateways do, for listings and `STATUS`.
pub(crate) struct States {
    /// Those of the settings, in their order.
    pub(crate) gateways: Vec<GatewayState>,
    pub(crate) summary: Summary,
}

/// How one does.
pub(crate) struct GatewayState {
    pub(crate) id: GatewayId,
    pub(crate) name: String,
    /// Why it takes no mail; `None` while it does.
    pub(crate) down: Option<String>,
    /// The same for alarms.
    pub(crate) trouble: Option<Down>,
    /// Whether it has taken a session since relayd was started.
    pub(crate) proven: bool,
    pub(crate) numbers: GatewaySummary,
}

impl Dispatcher {
    /// Logs which gateways' mail goes through others from now on.
    pub(super) fn tell_who_takes_over(&mut self) {
        for (place, gateway) in self.relay.running().settings.gateways.iter().enumerate() {
            let id = self.relay.numbers.of(&gateway.name);
            let out = self.scheduler.gateway(id).and_then(|gateway| gateway.out);
            let before = match out {
                Some(out) => self.passed.insert(id, out),
                None => self.passed.remove(&id),
            };
            let all = &self.relay.running().settings.gateways;
            let others = route::others(all, place).into_iter();
            let next = others.filter(|(_, when)| out.is_some_and(|out| when.covers(out)));
            let names: Vec<&str> = next
                .filter_map(|(place, _)| all.get(place))
                .map(|other| other.name.as_str())
                .collect();
            if before != out && !names.is_empty() {
                self.relay.log.write(&Line::TakenOver {
                    gateway: &gateway.name,
                    others: &names.join(", "),
                    spent: out == Some(Out::Spent),
                });
            }
        }
    }

    pub(super) fn why_down(&self, gateway: GatewayId) -> Option<String> {
        match self.scheduler.circuit(gateway) {
            Some(Circuit::Down { reason, .. }) => Some(reason.clone()),
            _ => None,
        }
    }

    fn trouble(&self, gateway: GatewayId) -> Option<Down> {
        match self.scheduler.circuit(gateway) {
            Some(Circuit::Down {
                since,
                kind,
                reason,
                ..
            }) => Some(Down {
                kind: *kind,
                lasting: host::clock::monotonic().saturating_sub(*since),
                reason: reason.clone(),
            }),
            _ => None,
        }
    }

    pub(super) fn states(&self) -> States {
        let running = self.relay.running();
        let gateways = running.settings.gateways.iter().map(|gateway| {
            let id = self.relay.numbers.of(&gateway.name);
            GatewayState {
                id,
                name: gateway.name.clone(),
                down: self.why_down(id),
                trouble: self.trouble(id),
                proven: self.proven.contains(&id),
                numbers: self.scheduler.gateway(id).unwrap_or_default(),
            }
        });
        States {
            gateways: gateways.collect(),
            summary: self.scheduler.summary(),
        }
    }
}

/// What holds whatever the gateway.
pub(super) fn limits(running: &Running) -> Limits {
    Limits {
        queue_lifetime: running.settings.queue_lifetime,
        ..Limits::default()
    }
}

/// What each gateway of the settings allows.
pub(super) fn gateways(relay: &Relay, running: &Running) -> BTreeMap<GatewayId, GatewayLimits> {
    let limits = |gateway: &Gateway| {
        let usual = GatewayLimits::default();
        let fallback = gateway.fallback.as_ref();
        let limits = GatewayLimits {
            max_connections: gateway.max_connections,
            idle_close: gateway.idle_close,
            max_messages_per_connection: gateway.max_messages_per_connection,
            rate: gateway.rate,
            fallback_after: fallback.map_or(usual.fallback_after, |next| next.after),
        };
        (relay.numbers.of(&gateway.name), limits)
    };
    running.settings.gateways.iter().map(limits).collect()
}
