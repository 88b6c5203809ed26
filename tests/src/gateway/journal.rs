//! What arrived at the gateway, and what the client did on the way there.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::script::Stage;

/// One message that the gateway took (it answered 250, or meant to).
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which connection brought it, counted from 1.
    pub connection: u64,
    /// When the gateway decided to take it.
    pub at: Instant,
    /// It came over TLS.
    pub encrypted: bool,
    /// Who had authenticated.
    pub user: Option<String>,
    /// The argument of EHLO or HELO.
    pub hello: String,
    /// The reverse path without angle brackets; empty for the null sender.
    pub sender: String,
    /// ESMTP parameters of MAIL, as written.
    pub parameters: Vec<String>,
    /// The recipients that were taken, in order.
    pub recipients: Vec<Recipient>,
    /// The content as the client had it before dot-stuffing, CRLF line ends included.
    pub content: Vec<u8>,
    /// What came behind 354, the terminator included; empty unless [`super::Setup::keep_wire`] or if it came by BDAT.
    pub wire: Vec<u8>,
    /// The 250 was written to the connection without an error.
    pub replied: bool,
}

/// One recipient with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The forward path without angle brackets.
    pub address: String,
    /// ESMTP parameters of RCPT, as written.
    pub parameters: Vec<String>,
}

impl Delivery {
    /// The recipients' addresses, sorted.
    pub fn addresses(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.recipients.iter().map(|r| r.address.as_str()).collect();
        all.sort_unstable();
        all
    }

    /// Who sent it to whom: the reverse path, and the recipients' addresses, sorted.
    pub fn envelope(&self) -> (&str, Vec<&str>) {
        (&self.sender, self.addresses())
    }

    /// The header block with the empty line, and the body.
    pub fn split(&self) -> (&[u8], &[u8]) {
        let end = self
            .content
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .map_or(self.content.len(), |at| at + 4);
        self.content.split_at(end)
    }

    /// What follows the header block.
    pub fn body(&self) -> &[u8] {
        self.split().1
    }

    /// The header block as text.
    pub fn header(&self) -> String {
        String::from_utf8_lossy(self.split().0).into_owned()
    }

    /// The value of every field called `name`, unfolded and trimmed.
    pub fn fields(&self, name: &str) -> Vec<String> {
        let unfolded = self.header().replace("\r\n ", " ").replace("\r\n\t", " ");
        let of_name = |line: &str| {
            let (field, value) = line.split_once(':')?;
            field
                .trim_end()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        };
        unfolded.split("\r\n").filter_map(of_name).collect()
    }
}

/// One command line as it came.
#[derive(Clone, Debug)]
pub struct Command {
    /// The connection, counted from 1.
    pub connection: u64,
    /// It came over TLS.
    pub encrypted: bool,
    /// When.
    pub at: Instant,
    /// The line without its end; of AUTH only the mechanism.
    pub line: String,
}

/// Everything seen so far.
#[derive(Clone, Default, Debug)]
pub struct Record {
    /// Messages taken.
    pub deliveries: Vec<Delivery>,
    /// Commands received.
    pub commands: Vec<Command>,
    /// Breaches of the standards by the client, in words. A good client leaves this empty.
    pub violations: Vec<String>,
    /// Every byte that came in clear (TLS records are not counted).
    pub in_clear: Vec<u8>,
    /// Connections open now, not counting those refused.
    pub open: usize,
    /// The most connections open at one time.
    pub peak: usize,
    /// Connections accepted, those refused included.
    pub connections: u64,
    /// Connections greeted with 421 because of the limit.
    pub over_limit: usize,
    /// When each connection was accepted.
    pub connected_at: Vec<Instant>,
    /// TLS handshakes that the client broke off, with the alert or error.
    pub failed_handshakes: Vec<String>,
    /// Faults that have struck, by stage.
    pub strikes: Vec<Stage>,
    /// Credentials refused.
    pub refused_logins: usize,
}

/// The record, shared between the sessions and the test.
#[derive(Default)]
pub(super) struct Journal {
    record: Mutex<Record>,
    changed: Condvar,
}

impl Journal {
    /// A change by `write`, then everybody who waits looks again.
    pub(super) fn note<T>(&self, write: impl FnOnce(&mut Record) -> T) -> T {
        let result = write(&mut self.lock());
        self.changed.notify_all();
        result
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        read(&self.lock())
    }

    /// Waits until `enough` holds; false when `limit` passed first.
    pub(super) fn wait(&self, limit: Duration, enough: impl Fn(&Record) -> bool) -> bool {
        let (_guard, outcome) = self
            .changed
            .wait_timeout_while(self.lock(), limit, |record| !enough(record))
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        !outcome.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
