//! The access configuration.

use std::sync::Arc;

use super::Applied;
use crate::{command::SetConfig, outcome::Outcome, refusal::Refusal, state::State};

impl State {
    pub(super) fn set_config(&mut self, set: &SetConfig) -> Applied {
        let current = self.config_version;
        if let Some(expected) = set.if_version.filter(|expected| *expected != current) {
            return Err(Refusal::ConfigChanged { expected, current });
        }
        set.config.validate().map_err(|why| Refusal::ConfigInvalid { why: why.to_string() })?;
        if set.config != *self.config {
            self.keep_unseen_horizon();
            self.keep_plain_horizon();
            self.config = Arc::new(set.config.clone());
            self.config_version = current.saturating_add(1);
        }
        Ok(Outcome::Configured { version: self.config_version })
    }
}
