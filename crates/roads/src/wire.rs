//! A connection that lettre speaks on. It belongs to us: TLS is begun between two of lettre's
//! sessions, so that nothing which came in plain text is read as if it had been encrypted, which
//! lettre's own STARTTLS allows (its buffer outlives the switch; RFC 3207 section 6, I8).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Listener;
use crate::transcript::Transcript;

/// What lettre gets: reads and writes go through and are written down. The stream can be taken
/// back from [`Handle`] when lettre has dropped this.
pub(crate) struct Wire<S> {
    stream: Arc<Mutex<S>>,
    transcript: Transcript,
    /// Read before anything of the server's.
    first: &'static [u8],
    peer: SocketAddr,
}

/// The way back to the stream.
pub(crate) struct Handle<S>(Arc<Mutex<S>>);

/// After STARTTLS a server does not greet again, but lettre waits for a greeting.
pub(crate) const GREETED: &[u8] = b"220 -\r\n";

impl<S> Wire<S> {
    pub(crate) fn new(
        stream: S,
        peer: SocketAddr,
        first: &'static [u8],
        listener: Option<&Listener>,
    ) -> (Self, Handle<S>) {
        let stream = Arc::new(Mutex::new(stream));
        let handle = Handle(Arc::clone(&stream));
        let transcript = Transcript::new(listener);
        let wire = Self {
            stream,
            transcript,
            first,
            peer,
        };
        (wire, handle)
    }

    fn lock(&self) -> MutexGuard<'_, S> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Handle<S> {
    /// The stream, if nobody uses it any more.
    pub(crate) fn take(self) -> Option<S> {
        let stream = Arc::into_inner(self.0)?;
        Some(stream.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            let (now, later) = self.first.split_at(count);
            buffer.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let ready = Pin::new(&mut *self.lock()).poll_read(context, buffer);
        self.transcript.server(&buffer.filled()[before..]);
        ready
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.lock()).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.transcript.client(&bytes[..*count]);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(context)
    }
}

impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.peer)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AsyncTokioStream for Wire<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
