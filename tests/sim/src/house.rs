//! What a simulated cluster begins with: its key, its users, its configuration; and the keys that come later, made from
//! numbers.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use circlet_authority::{
    Action, Bootstrap, ClusterCa, Config, FirstAdministrator, IssuerLimits, KeyOrigin, NewKey, NodeRecord,
    PasswordChange, PutMode, PutUser, Sealed, SealedKind, State, TrustIssuer,
};
use circlet_raft::Peer;
use circlet_token::{Algorithm, KeyId, ServiceId, SigningKey, Subject, UserName};
use sha2::{Digest, Sha256};

use crate::dice::Dice;

/// Users beside the administrator.
pub const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Groups that come and go.
pub const GROUPS: [&str; 2] = ["readers", "writers"];

/// The fingerprint of the master key that there would be.
pub const MASTER_KEY: [u8; 32] = [9; 32];

/// What the cluster is called.
pub static SERVICE: LazyLock<ServiceId> =
    LazyLock::new(|| ServiceId::parse("jfrt@01hq0000000000000000000001").expect("it is written as one"));

/// What the cluster is called that it is in a circle with.
pub static NEIGHBOURS: LazyLock<ServiceId> =
    LazyLock::new(|| ServiceId::parse("jfrt@01hq0000000000000000000003").expect("it is written as one"));

/// What another cluster is called, which is trusted at times.
pub static OTHERS: LazyLock<ServiceId> =
    LazyLock::new(|| ServiceId::parse("jfrt@01hq0000000000000000000002").expect("it is written as one"));

/// A pair of keys with its certificate. The certificate is never looked at; it gives the key its id.
pub struct Pair {
    /// Its id.
    pub kid: KeyId,
    certificate: Vec<u8>,
    seed: [u8; 32],
}

impl Pair {
    /// The pair of this name: the same in every run.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let certificate = format!("the root certificate of {name}").into_bytes();
        Self {
            kid: KeyId::of_certificate(&certificate),
            certificate,
            seed: Sha256::digest(name.as_bytes()).into(),
        }
    }

    /// The one that a cluster is founded with.
    #[must_use]
    pub fn first(service: &ServiceId) -> Self {
        Self::named(&format!("the first key of {service}"))
    }

    /// The private half as the log takes it.
    #[must_use]
    pub fn private_half(&self) -> Sealed {
        Sealed { under: MASTER_KEY, nonce: [0; 24], ciphertext: self.seed.to_vec() }
    }

    /// The private half.
    #[must_use]
    pub fn signer(&self) -> SigningKey {
        SigningKey::from_ed25519_seed(&self.seed)
    }

    /// As the log takes a key of our own.
    #[must_use]
    pub fn as_ours(&self) -> NewKey {
        NewKey {
            kid: self.kid.clone(),
            algorithm: Algorithm::EdDsa,
            certificate_der: self.certificate.clone(),
            spki_der: self.signer().spki_der(),
            private_key: self.private_half(),
            origin: KeyOrigin::Made,
        }
    }

    /// As the log takes a key of the other cluster's.
    #[must_use]
    pub fn as_theirs(&self) -> TrustIssuer {
        TrustIssuer {
            kid: self.kid.clone(),
            algorithm: Algorithm::EdDsa,
            spki_der: self.signer().spki_der(),
            certificate_der: self.certificate.clone(),
            issuer: OTHERS.clone(),
            common_name: OTHERS.to_string(),
            not_after: "2099-12-31".to_owned(),
            limits: IssuerLimits::default(),
            file_name: "theirs.crt".to_owned(),
        }
    }
}

/// A signing key of this view, as every node can unseal it: nothing is really sealed here.
#[must_use]
pub fn unseal(view: &State, kid: &KeyId) -> Option<SigningKey> {
    let sealed = view.sealed(&SealedKind::TokenKey(kid.clone()))?;
    Some(SigningKey::from_ed25519_seed(sealed.ciphertext.first_chunk()?))
}

/// A user's name.
#[must_use]
pub fn name(text: &str) -> UserName {
    UserName::parse(text).expect("the names here are good ones")
}

/// A user's subject.
#[must_use]
pub fn subject(service: &ServiceId, user: &str) -> Subject {
    Subject::user(service, &name(user))
}

/// The configuration of a cluster. In most runs what takes minutes or hours by default takes seconds, so that tokens
/// expire, nodes are cut off for longer than they may be, and keys retire while somebody looks.
#[must_use]
pub fn config(dice: &Dice) -> Config {
    let secs = |low, high| i64::try_from(dice.between(low, high)).unwrap_or(1);
    let circle_max_staleness_ms = secs(2_000, 3_500);
    let mut config = Config { circle_max_staleness_ms, ..Config::default() };
    if dice.percent(30) {
        return config;
    }
    config.verify_max_isolation = secs(2, 4);
    config.issue_max_isolation = secs(2, 3);
    config.persistent_expiry_threshold = secs(3, 9);
    config.revocable_expiry_threshold = secs(5, 7);
    config.clock_leeway = secs(1, 3);
    config.purge_margin = secs(1, 3);
    config.refresh_expiry = secs(2, 6);
    config.key_overlap = secs(0, 1);
    config.key_rotation_interval = secs(0, 1) * secs(3, 8);
    config
}

/// Some secret, sealed; nobody opens it.
#[must_use]
pub fn sealed() -> Sealed {
    Sealed { under: MASTER_KEY, nonce: [0; 24], ciphertext: b"sealed".to_vec() }
}

/// The first entry.
#[must_use]
pub fn bootstrap(founder: &Peer, service: &ServiceId, config: Config) -> Action {
    let NewKey { kid, algorithm, certificate_der, spki_der, private_key, origin } =
        Pair::first(service).as_ours();
    Action::Bootstrap(Box::new(Bootstrap {
        service_id: service.clone(),
        generation: 1,
        kid,
        algorithm,
        certificate_der,
        spki_der,
        private_key,
        origin,
        cluster_ca: ClusterCa { certificate_der: b"ca".to_vec(), private_key: sealed() },
        refresh_secret: sealed(),
        master_key_fingerprint: MASTER_KEY,
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
        config,
        feature_level: 1,
    }))
}

/// What comes after it.
pub fn furniture() -> impl Iterator<Item = Action> {
    USERS.into_iter().map(|user| Action::PutUser(Box::new(person(user))))
}

/// A user as they are at first.
#[must_use]
pub fn person(user: &str) -> PutUser {
    PutUser {
        email: Some(format!("{user}@example.org")),
        password: PasswordChange::Keep,
        admin: Some(false),
        groups: Some(BTreeSet::new()),
        ..PutUser::new(name(user), PutMode::CreateOrUpdate)
    }
}
