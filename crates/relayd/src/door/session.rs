//! One client's session at a door: moves the bytes of `smtp::server` and answers its questions.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use mail::{Address, Recipient, StatusCode, Submitter};
use policy::log::Login;
use smtp::reply::Reply;
use smtp::sasl::{Credentials, Mechanism};
use smtp::server::{Event, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::accept::{AcceptError, Accepted, Introduction, Reception, Submission};
use crate::relay::{Relay, Work};
use crate::running::Running;

use super::client::Client;
use super::deadline::Deadline;

/// How long a client may take to take a reply.
const REPLY_WITHIN: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// What is read from a client at once: commands, and most messages.
const READ: usize = 8 * 1024;
/// What is read at once from a client that has sent as much as was asked for.
const READ_MUCH: usize = 64 * 1024;
/// How long a message that is being handed in may still take once relayd is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// One password is hashed at a time: guessing must not take the processor or the disk threads.
static HASHING: Semaphore = Semaphore::const_new(1);

/// Anything that a session can run over.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Pipe for T {}

/// One client's session.
pub(super) struct Session<'a> {
    relay: &'a Arc<Relay>,
    running: Arc<Running>,
    submitter: Submitter,
    /// Who it is, at a port.
    client: Option<Client>,
    /// How it authenticated, if it did.
    mechanism: Option<Mechanism>,
    /// The sender of the last MAIL.
    sender: Option<Address>,
    stream: Box<dyn Pipe>,
    deadline: Deadline,
    /// Present while a message is being handed in, until its reply is written.
    work: Option<Work>,
}

impl<'a> Session<'a> {
    /// A session with a local client.
    pub(super) fn new(
        relay: &'a Arc<Relay>,
        running: Arc<Running>,
        submitter: Submitter,
        stream: Box<dyn Pipe>,
        silence: Duration,
    ) -> Self {
        Self {
            relay,
            running,
            submitter,
            client: None,
            mechanism: None,
            sender: None,
            stream,
            deadline: Deadline::new(silence, Instant::now()),
            work: None,
        }
    }

    /// The same for a client at a port.
    pub(super) fn of_client(self, client: Client) -> Self {
        Self {
            client: Some(client),
            ..self
        }
    }

    pub(super) async fn run(mut self, server: &mut Server) {
        if self.write(&server.greeting()).await.is_err() {
            return;
        }
        let mut reception = None;
        let mut buffer = vec![0; READ];
        loop {
            match server.next() {
                Event::NeedInput => {
                    if reception.is_none() {
                        // All replies are written.
                        self.work = None;
                    }
                    self.read(server, &mut buffer).await;
                }
                Event::Reply(bytes) => {
                    if self.write(&bytes).await.is_err() {
                        self.lost(server);
                    }
                    self.deadline.renew(Instant::now());
                }
                Event::StartTls => {
                    let (relay, client) = (self.relay, self.client);
                    let Some(secured) = self.secure().await else {
                        if let Some(client) = client {
                            client.lost(&relay.log, server);
                        }
                        return;
                    };
                    self = secured;
                    server.tls_established();
                }
                Event::Auth(mechanism, credentials) => {
                    let known = self.authenticate(mechanism, credentials).await;
                    server.auth_result(known);
                }
                Event::Mail(mail) => {
                    self.sender = mail.sender;
                    server.accept();
                }
                Event::Rcpt(recipient) => self.recipient(server, &recipient),
                Event::ContentBegins(envelope) => {
                    self.work = Some(self.relay.begin_work().await);
                    reception = Some(Reception::new(
                        self.relay,
                        self.submission(envelope, server),
                    ));
                    server.accept();
                }
                Event::Content(bytes) => {
                    if let Some(current) = reception.take() {
                        match current.content(&bytes).await {
                            Ok(current) => reception = Some(current),
                            Err(error) => server.refuse(self.refusal(&error)),
                        }
                    }
                }
                Event::ContentEnds => {
                    let reply = self.finish(reception.take()).await;
                    server.finish(reply);
                }
                Event::Aborted(_) => reception = None,
                Event::Close => break,
            }
        }
        if let Some(client) = self.client {
            client.ended(&self.relay.log, server);
        }
    }

    /// Everybody may name recipients but a stranger at the port for this host.
    fn recipient(&self, server: &mut Server, recipient: &Recipient) {
        match self.client {
            Some(client) if !client.admitted => {
                let (log, sender) = (&self.relay.log, self.sender.as_ref());
                let denial = client.denial(log, server, sender, recipient);
                server.refuse(denial);
            }
            _ => server.accept(),
        }
    }

    /// The client is gone.
    fn lost(&self, server: &mut Server) {
        if let Some(client) = self.client {
            client.lost(&self.relay.log, server);
        }
        server.disconnected();
    }

    async fn read(&mut self, server: &mut Server, buffer: &mut Vec<u8>) {
        let (relay, receiving) = (self.relay, self.work.is_some());
        let told_to_stop = async {
            relay.stopped().await;
            if receiving {
                sleep(GRACE).await;
            }
        };
        tokio::select! {
            read = timeout_at(self.deadline.at(), self.stream.read(buffer)) => match read {
                Ok(Ok(count @ 1..)) => {
                    self.deadline.received(count, Instant::now());
                    server.received(&buffer[..count]);
                    if count == buffer.len() {
                        buffer.resize(READ_MUCH, 0);
                    }
                }
                Ok(_) => self.lost(server),
                Err(_) => self.timed_out(server),
            },
            () = told_to_stop => {
                server.close_with(&farewell(&self.running, (4, 3, 2), "shutting down"));
            }
        }
    }

    fn timed_out(&self, server: &mut Server) {
        if let Some(client) = self.client {
            client.timed_out(&self.relay.log, server);
        }
        let text = "you were silent for too long";
        server.close_with(&farewell(&self.running, (4, 4, 2), text));
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = timeout(REPLY_WITHIN, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        written
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn secure(self) -> Option<Self> {
        let acceptor = self.running.acceptor.clone()?;
        let stream = timeout(HANDSHAKE, acceptor.accept(self.stream))
            .await
            .ok()?
            .ok()?;
        Some(Self {
            stream: Box::new(stream),
            ..self
        })
    }

    /// Whether somebody is who they say they are.
    async fn authenticate(&mut self, mechanism: Mechanism, credentials: Credentials) -> bool {
        let running = Arc::clone(&self.running);
        let user = credentials.user.clone();
        let turn = HASHING.acquire().await;
        // Hashing a password takes milliseconds of processor time.
        let checked = tokio::task::spawn_blocking(move || {
            let users = running.users.as_ref();
            users
                .is_some_and(|users| users.verify(&credentials.user, credentials.password.expose()))
        });
        let known = checked.await.unwrap_or(false);
        drop(turn);
        let guesses = &self.relay.guesses;
        match self.client {
            Some(client) if known => guesses.right(client.address),
            Some(client) => {
                let wait = guesses.wrong(client.address, Instant::now());
                let login = Login {
                    mechanism: mechanism.name(),
                    user: &user,
                };
                client.was_wrong(&self.relay.log, login);
                sleep(wait).await;
            }
            None => {}
        }
        if known {
            if let Submitter::Client { user: name, .. } = &mut self.submitter {
                *name = Some(user);
            }
            self.mechanism = Some(mechanism);
        }
        known
    }

    fn submission(&self, envelope: mail::Envelope, server: &Server) -> Submission {
        let introduction = self.client.map(|_| Introduction {
            hello: server.hello().unwrap_or("unknown").to_owned(),
            protocol: protocol(server, envelope.smtputf8),
            mechanism: self.mechanism,
        });
        Submission {
            envelope,
            submitter: self.submitter.clone(),
            introduction,
            source: None,
        }
    }

    async fn finish(&self, reception: Option<Reception>) -> Reply {
        let Some(reception) = reception else {
            return self.refusal(&AcceptError::Internal(
                "content without an entry".to_owned(),
            ));
        };
        match reception.finish().await {
            Ok(Accepted { first, others }) => {
                let text = format!("Ok: queued as {}", first.id);
                self.relay.queued(first).await;
                for part in others {
                    self.relay.queued(part).await;
                }
                Reply::new(250, Some(StatusCode::new(2, 0, 0)), &text)
            }
            Err(error) => self.refusal(&error),
        }
    }

    /// What the client is told about a message that was not taken in, and the admin in the log.
    fn refusal(&self, error: &AcceptError) -> Reply {
        self.relay
            .log
            .warn(&format!("a message was not accepted: {error}"));
        let ((code, status), text) = match error {
            AcceptError::Spool(fault) if fault.is_full() => {
                let text = "the queue's disk is full".to_owned();
                ((452, StatusCode::new(4, 3, 1)), text)
            }
            AcceptError::Spool(_) | AcceptError::Internal(_) => {
                let text = "the queue cannot be written to".to_owned();
                ((451, StatusCode::new(4, 3, 0)), text)
            }
            AcceptError::Header(_) => ((552, StatusCode::new(5, 3, 4)), error.to_string()),
            AcceptError::Loop => ((554, StatusCode::new(5, 4, 6)), error.to_string()),
            AcceptError::OverRate { .. } => {
                let text = format!("Error: {error}");
                ((450, StatusCode::new(4, 7, 1)), text)
            }
            AcceptError::Unstorable(_) => ((554, StatusCode::new(5, 6, 0)), error.to_string()),
        };
        Reply::new(code, Some(status), &text)
    }
}

/// The name of the protocol in Received fields (RFC 3848, and RFC 6531 section 4.3 for mail that came
/// with SMTPUTF8).
fn protocol(server: &Server, utf8: bool) -> &'static str {
    name_of_protocol(
        server.is_extended(),
        utf8,
        server.is_secure(),
        server.user().is_some(),
    )
}

const fn name_of_protocol(extended: bool, utf8: bool, secure: bool, known: bool) -> &'static str {
    match (extended, utf8, secure, known) {
        (false, ..) => "SMTP",
        (true, false, false, false) => "ESMTP",
        (true, false, false, true) => "ESMTPA",
        (true, false, true, false) => "ESMTPS",
        (true, false, true, true) => "ESMTPSA",
        (true, true, false, false) => "UTF8SMTP",
        (true, true, false, true) => "UTF8SMTPA",
        (true, true, true, false) => "UTF8SMTPS",
        (true, true, true, true) => "UTF8SMTPSA",
    }
}

/// A 421 with a status, in words that begin with our name.
fn farewell(running: &Running, status: (u8, u16, u16), why: &str) -> Reply {
    let status = StatusCode::new(status.0, status.1, status.2);
    Reply::new(421, Some(status), &format!("{} {why}", running.hostname))
}

/// Sends a client away that has just come. Nothing is waited for: the buffer of a fresh connection
/// has room for a line.
pub(super) fn send_away(relay: &Relay, stream: io::Result<impl Write>, why: &str) {
    if let Ok(mut stream) = stream {
        let reply = farewell(&relay.running(), (4, 3, 2), why);
        let _ = stream.write(&reply.to_wire());
    }
}
