//! Several gateways: which one a message goes through, and when it changes over.

use super::*;

const SPARE: GatewayId = GatewayId::new(1);

/// Two gateways of two sessions each, and mail that prefers the first.
fn two() -> Bench {
    Bench::with(&[(MAIN, 2), (SPARE, 2)])
}

/// A message that goes through the spare one while the main one is down.
fn submit(bench: &mut Bench, id: u64) -> QueueId {
    let route = Route::to(MAIN).or(SPARE, When::Down).unwrap();
    let queued = Queued {
        route,
        ..bench.message(id, "uid 1")
    };
    bench.scheduler.queued(&bench.now, queued);
    QueueId::from_number(id)
}

/// Has every session to the main gateway fail for so long, and returns what else is to be done.
fn main_is_down_for(bench: &mut Bench, secs: u64) -> Vec<Action> {
    let mut others = Vec::new();
    for second in 0..=secs {
        for action in bench.actions() {
            match action {
                Action::Open(session) if session.gateway() == MAIN => {
                    bench.fail(session, TroubleKind::Unreachable);
                }
                Action::GatewayWentDown { gateway: MAIN, .. } => {}
                other => others.push(other),
            }
        }
        if second < secs {
            bench.pass(1);
        }
    }
    others
}

#[test]
fn the_next_gateway_takes_over_after_its_time_and_not_before() {
    let mut bench = two();
    let id = submit(&mut bench, 1);
    assert_eq!(main_is_down_for(&mut bench, 299), []);
    bench.pass(1);
    let actions = main_is_down_for(&mut bench, 0);
    let [Action::Open(session)] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(session.gateway(), SPARE);
    bench.ready(session);
    assert_eq!(bench.delivery(), (session, id));
}

#[test]
fn the_main_gateway_is_asked_with_mail_that_passed_it_and_takes_the_rest_back() {
    let mut bench = two();
    for id in 1..=9 {
        submit(&mut bench, id);
    }
    let others = main_is_down_for(&mut bench, 300);
    assert!(matches!(others[..], [Action::Open(_)]), "{others:?}");
    assert_eq!(bench.scheduler.gateway(SPARE).unwrap().ready, 9);
    assert_eq!(bench.scheduler.gateway(MAIN).unwrap().out, Some(Out::Down));
    bench.pass(5);
    let probe = bench.opened()[0];
    assert_eq!(probe.gateway(), MAIN);
    bench.ready(probe);
    let (session, id) = bench.delivery();
    assert_eq!(session, probe);
    bench.end(probe, id, AttemptOutcome::Finished, true);
    let actions = bench.actions();
    let came_back = matches!(
        actions[0],
        Action::GatewayCameBack {
            gateway: MAIN,
            waiting: 8,
            ..
        }
    );
    assert!(came_back, "{actions:?}");
    assert_eq!(bench.scheduler.gateway(MAIN).unwrap().out, None);
    assert_eq!(bench.scheduler.gateway(SPARE).unwrap().ready, 0);
}

#[test]
fn mail_that_the_main_gateway_may_have_waits_for_it() {
    let mut bench = two();
    let id = submit(&mut bench, 1);
    let (session, _) = bench.connect();
    bench.end(session, id, AttemptOutcome::Uncertain, false);
    let other = submit(&mut bench, 2);
    assert_eq!(main_is_down_for(&mut bench, 295), []);
    bench.scheduler.flush(&bench.now, Flush::All);
    let actions = main_is_down_for(&mut bench, 10);
    let [Action::Open(spare)] = actions[..] else {
        panic!("{actions:?}")
    };
    bench.ready(spare);
    assert_eq!(bench.delivery(), (spare, other));
    bench.end(spare, other, AttemptOutcome::Finished, true);
    bench.pass(3600);
    let actions = main_is_down_for(&mut bench, 3600);
    assert_eq!(actions, [Action::Close(spare)]);
    assert_eq!(bench.scheduler.state_of(id), Some(MessageState::Ready));
}

#[test]
fn a_paused_gateway_ends_its_sessions_and_its_mail_goes_elsewhere_or_waits() {
    let mut bench = two();
    let (first, waits) = (submit(&mut bench, 1), bench.submit(2, "uid 2"));
    let (session, id) = bench.connect();
    bench.scheduler.pause(MAIN);
    bench.end(session, id, AttemptOutcome::Finished, true);
    assert_eq!(id, first);
    assert_eq!(bench.actions(), [Action::Close(session)]);
    submit(&mut bench, 3);
    assert_eq!(bench.opened()[0].gateway(), SPARE);
    assert_eq!(bench.scheduler.state_of(waits), Some(MessageState::Ready));
    bench.scheduler.resume(MAIN);
    let second = SessionId::new(MAIN, 2);
    bench.ready(second);
    assert_eq!(bench.delivery(), (second, waits));
}

#[test]
fn mail_of_a_gateway_that_is_gone_waits_for_another_route() {
    let mut bench = two();
    let id = bench.submit(1, "uid 1");
    let (session, _) = bench.connect();
    bench
        .scheduler
        .set_gateways(&bench.now, &limits(&[(SPARE, 2)]));
    bench.end(session, id, AttemptOutcome::Deferred, true);
    assert_eq!(bench.actions(), [Action::Close(session)]);
    bench.scheduler.session_closed(&bench.now, session);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.scheduler.circuit(MAIN), None);
    bench.scheduler.flush(&bench.now, Flush::All);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.scheduler.summary().stranded, 1);
    bench.scheduler.reroute(id, Route::to(SPARE));
    assert_eq!(bench.scheduler.summary().stranded, 0);
    assert_eq!(bench.opened()[0].gateway(), SPARE);
}
