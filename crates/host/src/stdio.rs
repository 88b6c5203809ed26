//! The standard descriptors and the signals that would end a program in mid-sentence.
//!
//! GNU mailutils runs sendmail with descriptors closed. Rust's start-up code then puts `/dev/null`
//! in their place, and its `Stdin` reports a descriptor that cannot be read as an end of file: a
//! closed stdin would look like an empty message. So this module looks before that code runs, and
//! reads descriptor 0 itself.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};

/// Whether descriptor 0 was closed when the program was started.
static STDIN_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

// SAFETY: the section holds pointers to functions that the C runtime calls once, before `main`,
// with arguments that an `extern "C" fn()` may ignore. `note_closed_stdin` calls nothing but fcntl
// and touches nothing but an atomic, so it does not depend on anything being set up.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = note_closed_stdin;

extern "C" fn note_closed_stdin() {
    // SAFETY: F_GETFD takes no pointer, and asking about a descriptor that is not open is what it
    // is for: it answers EBADF.
    let closed = unsafe { libc::fcntl(0, libc::F_GETFD) } == -1;
    STDIN_WAS_CLOSED.store(closed, Ordering::Relaxed);
}

/// Descriptor 0, read directly: errors are errors, and a descriptor in non-blocking mode is waited
/// for.
#[derive(Debug)]
pub struct Stdin(());

impl Stdin {
    /// The standard input of the program.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it was closed when the program was started.
    pub fn open() -> io::Result<Self> {
        if STDIN_WAS_CLOSED.load(Ordering::Relaxed) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "standard input is closed",
            ));
        }
        Ok(Self(()))
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match nix::unistd::read(self.as_fd(), buffer) {
                Ok(count) => return Ok(count),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => wait_for_input(self)?,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: descriptor 0 is open for the whole life of the process: Rust's start-up code
        // opens /dev/null where the caller left it closed, and nothing here ever closes it.
        unsafe { BorrowedFd::borrow_raw(0) }
    }
}

fn wait_for_input(stdin: &Stdin) -> io::Result<()> {
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a write beyond the file size limit and a write to a closed pipe fail with an error value
/// (`EFBIG`, `EPIPE`) instead of killing the process.
pub fn ignore_write_signals() {
    for which in [Signal::SIGXFSZ, Signal::SIGPIPE] {
        // SAFETY: SIG_IGN installs no handler, so no code of ours runs in signal context. It fails
        // only for signals that cannot be ignored, and these two can.
        let _ = unsafe { signal(which, SigHandler::SigIgn) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stdin_of_the_test_runner_is_seen_as_open() {
        // That a closed one is seen is shown with the real program, in the tests of `shims`.
        assert!(Stdin::open().is_ok());
    }
}
