//! Ending a command that was started in a process group of its own.

use std::process::Child;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Kills a child that leads a process group, with everything that it started, and waits for it.
pub fn kill_group(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // It may be gone already, which is what is wanted.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
}
