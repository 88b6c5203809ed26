//! The real programs of the suite in a folder of their own: writes the settings, starts `relayd`, runs `sendmail`,
//! `mailq` and `postqueue`, stops, kills and restarts.
//!
//! Works for any user. As root the daemon is told to drop to `nobody`. A failed test keeps the folder and prints the log.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::certificate::Authority;
use crate::enclosure::Enclosure;
use crate::gateway::Gateway;
use crate::patience;
use crate::program::{built, run};

/// The domain that bare addresses get.
pub const DOMAIN: &str = "test.example";

/// How long relayd may take to be ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// As whom relayd runs when the tests run as root.
const NOBODY: u32 = 65534;

/// What the settings file says about the gateway. `None` leaves the key out.
#[derive(Clone, Debug)]
pub struct Access {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// `starttls`, `implicit` or `none`.
    pub tls: &'static str,
    /// The name to verify in the certificate.
    pub tls_name: Option<String>,
    /// The authority to trust.
    pub authority_pem: Option<String>,
    /// The user, whose password goes to a file of mode 0600.
    pub login: Option<(String, String)>,
    /// `max_connections`.
    pub max_connections: u32,
    /// `domain`, which bare addresses get.
    pub domain: String,
    /// Lines for the top of the file, such as `queue_lifetime = 1d`.
    pub top: String,
    /// `[aliases] file`.
    pub aliases: &'static str,
    /// Further lines for `[log]`.
    pub log: String,
    /// Further lines for `[gateway main]`.
    pub more: String,
    /// Further sections for the end of the file.
    pub sections: String,
}

impl Access {
    /// What fits [`crate::gateway::Setup::provider`]: STARTTLS for the name `gateway.test`, and its one user.
    pub fn provider(port: u16, authority: &Authority, login: (&str, &str)) -> Self {
        Self {
            port,
            tls: "starttls",
            tls_name: Some("gateway.test".to_owned()),
            authority_pem: Some(authority.pem.clone()),
            login: Some((login.0.to_owned(), login.1.to_owned())),
            max_connections: 4,
            domain: DOMAIN.to_owned(),
            top: String::new(),
            aliases: "none",
            log: String::new(),
            more: String::new(),
            sections: String::new(),
        }
    }

    /// A gateway in clear and without AUTH.
    pub fn open(port: u16) -> Self {
        Self {
            port,
            tls: "none",
            tls_name: None,
            authority_pem: None,
            login: None,
            max_connections: 4,
            domain: DOMAIN.to_owned(),
            top: String::new(),
            aliases: "none",
            log: String::new(),
            more: String::new(),
            sections: String::new(),
        }
    }
}

/// The folder, the settings and the daemon.
pub struct Rig {
    folder: Option<TempDir>,
    root: PathBuf,
    access: Access,
    relayd: Option<Child>,
    enclosure: Option<Enclosure>,
}

impl Rig {
    /// Writes folder and settings; nothing runs yet.
    pub fn new(access: Access) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("rig-")
            .tempdir()
            .expect("there is room for a folder");
        let root = folder.path().to_owned();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        for name in ["spool", "run", "log"] {
            fs::create_dir(root.join(name)).expect("the folder is ours");
            give_away(&root.join(name));
        }
        let rig = Self {
            folder: Some(folder),
            root,
            access,
            relayd: None,
            enclosure: None,
        };
        rig.write_settings();
        rig
    }

    /// Has every program from now on run in an enclosure that `script` makes; the script finds the rig's folder in
    /// `$1`. Needs root.
    #[track_caller]
    pub fn enclose(&mut self, script: &str) {
        self.enclosure = Some(Enclosure::new(script, &[self.root.as_os_str()]));
    }

    /// [`Rig::new`] with relayd running and ready.
    pub fn started(access: Access) -> Self {
        let mut rig = Self::new(access);
        rig.start();
        rig
    }

    /// A started rig in front of a gateway that was set up as `Setup::provider`.
    pub fn before(gateway: &Gateway, authority: &Authority) -> Self {
        Self::started(Self::access_to(gateway, authority))
    }

    /// The access data of a gateway that was set up as `Setup::provider`.
    pub fn access_to(gateway: &Gateway, authority: &Authority) -> Access {
        let (mut user, mut password) = (String::new(), String::new());
        gateway.change(|setup| (user, password) = (setup.user.clone(), setup.password.clone()));
        Access::provider(gateway.port(), authority, (&user, &password))
    }

    /// The folder of this rig.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The settings file, which every program finds through RELAYD_CONFIG.
    pub fn settings(&self) -> PathBuf {
        self.root.join("relayd.conf")
    }

    /// The spool folder.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Changes the access data and writes the settings anew; relayd does not know yet.
    pub fn change(&mut self, change: impl FnOnce(&mut Access)) {
        change(&mut self.access);
        self.write_settings();
    }

    /// A file beside the settings that belongs to the user whom relayd becomes.
    pub fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.root.join(name);
        write_file(&path, text, mode);
        give_away(&path);
    }

    /// Starts relayd and waits until both sockets answer.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.relayd.is_none(), "relayd runs already");
        let stderr = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root.join("log/stderr"));
        let stderr = stderr.expect("the folder is ours");
        let mut command = self.command("relayd");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        self.relayd = Some(command.spawn().expect("relayd starts"));
        let ready = patience::until(PATIENCE, || {
            self.check_alive();
            let answers =
                |name: &str| UnixStream::connect(self.root.join("run").join(name)).is_ok();
            (answers("submit.sock") && answers("control.sock")).then_some(())
        });
        assert!(ready.is_some(), "relayd is not ready after {PATIENCE:?}");
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.reap("after SIGTERM")
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.reap("after SIGKILL");
    }

    /// SIGHUP: relayd reads its settings again.
    pub fn reload(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Sends `signal` to relayd.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("relayd is our child");
    }

    /// relayd's process.
    pub fn pid(&self) -> Pid {
        let child = self.relayd.as_ref().expect("relayd runs");
        Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"))
    }

    /// Whether relayd, once started, has not ended.
    pub fn runs(&mut self) -> bool {
        let child = self.relayd.as_mut();
        child.is_some_and(|child| child.try_wait().expect("the child is ours").is_none())
    }

    /// Waits for the end of a relayd that was told to end.
    #[track_caller]
    pub fn reap_after(&mut self, signal: &str) -> ExitStatus {
        self.reap(&format!("after {signal}"))
    }

    /// One of the suite's programs with RELAYD_CONFIG set.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.enter(built(program));
        command.env("RELAYD_CONFIG", self.settings());
        command
    }

    /// Any program, in the rig's enclosure if it has one.
    pub fn enter(&self, program: impl AsRef<Path>) -> Command {
        match &self.enclosure {
            None => Command::new(program.as_ref()),
            Some(enclosure) => {
                let mut command = enclosure.command();
                command.arg(program.as_ref());
                command
            }
        }
    }

    /// Runs `sendmail` with `arguments` and the message on its input.
    pub fn sendmail(&self, arguments: &[&str], message: &[u8]) -> Output {
        let mut command = self.command("sendmail");
        command.args(arguments);
        run(&mut command, message)
    }

    /// The same; panics unless it ends with 0 and prints nothing.
    #[track_caller]
    pub fn send(&self, arguments: &[&str], message: &[u8]) {
        let output = self.sendmail(arguments, message);
        let quiet = output.stdout.is_empty() && output.stderr.is_empty();
        assert!(
            output.status.success() && quiet,
            "sendmail {arguments:?}: {output:?}"
        );
    }

    /// What `mailq` prints.
    #[track_caller]
    pub fn mailq(&self) -> String {
        self.output("mailq", &[])
    }

    /// What `postqueue` prints with `arguments`.
    #[track_caller]
    pub fn postqueue(&self, arguments: &[&str]) -> String {
        self.output("postqueue", arguments)
    }

    /// Waits until `mailq` says that the queue is empty.
    #[track_caller]
    pub fn expect_empty_queue(&self, limit: Duration) {
        let mut last = String::new();
        let empty = patience::until(limit, || {
            last = self.mailq();
            (last == "Mail queue is empty\n").then_some(())
        });
        assert!(
            empty.is_some(),
            "the queue is not empty after {limit:?}:\n{last}"
        );
    }

    /// Waits until no message lies anywhere in the spool, the maildrop included.
    #[track_caller]
    pub fn expect_empty_spool(&self, limit: Duration) {
        let mut left = Vec::new();
        let empty = patience::until(limit, || {
            left = ["maildrop", "incoming", "deferred", "hold", "corrupt"]
                .iter()
                .flat_map(|queue| files_below(&self.spool().join(queue)))
                .collect();
            left.is_empty().then_some(())
        });
        assert!(
            empty.is_some(),
            "after {limit:?} there are still {left:#?}\n{}",
            self.mailq()
        );
    }

    /// Waits until `mailq` shows `text`, and gives the listing.
    #[track_caller]
    pub fn expect_mailq(&self, text: &str, limit: Duration) -> String {
        let mut last = String::new();
        let found = patience::until(limit, || {
            last = self.mailq();
            last.contains(text).then_some(())
        });
        assert!(
            found.is_some(),
            "mailq does not say {text:?} after {limit:?}:\n{last}"
        );
        last
    }

    /// The mail log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.join("log/mail")).unwrap_or_default()
    }

    fn output(&self, program: &str, arguments: &[&str]) -> String {
        let output = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let quiet = output.stderr.is_empty();
        assert!(
            output.status.success() && quiet,
            "{program} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).expect("our listing is UTF-8")
    }

    fn check_alive(&mut self) {
        let child = self.relayd.as_mut().expect("relayd was started");
        if let Some(status) = child.try_wait().expect("the child is ours") {
            let said = fs::read_to_string(self.root.join("log/stderr")).unwrap_or_default();
            panic!("relayd ended with {status}: {said}");
        }
    }

    #[track_caller]
    fn reap(&mut self, when: &str) -> ExitStatus {
        let mut child = self.relayd.take().expect("relayd runs");
        let status = patience::until(PATIENCE, || child.try_wait().expect("the child is ours"));
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        status.unwrap_or_else(|| panic!("relayd still runs {PATIENCE:?} {when}"))
    }

    fn write_settings(&self) {
        let access = &self.access;
        let user = if Uid::effective().is_root() {
            "user = nobody\n"
        } else {
            ""
        };
        let at = self.root.display();
        let mut text = format!(
            "hostname = relay.{DOMAIN}\ndomain = {}\n{user}{}\n[paths]\nspool = spool\nrun = run\n\n\
             [aliases]\nfile = {}\n[log]\nto = {at}/log/mail\n{}\n[gateway main]\nhost = 127.0.0.1\nport = {}\ntls = {}\nmax_connections = {}\n{}",
            access.domain,
            access.top,
            access.aliases,
            access.log,
            access.port,
            access.tls,
            access.max_connections,
            access.more
        );
        let mut add = |line: String| text.write_str(&line).expect("a String grows");
        if let Some(name) = &access.tls_name {
            add(format!("tls_name = {name}\n"));
        }
        if let Some(pem) = &access.authority_pem {
            write_file(&self.root.join("ca.pem"), pem, 0o644);
            add("ca_file = ca.pem\n".to_owned());
        }
        if let Some((user, password)) = &access.login {
            self.write("secret", &format!("{password}\n"), 0o600);
            add(format!("user = {user}\npassword_file = secret\n"));
        }
        add(access.sections.clone());
        write_file(&self.settings(), &text, 0o644);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(mut child) = self.relayd.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let kept = folder.keep();
            let said = fs::read_to_string(kept.join("log/stderr")).unwrap_or_default();
            let _ = writeln!(
                std::io::stderr(),
                "rig kept: {}\n{}{said}",
                kept.display(),
                tail(&self.log())
            );
        }
    }
}

/// Every file below `folder`, which may change meanwhile.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .flat_map(|entry| {
            if entry.path().is_dir() {
                files_below(&entry.path())
            } else {
                vec![entry.path()]
            }
        })
        .collect()
}

/// The last lines of a log, enough to see what went wrong.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n") + "\n"
}

fn write_file(path: &Path, text: &str, mode: u32) {
    let mut file = File::create(path).expect("the folder is ours");
    file.set_permissions(fs::Permissions::from_mode(mode))
        .expect("the file is ours");
    file.write_all(text.as_bytes()).expect("there is room");
}

/// As root, to the user that relayd becomes.
fn give_away(path: &Path) {
    if Uid::effective().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
}
