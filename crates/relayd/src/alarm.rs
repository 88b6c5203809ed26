//! Watches over relayd and tells a person: gathers facts, has `policy::alarm` say what is wrong and
//! whom to tell what, and sends that by the roads of `[alarm]`. Delivery never waits for any of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use host::secret::Keeper;
use mail::{QueueId, Timestamp};
use policy::alarm::{
    Alarms, Disk, Expiry, Facts, GatewayFacts, Grade, Notice, NoticeKind, Oldest, examine,
};
use policy::settings::alarm::{Heartbeat, Road};
use policy::verdict::Cause;
use roads::{Event, Letter, Tried};
use spool::Note;
use tokio::sync::oneshot;

use crate::control;
use crate::dispatch::GatewayState;
use crate::relay::Relay;

/// Starts watching.
pub(crate) fn serve(relay: &Arc<Relay>) {
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        look_at_roads(&relay).await;
        let alarms = load(&relay).await;
        let watcher = Watcher {
            logged: alarms.last_number(),
            relay,
            alarms,
            carrier: None,
            pinged: None,
            critical: false,
        };
        watcher.run().await;
    });
}

/// Secrets and certificates that cannot be used are told now, not when somebody is to be told.
async fn look_at_roads(relay: &Arc<Relay>) {
    let roads = relay.running().settings.alarm.roads.clone();
    let look = move || {
        let keeper = Keeper::this_process();
        let faults = roads.iter().map(|road| (road, roads::fault(road, &keeper)));
        let told = |(road, fault): (&Road, Option<String>)| {
            fault.map(|fault| {
                format!(
                    "[{}]: this road for alarms is closed: {fault}",
                    road.section
                )
            })
        };
        faults.filter_map(told).collect::<Vec<_>>()
    };
    for fault in tokio::task::spawn_blocking(look).await.unwrap_or_default() {
        relay.log.warn(&fault);
    }
}

/// What an earlier run knew.
async fn load(relay: &Arc<Relay>) -> Alarms {
    let spool = relay.spool.clone();
    let read = tokio::task::spawn_blocking(move || spool.note(Note::Alarms)).await;
    let problem = match read {
        Ok(Ok(None)) => return Alarms::default(),
        Ok(Ok(Some(bytes))) => match Alarms::from_text(&String::from_utf8_lossy(&bytes)) {
            Ok(alarms) => return alarms,
            Err(error) => error.to_string(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    relay.log.warn(&format!(
        "what was alarmed about before is not known, so it may be told again: {problem}"
    ));
    Alarms::default()
}

/// What is known of relayd, its gateways and its spool now.
pub(crate) async fn facts(relay: &Arc<Relay>) -> Facts {
    let mut facts = Facts {
        running: true,
        untold: relay.untold.load(Ordering::Relaxed),
        ..Facts::default()
    };
    if let Some(states) = control::states(relay).await {
        let known = |state: GatewayState| GatewayFacts {
            name: state.name,
            down: state.trouble,
            proven: state.proven,
        };
        facts.gateways = states.gateways.into_iter().map(known).collect();
    }
    let running = relay.running();
    let gateways = &running.settings.gateways;
    facts.quotas = relay.quotas.facts(gateways, host::clock::wall()).await;
    // The rules are the same for all gateways.
    let rules = gateways.first().map(|gateway| running.judge(gateway).rules);
    let cause = |reason: &str| rules.and_then(|rules| rules.cause_told_in(reason));
    let survey = relay
        .index
        .survey(&|reason| cause(reason) == Some(Cause::Sender));
    (facts.waiting, facts.deferred, facts.held) = (survey.waiting, survey.deferred, survey.held);
    facts.oldest = survey.oldest.map(|(id, arrival, reason)| Oldest {
        id: id.to_string(),
        age: host::clock::wall().since(arrival),
        reason,
    });
    facts.refused_senders = survey
        .refused_sender
        .map(|(sender, words)| (survey.refused_senders, sender, words));
    let root = running.settings.paths.spool.clone();
    let certificate = running.settings.listen.tls_cert.clone();
    let look = move || {
        let expiring = certificate.and_then(|file| expiry(&file));
        spool::condition(&root, SystemTime::now()).map(|condition| (condition, expiring))
    };
    match tokio::task::spawn_blocking(look).await {
        Ok(Ok((condition, expiring))) => {
            facts.expiring.extend(expiring);
            facts.disk = Some(Disk {
                free: condition.bytes.0,
                size: condition.bytes.1,
                free_files: condition.files.0,
                files: condition.files.1,
            });
            facts.damaged = condition.damaged;
            let dropped = (condition.dropped > 0).then_some(condition.dropped);
            facts.maildrop = dropped.map(|number| (condition.oldest_drop, number));
        }
        Ok(Err(error)) => relay.log.warn(&format!("looking at the spool: {error}")),
        Err(error) => relay.log.warn(&format!("looking at the spool: {error}")),
    }
    facts
}

/// When the first certificate of a chain ends. One that cannot be read is told when it is used.
fn expiry(file: &Path) -> Option<Expiry> {
    let chain = tls::certificates(file).ok()?;
    Some(Expiry {
        what: format!("the certificate {}", file.display()),
        at: Timestamp::from_secs(tls::not_after(chain.first()?)?),
    })
}

/// A numbering of what was seen of the queue, for [`facts`].
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) waiting: u64,
    pub(crate) deferred: u64,
    pub(crate) held: u64,
    /// The one that waits longest: id, arrival, reason.
    pub(crate) oldest: Option<(QueueId, Timestamp, Option<String>)>,
    /// Messages whose sender the gateway does not take, and one such sender with its words.
    pub(crate) refused_senders: u64,
    pub(crate) refused_sender: Option<(String, String)>,
}

/// A letter on its way.
struct Carrier {
    number: u64,
    done: oneshot::Receiver<Vec<Tried>>,
}

struct Watcher {
    relay: Arc<Relay>,
    alarms: Alarms,
    /// The last notice that the log has.
    logged: u64,
    carrier: Option<Carrier>,
    /// When the heartbeat's address was last asked for.
    pinged: Option<Duration>,
    /// Something critical is wrong.
    critical: bool,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let every = self.relay.running().settings.alarm.watch.look_every();
            tokio::select! {
                () = self.relay.stopped() => return,
                tried = carried(&mut self.carrier) => self.arrived(tried).await,
                () = tokio::time::sleep(every) => self.look().await,
            }
            self.send();
            self.ping();
        }
    }

    async fn look(&mut self) {
        let running = self.relay.running();
        let settings = &running.settings.alarm;
        let mut facts = facts(&self.relay).await;
        // That a road is closed is not told by the roads.
        facts.untold = 0;
        let now = host::clock::wall();
        let picture = examine(&facts, &settings.watch, now);
        let grades = picture.findings.iter().map(|finding| finding.grade);
        self.critical = grades.max() == Some(Grade::Critical);
        let changed = self.alarms.observe(now, &picture, &settings.watch);
        for notice in self.alarms.after(self.logged) {
            if notice.kind != NoticeKind::Well {
                self.relay.log.warn(&format!("alarm: {}", notice.subject()));
            }
        }
        self.logged = self.alarms.last_number();
        if settings.roads.is_empty() {
            self.alarms.forget_untold();
        }
        if changed {
            self.keep().await;
        }
    }

    /// Puts what is known on the disk. Where that fails it is still told, and only a restart
    /// forgets it.
    async fn keep(&self) {
        let (relay, text) = (Arc::clone(&self.relay), self.alarms.to_text());
        let kept = tokio::task::spawn_blocking(move || {
            relay.spool.keep_note(Note::Alarms, text.as_bytes())
        });
        if let Ok(Err(error)) = kept.await {
            self.relay
                .log
                .warn(&format!("alarms cannot be kept on the disk: {error}"));
        }
    }

    /// Sends the next letter, if there is one and none is on its way.
    fn send(&mut self) {
        let untold = u64::try_from(self.alarms.untold()).unwrap_or(u64::MAX);
        self.relay.untold.store(untold, Ordering::Relaxed);
        if self.carrier.is_some() {
            return;
        }
        let Some(notice) = self.alarms.due(host::clock::wall()).cloned() else {
            return;
        };
        let (tell, done) = oneshot::channel();
        let running = self.relay.running();
        let (roads, host) = (
            running.settings.alarm.roads.clone(),
            running.hostname.clone(),
        );
        let number = notice.number;
        let spawned = thread("alarm", move || {
            // Nobody waits for it any more where relayd ends.
            let _ = tell.send(carry(&notice, &roads, &host));
        });
        match spawned {
            Ok(()) => self.carrier = Some(Carrier { number, done }),
            Err(error) => {
                self.relay.log.warn(&format!("sending an alarm: {error}"));
                self.alarms.not_told(host::clock::wall());
            }
        }
    }

    /// A letter was taken, or was not.
    async fn arrived(&mut self, tried: Vec<Tried>) {
        let Some(Carrier { number, .. }) = self.carrier.take() else {
            return;
        };
        for Tried { road, outcome } in &tried {
            match outcome {
                Ok(accepted) => {
                    for one in &accepted.left_out {
                        self.relay
                            .log
                            .warn(&format!("alarm not told: {road}: {one}"));
                    }
                }
                Err(refusal) => {
                    let text = &refusal.text;
                    self.relay
                        .log
                        .warn(&format!("alarm not told: {road}: {text}"));
                }
            }
        }
        if tried.last().is_some_and(|last| last.outcome.is_ok()) {
            self.alarms.told(number);
        } else {
            self.alarms.not_told(host::clock::wall());
        }
        self.keep().await;
    }

    /// Says that relayd works, to a service that misses it otherwise.
    fn ping(&mut self) {
        let running = self.relay.running();
        let Some(heartbeat) = running.settings.alarm.heartbeat.clone() else {
            return;
        };
        let now = host::clock::monotonic();
        let early = self.pinged.is_some_and(|last| now < last + heartbeat.every);
        if early || self.critical {
            return;
        }
        self.pinged = Some(now);
        let relay = Arc::clone(&self.relay);
        let spawned = thread("heartbeat", move || ask(&relay, &heartbeat));
        if let Err(error) = spawned {
            self.relay.log.warn(&format!("heartbeat: {error}"));
        }
    }
}

fn ask(relay: &Relay, heartbeat: &Heartbeat) {
    if let Err(refusal) = roads::ask(heartbeat, &Keeper::this_process()) {
        relay.log.warn(&format!("heartbeat: {}", refusal.text));
    }
}

/// A thread that nobody waits for: a server that hangs must not keep relayd from ending.
fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map(drop)
}

/// What became of the letter on its way; for ever where there is none.
async fn carried(carrier: &mut Option<Carrier>) -> Vec<Tried> {
    match carrier {
        Some(carrier) => (&mut carrier.done).await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// Blocks for as long as the roads take.
fn carry(notice: &Notice, roads: &[Road], host: &str) -> Vec<Tried> {
    let (subject, body) = (format!("{host}: {}", notice.subject()), notice.body(host));
    let letter = Letter {
        subject: &policy::log::printable::shortened(&subject, 500),
        body: body.as_bytes(),
        host,
        at: notice.at,
        number: host::random::bytes().map_or(notice.number, u64::from_be_bytes),
        event: match notice.kind {
            NoticeKind::Well => Event::Alone,
            NoticeKind::Over => Event::Over(&notice.cause),
            _ => Event::Trouble(&notice.cause),
        },
    };
    roads::carry(&letter, roads, &Keeper::this_process(), None)
}
