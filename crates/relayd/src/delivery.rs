//! One session with the gateway: opened, used for many transactions, closed. It does what
//! `smtp::client` says and reports to the dispatcher; what a reply means is `policy`'s business.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use host::secret::{self, Keeper};
use policy::log::{Line, Server};
use policy::schedule::{
    AttemptEnd, AttemptOutcome, CONNECT_TIMEOUT, GatewayTrouble, SessionId, TroubleKind,
};
use policy::settings::{Deliver, Gateway, PasswordSource, Tls};
use policy::verdict;
use smtp::Stage;
use smtp::client::{Client, ClientConfig, Fault, Interruption, Step, TlsMode, TransactionReport};
use smtp::dot::DotStuffer;
use smtp::sasl::{Credentials, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::attempt::Attempt;
use crate::dispatch::{Command, Event};
use crate::outcome::{self, Timing};
use crate::relay::Relay;
use crate::running::Running;
use crate::{capture, connect, tls};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(60);
/// How long one block of content may take to be taken (RFC 5321 section 4.5.3.2.5).
const BLOCK: Duration = Duration::from_secs(180);
/// How much content is read and sent at a time.
const BLOCK_SIZE: usize = 64 * 1024;
/// How long to listen for a reply after the connection broke under the content: a server that
/// refuses a large message often says why and hangs up.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Opens a session, obeys the dispatcher until it is told to quit or the session breaks, and
/// reports every end.
pub(crate) async fn run(relay: Arc<Relay>, id: SessionId, mut commands: mpsc::Receiver<Command>) {
    let running = relay.running();
    if let Deliver::Capture(folder) = &running.gateway().deliver {
        return run_capture(&relay, id, folder.clone(), commands).await;
    }
    let event = match Session::open(Arc::clone(&relay), &running, id).await {
        Err(trouble) => Event::SessionFailed(id, trouble),
        Ok(session) => {
            tell(&relay, Event::SessionReady(id)).await;
            session.work(&mut commands).await
        }
    };
    tell(&relay, event).await;
}

async fn tell(relay: &Relay, event: Event) {
    // The dispatcher outlives the sessions, or nobody is left to tell.
    let _ = relay.events.send(event).await;
}

/// The session of a gateway that keeps mail from leaving: always ready.
async fn run_capture(
    relay: &Arc<Relay>,
    session: SessionId,
    folder: PathBuf,
    mut commands: mpsc::Receiver<Command>,
) {
    tell(relay, Event::SessionReady(session)).await;
    while let Some(Command::Deliver(id)) = commands.recv().await {
        let end = match Attempt::begin(relay, id).await {
            Ok(attempt) => capture_one(relay, folder.clone(), attempt).await,
            Err(outcome) => AttemptEnd {
                outcome,
                session_alive: true,
            },
        };
        tell(relay, Event::AttemptEnded { session, id, end }).await;
    }
    tell(relay, Event::SessionClosed(session)).await;
}

/// Puts one message into the Maildir.
async fn capture_one(relay: &Arc<Relay>, folder: PathBuf, mut attempt: Attempt) -> AttemptEnd {
    let running = relay.running();
    let meta = attempt.meta.clone();
    let recipients: Vec<_> = attempt
        .recipients()
        .map(|recipient| recipient.address.clone())
        .collect();
    let stored = match attempt.take_content() {
        Some(mut content) => {
            let stored = tokio::task::spawn_blocking(move || {
                let recipients: Vec<_> = recipients.iter().collect();
                let envelope = (meta.envelope.sender.as_ref(), recipients.as_slice());
                capture::store(&folder, meta.id, meta.arrival, envelope, &mut content)
            });
            stored
                .await
                .map_err(|error| error.to_string())
                .and_then(|done| done.map_err(|error| error.to_string()))
        }
        None => Err("its content was used up".to_owned()),
    };
    outcome::settle_capture(relay, &running, attempt, stored).await
}

enum Stream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
    Gone,
}

/// Where the driver stopped.
enum Stop {
    /// Between transactions.
    Idle,
    /// The server waits for content.
    Content,
    /// A transaction is over.
    Report(TransactionReport),
    /// The session is over.
    Closed(Option<Fault>),
}

struct Session {
    relay: Arc<Relay>,
    running: Arc<Running>,
    id: SessionId,
    stream: Stream,
    client: Client,
    server: Server,
    /// When the reply that is waited for must be here.
    deadline: Option<Instant>,
    /// How long connecting took, until the first transaction has logged it.
    setup: Duration,
    /// Transactions so far.
    uses: u32,
}

impl Session {
    /// Connects, secures and authenticates.
    async fn open(
        relay: Arc<Relay>,
        running: &Arc<Running>,
        id: SessionId,
    ) -> Result<Self, GatewayTrouble> {
        let begun = host::clock::monotonic();
        let gateway = running.gateway();
        let credentials = credentials(gateway).await?;
        let (socket, server) = connect(&relay, gateway).await?;
        let mode = match gateway.tls {
            Tls::StartTls => TlsMode::StartTls,
            Tls::Implicit => TlsMode::Implicit,
            Tls::None => TlsMode::None,
        };
        let config = ClientConfig {
            auth: credentials,
            ..ClientConfig::new(&running.hostname, mode)
        };
        let mut session = Self {
            relay,
            running: Arc::clone(running),
            id,
            stream: Stream::Plain(socket),
            client: Client::new(config),
            server,
            deadline: None,
            setup: Duration::ZERO,
            uses: 0,
        };
        match session.drive().await {
            Stop::Idle => {
                session.setup = host::clock::monotonic().saturating_sub(begun);
                Ok(session)
            }
            Stop::Closed(Some(fault)) => Err(verdict::of_fault(&session.server, &fault).trouble),
            Stop::Closed(None) | Stop::Content | Stop::Report(_) => {
                let reason = format!("host {} ended the session at once", session.server.name());
                Err(GatewayTrouble::new(TroubleKind::Unreachable, reason))
            }
        }
    }

    /// Transactions as told, until the end; gives the last fact to report.
    async fn work(mut self, commands: &mut mpsc::Receiver<Command>) -> Event {
        loop {
            let id = tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Deliver(id)) => id,
                    Some(Command::Quit) | None => return self.quit().await,
                },
                // A server that hangs up between transactions is no trouble.
                () = self.overhear() => return Event::SessionClosed(self.id),
            };
            let end = self.attempt(id).await;
            let alive = end.session_alive;
            let event = Event::AttemptEnded {
                session: self.id,
                id,
                end,
            };
            if !alive {
                return event;
            }
            tell(&self.relay, event).await;
        }
    }

    /// Ends when the server says something or hangs up while nothing is asked of it.
    async fn overhear(&mut self) {
        let mut byte = [0; 512];
        let _ = self.read(&mut byte).await;
    }

    async fn quit(mut self) -> Event {
        self.client.quit();
        let _ = timeout(Stage::Quit.timeout(), self.drive()).await;
        Event::SessionClosed(self.id)
    }

    /// One message: marked, sent, recorded.
    async fn attempt(&mut self, id: mail::QueueId) -> AttemptEnd {
        let mut attempt = match Attempt::begin(&self.relay, id).await {
            Ok(attempt) => attempt,
            Err(outcome) => {
                return AttemptEnd {
                    outcome,
                    session_alive: true,
                };
            }
        };
        self.uses += 1;
        let begun = host::clock::monotonic();
        // The mark reaches the disk while the envelope travels; no content goes out before it (I4).
        attempt.start_marking(&self.running.gateway().name);
        self.client.begin(attempt.transaction());
        let report = loop {
            match self.drive().await {
                Stop::Report(report) => break report,
                Stop::Content => {
                    if !attempt.marked(&self.relay).await {
                        // Without a mark nothing is sent, and DATA cannot be taken back.
                        return AttemptEnd {
                            outcome: AttemptOutcome::NotStarted,
                            session_alive: false,
                        };
                    }
                    if let Err(problem) = self.send_content(&mut attempt).await {
                        // The connection is dropped before the final dot, so nothing was handed over.
                        self.relay.log.warn(&format!(
                            "{id}: not sent, since its content cannot be read: {problem}"
                        ));
                        return AttemptEnd {
                            outcome: AttemptOutcome::NotStarted,
                            session_alive: false,
                        };
                    }
                }
                // Every transaction that was begun ends in a report before anything else.
                Stop::Idle | Stop::Closed(_) => {
                    return AttemptEnd {
                        outcome: AttemptOutcome::NotStarted,
                        session_alive: false,
                    };
                }
            }
        };
        let timing = Timing {
            setup: std::mem::take(&mut self.setup),
            sending: host::clock::monotonic().saturating_sub(begun),
            uses: self.uses,
        };
        // A refused transaction is reset before the next; what was heard so far counts all the same.
        let session_alive = report.session_alive && matches!(self.drive().await, Stop::Idle);
        let running = Arc::clone(&self.running);
        let outcome = outcome::settle(
            &self.relay,
            &running,
            attempt,
            &self.server,
            &report,
            timing,
        )
        .await;
        AttemptEnd {
            outcome,
            session_alive,
        }
    }

    /// Streams the content. An error means that it could not be read; a broken connection is the
    /// client's to report.
    async fn send_content(&mut self, attempt: &mut Attempt) -> Result<(), String> {
        let mut stuffer = DotStuffer::new();
        let mut wire = Vec::with_capacity(BLOCK_SIZE + BLOCK_SIZE / 8);
        loop {
            let block = attempt.next_block(BLOCK_SIZE).await?;
            if block.is_empty() {
                stuffer.finish(&mut wire);
                // From here on a broken connection leaves it unknown whether the message arrived (I4).
                self.client.content_sent();
                self.write_content(&wire).await;
                return Ok(());
            }
            stuffer.push(&block, &mut wire);
            if wire.len() >= BLOCK_SIZE {
                if !self.write_content(&wire).await {
                    return Ok(());
                }
                wire.clear();
            }
        }
    }

    /// Sends a piece of content; false if the connection broke, which the client then knows.
    async fn write_content(&mut self, wire: &[u8]) -> bool {
        match self.write(wire, BLOCK).await {
            Ok(()) => true,
            Err(how) => {
                self.last_words().await;
                self.client.failed(how);
                false
            }
        }
    }

    /// Hears what the server said before it hung up.
    async fn last_words(&mut self) {
        let mut buffer = [0; 4096];
        if let Ok(Ok(count)) = timeout(LAST_WORDS, self.read(&mut buffer)).await {
            self.client.received(&buffer[..count]);
        }
    }

    /// Moves bytes as the client says until there is something to decide.
    async fn drive(&mut self) -> Stop {
        loop {
            match self.client.next() {
                Step::Send(bytes) => {
                    self.deadline = None;
                    if let Err(how) = self.write(&bytes, BLOCK).await {
                        self.client.failed(how);
                    }
                }
                Step::Receive(stage) => self.receive(stage).await,
                Step::StartTls => self.start_tls().await,
                Step::Idle => return Stop::Idle,
                Step::Content | Step::RawContent(_) => return Stop::Content,
                Step::Report(report) => return Stop::Report(report),
                Step::Closed(fault) => return Stop::Closed(fault),
            }
        }
    }

    async fn receive(&mut self, stage: Stage) {
        let deadline = *self
            .deadline
            .get_or_insert_with(|| Instant::now() + stage.timeout());
        let mut buffer = [0; 4096];
        match timeout_at(deadline, self.read(&mut buffer)).await {
            Ok(Ok(0)) => self.client.failed(Interruption::Closed),
            Ok(Ok(count)) => self.client.received(&buffer[..count]),
            Ok(Err(error)) => self.client.failed(interruption(&error)),
            Err(_) => self.client.failed(Interruption::Timeout),
        }
    }

    async fn start_tls(&mut self) {
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return self
                .client
                .failed(Interruption::Protocol("TLS within TLS".to_owned()));
        };
        let (connector, name) = match (
            &self.running.connector,
            tls::server_name(&self.running.gateway().tls_name),
        ) {
            (Some(connector), Ok(name)) => (connector, name),
            (None, _) => {
                return self
                    .client
                    .failed(Interruption::Tls("TLS is not set up".to_owned()));
            }
            (_, Err(problem)) => return self.client.failed(Interruption::Tls(problem)),
        };
        match timeout(HANDSHAKE, connector.connect(name, socket)).await {
            Ok(Ok(stream)) => {
                self.stream = Stream::Secure(Box::new(stream));
                self.client.tls_established();
            }
            Ok(Err(error)) => self
                .client
                .failed(Interruption::Tls(tls::failure_words(&error))),
            Err(_) => self.client.failed(Interruption::Timeout),
        }
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.read(buffer).await,
            Stream::Secure(stream) => stream.read(buffer).await,
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn write(&mut self, bytes: &[u8], within: Duration) -> Result<(), Interruption> {
        let written = timeout(within, async {
            match &mut self.stream {
                Stream::Plain(socket) => socket.write_all(bytes).await,
                Stream::Secure(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
                Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
            }
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(interruption(&error)),
            Err(_) => Err(Interruption::Timeout),
        }
    }
}

async fn connect(relay: &Relay, gateway: &Gateway) -> Result<(TcpStream, Server), GatewayTrouble> {
    let failed = |reason: String| GatewayTrouble::new(TroubleKind::Unreachable, reason);
    match timeout(
        CONNECT_TIMEOUT,
        connect::connect(&gateway.host, gateway.port),
    )
    .await
    {
        Ok(Ok((socket, address))) => {
            let server = Server {
                host: gateway.host.clone(),
                address,
                port: gateway.port,
            };
            Ok((socket, server))
        }
        Ok(Err(error)) => {
            if let Some((server, reason)) = &error.refused {
                relay.log.write(&Line::ConnectFailed { server, reason });
            }
            Err(failed(error.reason))
        }
        Err(_) => Err(failed(format!(
            "connect to {}:{}: Connection timed out",
            gateway.host, gateway.port
        ))),
    }
}

fn interruption(error: &io::Error) -> Interruption {
    use io::ErrorKind as E;
    match error.kind() {
        E::ConnectionReset
        | E::BrokenPipe
        | E::UnexpectedEof
        | E::ConnectionAborted
        | E::NotConnected => Interruption::Closed,
        _ => Interruption::Io(error.to_string()),
    }
}

/// The user and password of a gateway, fetched anew for every session, so that a changed password
/// needs no restart.
async fn credentials(gateway: &Gateway) -> Result<Option<Credentials>, GatewayTrouble> {
    let (Some(user), Some(source)) = (gateway.user.clone(), gateway.password.clone()) else {
        return Ok(None);
    };
    let fetched =
        tokio::task::spawn_blocking(move || secret::fetch(&source, &Keeper::this_process())).await;
    let problem = match fetched {
        Ok(Ok(password)) => {
            let password = Secret::new(password.reveal().to_owned());
            return Ok(Some(Credentials { user, password }));
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(GatewayTrouble::new(
        TroubleKind::Refused5xx,
        format!("no password for gateway {}: {problem}", gateway.name),
    ))
}

/// What changes when a password is replaced: by it a refused one is told from a new one.
#[derive(PartialEq, Eq)]
pub(crate) struct PasswordStamp(Option<(SystemTime, u64)>);

/// The stamp of a gateway's password as it is now. One that comes from a command never changes.
pub(crate) fn password_stamp(gateway: &Gateway) -> PasswordStamp {
    let Some(PasswordSource::File(file)) = &gateway.password else {
        return PasswordStamp(None);
    };
    let status = std::fs::metadata(file).ok();
    PasswordStamp(status.and_then(|status| Some((status.modified().ok()?, status.len()))))
}
