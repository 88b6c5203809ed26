//! The envelope: who a message is from and for, and what was asked about its delivery.

use crate::Address;

/// What SMTP's MAIL and RCPT commands said (RFC 5321 section 2.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The reverse-path; `None` is the null sender `<>`.
    pub sender: Option<Address>,
    /// The recipients, in the order given, none twice.
    pub recipients: Vec<Recipient>,
    /// `BODY=` (RFC 6152).
    pub body: Body,
    /// `SMTPUTF8` (RFC 6531): addresses or headers carry UTF-8.
    pub smtputf8: bool,
    /// `RET=` (RFC 3461 section 4.3).
    pub ret: Option<Ret>,
    /// `ENVID=` (RFC 3461 section 4.4), decoded; printable ASCII, at most 100 characters.
    pub envid: Option<String>,
    /// Nothing is to be added to the header block, and nothing in it completed: `sendmail -G`,
    /// which passes on what others wrote. Never told to a gateway.
    pub as_is: bool,
}

impl Envelope {
    /// An envelope with a sender, plain recipients and no extensions.
    #[must_use]
    pub fn new(sender: Option<Address>, recipients: Vec<Address>) -> Self {
        let recipients = recipients.into_iter().map(Recipient::new).collect();
        Self {
            sender,
            recipients,
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            as_is: false,
        }
    }
}

/// One recipient and what was asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The forward-path, as it is sent to the gateway.
    pub address: Address,
    /// The address as handed in, where it was rewritten or expanded; logged as `orig_to=`.
    pub original: Option<String>,
    /// `ORCPT=` (RFC 3461 section 4.2), decoded, such as `rfc822;joe@example.com`.
    pub orcpt: Option<String>,
    /// `NOTIFY=` (RFC 3461 section 4.1); `None` where it was not given.
    pub notify: Option<Notify>,
}

impl Recipient {
    /// A recipient with no wishes about delivery reports.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            original: None,
            orcpt: None,
            notify: None,
        }
    }
}

/// `BODY=` of the MAIL command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Seven-bit text.
    #[default]
    SevenBit,
    /// Eight-bit text in lines.
    EightBitMime,
}

/// `RET=` of the MAIL command: how much of the message a report returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header block.
    Headers,
}

/// `NOTIFY=` of the RCPT command: which reports were asked for. All false means `NEVER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `SUCCESS`.
    pub success: bool,
    /// `FAILURE`.
    pub failure: bool,
    /// `DELAY`.
    pub delay: bool,
}
