//! The first entry of a cluster.

use std::sync::Arc;

use super::Applied;
use crate::{
    command::Bootstrap,
    config::ConfigError,
    outcome::Outcome,
    record::{INTERNAL_REALM, Key, KeyState, Node, NodeRole, User, UserStatus},
    refusal::Refusal,
    state::{Cluster, State},
};

impl State {
    pub(super) fn bootstrap(&mut self, first: &Bootstrap) -> Applied {
        if let Some(cluster) = &self.cluster {
            // The retry of an entry whose fate was unknown.
            let same = cluster.service_id == first.service_id && self.keyring.contains_key(&first.kid);
            let service_id = cluster.service_id.clone();
            return if same { Ok(Outcome::Done) } else { Err(Refusal::AlreadyBootstrapped { service_id }) };
        }
        first
            .config
            .validate()
            .map_err(|why: ConfigError| Refusal::ConfigInvalid { why: why.to_string() })?;
        self.cluster = Some(Arc::new(Cluster {
            service_id: first.service_id.clone(),
            generation: first.generation,
            ca: first.cluster_ca.clone(),
            refresh_secret: first.refresh_secret.clone(),
            master_key_fingerprint: first.master_key_fingerprint,
        }));
        self.config = Arc::new(first.config.clone());
        self.config_version = 1;
        let key = Key {
            kid: first.kid.clone(),
            algorithm: first.algorithm,
            certificate_der: first.certificate_der.clone(),
            spki_der: first.spki_der.clone(),
            private_key: Some(first.private_key.clone()),
            origin: first.origin,
            state: KeyState::Active,
            since_index: self.index,
            since_ms: self.now_ms,
            overlap_secs: 0,
            confirmed: std::collections::BTreeSet::new(),
            plain_until: 0,
            told_at: 0,
        };
        self.keyring.insert(first.kid.clone(), Arc::new(key));
        self.users.insert(first.administrator.name.clone(), Arc::new(self.first_administrator(first)));
        self.feature_level = first.feature_level;
        self.nodes.insert(first.founder.id, Arc::new(self.first_node_of(first)));
        self.keys_changed();
        Ok(Outcome::Done)
    }

    fn first_node_of(&self, first: &Bootstrap) -> Node {
        let supports = first.feature_level;
        // The membership entry may have come first; what it says of the founder stays.
        match self.nodes.get(&first.founder.id) {
            Some(member) => Node { supports, ..member.as_ref().clone() },
            None => Node {
                record: first.founder.clone(),
                role: NodeRole::Admitted,
                admitted_at_ms: self.now_ms,
                votes: true,
                supports,
            },
        }
    }

    fn first_administrator(&self, first: &Bootstrap) -> User {
        User {
            name: first.administrator.name.clone(),
            email: first.administrator.email.clone(),
            password_hash: Some(first.administrator.password_hash.clone()),
            admin: true,
            groups: std::collections::BTreeSet::new(),
            status: UserStatus::Enabled,
            realm: INTERNAL_REALM.to_owned(),
            profile_updatable: true,
            internal_password_disabled: false,
            disable_ui_access: false,
            created_index: self.index,
        }
    }
}
