//! A copy of this host's root that costs nothing: an overlay in a private mount and process namespace.
//!
//! Two views are kept: `before`, as the preparations left it, and `root`, where things are done. All that is done there
//! lands in one folder, so the comparison looks at what was touched and at nothing else.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test: what fails here fails the test"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tests::patience;
use tests::program::{built, need};

/// Preparations: the host's packaged mail system stays; where there is none, a small package stands in for one.
pub(crate) const PACKAGED_MAIL_SYSTEM: &str = r"
if ! dpkg -S /usr/sbin/sendmail >/dev/null 2>&1; then
    p=$(mktemp -d)
    mkdir -p $p/DEBIAN $p/usr/sbin $p/usr/lib $p/usr/bin
    printf 'Package: stand-in-mta\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x.example>\nDescription: x\n' >$p/DEBIAN/control
    printf '#!/bin/sh\necho stand-in\n' >$p/usr/sbin/sendmail
    chmod 0755 $p/usr/sbin/sendmail
    ln -s ../sbin/sendmail $p/usr/lib/sendmail
    ln -s ../sbin/sendmail $p/usr/bin/mailq
    dpkg-deb --build $p $p.deb && dpkg --install $p.deb
fi";

/// Preparations: as on a host where no mail system was ever installed.
pub(crate) const NO_MAIL_SYSTEM: &str = r"
for path in /usr/sbin/sendmail /usr/lib/sendmail /usr/bin/mailq /usr/bin/newaliases /usr/sbin/postqueue; do
    owner=$(dpkg -S $path 2>/dev/null | cut -d: -f1)
    [ -z $owner ] || dpkg --force-all --purge $owner
    rm -f $path
done
getent passwd relayd && exit 1
test -x /usr/sbin/cron && test -x /usr/bin/mail";

/// What changes although nothing is left behind: the previous copies that the tools of passwd(5) and dpkg keep, and what
/// the linker and man-db remember.
const VOLATILE: &[&str] = &[
    "/etc/.pwd.lock",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
    "/var/lib/dpkg/diversions-old",
    "/tmp",
];

/// Mounts the views below `$1` after running the preparations in `$2`, says so, and stays until its input ends.
const HOLDER: &str = r#"
set -e
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir prepared prepared-work changes work before root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/prepared,workdir=$1/prepared-work" root
mount --bind /dev root/dev
mount -t proc proc root/proc
chroot root sh -ec "$2" >preparations.log 2>&1 || { cat preparations.log >&2; exit 1; }
umount root/dev root/proc root
mount -t overlay overlay -o "ro,lowerdir=$1/prepared:/" before
mount -t overlay overlay -o "lowerdir=$1/prepared:/,upperdir=$1/changes,workdir=$1/work" root
mount --bind /dev root/dev
mount -t proc proc root/proc
echo ready
exec cat >/dev/null
"#;

/// The namespace. It ends, with every process in it, when this is dropped.
pub(crate) struct CleanRoot {
    holder: Child,
    /// The process whose namespaces are entered.
    inside: u32,
    folder: tempfile::TempDir,
}

/// A program that was started in the copy.
pub(crate) struct Daemon {
    child: Child,
    pid_file: String,
}

impl CleanRoot {
    /// A copy of the root after `preparations`, a shell script that is run in it.
    pub(crate) fn with(preparations: &str) -> Self {
        need("/usr/bin/unshare", "util-linux");
        need("/usr/sbin/cron", "cron");
        need("/usr/bin/bsd-mailx", "bsd-mailx");
        let folder = tempfile::tempdir().unwrap();
        let mut holder = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--kill-child",
                "--",
                "sh",
                "-c",
                HOLDER,
                "sh",
            ])
            .arg(folder.path())
            .arg(preparations)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(
            line, "ready\n",
            "the preparations failed; what they printed is above"
        );
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        let inside = fs::read_to_string(children)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        Self {
            holder,
            inside,
            folder,
        }
    }

    /// Installs what cargo has built beside this test.
    pub(crate) fn install(&self) {
        let said = self.run(&self.install_line());
        assert!(said.contains("Next:"), "{said}");
    }

    /// The command line that does.
    pub(crate) fn install_line(&self) -> String {
        let relayd = built("relayd");
        let programs = relayd.parent().unwrap().display();
        format!("scripts/install --bin-dir '{programs}'")
    }

    /// Runs a shell script in the copy, from the top of the repository, and gives what it printed. Panics if it fails.
    pub(crate) fn run(&self, script: &str) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(script).output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        assert!(status.success(), "{script}\n{status}\n{out}{err}");
        out.into_owned()
    }

    fn command(&self, script: &str) -> Command {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.inside.to_string(),
            "--mount",
            "--pid",
            "--",
            "chroot",
        ]);
        command.arg(self.folder.path().join("root")).args([
            "sh",
            "-ec",
            "cd \"$1\"\neval \"$2\"",
            "sh",
        ]);
        command.arg(repository).arg(script);
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.env("LANG", "C.UTF-8").env("HOME", "/root");
        command.stdin(Stdio::null());
        command
    }

    /// Starts a daemon that stays in the foreground, as root.
    pub(crate) fn start(&self, name: &str, line: &str) -> Daemon {
        let pid_file = format!("/tmp/{name}.pid");
        let mut command = self.command(&format!(
            "echo $$ >{pid_file}; exec {line} >/tmp/{name}.out 2>&1"
        ));
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Daemon { child, pid_file }
    }

    /// Tells it to stop and waits until it is gone.
    pub(crate) fn stop(&self, mut daemon: Daemon) {
        self.run(&format!("kill \"$(cat {})\"", daemon.pid_file));
        daemon.child.wait().unwrap();
    }

    /// Starts the installed relayd and waits until it answers.
    pub(crate) fn start_relayd(&self) -> Daemon {
        let daemon = self.start("relayd", "/usr/sbin/relayd");
        let answers = || {
            self.command("postqueue -p")
                .output()
                .unwrap()
                .status
                .success()
        };
        let alone = || {
            !self
                .run("ps -o user= -p \"$(cat /tmp/relayd.pid)\" || true")
                .contains("root")
        };
        if patience::until(super::PATIENCE, || (answers() && alone()).then_some(())).is_none() {
            panic!(
                "relayd does not answer, or is still root: {}",
                self.run("cat /tmp/relayd.out || true")
            );
        }
        daemon
    }

    /// Writes a file of the copy.
    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.host_path(path), text).unwrap();
    }

    /// The path by which this process, outside, sees a path of the copy.
    pub(crate) fn host_path(&self, path: &str) -> PathBuf {
        self.view("root").join(path.trim_start_matches('/'))
    }

    /// How many files a folder of the copy holds; 0 if there is no such folder.
    pub(crate) fn files(&self, folder: &str) -> usize {
        fs::read_dir(self.host_path(folder)).map_or(0, Iterator::count)
    }

    fn view(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        Path::new(&format!("/proc/{}/root", self.inside)).join(folder.strip_prefix("/").unwrap())
    }

    /// Compares everything that was touched since the preparations with what it was: names, kinds, modes, owners, link
    /// targets and contents.
    pub(crate) fn assert_unchanged(&self) {
        let mut differences = Vec::new();
        self.compare(Path::new("/"), &mut differences);
        assert!(
            differences.is_empty(),
            "the tree is not as it was:\n{}",
            differences.join("\n")
        );
    }

    fn compare(&self, path: &Path, differences: &mut Vec<String>) {
        if VOLATILE.iter().any(|volatile| path == Path::new(volatile)) {
            return;
        }
        let inner = path.strip_prefix("/").unwrap();
        let [before, after, touched] =
            ["before", "root", "changes"].map(|view| self.view(view).join(inner));
        let (was, is) = (describe(&before), describe(&after));
        if was != is {
            differences.push(format!("{}: was {was}, is {is}", path.display()));
        }
        if !touched.is_dir() || touched.is_symlink() {
            return;
        }
        // A folder that was removed and made again hides what it held, so names are compared too.
        let all: BTreeSet<_> = [&touched, &before, &after]
            .into_iter()
            .flat_map(|folder| names(folder))
            .collect();
        let (had, has) = (names(&before), names(&after));
        for name in all {
            let touched = touched.join(&name).symlink_metadata().is_ok();
            if touched || had.contains(&name) != has.contains(&name) {
                self.compare(&path.join(name), differences);
            }
        }
    }
}

impl Drop for CleanRoot {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What a path is, in words; contents by a hash.
fn describe(path: &Path) -> String {
    let Ok(facts) = path.symlink_metadata() else {
        return "nothing".to_owned();
    };
    let kind = facts.file_type();
    let what = if kind.is_symlink() {
        format!("link to {}", fs::read_link(path).unwrap().display())
    } else if kind.is_dir() {
        "folder".to_owned()
    } else if kind.is_file() {
        let mut hasher = DefaultHasher::new();
        fs::read(path).unwrap().hash(&mut hasher);
        format!("file of {} bytes, hash {:x}", facts.len(), hasher.finish())
    } else if kind.is_socket() {
        "socket".to_owned()
    } else {
        format!("{kind:?}")
    };
    format!(
        "{what}, mode {:o}, owner {}:{}",
        facts.mode() & 0o7777,
        facts.uid(),
        facts.gid()
    )
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}
