//! The doors by which mail comes in: the submit socket and the ports of `[listen]`. This file opens
//! and closes them and lets clients in; `session` is what is then talked.

mod crowd;
mod session;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail::Submitter;
use policy::log::Line;
use policy::settings::Listen;
use policy::sysexits::ExitStatus;
use smtp::server::{AuthOffer, Server, ServerConfig};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::Failure;
use crate::listen::{self, Port, TcpDoor};
use crate::relay::Relay;
use crate::running::Running;

use crowd::Crowd;
use session::{Session, log_client, say_full};

/// Sessions that one door has at once; further clients wait to be accepted.
const SESSIONS: usize = 256;
/// Sessions that one uid, or one address at the submission port, has at once. `sendmail` leaves its
/// mail in `maildrop` where it is not let in, so nothing is lost by it.
const SESSIONS_OF_ONE: usize = 192;
/// How long a client on a port may be silent (Postfix's `smtpd_timeout`).
const PORT_SILENCE: Duration = Duration::from_secs(300);
/// The same on the submit socket, where mailers keep one `sendmail -bs` for as long as they live.
const SOCKET_SILENCE: Duration = Duration::from_secs(24 * 3600);
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
    let (places, crowd) = (
        Arc::new(Semaphore::new(SESSIONS)),
        Crowd::new(SESSIONS_OF_ONE),
    );
    let mut stopping = relay.stopping.clone();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (relay, crowd) = (Arc::clone(&relay), Arc::clone(&crowd));
                tokio::spawn(async move {
                    local_session(&relay, stream, &crowd).await;
                    drop(place);
                });
            }
            Err(error) => cannot_accept(&relay, &error).await,
        }
    }
}

async fn accept_remote(relay: Arc<Relay>, listener: TcpListener, port: Port) {
    // All local programs have the same address.
    let share = match port {
        Port::Smtp => SESSIONS,
        Port::Submission => SESSIONS_OF_ONE,
    };
    let (places, crowd) = (Arc::new(Semaphore::new(SESSIONS)), Crowd::new(share));
    let mut stopping = relay.stopping.clone();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (relay, crowd) = (Arc::clone(&relay), Arc::clone(&crowd));
                tokio::spawn(async move {
                    match crowd.enter(peer.ip().to_string()) {
                        Some(_place) => remote_session(&relay, stream, peer, port).await,
                        None => say_full(&relay, stream).await,
                    }
                    drop(place);
                });
            }
            Err(error) => cannot_accept(&relay, &error).await,
        }
    }
}

async fn cannot_accept(relay: &Relay, error: &io::Error) {
    relay.log.warn(&format!("accepting a connection: {error}"));
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn local_session(relay: &Arc<Relay>, stream: UnixStream, crowd: &Arc<Crowd>) {
    let Ok(peer) = stream.peer_cred() else { return };
    let Some(_place) = crowd.enter(format!("uid {}", peer.uid())) else {
        return say_full(relay, stream).await;
    };
    let submitter = Submitter::Local {
        uid: peer.uid(),
        login: relay.login_of(peer.uid()).await,
    };
    let running = relay.running();
    let mut config = config(&running);
    config.chunking = true;
    Session::new(relay, running, submitter, Box::new(stream), SOCKET_SILENCE)
        .run(Server::new(config))
        .await;
}

async fn remote_session(relay: &Arc<Relay>, stream: TcpStream, peer: SocketAddr, port: Port) {
    // A lost option costs speed only.
    let _ = stream.set_nodelay(true);
    let running = relay.running();
    let mut config = config(&running);
    config.as_is = false;
    if port == Port::Submission {
        config.starttls = true;
        config.auth = AuthOffer::AfterTls;
        config.auth_required = true;
    }
    let submitter = Submitter::Client {
        address: peer.ip().to_string(),
        user: None,
    };
    relay.log.write(&Line::Connected {
        client: log_client(peer.ip()),
    });
    Session::new(relay, running, submitter, Box::new(stream), PORT_SILENCE)
        .of_client(peer.ip())
        .run(Server::new(config))
        .await;
    relay.log.write(&Line::Disconnected {
        client: log_client(peer.ip()),
        counts: &[],
    });
}

fn config(running: &Running) -> ServerConfig {
    ServerConfig {
        size_limit: running.settings.message_size_limit,
        ..ServerConfig::new(&running.hostname)
    }
}
