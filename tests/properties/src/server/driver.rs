//! A driver for the server that answers by fixed rules and writes down what it was told.

use std::borrow::Cow;

use mail::{Address, Envelope, Recipient, StatusCode};
use smtp::reply::Reply;
use smtp::sasl::Credentials;
use smtp::server::{AuthOffer, Event, MailCommand, Server, ServerConfig};

use super::framing::Framing;
use crate::canonical::assert_canonical;
use crate::storable::assert_storable;

/// How the driver answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Temper {
    /// By what it is asked about alone.
    Calm,
    /// It also refuses content that is on its way, closes the session or fails at the end, as this byte says.
    Moody(u8),
}

/// The server with what it said and asked.
pub(super) struct Driver {
    config: ServerConfig,
    temper: Temper,
    server: Server,
    /// What the server was given to read, as far as it was to read it.
    heard: Vec<u8>,
    pub(super) written: Vec<u8>,
    log: Vec<String>,
    open: Option<Open>,
    secure: bool,
    wants_tls: bool,
    closed: bool,
    contents: u32,
    bytewise: bool,
}

/// A message on its way.
struct Open {
    /// Known where the client's bytes come one by one.
    framing: Option<Framing>,
    content: Vec<u8>,
    refused: bool,
}

impl Driver {
    pub(super) fn new(config: ServerConfig, temper: Temper, bytewise: bool) -> Self {
        let server = Server::new(config.clone());
        Self {
            written: server.greeting(),
            config,
            temper,
            server,
            heard: Vec::new(),
            log: Vec::new(),
            open: None,
            secure: false,
            wants_tls: false,
            closed: false,
            contents: 0,
            bytewise,
        }
    }

    /// What was asked and said, in order.
    pub(super) fn told(&self) -> (&[String], Cow<'_, str>) {
        (&self.log, String::from_utf8_lossy(&self.written))
    }

    pub(super) fn feed(&mut self, piece: &[u8]) {
        if !self.wants_tls && !self.closed {
            self.heard.extend_from_slice(piece);
        }
        self.server.received(piece);
        self.run();
    }

    /// TLS comes up if it was asked for. What was learnt in the clear is gone.
    pub(super) fn end_phase(&mut self) {
        if self.closed || !std::mem::take(&mut self.wants_tls) {
            return;
        }
        self.server.tls_established();
        self.secure = true;
        self.heard.clear();
        assert!(self.server.is_secure() && self.server.hello().is_none());
        assert!(self.server.user().is_none());
        self.run();
    }

    pub(super) fn disconnect(&mut self) {
        self.server.disconnected();
        self.wants_tls = false;
        let written = self.written.len();
        self.run();
        assert!(self.closed && self.written.len() == written);
        assert!(self.open.as_ref().is_none_or(|open| open.refused));
    }

    fn run(&mut self) {
        loop {
            match self.server.next() {
                Event::NeedInput => return assert!(!self.closed && !self.wants_tls),
                Event::Close => {
                    self.closed = true;
                    return;
                }
                Event::StartTls => {
                    assert!(self.config.starttls && !self.secure);
                    self.wants_tls = true;
                    return;
                }
                Event::Reply(bytes) => {
                    assert!(!self.closed && !bytes.is_empty());
                    self.written.extend(bytes);
                }
                event => {
                    assert!(!self.closed && !self.wants_tls);
                    self.answer(event);
                }
            }
        }
    }

    fn answer(&mut self, event: Event) {
        match event {
            Event::Auth(_, who) => self.auth(&who),
            Event::Mail(mail) => self.mail(&mail),
            Event::Rcpt(recipient) => {
                self.log.push(format!("{recipient:?}"));
                self.check_address(&recipient.address);
                self.answer_address(Some(&recipient.address));
            }
            Event::ContentBegins(envelope) => self.begin(&envelope),
            Event::Content(bytes) => self.content(&bytes),
            Event::ContentEnds => self.end(),
            Event::Aborted(why) => {
                self.log.push(format!("{why:?}"));
                let open = self.open.take().expect("content has begun");
                assert!(!open.refused, "told only if the driver does not know");
            }
            Event::NeedInput | Event::StartTls | Event::Close | Event::Reply(_) => {
                unreachable!("run() takes these")
            }
        }
    }

    fn auth(&mut self, who: &Credentials) {
        self.log.push(format!("{who:?} {}", who.password.expose()));
        let offered = match self.config.auth {
            AuthOffer::Never => false,
            AuthOffer::AfterTls => self.secure,
            AuthOffer::Always => true,
        };
        assert!(offered && self.server.user().is_none());
        assert!(!who.user.is_empty() && !who.user.contains(char::is_control));
        let known = who.password.expose() == "secret";
        self.server.auth_result(known);
        assert_eq!(self.server.user().is_some(), known);
    }

    fn mail(&mut self, mail: &MailCommand) {
        self.log.push(format!("{mail:?}"));
        assert!(!self.config.auth_required || self.server.user().is_some());
        assert!(self.config.as_is || !mail.as_is);
        let limit = self.config.size_limit;
        assert!(limit == 0 || mail.size.is_none_or(|size| size <= limit));
        if let Some(sender) = &mail.sender {
            self.check_address(sender);
        }
        self.answer_address(mail.sender.as_ref());
    }

    fn check_address(&self, address: &Address) {
        let is_postmaster = address.local().eq_ignore_ascii_case("postmaster");
        assert!(self.config.unqualified || address.domain().is_some() || is_postmaster);
    }

    fn answer_address(&mut self, address: Option<&Address>) {
        let (code, status) = match address.map(Address::local) {
            Some("no") => (550, StatusCode::new(5, 1, 1)),
            Some("later") => (450, StatusCode::new(4, 2, 1)),
            Some("bye") => (421, StatusCode::new(4, 3, 2)),
            _ => return self.server.accept(),
        };
        self.server
            .refuse(Reply::new(code, Some(status), "as the rule is"));
    }

    fn begin(&mut self, envelope: &Envelope) {
        self.log.push(format!("{envelope:?}"));
        let one_at_a_time = self.open.as_ref().is_none_or(|open| open.refused);
        assert!(one_at_a_time, "the message before has ended");
        self.check_envelope(envelope);
        self.contents += 1;
        self.open = None;
        if self.is_in_mood(1) {
            let status = Some(StatusCode::new(4, 3, 1));
            return self.server.refuse(Reply::new(452, status, "no room"));
        }
        self.open = Some(Open {
            framing: self.bytewise.then(|| Framing::after(&self.heard)),
            content: Vec::new(),
            refused: false,
        });
        self.server.accept();
    }

    fn check_envelope(&self, envelope: &Envelope) {
        let recipients = &envelope.recipients;
        assert!((1..=self.config.max_recipients).contains(&recipients.len()));
        for (at, one) in recipients.iter().enumerate() {
            let is_same = |other: &Recipient| other.address.same_mailbox(&one.address);
            assert!(!recipients[..at].iter().any(is_same), "none twice");
        }
        let addresses = recipients.iter().map(|one| &one.address);
        let ascii = addresses.chain(&envelope.sender).all(Address::is_ascii);
        assert!(ascii || envelope.smtputf8);
        assert_storable(envelope);
    }

    fn content(&mut self, bytes: &[u8]) {
        let refuses = self.is_in_mood(2);
        let open = self.open.as_mut().expect("content has begun");
        assert!(!open.refused && !bytes.is_empty());
        open.content.extend_from_slice(bytes);
        let limit = self.config.size_limit;
        assert!(limit == 0 || open.content.len() as u64 <= limit);
        if refuses {
            open.refused = true;
            let status = Some(StatusCode::new(4, 3, 0));
            self.server.refuse(Reply::new(451, status, "the disk"));
        }
    }

    fn end(&mut self) {
        let open = self.open.take().expect("content has begun");
        assert!(!open.refused);
        assert_canonical(&open.content);
        if let Some(framing) = open.framing {
            framing.check(&self.heard, &open.content);
        }
        self.log.push(open.content.escape_ascii().to_string());
        let spam = open.content.windows(4).any(|word| word == b"SPAM");
        let (code, status) = match (spam, self.is_in_mood(3)) {
            (false, false) => (250, StatusCode::new(2, 0, 0)),
            (true, _) => (554, StatusCode::new(5, 7, 1)),
            (false, true) => (451, StatusCode::new(4, 3, 0)),
        };
        self.server
            .finish(Reply::new(code, Some(status), "as the rule is"));
        if self.is_in_mood(4) {
            let status = Some(StatusCode::new(4, 3, 2));
            self.server.close_with(&Reply::new(421, status, "enough"));
        }
    }

    /// Whether a moody driver does this with the message that it is at.
    fn is_in_mood(&self, what: u32) -> bool {
        match self.temper {
            Temper::Calm => false,
            Temper::Moody(byte) => u32::from(byte).wrapping_mul(self.contents) % 7 == what,
        }
    }
}
