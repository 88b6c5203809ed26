//! What a gateway allows, and what it says when it wants less.

use std::num::NonZeroU32;

use super::*;
use crate::settings::{Counted, Rate};

/// One gateway with other limits, and a minute after its start, when its pace owes nothing any more.
fn with(change: impl FnOnce(&mut GatewayLimits)) -> Bench {
    let mut bench = Bench::new(4);
    let mut limits = GatewayLimits::default();
    change(&mut limits);
    let gateways = BTreeMap::from([(MAIN, limits)]);
    bench.scheduler.set_gateways(&bench.now, &gateways);
    bench.pass(60);
    bench
}

fn said(effect: Effect) -> AttemptOutcome {
    AttemptOutcome::GatewayDown(GatewayTrouble {
        effect,
        ..GatewayTrouble::new(TroubleKind::Refused4xx, "so it says")
    })
}

#[test]
fn a_session_has_its_share_and_the_next_follows() {
    let mut bench = with(|it| it.max_messages_per_connection = NonZeroU32::new(1));
    bench.submit(1, "uid 1");
    let (session, id) = bench.connect();
    bench.end(session, id, AttemptOutcome::Finished, true);
    assert_eq!(bench.actions(), [Action::Close(session)]);
    bench.submit(2, "uid 1");
    assert_eq!(bench.opened().len(), 1);
}

#[test]
fn a_rate_in_recipients_counts_them() {
    let mut bench = with(|it| {
        it.rate = Some(Rate {
            amount: NonZeroU32::new(10).unwrap(),
            of: Counted::Recipients,
            per: Duration::from_secs(10),
        });
    });
    for id in 1..=2 {
        let queued = Queued {
            recipients: 6,
            ..bench.message(id, "uid 1")
        };
        bench.scheduler.queued(&bench.now, queued);
    }
    let (session, id) = bench.connect();
    bench.end(session, id, AttemptOutcome::Finished, true);
    assert_eq!(bench.actions(), []);
    let wake = bench.scheduler.wake_at().unwrap();
    assert_eq!(wake, bench.now.mono + Duration::from_secs(5), "idle_close");
    bench.pass(11);
    let actions = bench.actions();
    assert!(
        matches!(actions[..], [Action::Deliver { .. }]),
        "{actions:?}"
    );
}

#[test]
fn a_call_for_less_slows_down_and_is_no_outage() {
    let mut bench = with(|_| {});
    bench.submit(1, "uid 1");
    let (session, id) = bench.connect();
    bench.end(session, id, said(Effect::SlowDown), true);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.scheduler.circuit(MAIN), Some(&Circuit::Closed));
    assert_eq!(bench.scheduler.state_of(id), Some(MessageState::Ready));
    bench.pass(1);
    assert_eq!(bench.delivery(), (session, id));
}

#[test]
fn too_many_sessions_are_fewer_from_then_on() {
    let mut bench = with(|_| {});
    for id in 1..=9 {
        bench.submit(id, "uid 1");
    }
    let (works, _) = bench.connect();
    for number in 2..=4 {
        let session = SessionId::new(MAIN, number);
        bench.ready(session);
        let (session, id) = bench.delivery();
        bench.end(session, id, said(Effect::FewerConnections), true);
        let actions = bench.actions();
        assert_eq!(actions, [Action::Close(session)]);
        bench.scheduler.session_closed(&bench.now, session);
    }
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.scheduler.circuit(MAIN), Some(&Circuit::Closed));
    assert!(bench.scheduler.state_of(QueueId::from_number(1)) == Some(MessageState::Active));
    bench.pass(30);
    assert_eq!(bench.opened().len(), 1);
    assert_eq!(works.gateway(), MAIN);
}

#[test]
fn a_session_that_was_over_is_replaced_at_once_and_it_was_no_attempt() {
    let mut bench = with(|_| {});
    bench.submit(1, "uid 1");
    let (session, id) = bench.connect();
    bench.end(session, id, AttemptOutcome::Finished, true);
    let id = bench.submit(2, "uid 1");
    let (session, _) = bench.delivery();
    bench.end(session, id, said(Effect::Reconnect), false);
    assert_eq!(bench.scheduler.state_of(id), Some(MessageState::Ready));
    let (fresh, again) = bench.connect();
    assert!(fresh != session && again == id);
}

#[test]
fn a_spent_quota_is_not_flushed_away() {
    let mut bench = with(|_| {});
    bench.submit(1, "uid 1");
    let (session, id) = bench.connect();
    bench.end(session, id, said(Effect::PauseUntil(None)), false);
    assert_eq!(bench.actions().len(), 1);
    assert_eq!(bench.scheduler.gateway(MAIN).unwrap().out, Some(Out::Spent));
    bench.scheduler.flush(&bench.now, Flush::All);
    assert_eq!(bench.actions(), []);
    bench.pass(1799);
    assert_eq!(bench.actions(), []);
    bench.pass(1);
    assert_eq!(bench.opened().len(), 1);
}

#[test]
fn after_an_outage_sessions_come_one_for_each_answer() {
    let mut bench = with(|_| {});
    for id in 1..=50 {
        bench.submit(id, "uid 1");
    }
    let first = bench.opened()[0];
    bench.fail(first, TroubleKind::Unreachable);
    bench.actions();
    bench.pass(1);
    let probe = bench.opened()[0];
    bench.ready(probe);
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let (session, id) = bench.delivery();
        bench.end(session, id, AttemptOutcome::Finished, true);
        sessions.push(bench.scheduler.summary().sessions);
    }
    assert_eq!(sessions, [1, 1, 2, 3]);
}
