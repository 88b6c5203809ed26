//! Takes one message in: makes its envelope and header block ready, and its entry durable. Every
//! door and the intake go through here, so every message is treated alike.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use host::aliases::Current;
use mail::completion::{self, Completion};
use mail::header::{Head, HeaderBlock, HeaderTooLong, Splitter};
use mail::{Envelope, Origin, QueueId, Submitter, Timestamp};
use policy::budget;
use policy::log::{Client, Line, Login};
use smtp::sasl::Mechanism;
use spool::{Draft, ErrorKind, Meta, Queue, Source, SpoolError};

use crate::budgets::Leave;
use crate::fresh::Message;
use crate::parts;
use crate::relay::Relay;
use crate::running::Running;

/// Content that is gathered before it goes to the disk. Most messages are smaller, and are created,
/// written and made durable in one go.
const GATHERED: usize = 256 * 1024;
/// More Received fields than any path has; a message that has them goes round in circles
/// (Postfix's `hopcount_limit`).
const MOST_HOPS: usize = 50;

/// The most that is kept of the name of the script that sent a message, in characters.
const LONGEST_SCRIPT: usize = 200;

/// Why a message was not taken in.
#[derive(Debug)]
pub(crate) enum AcceptError {
    /// The spool could not take it.
    Spool(SpoolError),
    /// The header block is too long.
    Header(HeaderTooLong),
    /// It has been through here too often.
    Loop,
    /// Whoever hands it in has handed in too much.
    OverRate {
        /// As the log names them.
        origin: String,
        /// When there is room again.
        wait: Duration,
    },
    /// No entry can hold it, as one with more recipients than the format allows.
    Unstorable(&'static str),
    /// relayd is at fault.
    Internal(String),
}

impl From<SpoolError> for AcceptError {
    fn from(error: SpoolError) -> Self {
        match error.kind {
            ErrorKind::Refused(why) => Self::Unstorable(why),
            _ => Self::Spool(error),
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(error) => error.fmt(f),
            Self::Header(error) => error.fmt(f),
            Self::Loop => write!(f, "it has {MOST_HOPS} Received fields: a mail loop"),
            Self::OverRate { origin, wait } => {
                let secs = wait.as_secs().max(1);
                write!(f, "too much mail from {origin}; try again in {secs} s")
            }
            Self::Unstorable(why) => write!(f, "it cannot be stored: {why}"),
            Self::Internal(problem) => f.write_str(problem),
        }
    }
}

/// What is known of a message before its content.
pub(crate) struct Submission {
    pub(crate) envelope: Envelope,
    pub(crate) submitter: Submitter,
    /// `None` for what `sendmail` hands over.
    pub(crate) introduction: Option<Introduction>,
    /// The file in `maildrop` that it is made from.
    pub(crate) source: Option<Source>,
}

/// How an SMTP client introduced itself.
pub(crate) struct Introduction {
    /// The name given in EHLO.
    pub(crate) hello: String,
    /// The protocol as Received fields name it, such as `ESMTP`.
    pub(crate) protocol: &'static str,
    /// How it authenticated, if it did.
    pub(crate) mechanism: Option<Mechanism>,
}

/// Makes the addresses of an envelope complete: rewritten, qualified, led on by the aliases. Gives
/// what the log is to say about it once the message has its id.
fn complete_envelope(envelope: &mut Envelope, relay: &Relay, running: &Running) -> Vec<String> {
    let Current { aliases, problems } = running.aliases.current();
    for problem in problems {
        relay.log.warn(&problem.to_string());
    }
    policy::aliases::complete(envelope, &aliases, &running.rules())
}

/// A message that was taken in.
pub(crate) struct Accepted {
    pub(crate) first: Meta,
    /// The entries for recipients that go other ways.
    pub(crate) others: Vec<Meta>,
}

impl Accepted {
    fn all(&mut self) -> impl Iterator<Item = &mut Meta> {
        [&mut self.first].into_iter().chain(&mut self.others)
    }
}

/// A message whose content is coming in. Dropping it leaves nothing behind.
pub(crate) struct Reception {
    /// Present until the header block is complete.
    splitter: Option<Splitter>,
    writer: Writer,
}

impl Reception {
    pub(crate) fn new(relay: &Arc<Relay>, submission: Submission) -> Self {
        let writer = Writer::new(relay, submission);
        let limit = writer.running.settings.doors.max_header_size;
        Self {
            splitter: Some(Splitter::bounded(limit)),
            writer,
        }
    }

    /// Takes the next bytes of the content, which is in CRLF form.
    ///
    /// # Errors
    /// The message cannot be taken in.
    pub(crate) async fn content(mut self, bytes: &[u8]) -> Result<Self, AcceptError> {
        let mut bytes = bytes;
        if let Some(splitter) = &mut self.splitter {
            let Some(used) = splitter.feed(bytes).map_err(AcceptError::Header)? else {
                return Ok(self);
            };
            bytes = &bytes[used..];
            self.end_header()?;
        }
        self.writer.pending.extend_from_slice(bytes);
        if self.writer.pending.len() < GATHERED {
            return Ok(self);
        }
        let Self {
            splitter,
            mut writer,
        } = self;
        let relay = Arc::clone(&writer.relay);
        let writer = on_disk(&relay, move || writer.write_out().map(|()| writer)).await?;
        Ok(Self { splitter, writer })
    }

    /// Ends the message: when this returns, it is on stable storage (I1), as one entry or, where its
    /// recipients go different ways, as several. It is the caller's to make them known with
    /// [`Relay::queued`].
    ///
    /// # Errors
    /// It was not taken in.
    pub(crate) async fn finish(mut self) -> Result<Accepted, AcceptError> {
        self.end_header()?;
        let writer = self.writer;
        let relay = Arc::clone(&writer.relay);
        on_disk(&relay, move || writer.commit()).await
    }

    fn end_header(&mut self) -> Result<(), AcceptError> {
        let Some(splitter) = self.splitter.take() else {
            return Ok(());
        };
        let Head { block, body } = splitter.finish();
        let hops = HeaderBlock::new(&block)
            .fields()
            .filter(|field| field.is("Received"))
            .count();
        if hops >= MOST_HOPS {
            return Err(AcceptError::Loop);
        }
        self.writer.block = block;
        self.writer.pending = body;
        Ok(())
    }
}

/// Runs disk work where it may block.
async fn on_disk<T: Send + 'static>(
    relay: &Relay,
    work: impl FnOnce() -> Result<T, AcceptError> + Send + 'static,
) -> Result<T, AcceptError> {
    let done = relay.disk.run(work).await;
    done.unwrap_or_else(|error| Err(AcceptError::Internal(error.to_string())))
}

/// A script's name as it is kept: on one line, and no longer than names are.
fn shown(name: &str) -> String {
    let printable = name.chars().filter(|c| !c.is_control());
    printable.take(LONGEST_SCRIPT).collect()
}

/// The part that writes the entry; it blocks on the disk.
struct Writer {
    relay: Arc<Relay>,
    running: Arc<Running>,
    submission: Submission,
    /// The recipients that go other ways.
    others: Vec<Envelope>,
    /// It is to be held.
    hold: bool,
    /// About its recipients, for the log.
    warnings: Vec<String>,
    arrival: Timestamp,
    /// The header block as it was handed in.
    block: Vec<u8>,
    /// Body bytes that are not on disk yet.
    pending: Vec<u8>,
    draft: Option<Draft>,
}

impl Writer {
    fn new(relay: &Arc<Relay>, mut submission: Submission) -> Self {
        let running = relay.running();
        let Submission {
            envelope,
            submitter,
            source,
            ..
        } = &mut submission;
        let warnings = complete_envelope(envelope, relay, &running);
        // A file in maildrop becomes one entry: of several, some could be left over by a crash.
        let others = match source {
            None => parts::divide(envelope, submitter, &running),
            Some(_) => Vec::new(),
        };
        Self {
            relay: Arc::clone(relay),
            running,
            submission,
            others,
            hold: false,
            warnings,
            arrival: host::clock::wall(),
            block: Vec::new(),
            pending: Vec::new(),
            draft: None,
        }
    }

    /// Writes what was gathered so far.
    fn write_out(&mut self) -> Result<(), AcceptError> {
        let mut draft = match self.draft.take() {
            Some(draft) => draft,
            None => self.open()?,
        };
        draft.write(&self.pending)?;
        self.pending.clear();
        self.draft = Some(draft);
        Ok(())
    }

    fn commit(mut self) -> Result<Accepted, AcceptError> {
        let (first, message) = match self.draft.take() {
            Some(mut draft) => {
                draft.write(&self.pending)?;
                (draft.commit()?, None)
            }
            None => {
                let message = self.commit_whole()?;
                (message.claim.meta().clone(), Some(message))
            }
        };
        let others = parts::queue(&self.relay.spool, &first, &self.others)?;
        // From here on the mail is safe.
        let mut accepted = Accepted { first, others };
        for meta in accepted.all() {
            self.log(meta);
            if self.hold {
                self.put_on_hold(meta);
            }
        }
        if let Some(message) = message.filter(|_| !self.hold) {
            self.relay.fresh.put(message);
        }
        Ok(accepted)
    }

    fn put_on_hold(&self, meta: &mut Meta) {
        match self.relay.spool.move_to(meta.id, Queue::Hold) {
            Ok(()) => meta.queue = Queue::Hold,
            // It was taken in, and so it is sent.
            Err(error) => {
                let text = format!("{}: not held: {error}", meta.id);
                self.relay.log.warn(&text);
            }
        }
        self.relay.retired.notify_one();
    }

    /// Writes and commits content that is all in memory.
    fn commit_whole(&mut self) -> Result<Message, AcceptError> {
        let mut draft = self.open()?;
        let content = std::mem::take(&mut self.pending);
        draft.write(&content)?;
        let claim = draft.commit_claimed()?;
        Ok(Message { claim, content })
    }

    /// Begins the entry; puts its header block before the content that was gathered.
    fn open(&mut self) -> Result<Draft, AcceptError> {
        let script = HeaderBlock::new(&self.block)
            .get("X-PHP-Originating-Script")
            .map(|field| shown(&field.text()));
        let origin = Origin {
            submitter: self.submission.submitter.clone(),
            script,
        };
        self.count(&origin)?;
        let (spool, envelope) = (&self.relay.spool, &self.submission.envelope);
        let draft = match self.submission.source.clone() {
            Some(source) => spool.create_from(source, envelope, &origin, self.arrival)?,
            None => spool.create(envelope, &origin, self.arrival)?,
        };
        self.block = self.completed(draft.id());
        let parts = [self.block.as_slice(), b"\r\n", &self.pending];
        self.pending = parts.concat();
        Ok(draft)
    }

    /// Counts the message in its origin's budget.
    fn count(&mut self, origin: &Origin) -> Result<(), AcceptError> {
        let relay = &self.relay;
        let doors = &self.running.settings.doors;
        match relay.budgets.count(&relay.log, doors, origin) {
            Leave::Given => Ok(()),
            // Nobody waits for an answer about what lies in maildrop.
            Leave::PutOff(wait) if self.submission.source.is_none() => {
                let origin = budget::account(&origin.submitter);
                Err(AcceptError::OverRate { origin, wait })
            }
            Leave::PutOff(_) | Leave::Held => {
                self.hold = true;
                Ok(())
            }
        }
    }

    fn completed(&self, id: QueueId) -> Vec<u8> {
        let date = mail::date::rfc5322(self.arrival, host::clock::utc_offset_minutes(self.arrival));
        let received = self.received(id, &date);
        completion::complete(
            &self.block,
            &Completion {
                domain: &self.running.domain,
                hostname: &self.running.hostname,
                queue_id: id,
                arrival: self.arrival,
                date: &date,
                sender: self.submission.envelope.sender.as_ref(),
                full_name: None,
                received: &received,
                add_missing: !self.submission.envelope.as_is,
            },
        )
    }

    /// The trace field (RFC 5321 section 4.4), worded as Postfix words it.
    fn received(&self, id: QueueId, date: &str) -> String {
        let host = &self.running.hostname;
        match (&self.submission.submitter, &self.submission.introduction) {
            (Submitter::Client { address, .. }, Some(introduction)) => {
                let Introduction {
                    hello, protocol, ..
                } = introduction;
                let literal = if address.contains(':') {
                    format!("IPv6:{address}")
                } else {
                    address.clone()
                };
                format!(
                    "Received: from {hello} (unknown [{literal}])\r\n\tby {host} (relayd) with {protocol} id {id};\r\n\t{date}"
                )
            }
            (Submitter::Local { uid, .. }, _) => {
                format!("Received: by {host} (relayd, from userid {uid})\r\n\tid {id}; {date}")
            }
            (Submitter::Client { .. }, None) => {
                format!("Received: by {host} (relayd)\r\n\tid {id}; {date}")
            }
        }
    }

    /// The first lines of the message's story.
    fn log(&self, meta: &Meta) {
        let log = &self.relay.log;
        let sender = meta.envelope.sender.as_ref();
        let introduction = self.submission.introduction.as_ref();
        log.write(&origin_line(
            meta,
            introduction.and_then(|told| told.mechanism),
        ));
        for warning in &self.warnings {
            log.write(&Line::Warning {
                service: "cleanup",
                text: &format!("{}: {warning}", meta.id),
            });
        }
        let message_id = HeaderBlock::new(&self.block)
            .get("Message-Id")
            .map(|field| field.text())
            .unwrap_or_default();
        let message_id = message_id
            .trim()
            .trim_start_matches('<')
            .trim_end_matches('>');
        log.write(&Line::MessageId {
            id: meta.id,
            message_id: message_id.as_bytes(),
            resent: false,
        });
        let recipients = meta.recipients.len();
        log.write(&Line::Active {
            id: meta.id,
            sender,
            size: meta.size,
            recipients,
        });
    }
}

/// Who handed the message in, as Postfix's pickup or smtpd logs it.
fn origin_line(meta: &Meta, mechanism: Option<Mechanism>) -> Line<'_> {
    let script = meta.origin.script.as_deref();
    match &meta.origin.submitter {
        Submitter::Local { uid, .. } => Line::Pickup {
            id: meta.id,
            uid: *uid,
            sender: meta.envelope.sender.as_ref(),
            script,
        },
        Submitter::Client { address, user } => Line::Accepted {
            id: meta.id,
            client: Client {
                name: if is_loopback(address) {
                    "localhost"
                } else {
                    "unknown"
                },
                address: address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            },
            login: user
                .as_deref()
                .zip(mechanism)
                .map(|(user, mechanism)| Login {
                    mechanism: mechanism.name(),
                    user,
                }),
            script,
        },
    }
}

fn is_loopback(address: &str) -> bool {
    address
        .parse()
        .is_ok_and(|address: IpAddr| address.is_loopback())
}
