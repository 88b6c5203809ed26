//! The doors by which mail comes in: the submit socket and the ports of `[listen]`. All run the same
//! session, `smtp::server`; this file moves its bytes and answers its questions.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail::{StatusCode, Submitter};
use policy::log::{Client, Line, Login};
use policy::settings::Listen;
use policy::sysexits::ExitStatus;
use smtp::reply::Reply;
use smtp::sasl::Credentials;
use smtp::server::{AuthOffer, Event, Server, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::Failure;
use crate::accept::{self, AcceptError, Reception, Submission};
use crate::listen::{self, Port, TcpDoor};
use crate::relay::Relay;
use crate::running::Running;

/// Sessions that one door has at once; further clients wait to be accepted.
const SESSIONS: usize = 256;
/// How long a client on a port may be silent (Postfix's `smtpd_timeout`).
const PORT_SILENCE: Duration = Duration::from_secs(300);
/// The same on the submit socket, where mailers keep one `sendmail -bs` for as long as they live.
const SOCKET_SILENCE: Duration = Duration::from_secs(24 * 3600);
/// How long a client may take to take a reply.
const REPLY_WITHIN: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// What is read from a client at once.
const READ: usize = 64 * 1024;
/// How long to wait after the system refused to accept a connection, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Anything that a session can run over.
trait Pipe: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Pipe for T {}

/// The ports that are open, so that a reload can open and close some.
#[derive(Default)]
pub(crate) struct Ports(Mutex<HashMap<(Port, SocketAddr), AbortHandle>>);

impl Ports {
    /// Opens what `listen` names and is not open, then closes what it does not name. Sessions that
    /// are under way go on.
    ///
    /// # Errors
    /// A port cannot be had, as one below 1024 without root; then nothing has changed.
    pub(crate) fn change(&self, relay: &Arc<Relay>, listen: &Listen) -> Result<(), Failure> {
        let wanted: HashSet<_> = listen::addresses(listen).collect();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = wanted.iter().filter(|door| !open.contains_key(door));
        let fresh: Vec<TcpDoor> = missing
            .map(|(port, address)| listen::bind(*port, *address))
            .collect::<Result<_, _>>()?;
        for door in fresh {
            open.insert((door.port, door.address), start(relay, door)?);
        }
        open.retain(|door, accepting| {
            let kept = wanted.contains(door);
            if !kept {
                accepting.abort();
            }
            kept
        });
        Ok(())
    }
}

/// Starts accepting at all doors.
///
/// # Errors
/// A socket cannot be watched.
pub(crate) fn serve(
    relay: &Arc<Relay>,
    submit: std::os::unix::net::UnixListener,
    ports: Vec<TcpDoor>,
) -> Result<(), Failure> {
    let submit = UnixListener::from_std(submit).map_err(unwatched)?;
    tokio::spawn(accept_local(Arc::clone(relay), submit));
    let mut open = relay.ports.0.lock().unwrap_or_else(PoisonError::into_inner);
    for door in ports {
        open.insert((door.port, door.address), start(relay, door)?);
    }
    Ok(())
}

fn start(relay: &Arc<Relay>, door: TcpDoor) -> Result<AbortHandle, Failure> {
    let listener = TcpListener::from_std(door.listener).map_err(unwatched)?;
    Ok(tokio::spawn(accept_remote(Arc::clone(relay), listener, door.port)).abort_handle())
}

fn unwatched(error: io::Error) -> Failure {
    Failure::new(ExitStatus::OsError, format!("watching a socket: {error}"))
}

async fn accept_local(relay: Arc<Relay>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(SESSIONS));
    let mut stopping = relay.stopping.clone();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let relay = Arc::clone(&relay);
                tokio::spawn(async move {
                    local_session(&relay, stream).await;
                    drop(place);
                });
            }
            Err(error) => cannot_accept(&relay, &error).await,
        }
    }
}

async fn accept_remote(relay: Arc<Relay>, listener: TcpListener, port: Port) {
    let places = Arc::new(Semaphore::new(SESSIONS));
    let mut stopping = relay.stopping.clone();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let relay = Arc::clone(&relay);
                tokio::spawn(async move {
                    remote_session(&relay, stream, peer, port).await;
                    drop(place);
                });
            }
            Err(error) => cannot_accept(&relay, &error).await,
        }
    }
}

async fn cannot_accept(relay: &Relay, error: &io::Error) {
    relay.log.warn(&format!("accepting a connection: {error}"));
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn local_session(relay: &Arc<Relay>, stream: UnixStream) {
    let Ok(peer) = stream.peer_cred() else { return };
    let submitter = Submitter::Local {
        uid: peer.uid(),
        login: relay.login_of(peer.uid()).await,
    };
    let running = relay.running();
    let mut config = config(&running);
    config.chunking = true;
    let session = Session {
        relay,
        running,
        submitter,
        client: None,
        stream: Box::new(stream),
        silence: SOCKET_SILENCE,
    };
    session.run(Server::new(config)).await;
}

async fn remote_session(relay: &Arc<Relay>, stream: TcpStream, peer: SocketAddr, port: Port) {
    // A lost option costs speed only.
    let _ = stream.set_nodelay(true);
    let running = relay.running();
    let mut config = config(&running);
    if port == Port::Submission {
        config.starttls = true;
        config.auth = AuthOffer::AfterTls;
        config.auth_required = true;
    }
    let submitter = Submitter::Client {
        address: peer.ip().to_string(),
        user: None,
    };
    let client = Some(peer.ip());
    relay.log.write(&Line::Connected {
        client: log_client(peer.ip()),
    });
    let session = Session {
        relay,
        running,
        submitter,
        client,
        stream: Box::new(stream),
        silence: PORT_SILENCE,
    };
    session.run(Server::new(config)).await;
    relay.log.write(&Line::Disconnected {
        client: log_client(peer.ip()),
        counts: &[],
    });
}

fn config(running: &Running) -> ServerConfig {
    ServerConfig {
        size_limit: running.settings.message_size_limit,
        ..ServerConfig::new(&running.hostname)
    }
}

fn log_client(address: IpAddr) -> Client<'static> {
    Client {
        name: if address.is_loopback() {
            "localhost"
        } else {
            "unknown"
        },
        address,
    }
}

/// One client's session.
struct Session<'a> {
    relay: &'a Arc<Relay>,
    running: Arc<Running>,
    submitter: Submitter,
    /// Where a client on a port comes from.
    client: Option<IpAddr>,
    stream: Box<dyn Pipe>,
    silence: Duration,
}

impl Session<'_> {
    async fn run(mut self, mut server: Server) {
        if self.write(&server.greeting()).await.is_err() {
            return;
        }
        let mut reception = None;
        let mut buffer = vec![0; READ];
        loop {
            match server.next() {
                Event::NeedInput => self.read(&mut server, &mut buffer).await,
                Event::Reply(bytes) => {
                    if self.write(&bytes).await.is_err() {
                        server.disconnected();
                    }
                }
                Event::StartTls => match self.secure().await {
                    Some(secured) => {
                        self = secured;
                        server.tls_established();
                    }
                    None => return,
                },
                Event::Auth(credentials) => self.authenticate(&mut server, credentials).await,
                Event::Mail(_) | Event::Rcpt(_) => server.accept(),
                Event::ContentBegins(mut envelope) => {
                    accept::complete_envelope(&mut envelope, &self.running);
                    reception = Some(Reception::new(
                        self.relay,
                        self.submission(envelope, &server),
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
        let mut stopping = self.relay.stopping.clone();
        tokio::select! {
            read = timeout(self.silence, self.stream.read(buffer)) => match read {
                Ok(Ok(count @ 1..)) => server.received(&buffer[..count]),
                Ok(_) => server.disconnected(),
                Err(_) => {
                    if let Some(address) = self.client {
                        self.relay.log.write(&Line::TimedOut { after: "command", client: log_client(address) });
                    }
                    server.close_with(&farewell(&self.running, "you were silent for too long"));
                }
            },
            _ = stopping.wait_for(|stop| *stop) => server.close_with(&farewell(&self.running, "shutting down")),
        }
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

    async fn authenticate(&mut self, server: &mut Server, credentials: Credentials) {
        let running = Arc::clone(&self.running);
        let user = credentials.user.clone();
        // Hashing a password takes milliseconds of processor time.
        let checked = tokio::task::spawn_blocking(move || {
            let users = running.users.as_ref();
            users
                .is_some_and(|users| users.verify(&credentials.user, credentials.password.expose()))
        });
        let known = checked.await.unwrap_or(false);
        if known {
            if let Submitter::Client { user: name, .. } = &mut self.submitter {
                *name = Some(user);
            }
        } else if let Some(address) = self.client {
            let login = Login {
                mechanism: "PLAIN",
                user: &user,
            };
            self.relay.log.write(&Line::LoginFailed {
                client: log_client(address),
                login,
            });
        }
        server.auth_result(known);
    }

    fn submission(&self, envelope: mail::Envelope, server: &Server) -> Submission {
        let session = self.client.map(|_| {
            let hello = server.hello().unwrap_or("unknown").to_owned();
            (hello, protocol(server))
        });
        Submission {
            envelope,
            submitter: self.submitter.clone(),
            session,
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
        let (code, status) = match error {
            AcceptError::Spool(error) if error.is_full() => (452, StatusCode::new(4, 3, 1)),
            AcceptError::Spool(_) | AcceptError::Internal(_) => (451, StatusCode::new(4, 3, 0)),
            AcceptError::Header(_) => (552, StatusCode::new(5, 3, 4)),
            AcceptError::Loop => (554, StatusCode::new(5, 4, 6)),
        };
        let text = match error {
            AcceptError::Spool(error) if error.is_full() => "the queue's disk is full".to_owned(),
            AcceptError::Spool(_) | AcceptError::Internal(_) => {
                "the queue cannot be written to".to_owned()
            }
            AcceptError::Header(_) | AcceptError::Loop => error.to_string(),
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
