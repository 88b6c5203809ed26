//! Hostile command lines, surroundings and messages, as the table `data/hostile_calls.json` lists them: `sendmail`,
//! `mailq` and `postqueue` are called by an ordinary user, and what the table says must come of it.
//!
//! Whatever the row, the program ends with a status of its own and at most one short printable line, makes no file, runs
//! no other program, and relayd lives on with nothing left in its spool. In the table, characters are bytes and `{home}`
//! is an empty folder that anybody may write.
//!
//! Needs root, for users and limits.

#![forbid(unsafe_code)]

mod errors;
mod special;
mod trace;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use serde_json::Value;
use tests::enclosure::{ALICE, Enclosure};
use tests::gateway::{Delivery, Gateway, Setup};
use tests::namespace::root_or_skip;
use tests::process::Cost;
use tests::program::run;
use tests::rig::{Access, Rig};
use tests::table::{self, Faults, bytes, text, words};

use trace::Trace;

const TABLE: &str = include_str!("../../data/hostile_calls.json");

const LIMIT: Duration = Duration::from_secs(60);

/// What a row without `stdin` hands in.
const MESSAGE: &[u8] = b"From: a@example.org\nTo: b@example.org\nSubject: s\n\nbody\n";

/// A program says no more than this about what is wrong.
const LONGEST_COMPLAINT: usize = 1200;

#[test]
fn every_call_ends_as_it_must() {
    if !root_or_skip("every_call_ends_as_it_must") {
        return;
    }
    // A quarter of the stack is what arguments may take: a hundred thousand need more than the usual two megabytes.
    let (_, most) = getrlimit(Resource::RLIMIT_STACK).expect("it is always known");
    setrlimit(Resource::RLIMIT_STACK, most.min(64 << 20), most).expect("below the hard limit");
    let rows = table::rows(TABLE);
    let mut host = Host::new();
    table::run_all("hostile_calls", &rows, |row| {
        match row["special"].as_str() {
            Some(name) => special::judge(name, &mut host),
            None => host.judge(row),
        }
    });
    host.gateway.expect_good_manners();
}

/// A gateway in clear that takes DATA only, relayd before it, and a host for the callers.
struct Host {
    gateway: Gateway,
    rig: Rig,
    enclosure: Enclosure,
    taken: usize,
}

impl Host {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with a change before relayd starts.
    fn with(change: impl FnOnce(&mut Rig)) -> Self {
        let mut setup = Setup::open_sink();
        setup
            .keywords
            .extend(["SIZE 52428800", "DSN", "SMTPUTF8"].map(str::to_owned));
        let gateway = Gateway::start(setup);
        let mut rig = Rig::new(Access::open(gateway.port()));
        change(&mut rig);
        rig.start();
        for name in ["home", "trace"] {
            let folder = rig.path().join(name);
            fs::create_dir(&folder).expect("the rig's folder is ours");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("just made");
        }
        let enclosure = Enclosure::host(rig.path());
        Self {
            gateway,
            rig,
            enclosure,
            taken: 0,
        }
    }

    fn home(&self) -> PathBuf {
        self.rig.path().join("home")
    }

    /// Makes the call of a row, and looks at everything that it could have done.
    fn judge(&mut self, row: &Value) -> Faults {
        let mut faults = Faults::default();
        let call = Call::of(self, row);
        call.make_files();
        let down = row["down"] == true;
        if down {
            self.rig.stop();
        }
        let before = (self.gateway.read(|r| r.in_clear.len()), self.cost(down));
        let children = processor();
        let output = call.run(self);
        let spent = processor() - children;
        call.compare_files(&mut faults);
        if let Some(trace) = &call.trace {
            let opened = trace.faults(&words(&row["want"]["unopened"]));
            opened.into_iter().for_each(|fault| faults.add(fault));
        }
        if down {
            self.rig.start();
        }
        self.compare_output(row, &output, &mut faults);
        let deliveries = self.deliveries();
        compare_deliveries(&row["want"], &deliveries, &mut faults);
        let wire = self.gateway.read(|r| r.in_clear[before.0..].to_vec());
        let wanted = bytes(&row["want"]["wire"]);
        faults.require(wanted.is_empty() || has(&wire, &wanted), || {
            format!("not on the wire: {}", wanted.escape_ascii())
        });
        if let Some(most) = row["want"]["seconds"].as_u64() {
            let spent = spent + self.cost(false).saturating_sub(before.1);
            faults.require(spent <= Duration::from_secs(most), || {
                format!("took {spent:?} of processor time")
            });
        }
        faults
    }

    /// Processor time of relayd so far, zero if it is down.
    fn cost(&self, down: bool) -> Duration {
        let cost = (!down).then(|| Cost::of(self.rig.pid())).flatten();
        cost.map_or(Duration::ZERO, |cost| cost.processor)
    }

    /// What reached the gateway since the last time, once nothing is in the spool any more. relayd answers.
    fn deliveries(&mut self) -> Vec<Delivery> {
        self.rig.expect_empty_spool(LIMIT);
        self.rig.expect_empty_queue(LIMIT);
        let all = self.gateway.read(|r| r.deliveries[self.taken..].to_vec());
        self.taken += all.len();
        all
    }

    fn compare_output(&self, row: &Value, output: &Output, faults: &mut Faults) {
        let want = &row["want"]["exit"];
        let code = output.status.code().map(i64::from);
        faults.compare("exit status", &want.as_i64(), &code);
        compare_text("stdout", &output.stdout, faults);
        compare_text("stderr", &output.stderr, faults);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let lines = complaint.lines().count();
        let expected =
            usize::from((want != 0 && row["closed"].is_null()) || row["want"]["warns"] == true);
        faults.require(lines == expected, || format!("says: {complaint:?}"));
        for word in ["internal error", "backtrace", "panicked"] {
            faults.require(!complaint.contains(word), || complaint.to_string());
        }
    }
}

/// Output is short and printable.
fn compare_text(name: &str, output: &[u8], faults: &mut Faults) {
    let shown = String::from_utf8_lossy(output);
    let strange = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    faults.require(!shown.contains(strange), || {
        format!("{name} is not printable: {shown:?}")
    });
    faults.require(output.len() <= LONGEST_COMPLAINT, || {
        format!("{name} has {} bytes", output.len())
    });
}

fn compare_deliveries(want: &Value, deliveries: &[Delivery], faults: &mut Faults) {
    let one = match (want["recipients"].is_null(), deliveries) {
        (true, []) => return,
        (false, [one]) => one,
        (_, all) => return faults.add(format!("{} messages went out: {all:?}", all.len())),
    };
    faults.compare("recipients", &words(&want["recipients"]), &one.addresses());
    if let Some(sender) = want["sender"].as_str() {
        faults.compare("sender", sender, &one.sender);
    }
    if !want["body"].is_null() {
        let lines = text(&want["body"]).replace('\n', "\r\n");
        faults.compare("body", &*lines, &*String::from_utf8_lossy(one.body()));
    }
    for name in words(&want["fieldless"]) {
        let found = one.fields(name);
        faults.require(found.is_empty(), || format!("{name} went out: {found:?}"));
    }
}

/// One call of a program.
struct Call<'a> {
    row: &'a Value,
    home: PathBuf,
    trace: Option<Trace>,
}

impl<'a> Call<'a> {
    fn of(host: &Host, row: &'a Value) -> Self {
        // Limits, closed files and the like are for the program and not for its tracer.
        let plain = ["limits", "closed", "inherited", "unprivileged", "called"]
            .iter()
            .all(|key| row.get(key).is_none());
        let trace = plain.then(|| Trace::new(&host.rig.path().join("trace")));
        let home = host.home();
        Self { row, home, trace }
    }

    fn run(&self, host: &Host) -> Output {
        let row = self.row;
        let mut command = host.enclosure.command_as(match row["user"].as_u64() {
            Some(user) => u32::try_from(user).expect("a uid fits"),
            None => ALICE,
        });
        if row["unprivileged"] == true {
            command.args(["setpriv", "--no-new-privs"]);
        }
        if let Some(limits) = row["limits"].as_object() {
            command.arg("prlimit");
            let limits = limits
                .iter()
                .map(|(name, value)| format!("--{name}={value}"));
            command.args(limits);
        }
        self.begin_shell(&mut command);
        if let Some(trace) = &self.trace {
            trace.begin(&mut command);
        }
        command.arg(path_of(row["program"].as_str().unwrap_or("sendmail")));
        command.args(self.arguments());
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("RELAYD_CONFIG", host.rig.settings());
        for (name, value) in row["environment"].as_object().into_iter().flatten() {
            command.env(name, self.placed(&text(value)));
        }
        let input = match row.get("stdin") {
            Some(given) => bytes(given),
            None => MESSAGE.to_vec(),
        };
        run(&mut command, &input)
    }

    /// A shell that changes what the program inherits, where the row asks for that.
    fn begin_shell(&self, command: &mut Command) {
        let row = self.row;
        let mut script = String::new();
        let closed = row["closed"].as_array().into_iter().flatten();
        closed.for_each(|file| script.push_str(&format!("exec {file}>&-\n")));
        if let Some(folder) = row["input"].as_str() {
            script.push_str(&format!("exec 0< {folder}\n"));
        }
        if let Some(count) = row["inherited"].as_u64() {
            script.push_str("ulimit -n 4096\n");
            let files = 10..10 + count;
            files.for_each(|file| script.push_str(&format!("exec {file}< /dev/null\n")));
        }
        if row["called"] == "" {
            script.push_str("exec -a '' \"$@\"\n");
        }
        if !script.is_empty() {
            script.push_str("exec \"$@\"");
            command.args(["/bin/bash", "-c", &script, "bash"]);
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let all = self.row["argv"].as_array().into_iter().flatten();
        all.flat_map(
            |argument| match (argument[1].as_str(), argument[2].as_u64()) {
                (Some("times"), Some(times)) => {
                    let times = usize::try_from(times).expect("it fits");
                    vec![OsString::from_vec(bytes(&argument[0])); times]
                }
                _ => vec![self.placed_bytes(argument)],
            },
        )
        .collect()
    }

    fn placed_bytes(&self, argument: &Value) -> OsString {
        match argument.as_str() {
            Some(text) if text.contains("{home}") => self.placed(text).into(),
            _ => OsString::from_vec(bytes(argument)),
        }
    }

    fn placed(&self, text: &str) -> String {
        text.replace("{home}", &self.home.display().to_string())
    }

    fn files(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.row["files"].as_object().into_iter().flatten()
    }

    fn make_files(&self) {
        for (name, content) in self.files() {
            fs::write(self.home.join(name), text(content)).expect("home is ours");
        }
    }

    /// The home has the files of the row with their content, and no others.
    fn compare_files(&self, faults: &mut Faults) {
        for (name, content) in self.files() {
            let path = self.home.join(name);
            let now = fs::read_to_string(&path).unwrap_or_default();
            faults.compare(name, &text(content), &now);
            let _ = fs::remove_file(path);
        }
        let left = fs::read_dir(&self.home).expect("home is ours");
        let left: Vec<OsString> = left.flatten().map(|entry| entry.file_name()).collect();
        faults.require(left.is_empty(), || format!("made {left:?}"));
    }
}

/// Where callers find a program.
fn path_of(program: &str) -> &'static OsStr {
    OsStr::new(match program {
        "mailq" => "/usr/bin/mailq",
        "postqueue" => "/usr/sbin/postqueue",
        _ => "/usr/sbin/sendmail",
    })
}

/// Processor time of all children that have ended.
fn processor() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("it is always known");
    let of = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    of(usage.user_time()) + of(usage.system_time())
}

fn has(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}
