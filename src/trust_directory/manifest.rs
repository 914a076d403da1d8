//! What a node last saw and wrote in its directory: its side of the past.

use std::collections::BTreeMap;
use std::path::Path;

use circlet_token::KeyId;
use serde::{Deserialize, Serialize};

use crate::home::{self, HomeError};

/// Certificates by key id, each with the name of its file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The log index up to which the cluster's decisions were shown.
    pub(super) index: u64,
    files: BTreeMap<String, String>,
}

impl Manifest {
    /// The memory of an earlier run; `None` if there is none, or none that can be read.
    pub(super) fn read(file: &Path) -> Option<Self> {
        match home::read(file, "it is the memory of the trusted directory") {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .inspect_err(|error| tracing::warn!(%error, "the memory of the trusted directory is damaged"))
                .ok(),
            Err(_) => None,
        }
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), HomeError> {
        if Self::read(file).as_ref().is_some_and(|present| present.files == self.files) {
            return Ok(());
        }
        let mut text = serde_json::to_vec_pretty(self).expect("numbers and texts have a JSON form");
        text.push(b'\n');
        home::write_public(file, &text)
    }

    pub(super) fn file_of(&self, kid: &KeyId) -> Option<&str> {
        self.files.get(kid.as_str()).map(String::as_str)
    }

    pub(super) fn put(&mut self, kid: &KeyId, file: &str) {
        self.files.insert(kid.as_str().to_owned(), file.to_owned());
    }

    pub(super) fn remove(&mut self, kid: &KeyId) {
        self.files.remove(kid.as_str());
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(kid, file)| (kid.as_str(), file.as_str()))
    }
}
