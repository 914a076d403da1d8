//! Whom a recovered node gave up, and who it was to them: what it takes to tell them.
//!
//! ```text
//! data/before-<n>/given-up/nodes.json         whom, and who of them knows by now
//! data/before-<n>/given-up/node.key node.crt  who this node was to them; the key goes when all know
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{HomeError, Identity, Introduced, Paths, files, takeover};

const FOLDER: &str = takeover::OF_BEFORE;
const NODES: &str = "nodes.json";
const KEY: &str = "node.key";
const CERTIFICATE: &str = "node.crt";
const WHAT: &str = "it tells the nodes that were given up that their generation is over";

/// The nodes that were given up when a generation began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenUp {
    /// The cluster.
    pub service_id: String,
    /// The generation in which they live, if they do.
    pub generation: u64,
    /// The id that the node of this home had in it.
    pub node_id: u64,
    /// The generation that began without them.
    pub goes_on_in: u64,
    /// They.
    pub nodes: Vec<Told>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Who it is, and where it was reached.
    pub node: Introduced,
    /// When it confirmed that it knows, in milliseconds since 1970; that ends it for good.
    pub told_at_ms: Option<u64>,
}

impl GivenUp {
    /// Whether everybody knows.
    #[must_use]
    pub fn all_know(&self) -> bool {
        self.nodes.iter().all(|told| told.told_at_ms.is_some())
    }

    /// Puts it into a folder of data that is to take its place, with the key and the certificate of the node as it is.
    pub(crate) fn stage(&self, data: &Path, home: &Paths) -> Result<(), HomeError> {
        let folder = data.join(FOLDER);
        files::make_directory(&folder, 0o700)?;
        let key = files::read_secret(&home.node_key(), "it is the key by which peers know this node")?;
        files::write_secret(&folder.join(KEY), key.expose())?;
        let certificate = files::read(&home.node_crt(), "it shows this node to its peers")?;
        files::write_secret(&folder.join(CERTIFICATE), &certificate)?;
        self.write(&folder)
    }

    fn write(&self, folder: &Path) -> Result<(), HomeError> {
        let mut text = serde_json::to_vec_pretty(self).expect("numbers and texts have a JSON form");
        text.push(b'\n');
        files::write_secret(&folder.join(NODES), &text)
    }
}

/// A list of them, and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptList {
    folder: PathBuf,
    /// What is in it.
    pub given_up: GivenUp,
}

impl KeptList {
    /// Every list of a home, of each generation that began here.
    pub fn all(home: &Paths) -> Result<Vec<Self>, HomeError> {
        let data = home.data();
        let entries = match fs::read_dir(&data) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(HomeError::Io { doing: "read", file: data, source }),
        };
        let mut folders: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| takeover::is_of_before(path))
            .map(|path| path.join(FOLDER))
            .filter(|folder| folder.join(NODES).exists())
            .collect();
        folders.sort();
        folders.into_iter().map(Self::read).collect()
    }

    fn read(folder: PathBuf) -> Result<Self, HomeError> {
        let file = folder.join(NODES);
        let given_up = serde_json::from_slice(&files::read(&file, WHAT)?).map_err(|error| {
            let remedy = "put it back from a backup of this node; without it they are not told";
            HomeError::Damaged { file, why: error.to_string(), remedy }
        })?;
        Ok(Self { folder, given_up })
    }

    /// The files of the key and of the certificate by which they know this node.
    #[must_use]
    pub fn key_and_certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.join(KEY), self.folder.join(CERTIFICATE))
    }

    /// Who this node was to them.
    #[must_use]
    pub fn former(&self) -> Identity {
        let GivenUp { service_id, generation, node_id, .. } = self.given_up.clone();
        Identity { node_id, service_id, generation, log_begun: true, introduced: Vec::new() }
    }

    /// Notes for good that one of them knows.
    pub fn note(&mut self, id: u64, now_ms: u64) -> Result<(), HomeError> {
        if let Some(told) = self.given_up.nodes.iter_mut().find(|told| told.node.id == id) {
            told.told_at_ms.get_or_insert(now_ms);
        }
        self.given_up.write(&self.folder)
    }

    /// Removes the key that is of no use any more, once everybody knows.
    pub fn forget_key(&self) -> Result<(), HomeError> {
        let (key, certificate) = self.key_and_certificate();
        for file in [key, certificate] {
            if self.given_up.all_know() && file.exists() {
                files::remove(&file)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::home::{Home, write_secret};

    fn told(id: u64) -> Told {
        let name = format!("node-{id}");
        let (peer_address, client_url) = ("127.0.0.1:1".to_owned(), "http://127.0.0.1:2".to_owned());
        Told {
            node: Introduced { id, name, peer_address, client_url, public_key: [7; 32] },
            told_at_ms: None,
        }
    }

    #[test]
    fn a_list_is_kept_for_the_owner_alone_until_everybody_knows() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::found(root.path()).unwrap_or_else(|error| panic!("{error}"));
        let paths = &home.paths;
        assert_eq!(KeptList::all(paths).unwrap(), []);
        for (file, content) in [(paths.node_key(), "key"), (paths.node_crt(), "certificate")] {
            write_secret(&file, content.as_bytes()).unwrap();
        }
        let given_up = GivenUp {
            service_id: "jfrt@01".to_owned(),
            generation: 1,
            node_id: 3,
            goes_on_in: 9,
            nodes: vec![told(1), told(2)],
        };
        given_up.stage(&paths.data().join("before-9"), paths).unwrap();
        let mut list = KeptList::all(paths).unwrap().remove(0);
        assert_eq!(list.given_up, given_up);
        let (key, certificate) = list.key_and_certificate();
        for file in [&key, &certificate, &key.with_file_name(NODES)] {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        list.note(2, 5).unwrap();
        list.forget_key().unwrap();
        assert_eq!(fs::read(&key).unwrap(), b"key", "one doesn't know yet");
        list.note(2, 6).unwrap();
        list.note(1, 7).unwrap();
        list.forget_key().unwrap();
        assert!(!key.exists() && !certificate.exists());
        let again = KeptList::all(paths).unwrap().remove(0);
        let when: Vec<_> = again.given_up.nodes.iter().map(|told| told.told_at_ms).collect();
        assert_eq!(when, [Some(7), Some(5)], "what ended stays so");
    }
}
