//! What systemd expects of a service: sockets handed over (`sd_listen_fds(3)`) and states reported
//! (`sd_notify(3)`).
//!
//! Both protocols are a few lines each. Nothing here fails when the program was not started by
//! systemd.

use std::env;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::getpid;

/// The first descriptor that is handed over; the others follow it.
const FIRST: RawFd = 3;

/// More sockets than any unit of ours names.
const MOST: RawFd = 64;

/// Takes over the sockets that systemd opened for this service, each with the name that its unit
/// gives it (`FileDescriptorName=`; `unknown` where it gives none). Empty if there are none. Only
/// the first call returns them, since each descriptor can have but one owner.
#[must_use]
pub fn listen_fds() -> Vec<(String, OwnedFd)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let count = handed_over(
        env_text("LISTEN_PID"),
        env_text("LISTEN_FDS"),
        getpid().as_raw(),
    );
    if count == 0 || TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let names = env_text("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    (FIRST..FIRST + count)
        .filter_map(|fd| {
            let name = names
                .next()
                .filter(|name| !name.is_empty())
                .unwrap_or("unknown");
            take(fd).map(|fd| (name.to_owned(), fd))
        })
        .collect()
}

fn env_text(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn handed_over(pid: Option<String>, count: Option<String>, own_pid: i32) -> RawFd {
    let meant_for_us = pid.and_then(|pid| pid.parse().ok()) == Some(own_pid);
    let count = count
        .and_then(|count| count.parse::<RawFd>().ok())
        .unwrap_or(0);
    if meant_for_us {
        count.clamp(0, MOST)
    } else {
        0
    }
}

fn take(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: systemd passed this descriptor to this very process (LISTEN_PID) for it to own. It is
    // taken once (TAKEN), and nothing else here opens or owns descriptors by number. Should the
    // environment lie and the descriptor not be open, the next call fails and the number is given
    // up unclosed.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    if fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_err() {
        std::mem::forget(owned);
        return None;
    }
    Some(owned)
}

/// Tells systemd about the service, such as `READY=1` or `STATUS=…`; lines separated by LF. Does
/// nothing where systemd did not ask (`NOTIFY_SOCKET` is not set).
///
/// # Errors
/// The socket that systemd named could not be reached. Worth a log line, nothing more.
pub fn notify(state: &str) -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A stuck service manager must not stop the service.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_taken_only_if_they_are_for_this_process() {
        let count = |pid: &str, count: &str| handed_over(Some(pid.into()), Some(count.into()), 42);
        assert_eq!(count("42", "2"), 2);
        assert_eq!(count("41", "2"), 0);
        assert_eq!(count("42", "-1"), 0);
        assert_eq!(count("42", "1000000"), MOST);
        assert_eq!(count("", ""), 0);
        assert_eq!(handed_over(None, Some("1".into()), 42), 0);
    }

    #[test]
    fn nothing_is_said_where_nobody_listens() {
        // The test runner sets no NOTIFY_SOCKET.
        notify("READY=1").unwrap();
        assert!(listen_fds().is_empty());
    }
}
