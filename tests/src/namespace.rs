//! Real callers of `/usr/sbin/sendmail`, run where that path is ours: a private mount namespace with the built shim
//! bound over it. The host's file is not touched. Needs root.

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
