//! An installation in a temporary folder, with a relayd that only takes notes.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mail::Envelope;
use smtp::reply::Reply;
use smtp::server::{Event, Server, ServerConfig};
use spool::{RealDisk, Spool};

pub(crate) const SENDMAIL: &str = env!("CARGO_BIN_EXE_sendmail");
pub(crate) const MAILQ: &str = env!("CARGO_BIN_EXE_mailq");
pub(crate) const POSTQUEUE: &str = env!("CARGO_BIN_EXE_postqueue");

/// Folders and settings of one installation.
pub(crate) struct Host {
    folder: tempfile::TempDir,
}

/// What relayd was given.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) envelope: Envelope,
    pub(crate) content: String,
}

impl Submission {
    pub(crate) fn sender(&self) -> String {
        self.envelope
            .sender
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    pub(crate) fn recipients(&self) -> Vec<String> {
        self.envelope
            .recipients
            .iter()
            .map(|one| one.address.to_string())
            .collect()
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(host.path("run")).unwrap();
        drop(Spool::open(RealDisk, &host.path("spool")).unwrap());
        host.configure("");
        host
    }

    /// Writes settings, with `lines` at the top.
    pub(crate) fn configure(&self, lines: &str) {
        let text = format!(
            "{lines}\n[paths]\nspool = spool\nrun = run\n[gateway out]\ndeliver = capture:out\n"
        );
        fs::write(self.path("relayd.conf"), text).unwrap();
    }

    /// Writes settings that relayd refuses in every section but `[paths]`.
    pub(crate) fn configure_badly(&self) {
        let text =
            "nonsense\ndomain = ?\n[paths]\nspool = spool\nrun = run\n[gateway]\nhost =\n[log\n";
        fs::write(self.path("relayd.conf"), text).unwrap();
        assert!(host::config::load(&self.path("relayd.conf")).is_err());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of ours, to be run in this installation.
    pub(crate) fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .args(arguments)
            .env_clear()
            .env("RELAYD_CONFIG", self.path("relayd.conf"));
        command.env("RUST_BACKTRACE", "full");
        command
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str], stdin: &str) -> Output {
        finish(self.command(program, arguments), stdin)
    }

    pub(crate) fn sendmail(&self, arguments: &[&str], stdin: &str) -> Output {
        self.run(SENDMAIL, arguments, stdin)
    }

    /// Starts a relayd that accepts everything.
    pub(crate) fn relayd(&self) -> Receiver<Submission> {
        self.relayd_with(|_| None)
    }

    /// Starts a relayd that refuses recipients as `judge` says.
    pub(crate) fn relayd_with(
        &self,
        judge: impl Fn(&str) -> Option<Reply> + Send + 'static,
    ) -> Receiver<Submission> {
        let listener = UnixListener::bind(self.path("run/submit.sock")).unwrap();
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &sender, &judge);
            }
        });
        receiver
    }

    /// Starts something at `submit.sock` that says `words` to each client, and then ends the
    /// session, or does so at once.
    pub(crate) fn babbler(&self, words: &'static str) {
        let listener = UnixListener::bind(self.path("run/submit.sock")).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(words.as_bytes()).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
    }

    /// Starts a control socket that gives each client the same answer; the requests come out.
    pub(crate) fn control(&self, answer: impl Into<String>) -> Receiver<String> {
        let answer = answer.into();
        let listener = UnixListener::bind(self.path("run/control.sock")).unwrap();
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                sender.send(line).unwrap();
                // The client may have heard enough.
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        receiver
    }

    /// What lies in maildrop, by name.
    pub(crate) fn maildrop(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("spool/maildrop")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// Runs a command with this text on its stdin.
pub(crate) fn finish(mut command: Command, stdin: &str) -> Output {
    let mut child = start(&mut command);
    let mut pipe = child.stdin.take().unwrap();
    // A program that refuses its command line does not read.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    child.wait_with_output().unwrap()
}

pub(crate) fn start(command: &mut Command) -> Child {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn serve(
    mut stream: UnixStream,
    submissions: &Sender<Submission>,
    judge: &impl Fn(&str) -> Option<Reply>,
) {
    let mut config = ServerConfig::new("relayd.test");
    config.chunking = true;
    config.max_recipients = 100_000;
    let mut server = Server::new(config);
    stream.write_all(&server.greeting()).unwrap();
    let mut open: Option<(Envelope, Vec<u8>)> = None;
    let mut piece = vec![0; 65_536];
    loop {
        match server.next() {
            Event::NeedInput => match stream.read(&mut piece) {
                Ok(0) | Err(_) => server.disconnected(),
                Ok(count) => server.received(&piece[..count]),
            },
            Event::Reply(bytes) => {
                let _ = stream.write_all(&bytes);
            }
            Event::Rcpt(recipient) => match judge(recipient.address.as_str()) {
                Some(reply) => server.refuse(reply),
                None => server.accept(),
            },
            Event::ContentBegins(envelope) => {
                open = Some((envelope, Vec::new()));
                server.accept();
            }
            Event::Content(bytes) => open.as_mut().unwrap().1.extend(bytes),
            Event::ContentEnds => {
                let (envelope, content) = open.take().unwrap();
                let content = String::from_utf8_lossy(&content).into_owned();
                let _ = submissions.send(Submission { envelope, content });
                server.finish(Reply::new(250, None, "queued as 3456789ABCDE"));
            }
            Event::Aborted(_) => open = None,
            Event::Close => return,
            _ => server.accept(),
        }
    }
}

/// The login name of whoever runs the tests.
pub(crate) fn login() -> String {
    let uid = host::identity::real_uid();
    host::identity::account_of(uid).map_or(format!("uid{uid}"), |account| account.login)
}

#[track_caller]
pub(crate) fn assert_silent(output: &Output) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(output.status.code(), Some(0));
}

/// The program failed with this status and one line on stderr, which is returned.
#[track_caller]
pub(crate) fn failure(output: &Output, status: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(": fatal: ") && text.ends_with('\n'), "{text}");
    text
}
