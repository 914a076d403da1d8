//! What a simulated cluster begins with: its key, its users. The same in every run.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use circlet_authority::{
    Action, Bootstrap, ClusterCa, Config, FirstAdministrator, KeyOrigin, NodeRecord, PasswordChange, PutMode,
    PutUser, Sealed,
};
use circlet_raft::Peer;
use circlet_token::{Algorithm, KeyId, ServiceId, SigningKey, Subject, UserName};

/// The certificate is never looked at; it gives the key its id.
const CERTIFICATE: &[u8] = b"the root certificate of the simulated cluster";

/// Users beside the administrator.
pub const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// What the cluster is called.
pub static SERVICE: LazyLock<ServiceId> =
    LazyLock::new(|| ServiceId::parse("jfrt@01hq0000000000000000000001").expect("it is written as one"));

/// The key that signs tokens.
pub static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_ed25519_seed(&[42; 32]));

/// Its id.
#[must_use]
pub fn kid() -> KeyId {
    KeyId::of_certificate(CERTIFICATE)
}

/// A user's name.
#[must_use]
pub fn name(text: &str) -> UserName {
    UserName::parse(text).expect("the names here are good ones")
}

/// A user's subject.
#[must_use]
pub fn subject(user: &str) -> Subject {
    Subject::user(&SERVICE, &name(user))
}

fn sealed() -> Sealed {
    Sealed { nonce: [0; 24], ciphertext: b"sealed".to_vec() }
}

/// The first entry.
#[must_use]
pub fn bootstrap(founder: &Peer) -> Action {
    Action::Bootstrap(Box::new(Bootstrap {
        service_id: SERVICE.clone(),
        generation: 1,
        kid: kid(),
        algorithm: Algorithm::EdDsa,
        certificate_der: CERTIFICATE.to_vec(),
        spki_der: SIGNER.spki_der(),
        private_key: sealed(),
        origin: KeyOrigin::Made,
        cluster_ca: ClusterCa { certificate_der: b"ca".to_vec(), private_key: sealed() },
        refresh_secret: sealed(),
        master_key_fingerprint: [9; 32],
        administrator: FirstAdministrator {
            name: name("admin"),
            email: "admin@example.org".to_owned(),
            password_hash: "$argon2id$none".to_owned(),
        },
        founder: NodeRecord {
            id: 1,
            name: founder.name.clone(),
            peer_address: founder.peer_address.clone(),
            client_url: founder.client_url.clone(),
            public_key: founder.public_key,
        },
        config: Config::default(),
    }))
}

/// What comes after it.
pub fn furniture() -> impl Iterator<Item = Action> {
    USERS.into_iter().map(|user| {
        Action::PutUser(Box::new(PutUser {
            name: name(user),
            mode: PutMode::CreateOrUpdate,
            email: Some(format!("{user}@example.org")),
            password: PasswordChange::Keep,
            admin: Some(false),
            groups: Some(BTreeSet::new()),
            status: None,
            realm: None,
            profile_updatable: None,
            internal_password_disabled: None,
            disable_ui_access: None,
        }))
    })
}
