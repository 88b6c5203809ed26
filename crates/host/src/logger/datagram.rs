//! The way to the system's logger: a datagram socket that finds its way back, and waits for nobody
//! unless it is told to.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest datagram: the receivers' own limit on a line is 8 KiB (rsyslog) or more.
const LONGEST: usize = 8_000;

/// A backend for the `syslog` crate, whose own neither reconnects after the logger was restarted nor
/// goes on when the logger does not read.
pub(super) struct Datagram {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    /// How long to wait for a logger that does not keep up; `None` is not at all.
    patience: Option<Duration>,
    line: String,
}

impl Datagram {
    /// A way to the logger that listens at `path`. It is not looked for before the first line.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            socket: None,
            patience: None,
            line: String::new(),
        }
    }

    /// From now on a line waits so long for a logger that does not keep up.
    pub(super) fn wait_up_to(&mut self, patience: Duration) {
        (self.patience, self.socket) = (Some(patience), None);
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(bytes) {
                Ok(_) => return Ok(()),
                // The logger is there and does not keep up. It had its time.
                Err(error) if is_congestion(&error) => return Err(error),
                Err(_) => self.socket = None,
            }
        }
        let socket = UnixDatagram::unbound()?;
        match self.patience {
            None => socket.set_nonblocking(true)?,
            patience => socket.set_write_timeout(patience)?,
        }
        socket.connect(&self.path)?;
        let sent = socket.send(bytes);
        self.socket = Some(socket);
        sent.map(drop)
    }
}

/// Full queue at the receiver: EAGAIN, or ENOBUFS for the whole system.
fn is_congestion(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

impl Write for Datagram {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(&bytes[..bytes.len().min(LONGEST)])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// One line, one datagram. What `Write` does by default sends each piece on its own.
    fn write_fmt(&mut self, pieces: Arguments<'_>) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        std::fmt::Write::write_fmt(&mut line, pieces).map_err(io::Error::other)?;
        line.truncate(line.floor_char_boundary(LONGEST));
        let sent = self.send(line.as_bytes());
        self.line = line;
        sent
    }
}
