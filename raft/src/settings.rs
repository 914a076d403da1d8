//! The timeouts and limits of replication, with the defaults that the promises assume.

use crate::defects::Defects;
use crate::log_store::COMMAND_BYTES_MAX;
use crate::network::append::PART_BYTES;

/// Every number here has a default; times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A leader shows that it lives this often.
    pub heartbeat_ms: u64,
    /// A follower that hears nothing waits at least this long before it stands for election.
    pub election_min_ms: u64,
    /// And at most this long.
    pub election_max_ms: u64,
    /// How often a node proves that its view is fresh.
    pub freshness_interval_ms: u64,
    /// How long [`fresh`](crate::Raft::fresh) waits for a proof.
    pub fresh_wait_ms: u64,
    /// How long a proposal may take before its fate counts as unknown.
    pub propose_timeout_ms: u64,
    /// How long dialling a peer may take, handshake included.
    pub dial_timeout_ms: u64,
    /// How long a snapshot transfer may be silent.
    pub snapshot_silence_ms: u64,
    /// A snapshot is taken when the log since the last exceeds this, or the snapshot's own size if greater.
    pub snapshot_log_bytes: u64,
    /// The largest command that may be proposed; the log takes no larger one than [`COMMAND_BYTES_MAX`].
    pub command_bytes_max: usize,
    /// The largest frame that peers exchange.
    pub frame_bytes_max: usize,
    /// Connections from unknown keys served at once.
    pub strangers_max: usize,
    /// How far the leader's clock may be from the median of its voters' before it hands over.
    pub clock_offset_ms_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_min_ms: 250,
            election_max_ms: 400,
            freshness_interval_ms: 250,
            fresh_wait_ms: 500,
            propose_timeout_ms: 5_000,
            dial_timeout_ms: 1_000,
            snapshot_silence_ms: 10_000,
            snapshot_log_bytes: 64 << 20,
            command_bytes_max: COMMAND_BYTES_MAX,
            frame_bytes_max: 8 << 20,
            strangers_max: 8,
            clock_offset_ms_max: 5_000,
        }
    }
}

impl Settings {
    /// openraft's configuration. What the promises hang on is fixed here and can't be set.
    pub(crate) fn openraft(&self, defects: Defects) -> Result<openraft::Config, String> {
        if self.heartbeat_ms == 0 || self.election_min_ms < self.heartbeat_ms * 3 {
            return Err("the election timeout must be at least three heartbeats".to_owned());
        }
        if self.command_bytes_max > COMMAND_BYTES_MAX {
            return Err(format!("the log takes commands of at most {COMMAND_BYTES_MAX} bytes"));
        }
        if self.frame_bytes_max < PART_BYTES * 2 {
            return Err(format!("a frame must hold {} bytes", PART_BYTES * 2));
        }
        let config = openraft::Config {
            cluster_name: "circlet".to_owned(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            enable_pre_vote: Some(true),
            // A leader back within its lease would confirm an index below an acknowledged write: its state is in
            // memory and must be applied again first.
            enable_leader_restore: Some(defects.leader_restore),
            allow_log_reversion: Some(defects.log_reversion),
            // Snapshots are taken by size and the log is purged behind the older of two; both are asked for.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            // A follower gets a snapshot only when the entries it needs are gone.
            replication_lag_threshold: u64::MAX,
            install_snapshot_timeout: self.snapshot_silence_ms,
            api_channel_size: Some(4096),
            notification_channel_size: Some(4096),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| error.to_string())
    }
}
