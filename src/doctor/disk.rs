//! Room on the disk, and how long a write takes to be durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Finding;
use crate::headroom::disk_free_bytes;
use crate::home::Paths;
use crate::home::settings::NodeSettings;

const DISK: &str = "disk";
/// So many small writes are timed.
const WRITES: u32 = 16;
const WRITE_BYTES: usize = 4096;
/// Slower than this on average, writes of the cluster will be slow.
const SLOW: Duration = Duration::from_millis(100);
/// As much as this beside the reserve, and there is time to act.
const COMFORTABLE: u64 = 4;

pub(super) fn look(paths: &Paths, settings: Option<&NodeSettings>, findings: &mut Vec<Finding>) {
    let data = paths.data();
    if !data.exists() {
        return;
    }
    let reserve = settings.map_or_else(Default::default, |settings| settings.headroom).disk_reserve_bytes;
    match disk_free_bytes(&data) {
        Some(free) if free < reserve => findings.push(Finding::problem(
            DISK,
            format!(
                "{} MiB are free, below the reserve of {} MiB: nothing is issued that would be kept",
                mib(free),
                mib(reserve)
            ),
            "make room on the disk of data/, or set disk.reserve-bytes lower; with room the node goes on by itself",
        )),
        Some(free) if free < reserve.saturating_mul(COMFORTABLE) => findings.push(Finding::warning(
            DISK,
            format!(
                "{} MiB are free; below {} MiB nothing is issued that would be kept",
                mib(free),
                mib(reserve)
            ),
            "make room on the disk of data/",
        )),
        Some(free) => findings.push(Finding::fine(DISK, format!("{} MiB are free", mib(free)))),
        None => {}
    }
    match time_writes(&data) {
        Ok(took) if took > SLOW => findings.push(Finding::problem(
            DISK,
            format!("a write takes {} ms to be durable", took.as_millis()),
            "see what else writes to this disk, and whether it is failing (dmesg, smartctl); every write of the cluster waits for a majority of such disks",
        )),
        Ok(took) => findings.push(Finding::fine(DISK, format!("a write takes {} µs to be durable", took.as_micros()))),
        Err(error) => findings.push(Finding::problem(
            DISK,
            format!("nothing can be written to {}: {error}", data.display()),
            "run this as the user of the node; else make room, and see whether the disk is mounted read-only or failing",
        )),
    }
}

/// The mean of some small writes, each made durable, as the log's are.
fn time_writes(data: &Path) -> io::Result<Duration> {
    let path = data.join(format!(".doctor.{}", std::process::id()));
    let begun = Instant::now();
    let written = File::create_new(&path).and_then(|mut file| {
        for _ in 0..WRITES {
            file.write_all(&[0; WRITE_BYTES])?;
            file.sync_data()?;
        }
        Ok(begun.elapsed() / WRITES)
    });
    // Nobody needs it, whatever became of it.
    let _ = fs::remove_file(&path);
    written
}

fn mib(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}
