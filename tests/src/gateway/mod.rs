//! A scripted SMTP gateway on 127.0.0.1: the far end of every end-to-end test, and the judge of what reaches it.
//!
//! It runs on threads of this process. What it offers ([`Setup`]) and how it misbehaves ([`Rule`]) may be changed at any
//! moment; what it saw is in its [`Record`]. It knows one user.

mod journal;
mod manners;
mod sasl;
mod script;
mod session;
mod strict;
mod transaction;
mod wire;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use journal::{Command, Delivery, Recipient, Record};
pub use script::{Fault, Rule, Setup, Stage, Tls};

use journal::Journal;
use script::Script;
use session::Session;
use wire::Wire;

/// The gateway. Dropping it closes everything.
pub struct Gateway {
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Option<Listener>,
}

struct Listener {
    closing: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

struct Shared {
    setup: Mutex<Setup>,
    script: Mutex<Script>,
    journal: Journal,
    open: Mutex<HashMap<u64, TcpStream>>,
    tickets: AtomicU64,
}

impl Gateway {
    /// Listens on a port that the kernel chooses.
    pub fn start(setup: Setup) -> Self {
        let shared = Arc::new(Shared {
            setup: Mutex::new(setup),
            script: Mutex::default(),
            journal: Journal::default(),
            open: Mutex::default(),
            tickets: AtomicU64::new(0xA000_0000),
        });
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let listener = Some(Listener::spawn(socket, &shared));
        Self {
            shared,
            address,
            listener,
        }
    }

    /// The port it listens on; the same for its whole life.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes the listening socket and every connection: from here on a connect is refused.
    pub fn close(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.stop(self.address);
        }
        self.hang_up();
    }

    /// Listens again on the same port.
    pub fn reopen(&mut self) {
        if self.listener.is_none() {
            let socket =
                TcpListener::bind(self.address).expect("the port was ours and nobody takes it");
            self.listener = Some(Listener::spawn(socket, &self.shared));
        }
    }

    /// Cuts every open connection; new ones are welcome.
    pub fn hang_up(&self) {
        for stream in lock(&self.shared.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Changes what it is like, from the next connection on.
    pub fn change(&self, change: impl FnOnce(&mut Setup)) {
        change(&mut lock(&self.shared.setup));
    }

    /// Adds a rule behind those in force.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.script).add(rule);
    }

    /// From now on `fault` at `stage`, always.
    pub fn fail(&self, stage: Stage, fault: Fault) {
        self.add(Rule::at(stage, fault));
    }

    /// Behaves again.
    pub fn behave(&self) {
        lock(&self.shared.script).clear();
    }

    /// Looks at what was seen.
    pub fn read<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        self.shared.journal.read(read)
    }

    /// A copy of everything seen.
    pub fn record(&self) -> Record {
        self.read(Clone::clone)
    }

    /// Waits until `enough` holds of the record; false when `limit` passed first.
    pub fn wait(&self, limit: Duration, enough: impl Fn(&Record) -> bool) -> bool {
        self.shared.journal.wait(limit, enough)
    }

    /// Waits for `count` messages in all and gives them. Panics when `limit` passed first.
    #[track_caller]
    pub fn expect(&self, count: usize, limit: Duration) -> Vec<Delivery> {
        if !self.wait(limit, |r| r.deliveries.len() >= count) {
            let record = self.record();
            let tail: Vec<&str> = record
                .commands
                .iter()
                .rev()
                .take(20)
                .map(|c| c.line.as_str())
                .collect();
            let got = record.deliveries.len();
            panic!(
                "{got} of {count} messages after {limit:?}; last commands (newest first): {tail:#?}"
            );
        }
        self.read(|r| r.deliveries.clone())
    }

    /// Panics if the client has breached a standard.
    #[track_caller]
    pub fn expect_good_manners(&self) {
        let violations = self.read(|r| r.violations.clone());
        assert!(
            violations.is_empty(),
            "the client breached the standards: {violations:#?}"
        );
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.close();
    }
}

impl Listener {
    fn spawn(socket: TcpListener, shared: &Arc<Shared>) -> Self {
        let closing = Arc::new(AtomicBool::new(false));
        let (shared, stop) = (Arc::clone(shared), Arc::clone(&closing));
        let thread = std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                shared.welcome(stream);
            }
        });
        Self { closing, thread }
    }

    /// A connection of our own wakes the thread that waits in accept.
    fn stop(self, address: SocketAddr) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(address);
        let _ = self.thread.join();
    }
}

impl Shared {
    fn welcome(self: &Arc<Self>, stream: TcpStream) {
        let setup = lock(&self.setup).clone();
        let connection = self.journal.note(|r| {
            r.connections += 1;
            r.connected_at.push(Instant::now());
            r.connections
        });
        let Ok(handle) = stream.try_clone() else {
            return;
        };
        let _ = stream.set_nodelay(true);
        let full = {
            let mut open = lock(&self.open);
            let full = setup
                .max_connections
                .is_some_and(|limit| open.len() >= limit);
            if !full {
                open.insert(connection, handle);
                self.journal.note(|r| {
                    r.open = open.len();
                    r.peak = r.peak.max(r.open);
                });
            }
            full
        };
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            if full {
                shared.turn_away(stream);
            } else {
                Session::new(&shared, setup, Wire::plain(stream), connection).run();
                shared.leave(connection);
            }
        });
    }

    /// Over the limit: says so and closes, as providers do.
    fn turn_away(&self, stream: TcpStream) {
        self.journal.note(|r| r.over_limit += 1);
        let _ =
            Wire::plain(stream).write(b"421 4.7.0 gateway.test Error: too many connections\r\n");
    }

    /// The connection no longer counts as open. May be said twice.
    fn leave(&self, connection: u64) {
        let mut open = lock(&self.open);
        open.remove(&connection);
        self.journal.note(|r| r.open = open.len());
    }

    fn strike(&self, stage: Stage, said: &[u8]) -> Option<Fault> {
        let fault = lock(&self.script).strike(stage, said);
        if fault.is_some() {
            self.journal.note(|r| r.strikes.push(stage));
        }
        fault
    }

    /// A number for "queued as", never the same twice.
    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }
}

/// A thread that panicked has failed its test already; the rest may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
