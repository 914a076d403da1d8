//! What a simulated cluster begins with: its key, its users, its configuration; and the keys that come later, made from
//! numbers.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use circlet_authority::limits::MEMBER_KEYS_MAX;
use circlet_authority::{
    Action, Bootstrap, ClusterCa, Config, FirstAdministrator, IssuerLimits, KeyOrigin, KeyState, NewKey,
    NodeRecord, PasswordChange, PutMode, PutUser, Sealed, SealedKind, State, TrustIssuer,
};
use circlet_raft::Peer;
use circlet_token::{Algorithm, KeyId, ServiceId, SigningKey, Subject, UserName};
use sha2::{Digest, Sha256};

use crate::dice::Dice;
use crate::sealing::{MasterKey, Ring};
use crate::turnover::custodian::Master;

mod certificate;

/// Who decides what clients may not.
pub const ADMINISTRATOR: &str = "admin";

/// Users beside the administrator.
pub const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Groups that come and go.
pub const GROUPS: [&str; 2] = ["readers", "writers"];

/// What the cluster is called.
pub static SERVICE: LazyLock<ServiceId> =
    LazyLock::new(|| ServiceId::parse("jfrt@01hq0000000000000000000001").expect("it is written as one"));

/// What the clusters are called that it is in a circle with.
pub static NEIGHBOURS: LazyLock<[ServiceId; 2]> = LazyLock::new(|| {
    ["jfrt@01hq0000000000000000000003", "jfrt@01hq0000000000000000000004"]
        .map(|id| ServiceId::parse(id).expect("it is written as one"))
});

/// What another cluster is called, which is trusted at times.
pub static OTHERS: LazyLock<ServiceId> =
    LazyLock::new(|| ServiceId::parse("jfrt@01hq0000000000000000000002").expect("it is written as one"));

/// The other cluster's keys.
pub static THEIRS: LazyLock<[Pair; 2]> =
    LazyLock::new(|| ["their key", "their other key"].map(|name| Pair::named(&OTHERS, name)));

/// A pair of keys with its certificate, for the tokens of one issuer.
pub struct Pair {
    /// Its id.
    pub kid: KeyId,
    issuer: ServiceId,
    certificate: Vec<u8>,
    seed: [u8; 32],
}

impl Pair {
    /// The pair of this name: the same in every run.
    #[must_use]
    pub fn named(issuer: &ServiceId, name: &str) -> Self {
        let seed = seed(name);
        let certificate = certificate::of(issuer, &SigningKey::from_ed25519_seed(&seed));
        Self { kid: KeyId::of_certificate(&certificate), issuer: issuer.clone(), certificate, seed }
    }

    /// The one that a cluster is founded with.
    #[must_use]
    pub fn first(service: &ServiceId) -> Self {
        Self::named(service, &format!("the first key of {service}"))
    }

    /// The private half as the log takes it, sealed under this key.
    #[must_use]
    pub fn private_half(&self, which: &SealedKind, under: &MasterKey) -> Sealed {
        under.seal(which, &self.seed)
    }

    /// The private half.
    #[must_use]
    pub fn signer(&self) -> SigningKey {
        SigningKey::from_ed25519_seed(&self.seed)
    }

    /// The certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// As the log takes a key of our own, sealed under this key.
    #[must_use]
    pub fn as_ours(&self, under: &MasterKey) -> NewKey {
        NewKey {
            kid: self.kid.clone(),
            algorithm: Algorithm::EdDsa,
            certificate_der: self.certificate.clone(),
            spki_der: self.signer().spki_der(),
            private_key: self.private_half(&SealedKind::TokenKey(self.kid.clone()), under),
            origin: KeyOrigin::Made,
        }
    }

    /// As the log takes a key of another cluster's.
    #[must_use]
    pub fn as_theirs(&self) -> TrustIssuer {
        TrustIssuer {
            kid: self.kid.clone(),
            algorithm: Algorithm::EdDsa,
            spki_der: self.signer().spki_der(),
            certificate_der: self.certificate.clone(),
            issuer: self.issuer.clone(),
            common_name: self.issuer.to_string(),
            not_after: "2099-12-31".to_owned(),
            limits: IssuerLimits::default(),
            file_name: "theirs.crt".to_owned(),
        }
    }
}

/// The secret bytes of the key of this name.
#[must_use]
pub fn seed(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

/// A signing key of this view, if the node has the master key that opens it.
#[must_use]
pub fn unseal(ring: &Ring, view: &State, which: &SealedKind) -> Option<SigningKey> {
    open(ring, which, view.sealed(which)?)
}

/// A signing key that was sealed, if the node has the master key that opens it.
#[must_use]
pub fn open(ring: &Ring, which: &SealedKind, sealed: &Sealed) -> Option<SigningKey> {
    let secret = ring.of(&sealed.under)?.open(which, sealed)?;
    Some(SigningKey::from_ed25519_seed(secret.first_chunk()?))
}

/// The master key of this view, if the node has it.
#[must_use]
pub fn master_key(ring: &Ring, view: &State) -> Option<MasterKey> {
    ring.of(&view.master_key_fingerprint()?)
}

/// The master key that a cluster is founded with.
#[must_use]
pub fn first_master_key(service: &ServiceId) -> MasterKey {
    MasterKey::named(&format!("the first of {service}"))
}

/// Whether members of the circle would take another key of this cluster. Recorded tokens hold on to theirs, and what turns over
/// in seconds here takes months in earnest.
#[must_use]
pub fn has_room_for_key(view: &State) -> bool {
    let usable = |state| matches!(state, KeyState::Published | KeyState::Active | KeyState::Retiring);
    view.keyring().filter(|key| usable(key.state)).count() + 2 < MEMBER_KEYS_MAX
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
    let revoke_family_on_reuse = dice.percent(30);
    let join_allow_key = dice.percent(50);
    let circle_invite_expiry = if dice.percent(60) { secs(2, 8) } else { secs(15, 25) };
    let max_staleness_ms = max_staleness_ms(dice);
    let mut config = Config {
        circle_max_staleness_ms,
        circle_invite_expiry,
        max_staleness_ms,
        revoke_family_on_reuse,
        join_allow_key,
        ..Config::default()
    };
    if dice.percent(30) {
        return config;
    }
    // The longest that users choose for themselves.
    (config.default_expiry, config.max_expiry) = (3_600, secs(9_000, 25_000));
    config.verify_max_isolation = secs(2, 4);
    config.issue_max_isolation = secs(2, 3);
    config.persistent_expiry_threshold = secs(3, 9);
    config.revocable_expiry_threshold = secs(5, 7);
    config.clock_leeway = secs(1, 3);
    config.purge_margin = secs(1, 3);
    config.refresh_expiry = secs(2, 6);
    config.key_overlap = secs(0, 1);
    config.key_rotation_interval = secs(0, 1) * secs(3, 8);
    config.circle_key_wait = secs(0, 8);
    config
}

/// How old a view may be that vouches for what can be revoked: as by default in every other case, or down to what is allowed
/// and up to twice as much.
#[must_use]
pub fn max_staleness_ms(dice: &Dice) -> i64 {
    if dice.percent(50) { 2_000 } else { i64::try_from(dice.between(1_850, 4_000)).unwrap_or(2_000) }
}

/// The secrets of this name that a cluster has beside its signing keys, sealed under this key: its CA and its refresh
/// secret.
#[must_use]
pub fn secrets(name: &str, under: &MasterKey) -> (ClusterCa, Sealed) {
    let private_key = under.seal(&SealedKind::ClusterCa, &seed(&format!("the key of CA {name}")));
    let refresh_secret = under.seal(&SealedKind::RefreshSecret, &seed(&format!("refresh secret {name}")));
    (ClusterCa { certificate_der: format!("CA {name}").into_bytes(), private_key }, refresh_secret)
}

/// The first entry. Nothing older has to be able to read it than the founder.
#[must_use]
pub fn bootstrap(founder: &Peer, service: &ServiceId, config: Config, feature_level: u32) -> Action {
    let master = first_master_key(service);
    let (cluster_ca, refresh_secret) = secrets(&format!("of {service}"), &master);
    let NewKey { kid, algorithm, certificate_der, spki_der, private_key, origin } =
        Pair::first(service).as_ours(&master);
    Action::Bootstrap(Box::new(Bootstrap {
        service_id: service.clone(),
        generation: 1,
        kid,
        algorithm,
        certificate_der,
        spki_der,
        private_key,
        origin,
        cluster_ca,
        refresh_secret,
        master_key_fingerprint: master.fingerprint(),
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
        feature_level,
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
