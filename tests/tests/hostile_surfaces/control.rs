//! The control socket, and the submit socket as far as it is one. A row says bytes (`say`) at a socket and awaits that
//! the answer begins with `reply`; without `reply`, that the connection ends. Nothing is queued, no descriptor and no
//! memory stays behind, and relayd answers afterwards.

use std::fs::{self, File};
use std::io::{IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::Value;
use tests::enclosure::ALICE;
use tests::gateway::{Gateway, Setup};
use tests::patience;
use tests::process::Cost;
use tests::program::{built, run};
use tests::rig::{Access, Rig};
use tests::table::{Faults, bytes, text};

use super::{LIMIT, MESSAGE, bounded, expect_calm};

/// relayd may grow by so much, in KiB; each row of the table would be let grow it by far more.
const GROWTH_KIB: u64 = 8 * 1024;

/// relayd in front of a gateway that takes everything.
pub(super) struct Panel {
    gateway: Gateway,
    rig: Rig,
}

impl Panel {
    pub(super) fn new() -> Self {
        let gateway = Gateway::start(Setup::open_sink());
        let mut access = Access::open(gateway.port());
        access.top = "message_size_limit = 1M\n".to_owned();
        let rig = Rig::started(access);
        Self { gateway, rig }
    }

    pub(super) fn judge(&mut self, row: &Value) -> Faults {
        let mut faults = Faults::default();
        let before = self.cost();
        match row["special"].as_str() {
            None => self.say(row, &mut faults),
            Some("hang up") => self.hang_up(),
            Some("never read") => self.never_read(&mut faults),
            Some("descriptors") => self.descriptors(&mut faults),
            Some("as a user") => self.as_a_user(&mut faults),
            Some("storm") => self.storm(&mut faults),
            Some("taken path") => return taken_path(),
            Some(other) => faults.add(format!("no such special row: {other}")),
        }
        let mut after = before;
        let settled = patience::until(LIMIT, || {
            after = self.cost();
            (after.descriptors <= before.descriptors).then_some(())
        });
        faults.require(settled.is_some(), || format!("{before:?} became {after:?}"));
        let grown = after.peak_kib.saturating_sub(before.peak_kib);
        faults.require(grown < GROWTH_KIB, || format!("grown by {grown} KiB"));
        faults.compare("the queue", "Mail queue is empty\n", &*self.rig.mailq());
        self.rig.expect_empty_spool(LIMIT);
        expect_calm(&self.rig, &mut faults);
        faults
    }

    fn cost(&self) -> Cost {
        Cost::of(self.rig.pid()).expect("root may know")
    }

    fn socket(&self, name: &str) -> UnixStream {
        let path = self.rig.path().join("run").join(name);
        let stream = UnixStream::connect(path).expect("relayd listens");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a socket");
        stream.set_write_timeout(patience).expect("a socket");
        stream
    }

    fn say(&self, row: &Value, faults: &mut Faults) {
        let mut stream = self.socket(row["socket"].as_str().unwrap_or("control.sock"));
        // relayd may hang up before it has read everything.
        let _ = stream.write_all(&bytes(&row["say"]));
        let _ = stream.shutdown(Shutdown::Write);
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        let (heard, wanted) = (String::from_utf8_lossy(&heard), text(&row["reply"]));
        let good = heard.lines().any(|line| line.starts_with(&wanted));
        faults.require(good, || format!("wanted {wanted:?}, heard {heard:?}"));
    }

    fn hang_up(&self) {
        for _ in 0..200 {
            let mut stream = self.socket("control.sock");
            stream.write_all(b"LIST\n").expect("relayd listens");
        }
    }

    /// Ten clients that ask for a long listing and do not take it: the others are served.
    fn never_read(&mut self, faults: &mut Faults) {
        const ENTRIES: usize = 1000;
        self.gateway.close();
        let one =
            "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nBDAT 14 LAST\r\nSubject: s\r\n\r\n";
        let session = format!("EHLO x\r\n{}QUIT\r\n", one.repeat(ENTRIES));
        let mut command = self.rig.command("sendmail");
        let output = run(command.arg("-bs"), session.as_bytes());
        faults.require(output.status.success(), || format!("{output:?}"));
        let stalled: Vec<UnixStream> = (0..10).map(|_| self.socket("control.sock")).collect();
        for mut stream in &stalled {
            stream.write_all(b"LIST\n").expect("relayd listens");
        }
        let listing = self.rig.mailq();
        let whole = listing.ends_with(&format!("in {ENTRIES} Requests.\n"));
        faults.require(whole, || "the listing is not whole".to_owned());
        drop(stalled);
        self.gateway.reopen();
        self.rig.postqueue(&["-f"]);
        self.rig.expect_empty_queue(LIMIT);
    }

    /// An open file that is passed along is not kept.
    fn descriptors(&self, faults: &mut Faults) {
        let secret = File::open("/etc/shadow").expect("root may read it");
        for name in ["control.sock", "submit.sock"] {
            for _ in 0..50 {
                let stream = self.socket(name);
                let passed = [secret.as_raw_fd()];
                let message = [ControlMessage::ScmRights(&passed)];
                let said = [IoSlice::new(b"STATUS\n")];
                let sent =
                    sendmsg::<()>(stream.as_raw_fd(), &said, &message, MsgFlags::empty(), None);
                faults.require(sent.is_ok(), || format!("{sent:?}"));
                let mut heard = [0; 64];
                let count = (&stream).read(&mut heard).unwrap_or_default();
                faults.require(count > 0, || format!("{name} does not answer"));
            }
        }
    }

    /// What only admins may ask is refused to others, whatever is queued.
    fn as_a_user(&self, faults: &mut Faults) {
        let mut command = self.rig.enter("/usr/bin/setpriv");
        command.args(["--reuid", &ALICE.to_string(), "--clear-groups", "--"]);
        command.arg(built("relayctl")).arg("reload");
        let output = run(command.env("RELAYD_CONFIG", self.rig.settings()), b"");
        faults.compare("status", &Some(77), &output.status.code());
        let said = String::from_utf8_lossy(&output.stderr);
        faults.require(said.contains("not allowed to reload"), || said.to_string());
    }

    fn storm(&self, faults: &mut Faults) {
        const REQUESTS: usize = 2000;
        self.rig.send(&["-i", "b@x.test"], MESSAGE);
        let before = self.cost().processor;
        for _ in 0..REQUESTS {
            let mut stream = self.socket("control.sock");
            stream.write_all(b"FLUSH\n").expect("relayd listens");
            let mut heard = String::new();
            stream.read_to_string(&mut heard).expect("relayd answers");
            faults.require(heard == "OK\n", || heard);
        }
        let spent = self.cost().processor.saturating_sub(before);
        faults.require(spent < Duration::from_secs(5), || {
            format!("{spent:?} of processor time")
        });
        faults.note = format!("{REQUESTS} requests");
    }
}

/// Something else at the socket's path is neither removed nor followed.
fn taken_path() -> Faults {
    let mut faults = Faults::default();
    let rig = Rig::new(Access::open(9));
    let path: PathBuf = rig.path().join("run/control.sock");
    let target = rig.path().join("target");
    fs::write(&target, "mine").expect("the folder is ours");
    for link in [false, true] {
        let _ = fs::remove_file(&path);
        if link {
            symlink(&target, &path).expect("the folder is ours");
        } else {
            fs::write(&path, "mine").expect("the folder is ours");
        }
        let output = bounded(&rig, &built("relayd"), &[]);
        faults.compare("status", &Some(73), &output.status.code());
        let said = String::from_utf8_lossy(&output.stderr);
        faults.require(said.contains("control.sock"), || said.to_string());
        let kept = fs::read(&path).unwrap_or_default();
        faults.require(kept == b"mine", || "what was there is gone".to_owned());
    }
    faults
}
