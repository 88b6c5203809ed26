//! What the gateway's answer means: for one recipient, for the message, or for the gateway.
//!
//! The stage counts before the code. A refusal before MAIL is about us, whatever its code: it
//! makes the gateway wait and never fails a message. Of the answers to MAIL, RCPT and the content,
//! only those fail something that are clearly about the recipient or the message; gateways answer
//! spent quotas, unverified senders and blocked accounts with permanent codes too, and mail that
//! is kept can still be sent once the cause is gone. [`SoftBounce`] moves that line.

mod cause;
mod kept;
mod rules;
mod words;

use crate::log::Status;
use crate::schedule::{GatewayTrouble, TroubleKind};
use crate::settings::SoftBounce;
use mail::StatusCode;
use smtp::Stage;
use smtp::client::Refusal;
use smtp::reply::Reply;
use std::time::Duration;

pub use crate::log::Server;
pub use cause::{Advice, Cause};
pub use kept::{Undeliverable, goes_on, suspended_code, undeliverable};
pub use words::{Trouble, connect_failed, of_fault, said, unknown_host};

/// What to do because of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is about us and the gateway: the gateway waits, and the message goes back in line.
    Gateway(TroubleKind),
    /// Try again later.
    Defer(Scope),
    /// Give up and tell the sender.
    Fail(Scope),
    /// The gateway may have taken the message: try again later, and say so.
    Uncertain,
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one recipient.
    Recipient,
    /// The message, and so every recipient that was still to be served.
    Message,
}

/// A verdict with what is told about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What to do.
    pub verdict: Verdict,
    /// What `dsn=` shows: the gateway's own code, its class changed to 4 where mail is kept.
    pub code: StatusCode,
    /// What `status=` shows.
    pub status: Status,
    /// Why, as far as that can be told from the answer.
    pub cause: Cause,
    /// How long the gateway asked us to wait, as in "try again in 92 seconds"; at most a day.
    pub retry_after: Option<Duration>,
}

impl Ruling {
    /// The cause in plain words and what to do about it; `None` where the gateway's own words are
    /// all there is to say.
    #[must_use]
    pub fn advice(&self) -> Option<Advice> {
        self.cause.advice()
    }

    /// What the scheduler is told; `None` unless the verdict is [`Verdict::Gateway`].
    #[must_use]
    pub fn trouble(&self, reason: &str) -> Option<GatewayTrouble> {
        let Verdict::Gateway(kind) = self.verdict else {
            return None;
        };
        Some(GatewayTrouble {
            kind,
            reason: reason.to_owned(),
            retry_after: self.retry_after,
        })
    }
}

/// What a reply that refuses means. `stage` is what it was the answer to.
///
/// A reply of class 2 or 3 where a refusal was expected counts as class 4.
#[must_use]
pub fn classify(stage: Stage, reply: &Reply, soft_bounce: SoftBounce) -> Ruling {
    let cause = rules::cause(stage, reply);
    let verdict = match stage {
        Stage::Mail | Stage::Rcpt | Stage::Data | Stage::EndOfData => {
            in_transaction(stage, reply, cause, soft_bounce)
        }
        _ => Verdict::Gateway(gateway_trouble(stage, reply)),
    };
    let retry_after = rules::retry_after(&reply.text());
    Ruling {
        verdict,
        code: code(reply, verdict),
        status: status(verdict, reply, soft_bounce),
        cause,
        retry_after,
    }
}

/// What a refusal of one recipient means, and the text for its log line, for `mailq` and for the
/// report to the sender.
#[must_use]
pub fn of_refusal(server: &Server, refusal: &Refusal, soft_bounce: SoftBounce) -> (Ruling, String) {
    let text = words::of_refusal(server, refusal);
    let ruling = match refusal {
        Refusal::Reply { stage, reply } => classify(*stage, reply, soft_bounce),
        Refusal::Interrupted {
            content_sent: true, ..
        } => Ruling::kept(
            Verdict::Uncertain,
            StatusCode::new(4, 4, 2),
            Cause::AnswerLost,
        ),
        Refusal::Interrupted { stage, how, .. } => {
            let (kind, code) = words::of_interruption(*stage, how);
            Ruling::kept(Verdict::Gateway(kind), code, Cause::ConnectionLost)
        }
        Refusal::Unsupported { what } => unsupported(what.status(), soft_bounce),
        Refusal::OtherRefused => Ruling::kept(
            Verdict::Defer(Scope::Message),
            StatusCode::new(4, 5, 3),
            Cause::OtherRecipient,
        ),
    };
    (ruling, text)
}

impl Ruling {
    const fn kept(verdict: Verdict, code: StatusCode, cause: Cause) -> Self {
        Self {
            verdict,
            code,
            status: Status::Deferred,
            cause,
            retry_after: None,
        }
    }
}

/// The gateway cannot take the message: too large, or addresses that it does not know how to carry.
const fn unsupported(code: StatusCode, soft_bounce: SoftBounce) -> Ruling {
    let cause = if code.subject() == 3 {
        Cause::TooLarge
    } else {
        Cause::Content
    };
    match soft_bounce {
        SoftBounce::Yes => Ruling {
            status: Status::SoftBounce,
            ..Ruling::kept(Verdict::Defer(Scope::Message), code.with_class(4), cause)
        },
        SoftBounce::Smart | SoftBounce::No => Ruling {
            status: Status::Bounced,
            ..Ruling::kept(Verdict::Fail(Scope::Message), code, cause)
        },
    }
}

/// Outside of transactions only the kind of trouble is left to tell.
const fn gateway_trouble(stage: Stage, reply: &Reply) -> TroubleKind {
    match (stage, reply.code) {
        (Stage::StartTls | Stage::Tls, 500..) => TroubleKind::Tls,
        // 504, 534, 538: the mechanism is not known, too weak, or needs encryption (RFC 4954).
        (Stage::Auth, 504 | 534 | 538) => TroubleKind::NoAuth,
        (Stage::Auth, 500..) => TroubleKind::Auth,
        (_, 500..) => TroubleKind::Refused5xx,
        _ => TroubleKind::Refused4xx,
    }
}

fn in_transaction(stage: Stage, reply: &Reply, cause: Cause, soft_bounce: SoftBounce) -> Verdict {
    let scope = if stage == Stage::Rcpt {
        Scope::Recipient
    } else {
        Scope::Message
    };
    if reply.code == 421 {
        return Verdict::Gateway(TroubleKind::Refused4xx);
    }
    if cause == Cause::NotAuthenticated && wants_authentication(stage, reply) {
        return Verdict::Gateway(TroubleKind::NoAuth);
    }
    if !reply.is_permanent() {
        return Verdict::Defer(scope);
    }
    match soft_bounce {
        SoftBounce::Yes => Verdict::Defer(scope),
        SoftBounce::No => Verdict::Fail(scope),
        SoftBounce::Smart if cause.is_final() => Verdict::Fail(scope),
        SoftBounce::Smart => Verdict::Defer(scope),
    }
}

/// At MAIL no recipient is known yet, so the words are about us. Later only 530 is (RFC 4954): a
/// mailing list that takes mail from its members alone has the same words, and must not keep the
/// mail of everybody else waiting.
fn wants_authentication(stage: Stage, reply: &Reply) -> bool {
    match stage {
        Stage::Mail => reply.is_permanent(),
        Stage::Rcpt | Stage::Data => reply.code == 530,
        _ => false,
    }
}

fn code(reply: &Reply, verdict: Verdict) -> StatusCode {
    let class = if matches!(verdict, Verdict::Fail(_)) {
        5
    } else {
        4
    };
    reply
        .status
        .map_or(StatusCode::new(class, 0, 0), |code| code.with_class(class))
}

fn status(verdict: Verdict, reply: &Reply, soft_bounce: SoftBounce) -> Status {
    match verdict {
        Verdict::Fail(_) => Status::Bounced,
        Verdict::Defer(_) if soft_bounce == SoftBounce::Yes && reply.is_permanent() => {
            Status::SoftBounce
        }
        _ => Status::Deferred,
    }
}

#[cfg(test)]
mod tests;
