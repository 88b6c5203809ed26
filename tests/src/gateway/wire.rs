//! One connection, in clear or over TLS, read line by line through a buffer of its own.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificate::Identity;

/// Longest line taken, command or content: what keeps a broken client from filling memory.
const LINE_LIMIT: usize = 1 << 20;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// The byte stream with what has been read ahead.
pub(super) struct Wire {
    stream: Stream,
    ahead: Vec<u8>,
    /// Bytes received in clear since the caller last took them.
    clear: Vec<u8>,
}

impl Wire {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self {
            stream: Stream::Plain(stream),
            ahead: Vec::new(),
            clear: Vec::new(),
        }
    }

    /// Bytes have arrived that nobody asked for yet: the client pipelines.
    pub(super) fn has_more(&self) -> bool {
        !self.ahead.is_empty()
    }

    pub(super) fn encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// What came in clear since the last call.
    pub(super) fn take_clear(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.clear)
    }

    /// Speaks TLS from here on. What was read ahead in clear is dropped. An error is the client's refusal.
    pub(super) fn start_tls(&mut self, identity: &Identity) -> io::Result<()> {
        let Stream::Plain(tcp) = &self.stream else {
            return Err(io::Error::other("TLS is on already"));
        };
        let mut tcp = tcp.try_clone()?;
        let (chain, key) = identity.for_rustls();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(io::Error::other)?;
        let mut tls = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(tls, tcp)));
        self.ahead.clear();
        Ok(())
    }

    /// A line with its LF; none at the end of the stream.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.ahead[searched..].iter().position(|&b| b == b'\n') {
                let rest = self.ahead.split_off(searched + at + 1);
                return Ok(Some(std::mem::replace(&mut self.ahead, rest)));
            }
            searched = self.ahead.len();
            if searched > LINE_LIMIT {
                return Err(io::Error::other("line too long"));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Exactly `count` bytes; none if the stream ends before.
    pub(super) fn exactly(&mut self, count: usize) -> io::Result<Option<Vec<u8>>> {
        while self.ahead.len() < count {
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
        let rest = self.ahead.split_off(count);
        Ok(Some(std::mem::replace(&mut self.ahead, rest)))
    }

    /// Reads and forgets until the client closes.
    pub(super) fn drain(&mut self) {
        while matches!(self.fill(), Ok(n) if n > 0) {
            self.ahead.clear();
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16384];
        let count = match &mut self.stream {
            Stream::Plain(tcp) => {
                let count = tcp.read(&mut chunk)?;
                self.clear.extend_from_slice(&chunk[..count]);
                count
            }
            Stream::Tls(tls) => match tls.read(&mut chunk) {
                // Many clients close without close_notify; that is an end, not an error.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                other => other?,
            },
        };
        self.ahead.extend_from_slice(&chunk[..count]);
        Ok(count)
    }
}
