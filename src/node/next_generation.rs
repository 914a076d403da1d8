//! The first node of a cluster's next generation: from a state of before to a home that can be served.

use std::path::PathBuf;
use std::time::Duration;

use circlet_authority::{
    ClusterCa, KeyOrigin, NewKey, NextGeneration, NoNextGeneration, NodeRecord, Picture, SealedKind, State,
};
use circlet_raft::{Machine, offline};
use circlet_token::{Algorithm, ServiceId, read_certificate};

use super::opening;
use crate::backup::BackupError;
use crate::certificates::{self, CertificateProblem, TokenKeyKind};
use crate::clock;
use crate::floor::proof::{Incomplete, Proof};
use crate::home::settings::NodeSettings;
use crate::home::{self, GivenUp, HomeError, Identity, Introduced, Paths, Takeover, Told};
use crate::keys;
use crate::machine::{self, Authority};
use crate::seal::MasterKey;
use crate::secret::Secret;

/// What a cluster of before became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// What it is called.
    pub service_id: ServiceId,
    /// Its generation.
    pub generation: u64,
    /// The generation before.
    pub generation_before: u64,
    /// The id of its first node.
    pub node_id: u64,
    /// The name of that node.
    pub name: String,
    /// The URL at which clients will reach it.
    pub url: String,
    /// The id of its token key.
    pub key_id: String,
    /// Users that are there.
    pub users: usize,
    /// Groups that are there.
    pub groups: usize,
    /// Trusted certificates that are there.
    pub trusted: usize,
    /// Where the log of before is kept, if there was one in this home.
    pub kept: PathBuf,
    /// What its earlier access tokens live on by, if they do.
    pub floor: Option<OnFloor>,
}

/// Floors that a generation begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnFloor {
    /// How many nodes' they are.
    pub nodes: usize,
    /// The last log entry that changed what is refused.
    pub index: u64,
    /// How many revoked ids were taken over.
    pub revoked: usize,
}

/// Why there is no next generation. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum NextGenerationError {
    /// The home can't be the one.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The backup is of no use.
    #[error("{}: {source}", file.display())]
    Backup {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: BackupError,
    },
    /// The state has no next generation like that.
    #[error(transparent)]
    State(#[from] NoNextGeneration),
    /// A key or a certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    /// Nodes that should be gone answer.
    #[error("the cluster {service_id} still lives: {} answers", names.join(", "))]
    StillLives {
        /// The cluster.
        service_id: String,
        /// Who answered, and where.
        names: Vec<String>,
    },
    /// The node decides alone as it is.
    #[error("node {name} is the only one of its cluster that votes: there is no majority to do without")]
    Alone {
        /// The node.
        name: String,
    },
    /// The log or the snapshots can't be read, or not be made.
    #[error("{}: {source}", data.display())]
    Data {
        /// The folder.
        data: PathBuf,
        /// What the system or the check said.
        source: std::io::Error,
    },
    /// The floors don't hold everything, or can't be read.
    #[error("earlier tokens can't live on: {0}")]
    Floor(#[from] Incomplete),
    /// The program is ending.
    #[error("it was broken off")]
    BrokenOff,
}

/// Who is left behind, and who the node that goes on was to them.
pub(super) struct Left {
    pub(super) former: Identity,
    pub(super) nodes: Vec<Introduced>,
}

/// Makes everything that the next generation begins with, and lets its first node take over the home. Blocks.
pub(super) fn begin(
    paths: &Paths,
    settings: &NodeSettings,
    before: &State,
    service_id: &ServiceId,
    master: &MasterKey,
    floor: Option<Proof>,
    left: Option<Left>,
) -> Result<Begun, NextGenerationError> {
    let takeover = Takeover::begin(paths)?;
    let picture = floor.as_ref().map(|floor| &floor.picture);
    let placed = opening::master_key(paths).is_ok_and(|key| key.fingerprint() == master.fingerprint());
    let made = make(&takeover, settings, Before { state: before, picture }, service_id, master, placed);
    let on_floor = floor.as_ref().map(|floor| OnFloor {
        nodes: floor.nodes,
        index: floor.picture.index(),
        revoked: floor.picture.revoked_count(),
    });
    let made = made.and_then(|made| stage_left(left, &takeover, paths, made.1.generation).map(|()| made));
    // Once it is all there and before it lives: what it will revoke is not on those floors.
    let made = made.and_then(|made| floor.map_or(Ok(()), Proof::spend).map(|()| made).map_err(Into::into));
    let (state, identity) = match made {
        Ok(made) => made,
        Err(error) => {
            // Why it failed is what counts.
            let _ = takeover.abandon();
            return Err(error);
        }
    };
    let kept = takeover.complete(&identity)?;
    let key_id = state.active_key().map(|key| key.kid.to_string()).unwrap_or_default();
    Ok(Begun {
        service_id: service_id.clone(),
        generation: identity.generation,
        generation_before: before.generation(),
        node_id: identity.node_id,
        name: settings.name.clone(),
        url: settings.http_advertise.clone(),
        key_id,
        users: state.users().count(),
        groups: state.groups().count(),
        trusted: state.circle().count(),
        kept,
        floor: on_floor,
    })
}

/// What it takes to tell those that are left behind goes with what is of before.
fn stage_left(
    left: Option<Left>,
    takeover: &Takeover<'_>,
    paths: &Paths,
    goes_on_in: u64,
) -> Result<(), NextGenerationError> {
    let Some(Left { former, nodes }) = left else { return Ok(()) };
    let Identity { node_id, service_id, generation, .. } = former;
    let nodes = nodes.into_iter().map(|node| Told { node, told_at_ms: None }).collect();
    let given_up = GivenUp { service_id, generation, node_id, goes_on_in, nodes };
    Ok(given_up.stage(&takeover.data(), paths)?)
}

/// What a generation begins from.
#[derive(Clone, Copy)]
struct Before<'a> {
    state: &'a State,
    /// All that was refused, where that is proven.
    picture: Option<&'a Picture>,
}

fn make(
    takeover: &Takeover<'_>,
    settings: &NodeSettings,
    Before { state: before, picture }: Before<'_>,
    service_id: &ServiceId,
    master: &MasterKey,
    placed: bool,
) -> Result<(State, Identity), NextGenerationError> {
    let (staged, now_ms) = (takeover.paths(), clock::wall_ms());
    let seal = |kind: SealedKind, secret: &Secret| keys::seal(master, service_id.as_str(), &kind, secret);
    let config = before.config();
    let lives = |secs: i64| Duration::from_secs(u64::try_from(secs).unwrap_or(0));
    let ca = certificates::cluster_ca(service_id.as_str(), now_ms, lives(config.ca_lifetime))?;
    let node_key = certificates::node_key()?;
    let public_key = certificates::public_key(&node_key)?;
    let node_certificate = certificates::node_certificate(
        &ca,
        &public_key,
        &settings.name,
        service_id.as_str(),
        now_ms,
        lives(config.certificate_lifetime),
    )?;
    // One that the operator has placed stays where it is.
    if !placed {
        home::write_secret(&staged.master_key(), master.to_text().expose())?;
    }
    opening::write_node_files(staged, &node_key, &node_certificate, &ca.certificate)?;
    let next = NextGeneration {
        service_id: service_id.clone(),
        now_ms,
        key: token_key(before, service_id, now_ms, &seal)?,
        cluster_ca: ClusterCa {
            certificate_der: ca.certificate.clone(),
            private_key: seal(SealedKind::ClusterCa, &ca.private_key),
        },
        refresh_secret: seal(SealedKind::RefreshSecret, &Secret::random(32)),
        master_key_fingerprint: master.fingerprint(),
        founder: NodeRecord {
            id: 0,
            name: settings.name.clone(),
            peer_address: settings.peer_advertise.clone(),
            client_url: settings.http_advertise.clone(),
            public_key: certificates::pin(&public_key),
        },
    };
    let state = match picture {
        Some(picture) => before.next_generation_on(&next, picture)?,
        None => before.next_generation(&next)?,
    };
    let identity = Identity {
        node_id: state.index(),
        service_id: service_id.as_str().to_owned(),
        generation: state.generation(),
        log_begun: true,
        introduced: Vec::new(),
    };
    let data = takeover.data();
    let peer = machine::peer(&next.founder);
    offline::begin(&data, state.index(), (state.index(), peer), Authority::of(state.clone()).capture())
        .map_err(|source| NextGenerationError::Data { data, source })?;
    Ok((state, identity))
}

/// A key that signs as the one before did, as far as keys of that kind are made here.
fn token_key(
    before: &State,
    service_id: &ServiceId,
    now_ms: u64,
    seal: &impl Fn(SealedKind, &Secret) -> circlet_authority::Sealed,
) -> Result<NewKey, NextGenerationError> {
    let kind = match before.active_algorithm() {
        Some(Algorithm::Rs256) => TokenKeyKind::Rs256,
        _ => TokenKeyKind::EdDsa,
    };
    let pair = certificates::token_issuer(kind, service_id.as_str(), now_ms)?;
    let facts = read_certificate(&pair.certificate).map_err(CertificateProblem::from)?;
    Ok(NewKey {
        private_key: seal(SealedKind::TokenKey(facts.key_id.clone()), &pair.private_key),
        kid: facts.key_id,
        algorithm: facts.algorithm,
        certificate_der: pair.certificate,
        spki_der: facts.spki_der,
        origin: KeyOrigin::Made,
    })
}
