//! What a program opened and ran, by strace.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::program::need;

/// The calls that open or run something.
const CALLS: &str = "trace=execve,execveat,fork,vfork,clone,clone3,open,openat,openat2,creat,truncate,unlink,rename";

/// A trace that is being written.
pub(super) struct Trace {
    file: PathBuf,
}

impl Trace {
    /// Into a file in `folder`, which the traced user can write.
    pub(super) fn new(folder: &Path) -> Self {
        need("/usr/bin/strace", "strace");
        let file = folder.join("calls");
        let _ = std::fs::remove_file(&file);
        Self { file }
    }

    /// Has what is added to `command` run under strace.
    pub(super) fn begin(&self, command: &mut Command) {
        command.args(["strace", "-f", "-qq", "-s", "4096", "-e", CALLS, "-o"]);
        command.arg(&self.file).arg("--");
    }

    /// One program and no other ran, nothing was opened for writing, none of `unopened` was opened at all.
    pub(super) fn faults(&self, unopened: &[&str]) -> Vec<String> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let calls: Vec<&str> = text.lines().filter(|line| line.contains('(')).collect();
        let runs = calls.iter().filter(|call| call.contains(" execve")).count();
        let mut faults = Vec::new();
        if runs != 1 {
            faults.push(format!("{runs} programs ran"));
        }
        for call in calls.iter().filter(|call| !call.contains(" execve")) {
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"];
            let is_open = call.contains(" open") && !writes.iter().any(|flag| call.contains(flag));
            let named = unopened.iter().any(|name| call.contains(name));
            if (!is_open && !call.contains("\"/dev/null\"")) || named {
                faults.push((*call).to_owned());
            }
        }
        faults
    }
}
