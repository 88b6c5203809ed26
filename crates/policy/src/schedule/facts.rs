//! What the scheduler is told and what it answers: plain values, no behaviour but small helpers.

use std::fmt;
use std::time::Duration;

use mail::{QueueId, Timestamp};

use super::backoff::Backoff;
use super::effect::Effect;
use super::route::{GatewayId, Out, Route};

/// How long to wait for a TCP connection to the gateway, all its addresses together.
///
/// The partner of the 5 s between probes ([`TroubleKind::pace`]): with a longer one, a connect
/// that hangs in a black hole would still hang when the gateway is back.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest reason kept for a gateway's trouble, in bytes.
const REASON_MAX: usize = 1000;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the relay started. Every timer runs on it. It never goes back.
    pub mono: Duration,
    /// Wall-clock time. Only a message's age is read from it, and it may jump.
    pub wall: Timestamp,
}

/// Whose turn a message takes: messages with equal keys stand in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginKey {
    /// Who handed it in: a uid or a client's address, as text.
    pub submitter: String,
    /// The envelope sender.
    pub sender: String,
}

/// A message that waits to be sent: just accepted, or found on disk at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its name.
    pub id: QueueId,
    /// Whose turn it takes.
    pub origin: OriginKey,
    /// When it was accepted.
    pub arrival: Timestamp,
    /// Attempts made so far that were about the message, not about the gateway; 0 for a new one.
    pub attempts: u32,
    /// The gateways that it may go through.
    pub route: Route,
    /// An attempt through this gateway may have delivered it: its content was sent and no answer was
    /// recorded (I4). It goes through no other one for as long as the settings have this one.
    pub uncertain: Option<GatewayId>,
    /// It waits for an admin to release it.
    pub held: bool,
    /// Recipients that are still to be served, for limits that count them; 0 counts as 1.
    pub recipients: u32,
}

/// One connection to a gateway, from [`Action::Open`] until the caller reports its end. Numbers are
/// never used twice in one run, whatever the gateway.
///
/// The gateway stands in the upper 16 bits, so that it takes no more room than a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// Bits of the number in a [`SessionId`]: enough for a million sessions a second for eight years.
const NUMBER_BITS: u32 = 48;

impl SessionId {
    pub(super) const fn new(gateway: GatewayId, number: u64) -> Self {
        let number = number & ((1 << NUMBER_BITS) - 1);
        Self(((gateway.number() as u64) << NUMBER_BITS) | number)
    }

    /// The number, for log lines.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 & ((1 << NUMBER_BITS) - 1)
    }

    /// The gateway that it is with.
    #[must_use]
    pub const fn gateway(self) -> GatewayId {
        GatewayId::new((self.0 >> NUMBER_BITS) as u16)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} with {}", self.number(), self.gateway())
    }
}

/// What is wrong with the gateway: it decides how soon it is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// Nothing answers: refused, unreachable, timed out, name not found, connection lost.
    Unreachable,
    /// It answers and refuses for now: a 4xx before or instead of a transaction, a rate limit.
    Refused4xx,
    /// It answers and refuses: a 5xx at greeting, EHLO or STARTTLS, or an account that may not send.
    Refused5xx,
    /// TLS failed: certificate, name, protocol, or no STARTTLS offered.
    Tls,
    /// It offers no AUTH, or no mechanism that we may use.
    NoAuth,
    /// It refused our user or password. Asking often could lock the account.
    Auth,
}

impl TroubleKind {
    /// The pause before each further probe of one outage: the first, doubling up to the longest.
    #[must_use]
    pub const fn pace(self) -> Backoff {
        match self {
            Self::Unreachable => Backoff::secs(1, 5),
            Self::Refused4xx | Self::Refused5xx | Self::Tls | Self::NoAuth => Backoff::secs(5, 60),
            Self::Auth => Backoff::secs(30 * 60, 30 * 60),
        }
    }
}

/// Trouble that is about the gateway and us, not about one message (I5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayTrouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// What it asks for.
    pub effect: Effect,
    /// One line for the log, `mailq` and the alarm: the reply or the error. At most 1000 bytes are kept.
    pub reason: String,
    /// What the gateway itself asked for ("try again in 92 seconds"). Honoured if longer than the
    /// kind's own pause, up to one hour.
    pub retry_after: Option<Duration>,
}

impl GatewayTrouble {
    /// Trouble of a kind, with nothing said about when to come back.
    #[must_use]
    pub fn new(kind: TroubleKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            effect: Effect::of(kind),
            reason: reason.into(),
            retry_after: None,
        }
    }

    /// The reason, cut to its limit on a character's edge.
    pub(super) fn bounded_reason(&self) -> String {
        let end = self.reason.floor_char_boundary(REASON_MAX);
        self.reason[..end].to_owned()
    }
}

/// How an attempt ended, for the message and for its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// What it means for the message.
    pub outcome: AttemptOutcome,
    /// The session can take another transaction.
    pub session_alive: bool,
}

/// What an attempt means for its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Nothing is left to do: every recipient is sent or failed. The scheduler forgets the message.
    Finished,
    /// Some recipients have it, and the gateway wants the others in a transaction of their own (RFC
    /// 5321 section 4.5.3.1.10): back in its place in line. Only for an attempt in which at least
    /// one recipient was served, so that it ends.
    Partial,
    /// Some recipient is to be tried later: the message waits on a timer of its own.
    Deferred,
    /// Content was sent and the answer is unknown (I4): the message waits on a longer timer. The
    /// session counts as ended, whatever is said of it.
    Uncertain,
    /// Our own disk could not mark the attempt, so nothing was sent (I4): tried again in a minute.
    NotStarted,
    /// The gateway failed before it took the content: back in line, no timer, no attempt counted.
    GatewayDown(GatewayTrouble),
}

/// Which waits a flush breaks, at every gateway. None touches what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// By an admin: every wait of messages and gateway, a refused password too.
    All,
    /// By anybody else: every wait but the one after a refused password.
    ByUser,
    /// One message; the gateways are asked at once, unless one refused the password.
    Id(QueueId),
}

/// What the caller must do now. Every session knows its gateway: [`SessionId::gateway`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect, with [`CONNECT_TIMEOUT`], secure and authenticate; then report
    /// [`super::Scheduler::session_ready`] or [`super::Scheduler::session_failed`].
    Open(SessionId),
    /// Attempt this message on this session; then report [`super::Scheduler::attempt_ended`].
    Deliver {
        /// An idle session, now busy.
        session: SessionId,
        /// The message.
        id: QueueId,
    },
    /// End the session with QUIT; then report [`super::Scheduler::session_closed`]. Wait at most a
    /// second or two for the answer: until the report the session counts against the cap.
    Close(SessionId),
    /// For the log and the alarm: the gateway's circuit opened.
    GatewayWentDown {
        /// Which one.
        gateway: GatewayId,
        /// What kind of trouble.
        kind: TroubleKind,
        /// Why, in one line.
        reason: String,
    },
    /// For the log: the circuit closed again.
    GatewayCameBack {
        /// Which one.
        gateway: GatewayId,
        /// How long the outage was.
        after: Duration,
        /// Messages that are ready to go through it now.
        waiting: usize,
    },
    /// The message was queued for longer than [`super::Limits::queue_lifetime`]: record what is left of it
    /// as expired, tell the sender, retire it. The scheduler has forgotten it; if recording fails,
    /// hand it in again with [`super::Scheduler::queued`].
    Expire(QueueId),
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// In a transaction now.
    Active,
    /// On a timer of its own.
    Waiting {
        /// Monotonic time of the next attempt.
        until: Duration,
    },
    /// In line: for its turn, for a session, or for the gateway.
    Ready,
    /// Waiting for an admin.
    Held,
}

/// Numbers about the queue, for `STATUS` and metrics. All are counted, none is searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages known.
    pub messages: usize,
    /// Of these, in line.
    pub ready: usize,
    /// Of these, on a timer of their own.
    pub waiting: usize,
    /// Of these, in a transaction.
    pub active: usize,
    /// Of these, held.
    pub held: usize,
    /// Sessions open, opening or closing.
    pub sessions: usize,
    /// Of those in line, messages whose route names no gateway that there is. [`Scheduler::reroute`]
    /// helps them.
    ///
    /// [`Scheduler::reroute`]: super::Scheduler::reroute
    pub stranded: usize,
    /// Entries in the expiry calendar: at most one for a message.
    pub expiries: usize,
}

/// How one gateway does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewaySummary {
    /// Messages in its line.
    pub ready: usize,
    /// Messages that passed it, since it is out, and would come back.
    pub passed: usize,
    /// Sessions open, opening or closing.
    pub sessions: usize,
    /// An admin paused it.
    pub paused: bool,
    /// Why its mail goes through another gateway where the route names one; `None` while it does not.
    pub out: Option<Out>,
}
