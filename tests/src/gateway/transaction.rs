//! From MAIL to the final dot or the last chunk, and what is recorded then.

use std::io;
use std::time::Instant;

use super::journal::{Delivery, Recipient};
use super::manners::path;
use super::script::{Fault, Stage};
use super::session::{Flow, Session};

/// A mail transaction under way.
pub(super) struct Transaction {
    pub(super) sender: String,
    pub(super) parameters: Vec<String>,
    pub(super) recipients: Vec<Recipient>,
    pub(super) content: Vec<u8>,
    /// The same as it came, dots and terminator included, where the setup wants it kept.
    wire: Vec<u8>,
    /// BDAT has begun: RCPT is out of order now.
    chunks: bool,
}

impl Session<'_> {
    pub(super) fn mail(&mut self, line: &str) -> io::Result<Flow> {
        let Some((sender, parameters)) = path(line, "MAIL FROM:<") else {
            self.violation(&format!("malformed {line:?}"));
            return self.say("501 5.5.4 Syntax: MAIL FROM:<address>");
        };
        if self.hello.is_none() || self.transaction.is_some() {
            self.violation("MAIL out of order");
            return self.say("503 5.5.1 Error: MAIL out of order");
        }
        if self.setup.tls_required && !self.wire.encrypted() {
            self.violation("MAIL in clear");
            return self.say("530 5.7.0 Must issue a STARTTLS command first");
        }
        if self.setup.auth_required && self.user.is_none() {
            return self.say("530 5.7.0 Authentication required");
        }
        self.check_parameters(&parameters);
        if let Some(objection) = self.objection_to_sender(&sender) {
            return self.say(objection);
        }
        let (flow, taken) = self.answer(Stage::Mail, line.as_bytes(), "250 2.1.0 Ok")?;
        if taken {
            let (recipients, content) = (Vec::new(), Vec::new());
            self.transaction = Some(Transaction {
                sender,
                parameters,
                recipients,
                content,
                wire: Vec::new(),
                chunks: false,
            });
        }
        Ok(flow)
    }

    pub(super) fn rcpt(&mut self, line: &str) -> io::Result<Flow> {
        let Some((address, parameters)) = path(line, "RCPT TO:<") else {
            self.violation(&format!("malformed {line:?}"));
            return self.say("501 5.5.4 Syntax: RCPT TO:<address>");
        };
        self.check_parameters(&parameters);
        // A client that pipelines sends RCPT before it knows that MAIL was refused: out of order, but no breach.
        if self.transaction.as_ref().is_none_or(|t| t.chunks) {
            return self.say("503 5.5.1 Error: need MAIL command");
        }
        let (flow, taken) = self.answer(Stage::Rcpt, line.as_bytes(), "250 2.1.5 Ok")?;
        if let (true, Some(transaction)) = (taken, &mut self.transaction) {
            transaction.recipients.push(Recipient {
                address,
                parameters,
            });
        }
        Ok(flow)
    }

    pub(super) fn data(&mut self) -> io::Result<Flow> {
        match &self.transaction {
            None => return self.say("503 5.5.1 Error: need MAIL command"),
            Some(t) if t.chunks => {
                self.violation("DATA after BDAT");
                return self.say("503 5.5.1 Error: DATA after BDAT");
            }
            // RFC 2920 3.1: without recipients 354 or 554 may come; we are the kind that says 554.
            Some(t) if t.recipients.is_empty() => {
                return self.say("554 5.5.1 Error: no valid recipients");
            }
            Some(_) => {}
        }
        if self.wire.has_more() {
            self.violation("content before the answer to DATA");
        }
        let (flow, taken) = self.answer(Stage::Data, b"", "354 End data with <CR><LF>.<CR><LF>")?;
        if flow == Flow::Ends || !taken {
            return Ok(flow);
        }
        if self.content()? == Flow::Ends {
            return Ok(Flow::Ends);
        }
        self.take()
    }

    /// Reads up to the final dot. Only CRLF ends a line here; another line end is a breach.
    fn content(&mut self) -> io::Result<Flow> {
        let mut first = true;
        loop {
            let Some(line) = self.wire.line()? else {
                return Ok(Flow::Ends);
            };
            self.save_clear();
            self.keep(&line);
            if std::mem::take(&mut first) && self.interrupted() {
                return Ok(Flow::Ends);
            }
            let bare = !line.ends_with(b"\r\n") || line[..line.len() - 2].contains(&b'\r');
            if bare {
                self.violation("bare CR or LF in content");
            }
            if line == b".\r\n" {
                return Ok(Flow::Goes);
            }
            if line.len() > 1000 {
                self.violation("content line longer than 998 characters");
            }
            let unstuffed = line.strip_prefix(b".").unwrap_or(&line);
            self.extend_content(unstuffed);
        }
    }

    pub(super) fn chunk(&mut self, argument: &str) -> io::Result<Flow> {
        if !self.setup.offers("CHUNKING") {
            self.violation("BDAT where CHUNKING was not offered");
        }
        let mut words = argument.split(' ');
        let size = words.next().and_then(|n| n.parse::<usize>().ok());
        let last = words.next().map(str::to_ascii_uppercase);
        let (Some(size), None | Some("LAST")) = (size, last.as_deref()) else {
            self.violation(&format!("malformed BDAT {argument:?}"));
            self.say("501 5.5.4 Syntax: BDAT count [LAST]")?;
            return Ok(Flow::Ends);
        };
        if self.interrupted() {
            return Ok(Flow::Ends);
        }
        let Some(bytes) = self.wire.exactly(size)? else {
            return Ok(Flow::Ends);
        };
        self.save_clear();
        self.extend_content(&bytes);
        match &mut self.transaction {
            None => self.say("503 5.5.1 Error: need MAIL command"),
            Some(t) if t.recipients.is_empty() => self.say("554 5.5.1 Error: no valid recipients"),
            Some(_) if last.is_some() => self.take(),
            Some(t) => {
                t.chunks = true;
                self.say(&format!("250 2.0.0 Ok: {size} bytes"))
            }
        }
    }

    fn keep(&mut self, line: &[u8]) {
        if let (true, Some(transaction)) = (self.setup.keep_wire, &mut self.transaction) {
            transaction.wire.extend_from_slice(line);
        }
    }

    fn extend_content(&mut self, bytes: &[u8]) {
        if let Some(transaction) = &mut self.transaction {
            transaction.content.extend_from_slice(bytes);
        }
    }

    /// A fault in mid-content; true if it ended the session.
    fn interrupted(&mut self) -> bool {
        match self.shared.strike(Stage::Content, b"") {
            None => false,
            Some(Fault::Silence) => {
                self.wire.drain();
                true
            }
            Some(_) => true,
        }
    }

    /// The end of content: takes the message unless the script says otherwise.
    fn take(&mut self) -> io::Result<Flow> {
        let transaction = self.transaction.take().expect("content comes after MAIL");
        self.check_content(&transaction);
        if let Some(objection) = self.objection_to_content(&transaction) {
            return self.say(objection);
        }
        let fault = self.shared.strike(Stage::EndOfData, &transaction.content);
        let reply = match fault {
            None => format!("250 2.0.0 Ok: queued as {:X}", self.shared.ticket()),
            Some(Fault::Reply(text)) => text,
            Some(Fault::LoseReply) => {
                self.record(transaction);
                return Ok(Flow::Ends);
            }
            Some(Fault::Drop) => return Ok(Flow::Ends),
            Some(Fault::Silence) => {
                self.wire.drain();
                return Ok(Flow::Ends);
            }
        };
        let index = reply.starts_with('2').then(|| self.record(transaction));
        let written = self.say(&reply);
        if let (Some(index), Ok(_)) = (index, &written) {
            self.shared
                .journal
                .note(|r| r.deliveries[index].replied = true);
        }
        written
    }

    fn record(&self, transaction: Transaction) -> usize {
        let delivery = Delivery {
            connection: self.connection,
            at: Instant::now(),
            encrypted: self.wire.encrypted(),
            user: self.user.clone(),
            hello: self.hello.clone().unwrap_or_default(),
            sender: transaction.sender,
            parameters: transaction.parameters,
            recipients: transaction.recipients,
            content: transaction.content,
            wire: transaction.wire,
            replied: false,
        };
        self.shared.journal.note(|r| {
            r.deliveries.push(delivery);
            r.deliveries.len() - 1
        })
    }
}
