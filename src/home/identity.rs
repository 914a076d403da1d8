//! Which node of which cluster lives in a home.

use serde::{Deserialize, Serialize};

use super::{HomeError, Paths, files};

/// Written last when a home is founded: a home without it is unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The node's id in its cluster.
    pub node_id: u64,
    /// The cluster.
    pub service_id: String,
    /// The cluster's generation.
    pub generation: u64,
    /// Whether the node's log has ever held something. A node that has lost its log must not come back under its id:
    /// it would vote as if it had never promised anything.
    #[serde(default)]
    pub log_begun: bool,
    /// The members that the cluster named when this node joined; they count while its own log knows none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub introduced: Vec<Introduced>,
}

/// A member of the cluster, as a node that joins is told about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduced {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_address: String,
    /// Where its clients reach it.
    pub client_url: String,
    /// SHA-256 of its public key.
    pub public_key: [u8; 32],
}

impl Identity {
    /// Reads the identity of a home; `None` if no node lives there yet.
    pub fn read_if_present(paths: &Paths) -> Result<Option<Self>, HomeError> {
        let file = paths.identity();
        let bytes = match files::read(&file, "it says which node of which cluster lives here") {
            Ok(bytes) => bytes,
            Err(HomeError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| HomeError::Damaged {
            file,
            why: error.to_string(),
            remedy: "put it back from a backup of this node, or remove the node and join it anew",
        })
    }

    /// Writes the identity, which makes the home one.
    pub fn write(&self, paths: &Paths) -> Result<(), HomeError> {
        let mut text = serde_json::to_vec_pretty(self).expect("numbers and texts have a JSON form");
        text.push(b'\n');
        files::write_secret(&paths.identity(), &text)
    }
}
