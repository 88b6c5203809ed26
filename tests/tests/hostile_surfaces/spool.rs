//! Files of the spool: what a local user may leave in maildrop, and what a crash, a disk or an admin may make of the
//! queue. Each row puts files there while relayd is down, starts it, and looks at what it made of them: so many messages
//! went out whole (`delivered`), so many files were set aside (`corrupt`; `others`: all others), so many stayed in maildrop (`left`).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;
use tests::enclosure::ALICE;
use tests::gateway::{Gateway, Setup};
use tests::patience;
use tests::program::{built, run};
use tests::rig::{Access, Rig};
use tests::table::Faults;

use super::image::{Image, mark, sent};
use super::{LIMIT, MESSAGE, bounded, compare_words, expect_calm};

const NOBODY: u32 = 65534;
const QUEUES: [&str; 3] = ["incoming", "deferred", "hold"];

/// relayd, down between rows, in front of a gateway that takes everything; and one good file of each kind.
pub(super) struct Store {
    gateway: Gateway,
    rig: Rig,
    drop: Image,
    entry: Image,
    /// Names that were given to files so far.
    names: u64,
}

impl Store {
    pub(super) fn new() -> Self {
        let mut gateway = Gateway::start(Setup::open_sink());
        let mut rig = Rig::started(Access::open(gateway.port()));
        gateway.close();
        rig.send(&["-i", "-f", "a@x.test", "b@x.test"], MESSAGE);
        rig.expect_mailq("b@x.test", LIMIT);
        rig.stop();
        let entry = only_file(&rig, &QUEUES);
        rig.send(&["-i", "-f", "a@x.test", "b@x.test"], MESSAGE);
        let drop = only_file(&rig, &["maildrop"]);
        gateway.reopen();
        let (drop, entry) = (Image::read(&drop), Image::read(&entry));
        Self {
            gateway,
            rig,
            drop,
            entry,
            names: 0,
        }
    }

    pub(super) fn judge(&mut self, row: &Value) -> Faults {
        let mut faults = Faults::default();
        let (before, log) = (self.sent(), self.rig.log().len());
        match row["put"].as_str() {
            Some(put) => self.put(put, &mut faults),
            None => match row["special"].as_str().unwrap_or_default() {
                "many daemons" => return self.many_daemons(),
                "open folder" => return self.open_folder(),
                other => faults.add(format!("no such special row: {other}")),
            },
        }
        let want = &row["want"];
        let count = |key: &str| usize::try_from(want[key].as_u64().unwrap_or_default());
        let mut wanted = ["delivered", "corrupt", "left"].map(|key| count(key).expect("a count"));
        if want["corrupt"] == "others" {
            let all = ["maildrop", "incoming"].map(|queue| self.files(queue).len());
            wanted[1] = all[0] + all[1] - wanted[0];
        }
        self.rig.start();
        let mut seen = [0; 3];
        let done = patience::until(LIMIT, || {
            // What is in doubt waits longer than a test should.
            self.rig.postqueue(&["-f"]);
            seen = [
                self.sent() - before,
                self.files("corrupt").len(),
                self.files("maildrop").len(),
            ];
            (seen == wanted && self.rig.mailq() == "Mail queue is empty\n").then_some(())
        });
        faults.require(done.is_some(), || {
            format!(
                "[delivered, corrupt, left]: wanted {wanted:?}, got {seen:?}\n{}",
                self.rig.mailq()
            )
        });
        for delivery in self
            .gateway
            .read(|record| record.deliveries[before..].to_vec())
        {
            faults.compare("body", &b"body\r\n"[..], delivery.body());
        }
        let log = self.rig.log().split_off(log);
        compare_words("the log", &log, &want["log"], &want["lacks"], &mut faults);
        expect_calm(&self.rig, &mut faults);
        self.rig.stop();
        for folder in ["corrupt", "maildrop"] {
            self.files(folder).iter().for_each(|path| remove(path));
        }
        faults
    }

    fn sent(&self) -> usize {
        self.gateway.read(|record| record.deliveries.len())
    }

    fn files(&self, queue: &str) -> Vec<PathBuf> {
        below(&self.rig.spool().join(queue))
    }

    /// A path in maildrop that was not used yet.
    fn fresh(&mut self) -> PathBuf {
        self.names += 1;
        self.rig
            .spool()
            .join(format!("maildrop/{:032x}", self.names))
    }

    /// A file in maildrop as `sendmail` leaves it.
    fn leave(&mut self, bytes: &[u8]) -> PathBuf {
        let path = self.fresh();
        write(&path, bytes, ALICE, 0o644);
        path
    }

    /// An entry under an id of its own.
    fn enter(&mut self, queue: &str, id: u64, bytes: &[u8]) {
        let name = format!("{id:012X}");
        let path = self.rig.spool().join(queue).join(&name[11..]).join(&name);
        write(&path, bytes, NOBODY, 0o600);
    }

    fn put(&mut self, what: &str, faults: &mut Faults) {
        let good = self.drop.clone().sealed();
        match what {
            "drop cut anywhere" => {
                let whole = good.bytes();
                (0..good.journal_at()).for_each(|end| drop(self.leave(&whole[..end])));
                self.leave(&whole);
            }
            "drop with a bit flipped" => {
                let whole = good.bytes();
                for bit in (0..good.journal_at() * 8).step_by(7) {
                    let mut bytes = whole.clone();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    self.leave(&bytes);
                }
            }
            "drop twice in one file" => {
                let whole = good.bytes();
                self.leave(&[&whole[..], &whole].concat());
            }
            "drop with an unknown field" => {
                let mut image = good;
                image.envelope.extend(b"Z\x03\0\0\0abc");
                self.leave(&image.sealed().bytes());
            }
            "drop with a huge length" => {
                let mut image = good;
                image.set(40, &u64::MAX.to_le_bytes());
                image.seal_header();
                self.leave(&image.bytes());
                image.set(32, &u32::MAX.to_le_bytes());
                image.seal_header();
                self.leave(&image.bytes());
            }
            "drop that claims to be done" => {
                let mut image = good;
                image.journal(&[mark(), sent()]);
                self.leave(&image.bytes());
            }
            "drop with a time of its own" => {
                let mut image = good;
                image.set(24, &1_000_000_u64.to_le_bytes());
                image.seal_header();
                self.leave(&image.bytes());
            }
            "drop with CR LF in the sender" => {
                let mut image = good;
                let place = find(&image.envelope, b"a@x.test");
                image.envelope[place..place + 8].copy_from_slice(b"a@x\r\nX:y");
                self.leave(&image.sealed().bytes());
            }
            "drop of 5 GiB without content" => {
                let path = self.leave(&[]);
                let file = OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .expect("just made");
                file.set_len(5 << 30).expect("a sparse file");
            }
            other => self.put_kind(other, faults),
        }
    }

    /// Things that are no files, and files that change.
    fn put_kind(&mut self, what: &str, faults: &mut Faults) {
        let good = self.drop.clone().sealed().bytes();
        match what {
            "link to a secret" => {
                symlink("/etc/shadow", self.fresh()).expect("maildrop is there");
                self.leave(&good);
            }
            "fifo" => {
                mkfifo(&self.fresh(), Mode::from_bits_truncate(0o644)).expect("maildrop is there");
                self.leave(&good);
            }
            "socket, device and folder" => {
                drop(UnixListener::bind(self.fresh()).expect("maildrop is there"));
                let mut mknod = Command::new("/bin/mknod");
                mknod.arg(self.fresh()).args(["c", "1", "5"]);
                faults.require(run(&mut mknod, b"").status.success(), || {
                    "mknod fails".to_owned()
                });
                let folder = self.fresh();
                fs::create_dir(&folder).expect("maildrop is there");
                self.leave(&good);
            }
            "file that grows" => {
                let path = self.leave(&good);
                let mut file = OpenOptions::new()
                    .append(true)
                    .open(path)
                    .expect("just made");
                file.write_all(&[0; 100_000]).expect("there is room");
            }
            "file that its owner holds open" => {
                let path = self.leave(&good);
                let mut file = OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .expect("just made");
                self.rig.start();
                patience::expect("it is taken in", LIMIT, || !path.exists());
                file.seek(SeekFrom::Start(100)).expect("a file");
                file.write_all(&[b'X'; 400]).expect("a file");
                self.rig.stop();
            }
            "file that is not ready" => {
                let path = self.leave(&good);
                fs::set_permissions(path, Permissions::from_mode(0o000)).expect("just made");
            }
            other => self.put_entry(other, faults),
        }
    }

    /// Entries of the queue.
    fn put_entry(&mut self, what: &str, faults: &mut Faults) {
        let entry = self.entry.clone();
        let good = |id: u64| entry.with_id(id).sealed();
        match what {
            "entry cut anywhere" => {
                for end in 0..entry.journal_at() {
                    let id = 0x1000 + end as u64;
                    self.enter("incoming", id, &good(id).bytes()[..end]);
                }
            }
            "entry with nothing left to do" => {
                let mut image = good(0x2000);
                image.journal(&[mark(), sent()]);
                self.enter("deferred", 0x2000, &image.bytes());
            }
            "entry in an attempt" => {
                let mut image = good(0x3000);
                image.journal(&[mark()]);
                self.enter("incoming", 0x3000, &image.bytes());
            }
            "spool of yesterday" => self.enter("deferred", 0x4000, &good(0x4000).bytes()),
            "entry from the future" => {
                let mut image = good(0x5000);
                let then = 3_000_000_000_000_000_u64;
                image.set(24, &then.to_le_bytes());
                image.seal_header();
                self.enter("deferred", 0x5000, &image.bytes());
            }
            "entry under the name of another" => {
                self.enter("incoming", 0x6000, &good(0x6000).bytes());
                self.enter("incoming", 0x6001, &good(0x6000).bytes());
            }
            other => faults.add(format!("no such thing to put: {other}")),
        }
    }

    /// Twenty at once: one runs.
    fn many_daemons(&mut self) -> Faults {
        let mut faults = Faults::default();
        let mut all: Vec<Child> = (0..20)
            .map(|_| {
                let mut command = self.rig.command("relayd");
                command.stdout(Stdio::null()).stderr(Stdio::null());
                command.spawn().expect("relayd starts")
            })
            .collect();
        let mut statuses = Vec::new();
        let others = patience::until(LIMIT, || {
            all.retain_mut(|child| match child.try_wait().expect("our child") {
                Some(status) => {
                    statuses.push(status.code());
                    false
                }
                None => true,
            });
            (all.len() <= 1).then_some(())
        });
        faults.require(others.is_some() && all.len() == 1, || {
            format!("{} run", all.len())
        });
        faults.compare("statuses", &vec![Some(69); 19], &statuses);
        for mut child in all {
            let socket = self.rig.path().join("run/control.sock");
            patience::expect("the one serves", LIMIT, || {
                std::os::unix::net::UnixStream::connect(&socket).is_ok()
            });
            let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"));
            kill(pid, Signal::SIGTERM).expect("our child");
            faults.require(child.wait().expect("our child").success(), || {
                "no good end".to_owned()
            });
        }
        faults
    }

    /// A folder of the queue that others can write stops the start, and is left as it is.
    fn open_folder(&mut self) -> Faults {
        let mut faults = Faults::default();
        let folder = self.rig.spool().join("deferred");
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("it is there");
        let output = bounded(&self.rig, &built("relayd"), &[]);
        faults.compare("status", &Some(78), &output.status.code());
        let said = String::from_utf8_lossy(&output.stderr);
        let tells = ["deferred", "0777", "0700"]
            .iter()
            .all(|word| said.contains(word));
        faults.require(tells, || said.to_string());
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("it is there");
        faults
    }
}

/// The only file in these queues, which is taken away.
fn only_file(rig: &Rig, queues: &[&str]) -> Vec<u8> {
    let files: Vec<PathBuf> = queues
        .iter()
        .flat_map(|queue| below(&rig.spool().join(queue)))
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let mut bytes = Vec::new();
    let mut file = File::open(&files[0]).expect("root may read it");
    file.read_to_end(&mut bytes).expect("root may read it");
    remove(&files[0]);
    bytes
}

/// What lies in a queue's folder or in its shards.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_shard =
        |path: &Path| path.is_dir() && path.file_name().is_some_and(|name| name.len() == 1);
    entries
        .flat_map(|entry| match entry.path() {
            path if is_shard(&path) => below(&path),
            path => vec![path],
        })
        .collect()
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
}

fn write(path: &Path, bytes: &[u8], owner: u32, mode: u32) {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .expect("a fresh name");
    file.write_all(bytes).expect("there is room");
    file.set_permissions(Permissions::from_mode(mode))
        .expect("just made");
    chown(path, Some(owner), Some(owner)).expect("root may");
}

fn find(all: &[u8], part: &[u8]) -> usize {
    let place = all.windows(part.len()).position(|window| window == part);
    place.expect("it is there")
}
