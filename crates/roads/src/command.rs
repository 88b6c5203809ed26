//! The road by a command: what the admin has written or installed for it.

use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Accepted, Letter, Outcome, Refusal};

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Runs `line` by `/bin/sh -c`, with the letter's text on its standard input.
pub(crate) fn run(letter: &Letter<'_>, line: &str) -> Outcome {
    within(letter, line, WITHIN)
}

fn within(letter: &Letter<'_>, line: &str, limit: Duration) -> Outcome {
    let mut child = Command::new("/bin/sh")
        .args(["-c", line])
        .env("ALARM_SUBJECT", letter.subject)
        .env("ALARM_HOST", letter.host)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| Refusal::temporary(format!("cannot start /bin/sh: {error}")))?;
    let input = child.stdin.take();
    let text = letter.text();
    // A command that does not read must not hold us up; the thread ends with the pipe.
    std::thread::spawn(move || {
        if let Some(mut input) = input {
            let _ = input.write_all(text.as_bytes());
        }
    });
    let deadline = Instant::now() + limit;
    let ended = wait(&mut child, deadline);
    if ended.is_err() {
        host::command::kill_group(&mut child);
    }
    ended.map(|()| Accepted::default())
}

fn wait(child: &mut Child, deadline: Instant) -> Result<(), Refusal> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(Refusal::temporary(format!("it failed ({status})"))),
            Ok(None) if Instant::now() >= deadline => {
                return Err(Refusal::temporary("it was not done in time and was killed"));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(Refusal::temporary(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, RefusalKind};
    use mail::Timestamp;

    fn try_it(line: &str, body: &[u8], limit: Duration) -> Outcome {
        let letter = Letter {
            subject: "a subject; $(x)",
            body,
            host: "h",
            at: Timestamp::from_secs(0),
            number: 0,
            event: Event::Alone,
        };
        within(&letter, line, limit)
    }

    #[test]
    fn a_command_gets_subject_and_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let line = format!("(echo \"$ALARM_SUBJECT\"; cat) > {}", file.display());
        let done = try_it(&line, b"some text\n", WITHIN);
        assert_eq!(done, Ok(Accepted::default()));
        let read = std::fs::read_to_string(file).unwrap();
        assert_eq!(read, "a subject; $(x)\nsome text\n");
    }

    #[test]
    fn one_that_fails_hangs_or_does_not_read_holds_nobody_up() {
        let failed = try_it("exit 3", b"x", WITHIN).unwrap_err();
        assert!(failed.text.contains("exit status: 3"), "{failed:?}");
        assert_eq!(failed.kind, RefusalKind::Temporary);
        let hung = try_it("sleep 600", &[b'x'; 1 << 20], Duration::from_millis(50));
        assert!(hung.unwrap_err().text.contains("killed"));
        assert!(try_it("exec 0<&-; true", &[b'x'; 1 << 20], WITHIN).is_ok());
    }
}
