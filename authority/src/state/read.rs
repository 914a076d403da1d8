//! Reading a view.

use std::sync::Arc;

use circlet_token::{Algorithm, KeyId, KeySet, ServiceId, TokenId, UserName};

use super::State;
use crate::{
    command::Whom,
    config::{Config, ConfigChange},
    record::{
        Family, FamilyId, Group, JoinToken, Key, Node, RemovedNode, Sealed, SealedKind, TokenRecord,
        TrustedIssuer, User, Watermark,
    },
};

impl State {
    /// The log index of the last entry that this state has seen.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The largest stamp so far, milliseconds. A node's time is the larger of this and its wall clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The feature level: what is written follows it, and every node of the cluster can read it.
    #[must_use]
    pub fn feature_level(&self) -> u32 {
        self.feature_level
    }

    /// The highest level that every node supports, as far as they have said; `None` while no node is known.
    #[must_use]
    pub fn supported_by_all(&self) -> Option<u32> {
        self.nodes.values().map(|node| node.supports).min()
    }

    /// What the cluster is called; `None` before its first entry.
    #[must_use]
    pub fn service_id(&self) -> Option<&ServiceId> {
        self.cluster.as_ref().map(|cluster| &cluster.service_id)
    }

    /// Higher after each restore or recovery; 0 before the first entry.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.cluster.as_ref().map_or(0, |cluster| cluster.generation)
    }

    /// SHA-256 of the master key that opens this cluster's sealed secrets.
    #[must_use]
    pub fn master_key_fingerprint(&self) -> Option<[u8; 32]> {
        self.cluster.as_ref().map(|cluster| cluster.master_key_fingerprint)
    }

    /// The certificate of the authority behind the nodes' TLS certificates, DER.
    #[must_use]
    pub fn cluster_ca_certificate(&self) -> Option<&[u8]> {
        self.cluster.as_ref().map(|cluster| cluster.ca.certificate_der.as_slice())
    }

    /// A sealed secret.
    #[must_use]
    pub fn sealed(&self, which: &SealedKind) -> Option<&Sealed> {
        match which {
            SealedKind::TokenKey(kid) => self.keyring.get(kid).and_then(|key| key.private_key.as_ref()),
            SealedKind::ClusterCa => self.cluster.as_ref().map(|cluster| &cluster.ca.private_key),
            SealedKind::RefreshSecret => self.cluster.as_ref().map(|cluster| &cluster.refresh_secret),
            SealedKind::CircleKey => self.circle_key.as_ref().map(|key| &key.private_key),
        }
    }

    /// The access configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Counts the changes of the configuration.
    #[must_use]
    pub fn config_version(&self) -> u64 {
        self.config_version
    }

    /// The last changes of the configuration, oldest first.
    #[must_use]
    pub fn config_changes(&self) -> impl DoubleEndedIterator<Item = &Arc<ConfigChange>> {
        self.config_changes.values()
    }

    /// The cluster's signing keys, ordered by id.
    pub fn keyring(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keyring.values()
    }

    /// One of the cluster's signing keys.
    #[must_use]
    pub fn key(&self, kid: &KeyId) -> Option<&Arc<Key>> {
        self.keyring.get(kid)
    }

    /// The key that signs.
    #[must_use]
    pub fn active_key(&self) -> Option<&Arc<Key>> {
        self.keyring.get(self.active.as_ref()?)
    }

    /// What the active key signs with.
    #[must_use]
    pub fn active_algorithm(&self) -> Option<Algorithm> {
        self.active_key().map(|key| key.algorithm)
    }

    /// The keys that verify here: the cluster's own and the circle's. The same allocation until they change.
    #[must_use]
    pub fn key_set(&self) -> &Arc<KeySet> {
        &self.key_set
    }

    /// The trusted issuers' certificates, ordered by id.
    pub fn circle(&self) -> impl Iterator<Item = &Arc<TrustedIssuer>> {
        self.circle.values()
    }

    /// One trusted certificate.
    #[must_use]
    pub fn trusted(&self, kid: &KeyId) -> Option<&Arc<TrustedIssuer>> {
        self.circle.get(kid)
    }

    /// The log index at which a certificate was last distrusted, if it was and is not trusted again.
    #[must_use]
    pub fn distrusted_at(&self, kid: &KeyId) -> Option<u64> {
        self.distrusted.get(kid).copied()
    }

    /// Users, ordered by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// One user.
    #[must_use]
    pub fn user(&self, name: &UserName) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// Groups, ordered by name.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// One group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// The names of a group's members, in order. Looks at every user.
    pub fn members<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a UserName> {
        self.users.values().filter(move |user| user.groups.contains(group)).map(|user| &user.name)
    }

    /// A recorded token. Revoked ones are not recorded any more.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<&Arc<TokenRecord>> {
        self.tokens.get(id)
    }

    /// When a recorded token was last used, in seconds and as far as the nodes have told: see `token.last-used-interval`.
    #[must_use]
    pub fn last_used(&self, id: &TokenId) -> Option<u64> {
        self.tokens.last_used(id)
    }

    /// How many tokens are recorded.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// How many revoked ids are listed.
    #[must_use]
    pub fn revoked_count(&self) -> usize {
        self.revocations.len()
    }

    /// How many ids are refused of which nothing else is known.
    #[must_use]
    pub fn unseen_count(&self) -> usize {
        self.revocations.unseen_len()
    }

    /// Whether a revoke has left descendants to end: the same revoke proposed again goes on with them, and so does the next
    /// purge.
    #[must_use]
    pub fn has_cascades(&self) -> bool {
        !self.cascades.is_empty()
    }

    /// What was revoked together, and is refused. Those of one target do not overlap.
    pub fn watermarks(&self) -> impl Iterator<Item = (Whom, Watermark)> {
        self.watermarks.iter()
    }

    /// Whether an id is known to have been revoked, as far back as this is remembered.
    #[must_use]
    pub fn was_revoked(&self, id: &TokenId) -> bool {
        self.revocations.lately(id).is_some() || self.revocations.unseen_until(id).is_some()
    }

    /// Whether a token can be refreshed: its family is alive, it is the latest of it, and its refresh token can still be told
    /// from a forged one.
    #[must_use]
    pub fn is_refreshable(&self, record: &TokenRecord) -> bool {
        record.index >= self.former_secrets.refresh_since && self.is_latest(record)
    }

    /// Whether a token is the latest of a family that lives.
    pub(crate) fn is_latest(&self, record: &TokenRecord) -> bool {
        let family = record.family.and_then(|(family, _)| self.families.get(&family));
        family.is_some_and(|family| family.ended_at.is_none() && family.current == record.id)
    }

    /// A family of refreshable tokens.
    #[must_use]
    pub fn family(&self, id: &FamilyId) -> Option<&Arc<Family>> {
        self.families.get(id)
    }

    /// The token behind the SHA-256 of a reference token.
    #[must_use]
    pub fn reference(&self, hash: &[u8; 32]) -> Option<TokenId> {
        self.tokens.by_reference(hash)
    }

    /// Nodes, ordered by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// A node that was removed, if it is remembered: the last thousand are.
    #[must_use]
    pub fn removed_node(&self, id: u64) -> Option<&Arc<RemovedNode>> {
        self.removed_nodes.get(&id)
    }

    /// One node.
    #[must_use]
    pub fn node(&self, id: u64) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// A join token by the SHA-256 of its secret.
    #[must_use]
    pub fn join_token(&self, hash: &[u8; 32]) -> Option<&Arc<JoinToken>> {
        self.join_tokens.get(hash)
    }
}
