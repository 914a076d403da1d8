//! Actions on the cluster itself: its beginning, keys, circle, configuration, nodes, and what has expired.

use circlet_token::{Algorithm, KeyId, ServiceId, UserName};

use crate::{
    codec::{wire_enum, wire_struct},
    config::Config,
    record::{IssuerLimits, KeyOrigin, NodeRecord, Sealed},
};

/// The first entry of a cluster. Repeating it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// What the cluster is called by others.
    pub service_id: ServiceId,
    /// 1 at first; a restored or recovered cluster starts a higher one.
    pub generation: u64,
    /// The id of the token key: from its certificate.
    pub kid: KeyId,
    /// What the token key signs with.
    pub algorithm: Algorithm,
    /// The root certificate.
    pub certificate_der: Vec<u8>,
    /// The public key, as a certificate holds it.
    pub spki_der: Vec<u8>,
    /// The token key, sealed.
    pub private_key: Sealed,
    /// Where the token key comes from.
    pub origin: KeyOrigin,
    /// The authority behind the nodes' TLS certificates.
    pub cluster_ca: ClusterCa,
    /// The key of refresh tokens' MACs, sealed.
    pub refresh_secret: Sealed,
    /// SHA-256 of the master key, which itself is never in the log.
    pub master_key_fingerprint: [u8; 32],
    /// The first administrator.
    pub administrator: FirstAdministrator,
    /// The first node.
    pub founder: NodeRecord,
    /// The access configuration to start with.
    pub config: Config,
    /// The feature level to start with: what the first node supports.
    pub feature_level: u32,
}
wire_struct!(Bootstrap {
    service_id,
    generation,
    kid,
    algorithm,
    certificate_der,
    spki_der,
    private_key,
    origin,
    cluster_ca,
    refresh_secret,
    master_key_fingerprint,
    administrator,
    founder,
    config,
    feature_level
});

/// The certificate authority behind the nodes' TLS certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterCa {
    /// Its certificate.
    pub certificate_der: Vec<u8>,
    /// Its private key, sealed.
    pub private_key: Sealed,
}
wire_struct!(ClusterCa { certificate_der, private_key });

/// Put another certificate authority, or a renewed one, in the place of the present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceCa {
    /// The certificate that the proposer believes to be the present one: of two changes at once the first in the log wins.
    pub replaces: Vec<u8>,
    /// The authority from now on.
    pub ca: ClusterCa,
}
wire_struct!(ReplaceCa { replaces, ca });

/// The user that a cluster begins with.
#[derive(Clone, PartialEq, Eq)]
pub struct FirstAdministrator {
    /// Already normalised.
    pub name: UserName,
    /// A mail address.
    pub email: String,
    /// argon2id, in PHC text form.
    pub password_hash: String,
}
wire_struct!(FirstAdministrator { name, email, password_hash });

impl std::fmt::Debug for FirstAdministrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstAdministrator")
            .field("name", &self.name)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// Replace the access configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetConfig {
    /// All settings.
    pub config: Config,
    /// Apply only on top of this version, if given: of two edits at once the first in the log wins.
    pub if_version: Option<u64>,
}
wire_struct!(SetConfig { config, if_version });

/// Take another cluster's root certificate into the circle, or change the limits of one already there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustIssuer {
    /// From the certificate.
    pub kid: KeyId,
    /// What the key signs with.
    pub algorithm: Algorithm,
    /// The public key, as the certificate holds it.
    pub spki_der: Vec<u8>,
    /// The whole certificate, so that every node can show it.
    pub certificate_der: Vec<u8>,
    /// Whom the key speaks for: from the common name, or as the operator said.
    pub issuer: ServiceId,
    /// The certificate's common name.
    pub common_name: String,
    /// The certificate's last day, as text.
    pub not_after: String,
    /// What its tokens may do here.
    pub limits: IssuerLimits,
    /// The file it came from, without its folder.
    pub file_name: String,
}
wire_struct!(TrustIssuer {
    kid,
    algorithm,
    spki_der,
    certificate_der,
    issuer,
    common_name,
    not_after,
    limits,
    file_name
});

/// Change what the tokens of a trusted certificate may do here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitIssuer {
    /// Which one.
    pub kid: KeyId,
    /// What its tokens may do from now on.
    pub limits: IssuerLimits,
}
wire_struct!(LimitIssuer { kid, limits });

/// Take a certificate out of the circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistrustIssuer {
    /// Which one.
    pub kid: KeyId,
}
wire_struct!(DistrustIssuer { kid });

/// Allow one more node to join, within `join.token-expiry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintJoinToken {
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
}
wire_struct!(MintJoinToken { hash });

/// Admit a node that proved a join token. Its id becomes this entry's log index; repeatable for the same key only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmitNode {
    /// SHA-256 of the join token's secret.
    pub join_token: [u8; 32],
    /// What the node calls itself.
    pub name: String,
    /// Where peers reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub client_url: String,
    /// SHA-256 of the node key's public key.
    pub public_key: [u8; 32],
    /// Whether it is given a vote once it has caught up.
    pub votes: bool,
    /// The highest feature level that it supports.
    pub supports: u32,
}
wire_struct!(AdmitNode { join_token, name, peer_address, client_url, public_key, votes, supports });

/// Admit a node that proved the join key, which an operator has placed on it and on the node that it asked. Allowed while
/// `join.allow-key` is on; its id becomes this entry's log index, and the same key gets the same id again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmitByKey {
    /// What the node calls itself.
    pub name: String,
    /// Where peers reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub client_url: String,
    /// SHA-256 of the node key's public key.
    pub public_key: [u8; 32],
    /// Whether it is given a vote once it has caught up.
    pub votes: bool,
    /// The highest feature level that it supports.
    pub supports: u32,
}
wire_struct!(AdmitByKey { name, peer_address, client_url, public_key, votes, supports });

/// What the nodes of the cluster write to the log, to snapshots and to each other: all that a level names, and nothing
/// that a later one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FeatureLevel {
    /// A node says up to which level it reads and writes. It says so at each start with another version.
    Support {
        /// The node.
        node: u64,
        /// The highest level that it supports.
        level: u32,
    } = 1,
    /// Write at this level from now on, which every node supports. It never goes back.
    Raise {
        /// The level.
        to: u32,
    } = 2,
}
wire_enum!(FeatureLevel {
    1 => Support { node, level },
    2 => Raise { to },
});

/// Forget what has expired, in two steps, so that no single clock makes a needed revocation vanish.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum Purge {
    /// Note what has expired by now.
    Mark = 1,
    /// Remove what was marked, after the margin has passed on the proposer's boot clock too.
    Remove {
        /// The log index of the mark.
        mark: u64,
        /// How long ago the proposer saw the mark applied, by its boot clock.
        elapsed_ms: u64,
    } = 2,
}
wire_enum!(Purge {
    1 => Mark,
    2 => Remove { mark, elapsed_ms },
});

/// A signing key as the edge hands it in: taken apart and sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// From its certificate.
    pub kid: KeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// The root certificate.
    pub certificate_der: Vec<u8>,
    /// The public key, as the certificate holds it.
    pub spki_der: Vec<u8>,
    /// The private key, sealed.
    pub private_key: Sealed,
    /// Where it comes from.
    pub origin: KeyOrigin,
}
wire_struct!(NewKey { kid, algorithm, certificate_der, spki_der, private_key, origin });

/// Move one of the cluster's signing keys through its life: published, active, retiring, retired; or tainted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum RotateKey {
    /// Add the key that shall sign next. It verifies at once.
    Publish {
        /// The key.
        key: Box<NewKey>,
        /// The key that the proposer believes to be active: of two changes at once the first in the log wins.
        replaces: KeyId,
        /// For how many seconds it is shown at least before it signs; by default `key.overlap`.
        overlap_secs: Option<u64>,
    } = 1,
    /// Sign with the published key from now on, once every node has unsealed it; the one before goes on verifying.
    Activate {
        /// The key to sign with.
        kid: KeyId,
        /// The key that the proposer believes to be active.
        replaces: KeyId,
    } = 2,
    /// Refuse whatever this key signed, at once and for ever. If it is the active one, the published key signs in its
    /// place, or else `next`.
    Taint {
        /// The key that leaked.
        kid: KeyId,
        /// What signs from now on, if the active key is tainted and none is published.
        next: Option<Box<NewKey>>,
    } = 3,
    /// A node has unsealed the published key, and would verify what it signs.
    Confirm {
        /// The key.
        kid: KeyId,
        /// The node.
        node: u64,
    } = 4,
    /// Give up the published key before it has signed anything.
    Cancel {
        /// The key.
        kid: KeyId,
    } = 5,
    /// Forget a key whose last token is gone.
    Retire {
        /// The key.
        kid: KeyId,
        /// The operator vouches that no token lives from before the key was adopted.
        vouched: bool,
    } = 6,
}
wire_enum!(RotateKey {
    1 => Publish { key, replaces, overlap_secs },
    2 => Activate { kid, replaces },
    3 => Taint { kid, next },
    4 => Confirm { kid, node },
    5 => Cancel { kid },
    6 => Retire { kid, vouched },
});
