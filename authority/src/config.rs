//! The access configuration: replicated, versioned, changed without a restart.
//!
//! One table names every setting with its unit, default and meaning; the file, the command line and the log all go through
//! it. Numbers in the log, like tags, are never given a second meaning.

mod history;
mod settings;

use crate::codec::{DecodeError, Input, Wire};

pub use history::ConfigChange;
pub use settings::{Setting, Unit};

/// All settings. Durations are seconds unless the name ends in `_ms`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch of the operator")]
#[expect(missing_docs, reason = "each field is documented by its row in `Config::settings`")]
pub struct Config {
    pub default_expiry: i64,
    pub legacy_default_expiry: i64,
    pub max_expiry: i64,
    pub minimum_revocable_expiry: i64,
    pub non_admin_max_duration: i64,
    pub allow_refreshable: bool,
    pub refresh_expiry: i64,
    pub refresh_replay_window: i64,
    pub revoke_family_on_reuse: bool,
    pub allow_basic_auth: bool,
    pub last_used_interval: i64,
    pub persistent_expiry_threshold: i64,
    pub revocable_expiry_threshold: i64,
    pub clock_leeway: i64,
    pub max_staleness_ms: i64,
    pub stale_wait_ms: i64,
    pub freshness_interval_ms: i64,
    pub verify_max_isolation: i64,
    pub issue_max_isolation: i64,
    pub purge_margin: i64,
    pub join_token_expiry: i64,
    pub join_allow_key: bool,
    pub audit_enabled: bool,
    pub bootstrap_token_delete_minutes: i64,
    pub certificate_lifetime: i64,
    pub ca_lifetime: i64,
    pub users_max: i64,
    pub groups_max: i64,
    pub recorded_tokens_max: i64,
    pub recorded_tokens_per_owner_max: i64,
    pub trusted_issuers_max: i64,
    pub scope_bytes_max: i64,
    pub audience_bytes_max: i64,
    pub audience_entries_max: i64,
    pub description_bytes_max: i64,
    pub join_tokens_max: i64,
    pub nodes_max: i64,
    pub text_bytes_max: i64,
    pub keys_max: i64,
    pub key_overlap: i64,
    pub key_rotation_interval: i64,
    pub circle_max_staleness_ms: i64,
    pub circle_max_isolation: i64,
    pub circle_feed_entries_max: i64,
    pub circle_invite_expiry: i64,
    pub circle_key_wait: i64,
    pub circle_forward_revoke: bool,
    pub circle_head_valid_for_ms: i64,
    pub revocation_floor_required: bool,
}

/// Why a configuration, or a change of one setting, is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such setting.
    #[error("there is no setting {name}; the nearest is {nearest}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The known name that differs least.
        nearest: &'static str,
    },
    /// The text is not of the setting's kind.
    #[error("{name} is {value:?}, which is not {expected}")]
    Malformed {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The value is outside what the setting allows.
    #[error("{name} is {value}; it must be {allowed}")]
    Range {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: i64,
        /// What is allowed.
        allowed: String,
    },
}

impl Config {
    /// Every setting, in the order of the documentation.
    #[must_use]
    pub fn settings() -> &'static [Setting] {
        settings::TABLE
    }

    /// The value of a setting by its dotted name, as text.
    ///
    /// # Errors
    /// No setting has that name; the error names the nearest one.
    pub fn get(&self, name: &str) -> Result<String, ConfigError> {
        let setting = settings::find(name)?;
        Ok(setting.text(setting.read(self)))
    }

    /// Change a setting by its dotted name. The whole configuration is checked by [`Config::validate`], not here.
    ///
    /// # Errors
    /// No setting has that name, or the text is not of its kind.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let setting = settings::find(name)?;
        let number = setting.parse(value)?;
        setting.write(self, number);
        Ok(())
    }

    /// Whether every value, and the values together, make sense.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for setting in settings::TABLE {
            let (value, least) = (setting.read(self), setting.least);
            if value < least {
                return Err(ConfigError::Range {
                    name: setting.name,
                    value,
                    allowed: format!("at least {least}"),
                });
            }
            if value > settings::VALUE_MAX {
                let allowed = format!("at most {}", settings::VALUE_MAX);
                return Err(ConfigError::Range { name: setting.name, value, allowed });
            }
        }
        self.validate_together()
    }

    fn validate_together(&self) -> Result<(), ConfigError> {
        let range = |name, value, allowed| Err(ConfigError::Range { name, value, allowed });
        let capped =
            self.max_expiry > 0 && (self.default_expiry == 0 || self.default_expiry > self.max_expiry);
        if capped {
            let allowed =
                format!("0 (unlimited), or at least token.default-expiry, which is {}", self.default_expiry);
            return range("token.max-expiry", self.max_expiry, allowed);
        }
        let least_ms = self.freshness_interval_ms.saturating_add(settings::FOUR_ELECTION_TIMEOUTS_MS);
        if self.max_staleness_ms < least_ms {
            let allowed =
                format!("at least {least_ms} ms: four election timeouts plus freshness.interval-ms");
            return range("verify.max-staleness-ms", self.max_staleness_ms, allowed);
        }
        Ok(())
    }
}

/// A duration or limit as an unsigned number; what [`Config::validate`] let through is never negative here.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Default for Config {
    fn default() -> Self {
        let mut config = settings::BLANK;
        for setting in settings::TABLE {
            setting.write(&mut config, setting.default);
        }
        config
    }
}

/// Pairs of number and value, so that a later version can add a setting without a new layout.
impl Wire for Config {
    fn put(&self, out: &mut Vec<u8>) {
        let written = settings::TABLE
            .iter()
            .filter(|setting| setting.is_of_first_level() || setting.read(self) != setting.default);
        let pairs: Vec<(u32, i64)> = written.map(|setting| (setting.number, setting.read(self))).collect();
        pairs.put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let mut config = Self::default();
        for (number, value) in Vec::<(u32, i64)>::take(input)? {
            let setting = settings::TABLE.iter().find(|setting| setting.number == number);
            let unknown = DecodeError::UnknownTag { what: "Config", tag: u64::from(number) };
            setting.ok_or(unknown)?.write(&mut config, value);
        }
        Ok(config)
    }
}
