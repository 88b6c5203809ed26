//! What a running program costs, as Linux tells: memory, processor time, descriptors.

use std::fs;
use std::time::Duration;

use nix::unistd::{Pid, SysconfVar, sysconf};

/// The costs of one process at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The most memory that was ever resident, in KiB.
    pub peak_kib: u64,
    /// Processor time so far, of all its threads.
    pub processor: Duration,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Cost {
    /// The costs of `pid` now; `None` where only root may know, as relayd shuts others out.
    pub fn of(pid: Pid) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let status = read("status")?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        // Fields 14 and 15, counted from behind the name in parentheses, which may hold anything.
        let stat = read("stat")?;
        let fields = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|n| n.parse::<u64>().ok()).sum();
        let rate = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
        let rate = u64::try_from(rate).ok()?;
        Some(Self {
            peak_kib: peak.split_whitespace().next()?.parse().ok()?,
            processor: Duration::from_millis(ticks * 1000 / rate),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
        })
    }

    /// The same with the peak counted from now on.
    pub fn from_now(pid: Pid) -> Option<Self> {
        fs::write(format!("/proc/{pid}/clear_refs"), "5").ok()?;
        Self::of(pid)
    }
}
