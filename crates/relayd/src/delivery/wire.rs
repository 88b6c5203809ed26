//! The connection of one session with the gateway: does what `smtp::client` says, byte by byte,
//! each step within its time, until there is something to decide.

use std::io;
use std::time::Duration;

use policy::log::{Line, Server};
use policy::schedule::{CONNECT_TIMEOUT, GatewayTrouble, TroubleKind};
use policy::settings::{Gateway, Tls};
use smtp::Stage;
use smtp::capabilities::Capabilities;
use smtp::client::{
    Client, ClientConfig, Fault, Interruption, Step, TlsMode, Transaction, TransactionReport,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::relay::Relay;
use crate::target::Target;
use crate::{connect, password, tls};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(60);
/// How long one block of content may take to be taken (RFC 5321 section 4.5.3.2.5).
const BLOCK: Duration = Duration::from_secs(180);
/// How long to wait for the answer to QUIT. It decides about nothing, and the session counts against
/// the gateway's limit until it is over.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long to listen for a reply after the connection broke under the content: a server that
/// refuses a large message often says why and hangs up.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where driving stopped.
pub(super) enum Stop {
    /// Between transactions.
    Idle,
    /// The server waits for content.
    Content,
    /// A transaction is over.
    Report(TransactionReport),
    /// The session is over.
    Closed(Option<Fault>),
}

enum Stream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
    Gone,
}

/// One connection with its dialogue.
pub(super) struct Wire {
    pub(super) server: Server,
    target: Target,
    stream: Stream,
    client: Client,
    deadline: Deadline,
}

/// What is waited for, and when it must be here: a whole reply, however its bytes and lines drip.
#[derive(Default)]
struct Deadline(Option<((Stage, u64), Instant)>);

impl Deadline {
    /// When the reply of this stage must be here, if so many came before it. The time that an
    /// earlier one had left is not this one's (RFC 5321 section 4.5.3.2).
    fn of(&mut self, stage: Stage, replies: u64) -> Instant {
        match self.0 {
            Some((known, deadline)) if known == (stage, replies) => deadline,
            _ => {
                let deadline = Instant::now() + stage.timeout();
                self.0 = Some(((stage, replies), deadline));
                deadline
            }
        }
    }

    /// The next reply has its time from when it is waited for.
    fn renew(&mut self) {
        self.0 = None;
    }
}

impl Wire {
    /// Connects, secures and authenticates.
    ///
    /// # Errors
    /// What is wrong with the gateway.
    pub(super) async fn open(relay: &Relay, target: &Target) -> Result<Self, GatewayTrouble> {
        let gateway = target.gateway();
        let auth = password::credentials(gateway).await?;
        let (socket, server) = connect(relay, gateway).await?;
        let mode = match gateway.tls {
            Tls::StartTls => TlsMode::StartTls,
            Tls::Implicit => TlsMode::Implicit,
            Tls::None => TlsMode::None,
        };
        let config = ClientConfig {
            auth,
            nonce: tls::nonce().unwrap_or_default(),
            ..ClientConfig::new(target.helo_name(), mode)
        };
        let mut wire = Self {
            server,
            target: target.clone(),
            stream: Stream::Plain(socket),
            client: Client::new(config),
            deadline: Deadline::default(),
        };
        match wire.drive().await {
            Stop::Idle => Ok(wire),
            Stop::Closed(Some(fault)) => Err(target.judge().of_fault(&wire.server, &fault).trouble),
            Stop::Closed(None) | Stop::Content | Stop::Report(_) => {
                let reason = format!("host {} ended the session at once", wire.server.name());
                Err(GatewayTrouble::new(TroubleKind::Unreachable, reason))
            }
        }
    }

    /// What the gateway offers.
    pub(super) const fn capabilities(&self) -> &Capabilities {
        self.client.capabilities()
    }

    /// Starts a transaction; the session is idle.
    pub(super) fn begin(&mut self, transaction: Transaction) {
        self.client.begin(transaction);
    }

    /// Says goodbye and waits a little for the answer.
    pub(super) async fn quit(&mut self) {
        self.client.quit();
        let _ = timeout(GOODBYE, self.drive()).await;
    }

    /// Ends when the server says something or hangs up while nothing is asked of it.
    pub(super) async fn overhear(&mut self) {
        let mut bytes = [0; 512];
        let _ = self.read(&mut bytes).await;
    }

    /// Moves bytes as the client says until there is something to decide.
    pub(super) async fn drive(&mut self) -> Stop {
        loop {
            match self.client.next() {
                Step::Send(bytes) => {
                    self.deadline.renew();
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

    /// Sends a piece of content; false if the connection broke, which the client then knows.
    pub(super) async fn send_content(&mut self, bytes: &[u8]) -> bool {
        match self.write(bytes, BLOCK).await {
            Ok(()) => true,
            Err(how) => {
                self.last_words().await;
                self.client.failed(how);
                false
            }
        }
    }

    /// Sends the last piece with the terminator. From here on a broken connection leaves it unknown
    /// whether the message arrived (I4).
    pub(super) async fn send_last(&mut self, bytes: &[u8]) {
        self.client.content_sent();
        self.send_content(bytes).await;
        self.deadline.renew();
    }

    /// Hears what the server said before it hung up.
    async fn last_words(&mut self) {
        let mut buffer = [0; 4096];
        if let Ok(Ok(count)) = timeout(LAST_WORDS, self.read(&mut buffer)).await {
            self.client.received(&buffer[..count]);
        }
    }

    async fn receive(&mut self, stage: Stage) {
        let deadline = self.deadline.of(stage, self.client.replies());
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
            let how = Interruption::Protocol("TLS within TLS".to_owned());
            return self.client.failed(how);
        };
        let name = tls::server_name(&self.target.gateway().tls_name);
        let (connector, name) = match (self.target.connector(), name) {
            (Some(connector), Ok(name)) => (connector, name),
            (None, _) => {
                let how = Interruption::Tls("TLS is not set up".to_owned());
                return self.client.failed(how);
            }
            (_, Err(problem)) => return self.client.failed(Interruption::Tls(problem)),
        };
        match timeout(HANDSHAKE, connector.connect(name, socket)).await {
            Ok(Ok(stream)) => {
                if let Some(binding) = tls::binding(&stream) {
                    self.client.bind(binding);
                }
                self.stream = Stream::Secure(Box::new(stream));
                self.client.tls_established();
            }
            Ok(Err(error)) => {
                let how = Interruption::Tls(tls::failure_words(&error));
                self.client.failed(how);
            }
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
    let connecting = connect::connect(&gateway.host, gateway.port);
    match timeout(CONNECT_TIMEOUT, connecting).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_final_dot_has_its_own_ten_minutes() {
        let mut deadline = Deadline::default();
        let begun = Instant::now();
        let data = deadline.of(Stage::Data, 7);
        assert_eq!(deadline.of(Stage::Data, 7), data);
        // Content that took its time leaves the answer to it all of its own.
        let end = deadline.of(Stage::EndOfData, 8);
        assert!(end >= begun + Duration::from_secs(600) && end > data);
        deadline.renew();
        assert!(deadline.of(Stage::EndOfData, 8) >= end);
    }

    #[tokio::test]
    async fn each_reply_has_its_time_and_not_each_line() {
        let mut deadline = Deadline::default();
        let first = deadline.of(Stage::Rcpt, 1);
        assert_eq!(deadline.of(Stage::Rcpt, 1), first);
        assert!(deadline.of(Stage::Rcpt, 2) > first);
    }
}
