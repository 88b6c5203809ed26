//! Why a gateway refuses, in plain words, and what helps.

use crate::log::{LONGEST, printable};
use std::borrow::Cow;

/// Why a refusal happened, as far as its code and text tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// There is no such recipient, or it takes no mail.
    Recipient,
    /// The recipient gets more mail than it can take now.
    RecipientBusy,
    /// The recipient's mailbox is full.
    MailboxFull,
    /// The recipient's server does not know us yet and wants us to come again.
    Greylisted,
    /// The provider does not send to this recipient any more.
    Suppressed,
    /// The message is too large.
    TooLarge,
    /// The message's content or form is not accepted.
    Content,
    /// The message's content is taken for unwanted mail.
    Spam,
    /// The message goes round in a loop.
    Loop,
    /// More recipients than one transaction may have.
    TooManyRecipients,
    /// The gateway wants a password first.
    NotAuthenticated,
    /// The gateway refuses the user or the password.
    Password,
    /// The gateway wants encryption, or another kind of it.
    Tls,
    /// The sender address is not ours to use at this gateway.
    Sender,
    /// The sender's domain lacks what receivers look for in the DNS.
    SenderDomain,
    /// The amount of mail that may be sent is used up.
    Quota,
    /// Mail is sent faster than allowed.
    Rate,
    /// More sessions are open than allowed.
    Connections,
    /// The account is blocked, unpaid or not yet enabled.
    Account,
    /// This host's address is not welcome.
    HostBlocked,
    /// The name that this host says in EHLO is not welcome.
    HostName,
    /// The gateway does not relay this mail for us.
    RelayDenied,
    /// A setting or extension that we use is not accepted.
    Protocol,
    /// The gateway closes the session, for being idle or for having been used enough.
    SessionOver,
    /// The gateway cannot take it now.
    Temporary,
    /// A permanent refusal that says nothing of the above.
    Unclear,
    /// The connection ended before the content was sent.
    ConnectionLost,
    /// The connection ended between the content and the answer to it.
    AnswerLost,
    /// Another recipient of the message was refused.
    OtherRecipient,
}

/// A cause in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it means; a clause without a full stop.
    pub meaning: Cow<'static, str>,
    /// What to do; a clause without a full stop.
    pub remedy: Cow<'static, str>,
}

/// Every cause that a rule can name, by its name in the table of replies.
pub(super) const NAMES: [(&str, Cause); 26] = [
    ("recipient", Cause::Recipient),
    ("recipient-busy", Cause::RecipientBusy),
    ("mailbox-full", Cause::MailboxFull),
    ("greylisted", Cause::Greylisted),
    ("suppressed", Cause::Suppressed),
    ("too-large", Cause::TooLarge),
    ("content", Cause::Content),
    ("spam", Cause::Spam),
    ("loop", Cause::Loop),
    ("too-many-recipients", Cause::TooManyRecipients),
    ("not-authenticated", Cause::NotAuthenticated),
    ("password", Cause::Password),
    ("tls", Cause::Tls),
    ("sender", Cause::Sender),
    ("sender-domain", Cause::SenderDomain),
    ("quota", Cause::Quota),
    ("rate", Cause::Rate),
    ("connections", Cause::Connections),
    ("account", Cause::Account),
    ("host", Cause::HostBlocked),
    ("hostname", Cause::HostName),
    ("relay", Cause::RelayDenied),
    ("protocol", Cause::Protocol),
    ("session", Cause::SessionOver),
    ("temporary", Cause::Temporary),
    ("unclear", Cause::Unclear),
];

impl Advice {
    /// A refusal's text with what it means and what to do, of which nothing is lost.
    #[must_use]
    pub fn beside(&self, text: &str) -> String {
        let advice = format!(" -- {}; {}", self.meaning, self.remedy);
        let room = LONGEST.saturating_sub(advice.chars().count());
        let text = printable::shortened(text, room);
        printable::shortened(&format!("{text}{advice}"), LONGEST)
    }
}

impl Cause {
    /// The cause that a text names by its advice, as [`Advice::beside`] wrote it.
    #[must_use]
    pub fn told_in(text: &str) -> Option<Self> {
        let (_, told) = text.rsplit_once(" -- ")?;
        let mut causes = NAMES.iter().map(|(_, cause)| *cause);
        causes.find(|cause| {
            let advice = cause.advice();
            advice.is_some_and(|advice| told == format!("{}; {}", advice.meaning, advice.remedy))
        })
    }

    /// Whether the gateway only wants the recipient in another transaction (RFC 5321 section
    /// 4.5.3.1.10).
    #[must_use]
    pub const fn is_about_the_transaction(self) -> bool {
        matches!(self, Self::TooManyRecipients)
    }

    /// What to tell the admin. `None` where the gateway's own words say it all.
    #[must_use]
    pub const fn advice(self) -> Option<Advice> {
        let words = match self.about_us() {
            None => self.about_mail(),
            words => words,
        };
        match words {
            None => None,
            Some((meaning, remedy)) => Some(Advice {
                meaning: Cow::Borrowed(meaning),
                remedy: Cow::Borrowed(remedy),
            }),
        }
    }

    /// Meaning and remedy where the account, the settings or this host is the reason.
    const fn about_us(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::NotAuthenticated => (
                "the gateway wants a user and a password before it takes mail",
                "set user and password_file in the gateway's section",
            ),
            Self::Password => (
                "the gateway refuses the user or the password",
                "correct user and password_file; some providers want an app password or an API key",
            ),
            Self::Tls => (
                "the gateway wants encryption",
                "set tls = starttls or implicit in the gateway's section",
            ),
            Self::Quota => (
                "the amount of mail that the provider lets you send is used up",
                "wait until the provider renews it, or ask the provider for more; the mail is kept",
            ),
            Self::Rate => (
                "mail is sent faster than the provider allows",
                "nothing, if it passes; if it happens often, set rate in the gateway's section",
            ),
            Self::Connections => (
                "more sessions are open than the provider allows",
                "nothing, if it passes; if it happens often, lower max_connections",
            ),
            Self::Account => (
                "the provider has blocked your account, or has not enabled it yet",
                "sign in at the provider and look for a notice; the mail is kept",
            ),
            Self::HostBlocked => (
                "the gateway does not accept this host's address",
                "allow the address in the provider's settings, or ask the provider why it is \
                 blocked",
            ),
            Self::HostName => (
                "the gateway does not accept the name that this host gives itself",
                "set hostname to a full name that the DNS knows",
            ),
            Self::RelayDenied => (
                "the gateway does not relay this mail for you",
                "check user and password in the gateway's section, and whether your account may \
                 send to other domains",
            ),
            Self::Protocol => (
                "the gateway does not understand something that relayd said",
                "report it; the mail is kept",
            ),
            _ => return None,
        })
    }

    /// The same where the message, its sender or its recipient is the reason.
    const fn about_mail(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Sender => (
                "the gateway does not accept this sender address for your account",
                "verify the address or its domain with the provider, or set default in [from] to \
                 an address that is",
            ),
            Self::SenderDomain => (
                "the sender's domain lacks what receivers look for: SPF, DKIM or DMARC records, or \
                 a domain that exists",
                "set up the DNS records that the provider names, or set default in [from] to an \
                 address whose domain has them",
            ),
            Self::Suppressed => (
                "the provider does not send to this address any more, because earlier mail to it \
                 failed or was complained about",
                "remove the address from the provider's suppression list if it works again",
            ),
            Self::Spam => (
                "the gateway takes this message for unwanted mail",
                "look at what it says, and at the account's standing with the provider",
            ),
            Self::Unclear => (
                "the gateway refuses this for good, but not clearly because of the recipient or \
                 the message",
                "read its words; the mail is kept and tried again until queue_lifetime has passed",
            ),
            Self::AnswerLost => (
                "the gateway may have taken the message, and its answer is not known",
                "nothing; it is sent again later, so the recipient may get it twice",
            ),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Rulebook;

    #[test]
    fn a_text_names_its_cause_by_the_advice_in_it() {
        for (_, cause) in NAMES {
            let Some(advice) = cause.advice() else {
                continue;
            };
            let text = advice.beside("host h said: 554 no -- really");
            assert_eq!(Cause::told_in(&text), Some(cause), "{text}");
            assert_eq!(Rulebook::built_in().cause_told_in(&text), Some(cause));
        }
        let own = "host h said: 554 no -- the sender address is not verified at SES, or a recipient \
                   while the account is in the sandbox; verify it or its domain in the SES console, \
                   or set default in [from] to an address that is";
        assert_eq!(Rulebook::built_in().cause_told_in(own), Some(Cause::Sender));
        for text in [
            "",
            "554 no",
            "554 -- no",
            "554 -- the gateway wants encryption",
        ] {
            assert_eq!(Rulebook::built_in().cause_told_in(text), None, "{text}");
        }
    }
}
