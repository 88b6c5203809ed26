//! Drivers for the tests: a server that takes what a fixed rule allows, and scripted dialogues.
#![allow(dead_code, reason = "each test program uses its part")]

use mail::{Address, Envelope, Recipient, StatusCode};
use smtp::client::{Client, Step, Transaction, TransactionReport};
use smtp::reply::Reply;
use smtp::server::{Abort, Event, Server, ServerConfig};

/// An address that is known to be one.
pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).expect("a valid address")
}

/// A transaction with plain recipients.
pub(crate) fn transaction(recipients: &[&str]) -> Transaction {
    let envelope = Envelope::new(Some(address("from@a.example")), Vec::new());
    let recipients = recipients
        .iter()
        .map(|to| Recipient::new(address(to)))
        .collect();
    Transaction::new(&envelope, recipients, None)
}

/// A server with a driver that refuses recipients named `no` and `later`, senders named `no`,
/// content that holds `SPAM`, and passwords other than `secret`.
pub(crate) struct Door {
    pub(crate) server: Server,
    /// What was written, the greeting first.
    pub(crate) written: Vec<u8>,
    /// The messages taken.
    pub(crate) taken: Vec<(Envelope, Vec<u8>)>,
    pub(crate) aborted: Vec<Abort>,
    pub(crate) closed: bool,
    pub(crate) wants_tls: bool,
    open: Option<(Envelope, Vec<u8>)>,
}

impl Door {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let server = Server::new(config);
        let written = server.greeting();
        Self {
            server,
            written,
            taken: Vec::new(),
            aborted: Vec::new(),
            closed: false,
            wants_tls: false,
            open: None,
        }
    }

    /// Feeds bytes and does what the server wants until it wants more.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.server.received(bytes);
        self.run();
    }

    pub(crate) fn run(&mut self) {
        loop {
            match self.server.next() {
                Event::NeedInput => return,
                Event::Close => {
                    self.closed = true;
                    return;
                }
                Event::StartTls => {
                    self.wants_tls = true;
                    return;
                }
                event => self.answer(event),
            }
        }
    }

    pub(crate) fn tls(&mut self) {
        assert!(std::mem::take(&mut self.wants_tls), "TLS was not asked for");
        self.server.tls_established();
        self.run();
    }

    fn answer(&mut self, event: Event) {
        match event {
            Event::Reply(bytes) => self.written.extend(bytes),
            Event::Auth(_, who) => self.server.auth_result(who.password.expose() == "secret"),
            Event::Mail(mail) => self.answer_address(mail.sender.as_ref()),
            Event::Rcpt(recipient) => self.answer_address(Some(&recipient.address)),
            Event::ContentBegins(envelope) => {
                assert!(self.open.is_none());
                self.open = Some((envelope, Vec::new()));
                self.server.accept();
            }
            Event::Content(bytes) => {
                self.open
                    .as_mut()
                    .expect("content has begun")
                    .1
                    .extend(bytes);
            }
            Event::ContentEnds => self.finish(),
            Event::Aborted(why) => {
                assert!(self.open.take().is_some());
                self.aborted.push(why);
            }
            Event::NeedInput | Event::StartTls | Event::Close => unreachable!("run() takes these"),
        }
    }

    fn answer_address(&mut self, address: Option<&Address>) {
        let (code, status) = match address.map(Address::local) {
            Some("no") => (550, StatusCode::new(5, 1, 1)),
            Some("later") => (450, StatusCode::new(4, 2, 1)),
            _ => return self.server.accept(),
        };
        self.server
            .refuse(Reply::new(code, Some(status), "as the test wants"));
    }

    fn finish(&mut self) {
        let (envelope, content) = self.open.take().expect("content has begun");
        if content.windows(4).any(|word| word == b"SPAM") {
            let status = Some(StatusCode::new(5, 7, 1));
            return self.server.finish(Reply::new(554, status, "no spam"));
        }
        self.taken.push((envelope, content));
        let status = Some(StatusCode::new(2, 0, 0));
        self.server
            .finish(Reply::new(250, status, "Ok: queued as 0123456789AB"));
    }

    /// What was written since the last call.
    pub(crate) fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }
}

/// Every line ends in CRLF, and neither CR nor LF stands anywhere else.
pub(crate) fn is_in_lines(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|&b| b == b'\n');
    let rest = lines.next_back().unwrap_or_default();
    let whole = |line: &[u8]| line.iter().position(|&b| b == b'\r') == line.len().checked_sub(1);
    rest.is_empty() && lines.all(|line| !line.is_empty() && whole(line))
}

/// What a client did while it was fed.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) sent: Vec<u8>,
    pub(crate) reports: Vec<TransactionReport>,
}

/// Lets the client go on until it waits for something; gives what it waits for.
pub(crate) fn pump(client: &mut Client, told: &mut Told) -> Step {
    loop {
        match client.next() {
            Step::Send(bytes) => told.sent.extend(bytes),
            Step::Report(report) => told.reports.push(report),
            step => return step,
        }
    }
}

/// Plays a dialogue, one line each:
/// `< text` the server says, `> text` the client must have said, `!tls` the handshake is done,
/// `!begin` the next of `transactions` begins, `!content` content is asked for and sent, `!quit`.
/// With `torn`, the server's bytes come one by one. Gives what the client wants in the end.
pub(crate) fn play(
    client: &mut Client,
    told: &mut Told,
    script: &str,
    transactions: &[Transaction],
    torn: bool,
) -> Step {
    let mut transactions = transactions.iter();
    let mut step = pump(client, told);
    let mut heard = Vec::new();
    for line in script
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty())
    {
        if let Some(text) = line.strip_prefix("< ") {
            heard.extend_from_slice(format!("{text}\r\n").as_bytes());
            continue;
        }
        hear(client, told, &mut heard, torn);
        step = pump(client, told);
        match line {
            "!tls" => {
                assert_eq!(step, Step::StartTls);
                client.tls_established();
            }
            "!begin" => client.begin(transactions.next().expect("one more transaction").clone()),
            "!content" => {
                assert!(
                    matches!(step, Step::Content | Step::RawContent(_)),
                    "{step:?}"
                );
                client.content_sent();
            }
            "!quit" => client.quit(),
            said => {
                let said = said.strip_prefix('>').expect("a known line").trim_start();
                let expected = format!("{said}\r\n");
                let sent = String::from_utf8(told.sent.clone()).expect("ASCII");
                assert!(
                    sent.starts_with(&expected),
                    "expected {expected:?}, sent {sent:?}"
                );
                told.sent.drain(..expected.len());
            }
        }
        step = pump(client, told);
    }
    hear(client, told, &mut heard, torn);
    if !matches!(step, Step::Closed(_)) {
        step = pump(client, told);
    }
    step
}

fn hear(client: &mut Client, told: &mut Told, heard: &mut Vec<u8>, torn: bool) {
    let bytes = std::mem::take(heard);
    let size = if torn { 1 } else { bytes.len().max(1) };
    for piece in bytes.chunks(size) {
        client.received(piece);
        if torn {
            pump(client, told);
        }
    }
}
