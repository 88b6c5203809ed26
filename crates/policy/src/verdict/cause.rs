//! Why a gateway refuses, in plain words, and what helps.

/// Why a refusal happened, as far as its code and text tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// There is no such recipient, or it takes no mail.
    Recipient,
    /// The recipient's mailbox is full.
    MailboxFull,
    /// The provider does not send to this recipient any more.
    Suppressed,
    /// The message is too large.
    TooLarge,
    /// The message's content or form is not accepted.
    Content,
    /// The message goes round in a loop.
    Loop,
    /// More recipients than one transaction may have.
    TooManyRecipients,
    /// The gateway wants a password, or encryption, first.
    NotAuthenticated,
    /// The sender address is not ours to use at this gateway.
    Sender,
    /// The amount of mail that may be sent is used up.
    Quota,
    /// Mail is sent faster than allowed.
    Rate,
    /// The account is blocked, unpaid or not yet enabled.
    Account,
    /// This host's address is not welcome.
    HostBlocked,
    /// The gateway does not relay this mail for us.
    RelayDenied,
    /// A setting or extension that we use is not accepted.
    Protocol,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it means; a clause without a full stop.
    pub meaning: &'static str,
    /// What to do; a clause without a full stop.
    pub remedy: &'static str,
}

impl Cause {
    /// Whether trying again cannot help, because the recipient or the message is at fault.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Recipient
                | Self::MailboxFull
                | Self::Suppressed
                | Self::TooLarge
                | Self::Content
                | Self::Loop
        )
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
        let (meaning, remedy) = match self {
            Self::NotAuthenticated => (
                "the gateway wants a user and a password, or encryption, before it takes mail",
                "set user and password_file, and tls, in the gateway's section",
            ),
            Self::Sender => (
                "the gateway does not accept this sender address for your account",
                "verify the address or its domain with the provider, or let the program send from \
                 an address that is",
            ),
            Self::Quota => (
                "the amount of mail that the provider lets you send is used up",
                "wait until the provider renews it, or ask the provider for more; the mail is kept",
            ),
            Self::Rate => (
                "mail is sent faster than the provider allows",
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
            Self::RelayDenied => (
                "the gateway does not relay this mail for you",
                "check user and password in the gateway's section, and whether your account may \
                 send to other domains",
            ),
            Self::Suppressed => (
                "the provider does not send to this address any more, because earlier mail to it \
                 failed or was complained about",
                "remove the address from the provider's suppression list if it works again",
            ),
            Self::Protocol => (
                "the gateway does not understand something that relayd said",
                "report it; the mail is kept",
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
            Self::Recipient
            | Self::MailboxFull
            | Self::TooLarge
            | Self::Content
            | Self::Loop
            | Self::TooManyRecipients
            | Self::Temporary
            | Self::ConnectionLost
            | Self::OtherRecipient => return None,
        };
        Some(Advice { meaning, remedy })
    }
}
