//! The cluster under load, as `circlet dev --ready-file` describes it.

use std::path::Path;

use serde_json::Value;

/// A running cluster: its nodes, and a token that may do everything.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// Every node, in the order of the file.
    pub(crate) nodes: Vec<Node>,
    /// An access token with the administrator's rights; recorded, not revocable.
    pub(crate) admin_token: String,
}

/// One node of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Its Raft id.
    pub(crate) id: u64,
    /// `host:port` of its HTTP listener.
    pub(crate) authority: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its home directory.
    pub(crate) home: String,
}

/// Why the file of a cluster could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file named by `--ready-file`.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("{path} is not JSON")]
    Json {
        /// The file named by `--ready-file`.
        path: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A key that the load generator needs is absent or has another type.
    #[error("{path} has no usable `{key}`")]
    Missing {
        /// The file named by `--ready-file`.
        path: String,
        /// The missing key.
        key: &'static str,
    },
    /// A node speaks HTTPS; this load generator measures plain HTTP on loopback.
    #[error("{url} is not a plain http:// address")]
    Scheme {
        /// The node's address.
        url: String,
    },
}

impl Cluster {
    /// Reads the description that `circlet dev` wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, ClusterError> {
        let name = path.display().to_string();
        let text = std::fs::read(path).map_err(|source| ClusterError::Read { path: name.clone(), source })?;
        let value: Value = serde_json::from_slice(&text)
            .map_err(|source| ClusterError::Json { path: name.clone(), source })?;
        let missing = |key| ClusterError::Missing { path: name.clone(), key };
        let nodes = value["nodes"].as_array().ok_or_else(|| missing("nodes"))?;
        let nodes = nodes
            .iter()
            .map(|node| {
                let url = node["url"].as_str().ok_or_else(|| missing("nodes[].url"))?;
                let pid = node["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                Ok(Node {
                    id: node["id"].as_u64().ok_or_else(|| missing("nodes[].id"))?,
                    authority: plain_authority(url)?,
                    pid: pid.ok_or_else(|| missing("nodes[].pid"))?,
                    home: node["home"].as_str().ok_or_else(|| missing("nodes[].home"))?.to_owned(),
                })
            })
            .collect::<Result<Vec<_>, ClusterError>>()?;
        if nodes.is_empty() {
            return Err(missing("nodes"));
        }
        let admin_token = value["admin"]["access_token"].as_str();
        let admin_token = admin_token.ok_or_else(|| missing("admin.access_token"))?.to_owned();
        Ok(Self { nodes, admin_token })
    }
}

fn plain_authority(url: &str) -> Result<String, ClusterError> {
    let rest = url.strip_prefix("http://").ok_or_else(|| ClusterError::Scheme { url: url.to_owned() })?;
    Ok(rest.trim_end_matches('/').to_owned())
}
