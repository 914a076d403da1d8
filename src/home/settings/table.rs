//! Every setting of a node, one row each.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::values::{
    count, flag, host_and_port, hosts_and_ports, log_format, name, networks, number, on_failure, path, size,
    socket_address, text, tls, url,
};
use super::{ConnectionsMax, LogFormat, Network, TlsChoice};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// The version that clients are told unless the operator says otherwise: the first with `force_revocable`, which is
/// the newest parameter served here.
const ADVERTISED_VERSION: &str = "7.50.3";

/// One setting.
pub struct Setting {
    /// Its name, dotted.
    pub name: &'static str,
    /// Its default, as one would write it.
    pub default: &'static str,
    /// What it means, in one line.
    pub doc: &'static str,
    /// Takes the value over, or says what was expected.
    pub(super) take: fn(&mut Raw, &Value) -> Result<(), String>,
}

impl Setting {
    /// The environment variable that overrides it.
    #[must_use]
    pub fn variable(&self) -> String {
        let upper = self.name.replace(['.', '-'], "_").to_uppercase();
        format!("CIRCLET_{upper}")
    }
}

/// The settings as written, before they are checked against each other.
pub(super) struct Raw {
    pub(super) name: String,
    pub(super) peer_listen: String,
    pub(super) peer_advertise: Option<String>,
    pub(super) http_listen: SocketAddr,
    pub(super) http_advertise: Option<String>,
    pub(super) http_allow_plain: bool,
    pub(super) tls: Option<TlsChoice>,
    pub(super) tls_certificate: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) advertised_version: String,
    pub(super) trusted_proxies: Vec<Network>,
    pub(super) trust_poll: Duration,
    pub(super) shutdown_grace: Duration,
    pub(super) audit: crate::audit::Settings,
    pub(super) connections: ConnectionsMax,
    pub(super) metrics_listen: Option<SocketAddr>,
    pub(super) headroom: crate::headroom::Settings,
    pub(super) join_addresses: Vec<String>,
    pub(super) raft: circlet_raft::Settings,
    pub(super) log_level: String,
    pub(super) log_format: LogFormat,
    pub(super) tracing: crate::trace::Settings,
    pub(super) floor_dir: Option<PathBuf>,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            name: "node1".to_owned(),
            peer_listen: "127.0.0.1:8041".to_owned(),
            peer_advertise: None,
            http_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8040)),
            http_advertise: None,
            http_allow_plain: false,
            tls: None,
            tls_certificate: None,
            tls_key: None,
            advertised_version: ADVERTISED_VERSION.to_owned(),
            trusted_proxies: Vec::new(),
            trust_poll: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(10),
            audit: crate::audit::Settings::default(),
            connections: ConnectionsMax::default(),
            metrics_listen: None,
            headroom: crate::headroom::Settings::default(),
            join_addresses: Vec::new(),
            raft: circlet_raft::Settings::default(),
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            tracing: crate::trace::Settings { endpoint: None, sample_percent: 100 },
            floor_dir: None,
        }
    }
}

macro_rules! settings {
    ($($name:literal, $default:literal, $doc:literal, $raw:ident, $value:ident => $take:expr;)*) => {
        /// All settings, in the order in which they are written.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            default: $default,
            doc: $doc,
            take: |$raw, $value| { $take; Ok(()) },
        }),*];
    };
}

settings! {
    "name", "node1", "The node's name, unique in its cluster.",
        raw, v => raw.name = name(v)?;
    "peer.listen", "127.0.0.1:8041", "Where the node listens for its peers.",
        raw, v => raw.peer_listen = host_and_port(v)?;
    "peer.advertise", "the same as peer.listen", "Where its peers reach it, as host:port.",
        raw, v => raw.peer_advertise = Some(host_and_port(v)?);
    "http.listen", "127.0.0.1:8040", "Where the node listens for clients, as address:port.",
        raw, v => raw.http_listen = socket_address(v)?;
    "http.advertise", "made from http.listen", "Where clients reach the node, as a URL.",
        raw, v => raw.http_advertise = Some(url(v)?);
    "http.tls", "auto", "auto (plain on loopback, else cluster), cluster (a certificate of the cluster's CA), off, or a certificate and a key.",
        raw, v => raw.tls = Some(tls(v)?);
    "http.tls.certificate", "none", "The operator's certificate and what signed it, PEM; reloaded when the file changes.",
        raw, v => raw.tls_certificate = Some(path(v)?);
    "http.tls.key", "none", "The key of that certificate, PEM.",
        raw, v => raw.tls_key = Some(path(v)?);
    "http.allow-plain", "false", "Whether http.tls may be off on an address that is not loopback.",
        raw, v => raw.http_allow_plain = flag(v)?;
    "http.connections-max", "8192", "Clients that may be connected; who comes on top gets a place of the address that has most, or is told 503, or hung up on if it speaks TLS.",
        raw, v => raw.connections.all = size(v, 1_000_000)?;
    "http.connections-per-address-max", "4096", "How many of them from one address (of IPv6: one /64) that is no trusted proxy.",
        raw, v => raw.connections.per_address = size(v, 1_000_000)?;
    "http.advertised-version", "7.50.3", "The version that system/version reports; clients choose by it what they use.",
        raw, v => raw.advertised_version = name(v)?;
    "trusted-proxies", "[]", "Addresses and ranges of proxies whose X-Forwarded-For is believed.",
        raw, v => raw.trusted_proxies = networks(v)?;
    "trust-directory.poll-ms", "5000", "How often etc/keys/trusted is read even if no change was reported, in milliseconds.",
        raw, v => raw.trust_poll = Duration::from_millis(number(v, HOUR_MS)?);
    "shutdown-grace-ms", "10000", "How long requests under way may take when the node stops, in milliseconds.",
        raw, v => raw.shutdown_grace = Duration::from_millis(number(v, HOUR_MS)?);
    "audit.on-failure", "refuse", "What happens while the audit log can't be written: refuse (writes are refused, except revokes) or continue.",
        raw, v => raw.audit.on_failure = on_failure(v)?;
    "audit.rotate-bytes", "67108864", "The audit log is put aside before it would exceed this, in bytes.",
        raw, v => raw.audit.rotation.bytes_max = number(v, 1 << 40)?;
    "audit.rotate-keep", "10", "So many audit logs that were put aside are kept, as access-security-audit.log.1 and so on.",
        raw, v => raw.audit.rotation.kept = count(v, 1000)?;
    "metrics.listen", "none", "Where /metrics is shown to whoever can connect, as address:port, without a credential or TLS; on http.listen it is for administrators.",
        raw, v => raw.metrics_listen = Some(socket_address(v)?);
    "disk.reserve-bytes", "67108864", "Free space on the disk of data/ that is kept for revokes: with less, nothing is issued that would have to be kept.",
        raw, v => raw.headroom.disk_reserve_bytes = number(v, 1 << 60)?;
    "memory.limit-bytes", "the limit of the cgroup, if any", "What the process may have resident; close to it nothing is issued that would have to be kept.",
        raw, v => raw.headroom.memory_limit_bytes = Some(number(v, 1 << 50)?);
    "revocation-floor.dir", "none", "Where the node keeps its revocation floor, on storage that outlives the machine: all that is refused, before it is acknowledged.",
        raw, v => raw.floor_dir = Some(path(v)?);
    "join.addresses", "[]", "Where a node without an identity asks to join by etc/security/join.key, as host:port of peer ports.",
        raw, v => raw.join_addresses = hosts_and_ports(v)?;
    "raft.heartbeat-ms", "50", "How often a leader shows that it lives, in milliseconds.",
        raw, v => raw.raft.heartbeat_ms = number(v, MINUTE_MS)?;
    "raft.election-min-ms", "250", "How long a follower hears nothing before it may stand for election, in milliseconds.",
        raw, v => raw.raft.election_min_ms = number(v, MINUTE_MS)?;
    "raft.election-max-ms", "400", "And how long at most, in milliseconds.",
        raw, v => raw.raft.election_max_ms = number(v, MINUTE_MS)?;
    "raft.freshness-interval-ms", "250", "How often the node proves that its view is fresh, in milliseconds.",
        raw, v => raw.raft.freshness_interval_ms = number(v, MINUTE_MS)?;
    "raft.fresh-wait-ms", "500", "How long a request waits for a proof of freshness, in milliseconds.",
        raw, v => raw.raft.fresh_wait_ms = number(v, MINUTE_MS)?;
    "raft.propose-timeout-ms", "5000", "How long a write may take before its fate counts as unknown, in milliseconds.",
        raw, v => raw.raft.propose_timeout_ms = number(v, HOUR_MS)?;
    "raft.dial-timeout-ms", "1000", "How long connecting to a peer may take, in milliseconds.",
        raw, v => raw.raft.dial_timeout_ms = number(v, MINUTE_MS)?;
    "raft.snapshot-silence-ms", "10000", "How long the transfer of a snapshot may be silent, in milliseconds.",
        raw, v => raw.raft.snapshot_silence_ms = number(v, HOUR_MS)?;
    "raft.snapshot-log-bytes", "67108864", "A snapshot is taken when the log since the last one exceeds this, in bytes.",
        raw, v => raw.raft.snapshot_log_bytes = number(v, 1 << 40)?;
    "raft.clock-offset-ms-max", "5000", "How far the leader's clock may be off before it hands over, in milliseconds.",
        raw, v => raw.raft.clock_offset_ms_max = number(v, HOUR_MS)?;
    "log.level", "info", "Which log lines are written: a level, or a filter such as info,circlet_raft=debug.",
        raw, v => raw.log_level = text(v)?;
    "log.format", "text", "How log lines look: text or json.",
        raw, v => raw.log_format = log_format(v)?;
    "tracing.otlp-endpoint", "none", "Where spans are sent, as the URL of an OpenTelemetry collector (OTLP over HTTP, JSON) without /v1/traces.",
        raw, v => raw.tracing.endpoint = Some(url(v)?);
    "tracing.sample-percent", "100", "Of a hundred traces that begin here, so many are sent; a client's trace is sent if the client says so.",
        raw, v => raw.tracing.sample_percent = count(v, 100)?;
}
