//! The settings of one node: `etc/node.yml`, with overrides from the environment.
//!
//! Every setting is one row of [`table::SETTINGS`]: its name, its default, one line of documentation, and how it is
//! taken over. `http.listen` is overridden by `CIRCLET_HTTP_LISTEN`, and so on.

mod connections;
mod nearest;
mod table;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{HomeError, Network, Paths, files};
pub use connections::ConnectionsMax;
pub use table::{SETTINGS, Setting};

/// How client traffic is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsChoice {
    /// Plain HTTP on a loopback address, the cluster's certificate elsewhere.
    Auto,
    /// Plain HTTP.
    Off,
    /// A certificate from the cluster's CA.
    Cluster,
    /// The operator's certificate.
    Files {
        /// The certificate, and what signed it, PEM.
        certificate: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
    },
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings of a node, checked.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The node's name, unique in its cluster.
    pub name: String,
    /// Where the node listens for its peers.
    pub peer_listen: String,
    /// Where its peers reach it, as `host:port`.
    pub peer_advertise: String,
    /// Where the node listens for clients.
    pub http_listen: SocketAddr,
    /// Where clients reach it, as a URL without a trailing slash.
    pub http_advertise: String,
    /// How client traffic is protected.
    pub tls: TlsChoice,
    /// The version that `system/version` reports.
    pub advertised_version: String,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How often the directory of trusted certificates is read even if nothing was reported.
    pub trust_poll: Duration,
    /// How long requests under way may take when the node stops.
    pub shutdown_grace: Duration,
    /// How the audit log is kept.
    pub audit: crate::audit::Settings,
    /// How many clients may be connected.
    pub connections: ConnectionsMax,
    /// Where the page of metrics is shown without a credential.
    pub metrics_listen: Option<SocketAddr>,
    /// What is kept of disk and memory.
    pub headroom: crate::headroom::Settings,
    /// Where a node asks to join by a join key.
    pub join_addresses: Vec<String>,
    /// Timeouts and limits of replication.
    pub raft: circlet_raft::Settings,
    /// Which log lines are written: a level, or a filter such as `info,circlet_raft=debug`.
    pub log_level: String,
    /// How they look.
    pub log_format: LogFormat,
    /// Where traces go.
    pub tracing: crate::trace::Settings,
    /// Where the node keeps its revocation floor.
    pub floor_dir: Option<PathBuf>,
}

impl NodeSettings {
    /// Whether clients speak TLS to this node.
    #[must_use]
    pub fn is_https(&self) -> bool {
        match self.tls {
            TlsChoice::Off => false,
            TlsChoice::Auto => !self.http_listen.ip().is_loopback(),
            TlsChoice::Cluster | TlsChoice::Files { .. } => true,
        }
    }

    /// Reads the settings of a home, and what the environment overrides.
    pub fn read(paths: &Paths) -> Result<Self, HomeError> {
        let file = paths.node_yml();
        let bytes = files::read(&file, "it holds the settings of the node")?;
        let text =
            String::from_utf8(bytes).map_err(|_| problem(&file, "it is not UTF-8".to_owned(), None))?;
        Self::parse(&file, &text, &|name| std::env::var(name).ok())
    }

    /// Settings from the text of a settings file, and an environment.
    pub fn parse(
        file: &Path,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, HomeError> {
        let mut values = BTreeMap::new();
        let document: Value =
            if text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#')) {
                Value::Null
            } else {
                serde_saphyr::from_str(text).map_err(|error| problem(file, error.to_string(), None))?
            };
        flatten("", document, &mut values);
        if let Some(unknown) =
            values.keys().find(|name| SETTINGS.iter().all(|setting| setting.name != **name))
        {
            return Err(unknown_setting(file, text, unknown));
        }
        let mut raw = table::Raw::default();
        for setting in SETTINGS {
            let variable = setting.variable();
            let (value, whence) = match environment(&variable) {
                Some(value) => (Value::String(value), format!("{} (from {variable})", setting.name)),
                None => match values.remove(setting.name) {
                    Some(value) => (value, setting.name.to_owned()),
                    None => continue,
                },
            };
            (setting.take)(&mut raw, &value).map_err(|why| {
                problem(file, format!("{whence}: {why}"), Some(format!("{}: {}", setting.name, setting.doc)))
            })?;
        }
        check(raw).map_err(|(why, remedy)| problem(file, why, Some(remedy)))
    }

    /// The text of a settings file that says `chosen` and lists everything else with its default.
    #[must_use]
    pub fn write(chosen: &[(&str, String)]) -> String {
        let mut text = String::from(
            "# The settings of this node. A line without `#` differs from the default; every setting can also be\n\
             # overridden by an environment variable, such as CIRCLET_HTTP_LISTEN for http.listen.\n",
        );
        for setting in SETTINGS {
            let value = chosen.iter().find(|(name, _)| *name == setting.name).map(|(_, value)| value);
            let line = match value {
                Some(value) => format!("{}: {}", setting.name, Value::String(value.clone())),
                None => format!("# {}: {}", setting.name, setting.default),
            };
            write!(text, "\n# {}\n{line}\n", setting.doc).expect("a string takes whatever is written to it");
        }
        text
    }
}

/// The settings of a new home: those of the operator's file if there is one, else a new file that says `chosen`. A command
/// that is repeated finds the file that it wrote.
pub fn write_or_read(paths: &Paths, chosen: &[(&'static str, String)]) -> Result<NodeSettings, HomeError> {
    let file = paths.node_yml();
    if !file.exists() {
        // Checked before it is written, so that a mistake leaves no file behind.
        let text = NodeSettings::write(chosen);
        NodeSettings::parse(&file, &text, &|name| std::env::var(name).ok())?;
        files::write_public(&file, text.as_bytes())?;
    } else if let Some((name, _)) = chosen.first()
        && files::read(&file, "it holds the settings of the node")?
            != NodeSettings::write(chosen).into_bytes()
    {
        let why = format!("it is there already, so {name} can't be set by a flag as well");
        return Err(problem(&file, why, Some("edit the file, or remove it".to_owned())));
    }
    NodeSettings::read(paths)
}

/// `{a: {b: 1}}` and `{a.b: 1}` are the same setting `a.b`.
fn flatten(prefix: &str, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&name, value, into);
            }
        }
        Value::Null if prefix.is_empty() => {}
        other => {
            into.insert(prefix.to_owned(), other);
        }
    }
}

fn problem(file: &Path, problem: String, remedy: Option<String>) -> HomeError {
    HomeError::Settings { file: file.to_owned(), problem, remedy }
}

fn unknown_setting(file: &Path, text: &str, name: &str) -> HomeError {
    let last = name.rsplit('.').next().unwrap_or(name);
    let mut lines = text.lines().enumerate();
    let line =
        lines.find(|(_, line)| line.trim_start().starts_with(name) || line.trim_start().starts_with(last));
    let place = line.map(|(number, _)| format!(" (line {})", number + 1)).unwrap_or_default();
    let nearest = nearest::nearest(name, SETTINGS.iter().map(|setting| setting.name));
    let remedy = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "the settings are listed in a freshly written node.yml, see `circlet init --help`".to_owned(),
    };
    problem(file, format!("unknown setting `{name}`{place}"), Some(remedy))
}

/// What no single setting can tell. The error is what is wrong and what to do.
fn check(raw: table::Raw) -> Result<NodeSettings, (String, String)> {
    let tls = tls_choice(&raw)?;
    let listen = raw.http_listen;
    let settings = NodeSettings {
        peer_advertise: match raw.peer_advertise {
            Some(advertise) => advertise,
            None => advertised(&raw.peer_listen, "peer")?,
        },
        http_advertise: String::new(),
        name: raw.name,
        peer_listen: raw.peer_listen,
        http_listen: listen,
        tls,
        advertised_version: raw.advertised_version,
        trusted_proxies: raw.trusted_proxies,
        trust_poll: raw.trust_poll,
        shutdown_grace: raw.shutdown_grace,
        audit: raw.audit,
        connections: raw.connections,
        metrics_listen: raw.metrics_listen,
        headroom: raw.headroom,
        join_addresses: raw.join_addresses,
        raft: raw.raft,
        log_level: raw.log_level,
        log_format: raw.log_format,
        tracing: raw.tracing,
        floor_dir: raw.floor_dir,
    };
    if !settings.is_https() && !listen.ip().is_loopback() && !raw.http_allow_plain {
        return Err((
            format!("http.tls is off, and http.listen {listen} is not a loopback address"),
            "set http.tls to `cluster`, or accept passwords in the clear with http.allow-plain: true"
                .to_owned(),
        ));
    }
    check_raft(&settings.raft)?;
    let scheme = if settings.is_https() { "https" } else { "http" };
    let http_advertise = match raw.http_advertise {
        Some(url) => url,
        None => format!("{scheme}://{}", advertised(&listen.to_string(), "http")?),
    };
    Ok(NodeSettings { http_advertise, ..settings })
}

fn tls_choice(raw: &table::Raw) -> Result<TlsChoice, (String, String)> {
    match (raw.tls.clone(), raw.tls_certificate.clone(), raw.tls_key.clone()) {
        (choice, None, None) => Ok(choice.unwrap_or(TlsChoice::Auto)),
        (None, Some(certificate), Some(key)) => Ok(TlsChoice::Files { certificate, key }),
        (Some(_), _, _) => Err((
            "http.tls is set, and http.tls.certificate or http.tls.key as well".to_owned(),
            "say one or the other".to_owned(),
        )),
        (None, _, _) => Err((
            "of http.tls.certificate and http.tls.key only one is set".to_owned(),
            "a certificate needs its key, and the other way round".to_owned(),
        )),
    }
}

/// An address to listen on is one to be reached at, unless it means all addresses.
fn advertised(listen: &str, which: &str) -> Result<String, (String, String)> {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host).trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        return Err((
            format!("{which}.listen {listen} is no address that others can reach"),
            format!("say how they reach this node with {which}.advertise"),
        ));
    }
    Ok(listen.to_owned())
}

fn check_raft(raft: &circlet_raft::Settings) -> Result<(), (String, String)> {
    if raft.election_min_ms >= raft.election_max_ms {
        return Err((
            format!(
                "raft.election-min-ms ({}) is not below raft.election-max-ms ({})",
                raft.election_min_ms, raft.election_max_ms
            ),
            "leave room between the two, so that candidates don't collide".to_owned(),
        ));
    }
    if raft.heartbeat_ms.saturating_mul(3) > raft.election_min_ms {
        return Err((
            format!(
                "raft.heartbeat-ms ({}) is more than a third of raft.election-min-ms ({})",
                raft.heartbeat_ms, raft.election_min_ms
            ),
            "a lost heartbeat or two must not start an election".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
