//! One session with the gateway from its first connect to its end: many transactions, one after the
//! other, as the dispatcher says. `wire` moves the bytes; what a reply means is `policy`'s business.

mod wire;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mail::repair;
use policy::from;
use policy::log::Line;
use policy::outgoing::Passage;
use policy::quota::Cost;
use policy::schedule::{AttemptEnd, AttemptOutcome, GatewayTrouble, SessionId, TroubleKind};
use policy::settings::Deliver;
use smtp::client::TransactionReport;
use smtp::dot::DotStuffer;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::attempt::Attempt;
use crate::capture;
use crate::dispatch::{Command, Event, SessionFailure};
use crate::password::Stamp;
use crate::quotas;
use crate::relay::Relay;
use crate::settle::{self, Timing};
use crate::target::Target;

use wire::{Stop, Wire};

/// Recipients of one transaction where neither the settings nor the gateway say (RFC 9422) how many
/// there may be. RFC 5321 section 4.5.3.1.8 has every server take 100, and most take more.
const MOST_RECIPIENTS: usize = 1000;

/// How much content is read and sent at a time.
const BLOCK_SIZE: usize = 64 * 1024;

/// How long a probe may take to connect, secure and authenticate. RFC 5321 gives a server five
/// minutes to greet; but while the gateway is down there is one probe at a time, and one that hangs
/// at a half-dead server would hide for as long that it is back.
const PROBE_WITHIN: Duration = Duration::from_secs(30);

/// Opens a session, obeys the dispatcher until it is told to quit or the session breaks, and
/// reports every end. `probe` says that it asks whether the gateway is back.
pub(crate) async fn run(
    relay: Arc<Relay>,
    gateway: String,
    id: SessionId,
    probe: bool,
    mut commands: mpsc::Receiver<Command>,
) {
    // Subscribed first: settings that change from here on are noticed.
    let reloads = relay.reloads.subscribe();
    let Some(target) = Target::named(&relay.running(), &gateway) else {
        // New settings are without it, which the dispatcher hears of next.
        return tell(&relay, Event::SessionClosed(id)).await;
    };
    if let Deliver::Capture(folder) = &target.gateway().deliver {
        let folder = folder.clone();
        return run_capture(&relay, &target, id, folder, commands, reloads).await;
    }
    let password = Stamp::of(target.gateway());
    let begun = host::clock::monotonic();
    let opened = tokio::select! {
        opened = open(&relay, &target, probe) => opened,
        () = relay.stopped() => return tell(&relay, Event::SessionClosed(id)).await,
    };
    let event = match opened {
        Err(trouble) => {
            let outdated = reloads.has_changed().unwrap_or(true);
            let failure = SessionFailure {
                trouble,
                password,
                outdated,
            };
            Event::SessionFailed(id, failure)
        }
        Ok(wire) => {
            tell(&relay, Event::SessionReady(id)).await;
            let session = Session {
                relay: Arc::clone(&relay),
                target,
                reloads,
                id,
                wire,
                setup: host::clock::monotonic().saturating_sub(begun),
                uses: 0,
                contents: 0,
            };
            session.work(&mut commands).await
        }
    };
    tell(&relay, event).await;
}

async fn open(relay: &Relay, target: &Target, probe: bool) -> Result<Wire, GatewayTrouble> {
    let opening = Wire::open(relay, target);
    if !probe {
        return opening.await;
    }
    timeout(PROBE_WITHIN, opening).await.unwrap_or_else(|_| {
        let (host, seconds) = (&target.gateway().host, PROBE_WITHIN.as_secs());
        let reason = format!("host {host} did not open a session within {seconds} s");
        Err(GatewayTrouble::new(TroubleKind::Unreachable, reason))
    })
}

async fn tell(relay: &Relay, event: Event) {
    // The dispatcher outlives the sessions, or nobody is left to tell.
    let _ = relay.events.send(event).await;
}

/// The session of a gateway that keeps mail from leaving: always ready.
async fn run_capture(
    relay: &Arc<Relay>,
    target: &Target,
    session: SessionId,
    folder: PathBuf,
    mut commands: mpsc::Receiver<Command>,
    mut reloads: watch::Receiver<u64>,
) {
    tell(relay, Event::SessionReady(session)).await;
    loop {
        let command = tokio::select! {
            biased;
            command = commands.recv() => command,
            _ = reloads.changed() => None,
        };
        let Some(Command::Deliver(id, only)) = command else {
            break;
        };
        if relay.is_stopping() {
            break;
        }
        let end = capture_one(relay, target, folder.clone(), id, only.as_deref()).await;
        tell(relay, Event::AttemptEnded { session, id, end }).await;
    }
    tell(relay, Event::SessionClosed(session)).await;
}

/// Puts one message into the Maildir.
async fn capture_one(
    relay: &Arc<Relay>,
    target: &Target,
    folder: PathBuf,
    id: mail::QueueId,
    only: Option<&[u32]>,
) -> AttemptEnd {
    let mut attempt = match Attempt::begin(relay, id, only).await {
        Ok(attempt) => attempt,
        Err(outcome) => return still_alive(outcome),
    };
    attempt.start_marking(relay, &target.gateway().name);
    if !attempt.marked(relay).await {
        return still_alive(AttemptOutcome::NotStarted);
    }
    let (meta, content) = (attempt.meta.clone(), attempt.take_content());
    let recipients: Vec<_> = attempt
        .recipients()
        .map(|recipient| recipient.address.clone())
        .collect();
    let stored = relay.disk.run(move || {
        let recipients: Vec<_> = recipients.iter().collect();
        let envelope = (meta.envelope.sender.as_ref(), recipients.as_slice());
        let mut content = content.ok_or("its content was used up")?;
        capture::store(&folder, meta.id, meta.arrival, envelope, &mut content)
            .map_err(|error| error.to_string())
    });
    let stored = stored.await.unwrap_or_else(|error| Err(error.to_string()));
    settle::settle_capture(relay, target, attempt, stored).await
}

fn still_alive(outcome: AttemptOutcome) -> AttemptEnd {
    AttemptEnd {
        outcome,
        session_alive: true,
    }
}

struct Session {
    relay: Arc<Relay>,
    /// As the settings had it when the session was opened.
    target: Target,
    reloads: watch::Receiver<u64>,
    id: SessionId,
    wire: Wire,
    /// How long connecting took, until the first transaction has logged it.
    setup: Duration,
    /// Transactions so far.
    uses: u32,
    /// Of these, those whose content was sent, or begun to be.
    contents: u32,
}

impl Session {
    /// Transactions as told, until the end; gives the last fact to report.
    async fn work(mut self, commands: &mut mpsc::Receiver<Command>) -> Event {
        loop {
            let command = tokio::select! {
                biased;
                command = commands.recv() => command,
                // A server that hangs up between transactions is no trouble.
                () = self.wire.overhear() => return Event::SessionClosed(self.id),
                _ = self.reloads.changed() => None,
            };
            let Some(Command::Deliver(id, only)) = command else {
                return self.close().await;
            };
            if self.relay.is_stopping() {
                // Nothing new is begun: the message waits on disk.
                return self.close().await;
            }
            let mut end = self.attempt(id, only.as_deref()).await;
            if end.session_alive && self.is_outdated(&end) {
                self.wire.quit().await;
                end.session_alive = false;
            }
            let (session, alive) = (self.id, end.session_alive);
            let event = Event::AttemptEnded { session, id, end };
            if !alive {
                return event;
            }
            tell(&self.relay, event).await;
        }
    }

    /// Whether the settings changed, and the session can end without telling that anything is wrong.
    fn is_outdated(&self, end: &AttemptEnd) -> bool {
        let answered = matches!(
            end.outcome,
            AttemptOutcome::Finished | AttemptOutcome::Partial | AttemptOutcome::Deferred
        );
        answered && self.reloads.has_changed().unwrap_or(true)
    }

    async fn close(mut self) -> Event {
        self.wire.quit().await;
        Event::SessionClosed(self.id)
    }

    /// One message: marked, sent, recorded.
    async fn attempt(&mut self, id: mail::QueueId, only: Option<&[u32]>) -> AttemptEnd {
        let mut attempt = match Attempt::begin(&self.relay, id, only).await {
            Ok(attempt) => attempt,
            Err(outcome) => return still_alive(outcome),
        };
        attempt.limit_recipients(self.most_recipients());
        let bulk = attempt.is_bulk();
        let prepared = attempt.prepare(&self.target, self.wire.capabilities());
        let (transaction, passage) = match prepared {
            Ok(prepared) => prepared,
            Err(unfit) => {
                return settle::settle_unfit(&self.relay, &self.target, attempt, &unfit).await;
            }
        };
        let cost = Cost {
            messages: 1,
            recipients: attempt.places.len() as u64,
        };
        let (quotas, gateway) = (&self.relay.quotas, self.target.gateway());
        let leave = quotas.take(&self.relay, gateway, cost, bulk).await;
        if let Err(refusal) = leave {
            return self.refused_by_quota(attempt, &refusal).await;
        }
        self.uses += 1;
        let begun = host::clock::monotonic();
        // The mark reaches the disk while the envelope travels; no content goes out before it (I4).
        attempt.start_marking(&self.relay, &self.target.gateway().name);
        self.wire.begin(transaction);
        let before = self.contents;
        let report = self.transact(&mut attempt, passage).await;
        if self.contents == before {
            // Nobody counts a message without content.
            let gateway = self.target.gateway();
            self.relay.quotas.give_back(gateway, cost).await;
        }
        let Some(report) = report else {
            // The session is dropped before the final dot, so nothing was handed over.
            attempt.abandon(&self.relay).await;
            return AttemptEnd {
                outcome: AttemptOutcome::NotStarted,
                session_alive: false,
            };
        };
        let timing = Timing {
            setup: std::mem::take(&mut self.setup),
            sending: host::clock::monotonic().saturating_sub(begun),
            uses: self.uses,
        };
        // A refused transaction is reset before the next; what was heard so far counts all the same.
        let session_alive = report.session_alive && matches!(self.wire.drive().await, Stop::Idle);
        let (relay, target, server) = (&self.relay, &self.target, &self.wire.server);
        AttemptEnd {
            outcome: settle::settle(relay, target, attempt, server, &report, timing).await,
            session_alive,
        }
    }

    /// How many recipients one transaction may have.
    fn most_recipients(&self) -> usize {
        let own = self.target.gateway().max_recipients.map(NonZeroU32::get);
        let announced = self.wire.capabilities().max_recipients;
        let most = own.or(announced).map(usize::try_from);
        most.and_then(Result::ok).unwrap_or(MOST_RECIPIENTS).max(1)
    }

    /// A message that there is no leave to send: it waits for its gateway, or alone.
    async fn refused_by_quota(&self, attempt: Attempt, refusal: &quotas::Refusal) -> AttemptEnd {
        match refusal.consequence(&self.target.gateway().name) {
            Ok(trouble) => {
                attempt.abandon(&self.relay).await;
                still_alive(AttemptOutcome::GatewayDown(trouble))
            }
            Err(reason) => {
                settle::settle_kept_back(&self.relay, &self.target, attempt, reason).await
            }
        }
    }

    /// The transaction up to its report; `None` if we are at fault and the session must be dropped.
    async fn transact(
        &mut self,
        attempt: &mut Attempt,
        passage: Passage,
    ) -> Option<TransactionReport> {
        let mut passage = Some(passage);
        loop {
            match self.wire.drive().await {
                Stop::Report(report) => return Some(report),
                Stop::Content => {
                    // Without a mark nothing is sent, and DATA cannot be taken back.
                    if !attempt.marked(&self.relay).await {
                        return None;
                    }
                    let passage = passage.take()?;
                    self.contents += 1;
                    if let Err(problem) = self.send_content(attempt, passage).await {
                        self.relay.log.warn(&format!(
                            "{}: not sent, since its content cannot be read: {problem}",
                            attempt.meta.id
                        ));
                        return None;
                    }
                }
                // Every transaction that was begun ends in a report before anything else.
                Stop::Idle | Stop::Closed(_) => return None,
            }
        }
    }

    /// Streams the content. An error means that it could not be read; a broken connection is the
    /// client's to report.
    async fn send_content(
        &mut self,
        attempt: &mut Attempt,
        mut passage: Passage,
    ) -> Result<(), String> {
        let mut stuffer = DotStuffer::new();
        let expected = usize::try_from(attempt.meta.size).unwrap_or(BLOCK_SIZE);
        let mut wire = Vec::with_capacity(expected.min(BLOCK_SIZE) * 9 / 8 + 16);
        let mut altered = Vec::new();
        loop {
            let block = attempt.next_block(&self.relay, BLOCK_SIZE).await?;
            if block.is_empty() {
                let changes = (passage.from.clone(), passage.finish(&mut altered));
                stuffer.push(&altered, &mut wire);
                stuffer.finish(&mut wire);
                self.wire.send_last(&wire).await;
                self.tell_changes(attempt.meta.id, &changes);
                return Ok(());
            }
            passage.feed(&block, &mut altered);
            stuffer.push(&altered, &mut wire);
            altered.clear();
            if wire.len() >= BLOCK_SIZE {
                if !self.wire.send_content(&wire).await {
                    return Ok(());
                }
                wire.clear();
            }
        }
    }

    /// Logs what went out other than it was handed in.
    fn tell_changes(&self, id: mail::QueueId, (from, repair): &(from::Changes, repair::Changes)) {
        let from = from.any().then(|| from.to_string());
        let repair = repair.any().then(|| repair.to_string());
        for what in from.iter().chain(&repair) {
            self.relay.log.write(&Line::Altered { id, what });
        }
    }
}
