//! A driver for the client that keeps its side of the bargain, and watches.

use std::fmt::Write;

use smtp::Stage;
use smtp::client::{
    Client, ClientConfig, Interruption, Step, TlsMode, Transaction, TransactionReport,
};

use super::ledger::Ledger;
use super::{Heard, TRANSACTIONS};
use crate::canonical::assert_canonical;
use crate::cuts::Cuts;

/// The client with what it was told and what it said.
pub(super) struct Driver {
    tls: TlsMode,
    with_password: bool,
    transaction: Transaction,
    cuts: Cuts,
    client: Client,
    secure: bool,
    begun: usize,
    ledger: Ledger,
    /// A transaction runs, and its report is to come.
    running: bool,
    told: String,
}

impl Driver {
    pub(super) fn new(config: ClientConfig, transaction: Transaction, cuts: Cuts) -> Self {
        Self {
            tls: config.tls,
            with_password: config.auth.is_some(),
            ledger: Ledger::new(&transaction),
            transaction,
            cuts,
            client: Client::new(config),
            secure: false,
            begun: 0,
            running: false,
            told: String::new(),
        }
    }

    /// Does what the client wants until it wants to read, and gives it the reply then; one that nobody asked for it
    /// gets at the next step that is something else. False once the session is over.
    pub(super) fn hear(&mut self, reply: Heard<'_>) -> bool {
        loop {
            match self.pump() {
                Step::Closed(_) => return false,
                Step::Receive(_) => {
                    self.ledger.answered(reply.text);
                    for piece in self.cuts.pieces(reply.text) {
                        self.client.received(piece);
                        let _ = self.pump();
                    }
                    return true;
                }
                _ if reply.unasked => return self.interrupt(reply.text),
                step => self.obey(&step),
            }
        }
    }

    /// A whole reply that nobody asked for ends the session.
    fn interrupt(&mut self, text: &[u8]) -> bool {
        self.client.received(text);
        let step = self.pump();
        let whole = text.ends_with(b"\n");
        assert!(!whole || matches!(step, Step::Closed(_)), "{step:?}");
        assert!(!whole || !self.running);
        false
    }

    fn obey(&mut self, step: &Step) {
        match step {
            Step::StartTls => {
                assert!(self.tls != TlsMode::None && !self.secure);
                self.secure = true;
                self.client.tls_established();
            }
            Step::Idle if self.begun == TRANSACTIONS => self.client.quit(),
            Step::Idle => {
                self.begun += 1;
                self.running = true;
                self.ledger = Ledger::new(&self.transaction);
                self.client.begin(self.transaction.clone());
            }
            Step::Content | Step::RawContent(_) => {
                if let Step::RawContent(length) = step {
                    assert_eq!(Some(*length), self.transaction.size);
                }
                self.ledger.content_sent();
                self.client.content_sent();
            }
            step => unreachable!("{step:?}"),
        }
    }

    /// Takes what the client sends and reports; gives what it waits for.
    fn pump(&mut self) -> Step {
        loop {
            match self.client.next() {
                Step::Send(bytes) => {
                    self.check_sent(&bytes);
                    self.ledger.sent(&bytes);
                    let _ = writeln!(self.told, "> {}", bytes.escape_ascii());
                }
                Step::Report(report) => self.report(&report),
                step => return step,
            }
        }
    }

    /// Commands are lines, and those that may not be said in the clear are not.
    fn check_sent(&self, bytes: &[u8]) {
        assert_canonical(bytes);
        assert!(!bytes.is_empty() && !bytes[..bytes.len() - 2].starts_with(b"\r"));
        let starts = |words: &[&str]| {
            let begins = |word: &&str| bytes.starts_with(word.as_bytes());
            words.iter().any(begins)
        };
        if self.tls != TlsMode::None && !self.secure {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            assert!(self.tls == TlsMode::StartTls && lines == 1);
            assert!(starts(&["EHLO ", "STARTTLS\r\n", "QUIT\r\n"]));
        }
        assert!(self.with_password || !starts(&["AUTH"]));
    }

    fn report(&mut self, report: &TransactionReport) {
        assert!(
            std::mem::take(&mut self.running),
            "one for each transaction"
        );
        self.ledger.check(report);
        let _ = writeln!(self.told, "{report:?}");
    }

    /// The connection is gone. Gives all that was said and reported.
    pub(super) fn finish(mut self) -> String {
        self.client.failed(Interruption::Closed);
        let step = self.pump();
        let Step::Closed(fault) = &step else {
            panic!("{step:?}");
        };
        assert!(!self.running);
        if let Some(fault) = fault {
            super::ledger::check_fault(fault);
            assert!(
                fault.stage != Stage::Idle || self.begun > 0 || self.client.stage() == Stage::Idle
            );
        }
        let _ = writeln!(self.told, "{step:?}");
        self.told
    }
}
