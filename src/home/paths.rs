//! Where everything is in a home.

use std::path::{Path, PathBuf};

/// The places of a home directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

macro_rules! places {
    ($($(#[$doc:meta])* $name:ident = $relative:literal;)*) => {
        impl Paths {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> PathBuf { self.root.join($relative) })*
        }
    };
}

impl Paths {
    /// The places of the home at `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The home itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

places! {
    /// Held locked by the process that serves the home.
    lock = ".lock";
    /// Configuration.
    etc = "etc";
    /// The settings of this node.
    node_yml = "etc/node.yml";
    /// The first administrators of a new cluster, if the operator has named them there.
    bootstrap_creds = "etc/bootstrap.creds";
    /// A configuration that shall replace the cluster's.
    config_import = "etc/access.config.import.yml";
    /// Settings that shall change, while the others stay.
    config_patch = "etc/access.config.patch.yml";
    /// The cluster's configuration, written by the node, for an operator to edit.
    config = "etc/access.config.yml";
    /// The cluster's configuration as it is, written by the node, to look at.
    config_latest = "etc/access.config.latest.yml";
    /// Certificates of tokens.
    keys = "etc/keys";
    /// The certificate of the cluster's own tokens, PEM.
    root_crt = "etc/keys/root.crt";
    /// The key of that certificate, if an operator has placed it.
    private_key = "etc/keys/private.key";
    /// Asks for a first token without a credential.
    generate_token = "etc/keys/generate.token.json";
    /// That token, for a while.
    generated_token = "etc/keys/token.json";
    /// The circle of trust: one certificate per file.
    trusted = "etc/keys/trusted";
    /// Secrets of this node and of the cluster.
    security = "etc/security";
    /// The cluster's master key, in hexadecimal digits.
    master_key = "etc/security/master.key";
    /// The master key that shall be next, while it is on its way.
    next_master_key = "etc/security/next-master.key";
    /// The key by which nodes join without a join token, in hexadecimal digits, if an operator has placed it.
    join_key = "etc/security/join.key";
    /// The certificate that this node shows to its peers, PEM.
    node_crt = "etc/security/node.crt";
    /// The key of that certificate, PKCS#8 PEM.
    node_key = "etc/security/node.key";
    /// The cluster's CA, PEM.
    ca_crt = "etc/security/ca.crt";
    /// Which node of which cluster lives here.
    identity = "etc/security/identity.json";
    /// That the cluster goes on in a later generation without this node, if it was told so.
    superseded = "etc/security/superseded.json";
    /// The log and the snapshots.
    data = "data";
    /// The log.
    raft = "data/raft";
    /// What the node last saw and wrote in the directory of trusted certificates.
    trust_manifest = "data/trusted.json";
    /// Which certificate the node last showed in etc/keys/root.crt.
    key_manifest = "data/keys.json";
    /// What the node last wrote to etc/access.config.yml.
    config_manifest = "data/config.json";
    /// Where the node last kept its revocation floor.
    floor_memory = "data/floor.json";
    /// The nodes of the cluster as this one has last seen them, for `circlet doctor`.
    members = "data/members.json";
    /// Log files.
    logs = "logs";
}
