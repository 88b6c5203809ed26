//! A small gateway on a port of this host: takes mail with `smtp::server`, refuses what a rule says,
//! and keeps what it took.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use mail::Envelope;
use smtp::reply::Reply;
use smtp::server::{AuthOffer, Event, Server, ServerConfig};

use super::{PATIENCE, wait_for};

/// One message that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) envelope: Envelope,
    pub(crate) content: Vec<u8>,
}

impl Taken {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    pub(crate) fn recipients(&self) -> Vec<String> {
        let recipients = self.envelope.recipients.iter();
        recipients.map(|one| one.address.to_string()).collect()
    }
}

type Rule = Box<dyn Fn(&str) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
struct State {
    taken: Mutex<Vec<Taken>>,
    rule: Mutex<Option<Rule>>,
    /// User and password; none: no AUTH.
    login: Mutex<Option<(String, String)>>,
    /// Content that came whole waits here for its answer while the gate is shut.
    gate: (Mutex<bool>, Condvar),
    waiting: AtomicUsize,
    sessions: AtomicUsize,
    refused_logins: AtomicUsize,
    closing: AtomicBool,
}

/// The gateway; it ends when it is dropped.
pub(crate) struct Gateway {
    pub(crate) port: u16,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Gateway {
    /// On a port that the kernel chose.
    pub(crate) fn start() -> Self {
        Self::with(Arc::default(), 0)
    }

    /// On a port where one was before.
    pub(crate) fn at(port: u16) -> Self {
        Self::with(Arc::default(), port)
    }

    /// On a port where one was before, wanting a login from the first session on.
    pub(crate) fn start_wanting(port: u16, user: &str, password: &str) -> Self {
        let state = State::default();
        *state.login.lock().unwrap() = Some((user.to_owned(), password.to_owned()));
        Self::with(Arc::new(state), port)
    }

    fn with(state: Arc<State>, port: u16) -> Self {
        let listener = wait_for("the gateway's port is free", || {
            TcpListener::bind(("127.0.0.1", port)).ok()
        });
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::clone(&state);
        let accepting = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closing.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    shared.sessions.fetch_add(1, Ordering::SeqCst);
                    serve(&shared, stream.unwrap());
                });
            }
        }));
        Self {
            port,
            state,
            accepting,
        }
    }

    /// Recipients for which `rule` gives a reply are refused with it.
    pub(crate) fn refuse(&self, rule: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) {
        *self.state.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// Does not answer content until [`Gateway::open_gate`].
    pub(crate) fn shut_gate(&self) {
        *self.state.gate.0.lock().unwrap() = true;
    }

    pub(crate) fn open_gate(&self) {
        *self.state.gate.0.lock().unwrap() = false;
        self.state.gate.1.notify_all();
    }

    /// Waits until so many messages came whole and are not answered.
    pub(crate) fn wait_waiting(&self, count: usize) {
        wait_for("content at the gateway", || {
            (self.state.waiting.load(Ordering::SeqCst) == count).then_some(())
        });
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap().clone()
    }

    /// Waits until so many messages were taken.
    pub(crate) fn wait_taken(&self, count: usize) -> Vec<Taken> {
        wait_for("messages at the gateway", || {
            Some(self.taken()).filter(|taken| taken.len() >= count)
        })
    }

    /// Connections so far.
    pub(crate) fn sessions(&self) -> usize {
        self.state.sessions.load(Ordering::SeqCst)
    }

    pub(crate) fn refused_logins(&self) -> usize {
        self.state.refused_logins.load(Ordering::SeqCst)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::SeqCst);
        self.open_gate();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(state: &State, mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let mut config = ServerConfig::new("gateway.example");
    let login = state.login.lock().unwrap().clone();
    if login.is_some() {
        config.auth = AuthOffer::Always;
        config.auth_required = true;
    }
    let mut server = Server::new(config);
    let mut open: Option<Taken> = None;
    if stream.write_all(&server.greeting()).is_err() {
        return;
    }
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match server.next() {
            Event::NeedInput => match stream.read(&mut buffer) {
                Ok(count @ 1..) => server.received(&buffer[..count]),
                _ => server.disconnected(),
            },
            Event::Reply(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    server.disconnected();
                }
            }
            Event::Auth(_, who) => {
                let known = login.as_ref().is_some_and(|(user, password)| {
                    *user == who.user && *password == *who.password.expose()
                });
                if !known {
                    state.refused_logins.fetch_add(1, Ordering::SeqCst);
                }
                server.auth_result(known);
            }
            Event::Rcpt(recipient) => {
                let rule = state.rule.lock().unwrap();
                match rule
                    .as_ref()
                    .and_then(|rule| rule(recipient.address.as_str()))
                {
                    Some(reply) => server.refuse(reply),
                    None => server.accept(),
                }
            }
            Event::ContentBegins(envelope) => {
                open = Some(Taken {
                    envelope,
                    content: Vec::new(),
                });
                server.accept();
            }
            Event::Content(bytes) => {
                if let Some(open) = &mut open {
                    open.content.extend(bytes);
                }
            }
            Event::ContentEnds => {
                if !pass_gate(state) {
                    return;
                }
                state.taken.lock().unwrap().extend(open.take());
                state.waiting.fetch_sub(1, Ordering::SeqCst);
                server.finish(Reply::new(250, None, "2.0.0 taken as G1"));
            }
            Event::Aborted(_) => open = None,
            Event::Mail(_) => server.accept(),
            Event::StartTls | Event::Close => return,
        }
    }
}

/// Waits while the gate is shut; false if the gateway goes away instead.
fn pass_gate(state: &State) -> bool {
    state.waiting.fetch_add(1, Ordering::SeqCst);
    let shut = state.gate.0.lock().unwrap();
    drop(state.gate.1.wait_while(shut, |shut| *shut).unwrap());
    !state.closing.load(Ordering::SeqCst)
}
