//! `--tell`: what a check finds goes out by the roads of `[alarm]`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use host::secret::Keeper;
use policy::alarm::{Alarms, Notice, NoticeKind, Picture, examine};
use policy::settings::alarm::Watch;
use policy::sysexits::ExitStatus;
use roads::{Event, Letter, Tried};
use std::time::Duration;

use super::state::State;
use super::{Settings, cannot_remember, facts, logs};
use crate::{emergency, fail};

/// What was told of relayd.
const ALARMS: &str = "alarms";

/// Tells once that relayd is not running, reminds, and tells when it runs again. What is wrong
/// while it runs it tells itself.
pub(super) fn relayd(settings: &Settings, folder: &Path) -> ExitCode {
    let state = match State::hold(folder) {
        Ok(state) => state,
        Err(error) => return cannot_remember(&error, folder),
    };
    let facts = match facts(&settings.paths) {
        Ok(facts) => facts,
        Err(problem) => return fail(ExitStatus::Unavailable, &problem),
    };
    let text = State::read(folder, ALARMS).unwrap_or_default();
    // Damaged or not there: what is wrong is told, perhaps again.
    let mut alarms = Alarms::from_text(&text).unwrap_or_default();
    let watch = Watch {
        // A check looks rarely: what it sees gone is gone.
        clear_after: Duration::ZERO,
        daily: false,
        ..settings.emergency.alarm.watch.clone()
    };
    let now = host::clock::wall();
    let mut picture: Picture = examine(&facts, &watch, now);
    picture.findings.retain(|finding| finding.cause == "relayd");
    alarms.observe(now, &picture, &watch);
    let mut ended = ExitCode::SUCCESS;
    while let Some(notice) = alarms.due(now).cloned() {
        let tried = carry(settings, &notice);
        ended = emergency::report(&tried);
        if roads::status(&tried) != ExitStatus::Ok {
            alarms.not_told(now);
            break;
        }
        alarms.told(notice.number);
    }
    match state.write(ALARMS, &alarms.to_text()) {
        Ok(()) => ended,
        Err(error) => cannot_remember(&error, folder),
    }
}

/// Tells the new lines of the logs that somebody should see. How far they were read is remembered
/// only when they were told.
pub(super) fn logs(settings: &Settings, files: &[PathBuf], folder: &Path) -> ExitCode {
    let state = match State::hold(folder) {
        Ok(state) => state,
        Err(error) => return cannot_remember(&error, folder),
    };
    let read = match logs::read(files, folder) {
        Ok(read) => read,
        Err(problem) => return fail(ExitStatus::NoInput, &problem),
    };
    let mut ended = ExitCode::SUCCESS;
    if read.number > 0 {
        let body = read.text();
        let tried = send(settings, &read.subject(), &body, Event::Alone);
        ended = emergency::report(&tried);
        if roads::status(&tried) != ExitStatus::Ok {
            return ended;
        }
    }
    match state.write(logs::CURSORS, &read.cursors) {
        Ok(()) => ended,
        Err(error) => cannot_remember(&error, folder),
    }
}

fn carry(settings: &Settings, notice: &Notice) -> Vec<Tried> {
    let body = notice.body(&host_name(settings));
    let event = match notice.kind {
        NoticeKind::Over => Event::Over(&notice.cause),
        _ => Event::Trouble(&notice.cause),
    };
    send(settings, &notice.subject(), &body, event)
}

fn send(settings: &Settings, subject: &str, body: &str, event: Event<'_>) -> Vec<Tried> {
    let host = host_name(settings);
    let at = host::clock::wall();
    let letter = Letter {
        subject: &format!("{host}: {subject}"),
        body: body.as_bytes(),
        host: &host,
        at,
        number: host::random::bytes().map_or_else(|_| at.as_micros(), u64::from_be_bytes),
        event,
    };
    let emergency = &settings.emergency;
    let keeper = Keeper::of_relayd(Some(emergency::account(emergency)));
    roads::carry(&letter, &emergency.alarm.roads, &keeper, None)
}

fn host_name(settings: &Settings) -> String {
    let named = settings.emergency.hostname.clone();
    named.unwrap_or_else(host::identity::hostname)
}
