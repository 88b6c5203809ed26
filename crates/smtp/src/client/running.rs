//! A transaction as it runs: MAIL, RCPT for each recipient, DATA or BDAT, content, and what each reply means
//! for each recipient (RFC 5321 section 3.3, RFC 2920, RFC 3030).

use std::collections::VecDeque;

use super::{Client, Refusal, State, Step, Transaction, TransactionReport};
use crate::Stage;
use crate::capabilities::Capabilities;
use crate::parameters;
use crate::reply::Reply;

/// Most bytes of commands that are sent before their replies are read. What the server answers to
/// them fits into the buffers of any socket, so that neither side can wait for the other to read
/// (RFC 2920 section 3.1).
const MAX_FLIGHT: usize = 16 * 1024;

/// A command whose reply decides about the transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Mail,
    Rcpt(usize),
    Data,
}

enum Content {
    /// Not asked for yet.
    Not,
    /// The driver streams it; so many bytes by BDAT, or up to the dot.
    Streaming(Option<u64>),
    /// Its terminator is out; the reply decides.
    Sent,
    /// A dot with nothing before it is out, since the server wanted content for nobody.
    LoneDot,
}

enum Standing {
    /// Nothing is known yet.
    Unknown,
    /// RCPT was accepted; the reply to the content decides.
    Accepted,
    Decided(Result<Reply, Refusal>),
}

/// A transaction that runs.
pub(super) struct Running {
    transaction: Transaction,
    standings: Vec<Standing>,
    /// Commands that were not sent yet.
    queue: VecDeque<Command>,
    /// Commands that were sent and not answered yet.
    flight: VecDeque<Command>,
    mail_accepted: bool,
    mail_refused: bool,
    content: Content,
    /// The content's terminator is out, or may be.
    content_sent: bool,
    /// The server ended the transaction itself, by accepting the message.
    concluded: bool,
}

impl Client {
    pub(super) fn start(&mut self, transaction: Transaction) {
        let running = Running::new(transaction, &self.capabilities);
        self.state = State::Transaction(Box::new(running));
        self.advance();
    }

    /// Sends what comes next, or ends the transaction. For when no reply is outstanding.
    fn advance(&mut self) {
        let State::Transaction(running) = &mut self.state else {
            return;
        };
        if running.goes_on() {
            let chunking = self.config.chunking && self.capabilities.chunking;
            running.send(&self.capabilities, chunking, &mut self.out);
            return;
        }
        let needs_reset = running.mail_accepted && !running.concluded;
        let State::Transaction(running) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        self.reports.push_back(running.conclude());
        if needs_reset {
            self.out.extend_from_slice(b"RSET\r\n");
            self.state = State::Rset;
        } else {
            self.become_idle();
        }
    }

    pub(super) fn transaction_reply(&mut self, reply: Reply) {
        let State::Transaction(running) = &mut self.state else {
            return;
        };
        if reply.code == 421 {
            return self.farewell(reply);
        }
        if let Err(Desync) = running.reply(&reply, &mut self.out) {
            let command = self.stage();
            return self.protocol_fault(format!("unexpected reply at {command:?}: {reply}"));
        }
        if running.is_quiet() {
            self.advance();
        }
    }
}

/// The reply is not one that the command can have.
struct Desync;

impl Running {
    fn new(transaction: Transaction, capabilities: &Capabilities) -> Self {
        let standings: Vec<Standing> = transaction
            .recipients
            .iter()
            .map(
                |recipient| match transaction.unsupported(recipient, capabilities) {
                    Some(what) => Standing::Decided(Err(Refusal::Unsupported { what })),
                    None => Standing::Unknown,
                },
            )
            .collect();
        let wanted = |(index, standing)| match standing {
            &Standing::Unknown => Some(Command::Rcpt(index)),
            _ => None,
        };
        let mut queue: VecDeque<Command> =
            standings.iter().enumerate().filter_map(wanted).collect();
        if !queue.is_empty() {
            queue.push_front(Command::Mail);
            queue.push_back(Command::Data);
        }
        Self {
            transaction,
            standings,
            queue,
            flight: VecDeque::new(),
            mail_accepted: false,
            mail_refused: false,
            content: Content::Not,
            content_sent: false,
            concluded: false,
        }
    }

    pub(super) fn step(&self) -> Step {
        match self.content {
            Content::Streaming(Some(length)) => Step::RawContent(length),
            Content::Streaming(None) => Step::Content,
            _ => Step::Receive(self.stage()),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match (self.flight.front(), &self.content) {
            (_, Content::Sent) => Stage::EndOfData,
            (Some(Command::Rcpt(_)), _) => Stage::Rcpt,
            (Some(Command::Data), _) | (None, Content::Streaming(_) | Content::LoneDot) => {
                Stage::Data
            }
            (Some(Command::Mail), _) | (None, Content::Not) => Stage::Mail,
        }
    }

    pub(super) fn expects_reply(&self) -> bool {
        !self.flight.is_empty() || matches!(self.content, Content::Sent | Content::LoneDot)
    }

    pub(super) const fn is_streaming(&self) -> bool {
        matches!(self.content, Content::Streaming(_))
    }

    pub(super) const fn is_content_sent(&self) -> bool {
        self.content_sent
    }

    pub(super) const fn content_sent(&mut self) {
        if self.is_streaming() {
            self.content = Content::Sent;
            self.content_sent = true;
        }
    }

    /// Every reply that was asked for is here, and no content is under way.
    fn is_quiet(&self) -> bool {
        self.flight.is_empty() && matches!(self.content, Content::Not)
    }

    fn has_accepted(&self) -> bool {
        self.standings
            .iter()
            .any(|standing| matches!(standing, Standing::Accepted))
    }

    fn has_refused(&self) -> bool {
        self.standings
            .iter()
            .any(|standing| matches!(standing, Standing::Decided(_)))
    }

    /// Whether there is anything left to send.
    fn goes_on(&self) -> bool {
        let vetoed = self.transaction.all_or_nothing && self.has_refused();
        match self.queue.front() {
            None => false,
            Some(_) if vetoed || self.mail_refused => false,
            Some(Command::Mail | Command::Rcpt(_)) => true,
            Some(Command::Data) => self.has_accepted(),
        }
    }

    /// One flight of commands: all of them with PIPELINING, else one.
    fn send(&mut self, capabilities: &Capabilities, chunking: bool, out: &mut Vec<u8>) {
        let bdat = self.transaction.size.filter(|_| chunking);
        let data_must_wait = self.transaction.all_or_nothing || bdat.is_some();
        while let Some(&command) = self.queue.front() {
            let first = self.flight.is_empty();
            let is_last = command == Command::Data;
            if !first && (!capabilities.pipelining || out.len() >= MAX_FLIGHT) {
                return;
            }
            if is_last && !first && data_must_wait {
                return;
            }
            self.queue.pop_front();
            if let (Command::Data, Some(length)) = (command, bdat) {
                out.extend_from_slice(format!("BDAT {length} LAST\r\n").as_bytes());
                self.content = Content::Streaming(Some(length));
                if length == 0 {
                    // The command is all there is; its reply decides.
                    self.content_sent();
                }
                return;
            }
            out.extend_from_slice(self.line(command, capabilities).as_bytes());
            self.flight.push_back(command);
        }
    }

    fn line(&self, command: Command, capabilities: &Capabilities) -> String {
        match command {
            Command::Mail => parameters::mail_line(&self.transaction, capabilities),
            Command::Rcpt(index) => {
                parameters::rcpt_line(&self.transaction.recipients[index], capabilities)
            }
            Command::Data => "DATA\r\n".to_owned(),
        }
    }

    fn reply(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Result<(), Desync> {
        match self.content {
            Content::Sent => return self.end_of_data_reply(reply),
            Content::LoneDot => {
                self.content = Content::Not;
                return Ok(());
            }
            Content::Not | Content::Streaming(_) => {}
        }
        // The command stays in flight while its reply is read, so that a fault names it.
        match self.flight.front().copied().ok_or(Desync)? {
            Command::Mail => self.mail_reply(reply)?,
            Command::Rcpt(index) => self.rcpt_reply(index, reply)?,
            Command::Data => self.data_reply(reply, out)?,
        }
        self.flight.pop_front();
        Ok(())
    }

    fn mail_reply(&mut self, reply: &Reply) -> Result<(), Desync> {
        if reply.is_intermediate() {
            return Err(Desync);
        }
        if reply.is_positive() {
            self.mail_accepted = true;
        } else {
            self.mail_refused = true;
            self.decide(|_| {
                Err(Refusal::Reply {
                    stage: Stage::Mail,
                    reply: reply.clone(),
                })
            });
        }
        Ok(())
    }

    fn rcpt_reply(&mut self, index: usize, reply: &Reply) -> Result<(), Desync> {
        if reply.is_intermediate() || (self.mail_refused && reply.is_positive()) {
            // A recipient accepted without a sender: the server's idea of the dialogue is another.
            return Err(Desync);
        }
        let Standing::Unknown = self.standings[index] else {
            return Ok(());
        };
        self.standings[index] = if reply.is_positive() {
            Standing::Accepted
        } else {
            let refusal = Refusal::Reply {
                stage: Stage::Rcpt,
                reply: reply.clone(),
            };
            Standing::Decided(Err(refusal))
        };
        Ok(())
    }

    fn data_reply(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Result<(), Desync> {
        if reply.is_positive() {
            return Err(Desync);
        }
        if !reply.is_intermediate() {
            self.decide(|_| {
                Err(Refusal::Reply {
                    stage: Stage::Data,
                    reply: reply.clone(),
                })
            });
        } else if self.has_accepted() {
            self.content = Content::Streaming(None);
        } else {
            // It was pipelined behind recipients that were all refused (RFC 2920 section 3.1).
            out.extend_from_slice(b".\r\n");
            self.content = Content::LoneDot;
        }
        Ok(())
    }

    fn end_of_data_reply(&mut self, reply: &Reply) -> Result<(), Desync> {
        if reply.is_intermediate() || reply.code < 200 {
            return Err(Desync);
        }
        self.concluded = reply.is_positive();
        self.decide(|_| match reply.is_positive() {
            true => Ok(reply.clone()),
            false => Err(Refusal::Reply {
                stage: Stage::EndOfData,
                reply: reply.clone(),
            }),
        });
        self.content = Content::Not;
        self.queue.clear();
        Ok(())
    }

    /// Gives every recipient that is still open a result.
    fn decide(&mut self, result: impl Fn(&Standing) -> Result<Reply, Refusal>) {
        for standing in &mut self.standings {
            if !matches!(standing, Standing::Decided(_)) {
                *standing = Standing::Decided(result(standing));
            }
        }
    }

    /// The report of a transaction that came to its end.
    fn conclude(mut self) -> TransactionReport {
        self.decide(|_| Err(Refusal::OtherRefused));
        self.report(true)
    }

    /// The report of a transaction that was broken off.
    pub(super) fn abandon(mut self, refusal: &Refusal) -> TransactionReport {
        self.decide(|_| Err(refusal.clone()));
        self.report(false)
    }

    fn report(self, session_alive: bool) -> TransactionReport {
        let content_sent = self.content_sent;
        let results = self
            .standings
            .into_iter()
            .filter_map(|standing| match standing {
                Standing::Decided(result) => Some(result),
                Standing::Unknown | Standing::Accepted => None,
            });
        TransactionReport {
            results: results.collect(),
            content_sent,
            session_alive,
        }
    }
}
