//! The doors by which mail comes in: the submit socket and the ports of `[listen]`. This file opens
//! and closes them and lets clients in; `session` is what is then talked.

mod client;
mod crowd;
mod deadline;
mod guesses;
mod session;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail::Submitter;
use policy::log::{Count, Line};
use policy::settings::Listen;
use policy::sysexits::ExitStatus;
use smtp::server::{AuthOffer, Limits, Server, ServerConfig};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::Failure;
use crate::listen::{self, Port, TcpDoor};
use crate::relay::Relay;
use crate::running::Running;

use client::Client;
use crowd::{Crowd, Places};
use session::{Session, send_away};

pub(crate) use guesses::Guesses;

/// How long to wait after the system refused to accept a connection, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// What a client is told for whom there is no place.
const ALL_TAKEN: &str = "too many sessions";
const OWN_TAKEN: &str = "too many sessions of yours";

/// The ports that are open, so that a reload can open and close some.
#[derive(Default)]
pub(crate) struct Ports(Mutex<HashMap<(Port, SocketAddr), AbortHandle>>);

impl Ports {
    /// Opens what `listen` names and is not open, then closes what it does not name. Sessions that
    /// are under way go on.
    ///
    /// # Errors
    /// A port cannot be had, as one below 1024 without root; then nothing has changed.
    pub(crate) fn change(&self, relay: &Arc<Relay>, listen: &Listen) -> Result<(), Failure> {
        let wanted: HashSet<_> = listen::addresses(listen).collect();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = wanted.iter().filter(|door| !open.contains_key(door));
        let fresh: Vec<TcpDoor> = missing
            .map(|(port, address)| listen::bind(*port, *address))
            .collect::<Result<_, _>>()?;
        for door in fresh {
            open.insert((door.port, door.address), start(relay, door)?);
        }
        open.retain(|door, accepting| {
            let kept = wanted.contains(door);
            if !kept {
                accepting.abort();
            }
            kept
        });
        Ok(())
    }
}

/// Starts accepting at all doors.
///
/// # Errors
/// A socket cannot be watched.
pub(crate) fn serve(
    relay: &Arc<Relay>,
    submit: std::os::unix::net::UnixListener,
    ports: Vec<TcpDoor>,
) -> Result<(), Failure> {
    let submit = UnixListener::from_std(submit).map_err(unwatched)?;
    tokio::spawn(accept_local(Arc::clone(relay), submit));
    let mut open = relay.ports.0.lock().unwrap_or_else(PoisonError::into_inner);
    for door in ports {
        open.insert((door.port, door.address), start(relay, door)?);
    }
    Ok(())
}

fn start(relay: &Arc<Relay>, door: TcpDoor) -> Result<AbortHandle, Failure> {
    let listener = TcpListener::from_std(door.listener).map_err(unwatched)?;
    Ok(tokio::spawn(accept_remote(Arc::clone(relay), listener, door.port)).abort_handle())
}

fn unwatched(error: io::Error) -> Failure {
    Failure::new(ExitStatus::OsError, format!("watching a socket: {error}"))
}

async fn accept_local(relay: Arc<Relay>, listener: UnixListener) {
    let (places, crowd) = (Arc::new(Places::default()), Arc::new(Crowd::default()));
    let mut stopping = relay.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let Some((stream, _)) = let_in(&relay, accepted).await else {
            continue;
        };
        let Some(place) = places.take(most(&relay)) else {
            say_full(&relay, &places, "the submit socket");
            send_away(&relay, stream.into_std(), ALL_TAKEN);
            continue;
        };
        let (relay, crowd) = (Arc::clone(&relay), Arc::clone(&crowd));
        tokio::spawn(async move {
            local_session(&relay, stream, &crowd).await;
            drop(place);
        });
    }
}

async fn accept_remote(relay: Arc<Relay>, listener: TcpListener, port: Port) {
    let (places, crowd) = (Arc::new(Places::default()), Arc::new(Crowd::default()));
    let mut stopping = relay.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let Some((stream, peer)) = let_in(&relay, accepted).await else {
            continue;
        };
        let Some(place) = places.take(most(&relay)) else {
            say_full(&relay, &places, port.name());
            send_away(&relay, stream.into_std(), ALL_TAKEN);
            continue;
        };
        let client = peer.ip().to_canonical();
        let Some(own_place) = crowd.enter(client.to_string(), share(&relay, client)) else {
            send_away(&relay, stream.into_std(), OWN_TAKEN);
            continue;
        };
        let relay = Arc::clone(&relay);
        tokio::spawn(async move {
            remote_session(&relay, stream, client, port).await;
            drop((own_place, place));
        });
    }
}

/// The client that was accepted. A failure is written down, and waited out: it may be that there are
/// no descriptors left.
async fn let_in<S>(relay: &Relay, accepted: io::Result<S>) -> Option<S> {
    match accepted {
        Ok(client) => Some(client),
        Err(error) => {
            relay.log.warn(&format!("accepting a connection: {error}"));
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// How many sessions one door may have.
fn most(relay: &Relay) -> usize {
    relay.running().settings.doors.max_sessions
}

/// Says in the log that clients are sent away, now and then.
fn say_full(relay: &Relay, places: &Places, door: &str) {
    if places.is_news(Instant::now()) {
        let most = most(relay);
        relay.log.warn(&format!(
            "{door} has {most} sessions, all that max_sessions allows; further clients are told 421"
        ));
    }
}

/// How many sessions one client may have. All programs of this host have the same address.
fn share(relay: &Relay, client: IpAddr) -> usize {
    if client.is_loopback() {
        return usize::MAX;
    }
    relay.running().settings.doors.max_sessions_per_client
}

async fn local_session(relay: &Arc<Relay>, stream: UnixStream, crowd: &Arc<Crowd>) {
    let Ok(peer) = stream.peer_cred() else { return };
    let running = relay.running();
    let share = running.settings.doors.max_sessions_per_client;
    let Some(_place) = crowd.enter(format!("uid {}", peer.uid()), share) else {
        return send_away(relay, stream.into_std(), OWN_TAKEN);
    };
    let submitter = Submitter::Local {
        uid: peer.uid(),
        login: relay.login_of(peer.uid()).await,
    };
    let mut config = config(&running);
    config.chunking = true;
    config.bare_lf = true;
    let silence = running.settings.doors.socket_timeout;
    Session::new(relay, running, submitter, Box::new(stream), silence)
        .run(&mut Server::new(config))
        .await;
}

async fn remote_session(relay: &Arc<Relay>, stream: TcpStream, address: IpAddr, port: Port) {
    // A lost option costs speed only.
    let _ = stream.set_nodelay(true);
    let running = relay.running();
    let listen = &running.settings.listen;
    let client = Client {
        address,
        // At the submission port whoever is not known authenticates before MAIL.
        admitted: port == Port::Submission || listen.admits(address),
    };
    let known = listen.allows(address);
    let mut config = config(&running);
    config.as_is = false;
    if port == Port::Submission {
        config.starttls = true;
        config.auth = AuthOffer::AfterTls;
        config.auth_required = !known;
        config.in_step = true;
    }
    let submitter = Submitter::Client {
        address: address.to_string(),
        user: None,
    };
    let silence = running.settings.doors.command_timeout;
    relay.log.write(&Line::Connected {
        client: client.named(),
    });
    let mut server = Server::new(config);
    Session::new(relay, running, submitter, Box::new(stream), silence)
        .of_client(client)
        .run(&mut server)
        .await;
    let counts: Vec<Count<'_>> = server.counts().iter().map(log_count).collect();
    relay.log.write(&Line::Disconnected {
        client: client.named(),
        counts: &counts,
    });
}

/// A count of commands as the log shows it.
const fn log_count(count: &smtp::server::Count) -> Count<'static> {
    Count {
        command: count.command,
        accepted: count.accepted,
        total: count.total,
    }
}

fn config(running: &Running) -> ServerConfig {
    let doors = &running.settings.doors;
    let limits = Limits {
        line: doors.max_command_length,
        errors: u32::try_from(doors.max_errors).unwrap_or(u32::MAX),
        ..Limits::default()
    };
    ServerConfig {
        size_limit: running.settings.message_size_limit,
        max_recipients: doors.max_recipients,
        limits,
        ..ServerConfig::new(&running.hostname)
    }
}
