//! What people do while the relay runs: flush, hold and release mail, remove it, change settings,
//! pause gateways.

use policy::schedule::Flush;

use super::Mutant;
use super::driver::{Session, Stage, gateway_id, is_down, queue_id};
use super::plan::{MINUTE, SECOND};
use super::world::{Event, Intervention, World};

impl World {
    pub(super) fn intervene(&mut self, intervention: Intervention) {
        if self.relay.is_none() {
            return self.after(SECOND, Event::Intervene(intervention));
        }
        let now = self.clocks();
        let live: Vec<u64> = self.disk.scan().map(|(id, _)| id).collect();
        let one = self.any_message(&live);
        match intervention {
            Intervention::FlushAll => self.scheduler().flush(&now, Flush::All),
            Intervention::FlushByUser => self.scheduler().flush(&now, Flush::ByUser),
            Intervention::FlushOne => self.scheduler().flush(&now, Flush::Id(queue_id(one))),
            Intervention::Hold | Intervention::Pause(_, true) | Intervention::Gone(_, true)
                if self.calm => {}
            Intervention::Hold => {
                self.disk.set_held(one, true);
                self.scheduler().hold(queue_id(one));
            }
            Intervention::Release => live.iter().for_each(|id| self.release(*id)),
            Intervention::Remove => self.remove(one),
            Intervention::Settings(gateway) => self.change_limits(gateway),
            Intervention::Pause(gateway, on) => self.pause(gateway, on),
            Intervention::Gone(gateway, gone) => {
                self.plan.gateways[gateway].gone = gone;
                self.settings_changed(&live);
                self.knows_anew(gateway);
            }
        }
        for checks in &mut self.checks {
            checks.waits_were_broken(intervention);
        }
        self.turns.clear();
        self.truth.waits_were_broken();
    }

    fn change_limits(&mut self, gateway: usize) {
        let most = u32::try_from(self.random.between(1, 6)).expect("small");
        let after = self.random.pick(&[0, MINUTE, 10 * MINUTE]);
        let provider = &mut self.plan.gateways[gateway];
        (provider.max_connections, provider.fallback_after) = (most, after);
        self.settings_changed(&[]);
    }

    /// Other settings are in force, by which these messages may go another way.
    fn settings_changed(&mut self, messages: &[u64]) {
        let (now, gateways) = (self.clocks(), self.gateway_limits());
        self.scheduler().set_gateways(&now, &gateways);
        for id in messages {
            let route = self.route_of(*id);
            self.scheduler().reroute(queue_id(*id), route);
        }
        self.scheduler().settings_changed(&now);
    }

    /// A gateway that was forgotten begins with a closed circuit.
    fn knows_anew(&mut self, gateway: usize) {
        let relay = self.relay.as_ref().expect("a relay runs");
        if !self.plan.gateways[gateway].gone && !is_down(relay, gateway_id(gateway)) {
            self.checks[gateway].knows_anew();
            self.routes.came_back(gateway);
        }
    }

    fn pause(&mut self, gateway: usize, on: bool) {
        if self.plan.gateways[gateway].gone {
            // Nobody can name a gateway that there is not.
            return;
        }
        self.plan.gateways[gateway].paused = on;
        if self.tells_pause(gateway) {
            self.scheduler().pause(gateway_id(gateway));
        } else {
            self.scheduler().resume(gateway_id(gateway));
        }
    }

    /// Whether the scheduler is to know that a gateway is paused.
    pub(super) fn tells_pause(&self, gateway: usize) -> bool {
        self.plan.gateways[gateway].paused && self.mutant != Some(Mutant::IgnoresPauses)
    }

    /// One of the live messages, in every other case one that is on its way.
    fn any_message(&mut self, live: &[u64]) -> u64 {
        let busy = |session: &Session| match session.stage {
            Stage::Busy(transaction) => Some(transaction.id),
            _ => None,
        };
        let under_way: Vec<u64> = self
            .relay_mut()
            .sessions
            .values()
            .filter_map(busy)
            .collect();
        if !under_way.is_empty() && self.random.one_in(2) {
            return self.random.pick(&under_way);
        }
        if live.is_empty() {
            0
        } else {
            self.random.pick(live)
        }
    }

    fn release(&mut self, id: u64) {
        let now = self.clocks();
        self.disk.set_held(id, false);
        self.scheduler().release(&now, queue_id(id));
    }

    fn remove(&mut self, id: u64) {
        if self.disk.get(id).is_some() {
            self.scheduler().remove(queue_id(id));
            self.truth.removed(id);
            self.disk.unlink(id);
            self.plan_name_sync();
        }
    }
}
