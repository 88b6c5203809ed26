//! What is known of relayd, its gateways and its spool at one moment.

use crate::schedule::TroubleKind;
use mail::Timestamp;
use std::time::Duration;

/// Everything that [`super::examine`] looks at. What is not known is `None`, and then nothing is
/// said about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Whether relayd runs.
    pub running: bool,
    /// The gateways, where relayd runs.
    pub gateways: Vec<GatewayFacts>,
    /// What was sent of each quota.
    pub quotas: Vec<QuotaFacts>,
    /// Messages that wait, those on hold left out.
    pub waiting: u64,
    /// Of these, those that were tried and are to be tried again.
    pub deferred: u64,
    /// Messages on hold.
    pub held: u64,
    /// The message that waits longest.
    pub oldest: Option<Oldest>,
    /// How many messages wait because the gateway does not take their sender, with one of the
    /// senders and the gateway's words.
    pub refused_senders: Option<(u64, String, String)>,
    /// Files in `corrupt`.
    pub damaged: u64,
    /// How long the oldest submission lies in `maildrop`, and how many there are.
    pub maildrop: Option<(Duration, u64)>,
    /// The disk of the spool.
    pub disk: Option<Disk>,
    /// Certificates and tokens that end.
    pub expiring: Vec<Expiry>,
    /// Alarms that no road took so far.
    pub untold: u64,
}

/// One gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayFacts {
    /// Its name in the settings.
    pub name: String,
    /// Why it takes no mail; `None` while it does.
    pub down: Option<Down>,
    /// Whether it has taken a session since relayd was started, so that "not down" is known.
    pub proven: bool,
}

/// An outage of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// For how long.
    pub lasting: Duration,
    /// The gateway's words, or the system's.
    pub reason: String,
}

/// One quota of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaFacts {
    /// The gateway's name.
    pub gateway: String,
    /// The limit as the settings say it, such as `200/day`.
    pub limit: String,
    /// What was used.
    pub used: u64,
    /// Of how many; at least 1.
    pub of: u64,
}

/// The message that waits longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// Its queue id.
    pub id: String,
    /// How long it waits.
    pub age: Duration,
    /// Why, as far as is known.
    pub reason: Option<String>,
}

/// Room on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that may still be written.
    pub free: u64,
    /// Of how many.
    pub size: u64,
    /// Files that may still be made; 0 of 0 where the file system does not count them.
    pub free_files: u64,
    /// Of how many.
    pub files: u64,
}

/// Something that ends at a known time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// What, as in `the certificate /etc/relayd/cert.pem`.
    pub what: String,
    /// When.
    pub at: Timestamp,
}
