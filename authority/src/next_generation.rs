//! What outlives a cluster: the part of a state that a backup holds, and the state with which a restored or recovered
//! cluster begins its next generation.
//!
//! Nobody can tell what was revoked between a backup and the end of the cluster, or what only the lost nodes knew. So no
//! token of before lives on: every signing key retires for ever, all refresh and join tokens are void, and whatever was
//! issued before is refused. Users, groups, the circle of trust and the configuration live on. What becomes of access tokens
//! where a floor tells all that was revoked is said in [`on_floor`].

mod on_floor;

use std::{collections::BTreeSet, sync::Arc};

use circlet_token::{KeyId, ServiceId};
use imbl::OrdMap;

use crate::{
    codec::{DecodeError, Input, Wire},
    command::{ClusterCa, NewKey, Whom},
    floor::FloorMarks,
    judge::Facts,
    limits::GENERATION_ENTRIES,
    record::{Key, KeyState, Node, NodeRecord, NodeRole, Sealed, Watermark},
    state::{Cluster, State},
};

/// What the next generation of a cluster begins with; all of it is new.
#[derive(Debug, Clone)]
pub struct NextGeneration {
    /// What the cluster is called: as before, or differently while the one before still lives.
    pub service_id: ServiceId,
    /// The time of whoever restores, milliseconds since the epoch.
    pub now_ms: u64,
    /// The key that signs.
    pub key: NewKey,
    /// The authority behind the nodes' TLS certificates.
    pub cluster_ca: ClusterCa,
    /// The key of refresh tokens' MACs, sealed.
    pub refresh_secret: Sealed,
    /// SHA-256 of the master key under which all this is sealed.
    pub master_key_fingerprint: [u8; 32],
    /// The first node; its id is given.
    pub founder: NodeRecord,
}

/// Why a state has no such next generation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoNextGeneration {
    /// There was no cluster.
    #[error("the state is that of a cluster which was never founded")]
    NotFounded,
    /// The new name is somebody else's.
    #[error("{issuer} is a trusted issuer here; a cluster can't be called like another one")]
    IssuerTaken {
        /// Whose it is.
        issuer: ServiceId,
    },
    /// The new key is known.
    #[error("key {kid} is not new; a generation begins with a key that has signed nothing")]
    KeyKnown {
        /// Which.
        kid: KeyId,
    },
    /// It would be another cluster, and tokens of before are this one's.
    #[error("earlier tokens are those of {before}: they can't live on in a cluster that is called {named}")]
    CalledDifferently {
        /// The cluster of before.
        before: ServiceId,
        /// What it should be called.
        named: ServiceId,
    },
    /// Whoever could act has been removed or disabled since.
    #[error(
        "by the floor every administrator that is known as of log entry {index} was removed or disabled later, and of those \
         who came since nothing but the name is left: nobody would administer the cluster"
    )]
    NobodyAdministers {
        /// What the state is of.
        index: u64,
    },
}

/// Where the present generation began; before the first restore there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Its first log index: every index of an earlier generation is lower.
    pub(crate) index: u64,
    /// Its first second.
    pub(crate) second: u64,
    /// Our own tokens from this log index on live on, since nothing that was said about them is lost.
    pub(crate) own_since: Option<u64>,
}

impl Wire for Begun {
    fn put(&self, out: &mut Vec<u8>) {
        (self.index, self.second).put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let (index, second) = <(u64, u64)>::take(input)?;
        Ok(Self { index, second, own_since: None })
    }
}

/// The same with all that it says.
pub(crate) struct BegunOnFloor(pub(crate) Begun);

impl Wire for BegunOnFloor {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.0.own_since.put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let begun = Begun::take(input)?;
        let own_since = <Option<u64> as Wire>::take(input)?;
        Ok(Self(Begun { own_since, ..begun }))
    }
}

impl Begun {
    /// Whether a token comes from before, and is refused for that. Its index tells if it is ours; the time tells of later
    /// generations than the one that was restored, and of what others have issued: what was said about those may be lost as
    /// well.
    pub(crate) fn refuses(self, facts: &Facts<'_>, own: bool) -> bool {
        match self.own_since {
            _ if !own => facts.issued_at <= self.second,
            None => facts.issued_at < self.second || facts.index.is_some_and(|index| index < self.index),
            // A node of before that goes on after the end has heard of nothing since.
            Some(since) => facts
                .index
                .is_some_and(|index| index < since || (index < self.index && facts.issued_at > self.second)),
        }
    }
}

impl State {
    /// What a backup holds: all that outlives the cluster, and no secret of it. A state of its own, though no cluster
    /// could live with it.
    #[must_use]
    pub fn archived(&self) -> Self {
        // Every field is named, so that a new one is thought of here.
        let Self {
            index,
            now_ms,
            feature_level,
            cluster,
            config,
            config_version,
            config_changes,
            keyring,
            circle,
            distrusted,
            users,
            groups,
            tokens: _,
            families: _,
            revocations: _,
            watermarks: _,
            cascades: _,
            cascade_step: _,
            idempotency: _,
            nodes,
            removed_nodes,
            join_tokens: _,
            // The next generation's secrets are all new, whoever knows those of before.
            next_master_key: _,
            former_secrets: _,
            lost_nodes: _,
            // Our circle key is a secret, and what its feed told is lost: whoever followed us pairs anew.
            circle_key: _,
            members,
            // What they revoked is asked for again, and whatever they issued before is refused.
            followed: _,
            invites: _,
            purge_mark: _,
            unseen_until: _,
            begun,
            floor_marks,
            active: _,
            key_set: _,
        } = self.clone();
        let open = |key: &Arc<Key>| Arc::new(Key { private_key: None, ..key.as_ref().clone() });
        let mut archived = Self {
            index,
            now_ms,
            feature_level,
            cluster: cluster.map(|cluster| Arc::new(without_secrets(&cluster))),
            config,
            config_version,
            config_changes,
            keyring: keyring.iter().map(|(kid, key)| (kid.clone(), open(key))).collect(),
            circle,
            distrusted,
            users,
            groups,
            nodes,
            removed_nodes,
            members: members.iter().map(|(key, member)| (key.clone(), Arc::new(member.anew()))).collect(),
            begun,
            floor_marks,
            ..Self::new()
        };
        archived.keys_changed();
        archived
    }

    /// The state with which the next generation begins: of this one, or of what is archived of it. Its log goes on far
    /// beyond where this one can have come by now.
    ///
    /// # Errors
    /// There was no cluster, or the new name or key is taken.
    pub fn next_generation(&self, next: &NextGeneration) -> Result<Self, NoNextGeneration> {
        let before = self.cluster.as_ref().ok_or(NoNextGeneration::NotFounded)?;
        let other = self.circle.values().find(|other| other.issuer.same_service(&next.service_id));
        if let Some(other) = other {
            return Err(NoNextGeneration::IssuerTaken { issuer: other.issuer.clone() });
        }
        let known = self.keyring.values().map(|key| (&key.kid, &key.spki_der));
        let known = known.chain(self.circle.values().map(|other| (&other.kid, &other.spki_der)));
        if known.into_iter().any(|(kid, spki)| *kid == next.key.kid || *spki == next.key.spki_der) {
            return Err(NoNextGeneration::KeyKnown { kid: next.key.kid.clone() });
        }
        let mut state = self.archived();
        let generations = self.index.checked_div(GENERATION_ENTRIES).unwrap_or(0).saturating_add(1);
        state.index = generations.saturating_mul(GENERATION_ENTRIES);
        state.now_ms = self.now_ms.max(next.now_ms);
        let second = state.now_secs();
        state.begun = Some(Begun { index: state.index, second, own_since: None });
        // What carries no index is told by its second.
        state.refuse_abroad(state.index, second.saturating_sub(1), 0);
        // They speak of a log that has ended.
        state.floor_marks = FloorMarks::default();
        state.cluster = Some(Arc::new(Cluster {
            service_id: next.service_id.clone(),
            // The second tells generations apart that begin from the same backup.
            generation: before.generation.saturating_add(1).max(second),
            ca: next.cluster_ca.clone(),
            refresh_secret: next.refresh_secret.clone(),
            master_key_fingerprint: next.master_key_fingerprint,
        }));
        state.retire_all(before.service_id.same_service(&next.service_id));
        state.keyring.insert(next.key.kid.clone(), Arc::new(state.first_key(&next.key)));
        state.nodes = OrdMap::unit(state.index, Arc::new(state.first_node(&next.founder)));
        state.keys_changed();
        Ok(state)
    }

    /// What this generation refuses of those before, as a watermark: a member of the circle may have been told keys that
    /// only the lost nodes knew, and goes on trusting them. It is kept for ever, since nobody knows how long their tokens live.
    fn refuse_abroad(&mut self, index: u64, set_at: u64, since: u64) {
        let mark = Watermark { index, set_at, since, until: u64::MAX, plain_until: u64::MAX };
        self.watermarks.set(&Whom::Everyone, mark);
    }

    /// The keys of before are remembered, so that none of them comes back; under another name they are another cluster's.
    fn retire_all(&mut self, remembered: bool) {
        let retired = |key: &Arc<Key>| Arc::new(Key { state: KeyState::Retired, ..key.as_ref().clone() });
        let kept = self.keyring.iter().filter(|_| remembered);
        self.keyring = kept.map(|(kid, key)| (kid.clone(), retired(key))).collect();
    }

    fn first_key(&self, key: &NewKey) -> Key {
        Key {
            kid: key.kid.clone(),
            algorithm: key.algorithm,
            certificate_der: key.certificate_der.clone(),
            spki_der: key.spki_der.clone(),
            private_key: Some(key.private_key.clone()),
            origin: key.origin,
            state: KeyState::Active,
            since_index: self.index,
            since_ms: self.now_ms,
            overlap_secs: 0,
            confirmed: BTreeSet::new(),
            plain_until: 0,
            told_at: 0,
        }
    }

    fn first_node(&self, founder: &NodeRecord) -> Node {
        let record = NodeRecord { id: self.index, ..founder.clone() };
        // Whoever has read the state supports its level; what else it supports it will say.
        let supports = self.feature_level;
        Node { record, role: NodeRole::Voter, admitted_at_ms: self.now_ms, votes: true, supports }
    }

    /// Whether a key ended with an earlier generation.
    pub(crate) fn ended_before(&self, key: &Key) -> bool {
        key.state == KeyState::Retired && self.begun.is_some_and(|begun| key.since_index < begun.index)
    }
}

fn without_secrets(cluster: &Cluster) -> Cluster {
    let under = cluster.master_key_fingerprint;
    let nothing = || Sealed { under, nonce: [0; 24], ciphertext: Vec::new() };
    Cluster {
        ca: ClusterCa { certificate_der: cluster.ca.certificate_der.clone(), private_key: nothing() },
        refresh_secret: nothing(),
        ..cluster.clone()
    }
}
