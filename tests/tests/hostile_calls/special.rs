//! The rows that need more than one call.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::certificate::{Authority, Validity};
use tests::enclosure::ALICE;
use tests::gateway::{Gateway, Setup};
use tests::patience;
use tests::program::run;
use tests::rig::Rig;
use tests::table::Faults;

use super::{Host, LIMIT, MESSAGE, errors};

const NOBODY: u32 = 65534;

/// Runs the row that names `name`.
pub(super) fn judge(name: &str, host: &mut Host) -> Faults {
    let mut faults = Faults::default();
    match name {
        "listing by nobody" => listing_by_nobody(host, &mut faults),
        "closed pipe" => closed_pipe(&mut faults),
        "no core" => no_core(host, &mut faults),
        "modes" => modes(host, &mut faults),
        "every error" => errors::every_one(host, &mut faults),
        "stopped" => stopped(host, &mut faults),
        "no secret" => no_secret(&mut faults),
        "no inodes" => no_inodes(&mut faults),
        "quota" => quota(host, &mut faults),
        other => faults.add(format!("no such special row: {other}")),
    }
    faults
}

impl Host {
    /// A program of ours on this host, as user `id`.
    pub(super) fn program(&self, id: u32, line: &[&str]) -> Command {
        let mut command = self.enclosure.command_as(id);
        command.args(line).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("RELAYD_CONFIG", self.rig.settings());
        command
    }

    /// alice sends `message`.
    pub(super) fn send(&self, message: &[u8]) -> Output {
        run(
            &mut self.program(ALICE, &["sendmail", "-i", "b@example.org"]),
            message,
        )
    }

    /// The only file in the spool's queues or in maildrop.
    fn only_file(&self) -> Option<PathBuf> {
        let mut found = Vec::new();
        for queue in ["maildrop", "incoming", "deferred", "hold", "corrupt"] {
            collect(&self.rig.spool().join(queue), &mut found);
        }
        let one = found.pop();
        found.is_empty().then_some(one).flatten()
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

fn expect_status(what: &str, status: i32, output: &Output, faults: &mut Faults) {
    let code = output.status.code();
    faults.require(code == Some(status), || format!("{what}: {output:?}"));
}

fn listing_by_nobody(host: &mut Host, faults: &mut Faults) {
    host.gateway.close();
    expect_status("sendmail", 0, &host.send(MESSAGE), faults);
    let output = run(&mut host.program(NOBODY, &["mailq", "-bp"]), b"");
    expect_status("mailq", 0, &output, faults);
    let listing = String::from_utf8_lossy(&output.stdout);
    let shows = listing.contains("b@example.org") && listing.contains("alice@test.example");
    faults.require(shows && !listing.contains("body"), || listing.to_string());
    host.gateway.reopen();
    faults.compare("messages", &1, &host.deliveries().len());
}

/// More entries than a pipe holds lines for, in a spool in memory.
fn closed_pipe(faults: &mut Faults) {
    const ENTRIES: usize = 10_000;
    let mut host = Host::with(|rig| {
        rig.enclose("mount -t tmpfs -o mode=755,uid=65534,gid=65534 tmpfs \"$1/spool\"")
    });
    host.gateway.close();
    let one = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nBDAT 14 LAST\r\nSubject: s\r\n\r\n";
    let session = format!("EHLO x\r\n{}QUIT\r\n", one.repeat(ENTRIES));
    expect_status(
        "-bs",
        0,
        &run(
            &mut host.program(ALICE, &["sendmail", "-bs"]),
            session.as_bytes(),
        ),
        faults,
    );
    let mut mailq = host.program(ALICE, &["mailq"]);
    let pipes = mailq
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut mailq = pipes.spawn().expect("mailq starts");
    let mut reader = BufReader::new(mailq.stdout.take().expect("piped above"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a pipe can be read");
    drop(reader);
    let output = mailq.wait_with_output().expect("it is our child");
    faults.require(line.starts_with("-Queue ID-"), || {
        format!("first line: {line:?}")
    });
    faults.compare("stderr", "", &*String::from_utf8_lossy(&output.stderr));
    expect_status("mailq", 0, &output, faults);
    let whole = run(&mut host.program(ALICE, &["mailq"]), b"").stdout;
    let last = format!("in {ENTRIES} Requests.\n");
    faults.require(whole.ends_with(last.as_bytes()), || {
        "the listing is not whole".to_owned()
    });
}

/// relayd has the gateway's password, so it makes no core file, and nobody but root may look into it.
fn no_core(host: &mut Host, faults: &mut Faults) {
    let process = PathBuf::from(format!("/proc/{}", host.rig.pid()));
    let limits = fs::read_to_string(process.join("limits")).unwrap_or_default();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core
        .unwrap_or_default()
        .split_whitespace()
        .skip(4)
        .collect();
    faults.compare("core limits", &["0", "0", "bytes"][..], &core[..]);
    let owner = fs::metadata(process.join("environ"))
        .map(|status| status.uid())
        .ok();
    faults.compare("whose memory it is", &Some(0), &owner);
    let shim = fs::metadata(tests::program::built("sendmail")).expect("it is built");
    faults.compare("set-id bits of sendmail", &0, &(shim.mode() & 0o6000));
}

fn modes(host: &mut Host, faults: &mut Faults) {
    for (umask, down, mode) in [
        ("0777", false, 0o600),
        ("0000", false, 0o600),
        ("0777", true, 0o644),
        ("0000", true, 0o644),
    ] {
        host.gateway.close();
        if down {
            host.rig.stop();
        }
        let script = format!("umask {umask}\nexec sendmail -i b@example.org");
        let output = run(&mut host.program(ALICE, &["sh", "-c", &script]), MESSAGE);
        expect_status("sendmail", 0, &output, faults);
        // Between two looks relayd may move the entry from one queue to the other.
        let found = patience::until(LIMIT, || {
            let status = fs::metadata(host.only_file()?).ok()?;
            Some(status.permissions().mode() & 0o7777)
        });
        faults.compare(
            &format!("mode with umask {umask}, relayd down: {down}"),
            &Some(mode),
            &found,
        );
        if down {
            host.rig.start();
        }
        host.gateway.reopen();
        faults.compare("messages", &1, &host.deliveries().len());
    }
}

/// A submitter that does not go on: others do, relayd does, and what it had sent goes when it goes.
fn stopped(host: &mut Host, faults: &mut Faults) {
    let mut command = host.program(ALICE, &["sendmail", "-bs"]);
    let mut child: Child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sendmail starts");
    let stdin = child.stdin.as_mut().expect("piped above");
    let begin = "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: half\r\n\r\nhalf\r\n";
    stdin.write_all(begin.as_bytes()).expect("it reads");
    let mut said = BufReader::new(child.stdout.take().expect("piped above"));
    let mut line = String::new();
    while !line.starts_with("354") {
        line.clear();
        let count = said.read_line(&mut line).expect("a pipe can be read");
        assert!(count > 0, "the session ended early");
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"));
    kill(pid, Signal::SIGSTOP).expect("it is our child");
    expect_status("another one", 0, &host.send(MESSAGE), faults);
    faults.compare("messages", &1, &host.deliveries().len());
    kill(pid, Signal::SIGKILL).expect("it is our child");
    child.wait().expect("it is our child");
    faults.compare("messages of the stopped one", &0, &host.deliveries().len());
}

fn no_secret(faults: &mut Faults) {
    let authority = Authority::new();
    let gateway = Gateway::start(Setup::provider(
        authority.issue("gateway.test", Validity::Current),
    ));
    let rig = Rig::before(&gateway, &authority);
    rig.send(&["-i", "b@example.org"], MESSAGE);
    gateway.expect(1, LIMIT);
    let mut password = String::new();
    gateway.change(|setup| password.clone_from(&setup.password));
    for name in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{}/{name}", rig.pid())).expect("root may read it");
        let known = super::has(&bytes, password.as_bytes());
        faults.require(!known && !bytes.is_empty(), || {
            format!("the password is in {name}")
        });
    }
    faults.require(!rig.log().contains(&password), || {
        "the password is in the log".to_owned()
    });
}

/// A spool of which every inode is in use, with relayd and without.
fn no_inodes(faults: &mut Faults) {
    let mut host = Host::with(|rig| {
        rig.enclose(
            "mount -t tmpfs -o nr_inodes=300,mode=755,uid=65534,gid=65534 tmpfs \"$1/spool\"",
        );
    });
    let fill = "mkdir \"$0/fill\"; i=0; while : 2>/dev/null >\"$0/fill/$i\"; do i=$((i+1)); done";
    let mut command = host.rig.enter("/bin/sh");
    command.arg("-c").arg(fill).arg(host.rig.spool());
    run(&mut command, b"");
    for down in [false, true] {
        if down {
            host.rig.stop();
        }
        let output = host.rig.sendmail(&["-i", "b@example.org"], MESSAGE);
        expect_status(&format!("relayd down: {down}"), 75, &output, faults);
    }
    let mut command = host.rig.enter("/bin/rm");
    command.arg("-r").arg(host.rig.spool().join("fill"));
    run(&mut command, b"");
    host.rig.start();
    let left = host.rig.mailq();
    faults.compare("the queue", "Mail queue is empty\n", &*left);
    faults.compare("messages", &0, &host.deliveries().len());
}

/// EDQUOT at each write of relayd into its spool.
fn quota(host: &mut Host, faults: &mut Faults) {
    let mut strace = Command::new("/usr/bin/strace");
    let pid = host.rig.pid().to_string();
    strace.args(["-f", "-o", "/dev/null", "-e", "trace=pwrite64"]);
    strace.args(["-e", "inject=pwrite64:error=EDQUOT", "-p", &pid]);
    let mut strace = strace
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace starts");
    let status = PathBuf::from(format!("/proc/{pid}/status"));
    let traced = patience::until(LIMIT, || {
        let text = fs::read_to_string(&status).ok()?;
        (!text.contains("TracerPid:\t0\n")).then_some(())
    });
    faults.require(traced.is_some(), || "strace does not attach".to_owned());
    let output = host.send(&[MESSAGE, &b"0123456789abcde\n".repeat(250_000)].concat());
    expect_status("sendmail", 75, &output, faults);
    let strace_pid = Pid::from_raw(i32::try_from(strace.id()).expect("a pid fits"));
    kill(strace_pid, Signal::SIGINT).expect("it is our child");
    strace.wait().expect("it is our child");
    let mut said = String::new();
    let _ = strace
        .stderr
        .take()
        .map(|mut pipe| pipe.read_to_string(&mut said));
    patience::expect("strace lets go", Duration::from_secs(20), || {
        fs::read_to_string(&status).is_ok_and(|text| text.contains("TracerPid:\t0\n"))
    });
    expect_status("after it", 0, &host.send(MESSAGE), faults);
    faults.compare("messages", &1, &host.deliveries().len());
}
