//! Surroundings of a test's own. For real callers of `/usr/sbin/sendmail`: a private mount namespace with the built shim
//! bound over that path; the host's file is not touched. For clients of other hosts: a network. Needs root.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use nix::unistd::Uid;

use crate::program::need;

/// The path that real hosts give to programs.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Binds `$1` over `/usr/sbin/sendmail`, then becomes user `$2` (a number) with the rest as its command line.
const ENTER: &str = "\
set -e
mount --bind \"$1\" /usr/sbin/sendmail
id=$2
shift 2
exec setpriv --reuid=\"$id\" --regid=\"$id\" --clear-groups -- \"$@\"
";

/// True if the test may go on; else says on standard error that it is skipped, and why.
pub fn root_or_skip(test: &str) -> bool {
    let root = Uid::effective().is_root();
    if !root {
        let why = "needs root: it runs daemons under other users or mounts";
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    }
    root
}

/// Set where a test already runs in a network of its own.
const INSIDE: &str = "RELAY_TEST_NETWORK";

/// Runs the test of this name again in a new network in which this host has `addresses` beside loopback; true inside of
/// it. A connection to one of them comes from the same.
#[track_caller]
pub fn in_own_network(test: &str, addresses: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !root_or_skip(test) {
        return false;
    }
    need("/usr/bin/unshare", "util-linux");
    need("/usr/sbin/ip", "iproute2");
    let mut script = String::from("set -e\nip link set lo up\n");
    for address in addresses {
        script.push_str(&format!("ip address add {address} dev lo\n"));
    }
    script.push_str("exec \"$0\" --exact \"$1\" --nocapture");
    let this = std::env::current_exe().expect("a process has a file");
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--net", "--", "/bin/sh", "-c", &script]);
    let status = command.arg(this).arg(test).env(INSIDE, "1").status();
    assert!(status.expect("unshare runs").success(), "{test} failed");
    false
}

/// A command line that runs as user `id` where `/usr/sbin/sendmail` is `shim` and every program reads `settings`.
/// The environment is otherwise a bare one, with `home` as HOME.
pub fn command(
    shim: &Path,
    settings: &Path,
    id: u32,
    home: &Path,
    line: &[impl AsRef<OsStr>],
) -> Command {
    let mut command = enter(shim, id);
    command.args(line);
    command.env_clear();
    command.envs([("PATH", PATH), ("LANG", "C.UTF-8")]);
    command.env("RELAYD_CONFIG", settings).env("HOME", home);
    command.current_dir(home);
    command
}

fn enter(shim: &Path, id: u32) -> Command {
    need("/usr/sbin/sendmail", "postfix");
    need("/usr/bin/unshare", "util-linux");
    let mut command = Command::new("/usr/bin/unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "--",
        "/bin/sh",
        "-c",
        ENTER,
        "sh",
    ]);
    command.arg(shim).arg(id.to_string());
    command
}
