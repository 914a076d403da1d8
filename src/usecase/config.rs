//! The replicated access configuration.

use std::sync::Arc;

use circlet_authority::{Action, Config, ConfigError, Refusal, SetConfig, State};
use circlet_raft::Published;
use serde_json::{Map, Value, json};

use super::failure::{Code, Failure};
use super::{Session, reading};
use crate::audit::{Change, Entity};
use crate::floor::NoFloor;

/// A change of settings that another change overtook is tried again this often.
const ATTEMPTS_MAX: usize = 5;

/// A view with the configuration, for administrators.
pub(crate) async fn read(session: &Session<'_>) -> Result<Arc<Published<State>>, Failure> {
    session.require_admin("read the configuration").await?;
    reading::current(session.cluster).await
}

/// Changes some settings and leaves the others as they are, whatever changes at the same time.
pub(crate) async fn change(
    session: &Session<'_>,
    changes: &[(String, String)],
    if_version: Option<u64>,
) -> Result<(Arc<Published<State>>, u64), Failure> {
    session.require_admin("change the configuration").await?;
    let mut attempt = 1;
    loop {
        let published = reading::fresh(session.cluster).await?;
        let mut config = Config::clone(published.view.config());
        let mut data = Map::new();
        for (name, value) in changes {
            let old = config.get(name).map_err(|error| failure(&error))?;
            config.set(name, value).map_err(|error| failure(&error))?;
            data.insert(name.clone(), json!({"from": old, "to": value}));
        }
        config.validate().map_err(|error| failure(&error))?;
        session.cluster.admit_config(&published.view, &config).map_err(|none| no_floor(&none))?;
        let version = if_version.unwrap_or_else(|| published.view.config_version());
        let action = SetConfig { config, if_version: Some(version) };
        match session.decide(Action::SetConfig(Box::new(action))).await {
            Ok(decided) => {
                session.record(
                    Change::Updated,
                    Entity::Config,
                    "access.config",
                    json!({"changed": Value::Object(data)}),
                )?;
                return Ok((session.published(), decided.index));
            }
            Err(failure)
                if failure.reason() == "config_changed" && if_version.is_none() && attempt < ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn no_floor(none: &NoFloor) -> Failure {
    Failure::new(Code::Conflict, "no_floor", format!("nothing was changed: {none}"))
        .with_detail(NoFloor::REMEDY)
}

/// A configuration error as an answer.
pub(crate) fn failure(error: &ConfigError) -> Failure {
    match error {
        ConfigError::Unknown { .. } => Failure::not_found(error.to_string()),
        ConfigError::Malformed { .. } | ConfigError::Range { .. } => {
            super::refusal::failure(&Refusal::ConfigInvalid { why: error.to_string() })
        }
    }
}
