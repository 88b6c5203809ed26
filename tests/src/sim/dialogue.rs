//! The driver's sessions: each step of connecting, of a transaction, and of its end, against the
//! model gateway.

use policy::schedule::{
    AttemptEnd, AttemptOutcome, CONNECT_TIMEOUT, Effect, GatewayTrouble, MessageState, SessionId,
    TroubleKind,
};
use policy::settings::{Counted, Period};

use super::Mutant;
use super::disk::{Mask, Record};
use super::driver::{Stage, Transaction, at, index, queue_id};
use super::gateway::{Reach, Reply, Weather};
use super::plan::{Micros, SECOND};
use super::world::{Broken, Event, RelayEvent, World};

/// How long a session waits for an answer.
const ANSWER_TIMEOUT: Micros = 20 * SECOND;

impl World {
    pub(super) fn relay_event(&mut self, event: RelayEvent) -> Result<(), Broken> {
        match event {
            RelayEvent::Committed(id) if self.truth.is_acknowledged(id) => {}
            RelayEvent::Committed(id) => self.committed(id),
            RelayEvent::Syn(session, nth) => self.syn(session, nth),
            RelayEvent::Greeted(session) => return self.greeted(session),
            RelayEvent::TimedOut(session) => return self.session_breaks(session),
            RelayEvent::PeerCloses(session) => self.peer_closes(session),
            RelayEvent::Closed(session) => self.closed(session),
            RelayEvent::Marked(session, id) => self.marked(session, id),
            RelayEvent::Enveloped(session, id) => return self.enveloped(session, id),
            RelayEvent::Sent(session, id) => self.sent(session, id)?,
            RelayEvent::Replied(session, id, reply) => return self.replied(session, id, reply),
            RelayEvent::Synced => self.synced(),
            RelayEvent::NamesSynced => {
                self.relay_mut().names_planned = false;
                self.disk.sync_names();
            }
        }
        Ok(())
    }

    fn syn(&mut self, session: SessionId, nth: u32) {
        match self.far(session).weather {
            Weather::Refused => self.session_fails(session, TroubleKind::Unreachable),
            Weather::Blackhole => self.syn_lost(session, nth),
            _ => {
                let connection = self.connection(session);
                self.gateways[at(session)].connect(connection);
                self.set_stage(session, Stage::Greeting);
                self.relay_after(3 * self.round_trip(session), RelayEvent::Greeted(session));
            }
        }
    }

    /// The kernel asks again after 1, 2, 4, 8 s; the relay gives up after its own time.
    fn syn_lost(&mut self, session: SessionId, nth: u32) {
        let patient = self.mutant == Some(Mutant::PatientConnect);
        let patience = if patient {
            60 * SECOND
        } else {
            CONNECT_TIMEOUT.as_micros() as Micros
        };
        let (sent, next) = ((1 << nth) - 1, (1 << (nth + 1)) - 1);
        if next * SECOND < patience {
            self.relay_after((1 << nth) * SECOND, RelayEvent::Syn(session, nth + 1));
        } else {
            self.relay_after(patience - sent * SECOND, RelayEvent::TimedOut(session));
        }
    }

    fn greeted(&mut self, session: SessionId) -> Result<(), Broken> {
        match self.far(session).reach(self.connection(session)) {
            Reach::Silence => {
                self.relay_after(ANSWER_TIMEOUT, RelayEvent::TimedOut(session));
                return Ok(());
            }
            Reach::Reset => {
                self.session_fails(session, TroubleKind::Unreachable);
                return Ok(());
            }
            Reach::Arrives => {}
        }
        match self.far(session).weather {
            Weather::Greeting421 => self.session_fails(session, TroubleKind::Refused4xx),
            Weather::Greeting554 => {
                self.session_fails(session, TroubleKind::Refused5xx);
                return self.bounce_as_mutant();
            }
            Weather::TooMany(most) if self.far(session).connections() > most => {
                self.session_fails(session, TroubleKind::Refused4xx);
            }
            Weather::SaysTooMany(most) if self.far(session).connections() > most => {
                let effect = Effect::FewerConnections;
                self.session_fails_for(session, TroubleKind::Refused4xx, effect);
            }
            Weather::BadTls => self.session_fails(session, TroubleKind::Tls),
            Weather::NoAuth => self.session_fails(session, TroubleKind::NoAuth),
            Weather::Password => {
                let opened = self
                    .relay_mut()
                    .sessions
                    .get(&session)
                    .map_or(0, |entry| entry.opened);
                self.checks[at(session)].password_refused(self.now, opened)?;
                self.session_fails(session, TroubleKind::Auth);
            }
            _ => self.session_is_ready(session),
        }
        Ok(())
    }

    fn session_is_ready(&mut self, session: SessionId) {
        self.set_stage(session, Stage::Idle(self.now));
        let now = self.clocks();
        self.scheduler().session_ready(&now, session);
    }

    /// The session gives up waiting: in a transaction, or before one.
    fn session_breaks(&mut self, session: SessionId) -> Result<(), Broken> {
        let stage = self
            .relay_mut()
            .sessions
            .get(&session)
            .map(|entry| entry.stage);
        match stage {
            Some(Stage::Busy(transaction)) => {
                self.cancel(session, transaction.id, TroubleKind::Unreachable, false)
            }
            Some(_) => {
                self.session_fails(session, TroubleKind::Unreachable);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn session_fails(&mut self, session: SessionId, kind: TroubleKind) {
        self.session_fails_for(session, kind, Effect::of(kind));
    }

    fn session_fails_for(&mut self, session: SessionId, kind: TroubleKind, effect: Effect) {
        let Some(entry) = self.forget(session) else {
            return;
        };
        let checks = &mut self.checks[at(session)];
        checks.session_failed(self.now, kind, entry.probe);
        let relay = self.relay.as_ref().expect("a relay runs");
        checks.session_refused(self.now, session.gateway(), relay);
        let now = self.clocks();
        let trouble = trouble(kind, effect);
        self.scheduler().session_failed(&now, session, trouble);
        if self.mutant == Some(Mutant::Hammers) {
            self.scheduler().settings_changed(&now);
        }
    }

    fn peer_closes(&mut self, session: SessionId) {
        if self
            .relay_mut()
            .sessions
            .get(&session)
            .is_some_and(|entry| matches!(entry.stage, Stage::Idle(_)))
        {
            self.closed(session);
        }
    }

    fn closed(&mut self, session: SessionId) {
        if self.forget(session).is_some() {
            let now = self.clocks();
            self.scheduler().session_closed(&now, session);
        }
    }

    /// The mark of the attempt is durable: from here on a crash leaves the message in doubt.
    fn marked(&mut self, session: SessionId, id: u64) {
        let Some(transaction) = self.transaction(session, id) else {
            return;
        };
        if self.disk_full {
            let end = AttemptEnd {
                outcome: AttemptOutcome::NotStarted,
                session_alive: true,
            };
            return self.end(session, id, end);
        }
        if self.mutant != Some(Mutant::SkipsTheMark) {
            self.disk
                .append_durably(id, Record::Attempt(transaction.tried, at(session)));
        }
        self.relay_after(self.round_trip(session), RelayEvent::Enveloped(session, id));
    }

    fn enveloped(&mut self, session: SessionId, id: u64) -> Result<(), Broken> {
        let Some(mut transaction) = self.transaction(session, id) else {
            return Ok(());
        };
        match self.far(session).reach(self.connection(session)) {
            Reach::Silence => {
                self.relay_after(ANSWER_TIMEOUT, RelayEvent::TimedOut(session));
                return Ok(());
            }
            Reach::Reset => return self.cancel(session, id, TroubleKind::Unreachable, false),
            Reach::Arrives => {}
        }
        let count = self.count_transaction(session);
        let provider = &self.plan.gateways[at(session)];
        if provider.share.is_some_and(|share| count > share) {
            return Err(format!("share: transaction {count} of {session:?}"));
        }
        if !provider.counts_at_end {
            self.count_mail(self.run, session, transaction.tried)?;
        }
        match self.far(session).weather {
            Weather::DropsAtMail => {
                return self.cancel(session, id, TroubleKind::Unreachable, false);
            }
            Weather::Parks => return self.cancel(session, id, TroubleKind::Refused4xx, true),
            Weather::Throttles => {
                self.checks[at(session)].calls_for_less(self.now);
                let deaf = self.mutant == Some(Mutant::DeafToCalls);
                let effect = if deaf {
                    Effect::Reconnect
                } else {
                    Effect::SlowDown
                };
                return self.cancel_for(session, id, TroubleKind::Refused4xx, effect, true);
            }
            Weather::Spent => {
                let effect = Effect::PauseUntil(Some(Period::Day));
                return self.cancel_for(session, id, TroubleKind::Refused4xx, effect, true);
            }
            _ if count > self.plan.gateways[at(session)].connection_limit => {
                return self.cancel(session, id, TroubleKind::Refused4xx, false);
            }
            _ if self.plan.messages[index(id)].poison => {
                return self.cancel(session, id, TroubleKind::Unreachable, false);
            }
            _ => {}
        }
        (transaction.accepted, transaction.refused) =
            self.truth.answer_recipients(id, transaction.tried);
        self.set_stage(session, Stage::Busy(transaction));
        if transaction.accepted == 0 {
            return self.replied(session, id, Reply::Accepted);
        }
        self.relay_after(self.round_trip(session) / 2, RelayEvent::Sent(session, id));
        Ok(())
    }

    fn sent(&mut self, session: SessionId, id: u64) -> Result<(), Broken> {
        let Some(transaction) = self.transaction(session, id) else {
            return Ok(());
        };
        if self.mutant == Some(Mutant::RecordsBeforeReply) {
            self.disk
                .append_durably(id, Record::Done(transaction.accepted));
            self.truth.recorded_sent(id, transaction.accepted)?;
        }
        let Transaction {
            accepted, flagged, ..
        } = transaction;
        let (run, transfer) = (self.run, self.round_trip(session) / 2);
        self.after(
            transfer,
            Event::Taken {
                run,
                session,
                id,
                accepted,
                flagged,
            },
        );
        Ok(())
    }

    /// At the gateway: the content is there. Whether the relay hears of it is another matter.
    pub(super) fn taken(
        &mut self,
        run: u32,
        session: SessionId,
        id: u64,
        accepted: Mask,
        flagged: Mask,
    ) -> Result<(), Broken> {
        let far = self.far(session);
        let reach = far.reach((run, session.number()));
        let cut = run != self.run || reach != Reach::Arrives;
        // A relay that died after the last byte was sent is heard all the same.
        let arrives = reach == Reach::Arrives || (run != self.run && far.weather == Weather::Up);
        let drops = far.weather == Weather::DropsAfterData;
        let reply = if arrives {
            self.truth.answer_content(id)
        } else {
            Reply::Lost
        };
        if arrives && self.plan.gateways[at(session)].counts_at_end {
            self.count_mail(run, session, accepted)?;
        }
        if matches!(reply, Reply::Accepted) && !(drops && self.random.one_in(2)) {
            let entry = self.disk.get(id);
            let done = entry.map_or(0, |entry| entry.durable_state().done);
            self.truth.taken(id, accepted, flagged, done)?;
            self.report.deliveries += u64::from(accepted.count_ones());
            self.report.duplicates += self.truth.take_duplicates();
        }
        let delay = if cut && reach == Reach::Silence {
            ANSWER_TIMEOUT
        } else {
            self.round_trip(session) / 2
        };
        let reply = if cut || drops { Reply::Lost } else { reply };
        self.after(
            delay,
            Event::Relay(run, RelayEvent::Replied(session, id, reply)),
        );
        Ok(())
    }

    fn replied(&mut self, session: SessionId, id: u64, reply: Reply) -> Result<(), Broken> {
        let Some(transaction) = self.transaction(session, id) else {
            return Ok(());
        };
        let Transaction {
            tried,
            accepted,
            refused,
            ..
        } = transaction;
        let deferred = tried & !accepted & !refused;
        let (sent, failed, later, lost) = match reply {
            Reply::Accepted => (accepted, refused, deferred, false),
            Reply::Refused => (0, refused | accepted, deferred, false),
            Reply::Deferred => (0, refused, deferred | accepted, false),
            Reply::Lost => (0, refused, deferred, true),
        };
        self.truth.recorded_sent(id, sent)?;
        self.truth.recorded_failed(id, failed)?;
        self.report.failed += u64::from(failed.count_ones());
        self.record(id, Record::Done(sent | failed));
        self.record(id, Record::Deferred(later));
        let finished = self
            .disk
            .get(id)
            .is_none_or(|entry| entry.state().done == self.truth.all_recipients(id));
        let outcome = match (lost, finished) {
            (_, true) => AttemptOutcome::Finished,
            (true, false) => AttemptOutcome::Uncertain,
            (false, false) => AttemptOutcome::Deferred,
        };
        self.truth.attempt_told(id, at(session), self.now, &outcome);
        let probe = self.is_probe(session);
        let checks = &mut self.checks[at(session)];
        checks.something_went();
        if lost {
            checks.session_failed(self.now, TroubleKind::Refused4xx, probe);
        }
        self.end(
            session,
            id,
            AttemptEnd {
                outcome,
                session_alive: !lost,
            },
        );
        Ok(())
    }

    /// The gateway counts a message for these recipients.
    fn count_mail(&mut self, run: u32, session: SessionId, to: Mask) -> Result<(), Broken> {
        let provider = &self.plan.gateways[at(session)];
        let of = provider.rate.map(|rate| rate.of);
        let cost = match of {
            Some(Counted::Recipients) => to.count_ones(),
            _ => 1,
        };
        self.gateways[at(session)].count(self.now, run, cost, provider)
    }

    /// The attempt ends before content was sent: the gateway's fault.
    fn cancel(
        &mut self,
        session: SessionId,
        id: u64,
        kind: TroubleKind,
        alive: bool,
    ) -> Result<(), Broken> {
        self.cancel_for(session, id, kind, Effect::of(kind), alive)
    }

    fn cancel_for(
        &mut self,
        session: SessionId,
        id: u64,
        kind: TroubleKind,
        effect: Effect,
        alive: bool,
    ) -> Result<(), Broken> {
        if self.mutant != Some(Mutant::SkipsTheMark) {
            self.record(id, Record::Cancelled);
        }
        let probe = self.is_probe(session);
        self.checks[at(session)].session_failed(self.now, kind, probe);
        let limit = !matches!(effect, Effect::BackOff | Effect::Park);
        let fresh = !limit && (alive || self.transactions(session) <= 1);
        let outcome = AttemptOutcome::GatewayDown(trouble(kind, effect));
        self.end(
            session,
            id,
            AttemptEnd {
                outcome,
                session_alive: alive,
            },
        );
        let state = self.scheduler().state_of(queue_id(id));
        self.truth.went_back_in_line(
            id,
            at(session),
            !matches!(state, Some(MessageState::Waiting { .. })),
            fresh,
        )
    }

    fn end(&mut self, session: SessionId, id: u64, end: AttemptEnd) {
        if end.session_alive {
            self.set_stage(session, Stage::Idle(self.now));
        } else {
            self.forget(session);
        }
        let now = self.clocks();
        self.scheduler()
            .attempt_ended(&now, session, queue_id(id), end);
    }

    /// The gateway takes a 5xx greeting out on a message. Only a mutant does that.
    fn bounce_as_mutant(&mut self) -> Result<(), Broken> {
        if self.mutant != Some(Mutant::BouncesOnGateway5xx) {
            return Ok(());
        }
        let Some(id) = self.disk.scan().map(|(id, _)| id).next() else {
            return Ok(());
        };
        let all = self.truth.all_recipients(id);
        self.scheduler().remove(queue_id(id));
        self.record(id, Record::Done(all));
        self.truth.recorded_failed(id, all)
    }

    fn transaction(&self, session: SessionId, id: u64) -> Option<Transaction> {
        match self.relay.as_ref()?.sessions.get(&session)?.stage {
            Stage::Busy(transaction) if transaction.id == id => Some(transaction),
            _ => None,
        }
    }

    fn count_transaction(&mut self, session: SessionId) -> u32 {
        self.relay_mut()
            .sessions
            .get_mut(&session)
            .map_or(0, |entry| {
                entry.transactions += 1;
                entry.transactions
            })
    }

    fn round_trip(&self, session: SessionId) -> Micros {
        self.plan.round_trip
            * if self.far(session).weather == Weather::Slow {
                50
            } else {
                1
            }
    }

    fn transactions(&self, session: SessionId) -> u32 {
        let relay = self.relay.as_ref();
        relay
            .and_then(|relay| relay.sessions.get(&session))
            .map_or(0, |entry| entry.transactions)
    }

    fn is_probe(&self, session: SessionId) -> bool {
        self.relay
            .as_ref()
            .and_then(|relay| relay.sessions.get(&session))
            .is_some_and(|entry| entry.probe)
    }
}

fn trouble(kind: TroubleKind, effect: Effect) -> GatewayTrouble {
    GatewayTrouble {
        effect,
        ..GatewayTrouble::new(kind, "simulated")
    }
}
