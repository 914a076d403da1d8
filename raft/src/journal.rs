//! How large log and snapshots are, and what their disk does, without what they are.

use crate::engine::DiskReport;

/// What is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// The term of the vote.
    pub term: u64,
    /// Term and index of the last entry.
    pub last: (u64, u64),
}

/// What the log store tells about its size, for deciding when to take a snapshot and what to purge.
pub trait Journal: Send + Sync + 'static {
    /// Bytes that the log holds since the newest snapshot.
    fn log_bytes(&self) -> u64;
    /// The size of the newest snapshot.
    fn snapshot_bytes(&self) -> u64;
    /// What of log and vote would outlast a power cut now.
    fn durable(&self) -> Durable;
    /// The log may be purged up to here: the index of the older of the kept snapshots.
    fn purgeable(&self) -> Option<u64>;
    /// What the disk under the log does.
    fn disk(&self) -> DiskReport {
        DiskReport::default()
    }
}
