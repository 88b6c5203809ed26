//! The server's side of one session, for every door mail comes in by: TCP, the submission socket,
//! and `sendmail -bs`.
//!
//! The driver feeds bytes in and asks [`Server::next`] what happened. The server knows the
//! protocol and its limits; whether a sender, a recipient or a message is welcome is asked of the
//! driver, which answers with [`Server::accept`] or [`Server::refuse`].
//!
//! ```text
//! write server.greeting(); loop { match server.next() {
//!     NeedInput       => read, server.received(bytes); at the end of input server.disconnected()
//!     Reply(bytes)    => write them
//!     StartTls        => handshake, server.tls_established()
//!     Auth(how, who)  => server.auth_result(known)
//!     Mail | Rcpt     => server.accept() or server.refuse(reply)
//!     ContentBegins   => open an entry; server.accept() or server.refuse(reply)
//!     Content(bytes)  => append them; on failure server.refuse(reply)
//!     ContentEnds     => make it durable; server.finish(reply)
//!     Aborted(why)    => drop the entry
//!     Close           => drop the connection
//! } }
//! ```

mod auth;
mod commands;
mod config;
mod counts;
mod course;
mod data;
mod event;

use std::collections::{HashSet, VecDeque};

use mail::{Envelope, Recipient, StatusCode};

use crate::line::LineBuffer;
use crate::reply::Reply;

pub use config::{AuthOffer, Limits, ServerConfig};
pub use counts::Count;
pub use course::Ending;
pub use event::{Abort, Event, MailCommand};

use auth::AuthStep;
use counts::Counts;
use course::Course;
use data::Inflow;

/// Replies are gathered up to this many bytes before they are handed out.
const FLUSH_AT: usize = 4096;

/// One session with a client.
pub struct Server {
    config: ServerConfig,
    input: LineBuffer,
    out: Vec<u8>,
    events: VecDeque<Event>,
    state: State,
    hello: Option<Hello>,
    secure: bool,
    user: Option<String>,
    transaction: Option<Transaction>,
    errors: u32,
    junk_commands: u32,
    overshoot: u32,
    /// No command so far ended in CRLF.
    only_bare_lf: bool,
    counts: Counts,
    course: Course,
}

struct Hello {
    name: String,
    extended: bool,
}

/// What MAIL began.
struct Transaction {
    mail: MailCommand,
    recipients: Vec<Recipient>,
    /// The recipients in lower case, to name none twice.
    known: HashSet<String>,
    /// Content that is on its way by BDAT, between two of them.
    inflow: Option<Inflow>,
}

enum State {
    /// Between commands.
    Command,
    /// In a line that is too long; how much of it was thrown away.
    LongLine(usize),
    /// The client's answers to AUTH.
    Auth(AuthStep),
    Handshake,
    /// The driver was asked.
    Asking(Question),
    Content(Inflow),
    /// The driver was told that the content is complete.
    Finishing,
    Closing,
}

enum Question {
    Auth {
        user: String,
    },
    Mail(MailCommand),
    Rcpt(Recipient),
    /// With the content that follows, if it is accepted.
    Content(Inflow),
}

/// What one step of the session came to.
enum Progress {
    /// Go on.
    Again,
    /// Tell the driver.
    Tell(Event),
    /// Tell the driver once all replies are written.
    Wait(Event),
}

impl Server {
    /// A session with a client that just connected. On a port with implicit TLS, call
    /// [`Server::tls_established`] before anything else.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            input: LineBuffer::default(),
            out: Vec::new(),
            events: VecDeque::new(),
            state: State::Command,
            hello: None,
            secure: false,
            user: None,
            transaction: None,
            errors: 0,
            junk_commands: 0,
            overshoot: 0,
            only_bare_lf: true,
            counts: Counts::default(),
            course: Course::default(),
        }
    }

    /// The 220 line to be written first.
    #[must_use]
    pub fn greeting(&self) -> Vec<u8> {
        Reply::new(220, None, &format!("{} ESMTP", self.config.hostname)).to_wire()
    }

    /// What happened. Call it until it gives [`Event::NeedInput`]; what is held is bounded only by
    /// what is read at once. Panics if a question is not answered yet.
    #[expect(
        clippy::should_implement_trait,
        reason = "an event is always there; no iterator"
    )]
    pub fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if self.out.len() >= FLUSH_AT {
                return Event::Reply(std::mem::take(&mut self.out));
            }
            match self.step() {
                Progress::Again => {}
                Progress::Tell(event) => return event,
                Progress::Wait(event) if self.out.is_empty() => return event,
                Progress::Wait(_) => return Event::Reply(std::mem::take(&mut self.out)),
            }
        }
    }

    /// Bytes that were read from the client. Between STARTTLS and the end of the handshake they
    /// are thrown away: they came in the clear.
    pub fn received(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Handshake | State::Closing) {
            self.input.push(bytes);
        }
    }

    /// TLS is up. Everything that was learnt in the clear is forgotten (RFC 3207 section 4.2).
    pub fn tls_established(&mut self) {
        self.secure = true;
        self.hello = None;
        self.user = None;
        self.transaction = None;
        self.input.clear();
        if matches!(self.state, State::Handshake) {
            self.state = State::Command;
        }
    }

    /// Answers [`Event::Auth`].
    pub fn auth_result(&mut self, known: bool) {
        if known {
            self.accept();
        } else {
            let status = Some(StatusCode::new(5, 7, 8));
            self.refuse(Reply::new(535, status, "user or password not known"));
        }
    }

    /// Says yes to what was asked last.
    pub fn accept(&mut self) {
        let State::Asking(question) = self.take_state() else {
            return;
        };
        match question {
            Question::Auth { user } => {
                self.user = Some(user);
                self.reply(235, Some((2, 7, 0)), "authenticated");
            }
            Question::Mail(mail) => {
                self.transaction = Some(Transaction::new(mail));
                self.reply(250, Some((2, 1, 0)), "sender ok");
            }
            Question::Rcpt(recipient) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.add(recipient);
                }
                self.reply(250, Some((2, 1, 5)), "recipient ok");
            }
            Question::Content(inflow) => {
                if inflow.is_dotted() {
                    self.reply(354, None, "go on, end with CRLF.CRLF");
                }
                self.state = State::Content(inflow);
            }
        }
    }

    /// Says no to what was asked last, or to content that is on its way. After a 421 or 521 the
    /// session is closed.
    pub fn refuse(&mut self, reply: Reply) {
        match self.take_state() {
            State::Asking(Question::Content(inflow)) => self.refuse_content(inflow, reply),
            State::Asking(_) => self.error(reply),
            State::Content(mut inflow) => {
                inflow.refuse(reply);
                self.state = State::Content(inflow);
            }
            State::Finishing => {
                self.state = State::Finishing;
                self.finish(reply);
            }
            state => self.state = state,
        }
    }

    /// Answers [`Event::ContentEnds`]: a 250 once the message is safe, or why it was not taken.
    pub fn finish(&mut self, reply: Reply) {
        if !matches!(self.state, State::Finishing) {
            return;
        }
        self.state = State::Command;
        self.transaction = None;
        if reply.is_positive() {
            (self.errors, self.junk_commands, self.overshoot) = (0, 0, 0);
            self.say(&reply);
        } else {
            self.error(reply);
        }
    }

    /// Ends the session with a reply of the driver's, such as a 421 after a timeout or at shutdown.
    /// Content that is not complete is aborted; complete content must be finished first.
    pub fn close_with(&mut self, reply: &Reply) {
        if matches!(self.state, State::Closing) {
            return;
        }
        self.abort_content(Abort::SessionEnded);
        self.say(reply);
        self.state = State::Closing;
    }

    /// The client is gone. Content that is not complete is aborted; what was answered to
    /// [`Event::ContentEnds`] stands.
    pub fn disconnected(&mut self) {
        if !matches!(self.state, State::Closing) {
            self.abort_content(Abort::SessionEnded);
        }
        self.out.clear();
        self.input.clear();
        self.state = State::Closing;
    }

    /// The name that the client gave in EHLO or HELO: printable ASCII.
    #[must_use]
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// The client said EHLO and not HELO.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    /// The session is inside TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Who the client is, after AUTH.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The commands that were answered so far, in the order of Postfix's log; none that was not given.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        self.counts.all()
    }

    fn step(&mut self) -> Progress {
        match &self.state {
            State::Command | State::LongLine(_) | State::Auth(_) => self.read_line(),
            State::Handshake => Progress::Wait(Event::StartTls),
            State::Asking(_) | State::Finishing => {
                panic!("the question before must be answered first")
            }
            State::Content(_) => self.read_content(),
            State::Closing => Progress::Wait(Event::Close),
        }
    }

    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Command)
    }

    /// Every reply goes this way.
    fn say(&mut self, reply: &Reply) {
        self.counts.answer(reply.code);
        self.out.extend(reply.to_wire());
    }

    fn reply(&mut self, code: u16, status: Option<(u8, u16, u16)>, text: &str) {
        let status = status.map(|(class, subject, detail)| StatusCode::new(class, subject, detail));
        self.say(&Reply::new(code, status, text));
    }

    /// Says no, and counts it.
    fn error(&mut self, reply: Reply) {
        self.say(&reply);
        self.errors += 1;
        if matches!(reply.code, 421 | 521) {
            self.close();
        } else if self.errors >= self.config.limits.errors {
            let text = format!("{} too many errors", self.config.hostname);
            self.reply(421, Some((4, 7, 0)), &text);
            self.course.end(Ending::TooManyErrors);
            self.close();
        }
    }

    fn close(&mut self) {
        self.abort_content(Abort::SessionEnded);
        self.state = State::Closing;
    }

    /// Forgets the transaction; content that was begun is aborted.
    fn reset(&mut self, why: Abort) {
        let began = self
            .transaction
            .take()
            .and_then(|transaction| transaction.inflow);
        if began.is_some_and(|inflow| inflow.is_open()) {
            self.events.push_back(Event::Aborted(why));
        }
    }

    fn abort_content(&mut self, why: Abort) {
        self.reset(why);
        let open = match &self.state {
            State::Content(inflow) => inflow.is_open(),
            State::Asking(Question::Content(inflow)) => inflow.is_open(),
            _ => false,
        };
        if open {
            self.events.push_back(Event::Aborted(why));
        }
    }
}

impl Transaction {
    fn new(mail: MailCommand) -> Self {
        Self {
            mail,
            recipients: Vec::new(),
            known: HashSet::new(),
            inflow: None,
        }
    }

    fn add(&mut self, recipient: Recipient) {
        self.mail.smtputf8 |= !recipient.address.is_ascii();
        if self
            .known
            .insert(recipient.address.as_str().to_ascii_lowercase())
        {
            self.recipients.push(recipient);
        }
    }

    /// The envelope; the recipients are handed over.
    fn envelope(&mut self) -> Envelope {
        Envelope {
            sender: self.mail.sender.clone(),
            recipients: std::mem::take(&mut self.recipients),
            body: self.mail.body,
            smtputf8: self.mail.smtputf8,
            ret: self.mail.ret,
            envid: self.mail.envid.clone(),
            as_is: self.mail.as_is,
        }
    }
}
