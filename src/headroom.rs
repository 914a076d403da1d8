//! What the node has left of disk and memory, looked at twice a second.
//!
//! Below `disk.reserve-bytes` of free space, or near the limit of memory, the node issues and refreshes nothing that the
//! log would have to keep: what is left is for revokes, for what administrators do, and for what the cluster has decided
//! already. It verifies on, and issues again as soon as there is room.
//!
//! A process gives little of its memory back: what tokens leave that end is used again by those to come. So a node with a
//! full memory issues again once enough of its tokens have gone, up to as many as it had.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::password::checks_bytes_max;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);
/// Memory counts as tight when this share of its limit is in use, in percent, with what checks of passwords may take.
const MEMORY_TIGHT_PERCENT: u64 = 90;
/// A node whose memory is full issues again when one in so many of its tokens has gone.
const GONE_ONE_IN: u64 = 8;
/// Beyond this share of its limit nothing that has gone helps, in percent.
const MEMORY_FULL_PERCENT: u64 = 98;
/// cgroups say "no limit" by a number that no machine has.
const MEMORY_UNLIMITED: u64 = 1 << 60;

/// What an operator sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Free space on the disk of `data/` that is kept for revokes, in bytes.
    pub disk_reserve_bytes: u64,
    /// What the process may have resident, in bytes; `None` takes the limit of its cgroup, if it has one.
    pub memory_limit_bytes: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { disk_reserve_bytes: 64 * 1024 * 1024, memory_limit_bytes: None }
    }
}

/// The last look. Clones are handles to the same.
#[derive(Debug, Clone)]
pub(crate) struct Headroom(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    /// On whose disk the log lies.
    data: PathBuf,
    disk_reserve_bytes: u64,
    memory_limit_bytes: Option<u64>,
    disk_free_bytes: AtomicU64,
    resident_bytes: AtomicU64,
    /// How many tokens are recorded now, and how many were when the memory became full; 0 if it isn't.
    tokens: AtomicU64,
    tokens_when_full: AtomicU64,
}

impl Headroom {
    /// Looks for the first time.
    pub(crate) fn new(data: PathBuf, settings: Settings) -> Self {
        let headroom = Self(Arc::new(Seen {
            data,
            disk_reserve_bytes: settings.disk_reserve_bytes,
            memory_limit_bytes: settings.memory_limit_bytes.or_else(cgroup_limit_bytes),
            disk_free_bytes: AtomicU64::new(u64::MAX),
            resident_bytes: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            tokens_when_full: AtomicU64::new(0),
        }));
        headroom.look(0);
        headroom
    }

    /// Looks for ever, also at how many tokens are recorded.
    pub(crate) async fn keep_looking(self, tokens: impl Fn() -> usize) {
        let mut was_tight = false;
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(tokens() as u64);
            let tight = self.disk_is_full() || self.memory_is_tight();
            if tight != was_tight {
                self.tell(tight);
            }
            was_tight = tight;
        }
    }

    fn look(&self, tokens: u64) {
        // What can't be read doesn't stop anything: the disk says so itself when it is written to.
        if let Some(bytes) = disk_free_bytes(&self.0.data) {
            self.0.disk_free_bytes.store(bytes, Ordering::Relaxed);
        }
        if let Some(bytes) = resident_bytes() {
            self.0.resident_bytes.store(bytes, Ordering::Relaxed);
        }
        self.mark(tokens);
    }

    /// Keeps how many tokens there are, and were when the memory became full.
    fn mark(&self, tokens: u64) {
        self.0.tokens.store(tokens, Ordering::Relaxed);
        if !self.is_beyond(MEMORY_TIGHT_PERCENT) {
            self.0.tokens_when_full.store(0, Ordering::Relaxed);
        } else if self.0.tokens_when_full.load(Ordering::Relaxed) == 0 {
            self.0.tokens_when_full.store(tokens, Ordering::Relaxed);
        }
    }

    fn tell(&self, tight: bool) {
        let (free, resident) = (self.disk_free_bytes(), self.resident_bytes());
        if tight {
            tracing::error!(
                disk_free_bytes = free,
                disk_reserve_bytes = self.disk_reserve_bytes(),
                resident_bytes = resident,
                memory_limit_bytes = self.memory_limit_bytes(),
                "disk or memory is short: nothing is issued that would have to be kept; verifying and revoking go on"
            );
        } else {
            tracing::info!(disk_free_bytes = free, resident_bytes = resident, "there is room again");
        }
    }

    /// Whether free space has fallen into the reserve.
    pub(crate) fn disk_is_full(&self) -> bool {
        self.disk_free_bytes() < self.0.disk_reserve_bytes
    }

    /// Whether memory in use is near its limit, and not enough of it is free for other tokens.
    pub(crate) fn memory_is_tight(&self) -> bool {
        let tokens = self.0.tokens.load(Ordering::Relaxed);
        let when_full = self.0.tokens_when_full.load(Ordering::Relaxed);
        let have_gone = tokens < when_full - when_full.div_ceil(GONE_ONE_IN);
        self.is_beyond(MEMORY_FULL_PERCENT) || self.is_beyond(MEMORY_TIGHT_PERCENT) && !have_gone
    }

    fn is_beyond(&self, percent: u64) -> bool {
        let resident = self.resident_bytes();
        self.0.memory_limit_bytes.is_some_and(|limit| resident > but_for_checks(percent, limit))
    }

    /// Free space on the disk of `data/`.
    pub(crate) fn disk_free_bytes(&self) -> u64 {
        self.0.disk_free_bytes.load(Ordering::Relaxed)
    }

    /// What of it is kept for revokes.
    pub(crate) fn disk_reserve_bytes(&self) -> u64 {
        self.0.disk_reserve_bytes
    }

    /// What the process has resident.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.0.resident_bytes.load(Ordering::Relaxed)
    }

    /// What it may have.
    pub(crate) fn memory_limit_bytes(&self) -> Option<u64> {
        self.0.memory_limit_bytes
    }
}

/// This share of a limit, less what checks of passwords may take: nobody may be refused one, so there must be room for all
/// of them at any time.
fn but_for_checks(percent: u64, limit_bytes: u64) -> u64 {
    (limit_bytes / 100 * percent).saturating_sub(checks_bytes_max(limit_bytes))
}

/// Space that a process without privileges may still use on the disk of `path`.
pub(crate) fn disk_free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// What the process has in memory at the moment.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// The limit of the cgroup that the process is in, of either version.
fn cgroup_limit_bytes() -> Option<u64> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let places = cgroups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let path = path.trim_start_matches('/');
        match controllers {
            "" => Some(Path::new("/sys/fs/cgroup").join(path).join("memory.max")),
            "memory" => Some(Path::new("/sys/fs/cgroup/memory").join(path).join("memory.limit_in_bytes")),
            _ => None,
        }
    });
    let limits = places.filter_map(|place| fs::read_to_string(place).ok()?.trim().parse::<u64>().ok());
    limits.filter(|limit| *limit < MEMORY_UNLIMITED).min()
}

#[cfg(test)]
mod tests {
    use super::{
        Duration, Headroom, MEMORY_TIGHT_PERCENT, Settings, but_for_checks, checks_bytes_max, resident_bytes,
    };

    #[test]
    fn room_is_judged_by_what_is_left_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let with = |disk_reserve_bytes, memory_limit_bytes| {
            Headroom::new(folder.path().to_owned(), Settings { disk_reserve_bytes, memory_limit_bytes })
        };
        let roomy = with(1, Some(1 << 50));
        assert!(!roomy.disk_is_full() && !roomy.memory_is_tight());
        assert!(roomy.resident_bytes() > 1 << 16 && roomy.disk_free_bytes() < u64::MAX, "{roomy:?}");
        let short = with(u64::MAX, Some(1 << 10));
        assert!(short.disk_is_full() && short.memory_is_tight());
    }

    #[test]
    fn there_is_room_for_every_check_of_a_password_until_memory_is_tight() {
        for mib in [64, 128, 192, 256, 512, 1024, 4096] {
            let limit = mib << 20;
            let (tight, checks) = (but_for_checks(MEMORY_TIGHT_PERCENT, limit), checks_bytes_max(limit));
            assert!(tight + checks <= limit / 100 * MEMORY_TIGHT_PERCENT, "{mib} MiB");
            // And they leave most of it to everything else.
            assert!(tight >= limit / 2, "{mib} MiB: tight from {} MiB", tight >> 20);
        }
    }

    #[test]
    fn full_memory_is_tight_until_enough_tokens_have_gone_and_again_when_as_many_are_back() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { memory_limit_bytes: Some(4 << 30), ..Settings::default() };
        let headroom = Headroom::new(folder.path().to_owned(), settings);
        let look = |resident_percent: u64, tokens: u64| {
            let limit = headroom.memory_limit_bytes().unwrap();
            let resident = but_for_checks(resident_percent, limit) + 1;
            headroom.0.resident_bytes.store(resident, std::sync::atomic::Ordering::Relaxed);
            headroom.mark(tokens);
            headroom.memory_is_tight()
        };
        assert!(!look(80, 500));
        assert!(look(91, 800), "it is full, with 800");
        assert!(look(91, 700), "one in eight has not gone");
        assert!(!look(92, 699));
        assert!(look(92, 700), "as many are back");
        assert!(!look(92, 10));
        assert!(look(98, 10), "there is nothing left, whoever has gone");
        assert!(!look(89, 10_000), "memory was given back, or there is more of it");
        assert!(look(91, 10_000), "and it is full with more");
    }

    #[tokio::test]
    async fn memory_is_tight_until_enough_of_it_is_given_back() {
        // Other tests of this process check passwords, 19 MiB each, and allocators keep that: much less than this.
        const BALLAST_BYTES: usize = 2 << 30;
        let folder = tempfile::tempdir().unwrap();
        // It is tight from halfway on, or a little sooner.
        let halfway = resident_bytes().unwrap() + (BALLAST_BYTES as u64) / 2;
        let limit = halfway / MEMORY_TIGHT_PERCENT * 100;
        let settings = Settings { memory_limit_bytes: Some(limit), ..Settings::default() };
        let headroom = Headroom::new(folder.path().to_owned(), settings);
        let looking = tokio::spawn(headroom.clone().keep_looking(|| 100));
        let until_it_is = async |tight| {
            let waiting = async {
                while headroom.memory_is_tight() != tight {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(Duration::from_mins(2), waiting).await.unwrap();
        };
        until_it_is(false).await;
        let ballast = vec![1_u8; BALLAST_BYTES];
        until_it_is(true).await;
        drop(std::hint::black_box(ballast));
        until_it_is(false).await;
        looking.abort();
    }
}
