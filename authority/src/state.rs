//! What the cluster has decided. A state is an immutable view once it is published: cloning it costs a constant.

mod circle;
mod families;
mod feed;
mod followed;
mod keyring;
mod list;
mod master_key;
mod read;
mod revocations;
mod tokens;
mod watermarks;

pub use circle::FeedPage;
pub(crate) use families::Families;
pub(crate) use feed::{Feed, Link};
pub(crate) use followed::Followed;
pub use list::{TokenCursor, TokenFilter, TokenOrder, TokenPage};
pub(crate) use revocations::{InOrder, Lately, Revocations};
pub(crate) use tokens::{DerivedSizes, Order, Tokens, users_of};
pub(crate) use watermarks::Watermarks;

use std::sync::Arc;

use circlet_token::{KeyId, KeySet, PublicKey, ServiceId, TokenId, UserName};
use imbl::OrdMap;

use crate::{
    codec::wire_struct,
    command::ClusterCa,
    config::{Config, ConfigChange},
    floor::FloorMarks,
    limits::{CASCADE_STEP_ENTRIES_MAX, FIRST_FEATURE_LEVEL},
    next_generation::Begun,
    record::{
        CircleKey, FormerSecrets, Group, Invite, JoinToken, Key, KeyState, LostNode, Member, NextMasterKey,
        Node, Origin, RemovedNode, Sealed, TrustedIssuer, User,
    },
};

/// The replicated state. Equal logs give equal states, down to the bytes of [`State::digest`].
#[derive(Clone)]
pub struct State {
    pub(crate) index: u64,
    pub(crate) now_ms: u64,
    pub(crate) feature_level: u32,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) config: Arc<Config>,
    pub(crate) config_version: u64,
    /// By the version that each led to.
    pub(crate) config_changes: OrdMap<u64, Arc<ConfigChange>>,
    pub(crate) keyring: OrdMap<KeyId, Arc<Key>>,
    pub(crate) circle: OrdMap<KeyId, Arc<TrustedIssuer>>,
    pub(crate) distrusted: OrdMap<KeyId, u64>,
    pub(crate) users: OrdMap<UserName, Arc<User>>,
    pub(crate) groups: OrdMap<String, Arc<Group>>,
    pub(crate) tokens: Tokens,
    pub(crate) families: Families,
    pub(crate) revocations: Revocations,
    pub(crate) watermarks: Watermarks,
    /// Where ending the descendants of revoked tokens has got to: the last one that was looked at.
    pub(crate) cascades: OrdMap<Origin, Option<TokenId>>,
    /// How many tokens one command looks at for that. No part of what is replicated: see [`State::with_cascade_step`].
    pub(crate) cascade_step: usize,
    pub(crate) idempotency: OrdMap<[u8; 32], Idempotent>,
    pub(crate) nodes: OrdMap<u64, Arc<Node>>,
    /// Those that were members, as many as are remembered.
    pub(crate) removed_nodes: OrdMap<u64, Arc<RemovedNode>>,
    pub(crate) join_tokens: OrdMap<[u8; 32], Arc<JoinToken>>,
    pub(crate) next_master_key: Option<Arc<NextMasterKey>>,
    pub(crate) former_secrets: Arc<FormerSecrets>,
    /// Those whose disk somebody may have.
    pub(crate) lost_nodes: OrdMap<u64, Arc<LostNode>>,
    pub(crate) circle_key: Option<Arc<CircleKey>>,
    /// By the unique part of the service id, as are the lists.
    pub(crate) members: OrdMap<String, Arc<Member>>,
    pub(crate) followed: OrdMap<String, Followed>,
    pub(crate) invites: OrdMap<[u8; 32], Arc<Invite>>,
    pub(crate) purge_mark: Option<PurgeMark>,
    /// Until when plain revocable tokens may live that were issued under an earlier configuration, seconds.
    pub(crate) unseen_until: u64,
    /// Where this generation began, if it is not the first.
    pub(crate) begun: Option<Begun>,
    pub(crate) floor_marks: FloorMarks,
    /// Derived: the key that signs.
    pub(crate) active: Option<KeyId>,
    /// Derived: the cluster's own keys and the circle's.
    pub(crate) key_set: Arc<KeySet>,
}

/// What a bootstrap fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) service_id: ServiceId,
    pub(crate) generation: u64,
    pub(crate) ca: ClusterCa,
    pub(crate) refresh_secret: Sealed,
    pub(crate) master_key_fingerprint: [u8; 32],
}
wire_struct!(Cluster { service_id, generation, ca, refresh_secret, master_key_fingerprint });

/// A create that carried an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idempotent {
    pub(crate) request_digest: [u8; 32],
    pub(crate) token: TokenId,
    pub(crate) at_ms: u64,
}
wire_struct!(Idempotent { request_digest, token, at_ms });

/// The first step of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PurgeMark {
    pub(crate) index: u64,
    /// Everything that expired up to this second may go.
    pub(crate) through: u64,
    pub(crate) at_ms: u64,
}
wire_struct!(PurgeMark { index, through, at_ms });

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before the first entry.
    #[must_use]
    pub fn new() -> Self {
        Self {
            index: 0,
            now_ms: 0,
            feature_level: FIRST_FEATURE_LEVEL,
            cluster: None,
            config: Arc::default(),
            config_version: 0,
            config_changes: OrdMap::new(),
            keyring: OrdMap::new(),
            circle: OrdMap::new(),
            distrusted: OrdMap::new(),
            users: OrdMap::new(),
            groups: OrdMap::new(),
            tokens: Tokens::default(),
            families: Families::default(),
            revocations: Revocations::default(),
            watermarks: Watermarks::default(),
            cascades: OrdMap::new(),
            cascade_step: CASCADE_STEP_ENTRIES_MAX,
            idempotency: OrdMap::new(),
            nodes: OrdMap::new(),
            removed_nodes: OrdMap::new(),
            join_tokens: OrdMap::new(),
            next_master_key: None,
            former_secrets: Arc::default(),
            lost_nodes: OrdMap::new(),
            circle_key: None,
            members: OrdMap::new(),
            followed: OrdMap::new(),
            invites: OrdMap::new(),
            purge_mark: None,
            unseen_until: 0,
            begun: None,
            floor_marks: FloorMarks::default(),
            active: None,
            key_set: Arc::new(KeySet::new()),
        }
    }

    /// The same state, of which one command ends fewer descendants of a revoked token than
    /// [`CASCADE_STEP_ENTRIES_MAX`](crate::limits::CASCADE_STEP_ENTRIES_MAX). For a simulator, whose tokens are too few to
    /// leave anything for a second command otherwise: nodes with different steps come to different states.
    #[must_use]
    pub fn with_cascade_step(self, entries: usize) -> Self {
        Self { cascade_step: entries, ..self }
    }

    /// Recompute what hangs on the keyring and the circle.
    pub(crate) fn keys_changed(&mut self) {
        self.active =
            self.keyring.values().find(|key| key.state == KeyState::Active).map(|key| key.kid.clone());
        let mut set = KeySet::new();
        let Some(cluster) = &self.cluster else { return };
        let own = self.keyring.values().filter(|key| key.state != KeyState::Retired);
        let own = own.map(|key| (&key.kid, key.algorithm, &cluster.service_id, &key.spki_der));
        let others =
            self.circle.values().map(|other| (&other.kid, other.algorithm, &other.issuer, &other.spki_der));
        for (kid, algorithm, issuer, spki) in own.chain(others) {
            // A key that this build cannot read verifies nothing here; the edge has read it before it was proposed.
            if let Ok(key) = PublicKey::from_parts(kid.clone(), algorithm, issuer.clone(), spki) {
                let _ = set.insert(key);
            }
        }
        self.key_set = Arc::new(set);
    }

    pub(crate) fn now_secs(&self) -> u64 {
        self.now_ms / 1_000
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("index", &self.index)
            .field("now_ms", &self.now_ms)
            .field("users", &self.users.len())
            .field("tokens", &self.tokens.len())
            .field("revoked", &self.revocations.len())
            .finish_non_exhaustive()
    }
}
