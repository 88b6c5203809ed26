//! The scheduler as a whole, one situation at a time. What chance finds is the simulator's part.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::{QueueId, Timestamp};

use super::*;

mod failover;
mod limits;

const DAY: u64 = 24 * 3600;
const MAIN: GatewayId = GatewayId::new(0);

/// A scheduler with clocks that the test moves.
struct Bench {
    scheduler: Scheduler,
    now: Now,
}

impl Bench {
    fn new(max_connections: u32) -> Self {
        Self::with(&[(MAIN, max_connections)])
    }

    /// With these gateways, each of so many sessions.
    fn with(gateways: &[(GatewayId, u32)]) -> Self {
        let mut scheduler = Scheduler::new(Limits::default());
        let (mono, wall) = (
            Duration::from_secs(100),
            Timestamp::from_secs(1_800_000_000),
        );
        let now = Now { mono, wall };
        scheduler.set_gateways(&now, &limits(gateways));
        Self { scheduler, now }
    }

    fn pass(&mut self, secs: u64) {
        self.now.mono += Duration::from_secs(secs);
        self.now.wall = Timestamp::from_micros(self.now.wall.as_micros() + secs * 1_000_000);
    }

    /// One new message of a submitter.
    fn submit(&mut self, id: u64, submitter: &str) -> QueueId {
        let queued = self.message(id, submitter);
        self.scheduler.queued(&self.now, queued);
        QueueId::from_number(id)
    }

    fn message(&self, id: u64, submitter: &str) -> Queued {
        Queued {
            id: QueueId::from_number(id),
            origin: OriginKey {
                submitter: submitter.to_owned(),
                sender: "a@x".to_owned(),
            },
            arrival: self.now.wall,
            attempts: 0,
            route: Route::to(MAIN),
            uncertain: None,
            held: false,
            recipients: 1,
        }
    }

    /// Everything that the scheduler wants now.
    fn actions(&mut self) -> Vec<Action> {
        let actions: Vec<Action> = std::iter::from_fn(|| self.scheduler.next(&self.now)).collect();
        let wake = self.scheduler.wake_at();
        assert!(wake.is_none_or(|at| at > self.now.mono), "{wake:?}");
        actions
    }

    /// Asks, and expects exactly these sessions to be opened and nothing else.
    fn opened(&mut self) -> Vec<SessionId> {
        let opened = |action| match action {
            Action::Open(session) => session,
            other => panic!("{other:?}"),
        };
        self.actions().into_iter().map(opened).collect()
    }

    fn ready(&mut self, session: SessionId) {
        self.scheduler.session_ready(&self.now, session);
    }

    fn fail(&mut self, session: SessionId, kind: TroubleKind) {
        let trouble = GatewayTrouble::new(kind, "trouble");
        self.scheduler.session_failed(&self.now, session, trouble);
    }

    fn end(&mut self, session: SessionId, id: QueueId, outcome: AttemptOutcome, alive: bool) {
        let end = AttemptEnd {
            outcome,
            session_alive: alive,
        };
        self.scheduler.attempt_ended(&self.now, session, id, end);
    }

    /// Opens the one session that is wanted and has it take its message.
    fn connect(&mut self) -> (SessionId, QueueId) {
        let session = self.opened()[0];
        self.ready(session);
        (session, self.delivery().1)
    }

    /// The one message that is to be delivered now, among other actions.
    fn delivery(&mut self) -> (SessionId, QueueId) {
        let found = |action: &Action| match action {
            Action::Deliver { session, id } => Some((*session, *id)),
            _ => None,
        };
        let actions = self.actions();
        actions
            .iter()
            .find_map(found)
            .unwrap_or_else(|| panic!("{actions:?}"))
    }
}

/// Gateways of so many sessions each, otherwise with the defaults.
fn limits(gateways: &[(GatewayId, u32)]) -> BTreeMap<GatewayId, GatewayLimits> {
    let one = |&(id, max_connections): &(GatewayId, u32)| {
        let limits = GatewayLimits {
            max_connections,
            ..GatewayLimits::default()
        };
        (id, limits)
    };
    gateways.iter().map(one).collect()
}

fn down(kind: TroubleKind) -> AttemptOutcome {
    AttemptOutcome::GatewayDown(GatewayTrouble::new(kind, "trouble"))
}

#[test]
fn the_first_session_goes_ahead_and_the_others_follow_as_far_as_there_is_work() {
    let mut bench = Bench::new(4);
    for id in 1..=3 {
        bench.submit(id, "uid 1");
    }
    let first = bench.opened();
    assert_eq!(first.len(), 1);
    bench.ready(first[0]);
    let actions = bench.actions();
    assert!(
        matches!(
            actions[..],
            [Action::Deliver { .. }, Action::Open(_), Action::Open(_)]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_session_is_used_again_and_closed_when_idle() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.opened(), []);
    bench.submit(1, "uid 1");
    let (session, id) = bench.connect();
    bench.end(session, id, AttemptOutcome::Finished, true);
    assert_eq!(bench.actions(), []);
    bench.submit(2, "uid 1");
    let (again, id) = bench.delivery();
    assert_eq!(again, session);
    bench.end(session, id, AttemptOutcome::Finished, true);
    assert_eq!(bench.actions(), []);
    assert_eq!(
        bench.scheduler.wake_at(),
        Some(bench.now.mono + Duration::from_secs(5))
    );
    bench.pass(5);
    assert_eq!(bench.actions(), [Action::Close(session)]);
    bench.scheduler.session_closed(&bench.now, session);
    assert_eq!(bench.scheduler.summary(), Summary::default());
}

#[test]
fn a_lower_cap_closes_sessions_as_they_become_idle() {
    let mut bench = Bench::new(2);
    bench.submit(1, "uid 1");
    bench.submit(2, "uid 1");
    bench.submit(3, "uid 1");
    let (first, id) = bench.connect();
    bench
        .scheduler
        .set_gateways(&bench.now, &limits(&[(MAIN, 1)]));
    bench.end(first, id, AttemptOutcome::Finished, true);
    assert_eq!(bench.actions(), [Action::Close(first)]);
}

#[test]
fn an_outage_is_told_once_and_its_end_after_the_first_delivery() {
    let mut bench = Bench::new(4);
    let id = bench.submit(1, "uid 1");
    bench.submit(2, "uid 1");
    let session = bench.opened()[0];
    bench.fail(session, TroubleKind::Unreachable);
    let reason = "trouble".to_owned();
    let kind = TroubleKind::Unreachable;
    let gateway = MAIN;
    let went_down = Action::GatewayWentDown {
        gateway,
        kind,
        reason,
    };
    assert_eq!(bench.actions(), [went_down]);
    bench.pass(1);
    let probe = bench.opened();
    assert_eq!(probe.len(), 1);
    bench.ready(probe[0]);
    assert_eq!(
        bench.actions(),
        [Action::Deliver {
            session: probe[0],
            id
        }]
    );
    assert!(bench.scheduler.circuit(MAIN).unwrap().is_down());
    bench.end(probe[0], id, AttemptOutcome::Finished, true);
    let back = Action::GatewayCameBack {
        gateway,
        after: Duration::from_secs(1),
        waiting: 1,
    };
    assert_eq!(bench.actions()[0], back);
    assert_eq!(bench.scheduler.circuit(MAIN), Some(&Circuit::Closed));
}

#[test]
fn mail_that_the_gateway_broke_under_has_no_timer_of_its_own() {
    let mut bench = Bench::new(1);
    let id = bench.submit(1, "uid 1");
    let (session, _) = bench.connect();
    bench.end(session, id, down(TroubleKind::Unreachable), false);
    assert_eq!(bench.scheduler.state_of(id), Some(MessageState::Ready));
    assert_eq!(bench.actions().len(), 1);
    assert_eq!(
        bench.scheduler.wake_at(),
        Some(bench.now.mono + Duration::from_secs(1))
    );
}

#[test]
fn a_refused_session_beside_one_that_works_is_a_limit_and_no_outage() {
    let mut bench = Bench::new(4);
    for id in 1..=100 {
        bench.submit(id, "uid 1");
    }
    let (works, id) = bench.connect();
    for number in 2..=4 {
        bench.fail(SessionId::new(MAIN, number), TroubleKind::Refused4xx);
    }
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.scheduler.circuit(MAIN), Some(&Circuit::Closed));
    bench.pass(29);
    bench.end(works, id, AttemptOutcome::Finished, true);
    let actions = bench.actions();
    assert!(
        matches!(actions[..], [Action::Deliver { .. }]),
        "{actions:?}"
    );
    bench.pass(1);
    assert_eq!(bench.opened().len(), 1);
}

#[test]
fn a_refused_password_outlives_the_sessions_that_still_worked() {
    let mut bench = Bench::new(2);
    bench.submit(1, "uid 1");
    bench.submit(2, "uid 1");
    let (works, id) = bench.connect();
    bench.fail(SessionId::new(MAIN, 2), TroubleKind::Auth);
    bench.end(works, id, AttemptOutcome::Finished, false);
    let actions = bench.actions();
    assert!(
        matches!(
            actions[..],
            [Action::GatewayWentDown {
                kind: TroubleKind::Auth,
                ..
            }]
        ),
        "{actions:?}"
    );
    bench.scheduler.flush(&bench.now, Flush::ByUser);
    assert_eq!(bench.actions(), []);
    bench.pass(1799);
    assert_eq!(bench.actions(), []);
    bench.pass(1);
    let probe = bench.opened()[0];
    bench.fail(probe, TroubleKind::Auth);
    assert_eq!(bench.actions(), []);
    bench.scheduler.settings_changed(&bench.now);
    assert_eq!(bench.opened().len(), 1);
}

#[test]
fn what_the_gateway_says_of_itself_parks_it_whatever_else_works() {
    let mut bench = Bench::new(2);
    for id in 1..=4 {
        bench.submit(id, "uid 1");
    }
    let (first, id) = bench.connect();
    bench.ready(SessionId::new(MAIN, 2));
    let (second, other) = bench.delivery();
    bench.end(first, id, down(TroubleKind::Refused4xx), true);
    let actions = bench.actions();
    assert!(
        matches!(
            actions[..],
            [Action::GatewayWentDown { .. }, Action::Close(_)]
        ),
        "{actions:?}"
    );
    bench.end(second, other, AttemptOutcome::Finished, true);
    assert_eq!(bench.actions(), [Action::Close(second)]);
}

#[test]
fn deferred_and_uncertain_mail_waits_and_a_flush_ends_the_wait() {
    let mut bench = Bench::new(1);
    let id = bench.submit(1, "uid 1");
    let (session, _) = bench.connect();
    bench.end(session, id, AttemptOutcome::Deferred, true);
    let Some(MessageState::Waiting { until }) = bench.scheduler.state_of(id) else {
        panic!("not waiting")
    };
    let pause = (until - bench.now.mono).as_secs();
    assert!((240..=300).contains(&pause), "{pause}");
    bench.scheduler.flush(&bench.now, Flush::Id(id));
    assert_eq!(bench.delivery(), (session, id));
    bench.end(session, id, AttemptOutcome::Uncertain, false);
    let Some(MessageState::Waiting { until }) = bench.scheduler.state_of(id) else {
        panic!("not waiting")
    };
    let pause = (until - bench.now.mono).as_secs();
    assert!((1440..=1800).contains(&pause), "{pause}");
    bench.scheduler.flush(&bench.now, Flush::ByUser);
    assert_eq!(bench.scheduler.state_of(id), Some(MessageState::Ready));
}

#[test]
fn recipients_that_did_not_fit_go_in_the_next_transaction_at_once() {
    let mut bench = Bench::new(1);
    let first = bench.submit(1, "app");
    bench.submit(2, "app");
    let (session, id) = bench.connect();
    assert_eq!(id, first);
    bench.end(session, id, AttemptOutcome::Partial, true);
    let expected = Action::Deliver { session, id: first };
    assert_eq!(bench.actions(), [expected]);
}

#[test]
fn held_mail_stays_through_a_flush_and_an_attempt_under_way_ends_first() {
    let mut bench = Bench::new(1);
    let id = bench.submit(1, "uid 1");
    let (session, _) = bench.connect();
    bench.scheduler.hold(id);
    assert_eq!(bench.scheduler.state_of(id), Some(MessageState::Active));
    bench.end(session, id, AttemptOutcome::Deferred, true);
    bench.scheduler.flush(&bench.now, Flush::All);
    assert_eq!(bench.scheduler.state_of(id), Some(MessageState::Held));
    assert_eq!(bench.actions(), []);
    bench.scheduler.release(&bench.now, id);
    assert_eq!(bench.delivery(), (session, id));
}

#[test]
fn found_at_start_uncertain_mail_waits_and_deferred_mail_is_spread() {
    let mut bench = Bench::new(1);
    for id in 1..=200 {
        let attempts = 3;
        let uncertain = id % 2 == 0;
        let queued = Queued {
            attempts,
            uncertain: uncertain.then_some(MAIN),
            ..bench.message(id, "uid 1")
        };
        bench.scheduler.queued(&bench.now, queued);
        let Some(MessageState::Waiting { until }) =
            bench.scheduler.state_of(QueueId::from_number(id))
        else {
            panic!("not waiting")
        };
        let pause = (until - bench.now.mono).as_secs();
        let expected = if uncertain { 2880..=3600 } else { 0..=300 };
        assert!(expected.contains(&pause), "{id}: {pause}");
    }
}

#[test]
fn a_failing_disk_is_given_a_rest_and_says_nothing_of_the_gateway() {
    let mut bench = Bench::new(1);
    bench.submit(1, "uid 1");
    bench.submit(2, "uid 2");
    let (session, id) = bench.connect();
    bench.end(session, id, AttemptOutcome::NotStarted, false);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.scheduler.circuit(MAIN), Some(&Circuit::Closed));
    assert_eq!(
        bench.scheduler.wake_at(),
        Some(bench.now.mono + Duration::from_secs(1))
    );
    bench.pass(1);
    assert_eq!(bench.connect().1, QueueId::from_number(2));
}

#[test]
fn a_jump_of_the_wall_clock_expires_nothing_and_time_does() {
    let mut bench = Bench::new(1);
    let id = bench.submit(1, "uid 1");
    let (session, _) = bench.connect();
    bench.end(session, id, AttemptOutcome::Deferred, false);
    bench.now.wall = Timestamp::from_secs(bench.now.wall.as_secs() + 400 * DAY);
    assert_eq!(bench.actions(), []);
    bench.pass(10);
    assert_eq!(bench.actions(), []);
    for _ in 0..5 * 48 {
        bench.pass(1800);
        let actions = bench.actions();
        if actions == [Action::Expire(id)] {
            assert!(bench.now.mono >= Duration::from_secs(100 + 5 * DAY));
            return;
        }
        if let [Action::Open(session)] = actions[..] {
            bench.ready(session);
            let (session, id) = bench.delivery();
            bench.end(session, id, AttemptOutcome::Deferred, false);
        }
    }
    panic!("it never expired: {:?}", bench.scheduler.state_of(id));
}

#[test]
fn old_mail_found_at_start_gets_its_hour_first() {
    let mut bench = Bench::new(1);
    let mut old = bench.message(1, "uid 1");
    old.arrival = Timestamp::from_secs(bench.now.wall.as_secs() - 30 * DAY);
    old.attempts = 7;
    bench.scheduler.queued(&bench.now, old);
    let start = bench.now.mono;
    for _ in 0..120 {
        bench.pass(60);
        for action in bench.actions() {
            match action {
                Action::Open(session) => bench.ready(session),
                Action::Close(session) => bench.scheduler.session_closed(&bench.now, session),
                Action::Expire(_) => {
                    assert!(bench.now.mono >= start + Duration::from_secs(3600));
                    return;
                }
                _ => {}
            }
        }
        for action in bench.actions() {
            if let Action::Deliver { session, id } = action {
                bench.end(session, id, AttemptOutcome::Deferred, true);
            }
        }
    }
    panic!("it never expired");
}

#[test]
fn mail_that_breaks_sessions_makes_room_for_others_and_is_set_aside() {
    let mut bench = Bench::new(1);
    let bad = bench.submit(1, "uid 1");
    bench.submit(2, "uid 1");
    bench.submit(3, "uid 1");
    let (mut breaks, mut passed) = (0, 0);
    for _ in 0..40 {
        let deliver = bench.actions().into_iter().find_map(|action| match action {
            Action::Deliver { session, id } => Some((session, id)),
            Action::Open(session) => {
                bench.scheduler.session_ready(&bench.now, session);
                bench
                    .scheduler
                    .next(&bench.now)
                    .and_then(|action| match action {
                        Action::Deliver { session, id } => Some((session, id)),
                        _ => None,
                    })
            }
            _ => None,
        });
        match deliver {
            Some((session, id)) if id == bad => {
                breaks += 1;
                bench.end(session, id, down(TroubleKind::Unreachable), false);
            }
            Some((session, id)) => {
                passed += 1;
                bench.end(session, id, AttemptOutcome::Finished, false);
            }
            None => bench.pass(5),
        }
        if matches!(
            bench.scheduler.state_of(bad),
            Some(MessageState::Waiting { .. })
        ) {
            assert_eq!((breaks, passed), (3, 2));
            return;
        }
    }
    panic!("never set aside after {breaks} breaks, {passed} passed");
}

#[test]
fn a_hundred_thousand_messages_are_no_burden() {
    let mut bench = Bench::new(4);
    for id in 1..=100_000 {
        bench.submit(id, "uid 1");
    }
    let other = bench.submit(100_001, "uid 2");
    let session = bench.opened()[0];
    bench.ready(session);
    let mut turn_of_other = None;
    // A scan for each decision would take 10^10 steps here.
    for turn in 0..100_001 {
        let Some(Action::Deliver { session, id }) = bench.scheduler.next(&bench.now) else {
            panic!("no delivery")
        };
        if id == other {
            turn_of_other = Some(turn);
        }
        bench.end(session, id, AttemptOutcome::Finished, true);
    }
    assert_eq!(turn_of_other, Some(1));
    assert_eq!(bench.scheduler.summary().messages, 0);
}
