//! The client's side of one session: greeting, EHLO, STARTTLS, AUTH, then any number of
//! transactions, each with an outcome for every recipient.
//!
//! The driver asks [`Client::next`] what to do, does it, and tells what came of it. The client
//! decides nothing about retries: it reports the stage, the reply, and whether the content may have
//! got through.
//!
//! ```text
//! connect; loop { match client.next() {
//!     Send(bytes)     => write them
//!     Receive(stage)  => read within stage.timeout(); received(bytes), or failed(why)
//!     StartTls        => handshake; tls_established(), or failed(Tls(why))
//!     Idle            => begin(transaction), or quit(), or wait for either and for bytes
//!     Content         => content_sent() just before the terminator is written; see there
//!     Report(report)  => record it
//!     Closed(fault)   => drop the connection
//! } }
//! ```

mod config;
mod login;
mod outcome;
mod running;
mod step;
mod transaction;

use std::collections::VecDeque;

use crate::Stage;
use crate::capabilities::Capabilities;
use crate::reply::{Reply, ReplyParser};
use crate::sasl::Exchange;

pub use config::{ClientConfig, TlsMode};
pub use outcome::{Fault, FaultKind, Interruption, Refusal, TransactionReport, Unsupported};
pub use step::Step;
pub use transaction::Transaction;

use running::Running;

/// One session with a server.
pub struct Client {
    config: ClientConfig,
    replies: ReplyParser,
    /// Whole replies that were used.
    replies_used: u64,
    /// Commands that the driver was not given yet.
    out: Vec<u8>,
    state: State,
    secure: bool,
    /// What ties SASL to the TLS connection.
    binding: Option<Vec<u8>>,
    capabilities: Capabilities,
    reports: VecDeque<TransactionReport>,
    quitting: bool,
}

enum State {
    /// The driver does the handshake; `greeted` is false where TLS comes first.
    Handshake {
        greeted: bool,
    },
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth(Exchange),
    /// We sent `*`; whatever the answer, the session is over for the reason given.
    AuthGivenUp(String),
    Idle,
    Transaction(Box<Running>),
    Rset,
    Quit,
    Closed(Option<Fault>),
}

impl Client {
    /// A session over a connection that was just made.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let state = match config.tls {
            TlsMode::Implicit => State::Handshake { greeted: false },
            TlsMode::StartTls | TlsMode::None => State::Greeting,
        };
        Self {
            config,
            replies: ReplyParser::new(),
            replies_used: 0,
            out: Vec::new(),
            state,
            secure: false,
            binding: None,
            capabilities: Capabilities::default(),
            reports: VecDeque::new(),
            quitting: false,
        }
    }

    /// What the driver must do now. Asking twice without doing anything gives the same, except that
    /// [`Step::Send`] and [`Step::Report`] are given once.
    #[expect(
        clippy::should_implement_trait,
        reason = "a step is always there; no iterator"
    )]
    pub fn next(&mut self) -> Step {
        self.take_replies();
        if let Some(report) = self.reports.pop_front() {
            return Step::Report(report);
        }
        if !self.out.is_empty() {
            return Step::Send(std::mem::take(&mut self.out));
        }
        match &self.state {
            State::Handshake { .. } => Step::StartTls,
            State::Idle => Step::Idle,
            State::Transaction(running) => running.step(),
            State::Closed(fault) => Step::Closed(fault.clone()),
            _ => Step::Receive(self.stage()),
        }
    }

    /// Bytes that were read from the peer. Call [`Client::next`] between reads: what is held is
    /// bounded only by what is handed over at once.
    pub fn received(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Closed(_)) {
            self.replies.push(bytes);
        }
    }

    /// The handshake is done and the peer is who it should be. What was learnt before is forgotten.
    pub fn tls_established(&mut self) {
        self.take_replies();
        let State::Handshake { greeted } = self.state else {
            return;
        };
        self.secure = true;
        self.capabilities = Capabilities::default();
        if greeted {
            self.send_ehlo();
        } else {
            self.state = State::Greeting;
        }
    }

    /// What the TLS connection exports under `EXPORTER-Channel-Binding` (RFC 9266), 32 bytes; to be
    /// told before [`Client::tls_established`]. SCRAM-SHA-256-PLUS is not used without it.
    pub fn bind(&mut self, exported: Vec<u8>) {
        self.binding = Some(exported);
    }

    /// The step could not be done, or the peer went away. Ends the session; a transaction that runs
    /// is reported.
    pub fn failed(&mut self, how: Interruption) {
        // A reply that came before the end of the connection still counts.
        self.take_replies();
        match self.state {
            State::Closed(_) => {}
            State::Idle | State::Quit => self.close(None),
            _ => self.interrupt(how),
        }
    }

    /// Starts a transaction. Only after [`Step::Idle`]; panics if another one runs. If the session
    /// has ended meanwhile, the report says so.
    pub fn begin(&mut self, transaction: Transaction) {
        self.take_replies();
        match self.state {
            State::Idle => self.start(transaction),
            State::Closed(_) => self
                .reports
                .push_back(TransactionReport::unsent(&transaction)),
            _ => panic!("begin() is for an idle session"),
        }
    }

    /// The content is out. Call it just before the write that holds the terminator (or the last
    /// byte, for [`Step::RawContent`]): from there on a failure leaves open whether the message was
    /// delivered, and must be reported so.
    pub fn content_sent(&mut self) {
        self.take_replies();
        let State::Transaction(running) = &mut self.state else {
            return;
        };
        running.content_sent();
        if !self.replies.is_empty() {
            self.protocol_fault("a reply began before the end of the content".to_owned());
        }
    }

    /// Ends the session with QUIT, after the transaction that runs, if any.
    pub fn quit(&mut self) {
        self.quitting = true;
        if matches!(self.state, State::Idle) {
            self.become_idle();
        }
    }

    /// What the server offers; what it said before TLS does not count after it.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// How many whole replies were heard in answer to something. While a reply is waited for, this
    /// stays the same, however many of its lines have come.
    #[must_use]
    pub const fn replies(&self) -> u64 {
        self.replies_used
    }

    /// What the dialogue is waiting for.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Handshake { .. } => Stage::Tls,
            State::Greeting => Stage::Greeting,
            State::Ehlo | State::Helo => Stage::Ehlo,
            State::StartTls => Stage::StartTls,
            State::Auth(_) | State::AuthGivenUp(_) => Stage::Auth,
            State::Idle => Stage::Idle,
            State::Transaction(running) => running.stage(),
            State::Rset => Stage::Rset,
            State::Quit => Stage::Quit,
            State::Closed(fault) => fault.as_ref().map_or(Stage::Quit, |fault| fault.stage),
        }
    }

    /// Uses the replies that are there, as long as they are ones that were asked for.
    fn take_replies(&mut self) {
        while !matches!(self.state, State::Closed(_)) {
            if !self.out.is_empty() || !self.expects_reply() {
                return self.check_silence();
            }
            match self.replies.next_reply() {
                Ok(Some(reply)) => {
                    self.replies_used += 1;
                    self.reply(reply);
                }
                Ok(None) => return,
                Err(error) => return self.protocol_fault(error.to_string()),
            }
        }
    }

    /// Whether a command is out and unanswered.
    fn expects_reply(&self) -> bool {
        match &self.state {
            State::Handshake { .. } | State::Idle | State::Closed(_) => false,
            State::Transaction(running) => running.expects_reply(),
            _ => true,
        }
    }

    /// Nothing may be heard now. A reply that nobody asked for would be taken as the answer to the
    /// next command, so it ends the session (USENIX Security 2021, "Why TLS is better without
    /// STARTTLS"). What is believed is a farewell: 421, any refusal while the session rests (Amazon
    /// SES says 451 to an idle one), or a refusal of content that is under way.
    fn check_silence(&mut self) {
        if self.replies.is_empty() {
            return;
        }
        if matches!(self.state, State::Handshake { .. }) {
            return self.protocol_fault("plain text where TLS should begin".to_owned());
        }
        let streaming = matches!(&self.state, State::Transaction(r) if r.is_streaming());
        let resting = matches!(self.state, State::Idle);
        match self.replies.next_reply() {
            Ok(Some(reply)) if reply.code == 421 => self.farewell(reply),
            Ok(Some(reply)) if resting && reply.code >= 400 => self.farewell(reply),
            Ok(Some(reply)) if streaming && reply.code >= 400 => self.early_refusal(reply),
            Ok(Some(reply)) => {
                self.protocol_fault(format!("a reply that nobody asked for: {reply}"))
            }
            // A part of one: while nothing is to be sent the remainder shows what it is; before a command it would be
            // taken as the answer.
            Ok(None) if self.out.is_empty() => {}
            Ok(None) => self.protocol_fault("a reply began before its command was sent".to_owned()),
            Err(error) => self.protocol_fault(error.to_string()),
        }
    }

    fn reply(&mut self, reply: Reply) {
        match &self.state {
            State::Greeting => self.greeting_reply(reply),
            State::Ehlo => self.ehlo_reply(reply),
            State::Helo => self.helo_reply(reply),
            State::StartTls => self.starttls_reply(reply),
            State::Auth(_) => self.auth_reply(reply),
            State::AuthGivenUp(reason) => {
                let reason = reason.clone();
                self.protocol_fault(reason);
            }
            State::Transaction(_) => self.transaction_reply(reply),
            State::Rset if reply.is_positive() => self.become_idle(),
            State::Rset => self.farewell(reply),
            State::Quit => self.close(None),
            State::Handshake { .. } | State::Idle | State::Closed(_) => {}
        }
    }

    fn become_idle(&mut self) {
        if self.quitting {
            self.out.extend_from_slice(b"QUIT\r\n");
            self.state = State::Quit;
        } else {
            self.state = State::Idle;
        }
    }

    /// The peer ends the session with this reply.
    fn farewell(&mut self, reply: Reply) {
        let stage = self.stage();
        let refusal = Refusal::Reply {
            stage,
            reply: reply.clone(),
        };
        self.end(
            &refusal,
            Fault {
                stage,
                kind: FaultKind::Reply(reply),
            },
        );
    }

    /// The content is refused while it is under way. What was sent of it cannot be taken back, so
    /// the connection goes, but the reply is the message's: no fault.
    fn early_refusal(&mut self, reply: Reply) {
        self.report_rest(&Refusal::Reply {
            stage: Stage::EndOfData,
            reply,
        });
        self.close(None);
    }

    fn interrupt(&mut self, how: Interruption) {
        let stage = self.stage();
        let content_sent = self.content_is_out();
        let refusal = Refusal::Interrupted {
            stage,
            how: how.clone(),
            content_sent,
        };
        self.end(
            &refusal,
            Fault {
                stage,
                kind: FaultKind::Interrupted(how),
            },
        );
    }

    fn protocol_fault(&mut self, text: String) {
        let stage = self.stage();
        let content_sent = self.content_is_out();
        let how = Interruption::Protocol(text.clone());
        let refusal = Refusal::Interrupted {
            stage,
            how,
            content_sent,
        };
        self.end(
            &refusal,
            Fault {
                stage,
                kind: FaultKind::Protocol(text),
            },
        );
    }

    fn content_is_out(&self) -> bool {
        matches!(&self.state, State::Transaction(running) if running.is_content_sent())
    }

    /// Ends the session; recipients that are still undecided get `refusal`.
    fn end(&mut self, refusal: &Refusal, fault: Fault) {
        self.report_rest(refusal);
        self.close(Some(fault));
    }

    fn report_rest(&mut self, refusal: &Refusal) {
        if let State::Transaction(running) = std::mem::replace(&mut self.state, State::Idle) {
            self.reports.push_back(running.abandon(refusal));
        }
    }

    fn close(&mut self, fault: Option<Fault>) {
        self.out.clear();
        self.replies.clear();
        self.state = State::Closed(fault);
    }
}
