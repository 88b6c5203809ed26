//! The doors by which mail comes in: the submit socket and the ports of `[listen]`. This file opens
//! and closes them and lets clients in; `session` is what is then talked.

mod crowd;
mod deadline;
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

use crate::Failure;
use crate::listen::{self, Port, TcpDoor};
use crate::relay::Relay;
use crate::running::Running;

use crowd::{Crowd, Places, Taken};
use session::{Session, log_client, say_full, say_not_for_you};

/// How long to wait after the system refused to accept a connection, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

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
            accepted = next(&relay, &places, listener.accept()) => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted {
            (place, Ok((stream, _))) => {
                let (relay, crowd) = (Arc::clone(&relay), Arc::clone(&crowd));
                tokio::spawn(async move {
                    local_session(&relay, stream, &crowd).await;
                    drop(place);
                });
            }
            (_, Err(error)) => cannot_accept(&relay, &error).await,
        }
    }
}

async fn accept_remote(relay: Arc<Relay>, listener: TcpListener, port: Port) {
    let (places, crowd) = (Arc::new(Places::default()), Arc::new(Crowd::default()));
    let mut stopping = relay.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = next(&relay, &places, listener.accept()) => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted {
            (place, Ok((stream, peer))) => {
                let (relay, crowd) = (Arc::clone(&relay), Arc::clone(&crowd));
                tokio::spawn(async move {
                    // An IPv4 client of a port that is open for IPv6 too.
                    let client = peer.ip().to_canonical();
                    match crowd.enter(client.to_string(), share(&relay, client)) {
                        Some(_place) => remote_session(&relay, stream, client, port).await,
                        None => say_full(&relay, stream).await,
                    }
                    drop(place);
                });
            }
            (_, Err(error)) => cannot_accept(&relay, &error).await,
        }
    }
}

/// The next client, once there is a place for it.
async fn next<S>(
    relay: &Relay,
    places: &Arc<Places>,
    accepting: impl Future<Output = io::Result<S>>,
) -> (Taken, io::Result<S>) {
    let most = || relay.running().settings.doors.max_sessions;
    let place = places.take(most).await;
    (place, accepting.await)
}

/// How many sessions one client may have. All programs of this host have the same address.
fn share(relay: &Relay, client: IpAddr) -> usize {
    if client.is_loopback() {
        return usize::MAX;
    }
    relay.running().settings.doors.max_sessions_per_client
}

async fn cannot_accept(relay: &Relay, error: &io::Error) {
    relay.log.warn(&format!("accepting a connection: {error}"));
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn local_session(relay: &Arc<Relay>, stream: UnixStream, crowd: &Arc<Crowd>) {
    let Ok(peer) = stream.peer_cred() else { return };
    let running = relay.running();
    let share = running.settings.doors.max_sessions_per_client;
    let Some(_place) = crowd.enter(format!("uid {}", peer.uid()), share) else {
        return say_full(relay, stream).await;
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

async fn remote_session(relay: &Arc<Relay>, stream: TcpStream, client: IpAddr, port: Port) {
    // A lost option costs speed only.
    let _ = stream.set_nodelay(true);
    let running = relay.running();
    let listen = &running.settings.listen;
    if port == Port::Smtp && !listen.admits(client) {
        return say_not_for_you(relay, stream, client).await;
    }
    let known = listen.allows(client);
    let mut config = config(&running);
    config.as_is = false;
    if port == Port::Submission {
        config.starttls = true;
        config.auth = AuthOffer::AfterTls;
        config.auth_required = !known;
        config.in_step = true;
    }
    let submitter = Submitter::Client {
        address: client.to_string(),
        user: None,
    };
    let silence = running.settings.doors.command_timeout;
    relay.log.write(&Line::Connected {
        client: log_client(client),
    });
    let mut server = Server::new(config);
    Session::new(relay, running, submitter, Box::new(stream), silence)
        .of_client(client)
        .run(&mut server)
        .await;
    let counts: Vec<Count<'_>> = server.counts().iter().map(log_count).collect();
    relay.log.write(&Line::Disconnected {
        client: log_client(client),
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
