//! The dialogue of one connection up to the mail transaction: says what the setup allows and does what the script
//! wants. `transaction` goes on from MAIL; `manners` notes what the client does wrong.

use std::io;
use std::time::Instant;

use super::Shared;
use super::journal::Command;
use super::sasl::{self, Turn};
use super::script::{Fault, Setup, Stage, Tls};
use super::transaction::Transaction;
use super::wire::Wire;

/// What happens after a step.
#[derive(PartialEq, Eq)]
pub(super) enum Flow {
    Goes,
    Ends,
}

pub(super) struct Session<'a> {
    pub(super) shared: &'a Shared,
    pub(super) setup: Setup,
    pub(super) wire: Wire,
    pub(super) connection: u64,
    pub(super) hello: Option<String>,
    pub(super) user: Option<String>,
    pub(super) transaction: Option<Transaction>,
}

impl<'a> Session<'a> {
    pub(super) fn new(shared: &'a Shared, setup: Setup, wire: Wire, connection: u64) -> Self {
        Self {
            shared,
            setup,
            wire,
            connection,
            hello: None,
            user: None,
            transaction: None,
        }
    }

    /// Talks until either side has had enough.
    pub(super) fn run(mut self) {
        // An error here is the client's or the test's closing of the connection.
        let _ = self.dialogue();
        self.save_clear();
    }

    fn dialogue(&mut self) -> io::Result<()> {
        if self.setup.tls == Tls::Implicit && self.handshake()? == Flow::Ends {
            return Ok(());
        }
        let greeting = format!("220 {} ESMTP", self.setup.hostname);
        if self.answer(Stage::Greeting, b"", &greeting)?.0 == Flow::Ends {
            return Ok(());
        }
        while let Some(line) = self.wire.line()? {
            self.save_clear();
            if self.command(&line)? == Flow::Ends {
                return Ok(());
            }
        }
        Ok(())
    }

    fn command(&mut self, raw: &[u8]) -> io::Result<Flow> {
        self.check_line(raw);
        let line = String::from_utf8_lossy(raw)
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let verb = verb.to_ascii_uppercase();
        self.note_command(&verb, &line);
        let pipelined = self.wire.has_more();
        if pipelined
            && (!self.setup.offers("PIPELINING")
                || !["MAIL", "RCPT", "DATA", "RSET", "BDAT"].contains(&&*verb))
        {
            self.violation(&format!(
                "sent more without waiting for the answer to {verb}"
            ));
        }
        match verb.as_str() {
            "EHLO" | "HELO" => self.hello(&verb, argument),
            "STARTTLS" => self.start_tls(),
            "AUTH" => self.auth(argument),
            "MAIL" => self.mail(&line),
            "RCPT" => self.rcpt(&line),
            "DATA" => self.data(),
            "BDAT" => self.chunk(argument),
            "RSET" => {
                self.transaction = None;
                Ok(self.answer(Stage::Rset, raw, "250 2.0.0 Ok")?.0)
            }
            "NOOP" => self.say("250 2.0.0 Ok"),
            "QUIT" => self.quit(),
            _ => {
                self.violation(&format!("unknown command {line:?}"));
                self.say("500 5.5.2 Error: command not recognized")
            }
        }
    }

    fn quit(&mut self) -> io::Result<Flow> {
        // Before the answer: a client may open its next connection as soon as it has read it.
        self.shared.leave(self.connection);
        self.answer(Stage::Quit, b"", "221 2.0.0 Bye")?;
        Ok(Flow::Ends)
    }

    fn hello(&mut self, verb: &str, argument: &str) -> io::Result<Flow> {
        if argument.is_empty() || argument.contains(' ') {
            self.violation(&format!("{verb} without one proper name: {argument:?}"));
        }
        self.transaction = None;
        let reply = if verb == "HELO" {
            format!("250 {}", self.setup.hostname)
        } else {
            self.keywords()
        };
        let (flow, taken) = self.answer(Stage::Ehlo, argument.as_bytes(), &reply)?;
        self.hello = taken.then(|| argument.to_owned());
        Ok(flow)
    }

    fn keywords(&self) -> String {
        let mut all = vec![self.setup.hostname.clone()];
        let clear = !self.wire.encrypted();
        if clear && self.setup.tls == Tls::StartTls {
            all.push("STARTTLS".to_owned());
        }
        let hidden = clear && self.setup.tls_required;
        if !hidden && !self.setup.mechanisms.is_empty() {
            all.push(format!("AUTH {}", self.setup.mechanisms.join(" ")));
        }
        all.extend(self.setup.keywords.iter().cloned());
        let last = all.pop().unwrap_or_default();
        all.iter()
            .map(|line| format!("250-{line}\n"))
            .collect::<String>()
            + "250 "
            + &last
    }

    fn start_tls(&mut self) -> io::Result<Flow> {
        if self.setup.tls != Tls::StartTls || self.wire.encrypted() {
            self.violation("STARTTLS where it was not offered");
            return self.say("502 5.5.1 Error: command not implemented");
        }
        let (flow, taken) = self.answer(Stage::StartTls, b"", "220 2.0.0 Ready to start TLS")?;
        if flow == Flow::Ends || !taken {
            return Ok(flow);
        }
        // RFC 3207 4.2: what was known before TLS is forgotten.
        (self.hello, self.user, self.transaction) = (None, None, None);
        self.handshake()
    }

    fn handshake(&mut self) -> io::Result<Flow> {
        match self.shared.strike(Stage::Handshake, b"") {
            Some(Fault::Silence) => {
                self.wire.drain();
                return Ok(Flow::Ends);
            }
            Some(_) => return Ok(Flow::Ends),
            None => {}
        }
        let identity = self
            .setup
            .identity
            .clone()
            .expect("a gateway with TLS has a certificate");
        match self.wire.start_tls(&identity) {
            Ok(()) => Ok(Flow::Goes),
            Err(error) => {
                self.shared
                    .journal
                    .note(|r| r.failed_handshakes.push(error.to_string()));
                Ok(Flow::Ends)
            }
        }
    }

    fn auth(&mut self, argument: &str) -> io::Result<Flow> {
        if self.hello.is_none() || self.user.is_some() || self.transaction.is_some() {
            self.violation("AUTH out of order");
            return self.say("503 5.5.1 Error: AUTH out of order");
        }
        if self.setup.tls_required && !self.wire.encrypted() {
            self.violation("AUTH in clear");
            return self.say("530 5.7.0 Must issue a STARTTLS command first");
        }
        let (name, initial) = argument
            .split_once(' ')
            .map_or((argument, None), |(n, i)| (n, Some(i)));
        let name = name.to_ascii_uppercase();
        let offered = self.setup.mechanisms.contains(&&*name);
        let Some((mut challenge, mut dialogue)) =
            sasl::open(&name, self.connection).filter(|_| offered)
        else {
            self.violation(&format!("AUTH {name} was not offered"));
            return self.say("504 5.5.4 Unrecognized authentication type");
        };
        let mut ready = initial.map(|i| {
            if i == "=" {
                String::new()
            } else {
                i.to_owned()
            }
        });
        loop {
            let line = match ready.take() {
                Some(line) => line,
                None => match self.ask(&challenge)? {
                    Some(line) if line != "*" => line,
                    Some(_) => return self.say("501 5.7.0 Authentication aborted"),
                    None => return Ok(Flow::Ends),
                },
            };
            match dialogue.answer(&line, &self.setup.user, &self.setup.password) {
                Turn::Challenge(next, rest) => (challenge, dialogue) = (next, rest),
                Turn::Claim { user, right } => return self.login(user, right),
                Turn::Malformed => {
                    self.violation(&format!("AUTH {name}: malformed answer"));
                    return self.say("501 5.5.2 Malformed authentication data");
                }
            }
        }
    }

    fn ask(&mut self, challenge: &str) -> io::Result<Option<String>> {
        self.say(&format!("334 {challenge}"))?;
        let line = self.wire.line()?;
        self.save_clear();
        Ok(line.map(|l| {
            String::from_utf8_lossy(&l)
                .trim_end_matches(['\r', '\n'])
                .to_owned()
        }))
    }

    fn login(&mut self, user: String, right: bool) -> io::Result<Flow> {
        let usual = if right {
            "235 2.7.0 Authentication successful"
        } else {
            self.shared.journal.note(|r| r.refused_logins += 1);
            "535 5.7.8 Error: authentication failed: authentication failure"
        };
        let (flow, taken) = self.answer(Stage::Auth, user.as_bytes(), usual)?;
        self.user = (taken && right).then_some(user);
        Ok(flow)
    }

    /// The usual reply or the fault due at `stage`. The second value: the command counts as taken.
    pub(super) fn answer(
        &mut self,
        stage: Stage,
        said: &[u8],
        usual: &str,
    ) -> io::Result<(Flow, bool)> {
        let reply = match self.shared.strike(stage, said) {
            None => usual.to_owned(),
            Some(Fault::Reply(text)) => text,
            Some(Fault::Drop | Fault::LoseReply) => return Ok((Flow::Ends, false)),
            Some(Fault::Silence) => {
                self.wire.drain();
                return Ok((Flow::Ends, false));
            }
        };
        let taken = reply.starts_with(['2', '3']);
        Ok((self.say(&reply)?, taken))
    }

    pub(super) fn say(&mut self, reply: &str) -> io::Result<Flow> {
        self.wire
            .write((reply.replace('\n', "\r\n") + "\r\n").as_bytes())?;
        Ok(if reply.starts_with("421") {
            Flow::Ends
        } else {
            Flow::Goes
        })
    }

    fn note_command(&self, verb: &str, line: &str) {
        let line = if verb == "AUTH" {
            line.split(' ').take(2).collect::<Vec<_>>().join(" ")
        } else {
            line.to_owned()
        };
        let encrypted = self.wire.encrypted();
        let command = Command {
            connection: self.connection,
            encrypted,
            at: Instant::now(),
            line,
        };
        self.shared.journal.note(|r| r.commands.push(command));
    }

    pub(super) fn violation(&self, what: &str) {
        let text = format!("connection {}: {what}", self.connection);
        self.shared.journal.note(|r| r.violations.push(text));
    }

    pub(super) fn save_clear(&mut self) {
        let clear = self.wire.take_clear();
        if !clear.is_empty() {
            self.shared
                .journal
                .note(|r| r.in_clear.extend_from_slice(&clear));
        }
    }
}
