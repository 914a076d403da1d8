//! What the process knows of itself: queues, memory, files, time.

use std::fmt;
use std::fs;

use super::Sources;
use super::page::{Page, number};

/// What the kernel counts processor time in: hundredths of a second, on every Linux that is built today.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn write(page: &mut Page<'_>, sources: &Sources) -> fmt::Result {
    let headroom = sources.health.headroom();
    page.gauges(
        "circlet_build_info",
        "1, with the version of the node",
        "version",
        [(env!("CARGO_PKG_VERSION").into(), 1.0)],
    )?;
    let queued = sources.passwords.waiting();
    page.gauges(
        "circlet_passwords_queued",
        "Passwords that wait to be checked: of users who were right not long ago, of others, and with revokes",
        "of",
        [
            ("known".into(), number(queued.known as u64)),
            ("strangers".into(), number(queued.strangers as u64)),
            ("revokes".into(), number(queued.revokes as u64)),
        ],
    )?;
    page.gauge(
        "circlet_audit_waiting_lines",
        "Audit lines in memory, because they could not be written",
        Some(number(sources.audit.waiting() as u64)),
    )?;
    page.gauge(
        "circlet_disk_free_bytes",
        "Free space on the disk of data/",
        Some(number(headroom.disk_free_bytes())),
    )?;
    page.gauge(
        "circlet_disk_reserve_bytes",
        "With less free space, nothing is issued that would have to be kept",
        Some(number(headroom.disk_reserve_bytes())),
    )?;
    page.gauge(
        "circlet_memory_limit_bytes",
        "What the process may have resident; absent without a limit",
        headroom.memory_limit_bytes().map(number),
    )?;
    page.gauge(
        "process_resident_memory_bytes",
        "What the process has resident",
        Some(number(headroom.resident_bytes())),
    )?;
    let files = fs::read_dir("/proc/self/fd").map(|files| number(files.count() as u64)).ok();
    page.gauge("process_open_fds", "Open files and sockets", files)?;
    page.counter("process_cpu_seconds", "Processor time used", cpu_seconds().unwrap_or(0.0))
}

/// User and system time (`proc_pid_stat(5)`, fields 14 and 15, counted behind the name in brackets).
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind) = stat.rsplit_once(") ")?;
    let mut fields = behind.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(number(ticks()?.saturating_add(ticks()?)) / TICKS_PER_SECOND)
}
