//! What may still be sent through each gateway, counted on disk so that a crash never makes it more.
//!
//! Leave to send is taken from the ledger in portions, which are on disk before anything is sent on
//! them; most messages so cost no write. What a portion has left is lost with a crash, and is given
//! back when the next is taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail::Timestamp;
use policy::alarm::QuotaFacts;
use policy::log::Line;
use policy::quota::{self, Cost, Grant, Ledger, Level, Limit, Spent};
use policy::schedule::{Effect, GatewayTrouble, TroubleKind};
use policy::settings::Gateway;
use spool::{Note, RealDisk, Spool};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::disk::Panicked;
use crate::log::Log;
use crate::relay::Relay;

/// The ledger, and the portions that are being used up.
#[derive(Clone, Default)]
pub(crate) struct Quotas(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    ledger: Ledger,
    portions: BTreeMap<String, Portion>,
    /// What was said last of each gateway's limits.
    told: BTreeMap<(String, usize), Level>,
}

/// Leave that was given, and how much of it is used.
struct Portion {
    grant: Grant,
    limits: Vec<Limit>,
    used: Cost,
}

/// Why a message must not be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The quota is used up until then.
    Spent { limit: Limit, until: Timestamp },
    /// What is left is not for bulk.
    Reserved,
    /// The ledger could not be written; nothing may be sent that it does not count.
    Unwritten(String),
}

impl Quotas {
    /// Takes up the ledger of an earlier run.
    ///
    /// # Errors
    /// It cannot be read, and why. What was sent before is not known then.
    pub(crate) fn load(&self, spool: &Spool<RealDisk>) -> Result<(), String> {
        let kept = spool
            .note(Note::Quotas)
            .map_err(|error| error.to_string())?;
        let Some(bytes) = kept else {
            return Ok(());
        };
        let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        let ledger = Ledger::from_text(&text).map_err(|error| error.to_string())?;
        // Nobody else has it yet.
        if let Ok(mut state) = self.0.try_lock() {
            state.ledger = ledger;
        }
        Ok(())
    }

    /// What was sent of each limit, for alarms.
    pub(crate) async fn facts(&self, gateways: &[Gateway], now: Timestamp) -> Vec<QuotaFacts> {
        let state = self.0.lock().await;
        let mut facts = Vec::new();
        for gateway in gateways {
            let limits = quota::limits(&gateway.quota).into_iter();
            facts.extend(limits.map(|limit| QuotaFacts {
                gateway: gateway.name.clone(),
                limit: limit.limit.to_string(),
                used: state.ledger.used(now, &gateway.name, &limit),
                of: limit.limit.amount,
            }));
        }
        facts
    }

    /// Leave for one transaction through a gateway.
    ///
    /// # Errors
    /// There is none now.
    pub(crate) async fn take(
        &self,
        relay: &Arc<Relay>,
        gateway: &Gateway,
        cost: Cost,
        bulk: bool,
    ) -> Result<(), Refusal> {
        if gateway.quota.limits.is_empty() {
            return Ok(());
        }
        let mut state = Arc::clone(&self.0).lock_owned().await;
        let limits = quota::limits(&gateway.quota);
        let now = host::clock::wall();
        let open = state.portions.get_mut(&gateway.name);
        if let Some(portion) = open.filter(|open| open.limits == limits && now < open.grant.until)
            && let Some(answer) = portion.use_up(cost, bulk)
        {
            return answer;
        }
        let (shared, gateway) = (Arc::clone(relay), gateway.clone());
        let renewed = relay
            .disk
            .run(move || renew(&mut state, &shared, &gateway, limits, (now, cost, bulk)));
        let failed = |error: Panicked| Err(Refusal::Unwritten(error.to_string()));
        renewed.await.unwrap_or_else(failed)
    }

    /// A transaction that took leave sent no content.
    pub(crate) async fn give_back(&self, gateway: &Gateway, cost: Cost) {
        if gateway.quota.limits.is_empty() {
            return;
        }
        if let Some(portion) = self.0.lock().await.portions.get_mut(&gateway.name) {
            portion.used = minus(portion.used, cost);
        }
    }
}

impl Refusal {
    /// What it means for the message and its gateway: trouble of the gateway, or a reason to put off
    /// the message alone.
    pub(crate) fn consequence(&self, gateway: &str) -> Result<GatewayTrouble, String> {
        let reason = |limit: &Limit| {
            let quota = limit.limit;
            format!("the quota of {quota} of gateway {gateway} is used up")
        };
        match self {
            Self::Spent { limit, until } => Ok(GatewayTrouble {
                effect: Effect::PauseUntil(Some(limit.limit.per)),
                retry_after: Some(until.since(host::clock::wall())),
                ..GatewayTrouble::new(TroubleKind::Refused4xx, reason(limit))
            }),
            Self::Reserved => Err(format!(
                "what is left of the quota of gateway {gateway} is kept for mail that is not bulk"
            )),
            Self::Unwritten(problem) => Ok(GatewayTrouble::new(
                TroubleKind::Refused4xx,
                format!("not sent, since the quota's ledger cannot be written: {problem}"),
            )),
        }
    }
}

impl Portion {
    /// Uses some of it up; `None` if there is not so much left.
    fn use_up(&mut self, cost: Cost, bulk: bool) -> Option<Result<(), Refusal>> {
        let wanted = plus(self.used, cost);
        if !within(wanted, self.grant.all) {
            return None;
        }
        if bulk && !within(wanted, self.grant.bulk) {
            return Some(Err(Refusal::Reserved));
        }
        self.used = wanted;
        Some(Ok(()))
    }
}

/// Takes the next portion, and has it on disk before it is used. Blocks on the disk.
fn renew(
    state: &mut OwnedMutexGuard<State>,
    relay: &Relay,
    gateway: &Gateway,
    limits: Vec<Limit>,
    (now, cost, bulk): (Timestamp, Cost, bool),
) -> Result<(), Refusal> {
    let State {
        ledger,
        portions,
        told,
    } = &mut **state;
    if let Some(old) = portions.remove(&gateway.name) {
        let rest = minus(old.grant.all, old.used);
        ledger.give_back(&gateway.name, &old.limits, &old.grant, rest);
    }
    let granted = ledger.grant(now, &gateway.name, &limits, gateway.quota.reserve, cost);
    tell_levels(&relay.log, told, ledger, &gateway.name, &limits, now);
    let grant = granted.map_err(|Spent { limit, until }| Refusal::Spent { limit, until })?;
    let written = relay
        .spool
        .keep_note(Note::Quotas, ledger.to_text().as_bytes());
    if let Err(error) = written {
        // On disk it may count all the same, which is the safe side.
        ledger.give_back(&gateway.name, &limits, &grant, grant.all);
        return Err(Refusal::Unwritten(error.to_string()));
    }
    let used = Cost::default();
    let mut portion = Portion {
        grant,
        limits,
        used,
    };
    let answer = portion.use_up(cost, bulk);
    portions.insert(gateway.name.clone(), portion);
    answer.unwrap_or(Err(Refusal::Reserved))
}

/// Warns when a quota reaches 80, 95 and 100 %.
fn tell_levels(
    log: &Log,
    told: &mut BTreeMap<(String, usize), Level>,
    ledger: &Ledger,
    gateway: &str,
    limits: &[Limit],
    now: Timestamp,
) {
    for (place, limit) in limits.iter().enumerate() {
        let level = ledger.level(now, gateway, limit);
        let before = told.insert((gateway.to_owned(), place), level);
        let percent = match level {
            Level::Fine => continue,
            Level::High => 80,
            Level::Critical => 95,
            Level::Spent => 100,
        };
        if before.unwrap_or_default() < level {
            let quota = &limit.limit.to_string();
            log.write(&Line::QuotaUsed {
                gateway,
                quota,
                percent,
            });
        }
    }
}

const fn plus(one: Cost, other: Cost) -> Cost {
    Cost {
        messages: one.messages.saturating_add(other.messages),
        recipients: one.recipients.saturating_add(other.recipients),
    }
}

const fn minus(one: Cost, other: Cost) -> Cost {
    Cost {
        messages: one.messages.saturating_sub(other.messages),
        recipients: one.recipients.saturating_sub(other.recipients),
    }
}

const fn within(cost: Cost, limit: Cost) -> bool {
    cost.messages <= limit.messages && cost.recipients <= limit.recipients
}
