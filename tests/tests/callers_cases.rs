//! What some hundred callers hand to `sendmail`, and what comes of it: the table `data/callers.json`.
//!
//! A row is a command line, its input, and under `postfix` what Postfix 3.7 makes of it: exit status, envelope,
//! fields added, removed and rewritten, body, output. It is so for the user alice (uid 1000, "Alice Example") on a host
//! whose mail domain is `test.example` and whose limit is 200000 bytes. Where we differ on purpose the row has our own
//! values under `here`, and under `compat` the row of COMPAT.md that says so; `here` must then be needed and met.
//!
//! Needs root: the programs run as alice, at the paths that callers use.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::certificate::{Authority, Validity};
use tests::enclosure::{ALICE, Enclosure};
use tests::gateway::{Delivery, Gateway, Setup};
use tests::namespace::root_or_skip;
use tests::program::run;
use tests::rig::{Access, Rig};
use tests::table::{self, Faults, text, words};

const TABLE: &str = include_str!("../data/callers.json");
const COMPAT: &str = include_str!("../../COMPAT.md");

/// A number that no account has.
const NO_ACCOUNT: u32 = 54_321;

const LIMIT: Duration = Duration::from_secs(20);

/// A spool with little room: the folders fit, a message of some hundred kilobytes does not.
const NO_ROOM: &str = r#"
mount -t tmpfs -o size=128k,mode=755,uid=65534,gid=65534 tmpfs "$1/spool""#;

#[test]
fn every_row_of_the_table() {
    if !root_or_skip("every_row_of_the_table") {
        return;
    }
    let rows = table::rows(TABLE);
    assert_eq!(rows.len(), 103, "rows");
    let mut host = Host::new("");
    table::run_all("callers_cases", &rows, |row| judge(&mut host, row));
    host.gateway.expect_good_manners();
}

/// Runs one row.
fn judge(host: &mut Host, row: &Value) -> Faults {
    let seen = match row["fault"].as_str() {
        Some("no room") => Host::new(NO_ROOM).call(row),
        Some("no spool") => {
            let mut host = Host::new("");
            std::fs::remove_dir_all(host.rig.spool()).expect("it is ours");
            host.rig.stop();
            host.run(row)
        }
        _ => host.call(row),
    };
    let postfix = Expected::new(row, None).differences(&seen);
    let Some(here) = row.get("here") else {
        return postfix;
    };
    let mut faults = Expected::new(row, Some(here)).differences(&seen);
    faults.require(!postfix.found.is_empty(), || {
        "listed as different, but it is not".to_owned()
    });
    let listed = text(&row["compat"]);
    faults.require(has_row(&listed), || {
        format!("COMPAT.md has no row \"{listed}\"")
    });
    faults.note = format!("deviates: {listed}");
    faults
}

/// Whether a table of COMPAT.md has a row that begins with this cell.
fn has_row(cell: &str) -> bool {
    let beginning = format!("| {cell} | ");
    COMPAT.lines().any(|line| line.starts_with(&beginning))
}

/// A gateway, relayd, and an enclosure with our programs where callers look for them.
struct Host {
    gateway: Gateway,
    rig: Rig,
    enclosure: Enclosure,
    taken: usize,
}

/// What came of a call.
struct Seen {
    output: Output,
    deliveries: Vec<Delivery>,
}

impl Host {
    fn new(more: &str) -> Self {
        let authority = Authority::new();
        let gateway = Gateway::start(Setup::provider(
            authority.issue("gateway.test", Validity::Current),
        ));
        let mut rig = Rig::new(Access {
            top: "message_size_limit = 200000\n".to_owned(),
            ..Rig::access_to(&gateway, &authority)
        });
        if !more.is_empty() {
            rig.enclose(more);
        }
        rig.start();
        Self {
            enclosure: Enclosure::host(rig.path()),
            gateway,
            rig,
            taken: 0,
        }
    }

    /// Makes the call, and waits until all that came of it has left the queue.
    fn call(&mut self, row: &Value) -> Seen {
        let down = row["fault"] == "relayd is down";
        if down {
            self.rig.stop();
        }
        let mut seen = self.run(row);
        if down {
            self.rig.start();
        }
        self.rig.expect_empty_spool(LIMIT);
        seen.deliveries = self
            .gateway
            .read(|record| record.deliveries[self.taken..].to_vec());
        self.taken += seen.deliveries.len();
        seen
    }

    /// Makes the call.
    fn run(&self, row: &Value) -> Seen {
        let mut command = self.command(row);
        let input = text(&row["stdin"]).into_bytes();
        let output = match row["fault"].as_str() {
            Some("SIGINT") => interrupted(&mut command, Signal::SIGINT, &input),
            Some("SIGHUP") => interrupted(&mut command, Signal::SIGHUP, &input),
            _ => run(&mut command, &input),
        };
        Seen {
            output,
            deliveries: Vec::new(),
        }
    }

    fn command(&self, row: &Value) -> Command {
        let id = if row["fault"] == "no account" {
            NO_ACCOUNT
        } else {
            ALICE
        };
        let mut command = self.enclosure.command_as(id);
        let closed = row["closed"].as_array().into_iter().flatten();
        let closing: String = closed.map(|file| format!(" {file}>&-")).collect();
        command.args(["/bin/sh", "-c", &format!("exec \"$@\"{closing}"), "sh"]);
        command.args(words(&row["argv"]));
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
            .env("RELAYD_CONFIG", self.rig.settings())
            .env("HOME", "/tmp");
        for (name, value) in row["environment"].as_object().into_iter().flatten() {
            command.env(name, text(value));
        }
        command
    }
}

/// Sends `signal` in the middle of a message, after `input` and more than any pipe holds were read.
fn interrupted(command: &mut Command, signal: Signal, input: &[u8]) -> Output {
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child: Child = pipes.spawn().expect("the program starts");
    let stdin = child.stdin.as_mut().expect("piped above");
    stdin.write_all(input).expect("it reads");
    stdin
        .write_all(&b"more of it\n".repeat(10_000))
        .expect("it reads");
    let pid = i32::try_from(child.id()).expect("a pid fits");
    kill(Pid::from_raw(pid), signal).expect("it is our child");
    child.wait_with_output().expect("it is our child")
}

/// What a row says must come of it.
struct Expected<'a> {
    row: &'a Value,
    here: Option<&'a Value>,
}

impl<'a> Expected<'a> {
    fn new(row: &'a Value, here: Option<&'a Value>) -> Self {
        Self { row, here }
    }

    /// Our own value where there is one, else Postfix's.
    fn value(&self, name: &str) -> &'a Value {
        self.here
            .and_then(|here| here.get(name))
            .unwrap_or(&self.row["postfix"][name])
    }

    /// Every difference between what should be and what is, in words.
    fn differences(&self, seen: &Seen) -> Faults {
        let mut found = Faults::default();
        let output = &seen.output;
        let signal = output
            .status
            .signal()
            .and_then(|number| Signal::try_from(number).ok());
        found.compare(
            "exit status",
            &self.value("exit").as_i64(),
            &output.status.code().map(i64::from),
        );
        found.compare(
            "signal",
            &self.value("signal").as_str(),
            &signal.map(Signal::as_str),
        );
        let stdout = masked(&String::from_utf8_lossy(&output.stdout));
        found.compare(
            "stdout",
            &self.value("stdout").as_str().unwrap_or_default(),
            &stdout.as_str(),
        );
        self.compare_stderr(&String::from_utf8_lossy(&output.stderr), &mut found);
        match (self.value("recipients").is_null(), &seen.deliveries[..]) {
            (true, []) => {}
            (false, [one]) => self.compare_delivery(one, &mut found),
            (_, all) => found.add(format!("{} messages: {all:?}", all.len())),
        }
        found
    }

    fn compare_stderr(&self, seen: &str, found: &mut Faults) {
        match self.value("stderr_has").as_str() {
            Some(part) if !seen.contains(part) => {
                found.add(format!("stderr lacks {part:?}: {seen:?}"))
            }
            Some(_) => {}
            None => found.compare(
                "stderr",
                &self.value("stderr").as_str().unwrap_or_default(),
                &seen,
            ),
        }
    }

    fn compare_delivery(&self, seen: &Delivery, found: &mut Faults) {
        found.compare(
            "sender",
            &self.value("sender").as_str(),
            &Some(seen.sender.as_str()),
        );
        found.compare(
            "recipients",
            &words(self.value("recipients")),
            &seen.addresses(),
        );
        let mut parameters: Vec<&str> = seen.parameters.iter().map(String::as_str).collect();
        parameters.retain(|one| !one.starts_with("SIZE="));
        parameters.sort_unstable();
        found.compare(
            "parameters of MAIL",
            &words(self.value("mail")),
            &parameters,
        );
        for recipient in &seen.recipients {
            let expected = words(&self.value("rcpt")[&recipient.address]);
            let parameters: Vec<&str> = recipient.parameters.iter().map(String::as_str).collect();
            found.compare("parameters of RCPT", &expected, &parameters);
        }
        self.compare_fields(fields(&seen.header()), found);
        let body = self.value("body");
        if !body.is_null() {
            let expected = text(body).replace('\n', "\r\n");
            found.compare(
                "body",
                &expected.as_str(),
                &&*String::from_utf8_lossy(seen.body()),
            );
        }
    }

    /// What went out is what came in, less what is removed, with other values where they are rewritten, and with what
    /// is added somewhere in it; one Received of ours is on top.
    fn compare_fields(&self, mut seen: Vec<String>, found: &mut Faults) {
        if seen.is_empty() || !seen.remove(0).starts_with("Received: by ") {
            found.add("there is no Received on top".to_owned());
        }
        let given = fields(message(&text(&self.row["stdin"])));
        let is_given = |field: &str| given.iter().any(|one| name(one) == name(field));
        for added in words(self.value("added")) {
            let fits = |one: &String| match added.contains(':') {
                true => one == added,
                false => name(one) == name(added) && !is_given(one) && one.len() > added.len() + 2,
            };
            match seen.iter().position(fits) {
                Some(place) => drop(seen.remove(place)),
                None => found.add(format!("{added} is not added: {seen:#?}")),
            }
        }
        let (removed, rewritten) = (words(self.value("removed")), words(self.value("rewritten")));
        let kept = given
            .iter()
            .filter(|field| !removed.iter().any(|one| name(one) == name(field)));
        let expected: Vec<&str> = kept
            .map(|field| {
                rewritten
                    .iter()
                    .find(|one| name(one) == name(field))
                    .copied()
                    .unwrap_or(field)
            })
            .collect();
        found.compare(
            "fields",
            &expected,
            &seen.iter().map(String::as_str).collect(),
        );
    }
}

/// The message within the input, which with `-bs` is a session.
fn message(input: &str) -> &str {
    let begin = input
        .split_once("DATA\r\n")
        .or_else(|| input.split_once("DATA\n"));
    begin.map_or(input, |(_, message)| message)
}

/// The fields at the beginning of a message, unfolded, each without its line end.
fn fields(message: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let lines = message.split('\n').map(|line| line.trim_end_matches('\r'));
    for line in lines.skip_while(|line| line.starts_with("From ") || line.starts_with(">From ")) {
        match found.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => field.push_str(line),
            _ if is_field(line) => found.push(line.to_owned()),
            _ => break,
        }
    }
    found
}

fn is_field(line: &str) -> bool {
    let before = line.split_once(':').map(|(before, _)| before.trim_end());
    before.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// The name of a field, or the whole of what has no colon, in lower case.
fn name(field: &str) -> String {
    field
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_lowercase()
}

/// Queue ids as `<ID>`.
fn masked(output: &str) -> String {
    match output.split_once("queued as ") {
        None => output.to_owned(),
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            format!("{before}queued as <ID>{rest}")
        }
    }
}
