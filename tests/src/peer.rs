//! One end of a connection that says what it is told, byte for byte, and hears what comes: over TCP, a Unix socket or TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::crypto::ring;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::certificate::Identity;

/// Nothing that is waited for takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than this is written by a thread of its own, since the other end may answer before it has read it all.
const AT_ONCE: usize = 32 * 1024;

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Served(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// One end.
pub struct Peer {
    stream: Stream,
    ahead: Vec<u8>,
    writers: Vec<JoinHandle<()>>,
}

/// A reply as it came, all of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub String);

impl Reply {
    /// Whether its code begins with one of the prefixes in `codes`, as in `250/5`.
    pub fn is(&self, codes: &str) -> bool {
        codes.split('/').any(|code| self.0.starts_with(code))
    }
}

impl Peer {
    /// Connects to a port that is open.
    pub fn tcp(address: impl Into<SocketAddr>) -> Self {
        Self::over(TcpStream::connect(address.into()).expect("the port is open"))
    }

    /// Takes over a connection.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self::new(Stream::Tcp(stream))
    }

    /// Connects to a socket of relayd's.
    pub fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the socket answers");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self::new(Stream::Unix(stream))
    }

    fn new(stream: Stream) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
            writers: Vec::new(),
        }
    }

    /// Writes these bytes. That the far end has gone is seen when it is read from.
    pub fn say(&mut self, bytes: &[u8]) {
        if let (Stream::Tcp(tcp), true) = (&self.stream, bytes.len() > AT_ONCE) {
            let (mut tcp, bytes) = (
                tcp.try_clone().expect("a descriptor is free"),
                bytes.to_vec(),
            );
            self.writers.push(std::thread::spawn(move || {
                let _ = tcp.write_all(&bytes);
            }));
            return;
        }
        let _ = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.write_all(bytes),
            Stream::Unix(unix) => unix.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            Stream::Served(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        };
    }

    /// The next line with its LF; `None` at the end of the connection, whatever was left before it.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.iter().position(|&b| b == b'\n') {
                let rest = self.ahead.split_off(at + 1);
                return Some(std::mem::replace(&mut self.ahead, rest));
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The next reply; `None` at the end of the connection.
    pub fn reply(&mut self) -> Option<Reply> {
        let mut text = String::new();
        loop {
            let line = self.line()?;
            text.push_str(&String::from_utf8_lossy(&line));
            if line.get(3) != Some(&b'-') {
                return Some(Reply(text));
            }
        }
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.ahead)
    }

    /// Bytes up to and with `end`; `None` if the connection ends before.
    pub fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|w| w == end) {
                let rest = self.ahead.split_off(at + end.len());
                return Some(std::mem::replace(&mut self.ahead, rest));
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Says that nothing more comes from this end.
    pub fn half_close(&mut self) {
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
        match &mut self.stream {
            Stream::Tls(tls) => {
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
            Stream::Served(tls) => {
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
            Stream::Tcp(_) | Stream::Unix(_) => {}
        }
        let _ = match &self.stream {
            Stream::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Stream::Unix(unix) => unix.shutdown(Shutdown::Write),
            Stream::Tls(tls) => tls.sock.shutdown(Shutdown::Write),
            Stream::Served(tls) => tls.sock.shutdown(Shutdown::Write),
        };
    }

    /// Cuts the connection with a RST.
    pub fn reset(self) {
        let now = linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(self.tcp_stream(), sockopt::Linger, &now).expect("a TCP socket");
    }

    /// Does the handshake as a client that trusts `authority`, for `name`. Replies that were read ahead are kept.
    pub fn start_tls(&mut self, authority: &str, name: &str) -> io::Result<()> {
        let mut tcp = self.tcp_stream().try_clone()?;
        let mut tls = client(authority, name)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(tls, tcp)));
        Ok(())
    }

    /// The same with a first flight whose TLS records hold one byte each.
    pub fn start_tls_in_crumbs(&mut self, authority: &str, name: &str) -> io::Result<()> {
        let mut tcp = self.tcp_stream().try_clone()?;
        let mut tls = client(authority, name)?;
        let mut flight = Vec::new();
        tls.write_tls(&mut flight)?;
        let (head, hello) = flight.split_at(5);
        for byte in hello {
            tcp.write_all(&[head[0], head[1], head[2], 0, 1, *byte])?;
        }
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(tls, tcp)));
        Ok(())
    }

    /// Does the handshake as the server that `identity` names.
    pub fn serve_tls(&mut self, identity: &Identity) -> io::Result<()> {
        let mut tcp = self.tcp_stream().try_clone()?;
        let (chain, key) = identity.for_rustls();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(io::Error::other)?;
        let mut tls = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        self.stream = Stream::Served(Box::new(StreamOwned::new(tls, tcp)));
        Ok(())
    }

    /// Whether TLS is up.
    pub fn is_secure(&self) -> bool {
        matches!(self.stream, Stream::Tls(_) | Stream::Served(_))
    }

    /// Silence of the far end is no fault: waits until it says something or goes away.
    pub fn wait_for_long(&mut self) {
        self.tcp_stream().set_read_timeout(None).expect("a socket");
        self.tcp_stream().set_write_timeout(None).expect("a socket");
    }

    /// Ends TLS with its close_notify and goes on in clear.
    pub fn leave_tls(&mut self) {
        let Stream::Tls(tls) = &mut self.stream else {
            panic!("TLS is not up");
        };
        tls.conn.send_close_notify();
        let _ = tls.flush();
        let tcp = tls.sock.try_clone().expect("a descriptor is free");
        self.stream = Stream::Tcp(tcp);
    }

    fn tcp_stream(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
            Stream::Served(tls) => &tls.sock,
            Stream::Unix(_) => panic!("not a TCP connection"),
        }
    }

    /// Reads something; false at the end. Panics where neither comes in time.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let read = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.read(&mut piece),
            Stream::Unix(unix) => unix.read(&mut piece),
            Stream::Tls(tls) => tls.read(&mut piece),
            Stream::Served(tls) => tls.read(&mut piece),
        };
        match read {
            Ok(count) => {
                self.ahead.extend_from_slice(&piece[..count]);
                count > 0
            }
            Err(error) => {
                let late = matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                );
                assert!(!late, "nothing came within {PATIENCE:?}");
                false
            }
        }
    }
}

fn client(authority: &str, name: &str) -> io::Result<ClientConnection> {
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(io::Error::other)?;
    roots.add(trusted).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)
}
