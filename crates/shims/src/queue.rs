//! Listing the queue and having it tried, for `mailq`, `postqueue` and `sendmail -q`.
//!
//! relayd does both. While it is down, root and the owner of the spool can still list the queue,
//! which is then read from the disk. Texts and statuses are those of Postfix's `postqueue`.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use host::control::{self, ControlError};
use host::{clock, identity};
use policy::control::{Request as Wire, is_queue_name, is_site};
use policy::listing::{Mailq, QueueRecord, json_line};
use policy::sysexits::ExitStatus;

use crate::failure::{Failure, in_words, printable};
use crate::installation::Installation;

mod record;

pub(crate) use record::maildrop_id;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The queue as `mailq` shows it.
    List,
    /// The queue, one JSON object a line.
    ListJson,
    /// Everything to be tried now.
    Flush,
    /// One message to be tried now, by its queue id.
    FlushId(String),
    /// What is for one domain to be tried now.
    FlushSite(String),
}

/// Carries out a request.
///
/// # Errors
/// relayd is down, refuses, or does not understand: status 69, as always with Postfix. Where it is
/// cannot be told: status 78.
pub(crate) fn run(request: &Request, installation: &mut Installation) -> Result<(), Failure> {
    match request {
        Request::List => list(Some(Mailq::new(clock::utc_offset_minutes)), installation),
        Request::ListJson => list(None::<Mailq<fn(mail::Timestamp) -> i32>>, installation),
        Request::Flush => flush(&Wire::Flush, installation),
        Request::FlushId(id) if is_queue_name(id) => {
            flush(&Wire::FlushId(id.clone()), installation)
        }
        Request::FlushId(id) => {
            let text = format!(
                "Cannot flush queue ID - invalid name: \"{}\"",
                printable(id, 100)
            );
            Err(unavailable(text))
        }
        Request::FlushSite(site) if is_site(site) => {
            flush(&Wire::FlushSite(site.clone()), installation)
        }
        Request::FlushSite(site) => {
            let shown = printable(site, 100);
            let text = format!("Cannot flush mail queue - invalid destination: \"{shown}\"");
            Err(unavailable(text))
        }
    }
}

fn unavailable(text: impl AsRef<str>) -> Failure {
    Failure::new(ExitStatus::Unavailable, text)
}

fn flush(request: &Wire, installation: &mut Installation) -> Result<(), Failure> {
    let done = with_relayd(installation, |run| control::command(run, request))?;
    done.map_err(|error| match error {
        ControlError::Down { .. } => unavailable("Cannot flush mail queue - mail system is down"),
        other => unavailable(other.to_string()),
    })
}

/// Asks relayd, and once more if its sockets are not where they are by default.
fn with_relayd<T>(
    installation: &mut Installation,
    ask: impl Fn(&Path) -> Result<T, ControlError>,
) -> Result<Result<T, ControlError>, Failure> {
    match ask(installation.run()) {
        Err(ControlError::Down { .. }) if installation.look_closer()? => {
            Ok(ask(installation.run()))
        }
        result => Ok(result),
    }
}

fn list<F: Fn(mail::Timestamp) -> i32>(
    mailq: Option<Mailq<F>>,
    installation: &mut Installation,
) -> Result<(), Failure> {
    let mut listing = Listing {
        out: BufWriter::new(io::stdout().lock()),
        mailq,
    };
    let shown = match with_relayd(installation, |run| control::query(run, &Wire::List))? {
        Ok(lines) => listing.show_relayds(lines),
        Err(error @ ControlError::Down { .. }) => {
            listing.show_disks(installation.spool(), &error.to_string())
        }
        Err(error) => Err(Stop::Failed(unavailable(error.to_string()))),
    };
    match shown.and_then(|()| listing.finish()) {
        Ok(()) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Write(error)) => quiet_if_nobody_reads(Err(error)),
    }
}

/// `mailq | head` is no failure.
///
/// # Errors
/// Writing failed for another reason than that the reader is gone.
pub(crate) fn quiet_if_nobody_reads(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(unavailable(format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Why a listing ended early.
enum Stop {
    Failed(Failure),
    Write(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// A listing on standard output; without `mailq` in JSON.
struct Listing<W, F> {
    out: W,
    mailq: Option<Mailq<F>>,
}

impl<W: Write, F: Fn(mail::Timestamp) -> i32> Listing<W, F> {
    fn show_relayds(&mut self, mut lines: control::Lines) -> Result<(), Stop> {
        let failed = |error: ControlError| Stop::Failed(unavailable(error.to_string()));
        while let Some(line) = lines.next_line().map_err(failed)? {
            // relayd's lines are what -j prints, so a program sees what relayd said.
            match &mut self.mailq {
                None => writeln!(self.out, "{line}")?,
                Some(mailq) => {
                    let record = record::from_json(&line).ok_or_else(|| {
                        Stop::Failed(unavailable("relayd's answer cannot be used: not a record"))
                    })?;
                    self.out.write_all(mailq.record(&record).as_bytes())?;
                }
            }
        }
        Ok(())
    }

    fn show_disks(&mut self, spool: &Path, why: &str) -> Result<(), Stop> {
        if !may_read(spool) {
            let text = format!("Queue report unavailable - mail system is down ({why})");
            return Err(Stop::Failed(unavailable(text)));
        }
        warn(&format!(
            "Mail system is down -- accessing queue directly ({why})"
        ));
        let found = spool::list(spool);
        let found = found.map_err(|error| Stop::Failed(unavailable(error.to_string())))?;
        let (mut records, warnings) = record::from_spool(found);
        warnings.iter().for_each(|text| warn(text));
        records.sort_by_key(|record| (record.queue_name, record.arrival));
        records.iter().try_for_each(|record| self.show(record))
    }

    fn show(&mut self, record: &QueueRecord) -> Result<(), Stop> {
        let text = match &mut self.mailq {
            None => json_line(record),
            Some(mailq) => mailq.record(record),
        };
        Ok(self.out.write_all(text.as_bytes())?)
    }

    fn finish(mut self) -> Result<(), Stop> {
        if let Some(mailq) = self.mailq {
            self.out.write_all(mailq.finish().as_bytes())?;
        }
        Ok(self.out.flush()?)
    }
}

/// Root and the account of relayd, which owns the spool.
fn may_read(spool: &Path) -> bool {
    let uid = identity::effective_uid();
    uid == 0 || std::fs::metadata(spool).is_ok_and(|status| status.uid() == uid)
}

fn warn(text: &str) {
    let line = format!(
        "postqueue: warning: {}\n",
        printable(&in_words(text), 1_000)
    );
    let _ = io::stderr().write_all(line.as_bytes());
}
