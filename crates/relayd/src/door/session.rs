//! One client's session at a door: moves the bytes of `smtp::server` and answers its questions.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mail::{StatusCode, Submitter};
use policy::log::{Client, Line, Login, Refused};
use smtp::reply::Reply;
use smtp::sasl::{Credentials, Mechanism};
use smtp::server::{Event, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::accept::{AcceptError, Introduction, Reception, Submission};
use crate::relay::{Relay, Work};
use crate::running::Running;

use super::deadline::Deadline;

/// How long a client may take to take a reply.
const REPLY_WITHIN: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// What is read from a client at once.
const READ: usize = 64 * 1024;
/// How long a message that is being handed in may still take once relayd is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long a wrong password makes its client wait.
const WRONG_PASSWORD: Duration = Duration::from_secs(1);
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
    /// Where a client on a port comes from.
    client: Option<IpAddr>,
    /// How it authenticated, if it did.
    mechanism: Option<Mechanism>,
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
            stream,
            deadline: Deadline::new(silence, Instant::now()),
            work: None,
        }
    }

    /// The same for a client at a port.
    pub(super) fn of_client(self, address: IpAddr) -> Self {
        Self {
            client: Some(address),
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
                        server.disconnected();
                    }
                    self.deadline.renew(Instant::now());
                }
                Event::StartTls => match self.secure().await {
                    Some(secured) => {
                        self = secured;
                        server.tls_established();
                    }
                    None => return,
                },
                Event::Auth(mechanism, credentials) => {
                    let known = self.authenticate(mechanism, credentials).await;
                    server.auth_result(known);
                }
                Event::Mail(_) | Event::Rcpt(_) => server.accept(),
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
                Event::Close => return,
            }
        }
    }

    async fn read(&mut self, server: &mut Server, buffer: &mut [u8]) {
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
                }
                Ok(_) => server.disconnected(),
                Err(_) => self.timed_out(server),
            },
            () = told_to_stop => server.close_with(&farewell(&self.running, "shutting down")),
        }
    }

    fn timed_out(&self, server: &mut Server) {
        if let Some(address) = self.client {
            self.relay.log.write(&Line::TimedOut {
                after: "command",
                client: log_client(address),
            });
        }
        server.close_with(&farewell(&self.running, "you were silent for too long"));
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
        if known {
            if let Submitter::Client { user: name, .. } = &mut self.submitter {
                *name = Some(user);
            }
            self.mechanism = Some(mechanism);
        } else if let Some(address) = self.client {
            let login = Login {
                mechanism: mechanism.name(),
                user: &user,
            };
            self.relay.log.write(&Line::LoginFailed {
                client: log_client(address),
                login,
            });
            sleep(WRONG_PASSWORD).await;
        }
        known
    }

    fn submission(&self, envelope: mail::Envelope, server: &Server) -> Submission {
        let introduction = self.client.map(|_| Introduction {
            hello: server.hello().unwrap_or("unknown").to_owned(),
            protocol: protocol(server),
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
            Ok(meta) => {
                let text = format!("Ok: queued as {}", meta.id);
                self.relay.queued(meta).await;
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
            AcceptError::Unstorable(_) => ((554, StatusCode::new(5, 6, 0)), error.to_string()),
        };
        Reply::new(code, Some(status), &text)
    }
}

/// The name of the protocol in Received fields (RFC 3848).
fn protocol(server: &Server) -> &'static str {
    match (
        server.is_extended(),
        server.is_secure(),
        server.user().is_some(),
    ) {
        (false, ..) => "SMTP",
        (true, false, false) => "ESMTP",
        (true, false, true) => "ESMTPA",
        (true, true, false) => "ESMTPS",
        (true, true, true) => "ESMTPSA",
    }
}

fn farewell(running: &Running, why: &str) -> Reply {
    Reply::new(
        421,
        Some(StatusCode::new(4, 3, 2)),
        &format!("{} {why}", running.hostname),
    )
}

/// A client as log lines name it.
pub(super) fn log_client(address: IpAddr) -> Client<'static> {
    Client {
        name: if address.is_loopback() {
            "localhost"
        } else {
            "unknown"
        },
        address,
    }
}

/// Sends a client away whose submitter has its share of sessions.
pub(super) async fn say_full(relay: &Relay, mut stream: impl Pipe) {
    let reply = farewell(&relay.running(), "too many sessions of yours");
    let _ = timeout(REPLY_WITHIN, stream.write_all(&reply.to_wire())).await;
}

/// Sends a client away that is not of a network that may hand in mail here, as Postfix's
/// `smtpd_client_restrictions` do, in a line of the log that fail2ban knows.
pub(super) async fn say_not_for_you(relay: &Relay, mut stream: impl Pipe, client: IpAddr) {
    let client = log_client(client);
    let text = format!("<{client}>: Client host rejected: Access denied");
    let reply = Reply::new(554, Some(StatusCode::new(5, 7, 1)), &text);
    relay.log.write(&Line::Refused(Refused {
        id: None,
        command: "CONNECT",
        client,
        reply: &format!("554 5.7.1 {text}"),
        sender: None,
        recipient: None,
        protocol: "SMTP",
        hello: None,
    }));
    let _ = timeout(REPLY_WITHIN, stream.write_all(&reply.to_wire())).await;
}
