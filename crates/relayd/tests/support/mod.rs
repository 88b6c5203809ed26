//! What the tests of the real `relayd` share: a relay in a folder of its own, and waiting with a
//! bound for what it does.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where something is not as it should be, and says so"
)]

pub(crate) mod gateway;
pub(crate) mod submit;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing that is waited for takes longer, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// As whom relayd runs when the tests run as root.
const NOBODY: u32 = 65534;

/// Waits until `done` gives something.
pub(crate) fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub(crate) fn is_root() -> bool {
    // The folder of the process belongs to its effective user.
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A relay with its settings, spool, sockets and log in a folder of its own.
pub(crate) struct Rig {
    folder: TempDir,
    child: Option<Child>,
}

impl Rig {
    /// Settings as given, after the usual ones; not started.
    pub(crate) fn new(top: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rig = Self {
            folder,
            child: None,
        };
        rig.configure(top, rest);
        rig.own(rig.path(""));
        rig
    }

    /// Started, with a gateway on a port of this host, in clear.
    pub(crate) fn relaying(top: &str, port: u16) -> Self {
        let mut rig = Self::new(top, &gateway_section(port));
        rig.start();
        rig
    }

    /// Started, with mail captured in the folder `Maildir`.
    pub(crate) fn capturing(top: &str, rest: &str) -> Self {
        let mut rig = Self::new(
            top,
            &format!("[gateway catch]\ndeliver = capture:Maildir\n{rest}"),
        );
        rig.start();
        rig
    }

    /// Writes the settings file.
    pub(crate) fn configure(&self, top: &str, rest: &str) {
        let user = if is_root() { "user = nobody\n" } else { "" };
        // The machine's own aliases must not decide what a test sees.
        let aliases = match rest.contains("[aliases]") {
            true => "",
            false => "[aliases]\nfile = none\n",
        };
        let text = format!(
            "hostname = relay.example\ndomain = site.example\n{user}{top}\n[paths]\nspool = spool\nrun = run\n[log]\nto = ./mail.log\n{aliases}{rest}"
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("relayd.conf")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that belongs to relayd's account.
    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let (path, fresh) = (self.path(name), self.path(&format!("{name}.new")));
        fs::write(&fresh, text).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode)).unwrap();
        self.own(fresh.clone());
        fs::rename(fresh, &path).unwrap();
        path
    }

    pub(crate) fn own(&self, path: PathBuf) {
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relayd"));
        command
            .env("RELAYD_CONFIG", self.config())
            .stdin(Stdio::null());
        command
    }

    /// `relayd` with arguments, run to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Starts relayd and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.start_as(&mut self.command());
    }

    pub(crate) fn start_as(&mut self, command: &mut Command) {
        let errors = fs::File::create(self.path("stderr")).unwrap();
        self.child = Some(command.stderr(errors).spawn().unwrap());
        wait_for("relayd starts", || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let errors = fs::read_to_string(self.path("stderr")).unwrap();
            assert!(ended.is_none(), "relayd ended at once: {errors}");
            let stream = UnixStream::connect(self.path("run/control.sock")).ok()?;
            ask(stream, "STATUS")
                .first()
                .filter(|line| *line == "OK")
                .cloned()
        });
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for relayd to end by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        wait_for("relayd ends", || child.try_wait().unwrap())
    }

    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// Kills it without warning.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What the control socket answers, line by line.
    pub(crate) fn control(&self, request: &str) -> Vec<String> {
        ask(
            UnixStream::connect(self.path("run/control.sock")).unwrap(),
            request,
        )
    }

    /// The queue as `LIST` shows it.
    pub(crate) fn list(&self) -> Vec<serde_json::Value> {
        let lines = self.control("LIST");
        assert_eq!(lines.first().map(String::as_str), Some("OK"), "{lines:?}");
        assert!(lines.last().unwrap().starts_with("END "), "{lines:?}");
        let records = lines[1..lines.len() - 1].iter();
        records
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("mail.log")).unwrap_or_default()
    }

    /// The log line that holds all these words, once it is there.
    pub(crate) fn wait_log(&self, words: &[&str]) -> String {
        let found = |log: String| {
            let mut lines = log.lines();
            lines
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned)
        };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(line) = found(self.log()) {
                return line;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no line with {words:?} in:\n{}", self.log());
    }

    pub(crate) fn count_log(&self, words: &[&str]) -> usize {
        let log = self.log();
        log.lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }

    /// The ids of the entries in a queue's folders.
    pub(crate) fn entries(&self, queue: &str) -> Vec<String> {
        let mut found = Vec::new();
        for shard in fs::read_dir(self.path("spool").join(queue)).unwrap() {
            let shard = shard.unwrap().path();
            let names = fs::read_dir(shard).unwrap();
            found.extend(names.map(|name| name.unwrap().file_name().into_string().unwrap()));
        }
        found
    }

    /// The file of an entry.
    pub(crate) fn entry(&self, queue: &str, id: &str) -> PathBuf {
        let shard = &id[id.len() - 6..id.len() - 5];
        self.path("spool").join(queue).join(shard).join(id)
    }

    /// The messages in the Maildir.
    pub(crate) fn captured(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.path("Maildir/new")) else {
            return Vec::new();
        };
        files
            .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
            .collect()
    }

    /// Waits until nothing is queued, on disk and in memory.
    pub(crate) fn wait_empty(&self) {
        wait_for("the queue is empty", || {
            let queues = ["incoming", "deferred", "hold"];
            let left = queues
                .iter()
                .map(|queue| self.entries(queue).len())
                .sum::<usize>();
            (left == 0 && self.list().is_empty()).then_some(())
        });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let errors = fs::read_to_string(self.path("stderr")).unwrap_or_default();
            println!("--- mail.log\n{}--- stderr\n{errors}", self.log());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A gateway on this host, in clear and without AUTH.
pub(crate) fn gateway_section(port: u16) -> String {
    format!("[gateway main]\nhost = 127.0.0.1\nport = {port}\ntls = none\nmax_connections = 2\n")
}

/// Asks one thing at a control socket.
pub(crate) fn ask(mut stream: UnixStream, request: &str) -> Vec<String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    if stream.write_all(format!("{request}\n").as_bytes()).is_err() {
        return Vec::new();
    }
    BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .collect()
}

/// Makes a file readable for all, folders on the way included.
pub(crate) fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
