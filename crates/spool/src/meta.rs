//! What is known about one entry, and how the records of its journal change that.

use mail::{Envelope, Origin, QueueId, StatusCode, Timestamp};

use crate::error::Damage;
use crate::maildrop::DropName;

/// Longest text kept of an outcome, in bytes; more is cut at a character boundary.
pub const TEXT_MAX: usize = 1000;
/// Longest name of a gateway or relay that is kept, in bytes; more is cut the same way.
pub(crate) const NAME_MAX: usize = 255;

/// Where a file of the spool lies, by the name of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Accepted and not yet deferred.
    Incoming,
    /// Tried and put off.
    Deferred,
    /// Not tried until an admin releases it.
    Hold,
    /// Damaged, and set aside for an admin.
    Corrupt,
    /// Left by `sendmail` while relayd was down; not taken in yet.
    Maildrop,
}

impl Queue {
    /// The folder's name, which is also Postfix's name of the queue.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Corrupt => "corrupt",
            Self::Maildrop => "maildrop",
        }
    }
}

/// What the spool's files say about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its queue id. Zero in `maildrop`, where a message has none yet.
    pub id: QueueId,
    /// Where it lies.
    pub queue: Queue,
    /// When it was accepted, by the wall clock. Zero in `maildrop`.
    pub arrival: Timestamp,
    /// Size of the content in bytes, in CRLF form.
    pub size: u64,
    /// Its envelope.
    pub envelope: Envelope,
    /// Who handed it in. In `maildrop` the owner of the file.
    pub origin: Origin,
    /// What it was made from, where it was not handed in directly.
    pub source: Option<Source>,
    /// One state for each recipient of the envelope, in the same order.
    pub recipients: Vec<RecipientState>,
    /// How many attempts were marked, not counting those closed without content sent.
    pub attempts: u32,
    /// Whether some recipient that is not done may have got the message already.
    pub uncertain: bool,
    /// The last attempt that was marked.
    pub last_attempt: Option<AttemptMark>,
}

/// What an entry was made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file in `maildrop`; recorded so that a crash between taking it in and removing it does
    /// not take it in twice.
    Drop(DropName),
    /// It is the delivery report about this entry; recorded so that relayd can see after a crash
    /// that the report was queued.
    Report(QueueId),
}

/// What the journal says about one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientState {
    /// How it ended, if it did. Such a recipient is never tried again.
    pub done: Option<Done>,
    /// The last outcome recorded.
    pub last: Option<Outcome>,
    /// An attempt at it was marked and how that ended is not known (yet): it may have the message.
    pub uncertain: bool,
    /// The attempt in progress, if any, includes it. Found so at start, a crash ended it.
    pub(crate) open: bool,
    /// It was uncertain before the attempt in progress.
    pub(crate) doubted: bool,
}

/// How a recipient ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The gateway took the message.
    Sent,
    /// The gateway refused it for good.
    Failed,
    /// It waited too long.
    Expired,
}

/// What happened to one recipient in one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The recipient, by its place in the envelope.
    pub recipient: u32,
    /// What happened.
    pub kind: OutcomeKind,
    /// The enhanced status code.
    pub status: StatusCode,
    /// When.
    pub at: Timestamp,
    /// The far end, as `name[address]:port`, or `none`; at most 255 bytes, more is cut.
    pub relay: String,
    /// The reason as shown to people; at most [`TEXT_MAX`] bytes, more is cut.
    pub text: String,
}

/// The kinds of outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// Taken by the gateway.
    Sent,
    /// To be tried again.
    Deferred,
    /// Content was sent and the reply never came: to be tried again, perhaps a second copy.
    Uncertain,
    /// Refused for good.
    Failed,
    /// Given up after waiting too long.
    Expired,
}

impl OutcomeKind {
    /// How the recipient ended by this outcome; `None` if it is to be tried again.
    #[must_use]
    pub const fn done(self) -> Option<Done> {
        match self {
            Self::Sent => Some(Done::Sent),
            Self::Failed => Some(Done::Failed),
            Self::Expired => Some(Done::Expired),
            Self::Deferred | Self::Uncertain => None,
        }
    }
}

/// What is recorded before content is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptMark {
    /// The gateway's name, at most 255 bytes.
    pub gateway: String,
    /// When.
    pub at: Timestamp,
    /// The recipients of the transaction, by their places in the envelope.
    pub recipients: Vec<u32>,
}

/// One thing found in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An entry. One with [`Meta::is_finished`] is a retirement that a crash undid: the caller
    /// queues what reports are missing and retires it again.
    Entry(Box<Meta>),
    /// Something that is not a whole entry.
    Damaged {
        /// The name it had, with unusual bytes replaced.
        name: String,
        /// Where it was found.
        queue: Queue,
        /// What is wrong with it.
        why: Damage,
        /// Where it lies in `corrupt` now (`X/NAME`); `None` where it was left in place, which
        /// is so when only listing, and where the system did not let it be moved.
        moved_to: Option<String>,
    },
}

impl Meta {
    /// Whether nothing is left to do for any recipient.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.recipients.iter().all(|state| state.done.is_some())
    }

    /// The places of the recipients that are not done.
    pub fn pending(&self) -> impl Iterator<Item = u32> + '_ {
        let states = self.recipients.iter().zip(0u32..);
        states
            .filter(|(state, _)| state.done.is_none())
            .map(|(_, place)| place)
    }
}
