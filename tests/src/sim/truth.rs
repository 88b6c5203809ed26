//! What really happens to each message, whatever the relay believes, and the invariants about
//! messages: nothing lost (I1), nothing sent twice but in the known window (I3, I4), nothing failed
//! for the gateway's sake (I5), nothing given up too soon.

use policy::schedule::{AttemptOutcome, Queued};

use super::disk::Mask;
use super::driver::index_of;
use super::gateway::Reply;
use super::plan::{Fate, GATEWAYS_MAX, HOUR, MINUTE, Message, Micros};
use super::world::Broken;

/// The least pause of a deferred message: 5 min, of which jitter takes up to a fifth.
const DEFERRED_MIN: Micros = 4 * MINUTE;
/// The least pause of an uncertain message: 15 min, as above.
const UNCERTAIN_MIN: Micros = 12 * MINUTE;

/// How often a message may break fresh sessions, while others pass, before it gets a timer.
const SUSPICION_MAX: u32 = 3;

/// All messages of a run.
#[derive(Debug)]
pub(super) struct Truth {
    messages: Vec<Record>,
    jumps: Vec<Micros>,
    duplicates: u64,
    /// Transactions that each gateway answered to their end.
    answered: [u64; GATEWAYS_MAX],
}

#[derive(Debug)]
struct Record {
    submitter: String,
    lonely: bool,
    poison: bool,
    recipients: Vec<Fate>,
    content: Fate,
    delivered: [u8; 8],
    failed: Mask,
    accepted_at: Option<Micros>,
    /// When the running relay learned of it.
    added_at: Micros,
    attempts: u32,
    /// Not to be sent before, unless somebody breaks the wait.
    not_before: Micros,
    /// Times in a row that the gateway broke under it.
    broken: u32,
    /// Of these, times that others had passed since the time before, and it stayed in line.
    suspicion: u32,
    /// Transactions that each gateway had answered when that happened there last.
    answered_then: [u64; GATEWAYS_MAX],
    /// The gateway that may have it, or may have had it in this run.
    tie: Option<usize>,
    removed: bool,
    expired: bool,
    /// The running relay knows it.
    live: bool,
}

impl Record {
    fn new(message: &Message) -> Self {
        Self {
            submitter: message.submitter.clone(),
            lonely: message.lonely,
            poison: message.poison,
            recipients: message.recipients.clone(),
            content: message.content,
            delivered: [0; 8],
            failed: 0,
            accepted_at: None,
            added_at: 0,
            attempts: 0,
            not_before: 0,
            broken: 0,
            suspicion: 0,
            answered_then: [0; GATEWAYS_MAX],
            tie: None,
            removed: false,
            expired: false,
            live: false,
        }
    }
}

impl Truth {
    pub(super) fn new(messages: &[Message]) -> Self {
        let messages = messages.iter().map(Record::new).collect();
        Self {
            messages,
            jumps: Vec::new(),
            duplicates: 0,
            answered: [0; GATEWAYS_MAX],
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(super) fn all_recipients(&self, id: u64) -> Mask {
        Mask::MAX >> (8 - self.messages[index(id)].recipients.len())
    }

    pub(super) fn acknowledged(&mut self, id: u64, now: Micros) {
        self.messages[index(id)].accepted_at = Some(now);
    }

    pub(super) fn is_acknowledged(&self, id: u64) -> bool {
        self.messages[index(id)].accepted_at.is_some()
    }

    pub(super) fn is_lonely(&self, id: u64) -> bool {
        self.messages[index(id)].lonely
    }

    pub(super) fn poison_waits(&self) -> bool {
        self.messages
            .iter()
            .any(|message| message.poison && message.live)
    }

    /// Submitters with mail in the queue.
    pub(super) fn live_submitters(&self) -> usize {
        let live = self.messages.iter().filter(|message| message.live);
        let names: std::collections::BTreeSet<&str> =
            live.map(|message| message.submitter.as_str()).collect();
        names.len()
    }

    pub(super) fn queued(&mut self, id: u64, now: Micros, queued: &Queued) {
        let message = &mut self.messages[index(id)];
        message.live = true;
        message.added_at = now;
        message.attempts = queued.attempts;
        message.broken = 0;
        message.suspicion = 0;
        message.tie = queued.uncertain.map(index_of);
        message.not_before = if queued.uncertain.is_some() {
            now + UNCERTAIN_MIN
        } else {
            0
        };
    }

    /// Whether this gateway may have had the message, as far as this run knows.
    pub(super) fn is_tied_to(&self, id: u64, gateway: usize) -> bool {
        self.messages[index(id)].tie == Some(gateway)
    }

    pub(super) fn jumped(&mut self, now: Micros) {
        self.jumps.push(now);
    }

    pub(super) fn waits_were_broken(&mut self) {
        self.messages
            .iter_mut()
            .for_each(|message| message.not_before = 0);
    }

    pub(super) fn removed(&mut self, id: u64) {
        let message = &mut self.messages[index(id)];
        (message.removed, message.live) = (true, false);
    }

    /// An attempt begins.
    pub(super) fn delivers(&self, id: u64, now: Micros) -> Result<(), Broken> {
        if now < self.messages[index(id)].not_before {
            return Err(format!(
                "I4: message {id} is tried again before its pause is over"
            ));
        }
        Ok(())
    }

    /// The gateway's answers to these recipients: accepted, and refused for good.
    pub(super) fn answer_recipients(&mut self, id: u64, tried: Mask) -> (Mask, Mask) {
        let (mut accepted, mut refused) = (0, 0);
        for (n, fate) in self.messages[index(id)].recipients.iter_mut().enumerate() {
            let bit = 1 << n;
            if tried & bit != 0 {
                match answer(fate) {
                    Reply::Accepted => accepted |= bit,
                    Reply::Refused => refused |= bit,
                    Reply::Deferred | Reply::Lost => {}
                }
            }
        }
        (accepted, refused)
    }

    /// The gateway's answer to the content.
    pub(super) fn answer_content(&mut self, id: u64) -> Reply {
        answer(&mut self.messages[index(id)].content)
    }

    /// The gateway takes responsibility. `done` is what the relay durably knew to be done.
    pub(super) fn taken(
        &mut self,
        id: u64,
        to: Mask,
        flagged: Mask,
        done: Mask,
    ) -> Result<(), Broken> {
        if to & done != 0 {
            return Err(format!(
                "I3: message {id} is sent again to recipients {:08b}, recorded as done",
                to & done
            ));
        }
        for n in (0..8).filter(|n| to & (1 << n) != 0) {
            let delivered = &mut self.messages[index(id)].delivered[n];
            if *delivered > 0 {
                self.duplicates += 1;
                if flagged & (1 << n) == 0 {
                    return Err(format!(
                        "I4: message {id}, recipient {n} is sent twice and was not uncertain"
                    ));
                }
            }
            *delivered = delivered.saturating_add(1);
        }
        Ok(())
    }

    /// Deliveries that were not the first, since last asked.
    pub(super) fn take_duplicates(&mut self) -> u64 {
        std::mem::take(&mut self.duplicates)
    }

    pub(super) fn recorded_sent(&self, id: u64, mask: Mask) -> Result<(), Broken> {
        let delivered = &self.messages[index(id)].delivered;
        match (0..8).find(|n| mask & (1 << n) != 0 && delivered[*n] == 0) {
            Some(n) => Err(format!(
                "I1: message {id}, recipient {n} is recorded as sent and was not"
            )),
            None => Ok(()),
        }
    }

    pub(super) fn recorded_failed(&mut self, id: u64, mask: Mask) -> Result<(), Broken> {
        let message = &mut self.messages[index(id)];
        let refused =
            |n: usize| message.content == Fate::Refused || message.recipients[n] == Fate::Refused;
        if let Some(n) = (0..8).find(|n| mask & (1 << n) != 0 && !refused(*n)) {
            return Err(format!(
                "I5: message {id}, recipient {n} failed although nobody refused it"
            ));
        }
        message.failed |= mask;
        Ok(())
    }

    /// The scheduler is told how an attempt ended.
    pub(super) fn attempt_told(
        &mut self,
        id: u64,
        gateway: usize,
        now: Micros,
        outcome: &AttemptOutcome,
    ) {
        let message = &mut self.messages[index(id)];
        message.attempts += 1;
        message.broken = 0;
        message.suspicion = 0;
        self.answered[gateway] += u64::from(!matches!(outcome, AttemptOutcome::Uncertain));
        match outcome {
            AttemptOutcome::Finished => message.live = false,
            AttemptOutcome::Deferred => message.not_before = now + DEFERRED_MIN,
            AttemptOutcome::Uncertain => {
                message.not_before = now + UNCERTAIN_MIN;
                message.tie = Some(gateway);
            }
            AttemptOutcome::Partial
            | AttemptOutcome::NotStarted
            | AttemptOutcome::GatewayDown(_) => {}
        }
    }

    /// The gateway failed under a message: it waits on the gateway, not on a timer, unless it keeps
    /// breaking what others do not.
    /// `fresh` tells that its session had not worked before.
    pub(super) fn went_back_in_line(
        &mut self,
        id: u64,
        gateway: usize,
        in_line: bool,
        fresh: bool,
    ) -> Result<(), Broken> {
        let message = &mut self.messages[index(id)];
        message.broken += 1;
        let answered = self.answered[gateway];
        let then = &mut message.answered_then[gateway];
        let others_passed = std::mem::replace(then, answered) != answered;
        message.suspicion += u32::from(fresh && in_line && others_passed);
        if message.suspicion > SUSPICION_MAX {
            return Err(format!(
                "I6: message {id} breaks sessions, others do not, and it is never set aside"
            ));
        }
        if !in_line && message.broken < 3 {
            return Err(format!(
                "I6: message {id} got a timer of its own for the gateway's trouble"
            ));
        }
        Ok(())
    }

    pub(super) fn expires(
        &mut self,
        id: u64,
        now: Micros,
        lifetime: Micros,
        gateway_down: bool,
    ) -> Result<(), Broken> {
        let message = &mut self.messages[index(id)];
        (message.expired, message.live) = (true, false);
        let accepted_at = message.accepted_at.unwrap_or(now);
        let in_this_run = now - message.added_at;
        // A jump between acceptance and restart cannot be told from time that went by.
        let fooled = self
            .jumps
            .iter()
            .any(|jump| (accepted_at..=message.added_at).contains(jump));
        let old = fooled || now - accepted_at >= lifetime;
        if old
            && in_this_run >= lifetime.min(HOUR)
            && (message.attempts + message.broken > 0 || gateway_down)
        {
            return Ok(());
        }
        Err(format!(
            "expiry: message {id} is given up at the age of {} us, {in_this_run} us after the start, after {} attempts",
            now - accepted_at,
            message.attempts
        ))
    }

    /// At the end: every accepted message was delivered, refused, given up or removed.
    pub(super) fn all_accounted_for(&self) -> Result<(), Broken> {
        for (id, message) in self.messages.iter().enumerate() {
            if message.accepted_at.is_none() {
                return Err(format!("drain: message {id} was never accepted"));
            }
            let given_up = message.expired || message.removed;
            let lost = |n: &usize| message.delivered[*n] == 0 && message.failed & (1 << n) == 0;
            if let Some(n) = (0..message.recipients.len()).find(lost)
                && !given_up
            {
                return Err(format!("I1: message {id}, recipient {n} is lost"));
            }
        }
        Ok(())
    }
}

/// What the gateway says of a fate when it is asked once more.
fn answer(fate: &mut Fate) -> Reply {
    match *fate {
        Fate::Accepted | Fate::Deferred(0) => Reply::Accepted,
        Fate::Refused => Reply::Refused,
        Fate::DeferredForever => Reply::Deferred,
        Fate::Deferred(times) => {
            *fate = Fate::Deferred(times - 1);
            Reply::Deferred
        }
    }
}

fn index(id: u64) -> usize {
    usize::try_from(id).expect("a small number")
}
