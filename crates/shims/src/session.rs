//! `sendmail -bs`: SMTP on standard input and output. relayd holds the session; while it is down,
//! this program does, and what it accepts goes to maildrop.
//!
//! Nothing is ever written to standard error here: callers such as nmh have both streams on one
//! pipe, and Symfony takes any text there for a failure to start.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use host::stdio::Stdin;
use mail::{Envelope, StatusCode};
use policy::sysexits::ExitStatus;
use smtp::reply::Reply;
use smtp::server::{Event, Server, ServerConfig};
use spool::{DropDraft, RealDisk, SpoolError};

use crate::failure::Failure;
use crate::installation::Installation;
use crate::queue;

/// How long relayd may take to greet before this program holds the session itself.
const GREETING: Duration = Duration::from_secs(10);

/// Most recipients of one message that the session takes while relayd is down: as relayd does.
const RECIPIENTS: usize = spool::RECIPIENTS_MAX;

/// Holds a session until the client quits or its input ends.
///
/// # Errors
/// Standard input is closed (66), the session broke off (75), or where relayd is cannot be told
/// (78); what was answered with a 250 is
/// queued even so.
pub(crate) fn run(installation: &mut Installation) -> Result<(), Failure> {
    let mut input =
        Stdin::open().map_err(|error| Failure::new(ExitStatus::NoInput, error.to_string()))?;
    let mut output = Output {
        out: io::stdout(),
        line_start: Vec::new(),
        in_line: false,
    };
    let mut relayd = greeted(installation);
    // The settings may name another folder for the socket.
    if relayd.is_none() && installation.look_closer()? {
        relayd = greeted(installation);
    }
    let ended = match relayd {
        Some((stream, greeting)) => pass_through(&stream, &greeting, &mut input, &mut output),
        None => Local::new(installation).run(&mut input, &mut output),
    };
    match ended {
        // A client that is gone needs no answer.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(
            ExitStatus::TempFail,
            format!("session broke off: {error}"),
        )),
        Ok(()) => Ok(()),
    }
}

/// Connects to relayd. `None` if it is down, does not greet, or says that it will not serve.
fn greeted(installation: &Installation) -> Option<(UnixStream, Vec<u8>)> {
    let mut stream = host::sockets::connect(&installation.submit_socket(), GREETING).ok()?;
    let mut greeting = vec![0; 4096];
    let count = stream.read(&mut greeting).ok()?;
    greeting.truncate(count);
    greeting.starts_with(b"2").then_some((stream, greeting))
}

fn pass_through(
    relayd: &UnixStream,
    greeting: &[u8],
    input: &mut Stdin,
    output: &mut Output<io::Stdout>,
) -> io::Result<()> {
    output.write_all(greeting)?;
    output.flush()?;
    let passed = host::sockets::pass_through(input, output, relayd);
    if output.said_goodbye() {
        return Ok(());
    }
    match passed {
        Ok(true) => Ok(()),
        Ok(false) => {
            output.write_all(b"421 4.3.2 relayd went away\r\n")?;
            output.flush()?;
            Err(io::Error::other("relayd went away"))
        }
        Err(error) => Err(error),
    }
}

/// Standard output, with an eye on how the last line begins.
struct Output<W> {
    out: W,
    line_start: Vec<u8>,
    in_line: bool,
}

impl<W> Output<W> {
    /// Whether the last reply was the one to QUIT, or one that ends the session.
    fn said_goodbye(&self) -> bool {
        [b"221".as_slice(), b"421", b"521"].contains(&self.line_start.as_slice())
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        for byte in &bytes[..count] {
            if !self.in_line {
                self.line_start.clear();
            }
            self.in_line = *byte != b'\n';
            if self.line_start.len() < 3 {
                self.line_start.push(*byte);
            }
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A session that this program holds itself.
struct Local {
    server: Server,
    maildrop: PathBuf,
    draft: Option<DropDraft>,
}

impl Local {
    fn new(installation: &Installation) -> Self {
        let mut config = ServerConfig::new(host::identity::hostname());
        config.size_limit = installation.size_limit();
        config.max_recipients = RECIPIENTS;
        config.chunking = true;
        config.bare_lf = true;
        Self {
            server: Server::new(config),
            maildrop: installation.maildrop(),
            draft: None,
        }
    }

    fn run(&mut self, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
        let mut piece = vec![0; 16 * 1024];
        output.write_all(&self.server.greeting())?;
        output.flush()?;
        loop {
            match self.server.next() {
                Event::NeedInput => match input.read(&mut piece)? {
                    0 => self.server.disconnected(),
                    count => self.server.received(&piece[..count]),
                },
                Event::Reply(bytes) => {
                    output.write_all(&bytes)?;
                    output.flush()?;
                }
                Event::Mail(_) | Event::Rcpt(_) => self.server.accept(),
                Event::ContentBegins(envelope) => self.begin(&envelope),
                Event::Content(bytes) => self.append(&bytes),
                Event::ContentEnds => self.commit(),
                Event::Aborted(_) => self.draft = None,
                // Neither is offered.
                Event::StartTls | Event::Auth(..) => return Ok(()),
                Event::Close => return Ok(()),
            }
        }
    }

    fn begin(&mut self, envelope: &Envelope) {
        match spool::drop_in(RealDisk, &self.maildrop, envelope) {
            Ok(draft) => {
                self.draft = Some(draft);
                self.server.accept();
            }
            Err(error) => self.server.refuse(not_now(&error)),
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let Some(draft) = &mut self.draft else { return };
        if let Err(error) = draft.write(bytes) {
            self.draft = None;
            self.server.refuse(not_now(&error));
        }
    }

    fn commit(&mut self) {
        let Some(draft) = self.draft.take() else {
            return;
        };
        // From here on the mail is safe.
        let reply = match draft.commit() {
            Ok(name) => reply(
                250,
                (2, 0, 0),
                &format!("Ok: queued as {}", queue::maildrop_id(name)),
            ),
            Err(error) => not_now(&error),
        };
        self.server.finish(reply);
    }
}

fn not_now(error: &SpoolError) -> Reply {
    match error.is_full() {
        true => reply(452, (4, 3, 1), "insufficient space, try again later"),
        false => reply(451, (4, 3, 0), "cannot queue the message, try again later"),
    }
}

fn reply(code: u16, (class, subject, detail): (u8, u16, u16), text: &str) -> Reply {
    Reply::new(code, Some(StatusCode::new(class, subject, detail)), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reply_is_known_however_it_is_cut() {
        let mut output = Output {
            out: Vec::new(),
            line_start: Vec::new(),
            in_line: false,
        };
        for (piece, goodbye) in [
            ("250 2.0.0 Ok\r\n22", false),
            ("1 2.0.0 Bye", true),
            ("\r\n", true),
            ("2", false),
        ] {
            output.write_all(piece.as_bytes()).unwrap();
            assert_eq!(output.said_goodbye(), goodbye, "{piece}");
        }
    }
}
