//! That the cluster goes on in a later generation without the node of this home: once it has been told so, no start forgets.

use serde::{Deserialize, Serialize};

use super::{HomeError, Identity, Paths, files};

/// What a node was told, by a member of its own generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Superseded {
    /// The cluster.
    pub service_id: String,
    /// The later generation.
    pub generation: u64,
    /// The id that the member which said so has in the generation of this home.
    pub told_by: u64,
    /// When it said so, in milliseconds since 1970.
    pub told_at_ms: u64,
}

impl Superseded {
    /// What the node of this home was told; `None` if nothing, or if it was a node that lived here before.
    pub fn of(paths: &Paths, identity: &Identity) -> Result<Option<Self>, HomeError> {
        let file = paths.superseded();
        let bytes = match files::read(&file, "it says that this node was given up") {
            Ok(bytes) => bytes,
            Err(HomeError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let told: Self = serde_json::from_slice(&bytes).map_err(|error| HomeError::Damaged {
            file,
            why: error.to_string(),
            remedy: "this node was given up: move its home aside, and join anew from an empty directory",
        })?;
        let same = told.service_id == identity.service_id && told.generation > identity.generation;
        Ok(same.then_some(told))
    }

    /// Keeps it.
    pub fn write(&self, paths: &Paths) -> Result<(), HomeError> {
        let mut text = serde_json::to_vec_pretty(self).expect("numbers and texts have a JSON form");
        text.push(b'\n');
        files::write_secret(&paths.superseded(), &text)
    }

    /// The same as an error of the home.
    #[must_use]
    pub fn error(&self, paths: &Paths, identity: &Identity) -> HomeError {
        HomeError::Superseded {
            home: paths.root().to_owned(),
            node_id: identity.node_id,
            service_id: self.service_id.clone(),
            generation: self.generation,
            file: paths.superseded(),
        }
    }
}
