//! What relayd and `sendmail` do with the spool, one story each.

use spool::{OutcomeKind, Queue};

use super::{Scenario, Step, World};

/// Every scenario, by its name.
pub(crate) const SCENARIOS: [(&str, Scenario); 9] = [
    ("accept", accept),
    ("accept and send at once", send_at_once),
    ("intake", intake),
    ("attempt and outcome", attempt),
    ("partial outcome", partial),
    ("defer and move", defer),
    ("retire", retire),
    ("rewrite", rewrite),
    ("notes", notes),
];

fn accept(world: &mut World) -> Step {
    world.accept(1, 1, false)?;
    world.accept(2, 3, true)?;
    world.accept(3, 1, false)
}

/// What is accepted is worked on through the file that it was written to.
fn send_at_once(world: &mut World) -> Step {
    for number in 1..=2 {
        let mut claim = world.accept_claimed(number, 2)?;
        world.mark(&mut claim, number, &[0, 1])?;
        world.record(&mut claim, number, &[(0, OutcomeKind::Sent)])?;
        world.sync(&mut claim, number)?;
        world.mark(&mut claim, number, &[1])?;
        world.record(&mut claim, number, &[(1, OutcomeKind::Sent)])?;
    }
    world.retire(1)?;
    world.sync_retired()
}

fn intake(world: &mut World) -> Step {
    world.leave(1, 2)?;
    world.leave(2, 1)?;
    world.intake()?;
    world.leave(3, 1)?;
    let mut claim = world.claim(1)?;
    world.mark(&mut claim, 1, &[0, 1])?;
    world.record(
        &mut claim,
        1,
        &[(0, OutcomeKind::Sent), (1, OutcomeKind::Sent)],
    )?;
    world.retire(1)?;
    world.sync_retired()?;
    world.intake()
}

fn attempt(world: &mut World) -> Step {
    world.accept(1, 1, false)?;
    let mut claim = world.claim(1)?;
    world.mark(&mut claim, 1, &[0])?;
    world.close(&mut claim, 1)?;
    world.mark(&mut claim, 1, &[0])?;
    world.record(&mut claim, 1, &[(0, OutcomeKind::Sent)])?;
    world.sync(&mut claim, 1)
}

/// Enough outcomes for the journal to outgrow its first area.
fn partial(world: &mut World) -> Step {
    use OutcomeKind::{Deferred, Failed, Sent, Uncertain};
    world.accept(1, 4, false)?;
    let mut claim = world.claim(1)?;
    for _ in 0..12 {
        world.mark(&mut claim, 1, &[2, 3])?;
        world.record(&mut claim, 1, &[(2, Deferred), (3, Uncertain)])?;
    }
    world.mark(&mut claim, 1, &[0, 1, 2])?;
    world.record(&mut claim, 1, &[(0, Sent), (1, Deferred)])?;
    world.sync(&mut claim, 1)?;
    world.mark(&mut claim, 1, &[1])?;
    world.record(&mut claim, 1, &[(1, Failed)])?;
    world.sync(&mut claim, 1)
}

fn defer(world: &mut World) -> Step {
    world.accept(1, 2, false)?;
    let mut claim = world.claim(1)?;
    world.mark(&mut claim, 1, &[0, 1])?;
    world.record(
        &mut claim,
        1,
        &[(0, OutcomeKind::Sent), (1, OutcomeKind::Deferred)],
    )?;
    world.sync(&mut claim, 1)?;
    let id = claim.meta().id;
    world.spool.move_to(id, Queue::Deferred)?;
    world.spool.move_to(id, Queue::Hold)?;
    world.sync_retired()?;
    world.spool.move_to(id, Queue::Incoming)?;
    world.mark(&mut claim, 1, &[1])?;
    world.record(&mut claim, 1, &[(1, OutcomeKind::Sent)])?;
    world.sync(&mut claim, 1)
}

fn retire(world: &mut World) -> Step {
    for number in 1..=3 {
        world.accept(number, 1, false)?;
        let mut claim = world.claim(number)?;
        world.mark(&mut claim, number, &[0])?;
        world.record(&mut claim, number, &[(0, OutcomeKind::Sent)])?;
        world.retire(number)?;
    }
    world.sync_retired()
}

fn rewrite(world: &mut World) -> Step {
    world.accept(1, 2, true)?;
    let mut claim = world.claim(1)?;
    world.mark(&mut claim, 1, &[0, 1])?;
    world.record(&mut claim, 1, &[(0, OutcomeKind::Sent)])?;
    claim.rewrite()?;
    world.outcomes_are_durable(1);
    world.record(&mut claim, 1, &[(1, OutcomeKind::Sent)])?;
    world.sync(&mut claim, 1)
}

fn notes(world: &mut World) -> Step {
    for _ in 0..3 {
        world.keep_note()?;
    }
    Ok(())
}
