//! What the gateway's answer means: for one recipient, for the message, or for the gateway.
//!
//! The stage counts before the code. A refusal before MAIL is about us, whatever its code: it
//! makes the gateway wait and never fails a message. Of the answers to MAIL, RCPT and the content,
//! only those fail something that the [`Rulebook`] knows to be about the recipient or the message;
//! gateways answer spent quotas, unverified senders and blocked accounts with permanent codes too,
//! and mail that is kept can still be sent once the cause is gone. [`SoftBounce`] moves that line.

mod cause;
mod kept;
mod manual;
mod rulebook;
mod told;
mod waiting;
mod words;

use crate::log::Status;
use crate::schedule::{Effect, GatewayTrouble, TroubleKind};
use crate::settings::SoftBounce;
use mail::StatusCode;
use smtp::Stage;
use smtp::client::{Fault, Refusal};
use smtp::reply::Reply;
use std::time::Duration;

pub use crate::log::Server;
pub use cause::{Advice, Cause};
pub use kept::{Undeliverable, goes_on, suspended_code, undeliverable};
pub use manual::manual;
pub use rulebook::{Act, Rulebook};
pub use told::told;
pub use words::{Trouble, connect_failed, said, unknown_host};

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
    /// The sender of the message, and so every message that it sends through this gateway.
    Sender,
}

/// A verdict with what is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What to do.
    pub verdict: Verdict,
    /// What it asks of the gateway's use; counts with [`Verdict::Gateway`] alone.
    pub effect: Effect,
    /// What `dsn=` shows: the gateway's own code, its class changed to 4 where mail is kept.
    pub code: StatusCode,
    /// What `status=` shows.
    pub status: Status,
    /// Why, as far as that can be told from the answer.
    pub cause: Cause,
    /// The cause in plain words and what to do about it; `None` where the gateway's own words are
    /// all there is to say.
    pub advice: Option<Advice>,
    /// How long the gateway asked us to wait, as in "try again in 92 seconds"; at most a day.
    pub retry_after: Option<Duration>,
}

impl Ruling {
    /// What the scheduler is told; `None` unless the verdict is [`Verdict::Gateway`].
    #[must_use]
    pub fn trouble(&self, reason: &str) -> Option<GatewayTrouble> {
        let Verdict::Gateway(kind) = self.verdict else {
            return None;
        };
        Some(GatewayTrouble {
            kind,
            effect: self.effect,
            reason: reason.to_owned(),
            retry_after: self.retry_after,
        })
    }

    /// The text of a refusal, as `mailq` shows it: with what it means and what to do.
    #[must_use]
    pub fn explained(&self, text: &str) -> String {
        match &self.advice {
            Some(advice) => advice.beside(text),
            None => text.to_owned(),
        }
    }

    /// The ruling for a recipient of a transaction in which others were served: what would stop the
    /// gateway for everybody is then about the one recipient after all.
    #[must_use]
    pub fn beside_others(self) -> Self {
        match (self.verdict, self.effect) {
            (Verdict::Gateway(_), Effect::Park) => Self {
                verdict: Verdict::Defer(Scope::Recipient),
                ..self
            },
            _ => self,
        }
    }

    fn kept(verdict: Verdict, code: StatusCode, cause: Cause) -> Self {
        let effect = match verdict {
            Verdict::Gateway(kind) => Effect::of(kind),
            _ => Effect::BackOff,
        };
        Self {
            verdict,
            effect,
            code,
            status: Status::Deferred,
            cause,
            advice: cause.advice(),
            retry_after: None,
        }
    }
}

/// What is needed to rule on a gateway's answers.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// The rules.
    pub rules: &'a Rulebook,
    /// Whose replies the gateway gives, see [`crate::providers`].
    pub provider: Option<&'a str>,
    /// `soft_bounce`.
    pub soft_bounce: SoftBounce,
}

impl Judge<'_> {
    /// What a reply that refuses means. `stage` is what it was the answer to.
    ///
    /// A reply of class 2 or 3 where a refusal was expected counts as class 4.
    #[must_use]
    pub fn classify(&self, stage: Stage, reply: &Reply) -> Ruling {
        let rule = self.rules.find(stage, reply, self.provider);
        let known = rule.map(|rule| rule.act);
        let cause = rule.map_or(unknown_cause(reply), |rule| rule.cause);
        let advice = rule.and_then(|rule| rule.advice.clone());
        let (verdict, effect) = match stage {
            Stage::Mail | Stage::Rcpt | Stage::Data | Stage::EndOfData => {
                self.in_transaction(stage, reply, (known, cause))
            }
            _ => {
                let kind = gateway_trouble(stage, reply);
                let effect = known.and_then(effect_of);
                (Verdict::Gateway(kind), effect.unwrap_or(Effect::of(kind)))
            }
        };
        Ruling {
            verdict,
            effect,
            code: code(reply, verdict),
            status: self.status(verdict, reply),
            cause,
            advice: advice.or_else(|| cause.advice()),
            retry_after: waiting::retry_after(&reply.text()),
        }
    }

    /// What a refusal of one recipient means, and the text for its log line, for `mailq` and for
    /// the report to the sender. `recipients` were in the transaction.
    #[must_use]
    pub fn of_refusal(
        &self,
        server: &Server,
        refusal: &Refusal,
        recipients: usize,
    ) -> (Ruling, String) {
        let text = words::of_refusal(server, refusal);
        let ruling = match refusal {
            Refusal::Reply { stage, reply } => self.of_reply(*stage, reply, recipients),
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
            Refusal::Unsupported { what } => unsupported(what.status(), self.soft_bounce),
            Refusal::OtherRefused => Ruling::kept(
                Verdict::Defer(Scope::Message),
                StatusCode::new(4, 5, 3),
                Cause::OtherRecipient,
            ),
        };
        (ruling, text)
    }

    /// An answer to the content that is about one recipient does not say about which: it fails
    /// nobody where there were several.
    fn of_reply(&self, stage: Stage, reply: &Reply, recipients: usize) -> Ruling {
        let ruling = self.classify(stage, reply);
        let names_nobody = stage != Stage::Rcpt && recipients > 1;
        match ruling.verdict {
            Verdict::Fail(Scope::Recipient) if names_nobody => {
                let verdict = Verdict::Defer(Scope::Message);
                Ruling {
                    verdict,
                    code: code(reply, verdict),
                    status: self.status(verdict, reply),
                    ..ruling
                }
            }
            _ => ruling,
        }
    }

    /// What ended a session outside of a transaction.
    #[must_use]
    pub fn of_fault(&self, server: &Server, fault: &Fault) -> Trouble {
        words::of_fault(self, server, fault)
    }

    /// What an answer that accepts a recipient means if it says that nothing will be sent; `None`
    /// where the recipient is served.
    #[must_use]
    pub fn of_acceptance(&self, stage: Stage, reply: &Reply) -> Option<Ruling> {
        let rule = self.rules.find(stage, reply, self.provider)?;
        (reply.is_positive() && rule.act == Act::Suppressed).then(|| Ruling {
            verdict: Verdict::Fail(Scope::Recipient),
            effect: Effect::BackOff,
            code: reply
                .status
                .map_or(StatusCode::new(5, 7, 1), |code| code.with_class(5)),
            status: Status::Bounced,
            cause: rule.cause,
            advice: rule.advice.clone().or_else(|| rule.cause.advice()),
            retry_after: None,
        })
    }

    fn in_transaction(
        &self,
        stage: Stage,
        reply: &Reply,
        (known, cause): (Option<Act>, Cause),
    ) -> (Verdict, Effect) {
        let scope = if stage == Stage::Rcpt {
            Scope::Recipient
        } else {
            Scope::Message
        };
        let verdict = match known {
            Some(Act::FailRecipient) => Verdict::Fail(Scope::Recipient),
            Some(Act::FailMessage) => Verdict::Fail(scope),
            Some(Act::HoldSender) => Verdict::Defer(Scope::Sender),
            Some(act) if effect_of(act).is_some() => Verdict::Gateway(kind_of(cause, reply)),
            None if reply.code == 421 => Verdict::Gateway(TroubleKind::Refused4xx),
            _ => Verdict::Defer(scope),
        };
        let verdict = match (verdict, self.soft_bounce) {
            (Verdict::Fail(scope), _) if !reply.is_permanent() => Verdict::Defer(scope),
            (Verdict::Fail(scope), SoftBounce::Yes) => Verdict::Defer(scope),
            (Verdict::Gateway(TroubleKind::NoAuth | TroubleKind::Tls), SoftBounce::No) => verdict,
            (Verdict::Defer(_) | Verdict::Gateway(_), SoftBounce::No) if reply.is_permanent() => {
                Verdict::Fail(scope)
            }
            (verdict, _) => verdict,
        };
        let usual = match verdict {
            Verdict::Gateway(kind) => Effect::of(kind),
            _ => Effect::BackOff,
        };
        (verdict, known.and_then(effect_of).unwrap_or(usual))
    }

    fn status(&self, verdict: Verdict, reply: &Reply) -> Status {
        match verdict {
            Verdict::Fail(_) => Status::Bounced,
            Verdict::Defer(_) if self.soft_bounce == SoftBounce::Yes && reply.is_permanent() => {
                Status::SoftBounce
            }
            _ => Status::Deferred,
        }
    }
}

const fn unknown_cause(reply: &Reply) -> Cause {
    if reply.is_permanent() {
        Cause::Unclear
    } else {
        Cause::Temporary
    }
}

/// What an act asks of the gateway's use; `None` where it is about mail.
const fn effect_of(act: Act) -> Option<Effect> {
    Some(match act {
        Act::Reconnect => Effect::Reconnect,
        Act::SlowDown => Effect::SlowDown,
        Act::FewerConnections => Effect::FewerConnections,
        Act::BackOff => Effect::BackOff,
        Act::Pause(period) => Effect::PauseUntil(period),
        Act::Park => Effect::Park,
        Act::Retry
        | Act::NextTransaction
        | Act::HoldSender
        | Act::FailRecipient
        | Act::FailMessage
        | Act::Suppressed => return None,
    })
}

/// The kind of trouble that a reply within a transaction is a sign of.
const fn kind_of(cause: Cause, reply: &Reply) -> TroubleKind {
    match cause {
        Cause::NotAuthenticated => TroubleKind::NoAuth,
        Cause::Password => TroubleKind::Auth,
        Cause::Tls => TroubleKind::Tls,
        _ if reply.is_permanent() => TroubleKind::Refused5xx,
        _ => TroubleKind::Refused4xx,
    }
}

/// The gateway cannot take the message: too large, or addresses that it does not know how to carry.
fn unsupported(code: StatusCode, soft_bounce: SoftBounce) -> Ruling {
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

#[cfg(test)]
mod tests;
