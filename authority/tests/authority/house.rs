//! A state under test: names for its ids, a clock that only moves when told, an index that counts.

use std::collections::BTreeMap;

use circlet_authority::{
    Action, Actor, Bootstrap, ClusterCa, Command, Config, FamilyId, FirstAdministrator, KeyOrigin, NewKey,
    NodeRecord, Outcome, Sealed, Stamp, State, TokenActor, TokenRecord,
};
use circlet_token::{Algorithm, Claims, KeyId, ServiceId, TokenId, UserName, Verified};
use sha2::{Digest, Sha256};

pub(crate) const OURS: &str = "jfrt@01hq0000000000000000000001";
/// The same cluster under another kind of service.
pub(crate) const OURS_AS_ACCESS: &str = "jfac@01hq0000000000000000000001";
pub(crate) const THEIRS: &str = "jfrt@01hq0000000000000000000002";
pub(crate) const START_MS: u64 = 1_800_000_000_000;

pub(crate) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn half(text: &str) -> [u8; 16] {
    hash(text)[..16].try_into().unwrap()
}

pub(crate) fn token_id(label: &str) -> TokenId {
    TokenId(half(&format!("token {label}")))
}

pub(crate) fn family_id(label: &str) -> FamilyId {
    FamilyId(half(&format!("family {label}")))
}

pub(crate) fn kid(label: &str) -> KeyId {
    KeyId::of_certificate(format!("certificate {label}").as_bytes())
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub(crate) fn service(text: &str) -> ServiceId {
    ServiceId::parse(text).unwrap()
}

pub(crate) fn sealed(label: &str) -> Sealed {
    sealed_under(label, [9; 32])
}

pub(crate) fn sealed_under(label: &str, under: [u8; 32]) -> Sealed {
    Sealed { under, nonce: hash(label)[..24].try_into().unwrap(), ciphertext: label.as_bytes().to_vec() }
}

/// A signing key of that label, on its own public key or on that of another label.
pub(crate) fn new_key(label: &str, public_key: &str, origin: KeyOrigin) -> NewKey {
    NewKey {
        kid: kid(label),
        algorithm: Algorithm::EdDsa,
        certificate_der: format!("certificate {label}").into_bytes(),
        spki_der: format!("public key {public_key}").into_bytes(),
        private_key: sealed(&format!("private key {label}")),
        origin,
    }
}

pub(crate) fn bootstrap() -> Bootstrap {
    Bootstrap {
        service_id: service(OURS),
        generation: 1,
        kid: kid("k1"),
        algorithm: Algorithm::EdDsa,
        certificate_der: b"certificate k1".to_vec(),
        spki_der: b"public key k1".to_vec(),
        private_key: sealed("private key k1"),
        origin: KeyOrigin::Made,
        cluster_ca: ClusterCa { certificate_der: b"ca".to_vec(), private_key: sealed("ca key") },
        refresh_secret: sealed("refresh secret"),
        master_key_fingerprint: [9; 32],
        administrator: FirstAdministrator {
            name: name("admin"),
            email: "admin@example.org".to_owned(),
            password_hash: "$argon2id$admin".to_owned(),
        },
        founder: node("n1", 1),
        config: Config::default(),
        feature_level: 1,
    }
}

pub(crate) fn node(label: &str, id: u64) -> NodeRecord {
    NodeRecord {
        id,
        name: label.to_owned(),
        peer_address: format!("{label}:7000"),
        client_url: format!("https://{label}"),
        public_key: hash(label),
    }
}

/// A token that somebody holds: its claims and the key that signed it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) verified: Verified,
    pub(crate) record: Option<TokenRecord>,
}

impl Held {
    pub(crate) fn actor(&self) -> Actor {
        Actor::Token(Box::new(TokenActor::of(&self.verified)))
    }
}

#[derive(Debug)]
pub(crate) struct House {
    pub(crate) state: State,
    pub(crate) now_ms: u64,
    pub(crate) held: BTreeMap<String, Held>,
    /// Texts that stand for labels in what is printed.
    pub(crate) labels: Vec<(String, String)>,
    /// The labels of the master keys that were spoken of.
    pub(crate) master_keys: Vec<String>,
}

impl House {
    pub(crate) fn empty() -> Self {
        Self {
            state: State::new(),
            now_ms: START_MS,
            held: BTreeMap::new(),
            labels: Vec::new(),
            master_keys: Vec::new(),
        }
    }

    pub(crate) fn new() -> Self {
        Self::of(OURS)
    }

    /// The same cluster under another name.
    pub(crate) fn of(service_id: &str) -> Self {
        let mut house = Self::empty();
        house.labels.push((kid("k1").to_string(), "<k1>".to_owned()));
        let first = Bootstrap { service_id: service(service_id), ..bootstrap() };
        house.apply(Actor::System, Action::Bootstrap(Box::new(first)));
        house
    }

    pub(crate) fn now_secs(&self) -> u64 {
        self.now_ms / 1_000
    }

    /// Through bytes, as the log does it.
    pub(crate) fn apply(&mut self, actor: Actor, action: Action) -> Outcome {
        let bytes = Command { actor, action }.encode();
        let command = Command::decode(&bytes).unwrap();
        let outcome = self.state.apply(self.state.index() + 1, Stamp { now_ms: self.now_ms }, &command);
        assert_eq!(Outcome::decode(&outcome.encode()).unwrap(), outcome);
        outcome
    }

    pub(crate) fn hold(&mut self, label: &str, record: &TokenRecord) {
        let claims = record.claims(&service(OURS));
        let verified = Verified { claims, key: record.kid.clone(), algorithm: Algorithm::EdDsa };
        self.labels.push((record.id.to_string(), format!("<{label}>")));
        self.held.insert(label.to_owned(), Held { verified, record: Some(record.clone()) });
    }

    pub(crate) fn hold_foreign(&mut self, label: &str, claims: Claims, key: KeyId) {
        let verified = Verified { claims, key, algorithm: Algorithm::EdDsa };
        self.labels.push((token_id(label).to_string(), format!("<{label}>")));
        self.held.insert(label.to_owned(), Held { verified, record: None });
    }

    /// Replace ids by labels and times by distances from the start.
    pub(crate) fn label(&self, text: &str) -> String {
        let mut text = text.replace(OURS, "<us>").replace(THEIRS, "<them>");
        for (id, label) in self.labels.iter().rev() {
            text = text.replace(id, label);
        }
        text
    }
}
