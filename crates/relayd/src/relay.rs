//! What the parts of the daemon share, and the settings in force, which a reload replaces.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use host::identity;
use mail::{Origin, Submitter};
use policy::log::Line;
use policy::schedule::{Now, OriginKey, Queued};
use spool::{Meta, Queue, RealDisk, Spool};
use tokio::sync::{OwnedRwLockReadGuard, mpsc, watch};

use crate::budgets::Budgets;
use crate::disk::Disk;
use crate::dispatch::Event;
use crate::door;
use crate::fresh::Fresh;
use crate::index::Index;
use crate::kept::Kept;
use crate::log::Log;
use crate::quotas::Quotas;
use crate::running::Running;
use crate::way::{self, Numbers, Way};

/// Login names that are remembered.
const LOGINS: usize = 10_000;

/// What all parts of the daemon share.
pub(crate) struct Relay {
    pub(crate) spool: Spool<RealDisk>,
    pub(crate) disk: Disk,
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) events: mpsc::Sender<Event>,
    /// Whether relayd is about to end: no new work is begun then.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Set when there are removals to be synced.
    pub(crate) retired: tokio::sync::Notify,
    pub(crate) ports: door::Ports,
    /// Who tried wrong passwords.
    pub(crate) guesses: door::Guesses,
    /// What the disk did not take.
    pub(crate) kept: Kept,
    pub(crate) budgets: Budgets,
    pub(crate) quotas: Quotas,
    /// The gateways' numbers.
    pub(crate) numbers: Numbers,
    /// What was accepted a moment ago.
    pub(crate) fresh: Fresh,
    /// Alarms that no road took so far.
    pub(crate) untold: AtomicU64,
    /// Counts reloads, so that sessions with the gateway can end in good order and begin anew.
    pub(crate) reloads: watch::Sender<u64>,
    logins: Mutex<HashMap<u32, Option<String>>>,
    file: PathBuf,
    running: RwLock<Arc<Running>>,
    stop: watch::Sender<bool>,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
    /// Held shared by work that should be seen through before relayd ends.
    work: Arc<tokio::sync::RwLock<()>>,
}

/// Work that relayd sees through before it ends; dropped when it is done.
pub(crate) type Work = OwnedRwLockReadGuard<()>;

impl Relay {
    pub(crate) fn new(
        file: &Path,
        running: Running,
        (spool, disk): (Spool<RealDisk>, Disk),
        log: Log,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        Self {
            spool,
            disk,
            index: Index::default(),
            log,
            events,
            stopping,
            retired: tokio::sync::Notify::new(),
            ports: door::Ports::default(),
            guesses: door::Guesses::default(),
            kept: Kept::default(),
            budgets: Budgets::default(),
            quotas: Quotas::default(),
            numbers: Numbers::default(),
            fresh: Fresh::default(),
            untold: AtomicU64::new(0),
            reloads: watch::Sender::new(0),
            logins: Mutex::default(),
            file: file.to_owned(),
            running: RwLock::new(Arc::new(running)),
            stop,
            reloading: tokio::sync::Mutex::default(),
            work: Arc::default(),
        }
    }

    /// The settings file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The settings in force now. A caller that needs them to agree takes them once.
    pub(crate) fn running(&self) -> Arc<Running> {
        Arc::clone(&self.running.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a reload waiting for as long as what is returned lives.
    pub(crate) async fn starting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.reloading.lock().await
    }

    /// Reads the settings again and puts them in force if they are good.
    ///
    /// # Errors
    /// What is wrong with them; those in force stay.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), String> {
        let _one = self.reloading.lock().await;
        let file = self.file.clone();
        let loaded = tokio::task::spawn_blocking(move || Running::load(&file))
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
                self.reloads.send_modify(|count| *count += 1);
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

    /// Puts good settings in force, or changes nothing.
    fn replace(self: &Arc<Self>, mut fresh: Running) -> Result<(), String> {
        let current = self.running();
        if fresh.settings.paths != current.settings.paths {
            return Err("[paths] cannot change while relayd runs: restart it instead".to_owned());
        }
        let log =
            Log::prepare(&fresh.settings.log).map_err(|error| format!("[log] to: {error}"))?;
        self.ports
            .change(self, &fresh.settings.listen)
            .map_err(|failure| failure.text().to_owned())?;
        self.log.replace(log);
        if fresh.settings.user != current.settings.user {
            self.log
                .warn("user has changed; it counts from the next start on");
        }
        fresh.keep_aliases_of(&current);
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// Announces that relayd is about to end.
    pub(crate) fn begin_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns as soon as relayd is about to end.
    pub(crate) async fn stopped(&self) {
        // The sender lives in `self`, so there is no error.
        let _ = self.stopping.clone().wait_for(|stop| *stop).await;
    }

    /// Begins work that should be seen through before relayd ends. Once all of it is waited for,
    /// this does not return any more.
    pub(crate) async fn begin_work(&self) -> Work {
        Arc::clone(&self.work).read_owned().await
    }

    /// Returns when no work is under way.
    pub(crate) async fn end_of_work(&self) {
        std::mem::forget(Arc::clone(&self.work).write_owned().await);
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

    /// The way of an entry under the settings in force.
    pub(crate) fn way(&self, meta: &Meta) -> Way {
        way::way(&self.running().settings.gateways, &self.numbers, meta)
    }

    /// Makes a new entry known: to listings, and to the dispatcher.
    pub(crate) async fn queued(&self, meta: Meta) {
        let way = self.way(&meta);
        let queued = queued(&meta, &way);
        self.index.insert(meta, way.route.first());
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
pub(crate) fn queued(meta: &Meta, way: &Way) -> Queued {
    let sender = meta
        .envelope
        .sender
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Queued {
        id: meta.id,
        origin: OriginKey {
            submitter: submitter_text(&meta.origin),
            sender,
        },
        arrival: meta.arrival,
        attempts: meta.attempts,
        route: way.route,
        uncertain: way.uncertain,
        held: meta.queue == Queue::Hold,
        recipients: u32::try_from(meta.pending().count()).unwrap_or(u32::MAX),
    }
}

/// Who handed a message in, as the scheduler tells submitters apart.
fn submitter_text(origin: &Origin) -> String {
    match &origin.submitter {
        Submitter::Local { uid, .. } => format!("uid {uid}"),
        Submitter::Client {
            address,
            user: Some(user),
        } => format!("{user} at {address}"),
        Submitter::Client {
            address,
            user: None,
        } => address.clone(),
    }
}
