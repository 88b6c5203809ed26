//! A gateway without a mind of its own: on each connection it plays the lines of one case, byte for byte, and keeps what
//! it hears. For gateways that misbehave as no SMTP server would; [`crate::gateway`] is one that would.

use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::case::{self, Step};
use crate::certificate::Identity;
use crate::peer::Peer;

/// What was heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Connections so far.
    pub connections: usize,
    /// Connections whose lines were played to the end.
    pub played: usize,
    /// Where the client said other than the case awaits.
    pub astray: Vec<String>,
    /// All that was said in clear.
    pub clear: Vec<u8>,
    /// All that was said, in clear and within TLS.
    pub all: Vec<u8>,
    /// Handshakes that were not completed.
    pub failed_handshakes: usize,
}

impl Heard {
    /// Whether `text` was said.
    pub fn has(&self, text: &[u8]) -> bool {
        self.all.windows(text.len()).any(|w| w == text)
    }
}

/// The gateway. Dropping it closes everything.
pub struct Puppet {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    steps: Vec<Step>,
    identity: Identity,
    heard: Mutex<Heard>,
    open: Mutex<Vec<TcpStream>>,
    closing: AtomicBool,
}

impl Puppet {
    /// Plays `steps` with `identity` for TLS.
    pub fn start(steps: Vec<Step>, identity: Identity) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = socket
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let shared = Arc::new(Shared {
            steps,
            identity,
            heard: Mutex::default(),
            open: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        let owner = Arc::clone(&shared);
        let listener = std::thread::spawn(move || owner.listen(&socket));
        Self {
            port,
            shared,
            listener: Some(listener),
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What was heard so far.
    pub fn heard(&self) -> Heard {
        self.shared.heard().clone()
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let open = self.shared.open.lock();
        for stream in open.unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn listen(self: Arc<Self>, socket: &TcpListener) {
        for stream in socket.incoming().flatten() {
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            if let Ok(handle) = stream.try_clone() {
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.push(handle);
            }
            self.heard().connections += 1;
            let shared = Arc::clone(&self);
            std::thread::spawn(move || shared.play(stream));
        }
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The case, and then the end: this side has nothing more to say, and hears the client out.
    fn play(&self, stream: TcpStream) {
        let cut = stream.try_clone();
        let mut peer = Peer::over(stream);
        peer.wait_for_long();
        for step in &self.steps {
            match self.step(&mut peer, step) {
                Ok(true) => {}
                Ok(false) => {
                    self.heard().played += 1;
                    // Handles are kept of it, so dropping it would close nothing.
                    let _ = cut.map(|stream| stream.shutdown(Shutdown::Both));
                    return;
                }
                Err(astray) => {
                    self.heard().astray.push(astray);
                    return self.hear_out(&mut peer);
                }
            }
        }
        self.heard().played += 1;
        self.hear_out(&mut peer);
    }

    fn hear_out(&self, peer: &mut Peer) {
        peer.half_close();
        let rest = peer.rest();
        self.note(&rest, peer.is_secure());
    }

    /// False: this end closes the connection now.
    fn step(&self, peer: &mut Peer, step: &Step) -> Result<bool, String> {
        match step {
            Step::Server(text) => peer.say(&case::bytes(text)),
            Step::Client(wanted) => {
                let wanted = wanted.trim_end_matches("\\r\\n");
                let line = peer
                    .line()
                    .ok_or_else(|| format!("wanted {wanted}, but it hung up"))?;
                self.note(&line, peer.is_secure());
                if !line.starts_with(wanted.as_bytes()) {
                    return Err(format!("wanted {wanted}, heard {}", line.escape_ascii()));
                }
            }
            Step::Act(act) => match act.as_str() {
                "tls" => {
                    if let Err(error) = peer.serve_tls(&self.identity) {
                        self.heard().failed_handshakes += 1;
                        return Err(format!("no handshake: {error}"));
                    }
                }
                "content" => {
                    let content = peer.until(b"\r\n.\r\n").ok_or("no end of content came")?;
                    self.note(&content, peer.is_secure());
                }
                "close" => return Ok(false),
                // Silence, until the client has had enough.
                "hold" => {
                    let rest = peer.rest();
                    self.note(&rest, peer.is_secure());
                }
                other => panic!("@{other} is not known"),
            },
        }
        Ok(true)
    }

    fn note(&self, bytes: &[u8], secure: bool) {
        let mut heard = self.heard();
        heard.all.extend_from_slice(bytes);
        if !secure {
            heard.clear.extend_from_slice(bytes);
        }
    }
}
