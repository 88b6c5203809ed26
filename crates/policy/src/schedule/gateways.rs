//! The scheduler's gateways: those of the settings, which of them takes mail, what each does next.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::QueueId;

use super::circuit::{Circuit, Waker};
use super::facts::{Action, GatewaySummary, Now, SessionId};
use super::gateway::{Gateway, Step, Waiting};
use super::limits::GatewayLimits;
use super::lines::Lines;
use super::messages::Message;
use super::route::{GatewayId, Route};
use super::scheduler::Scheduler;

/// What an admin and the settings say of gateways.
impl Scheduler {
    /// These are the gateways from now on, each with what it allows. Sessions above a lower cap, and
    /// those with a gateway that is not among them, are closed as they become idle. What is known of a
    /// gateway is kept for the whole run, also while it is not among them.
    ///
    /// Messages whose route names none of them wait: [`Scheduler::reroute`] those.
    pub fn set_gateways(&mut self, now: &Now, gateways: &BTreeMap<GatewayId, GatewayLimits>) {
        for (id, gateway) in &mut self.gateways {
            gateway.set_gone(!gateways.contains_key(id));
        }
        for (id, limits) in gateways {
            let gateway = self
                .gateways
                .entry(*id)
                .or_insert_with(|| Gateway::new(*id));
            gateway.set_limits(now.mono, *limits);
        }
        self.review_gateways(now.mono);
        self.stand_anew();
    }

    /// The message goes by another route from now on, unless a gateway may have it already.
    pub fn reroute(&mut self, id: QueueId, route: Route) {
        let Some(place) = self.messages.get(&id).map(|message| message.place) else {
            return;
        };
        self.unfile(id);
        if let Some(message) = self.messages.get_mut(&id) {
            message.route = route;
        }
        self.file(id, place);
    }

    /// An admin wants nothing sent through a gateway: what is under way ends, nothing is begun. Mail
    /// that has another gateway for when this one is down goes there at once. It stays paused through
    /// every reload, and may be paused before the settings have it.
    pub fn pause(&mut self, gateway: GatewayId) {
        let unknown = || {
            let mut unknown = Gateway::new(gateway);
            unknown.set_gone(true);
            unknown
        };
        self.gateways.entry(gateway).or_insert_with(unknown).paused = true;
    }

    /// The end of [`Scheduler::pause`].
    pub fn resume(&mut self, gateway: GatewayId) {
        if let Some(gateway) = self.gateways.get_mut(&gateway) {
            gateway.paused = false;
        }
    }

    /// The settings or secrets changed: every gateway may be asked again at once, whatever it refused.
    pub fn settings_changed(&mut self, now: &Now) {
        for gateway in self.gateways.values_mut() {
            gateway.flush(now.mono, Waker::Settings);
        }
    }

    /// The secrets of one gateway changed: it may be asked again at once, whatever it refused.
    pub fn secret_changed(&mut self, now: &Now, gateway: GatewayId) {
        if let Some(gateway) = self.gateways.get_mut(&gateway) {
            gateway.flush(now.mono, Waker::Settings);
        }
    }

    /// Whether a gateway takes mail; `None` if there is no such gateway.
    #[must_use]
    pub fn circuit(&self, gateway: GatewayId) -> Option<&Circuit> {
        self.known(gateway).map(Gateway::circuit)
    }

    /// How a gateway does; `None` if there is no such gateway.
    #[must_use]
    pub fn gateway(&self, id: GatewayId) -> Option<GatewaySummary> {
        let gateway = self.known(id)?;
        Some(GatewaySummary {
            ready: self.lines.len_of(id),
            passed: self.lines.strays_of(id),
            sessions: usize::try_from(gateway.sessions()).unwrap_or(usize::MAX),
            paused: gateway.paused,
            out: gateway.out(),
        })
    }
}

/// Questions and decisions about gateways.
impl Scheduler {
    /// Something to be announced.
    pub(super) fn news(&mut self, now: Duration) -> Option<Action> {
        let lines = &self.lines;
        self.gateways.iter_mut().find_map(|(id, gateway)| {
            let waiting = lines.len_of(*id) + lines.strays_of(*id);
            gateway.news(now, waiting)
        })
    }

    /// Has mail pass gateways that are out, and come back to those that are no more.
    pub(super) fn review_gateways(&mut self, now: Duration) {
        let mut changed = false;
        for gateway in self.gateways.values_mut() {
            changed |= gateway.review(now);
        }
        if changed {
            self.stand_anew();
        }
    }

    /// The first gateway with something to do, and what.
    pub(super) fn next_step(&mut self, now: Duration) -> Option<(GatewayId, Step)> {
        let (lines, messages) = (&self.lines, &self.messages);
        let stalled = self.stalled_until.is_some();
        self.gateways.iter_mut().find_map(|(id, gateway)| {
            let waiting = if stalled {
                Waiting::default()
            } else {
                waiting(lines, messages, *id, gateway)
            };
            Some((*id, gateway.step(now, waiting)?))
        })
    }

    /// What this gateway is given next: whose turn it is in its line, or, while it is down, a message
    /// that would stand there if it were not.
    pub(super) fn next_message(&mut self, gateway: GatewayId) -> Option<QueueId> {
        let own = self.lines.give_turn(gateway);
        own.or_else(|| self.lines.stray(gateway))
    }

    /// What may be begun with a gateway now: nothing while our own disk is given a rest.
    pub(super) fn waiting(&self, id: GatewayId) -> Waiting {
        match (self.stalled_until, self.gateways.get(&id)) {
            (None, Some(gateway)) => waiting(&self.lines, &self.messages, id, gateway),
            _ => Waiting::default(),
        }
    }

    /// Messages that wait for this gateway, whether it takes mail or not.
    pub(super) fn waiting_for(&self, gateway: GatewayId) -> usize {
        self.lines.len_of(gateway) + self.lines.strays_of(gateway)
    }

    pub(super) fn message_on(&self, session: SessionId) -> Option<QueueId> {
        self.gateways.get(&session.gateway())?.message_on(session)
    }

    /// A gateway of the settings in force.
    fn known(&self, id: GatewayId) -> Option<&Gateway> {
        self.gateways.get(&id).filter(|gateway| !gateway.is_gone())
    }

    /// Sessions with all gateways.
    pub(super) fn sessions(&self) -> usize {
        let all = self.gateways.values().map(Gateway::sessions);
        usize::try_from(all.sum::<u32>()).unwrap_or(usize::MAX)
    }

    /// Messages in the lines of gateways that there are not.
    pub(super) fn stranded(&self) -> usize {
        let stranded = self
            .lines
            .lengths()
            .filter(|(id, _)| self.known(*id).is_none());
        stranded.map(|(_, length)| length).sum()
    }
}

/// What a gateway could be given: its line, and while it is down also the messages that passed it.
fn waiting(
    lines: &Lines,
    messages: &BTreeMap<QueueId, Message>,
    id: GatewayId,
    gateway: &Gateway,
) -> Waiting {
    let is_down = gateway.circuit().is_down();
    let strays = if is_down { lines.strays_of(id) } else { 0 };
    let stray = || lines.stray(id).filter(|_| is_down);
    let next = lines.head(id).or_else(stray);
    let next = next.and_then(|next| messages.get(&next));
    Waiting {
        ready: lines.len_of(id) + strays,
        recipients: next.map_or(1, |message| message.recipients),
    }
}
