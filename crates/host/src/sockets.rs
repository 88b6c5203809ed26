//! Sockets: TCP ports and Unix sockets to listen at, Unix sockets to connect to within a time and to
//! pass a dialogue through.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{Ipv6V6Only, ReceiveTimeout, ReuseAddr, SendTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, setsockopt, socket,
};
use nix::sys::time::TimeVal;

/// Listens at a TCP port, with as long a queue of clients as the system has. An IPv6 address takes
/// IPv6 clients alone, so that `[::]:25` stands beside `0.0.0.0:25`, as with Postfix.
///
/// # Errors
/// What the system said, such as [`io::ErrorKind::AddrInUse`].
pub fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let port = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Connections of an earlier relayd that are not quite gone do not hold the port.
    setsockopt(&port, ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&port, Ipv6V6Only, &true)?;
    }
    nix::sys::socket::bind(port.as_raw_fd(), &SockaddrStorage::from(address))?;
    nix::sys::socket::listen(&port, Backlog::MAXCONN)?;
    Ok(TcpListener::from(port))
}

/// Listens at `path` with the permissions `mode`. A socket that a killed process left behind is
/// replaced.
///
/// The caller must hold the lock that makes it the only daemon: between looking at a left-over
/// socket and removing it, another daemon could otherwise have put its own there.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] if something answers there or if what is there is not a socket;
/// else what the system said.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(status) => status.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() || UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    fs::remove_file(path)
}

/// Connects to the stream socket at `path`. Connecting, each write and each read may take
/// `timeout`; the last two can be changed on the stream.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if the listener's queue stayed full all the time; else what the
/// system said, such as `NotFound` or `ConnectionRefused`.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let patience = TimeVal::new(i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX), 0);
    // A connect to a Unix socket waits for room in the listener's queue, for as long as a send may.
    setsockopt(&socket, SendTimeout, &patience)?;
    setsockopt(&socket, ReceiveTimeout, &patience)?;
    let address = UnixAddr::new(path)?;
    loop {
        match nix::sys::socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => return Ok(UnixStream::from(socket)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// How many bytes are passed on at a time.
const PIECE: usize = 16 * 1024;

/// Passes `input` on to `peer` and what `peer` says on to `output`, until `peer` ends. The end of
/// `input` is passed on too; after it, what `peer` still says is. Tells whether `input` had ended
/// when `peer` did.
///
/// # Errors
/// Reading or writing failed. A `peer` or `output` that does not take any more is such a failure.
pub fn pass_through<I: Read + AsFd, O: Write>(
    input: &mut I,
    output: &mut O,
    peer: &UnixStream,
) -> io::Result<bool> {
    let mut peer_stream = peer;
    let mut pending = Vec::new();
    let mut input_open = true;
    let mut piece = vec![0; PIECE];
    peer.set_nonblocking(true)?;
    loop {
        let (from_input, from_peer) = wait(
            input,
            peer,
            input_open && pending.is_empty(),
            !pending.is_empty(),
        )?;
        if from_peer {
            match peer_stream.read(&mut piece) {
                Ok(0) => return Ok(!input_open),
                Ok(count) => {
                    output.write_all(&piece[..count])?;
                    output.flush()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if from_input {
            let count = input.read(&mut piece)?;
            pending.extend_from_slice(&piece[..count]);
            if count == 0 {
                input_open = false;
                peer.shutdown(std::net::Shutdown::Write)?;
            }
        }
        send_some(peer_stream, &mut pending)?;
    }
}

/// Waits until something can be done. Tells whether there is input, and whether the peer spoke or
/// ended. Input is not looked at while earlier input is still pending.
fn wait(
    input: &impl AsFd,
    peer: &UnixStream,
    want_input: bool,
    want_room: bool,
) -> io::Result<(bool, bool)> {
    let wanted = if want_room {
        PollFlags::POLLIN | PollFlags::POLLOUT
    } else {
        PollFlags::POLLIN
    };
    let mut fds = vec![PollFd::new(peer.as_fd(), wanted)];
    if want_input {
        fds.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
    }
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let events = |fd: Option<&PollFd>| fd.and_then(PollFd::revents).unwrap_or(PollFlags::empty());
    let from_peer = events(fds.first()).intersects(!PollFlags::POLLOUT);
    Ok((!events(fds.get(1)).is_empty(), from_peer))
}

fn send_some(mut peer: &UnixStream, pending: &mut Vec<u8>) -> io::Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    match peer.write(pending) {
        Ok(count) => {
            pending.drain(..count);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_and_ipv6_share_a_port() {
        let six = listen_tcp("[::]:0".parse().unwrap()).unwrap();
        let port = six.local_addr().unwrap().port();
        let four = listen_tcp(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        for (listener, loopback) in [(&six, "[::1]"), (&four, "127.0.0.1")] {
            let to: SocketAddr = format!("{loopback}:{port}").parse().unwrap();
            let client = std::net::TcpStream::connect(to).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
        let taken = listen_tcp(SocketAddr::from(([0, 0, 0, 0], port))).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_left_over_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("submit.sock");
        let live = listen(&path, 0o666).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o666
        );
        assert_eq!(
            listen(&path, 0o666).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(live);
        listen(&path, 0o600).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_socket_that_nobody_listens_at_is_told_from_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("submit.sock");
        let patience = Duration::from_secs(5);
        let kind = |path: &Path| connect(path, patience).unwrap_err().kind();
        assert_eq!(kind(&path), io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(kind(&path), io::ErrorKind::ConnectionRefused);
        let _live = UnixListener::bind(folder.path().join("live")).unwrap();
        assert!(connect(&folder.path().join("live"), patience).is_ok());
        assert!(connect(Path::new(&"x".repeat(200)), patience).is_err());
    }

    #[test]
    fn a_dialogue_passes_in_both_directions_and_ends_with_the_peer() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut input, mut writer) = UnixStream::pair().unwrap();
        let large = vec![b'x'; 1_000_000];
        let sent = large.clone();
        let client = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            drop(writer);
        });
        let server = std::thread::spawn(move || {
            let mut far = far;
            far.write_all(b"220 hello\r\n").unwrap();
            let mut received = Vec::new();
            far.read_to_end(&mut received).unwrap();
            far.write_all(b"221 bye\r\n").unwrap();
            received
        });
        let mut output = Vec::new();
        assert!(pass_through(&mut input, &mut output, &near).unwrap());
        assert_eq!(output, b"220 hello\r\n221 bye\r\n");
        assert_eq!(server.join().unwrap().len(), large.len());
        client.join().unwrap();
    }

    #[test]
    fn a_file_of_another_kind_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("submit.sock");
        fs::write(&path, "mine").unwrap();
        assert_eq!(
            listen(&path, 0o666).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
