//! Running a `password_command` within bounds of time and output.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zeroize::Zeroizing;

use crate::command::kill_group;

/// Runs `line` by `/bin/sh -c` with an empty stdin and returns what it writes to stdout, at most
/// `longest` bytes. Its stderr is that of this process, so that the admin sees what it complains
/// about.
///
/// # Errors
/// It could not be started, failed, wrote too much, or was not done after `timeout`; then it is
/// killed with everything that it started.
pub(super) fn first_output(
    line: &str,
    timeout: Duration,
    longest: u64,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let deadline = Instant::now() + timeout;
    let mut child = Command::new("/bin/sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start /bin/sh: {error}"))?;
    let output = read_until_end(child.stdout.take(), deadline, longest);
    let finished = output.and_then(|output| wait(&mut child, deadline).map(|()| output));
    if finished.is_err() {
        kill_group(&mut child);
    }
    finished.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => format!("not done after {} seconds", timeout.as_secs()),
        _ => error.to_string(),
    })
}

fn read_until_end(
    pipe: Option<ChildStdout>,
    deadline: Instant,
    longest: u64,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut pipe = pipe.ok_or_else(|| io::Error::other("it has no stdout"))?;
    // Room for everything at once: a buffer that grew would leave copies of the password behind.
    let mut output = Zeroizing::new(Vec::with_capacity(
        usize::try_from(longest).unwrap_or(0) + 512,
    ));
    let mut piece = Zeroizing::new([0; 512]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let ready = poll(
            &mut [PollFd::new(
                std::os::fd::AsFd::as_fd(&pipe),
                PollFlags::POLLIN,
            )],
            timeout,
        )?;
        if ready == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let count = pipe.read(&mut *piece)?;
        if count == 0 {
            return Ok(output);
        }
        output.extend_from_slice(&piece[..count]);
        if output.len() as u64 > longest {
            return Err(io::Error::other(format!(
                "it wrote more than {longest} bytes"
            )));
        }
    }
}

/// Waits for a child that has closed its stdout, which is nearly always its last act.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<()> {
    loop {
        if let Some(status) = child.try_wait()? {
            return if status.success() {
                Ok(())
            } else {
                Err(io::Error::other(format!("it failed ({status})")))
            };
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<String, String> {
        let output = first_output(line, Duration::from_secs(20), 100)?;
        Ok(String::from_utf8(output.to_vec()).unwrap())
    }

    #[test]
    fn the_output_of_a_command_is_returned() {
        assert_eq!(
            run("printf 'pass word\\nmore\\n'").unwrap(),
            "pass word\nmore\n"
        );
    }

    #[test]
    fn a_failing_or_talkative_command_is_an_error() {
        assert!(
            run("echo x; exit 3")
                .unwrap_err()
                .contains("exit status: 3")
        );
        assert!(run("yes").unwrap_err().contains("more than 100 bytes"));
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let started = Instant::now();
        let hung = first_output("echo x; sleep 600", Duration::from_millis(50), 100);
        assert_eq!(hung.unwrap_err(), "not done after 0 seconds");
        assert!(started.elapsed() < Duration::from_secs(300));
    }
}
