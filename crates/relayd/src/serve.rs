//! The daemon's life: what is started in which order, what is taken up from an earlier run, which
//! signals do what, and how it stops.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mail::QueueId;
use policy::log::Line;
use policy::sysexits::ExitStatus;
use spool::{ErrorKind, Found, RealDisk, Spool};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::disk::Disk;
use crate::dispatch::{Dispatcher, Event};
use crate::listen::TcpDoor;
use crate::log::Log;
use crate::relay::Relay;
use crate::running::Running;
use crate::{Failure, alarm, control, door, intake, kept, listen, record};

/// Threads that work on the disk.
const DISK_THREADS: usize = 10;
/// Threads that may wait for others at once: name lookups, passwords from commands.
const WAITING_THREADS: usize = 32;
/// Facts that wait for the dispatcher; beyond it their senders wait.
const EVENTS: usize = 4096;
/// How long a retired entry's removal may stay unsynced: a crash within it repeats a delivery (I3).
const SYNC_EVERY: Duration = Duration::from_millis(50);
/// How long messages that are being handed in, and entries that are being given up, may take once
/// the sessions with the gateway have ended. Partner: `door::session::GRACE`, which is shorter.
const WORK_WITHIN: Duration = Duration::from_secs(8);
/// How long the last lines of the log may take.
const LOG_WITHIN: Duration = Duration::from_secs(5);
/// How long disk calls under way may hold up the end.
const DISK_WITHIN: Duration = Duration::from_secs(30);

/// Ends a second start before it takes ports or folders. The lock itself is taken later, as the
/// account that relayd runs as.
///
/// # Errors
/// Status 69 if another relayd holds the spool's lock.
pub(crate) fn refuse_a_second(spool: &Path) -> Result<(), Failure> {
    let Ok(lock) = File::open(spool.join("state/lock")) else {
        return Ok(());
    };
    match lock.try_lock_shared() {
        Err(std::fs::TryLockError::WouldBlock) => Err(another_runs(spool)),
        _ => Ok(()),
    }
}

fn another_runs(spool: &Path) -> Failure {
    let text = format!(
        "another relayd runs on the spool {}; there can be one",
        spool.display()
    );
    Failure::new(ExitStatus::Unavailable, text)
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What kept it from starting.
pub(crate) fn run(file: &Path, running: Running, ports: Vec<TcpDoor>) -> Result<(), Failure> {
    let log = Log::open(&running.settings.log)
        .map_err(|error| Failure::new(ExitStatus::CannotCreate, format!("[log] to: {error}")))?;
    let spool = open_spool(&running.settings.paths.spool)?;
    let (events, inbox) = mpsc::channel(EVENTS);
    let no_thread = |error: io::Error| Failure::new(ExitStatus::OsError, error.to_string());
    let disk = Disk::start(DISK_THREADS).map_err(no_thread)?;
    let relay = Arc::new(Relay::new(file, running, (spool, disk), log, events));
    // One thread for all connections. They wait far more than they work, and waking each other
    // across threads would cost more than it could gain.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(WAITING_THREADS)
        .enable_all()
        .build()
        .map_err(no_thread)?;
    let ended = runtime.block_on(serve(Arc::clone(&relay), inbox, ports));
    runtime.shutdown_background();
    // A disk that hangs must not keep relayd from ending: what it was told to do may be done or not.
    relay.disk.finish(DISK_WITHIN);
    relay.log.finish(LOG_WITHIN);
    ended
}

fn open_spool(root: &Path) -> Result<Spool<RealDisk>, Failure> {
    Spool::open(RealDisk, root).map_err(|error| match error.kind {
        ErrorKind::AnotherRelayd => another_runs(root),
        ErrorKind::Mode { wanted, .. } => Failure::config(format!(
            "{error}; look at what is in it, then chmod {wanted:04o} it"
        )),
        _ => Failure::new(ExitStatus::CannotCreate, error.to_string()),
    })
}

async fn serve(
    relay: Arc<Relay>,
    inbox: mpsc::Receiver<Event>,
    ports: Vec<TcpDoor>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(ExitStatus::OsError, error.to_string());
    // A reload that is asked for now waits until the ports serve: it would open them a second time.
    let starting = relay.starting().await;
    // First, so that whoever sees the sockets can stop us in good order.
    catch_signals(&relay).map_err(failed)?;
    // The spool's lock makes this the only relayd: sockets found in the run folder are left-overs.
    let sockets = listen::unix(&relay.running().settings.paths)?;
    relay.log.write(&Line::Started {
        version: env!("CARGO_PKG_VERSION"),
        settings: &relay.file().to_string_lossy(),
    });
    if let Some(warning) = relay.running().spool_warning() {
        relay.log.warn(&warning);
    }
    // Told now and not with the first message. They keep nothing from starting.
    for problem in relay.running().aliases.current().problems {
        relay.log.warn(&problem.to_string());
    }
    if let Err(problem) = relay.quotas.load(&relay.spool) {
        relay.log.write(&Line::Error {
            service: "relayd",
            text: &format!("what was sent before does not count in any quota: {problem}"),
        });
    }
    let dispatcher = tokio::spawn(Dispatcher::new(Arc::clone(&relay), inbox).run());
    // Before the doors open: what comes in afterwards must not be found a second time. Clients wait
    // in the sockets meanwhile, which are there already.
    recover(&relay).await?;
    control::serve(&relay, sockets.control).map_err(failed)?;
    door::serve(&relay, sockets.submit, ports)?;
    drop(starting);
    intake::serve(&relay);
    alarm::serve(&relay);
    let syncing = tokio::spawn(sync_removals(Arc::clone(&relay)));
    if let Err(error) = host::systemd::notify("READY=1") {
        relay.log.warn(&format!("telling systemd: {error}"));
    }
    let ended = dispatcher.await;
    if tokio::time::timeout(WORK_WITHIN, relay.end_of_work())
        .await
        .is_err()
    {
        relay
            .log
            .warn("stopping while a message is being handed in; its client was not told that it is queued");
    }
    syncing.abort();
    let last = Arc::clone(&relay);
    let last_words = move || {
        last.kept.write_down();
        last.spool.sync_retired()
    };
    let _ = relay.disk.run(last_words).await;
    ended.map_err(|error| Failure::new(ExitStatus::Software, format!("the dispatcher: {error}")))
}

/// Takes up what an earlier run left in the spool.
async fn recover(relay: &Arc<Relay>) -> Result<(), Failure> {
    let spool = relay.spool.clone();
    let found = relay
        .disk
        .run(move || spool.scan())
        .await
        .map_err(|error| Failure::new(ExitStatus::Software, error.to_string()))?
        .map_err(|error| Failure::new(ExitStatus::IoError, error.to_string()))?;
    for one in found {
        match one {
            Found::Entry(meta) if meta.is_finished() => retire(relay, meta.id).await,
            Found::Entry(meta) => {
                if meta.uncertain {
                    let mark = meta.last_attempt.as_ref();
                    relay.log.write(&Line::Uncertain {
                        id: meta.id,
                        gateway: mark.map_or("unknown", |mark| &mark.gateway),
                    });
                }
                relay.queued(*meta).await;
            }
            Found::Damaged {
                name,
                queue,
                why,
                moved_to,
            } => {
                relay.log.write(&Line::Damaged {
                    name: &name,
                    queue: queue.name(),
                    moved: moved_to.is_some(),
                    why: &why.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Removes an entry that was found with nothing left to do: a crash had undone its removal.
async fn retire(relay: &Arc<Relay>, id: QueueId) {
    let spool = relay.spool.clone();
    match relay.disk.run(move || spool.retire(id)).await {
        Ok(Ok(())) => record::announce_removal(relay, id),
        Ok(Err(error)) => relay.log.warn(&format!("{id}: {error}")),
        Err(error) => relay.log.warn(&format!("{id}: {error}")),
    }
}

/// Makes removals durable, many in one sync, and writes down what the disk did not take before.
async fn sync_removals(relay: Arc<Relay>) {
    loop {
        let asked = tokio::time::timeout(kept::ASK_AGAIN, relay.retired.notified()).await;
        if asked.is_err() && relay.kept.is_empty() {
            continue;
        }
        tokio::time::sleep(SYNC_EVERY).await;
        let shared = Arc::clone(&relay);
        let synced = relay.disk.run(move || {
            shared.kept.write_down();
            shared.spool.sync_retired()
        });
        if let Ok(Err(error)) = synced.await {
            relay
                .log
                .warn(&format!("{error}; a crash now could repeat deliveries"));
        }
    }
}

fn catch_signals(relay: &Arc<Relay>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        let reloads = async {
            loop {
                hangup.recv().await;
                // What is wrong was logged.
                let _ = relay.reload().await;
            }
        };
        // A reload that takes its time keeps nobody from stopping.
        let signal = tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
            () = reloads => SignalKind::hangup(),
        };
        relay.log.write(&Line::Stopping {
            signal: signal.as_raw_value(),
        });
        let _ = host::systemd::notify("STOPPING=1");
        relay.begin_to_stop();
        let _ = relay.events.send(Event::Stop).await;
    });
    Ok(())
}
