//! From findings over time to notices: one when a cause appears, some while it lasts, one when it
//! is gone; and the notices that no road has taken yet.
//!
//! Times are the wall clock's, since all this outlives relayd. A clock that jumps brings a reminder
//! early or late and loses nothing.

use super::findings::{Finding, Picture};
use crate::settings::alarm::Watch;
use mail::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Causes at a time; a few dozen is what a host can have.
const MOST_EPISODES: usize = 500;
/// Notices that wait for a road; beyond it reminders go first, then the oldest.
const MOST_UNTOLD: usize = 500;
/// Pauses after a notice that no road took: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(300);
/// Reminders become no rarer than this.
const REMIND_LONGEST: Duration = Duration::from_secs(86_400);
/// The pause between two notices that all is well.
const WELL_EVERY: Duration = Duration::from_secs(86_400);

/// What is wrong, since when, and who was told what of it. Kept on disk by [`Alarms::to_text`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    pub(super) episodes: BTreeMap<String, Episode>,
    pub(super) untold: VecDeque<Notice>,
    /// The number of the last notice.
    pub(super) number: u64,
    /// How often the first of the untold was tried in vain, and when it may be tried again.
    pub(super) failures: u32,
    pub(super) retry_at: Timestamp,
    /// When it was last told that all is well.
    pub(super) well: Timestamp,
}

/// A cause for as long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Episode {
    pub(super) since: Timestamp,
    /// When somebody was last told, or to be told.
    pub(super) told: Timestamp,
    pub(super) reminders: u32,
    /// What it was so far; each is told once.
    pub(super) kinds: Vec<String>,
    /// The last words about it.
    pub(super) what: String,
    pub(super) remedy: String,
    pub(super) most_waiting: u64,
    /// Since when it is gone; it is over after a while.
    pub(super) gone: Option<Timestamp>,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number, for [`Alarms::told`].
    pub number: u64,
    /// The cause, as in [`Finding::cause`].
    pub cause: String,
    /// What is told of it.
    pub kind: NoticeKind,
    /// When it was made.
    pub at: Timestamp,
    /// How long the cause lasted by then.
    pub lasting: Duration,
    /// What is wrong, or was.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Messages that wait.
    pub waiting: u64,
    /// The most that waited since the cause appeared.
    pub most_waiting: u64,
}

/// What a notice tells of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// It appeared.
    Raised,
    /// It has become another one.
    Changed,
    /// It is still there.
    Reminder,
    /// It is gone.
    Over,
    /// There is none.
    Well,
}

impl Alarms {
    /// Takes in what is seen now. True if something changed that should be kept on disk.
    pub fn observe(&mut self, now: Timestamp, picture: &Picture, watch: &Watch) -> bool {
        let mut changed = false;
        for finding in &picture.findings {
            changed |= self.found(now, finding, picture.waiting, watch);
        }
        for cause in &picture.open {
            if let Some(episode) = self.episodes.get_mut(cause) {
                changed |= episode.gone.take().is_some();
            }
        }
        changed |= self.gone(now, picture, watch);
        changed | self.all_well(now, picture, watch)
    }

    /// The next notice that a road should be tried for now.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<&Notice> {
        // Further ahead than any pause: the clock was set back meanwhile.
        let waits = self.retry_at > now && self.retry_at.since(now) <= RETRY_LONGEST;
        self.untold.front().filter(|_| !waits)
    }

    /// A road took this notice.
    pub fn told(&mut self, number: u64) {
        self.untold.retain(|notice| notice.number != number);
        (self.failures, self.retry_at) = (0, Timestamp::default());
    }

    /// No road took it.
    pub fn not_told(&mut self, now: Timestamp) {
        let pause = RETRY_FIRST.saturating_mul(1 << self.failures.min(10));
        self.retry_at = later(now, pause.min(RETRY_LONGEST));
        self.failures = self.failures.saturating_add(1);
    }

    /// How many notices were tried in vain or wait behind such a one.
    #[must_use]
    pub fn untold(&self) -> usize {
        if self.failures == 0 {
            0
        } else {
            self.untold.len()
        }
    }

    /// There is no road: what is to be told is dropped, and not told later either.
    pub fn forget_untold(&mut self) {
        self.untold.clear();
        (self.failures, self.retry_at) = (0, Timestamp::default());
    }

    /// The number of the last notice.
    #[must_use]
    pub const fn last_number(&self) -> u64 {
        self.number
    }

    /// The notices after the one with this number, as far as nobody took them yet.
    pub fn after(&self, number: u64) -> impl Iterator<Item = &Notice> {
        self.untold
            .iter()
            .filter(move |notice| notice.number > number)
    }

    /// What is wrong at present.
    pub fn causes(&self) -> impl Iterator<Item = &str> {
        self.episodes.keys().map(String::as_str)
    }

    fn found(&mut self, now: Timestamp, finding: &Finding, waiting: u64, watch: &Watch) -> bool {
        let Some(episode) = self.episodes.get_mut(&finding.cause) else {
            return self.raise(now, finding, waiting);
        };
        let back = episode.gone.take().is_some();
        episode.most_waiting = episode.most_waiting.max(waiting);
        episode.what.clone_from(&finding.what);
        episode.remedy.clone_from(&finding.remedy);
        let kind = if !episode.kinds.iter().any(|kind| kind == finding.kind) {
            episode.kinds.push(finding.kind.to_owned());
            NoticeKind::Changed
        } else if now.since(episode.told) >= reminder(watch.remind_after, episode.reminders) {
            episode.reminders = episode.reminders.saturating_add(1);
            NoticeKind::Reminder
        } else {
            return back;
        };
        episode.told = now;
        self.tell(now, &finding.cause.clone(), kind, waiting);
        true
    }

    fn raise(&mut self, now: Timestamp, finding: &Finding, waiting: u64) -> bool {
        if self.episodes.len() >= MOST_EPISODES {
            return false;
        }
        let episode = Episode {
            since: now,
            told: now,
            reminders: 0,
            kinds: vec![finding.kind.to_owned()],
            what: finding.what.clone(),
            remedy: finding.remedy.clone(),
            most_waiting: waiting,
            gone: None,
        };
        self.episodes.insert(finding.cause.clone(), episode);
        self.tell(now, &finding.cause, NoticeKind::Raised, waiting);
        true
    }

    fn gone(&mut self, now: Timestamp, picture: &Picture, watch: &Watch) -> bool {
        let is_there = |cause: &String| {
            let found = picture
                .findings
                .iter()
                .any(|finding| finding.cause == *cause);
            found || picture.open.contains(cause)
        };
        let mut changed = false;
        let mut over = Vec::new();
        for (cause, episode) in &mut self.episodes {
            if is_there(cause) {
                continue;
            }
            changed |= episode.gone.is_none();
            let since = *episode.gone.get_or_insert(now);
            if now.since(since) >= watch.clear_after {
                over.push(cause.clone());
            }
        }
        for cause in over {
            self.tell(now, &cause, NoticeKind::Over, picture.waiting);
            self.episodes.remove(&cause);
            changed = true;
        }
        changed
    }

    fn all_well(&mut self, now: Timestamp, picture: &Picture, watch: &Watch) -> bool {
        if !watch.daily || !self.episodes.is_empty() || now.since(self.well) < WELL_EVERY {
            return false;
        }
        self.well = now;
        let waiting = picture.waiting;
        self.push(Notice {
            number: 0,
            cause: "well".to_owned(),
            kind: NoticeKind::Well,
            at: now,
            lasting: Duration::ZERO,
            what: format!("relayd runs and nothing is wrong. Messages that wait: {waiting}."),
            remedy: String::new(),
            waiting,
            most_waiting: waiting,
        });
        true
    }

    fn tell(&mut self, now: Timestamp, cause: &str, kind: NoticeKind, waiting: u64) {
        let Some(episode) = self.episodes.get(cause) else {
            return;
        };
        let notice = Notice {
            number: 0,
            cause: cause.to_owned(),
            kind,
            at: now,
            lasting: episode.gone.unwrap_or(now).since(episode.since),
            what: episode.what.clone(),
            remedy: episode.remedy.clone(),
            waiting,
            most_waiting: episode.most_waiting.max(waiting),
        };
        // Nobody needs a reminder of what was not told yet.
        let known = self.untold.iter().any(|other| other.cause == cause);
        if kind != NoticeKind::Reminder || !known {
            self.push(notice);
        }
    }

    fn push(&mut self, notice: Notice) {
        if self.untold.len() >= MOST_UNTOLD {
            let reminders = [NoticeKind::Reminder, NoticeKind::Well];
            let mut kinds = self.untold.iter().map(|old| old.kind);
            let least = kinds.position(|kind| reminders.contains(&kind));
            self.untold.remove(least.unwrap_or(0));
        }
        self.number += 1;
        self.untold.push_back(Notice {
            number: self.number,
            ..notice
        });
    }
}

/// The pause before the next reminder after so many.
fn reminder(first: Duration, so_far: u32) -> Duration {
    let longest = REMIND_LONGEST.max(first);
    first.saturating_mul(1 << so_far.min(20)).min(longest)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros(at.as_micros().saturating_add(by))
}

#[cfg(test)]
mod tests;
