//! The table of settings.

use super::{Config, ConfigError};
use crate::limits;

/// What a setting's number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Minutes.
    Minutes,
    /// `true` or `false`.
    Flag,
    /// Things.
    Count,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The word used in documentation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Minutes => "min",
            Self::Flag => "true or false",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }
}

/// One setting: its name, unit, default and meaning.
#[derive(Debug)]
pub struct Setting {
    /// The dotted name.
    pub name: &'static str,
    /// What its number counts.
    pub unit: Unit,
    /// The default, a flag as 0 or 1.
    pub default: i64,
    /// The smallest value allowed.
    pub least: i64,
    /// One line of documentation.
    pub doc: &'static str,
    /// The number that stands for it in the log.
    pub(super) number: u32,
    read: fn(&Config) -> i64,
    write: fn(&mut Config, i64),
}

impl Setting {
    pub(super) fn read(&self, config: &Config) -> i64 {
        (self.read)(config)
    }

    /// Whether a cluster of the first feature level may read it. One that came later is written only where it differs from
    /// the default, which apply allows from its level on.
    pub(super) fn is_of_first_level(&self) -> bool {
        self.number != REVOCATION_FLOOR_REQUIRED
    }

    pub(super) fn write(&self, config: &mut Config, value: i64) {
        (self.write)(config, value);
    }

    /// A value of this setting as text.
    #[must_use]
    pub fn text(&self, value: i64) -> String {
        match self.unit {
            Unit::Flag => (value != 0).to_string(),
            _ => value.to_string(),
        }
    }

    /// The default as text.
    #[must_use]
    pub fn default_text(&self) -> String {
        self.text(self.default)
    }

    /// What a value may be.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self.unit {
            Unit::Flag => "true or false".to_owned(),
            _ => format!("{} to {VALUE_MAX}", self.least),
        }
    }

    pub(super) fn parse(&self, text: &str) -> Result<i64, ConfigError> {
        let text = text.trim();
        let malformed =
            |expected| ConfigError::Malformed { name: self.name, value: text.to_owned(), expected };
        match self.unit {
            Unit::Flag => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(1),
                "false" => Ok(0),
                _ => Err(malformed("true or false")),
            },
            _ => text.parse().map_err(|_| malformed("a whole number")),
        }
    }
}

/// From [`limits::FLOOR_FEATURE_LEVEL`] on.
const REVOCATION_FLOOR_REQUIRED: u32 = 80;
/// Larger numbers are taken for mistakes: 10,000 years in seconds.
pub(super) const VALUE_MAX: i64 = 315_360_000_000;
/// A candidate waits out a lease and its own timeout; the longest timeout by default is 400 ms.
pub(super) const FOUR_ELECTION_TIMEOUTS_MS: i64 = 4 * 400;

/// The setting of that name, also under the shorter names that the guide uses.
pub(super) fn find(name: &str) -> Result<&'static Setting, ConfigError> {
    let full = match name {
        "minimum-revocable-expiry" => "token.minimum-revocable-expiry",
        "token.persistent-expiry-threshold" => "token.persistency.persistent-expiry-threshold",
        "token.revocable-expiry-threshold" => "token.persistency.revocable-expiry-threshold",
        other => other,
    };
    TABLE.iter().find(|setting| setting.name == full).ok_or_else(|| ConfigError::Unknown {
        name: name.to_owned(),
        nearest: TABLE
            .iter()
            .map(|setting| setting.name)
            .min_by_key(|known| distance(known, name))
            .unwrap_or_default(),
    })
}

/// Levenshtein's distance, row by row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(200).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal.saturating_add(usize::from(x != *y));
            diagonal = *cell;
            *cell = replaced.min(diagonal.saturating_add(1)).min(left.saturating_add(1));
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}

macro_rules! number {
    ($number:literal, $field:ident, $name:literal, $unit:ident, $default:expr, $least:literal, $doc:literal) => {
        Setting {
            name: $name,
            unit: Unit::$unit,
            default: $default,
            least: $least,
            doc: $doc,
            number: $number,
            read: |config| config.$field,
            write: |config, value| config.$field = value,
        }
    };
}

macro_rules! flag {
    ($number:literal, $field:ident, $name:literal, $default:literal, $doc:literal) => {
        Setting {
            name: $name,
            unit: Unit::Flag,
            default: $default,
            least: 0,
            doc: $doc,
            number: $number,
            read: |config| i64::from(config.$field),
            write: |config, value| config.$field = value != 0,
        }
    };
}

#[rustfmt::skip]
pub(super) static TABLE: &[Setting] = &[
    number!(1, default_expiry, "token.default-expiry", Seconds, 31_536_000, 0, "Lifetime of a token of the Access interface when none is asked for; 0: for ever"),
    number!(2, legacy_default_expiry, "token.legacy-default-expiry", Seconds, 3_600, 0, "Lifetime of a token of the older interface when none is asked for; 0: for ever"),
    number!(3, max_expiry, "token.max-expiry", Seconds, 0, 0, "Longest lifetime that a user may ask for on the Access interface; 0: unlimited; at least token.default-expiry"),
    number!(4, minimum_revocable_expiry, "token.minimum-revocable-expiry", Seconds, -1, -1, "Tokens of the older interface that live at least this long are revocable; -1: none that expires is"),
    number!(5, non_admin_max_duration, "token.non-admin-max-duration", Seconds, 3_600, 0, "Longest lifetime that a user may ask for on the older interface; 0: unlimited"),
    flag!(6, allow_refreshable, "token.allow-refreshable", 1, "Whether users may have refreshable tokens; administrators always may"),
    number!(7, refresh_expiry, "token.refresh-expiry", Seconds, 86_400, 0, "How long after its expiry a refreshable token can still be refreshed"),
    number!(8, refresh_replay_window, "token.refresh-replay-window", Seconds, 60, 0, "How long the same refresh, or a create with the same Idempotency-Key, gives the same answer again"),
    flag!(9, revoke_family_on_reuse, "token.revoke-family-on-reuse", 0, "Whether using a refresh token twice revokes all that came from it"),
    flag!(10, allow_basic_auth, "token.allow-basic-auth", 1, "Whether user name and password are accepted on the Access interface"),
    number!(40, last_used_interval, "token.last-used-interval", Seconds, 900, 0, "How often a node tells the cluster which recorded tokens were used; 0: never"),
    number!(11, persistent_expiry_threshold, "token.persistency.persistent-expiry-threshold", Seconds, 10_800, -1, "Tokens that live at least this long are recorded; -1: all are"),
    number!(12, revocable_expiry_threshold, "token.persistency.revocable-expiry-threshold", Seconds, 21_600, 0, "Tokens of the Access interface that live at least this long are revocable"),
    number!(13, clock_leeway, "verify.clock-leeway", Seconds, 60, 0, "How far ahead of our clock a token may say that it was issued"),
    number!(14, max_staleness_ms, "verify.max-staleness-ms", Milliseconds, 2_000, 1, "How old a node's view may be, at most, when it accepts a revocable token"),
    number!(15, stale_wait_ms, "verify.stale-wait-ms", Milliseconds, 500, 0, "How long a stale node waits for proof of freshness before it answers 503"),
    number!(16, freshness_interval_ms, "freshness.interval-ms", Milliseconds, 250, 10, "How often a node proves its freshness"),
    number!(17, verify_max_isolation, "verify.max-isolation", Seconds, 900, 1, "How long a cut-off node verifies tokens that need no freshness"),
    number!(18, issue_max_isolation, "issue.max-isolation", Seconds, 900, 1, "How long a cut-off node issues plain tokens"),
    number!(19, purge_margin, "purge.margin", Seconds, 3_600, 0, "How long what has expired is kept before it is removed"),
    number!(20, join_token_expiry, "join.token-expiry", Seconds, 86_400, 1, "How long a join token can be used"),
    flag!(21, join_allow_key, "join.allow-key", 1, "Whether a join.key placed beforehand lets a node join"),
    flag!(22, audit_enabled, "security.audit.enabled", 1, "Whether the audit log is written"),
    number!(41, bootstrap_token_delete_minutes, "security.bootstrap-token-delete-in-minutes", Minutes, 1, 1, "How long etc/keys/token.json stays, which generate.token.json asked for"),
    number!(42, certificate_lifetime, "certificates.lifetime", Seconds, 31_536_000, 10, "How long the nodes' certificates for peers and clients are valid; they renew by themselves when a third of it is left"),
    number!(43, ca_lifetime, "certificates.ca-lifetime", Seconds, 315_360_000, 10, "How long the certificate of the cluster's CA is valid; it renews by itself when a third of it is left"),
    number!(23, users_max, "limits.users-max", Count, limits::USERS_MAX, 1, "Users"),
    number!(24, groups_max, "limits.groups-max", Count, limits::GROUPS_MAX, 0, "Groups"),
    number!(25, recorded_tokens_max, "limits.recorded-tokens-max", Count, limits::RECORDED_TOKENS_MAX, 1, "Recorded tokens in all"),
    number!(26, recorded_tokens_per_owner_max, "limits.recorded-tokens-per-owner-max", Count, limits::RECORDED_TOKENS_PER_OWNER_MAX, 1, "Recorded tokens that one user created"),
    number!(27, trusted_issuers_max, "limits.trusted-issuers-max", Count, limits::TRUSTED_ISSUERS_MAX, 0, "Trusted certificates"),
    number!(28, scope_bytes_max, "limits.scope-bytes-max", Bytes, limits::SCOPE_BYTES_MAX, 1, "Text of a scope"),
    number!(29, audience_bytes_max, "limits.audience-bytes-max", Bytes, limits::AUDIENCE_BYTES_MAX, 1, "Text of an audience"),
    number!(30, audience_entries_max, "limits.audience-entries-max", Count, limits::AUDIENCE_ENTRIES_MAX, 1, "Entries of an audience"),
    number!(31, description_bytes_max, "limits.description-bytes-max", Bytes, limits::DESCRIPTION_BYTES_MAX, 0, "Text of a description"),
    number!(32, join_tokens_max, "limits.join-tokens-max", Count, limits::JOIN_TOKENS_MAX, 1, "Join tokens that can be redeemed"),
    number!(33, nodes_max, "limits.nodes-max", Count, limits::NODES_MAX, 1, "Nodes, admitted ones included"),
    number!(34, text_bytes_max, "limits.text-bytes-max", Bytes, limits::TEXT_BYTES_MAX, 1, "Any other text: names, addresses"),
    number!(60, keys_max, "limits.keys-max", Count, limits::KEYS_MAX, 1, "Signing keys, retired ones included"),
    number!(61, key_overlap, "key.overlap", Seconds, 0, 0, "How long a new signing key is shown at least before it signs, so that other clusters can be given its certificate"),
    number!(62, key_rotation_interval, "key.rotation-interval", Seconds, 0, 0, "How old the signing key gets before the cluster replaces it by a new one; 0: never by itself"),
    number!(70, circle_max_staleness_ms, "circle.max-staleness-ms", Milliseconds, 10_000, 2_000, "How old what is known of another cluster's revocations may be, at most, when a revocable token of it is accepted"),
    number!(71, circle_max_isolation, "circle.max-isolation", Seconds, 86_400, 60, "How long the other tokens of a cluster whose revocations are followed are accepted without a word of it"),
    number!(72, circle_feed_entries_max, "circle.feed-entries-max", Count, 1_000_000, 0, "Revocations of one other cluster that are kept; if it has more, its revocable tokens count as revoked"),
    number!(73, circle_invite_expiry, "circle.invite-expiry", Seconds, 900, 1, "How long an invitation into the circle can be used"),
    number!(74, circle_key_wait, "circle.key-wait", Seconds, 86_400, 0, "How long a new signing key waits for members of the circle that have not said that they have it; later it signs without them"),
    flag!(75, circle_forward_revoke, "circle.forward-revoke", 0, "Whether administrators may have tokens of a paired cluster revoked here: the issuer is asked, and decides"),
    flag!(80, revocation_floor_required, "revocation-floor.required", 0, "Whether no node acknowledges what is not on its own revocation floor (revocation-floor.dir of each node), so that a restore with the floors lets earlier tokens live on"),
    number!(79, circle_head_valid_for_ms, "circle.head-valid-for-ms", Milliseconds, 60_000, 1_000, "How long those who verify offline may go by a signed head of the revocation feed"),
];

/// Overwritten field by field with the defaults of the table.
pub(super) const BLANK: Config = Config {
    default_expiry: 0,
    legacy_default_expiry: 0,
    max_expiry: 0,
    minimum_revocable_expiry: 0,
    non_admin_max_duration: 0,
    allow_refreshable: false,
    refresh_expiry: 0,
    refresh_replay_window: 0,
    revoke_family_on_reuse: false,
    allow_basic_auth: false,
    last_used_interval: 0,
    persistent_expiry_threshold: 0,
    revocable_expiry_threshold: 0,
    clock_leeway: 0,
    max_staleness_ms: 0,
    stale_wait_ms: 0,
    freshness_interval_ms: 0,
    verify_max_isolation: 0,
    issue_max_isolation: 0,
    purge_margin: 0,
    join_token_expiry: 0,
    join_allow_key: false,
    audit_enabled: false,
    bootstrap_token_delete_minutes: 0,
    certificate_lifetime: 0,
    ca_lifetime: 0,
    users_max: 0,
    groups_max: 0,
    recorded_tokens_max: 0,
    recorded_tokens_per_owner_max: 0,
    trusted_issuers_max: 0,
    scope_bytes_max: 0,
    audience_bytes_max: 0,
    audience_entries_max: 0,
    description_bytes_max: 0,
    join_tokens_max: 0,
    nodes_max: 0,
    text_bytes_max: 0,
    keys_max: 0,
    key_overlap: 0,
    key_rotation_interval: 0,
    circle_max_staleness_ms: 0,
    circle_max_isolation: 0,
    circle_feed_entries_max: 0,
    circle_invite_expiry: 0,
    circle_key_wait: 0,
    circle_forward_revoke: false,
    circle_head_valid_for_ms: 0,
    revocation_floor_required: false,
};
