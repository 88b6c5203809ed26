//! The client's side of relayd's control socket. The language is `policy::control`'s.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use policy::control::{Answer, Class, End, Request};

use crate::sockets;

/// The name of the socket in the folder of sockets.
pub const SOCKET: &str = "control.sock";

/// How long relayd may take for each step of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest line of an answer: a message with 10,000 recipients, each with address and reason.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// Why a request was not answered.
#[derive(Debug)]
pub enum ControlError {
    /// Nobody listens at the socket: relayd is down.
    Down {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The socket is there and may not be connected to.
    NotPermitted {
        /// The socket.
        socket: PathBuf,
    },
    /// relayd refused.
    Refused {
        /// In what way.
        class: Class,
        /// Its words.
        text: String,
    },
    /// The session broke, the answer was cut short, or it makes no sense.
    Broken(String),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { socket, error } => write!(f, "connect to {}: {error}", socket.display()),
            Self::NotPermitted { socket } => {
                write!(f, "connect to {}: Permission denied", socket.display())
            }
            Self::Refused { text, .. } => f.write_str(text),
            Self::Broken(why) => write!(f, "relayd's answer cannot be used: {why}"),
        }
    }
}

impl std::error::Error for ControlError {}

/// The lines of an answer between its first and its last.
#[derive(Debug)]
pub struct Lines {
    stream: BufReader<UnixStream>,
    count: u64,
    finished: bool,
}

/// Asks for something whose answer is one line, at the socket in the folder `run`.
///
/// # Errors
/// See [`ControlError`]. After `Broken` the request may have been carried out.
pub fn command(run: &Path, request: &Request) -> Result<(), ControlError> {
    ask(run, request).map(drop)
}

/// Asks for something whose answer has many lines, at the socket in the folder `run`.
///
/// # Errors
/// See [`ControlError`].
pub fn query(run: &Path, request: &Request) -> Result<Lines, ControlError> {
    ask(run, request).map(|stream| Lines {
        stream,
        count: 0,
        finished: false,
    })
}

fn ask(run: &Path, request: &Request) -> Result<BufReader<UnixStream>, ControlError> {
    let socket = run.join(SOCKET);
    let mut stream = match sockets::connect(&socket, PATIENCE) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(ControlError::NotPermitted { socket });
        }
        Err(error) => return Err(ControlError::Down { socket, error }),
    };
    stream
        .write_all(format!("{request}\n").as_bytes())
        .map_err(|error| broken(&error))?;
    let mut stream = BufReader::new(stream);
    let line = read_line(&mut stream)?;
    match Answer::parse(&line).map_err(|error| ControlError::Broken(error.to_string()))? {
        Answer::Ok => Ok(stream),
        Answer::Err { class, text } => Err(ControlError::Refused { class, text }),
    }
}

impl Lines {
    /// The next line, without its LF; `None` after the last. That the answer is whole is known only
    /// then: `END` and the count of lines have been checked.
    ///
    /// # Errors
    /// [`ControlError::Broken`]. Nothing more can be read after it.
    pub fn next_line(&mut self) -> Result<Option<String>, ControlError> {
        if self.finished {
            return Ok(None);
        }
        let line = read_line(&mut self.stream)?;
        let Some(End { count }) = End::parse(&line) else {
            self.count += 1;
            return Ok(Some(line));
        };
        if count != self.count {
            let text = format!("{count} lines were announced and {} came", self.count);
            return Err(ControlError::Broken(text));
        }
        self.finished = true;
        Ok(None)
    }
}

fn read_line(stream: &mut BufReader<UnixStream>) -> Result<String, ControlError> {
    let mut line = Vec::new();
    stream
        .by_ref()
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut line)
        .map_err(|error| broken(&error))?;
    if line.pop() != Some(b'\n') {
        return Err(ControlError::Broken("it was cut short".to_owned()));
    }
    String::from_utf8(line).map_err(|_| ControlError::Broken("it is not text".to_owned()))
}

fn broken(error: &io::Error) -> ControlError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            ControlError::Broken("it does not come".to_owned())
        }
        _ => ControlError::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// Runs one request against a server that answers it with `answer`; returns the request line.
    fn against<T>(answer: &'static str, ask: impl FnOnce(&Path) -> T) -> (T, String) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            line
        });
        let result = ask(folder.path());
        (result, server.join().unwrap())
    }

    fn all_lines(run: &Path) -> Result<Vec<String>, ControlError> {
        let mut lines = query(run, &Request::List)?;
        let mut all = Vec::new();
        while let Some(line) = lines.next_line()? {
            all.push(line);
        }
        Ok(all)
    }

    #[test]
    fn a_command_is_one_line_each_way() {
        let (result, line) = against("OK\n", |run| command(run, &Request::Flush));
        result.unwrap();
        assert_eq!(line, "FLUSH\n");
        let (result, _) = against("ERR denied no\n", |run| command(run, &Request::Flush));
        assert_eq!(result.unwrap_err().to_string(), "no");
    }

    #[test]
    fn a_query_is_read_up_to_its_end() {
        let (lines, _) = against("OK\na\nb\nEND 2\n", all_lines);
        assert_eq!(lines.unwrap(), ["a", "b"]);
        let (lines, _) = against("OK\nEND 0\n", all_lines);
        assert!(lines.unwrap().is_empty());
    }

    #[test]
    fn a_query_that_was_cut_short_is_noticed() {
        for answer in [
            "",
            "OK",
            "OK\n",
            "OK\na\n",
            "OK\na\nEND 2\n",
            "OK\na\nEND 1",
            "HELLO\n",
        ] {
            let (lines, _) = against(answer, all_lines);
            assert!(
                matches!(lines, Err(ControlError::Broken(_))),
                "{answer:?}: {lines:?}"
            );
        }
    }

    #[test]
    fn relayd_being_down_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let down = command(folder.path(), &Request::Flush).unwrap_err();
        assert!(matches!(down, ControlError::Down { .. }));
        assert!(
            down.to_string().contains("control.sock: No such file"),
            "{down}"
        );
    }
}
