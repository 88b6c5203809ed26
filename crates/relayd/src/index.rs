//! What is queued, in memory: what listings show and what attempts start from. The disk stays the
//! truth; this is rebuilt from it at every start.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mail::{Address, QueueId, Timestamp};
use policy::budget;
use policy::control::Selection;
use policy::listing::{QueueName, QueueRecord, QueuedRecipient};
use policy::schedule::GatewayId;
use spool::{Meta, Queue};

use crate::alarm::Survey;

/// How many entries a listing takes before it lets others at the index.
const PAGE: usize = 1000;

/// The reason of a recipient whose attempt was under way when relayd was killed (I4).
const UNCERTAIN: &str =
    "may have been delivered when relayd was stopped in the middle; it is tried again later";

/// One queued message.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) meta: Meta,
    /// A transaction with it is under way.
    pub(crate) active: bool,
    /// The gateway that it is for.
    pub(crate) gateway: GatewayId,
}

/// All queued messages by id.
#[derive(Default)]
pub(crate) struct Index(Mutex<BTreeMap<QueueId, Item>>);

impl Index {
    pub(crate) fn insert(&self, meta: Meta, gateway: GatewayId) {
        let item = Item {
            meta,
            active: false,
            gateway,
        };
        self.lock().insert(item.meta.id, item);
    }

    pub(crate) fn remove(&self, id: QueueId) {
        self.lock().remove(&id);
    }

    pub(crate) fn get(&self, id: QueueId) -> Option<Item> {
        self.lock().get(&id).cloned()
    }

    /// Changes one entry in place; nothing happens if it has left.
    pub(crate) fn update(&self, id: QueueId, change: impl FnOnce(&mut Item)) {
        if let Some(item) = self.lock().get_mut(&id) {
            change(item);
        }
    }

    /// Ids of the entries that fit.
    pub(crate) fn ids_where(&self, fits: impl Fn(&Item) -> bool) -> Vec<QueueId> {
        self.lock()
            .iter()
            .filter(|(_, item)| fits(item))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Counts what is queued, page by page; `is_about_sender` says of a reason whether it is that
    /// the gateway does not take the sender.
    pub(crate) fn survey(&self, is_about_sender: &dyn Fn(&str) -> bool) -> Survey {
        let mut survey = Survey::default();
        let mut after = None;
        loop {
            let entries = self.lock();
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let page = entries.range((start, Bound::Unbounded)).take(PAGE);
            let (mut seen, mut last) = (0, None);
            for (id, item) in page {
                (seen, last) = (seen + 1, Some(*id));
                item.count_in(*id, &mut survey, is_about_sender);
            }
            if seen < PAGE {
                return survey;
            }
            after = last;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// A page of records for a listing: those after `after` that belong to `queue`, and where the
    /// next page begins; `None` there at the end. `down` is why gateways take no mail at present: it
    /// is the reason of every recipient without one of its own.
    pub(crate) fn page(
        &self,
        after: Option<QueueId>,
        queue: QueueName,
        down: &BTreeMap<GatewayId, String>,
    ) -> (Option<QueueId>, Vec<QueueRecord>) {
        let entries = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut last, mut records) = (None, Vec::new());
        for (seen, (id, item)) in entries.range((start, Bound::Unbounded)).enumerate() {
            if seen == PAGE {
                return (last, records);
            }
            last = Some(*id);
            if item.queue() == queue {
                let waiting_for = down.get(&item.gateway).map(String::as_str);
                records.push(item.record(waiting_for));
            }
        }
        (None, records)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueId, Item>> {
        // A panic elsewhere leaves whole entries behind: every change is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Item {
    /// The queue that it is listed in.
    fn queue(&self) -> QueueName {
        match self.meta.queue {
            _ if self.active => QueueName::Active,
            Queue::Deferred => QueueName::Deferred,
            Queue::Hold => QueueName::Hold,
            Queue::Incoming | Queue::Corrupt | Queue::Maildrop => QueueName::Incoming,
        }
    }

    /// Adds it to a survey.
    fn count_in(&self, id: QueueId, survey: &mut Survey, is_about_sender: &dyn Fn(&str) -> bool) {
        let meta = &self.meta;
        if meta.queue == Queue::Hold {
            survey.held += 1;
            return;
        }
        survey.waiting += 1;
        survey.deferred += u64::from(meta.queue == Queue::Deferred);
        let mut states = meta.recipients.iter().filter(|state| state.done.is_none());
        let reason = states
            .find_map(|state| state.last.as_ref())
            .map(|last| &last.text);
        if reason.is_some_and(|text| is_about_sender(text)) {
            survey.refused_senders += 1;
            if survey.refused_sender.is_none() {
                let sender = meta.envelope.sender.as_ref();
                let sender = sender.map_or("<>".to_owned(), ToString::to_string);
                survey.refused_sender = Some((sender, reason.cloned().unwrap_or_default()));
            }
        }
        let is_older =
            |(_, arrival, _): &(QueueId, Timestamp, Option<String>)| meta.arrival < *arrival;
        if survey.oldest.as_ref().is_none_or(is_older) {
            survey.oldest = Some((id, meta.arrival, reason.cloned()));
        }
    }

    /// How it is listed: recipients that are done are left out, as in Postfix.
    fn record(&self, waiting_for: Option<&str>) -> QueueRecord {
        let meta = &self.meta;
        let waiting_for = waiting_for.filter(|_| !self.active && meta.queue != Queue::Hold);
        let states = meta.envelope.recipients.iter().zip(&meta.recipients);
        let recipients = states
            .filter(|(_, state)| state.done.is_none())
            .map(|(recipient, state)| {
                let last = state.last.as_ref().map(|outcome| outcome.text.as_str());
                // A crash left no words about the attempt that it ended.
                let own = last.or((state.uncertain && !self.active).then_some(UNCERTAIN));
                QueuedRecipient {
                    address: recipient.address.to_string(),
                    reason: own.or(waiting_for).map(str::to_owned),
                }
            })
            .collect();
        QueueRecord {
            queue_name: self.queue(),
            id: meta.id.to_string(),
            forced_expire: false,
            arrival: meta.arrival,
            size: meta.size,
            sender: meta.envelope.sender.as_ref().map(Address::to_string),
            recipients,
        }
    }

    /// Whether an admin's selection means it.
    pub(crate) fn is_selected(&self, selection: &Selection) -> bool {
        let meta = &self.meta;
        let sender = meta.envelope.sender.as_ref();
        match selection {
            Selection::All => true,
            Selection::Id(id) => *id == meta.id.to_string(),
            Selection::Sender(text) => sender
                .map_or("<>", Address::as_str)
                .eq_ignore_ascii_case(text),
            Selection::Recipient(text) => meta
                .pending()
                .filter_map(|place| meta.envelope.recipients.get(place as usize))
                .any(|recipient| recipient.address.as_str().eq_ignore_ascii_case(text)),
            Selection::Origin(text) => budget::account(&meta.origin.submitter) == *text,
        }
    }

    /// Whether a recipient that is not done is at `site`, a domain (`postqueue -s`).
    pub(crate) fn is_for_site(&self, site: &str) -> bool {
        let states = self
            .meta
            .envelope
            .recipients
            .iter()
            .zip(&self.meta.recipients);
        states
            .filter(|(_, state)| state.done.is_none())
            .any(|(recipient, _)| {
                recipient
                    .address
                    .domain()
                    .is_some_and(|domain| domain.eq_ignore_ascii_case(site))
            })
    }
}
