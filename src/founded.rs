//! For tests: what a cluster is founded with.

use circlet_authority::{Bootstrap, ClusterCa, Config, FirstAdministrator, KeyOrigin, NodeRecord, Sealed};
use circlet_token::{CertificateFacts, ServiceId, UserName};

/// A secret that nothing opens.
pub(crate) fn sealed() -> Sealed {
    Sealed { under: [0; 32], nonce: [0; 24], ciphertext: vec![1] }
}

/// A cluster of one node that signs with the key of this certificate. Nothing opens its secrets.
pub(crate) fn bootstrap(service_id: &str, own: CertificateFacts) -> Bootstrap {
    Bootstrap {
        service_id: ServiceId::parse(service_id).unwrap(),
        generation: 1,
        kid: own.key_id,
        algorithm: own.algorithm,
        certificate_der: own.der,
        spki_der: own.spki_der,
        private_key: sealed(),
        origin: KeyOrigin::Made,
        cluster_ca: ClusterCa { certificate_der: Vec::new(), private_key: sealed() },
        refresh_secret: sealed(),
        master_key_fingerprint: [0; 32],
        administrator: FirstAdministrator {
            name: UserName::parse("admin").unwrap(),
            email: String::new(),
            password_hash: String::new(),
        },
        founder: node(1),
        config: Config::default(),
        feature_level: 1,
    }
}

/// A node of it.
pub(crate) fn node(id: u64) -> NodeRecord {
    let public_key = [u8::try_from(id).unwrap(); 32];
    NodeRecord {
        id,
        name: format!("node{id}"),
        peer_address: format!("h:{id}"),
        client_url: format!("http://h:{id}"),
        public_key,
    }
}
