//! A message to be sent to some recipients in one go.

use mail::{Address, Envelope, Recipient, Ret};

use super::Unsupported;
use crate::capabilities::Capabilities;

/// A message to be sent in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The reverse-path; `None` is the null sender.
    pub sender: Option<Address>,
    /// The recipients to name, at least one.
    pub recipients: Vec<Recipient>,
    /// The content's size in bytes as it will be sent, before dot-stuffing, where it is known.
    pub size: Option<u64>,
    /// The content holds bytes above 127; said where 8BITMIME is offered. Where it is not, the
    /// caller has encoded the content, or it goes out as it is: nothing is refused for it here.
    pub eightbit: bool,
    /// SMTPUTF8 was asked for. It is claimed where it is offered, and required for addresses
    /// outside ASCII.
    pub smtputf8: bool,
    /// `RET=`, sent where DSN is offered.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded, sent where DSN is offered.
    pub envid: Option<String>,
    /// Send the content only if every recipient is accepted.
    pub all_or_nothing: bool,
}

impl Transaction {
    /// The envelope's transaction for some of its recipients.
    #[must_use]
    pub fn new(envelope: &Envelope, recipients: Vec<Recipient>, size: Option<u64>) -> Self {
        Self {
            sender: envelope.sender.clone(),
            recipients,
            size,
            eightbit: envelope.body == mail::Body::EightBitMime,
            smtputf8: envelope.smtputf8,
            ret: envelope.ret,
            envid: envelope.envid.clone(),
            all_or_nothing: false,
        }
    }

    /// Why the server cannot take the message for this recipient, before it is asked.
    pub(super) fn unsupported(
        &self,
        recipient: &Recipient,
        capabilities: &Capabilities,
    ) -> Option<Unsupported> {
        match (self.size, capabilities.size) {
            (Some(size), Some(limit)) if size > limit => {
                return Some(Unsupported::Size { size, limit });
            }
            _ => {}
        }
        let sender_is_ascii = self.sender.as_ref().is_none_or(Address::is_ascii);
        let ascii = sender_is_ascii && recipient.address.is_ascii();
        (!ascii && !capabilities.smtputf8).then_some(Unsupported::SmtpUtf8)
    }
}
