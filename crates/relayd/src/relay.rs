//! The daemon as a whole: what its parts share, what is started in which order, and how it stops.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use host::identity;
use host::secret::Keeper;
use policy::log::Line;
use policy::schedule::{Now, OriginKey, Queued};
use policy::sysexits::ExitStatus;
use spool::{ErrorKind, Found, Meta, Queue, RealDisk, Spool};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::dispatch::{Dispatcher, Event};
use crate::index::Index;
use crate::listen::{TcpDoor, UnixDoors};
use crate::log::Log;
use crate::running::Running;
use crate::{Failure, control, door, intake, listen, outcome};

/// Threads that may block on the disk at once. Their fsyncs overlap, and the disk groups them.
const DISK_THREADS: usize = 32;
/// Facts that wait for the dispatcher; beyond it their senders wait.
const EVENTS: usize = 4096;
/// Login names that are remembered.
const LOGINS: usize = 10_000;
/// How long a retired entry's removal may stay unsynced: a crash within it repeats a delivery (I3).
const SYNC_EVERY: Duration = Duration::from_millis(50);

/// What all parts of the daemon share.
pub(crate) struct Relay {
    pub(crate) spool: Spool<RealDisk>,
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) events: mpsc::Sender<Event>,
    /// Whether relayd is about to end: no new work is begun then.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Set when there are removals to be synced.
    pub(crate) retired: tokio::sync::Notify,
    pub(crate) ports: door::Ports,
    logins: Mutex<HashMap<u32, Option<String>>>,
    file: PathBuf,
    running: RwLock<Arc<Running>>,
    stop: watch::Sender<bool>,
}

impl Relay {
    /// The settings in force now. A caller that needs them to agree takes them once.
    pub(crate) fn running(&self) -> Arc<Running> {
        Arc::clone(&self.running.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the settings again and puts them in force if they are good.
    ///
    /// # Errors
    /// What is wrong with them; those in force stay.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), String> {
        let file = self.file.clone();
        let loaded =
            tokio::task::spawn_blocking(move || Running::load(&file, &Keeper::this_process()))
                .await
                .map_err(|error| error.to_string())?;
        let result = loaded.and_then(|fresh| self.replace(fresh));
        match &result {
            Ok(()) => {
                let settings = self.file.to_string_lossy();
                self.log.write(&Line::Reloaded {
                    version: env!("CARGO_PKG_VERSION"),
                    settings: &settings,
                });
                let _ = self.events.send(Event::SettingsChanged).await;
            }
            Err(problem) => {
                for line in problem.lines() {
                    self.log.write(&Line::SettingsRefused { problem: line });
                }
            }
        }
        result
    }

    fn replace(self: &Arc<Self>, fresh: Running) -> Result<(), String> {
        let current = self.running();
        if fresh.settings.paths != current.settings.paths {
            return Err("[paths] cannot change while relayd runs: restart it instead".to_owned());
        }
        self.log
            .reopen(&fresh.settings.log)
            .map_err(|error| format!("[log] to: {error}"))?;
        self.ports
            .change(self, &fresh.settings.listen)
            .map_err(|failure| failure.text().to_owned())?;
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// Whether relayd is about to end.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// The login name of a uid, where the system knows one. Looked up once for each uid.
    pub(crate) async fn login_of(&self, uid: u32) -> Option<String> {
        if let Some(known) = self.logins().get(&uid) {
            return known.clone();
        }
        // The name service may be a server far away.
        let looked_up = tokio::task::spawn_blocking(move || {
            identity::account_of(uid).map(|account| account.login)
        });
        let login = looked_up.await.unwrap_or_default();
        let mut logins = self.logins();
        if logins.len() < LOGINS {
            logins.insert(uid, login.clone());
        }
        login
    }

    fn logins(&self) -> MutexGuard<'_, HashMap<u32, Option<String>>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a new entry known: to listings, and to the dispatcher.
    pub(crate) async fn queued(&self, meta: Meta) {
        let queued = queued(&meta);
        self.index.insert(meta);
        // The dispatcher ends last; if it is gone, the entry waits on disk for the next start.
        let _ = self.events.send(Event::Queued(queued)).await;
    }
}

/// Both clocks.
pub(crate) fn now() -> Now {
    Now {
        mono: host::clock::monotonic(),
        wall: host::clock::wall(),
    }
}

/// What the scheduler must know of an entry.
pub(crate) fn queued(meta: &Meta) -> Queued {
    let sender = meta
        .envelope
        .sender
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Queued {
        id: meta.id,
        origin: OriginKey {
            submitter: outcome::submitter_text(&meta.origin),
            sender,
        },
        arrival: meta.arrival,
        attempts: meta.attempts,
        uncertain: meta.uncertain,
        held: meta.queue == Queue::Hold,
    }
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What kept it from starting.
pub(crate) fn run(file: &Path, running: Running, ports: Vec<TcpDoor>) -> Result<(), Failure> {
    let log = Log::open(&running.settings.log)
        .map_err(|error| Failure::new(ExitStatus::CannotCreate, format!("[log] to: {error}")))?;
    let spool = open_spool(&running.settings.paths.spool)?;
    // From here on this is the only relayd, so sockets found in the run folder are left-overs.
    let sockets = listen::unix(&running.settings.paths)?;
    let (events, inbox) = mpsc::channel(EVENTS);
    let (stop, stopping) = watch::channel(false);
    let relay = Arc::new(Relay {
        spool,
        index: Index::default(),
        log,
        events,
        stopping,
        retired: tokio::sync::Notify::new(),
        ports: door::Ports::default(),
        logins: Mutex::default(),
        file: file.to_owned(),
        running: RwLock::new(Arc::new(running)),
        stop,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(DISK_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitStatus::OsError, error.to_string()))?;
    runtime.block_on(serve(relay, inbox, sockets, ports))
}

fn open_spool(root: &Path) -> Result<Spool<RealDisk>, Failure> {
    Spool::open(RealDisk, root).map_err(|error| match error.kind {
        ErrorKind::AnotherRelayd => {
            let text = format!(
                "another relayd runs on the spool {}; there can be one",
                root.display()
            );
            Failure::new(ExitStatus::Unavailable, text)
        }
        _ => Failure::new(ExitStatus::CannotCreate, error.to_string()),
    })
}

async fn serve(
    relay: Arc<Relay>,
    inbox: mpsc::Receiver<Event>,
    sockets: UnixDoors,
    ports: Vec<TcpDoor>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(ExitStatus::OsError, error.to_string());
    catch_signals(&relay).map_err(failed)?;
    relay.log.write(&Line::Started {
        version: env!("CARGO_PKG_VERSION"),
        settings: &relay.file.to_string_lossy(),
    });
    let dispatcher = tokio::spawn(Dispatcher::new(Arc::clone(&relay), inbox).run());
    // Before the doors open: what comes in afterwards must not be found a second time. Clients wait
    // in the sockets meanwhile, which are there already.
    recover(&relay).await?;
    control::serve(&relay, sockets.control).map_err(failed)?;
    door::serve(&relay, sockets.submit, ports)?;
    intake::serve(&relay);
    let syncing = tokio::spawn(sync_removals(Arc::clone(&relay)));
    if let Err(error) = host::systemd::notify("READY=1") {
        relay.log.warn(&format!("telling systemd: {error}"));
    }
    let ended = dispatcher.await;
    syncing.abort();
    let spool = relay.spool.clone();
    let _ = tokio::task::spawn_blocking(move || spool.sync_retired()).await;
    ended.map_err(|error| Failure::new(ExitStatus::Software, format!("the dispatcher: {error}")))
}

/// Takes up what an earlier run left in the spool.
async fn recover(relay: &Arc<Relay>) -> Result<(), Failure> {
    let spool = relay.spool.clone();
    let found = tokio::task::spawn_blocking(move || spool.scan())
        .await
        .map_err(|error| Failure::new(ExitStatus::Software, error.to_string()))?
        .map_err(|error| Failure::new(ExitStatus::IoError, error.to_string()))?;
    for one in found {
        match one {
            Found::Entry(meta) if meta.is_finished() => outcome::retire(relay, meta.id).await,
            Found::Entry(meta) => {
                if meta.uncertain {
                    let running = relay.running();
                    relay.log.write(&Line::Uncertain {
                        id: meta.id,
                        gateway: &running.gateway().name,
                    });
                }
                relay.queued(*meta).await;
            }
            Found::Damaged {
                name, queue, why, ..
            } => {
                relay.log.write(&Line::Damaged {
                    name: &name,
                    queue: queue.name(),
                    why: &why.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Makes removals durable, many in one sync.
async fn sync_removals(relay: Arc<Relay>) {
    loop {
        relay.retired.notified().await;
        tokio::time::sleep(SYNC_EVERY).await;
        let spool = relay.spool.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || spool.sync_retired()).await {
            relay
                .log
                .warn(&format!("{error}; a crash now could repeat deliveries"));
        }
    }
}

fn catch_signals(relay: &Arc<Relay>) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        let signal = loop {
            tokio::select! {
                _ = hangup.recv() => {
                    // What is wrong was logged.
                    let _ = relay.reload().await;
                }
                _ = terminate.recv() => break SignalKind::terminate(),
                _ = interrupt.recv() => break SignalKind::interrupt(),
            }
        };
        relay.log.write(&Line::Stopping {
            signal: signal.as_raw_value(),
        });
        let _ = host::systemd::notify("STOPPING=1");
        let _ = relay.stop.send(true);
        let _ = relay.events.send(Event::Stop).await;
    });
    Ok(())
}
