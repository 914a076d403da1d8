//! From the files of a home to what the log needs to open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use circlet_raft::{Gate, Options, Peer, SystemClocks};
use futures::future::BoxFuture;
use zeroize::Zeroizing;

use crate::certificates::{self, CertificateProblem};
use crate::home::settings::NodeSettings;
use crate::home::{self, HomeError, Identity, Introduced, Paths};
use crate::seal::MasterKey;
use crate::secret::Secret;

const REJOIN: &str = "put it back from a backup of this node, or remove the node and join it anew";
const MASTER_KEY: &str = "it opens the sealed secrets of the cluster";

/// What opening the log of a home takes.
pub(crate) struct Opening<'a> {
    pub(crate) paths: &'a Paths,
    pub(crate) settings: &'a NodeSettings,
    pub(crate) identity: &'a Identity,
    pub(crate) listen: String,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) accept_clock: bool,
}

impl Opening<'_> {
    pub(crate) fn options(self) -> Result<Options, HomeError> {
        let introduced = self.identity.introduced.iter().map(|other| (other.id, peer(other))).collect();
        Ok(Options {
            data: self.paths.data(),
            introduced,
            identity: peer_identity(self.paths, self.identity)?,
            listen: self.listen,
            settings: self.settings.raft.clone(),
            gate: self.gate,
            clocks: Arc::new(SystemClocks),
            accept_clock: self.accept_clock,
        })
    }
}

/// A member as the log knows it.
pub(super) fn peer(other: &Introduced) -> Peer {
    Peer {
        name: other.name.clone(),
        peer_address: other.peer_address.clone(),
        client_url: other.client_url.clone(),
        public_key: other.public_key,
    }
}

/// Who this node is to its peers: the certificate chain goes up to the CA, so that a joiner can recognise it.
fn peer_identity(paths: &Paths, identity: &Identity) -> Result<circlet_raft::Identity, HomeError> {
    identity_of(identity, &paths.node_key(), &[paths.node_crt(), paths.ca_crt()])
}

/// Who a node is to its peers that has this key, and these certificates up to the authority.
pub(super) fn identity_of(
    identity: &Identity,
    key: &Path,
    certificates: &[PathBuf],
) -> Result<circlet_raft::Identity, HomeError> {
    let mut certificate_chain = Vec::new();
    for file in certificates {
        certificate_chain.extend(read_certificate(file.clone(), "it shows this node to its peers")?);
    }
    let private_key = read_key(key.to_owned())?;
    Ok(circlet_raft::Identity {
        node_id: identity.node_id,
        certificate_chain,
        private_key: Zeroizing::new(private_key.expose().to_vec()),
        service_id: identity.service_id.clone(),
        generation: identity.generation,
    })
}

/// The key by which peers know the node of this home, PKCS#8 DER.
pub(crate) fn node_key(paths: &Paths) -> Result<Secret, HomeError> {
    read_key(paths.node_key())
}

fn read_key(file: PathBuf) -> Result<Secret, HomeError> {
    let pem = home::read_secret(&file, "it is the key by which peers know this node")?;
    let damaged =
        |error: CertificateProblem| HomeError::Damaged { file, why: error.to_string(), remedy: REJOIN };
    Ok(Secret::new(certificates::read_private_key(&pem).map_err(damaged)?.secret_der().to_vec()))
}

fn read_certificate(file: PathBuf, what: &'static str) -> Result<Vec<Vec<u8>>, HomeError> {
    let pem = home::read(&file, what)?;
    certificates::read_certificates(&pem).map_err(|error| HomeError::Damaged {
        file,
        why: error.to_string(),
        remedy: REJOIN,
    })
}

/// The certificates and the key of a node, as the files of its home.
pub(crate) fn write_node_files(
    paths: &Paths,
    node_key: &Secret,
    node_certificate: &[u8],
    ca_certificate: &[u8],
) -> Result<(), HomeError> {
    home::write_secret(&paths.node_key(), certificates::private_key_pem(node_key).expose())?;
    home::write_secret(&paths.node_crt(), certificates::certificate_pem(node_certificate).as_bytes())?;
    home::write_public(&paths.ca_crt(), certificates::certificate_pem(ca_certificate).as_bytes())
}

/// The master key of a home.
pub(crate) fn master_key(paths: &Paths) -> Result<MasterKey, HomeError> {
    read_master_key(paths.master_key())
}

/// The master key that is on its way, if its file is there.
pub(crate) fn next_master_key(paths: &Paths) -> Result<MasterKey, HomeError> {
    read_master_key(paths.next_master_key())
}

fn read_master_key(file: PathBuf) -> Result<MasterKey, HomeError> {
    let text = home::read_secret(&file, MASTER_KEY)?;
    MasterKey::parse(&text).map_err(|error| HomeError::Damaged {
        file,
        why: error.to_string(),
        remedy: "copy it from etc/security/master.key of another node, or from a backup: all nodes have the same",
    })
}

/// The master key that the operator has placed in a new home, or else a new one, which is written there.
pub(crate) fn master_key_or_new(paths: &Paths) -> Result<MasterKey, HomeError> {
    let key = placed_master_key(paths)?;
    if !paths.master_key().exists() {
        home::write_secret(&paths.master_key(), key.to_text().expose())?;
    }
    Ok(key)
}

/// The master key that the operator has placed in a home, or else a new one.
pub(crate) fn placed_master_key(paths: &Paths) -> Result<MasterKey, HomeError> {
    match master_key(paths) {
        Err(HomeError::Missing { .. }) => Ok(MasterKey::generate()),
        other => other,
    }
}

/// Lets nobody in.
pub(crate) struct ClosedGate;

impl Gate for ClosedGate {
    fn admit(&self, _: [u8; 32], _: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        Box::pin(async { Err("this node is not ready to let others join".to_owned()) })
    }
}
