//! The access configuration.

use std::sync::Arc;

use super::Applied;
use crate::{
    command::{Actor, SetConfig},
    config::{Config, ConfigChange},
    limits::{CONFIG_CHANGES_MAX, FLOOR_FEATURE_LEVEL},
    outcome::Outcome,
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn set_config(&mut self, actor: &Actor, set: &SetConfig) -> Applied {
        let current = self.config_version;
        if let Some(expected) = set.if_version.filter(|expected| *expected != current) {
            return Err(Refusal::ConfigChanged { expected, current });
        }
        set.config.validate().map_err(|why| Refusal::ConfigInvalid { why: why.to_string() })?;
        self.check_floor(&set.config)?;
        if set.config != *self.config {
            if self.config.revocation_floor_required && !set.config.revocation_floor_required {
                self.floor_marks.required_until = self.index;
            }
            self.keep_unseen_horizon();
            self.keep_plain_horizon();
            self.config_version = current.saturating_add(1);
            self.remember_change(actor, &set.config);
            self.config = Arc::new(set.config.clone());
        }
        Ok(Outcome::Configured { version: self.config_version })
    }

    /// Nodes that don't know of floors would acknowledge what is on none.
    fn check_floor(&self, config: &Config) -> Result<(), Refusal> {
        let level = self.feature_level;
        if config.revocation_floor_required && level < FLOOR_FEATURE_LEVEL {
            let why = format!(
                "revocation-floor.required takes feature level {FLOOR_FEATURE_LEVEL}, and the cluster is at {level} until every \
                 node runs a version that knows it"
            );
            return Err(Refusal::ConfigInvalid { why });
        }
        Ok(())
    }

    fn remember_change(&mut self, actor: &Actor, config: &Config) {
        let rights = self.rights(actor);
        let issuer = rights.principal.issuer.as_ref().filter(|_| rights.foreign);
        let by = issuer.map_or(rights.principal.name.clone(), |issuer| {
            format!("{issuer}/users/{}", rights.principal.name)
        });
        let change = ConfigChange {
            version: self.config_version,
            at_ms: self.now_ms,
            by,
            changes: ConfigChange::between(&self.config, config),
        };
        self.config_changes.insert(change.version, Arc::new(change));
        while self.config_changes.len() > CONFIG_CHANGES_MAX {
            let Some(oldest) = self.config_changes.get_min().map(|(version, _)| *version) else { break };
            self.config_changes.remove(&oldest);
        }
    }
}
