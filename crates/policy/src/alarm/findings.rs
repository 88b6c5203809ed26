//! From facts and thresholds to what is wrong.

use super::facts::{Disk, Down, Facts, GatewayFacts, QuotaFacts};
use super::words::span;
use crate::schedule::TroubleKind;
use crate::settings::alarm::Watch;
use crate::verdict::Cause;
use mail::Timestamp;
use std::time::Duration;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Somebody should look, in time.
    Warning,
    /// Mail waits or will be lost, or nobody is told.
    Critical,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The cause in a word or a few, the same for as long as it lasts: `gateway main`, `disk`.
    pub cause: String,
    /// What of several things this cause can be; when it becomes another one, that is told.
    pub kind: &'static str,
    /// How bad.
    pub grade: Grade,
    /// What is wrong, in one line.
    pub what: String,
    /// What to do, in a sentence or two.
    pub remedy: String,
}

/// What [`examine`] sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Causes of which it is not known, or too early to say, whether they are there. They are
    /// neither raised nor called over.
    pub open: Vec<String>,
    /// Messages that wait.
    pub waiting: u64,
}

/// Says what is wrong.
#[must_use]
pub fn examine(facts: &Facts, watch: &Watch, now: Timestamp) -> Picture {
    let mut picture = Picture {
        waiting: facts.waiting,
        ..Picture::default()
    };
    if !facts.running {
        picture.find(not_running(facts));
    }
    for gateway in &facts.gateways {
        picture.gateway(gateway, watch);
    }
    for quota in &facts.quotas {
        picture.quota(quota, watch);
    }
    picture.messages(facts, watch);
    picture.spool(facts, watch);
    for ending in &facts.expiring {
        let left = ending.at.since(now);
        if left <= watch.expiry_before {
            picture.find(expiring(&ending.what, left));
        }
    }
    if facts.untold > 0 {
        picture.find(Finding {
            cause: "roads".to_owned(),
            kind: "closed",
            grade: Grade::Critical,
            what: format!(
                "{} could not be told by any road",
                count(facts.untold, "alarm")
            ),
            remedy:
                "Look at [alarm] in relayd.conf; relayctl emergency --debug TEST < /etc/hostname \
                     tries the roads and shows what they say."
                    .to_owned(),
        });
    }
    picture
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    picture
}

impl Picture {
    fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn gateway(&mut self, gateway: &GatewayFacts, watch: &Watch) {
        let cause = format!("gateway {}", gateway.name);
        let Some(down) = &gateway.down else {
            if !gateway.proven {
                self.open.push(cause);
            }
            return;
        };
        let patience = match down.kind {
            TroubleKind::Unreachable | TroubleKind::Refused4xx => watch.gateway_down_after,
            TroubleKind::Refused5xx
            | TroubleKind::Tls
            | TroubleKind::NoAuth
            | TroubleKind::Auth => watch.gateway_refuses_after,
        };
        if down.lasting < patience {
            return self.open.push(cause);
        }
        let (kind, what, remedy) = outage(down);
        self.find(Finding {
            cause,
            kind,
            grade: Grade::Critical,
            what: format!(
                "gateway {} {what}: {}",
                gateway.name,
                own_words(&down.reason)
            ),
            remedy,
        });
    }

    fn quota(&mut self, quota: &QuotaFacts, watch: &Watch) {
        let QuotaFacts {
            gateway,
            limit,
            used,
            of,
        } = quota;
        let share = used.saturating_mul(100) / (*of).max(1);
        let (kind, grade) = match share {
            100.. => ("spent", Grade::Critical),
            95.. => ("nearly spent", Grade::Critical),
            share if share >= u64::from(watch.quota_warn) => ("running low", Grade::Warning),
            _ => return,
        };
        self.find(Finding {
            cause: format!("quota {limit} of gateway {gateway}"),
            kind,
            grade,
            what: format!("the quota {limit} of gateway {gateway} is {kind}: {used} of {of} used"),
            remedy: "Look who sends so much (relayctl status, the mail log), ask the provider for \
                     more, or set overflow in the gateway's section. Mail beyond the quota is kept."
                .to_owned(),
        });
    }

    fn messages(&mut self, facts: &Facts, watch: &Watch) {
        if let Some((number, sender, words)) = &facts.refused_senders {
            self.find(Finding {
                cause: "sender".to_owned(),
                kind: "refused",
                grade: Grade::Critical,
                what: format!(
                    "{} since the gateway does not accept the sender, as {sender}: {}",
                    waits(*number),
                    own_words(words)
                ),
                remedy: advice_in(words).unwrap_or_default(),
            });
        }
        let is_down = !facts.running || facts.gateways.iter().any(|gateway| gateway.down.is_some());
        let Some(oldest) = &facts.oldest else { return };
        if oldest.age < watch.stuck_after {
            return;
        }
        // Where the gateway is down, or the sender is refused, that is the cause.
        if is_down || facts.refused_senders.is_some() {
            return self.open.push("stuck".to_owned());
        }
        let reason = oldest.reason.as_deref().unwrap_or("no reason is known");
        self.find(Finding {
            cause: "stuck".to_owned(),
            kind: "stuck",
            grade: Grade::Warning,
            what: format!(
                "message {} waits for {}: {}",
                oldest.id,
                span(oldest.age),
                own_words(reason)
            ),
            remedy: "mailq lists what waits and why. What cannot be delivered goes back to its \
                     sender after queue_lifetime."
                .to_owned(),
        });
    }

    fn spool(&mut self, facts: &Facts, watch: &Watch) {
        if let Some(disk) = &facts.disk {
            self.disk(disk, watch);
        }
        if facts.damaged > 0 {
            self.find(Finding {
                cause: "damaged".to_owned(),
                kind: "damaged",
                grade: Grade::Warning,
                what: format!(
                    "{} in the spool: see corrupt",
                    count(facts.damaged, "damaged entry")
                ),
                remedy: "Look at the files in the spool's folder corrupt and at the disk; \
                         relayd-spool(5) says what is in them. Remove them when done."
                    .to_owned(),
            });
        }
        if let Some((age, number)) = facts.maildrop
            && age >= watch.maildrop_after
            && facts.running
        {
            self.find(Finding {
                cause: "maildrop".to_owned(),
                kind: "waiting",
                grade: Grade::Critical,
                what: format!(
                    "maildrop is not emptied: {} there, the oldest for {}",
                    lies(number),
                    span(age)
                ),
                remedy:
                    "Look into the mail log for what relayd says about maildrop; the disk may be \
                         full, or a file there is not readable for relayd."
                        .to_owned(),
            });
        }
    }

    fn disk(&mut self, disk: &Disk, watch: &Watch) {
        let share = |free: u64, all: u64| {
            if all == 0 {
                100
            } else {
                u128::from(free) * 100 / u128::from(all)
            }
        };
        let bytes = share(disk.free, disk.size);
        let files = share(disk.free_files, disk.files);
        let (what, left) = if files < bytes {
            ("inodes", files)
        } else {
            ("space", bytes)
        };
        if left >= u128::from(watch.disk_free) {
            return;
        }
        let grade = if left * 2 < u128::from(watch.disk_free) {
            Grade::Critical
        } else {
            Grade::Warning
        };
        self.find(Finding {
            cause: "disk".to_owned(),
            kind: if grade == Grade::Critical {
                "nearly full"
            } else {
                "filling up"
            },
            grade,
            what: format!("the disk of the spool has {left}% of its {what} left"),
            remedy:
                "Free some of it, or give the spool a disk of its own. When it is full, mail is \
                     refused and nothing can be sent."
                    .to_owned(),
        });
    }
}

/// What an outage is called: kind, words before the reason, remedy.
fn outage(down: &Down) -> (&'static str, &'static str, String) {
    let known = Cause::told_in(&down.reason);
    let remedy = |usual: &str| advice_in(&down.reason).unwrap_or_else(|| usual.to_owned());
    match (down.kind, known) {
        (_, Some(Cause::Quota)) => ("quota", "has no quota left", remedy("")),
        (TroubleKind::Auth, _) => (
            "auth",
            "refuses user or password",
            remedy(
                "Put the right password into its file, then relayctl reload. It is tried rarely \
                 until then, so that the account is not locked. Mail is kept.",
            ),
        ),
        (TroubleKind::NoAuth, _) => (
            "auth",
            "offers no way to log in that may be used",
            remedy("Check host, port and tls in the gateway's section."),
        ),
        (TroubleKind::Tls, _) => (
            "tls",
            "cannot be trusted",
            "The certificate must be valid, from a trusted authority and for the name in tls_name. \
             If it has expired, the provider must renew it. Check this host's clock as well. Mail is \
             kept."
                .to_owned(),
        ),
        (TroubleKind::Unreachable, _) => (
            "unreachable",
            "cannot be reached",
            "Check this host's network and DNS, the provider's status page, and whether a firewall \
             blocks the port. Mail is kept and goes out when it is back."
                .to_owned(),
        ),
        (TroubleKind::Refused4xx | TroubleKind::Refused5xx, _) => (
            "refused",
            "takes no mail",
            remedy("Read its words, and look for a notice at the provider. Mail is kept."),
        ),
    }
}

/// The gateway's words without the advice that goes with them in the log.
fn own_words(reason: &str) -> String {
    let words = reason.split(" -- ").next().unwrap_or(reason);
    crate::log::printable::shortened(words, 300)
}

/// That advice, as sentences.
fn advice_in(reason: &str) -> Option<String> {
    let (_, advice) = reason.rsplit_once(" -- ")?;
    let mut text = format!("{advice}.");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Some(text)
}

fn not_running(facts: &Facts) -> Finding {
    let waiting = facts.waiting + facts.maildrop.map_or(0, |(_, number)| number);
    Finding {
        cause: "relayd".to_owned(),
        kind: "down",
        grade: Grade::Critical,
        what: format!("relayd is not running; {}", waits(waiting)),
        remedy:
            "systemctl status relayd says why, relayd --check what is wrong with the settings; \
                 then systemctl start relayd. Mail that is handed in meanwhile is kept."
                .to_owned(),
    }
}

fn expiring(what: &str, left: Duration) -> Finding {
    let (kind, grade, words) = if left.is_zero() {
        ("expired", Grade::Critical, "has expired".to_owned())
    } else {
        (
            "expiring",
            Grade::Warning,
            format!("expires in {}", span(left)),
        )
    };
    Finding {
        cause: format!("expiry of {what}"),
        kind,
        grade,
        what: format!("{what} {words}"),
        remedy: "Renew it, then relayctl reload.".to_owned(),
    }
}

fn count(number: u64, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        _ => format!("{number} {what}s"),
    }
}

fn waits(number: u64) -> String {
    let verb = if number == 1 { "waits" } else { "wait" };
    format!("{} {verb}", count(number, "message"))
}

fn lies(number: u64) -> String {
    let verb = if number == 1 { "lies" } else { "lie" };
    format!("{} {verb}", count(number, "message"))
}

#[cfg(test)]
mod tests;
