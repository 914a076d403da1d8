//! The timeouts and limits of replication, with the defaults that the promises assume.

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
    /// The largest command that may be proposed.
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
            command_bytes_max: 1 << 20,
            frame_bytes_max: 8 << 20,
            strangers_max: 8,
            clock_offset_ms_max: 5_000,
        }
    }
}
