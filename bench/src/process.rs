//! What the servers' processes used, from `/proc` (proc(5)).

use std::time::Duration;

/// The CPU time that a process has used so far, in user and system mode, all threads.
///
/// Fields 14 and 15 of `/proc/PID/stat`, in clock ticks. `None` if the process is gone.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, field 2, may hold spaces; it ends at the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let ticks = u32::try_from(user + system).ok()?;
    let hertz = u32::try_from(ticks_per_second).ok()?;
    Some(Duration::from_secs(1) * ticks / hertz)
}

/// The resident memory of a process in bytes (`VmRSS`). `None` if the process is gone.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The CPU time of all these processes together; a process that is gone counts as nothing.
pub(crate) fn cpu_time_of_all(pids: &[u32]) -> Duration {
    pids.iter().filter_map(|pid| cpu_time(*pid)).sum()
}
