//! Which message goes when, over which session: the relay's scheduler, as a pure state machine.
//!
//! Facts go in (a message was queued, a session is ready, an attempt ended), decisions come out
//! ([`Scheduler::next`]), and [`Scheduler::wake_at`] names the moment at which to ask again. The
//! caller supplies every clock reading, so that the same code runs in the daemon and in a seeded
//! simulator.
//!
//! What it keeps, whatever the caller reports:
//! - never more than [`GatewayLimits::max_connections`] sessions open or opening with a gateway;
//! - never more messages or recipients than [`GatewayLimits::rate`] in any window in which the gateway
//!   could count them, and on one session no more than its share;
//! - one circuit for each gateway: while it is down, messages wait on it, not on timers of their
//!   own, and one probe at a time asks whether it is back;
//! - mail goes through the next gateway of its [`Route`] once the one before it has been down for
//!   long enough, and back when that returns; but a message that a gateway may have taken goes
//!   through no other;
//! - turns go round the submitters, then round the senders of one submitter, so that one app's
//!   backlog does not delay another's message;
//! - a jump of the wall clock sends, defers and expires nothing.

mod backoff;
mod brake;
mod circuit;
mod effect;
mod facts;
mod fairness;
mod filing;
mod gateway;
mod gateways;
mod limits;
mod lines;
mod messages;
mod origins;
mod outage;
mod pace;
mod route;
mod scheduler;
mod sessions;
#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use circuit::Circuit;
pub use effect::Effect;
pub use facts::{
    Action, AttemptEnd, AttemptOutcome, CONNECT_TIMEOUT, Flush, GatewaySummary, GatewayTrouble,
    MessageState, Now, OriginKey, Queued, SessionId, Summary, TroubleKind,
};
pub use limits::{GatewayLimits, Limits};
pub use route::{CHOICES_MAX, GatewayId, Out, Route, When};
pub use scheduler::Scheduler;
