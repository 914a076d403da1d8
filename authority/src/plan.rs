//! Which class a token is of (contract section 1.10).

use circlet_token::{Lifetime, Scope};

use crate::{
    command::IssueToken,
    config::{Config, unsigned},
    record::Generation,
    state::State,
};

/// Whether issuing a token needs the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenClass {
    /// Any node signs it alone; nothing is remembered.
    Plain,
    /// One log entry; it can be listed, fetched and refreshed.
    Recorded,
}

/// What a token will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Whether it goes through the log.
    pub class: TokenClass,
    /// Whether it can be ended before it expires; decided at issue and carried in the token.
    pub revocable: bool,
}

/// What decides the class.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent wish of the client")]
pub struct IssueRequest<'a> {
    /// Which interface asks.
    pub generation: Generation,
    /// How long it shall live.
    pub lifetime: Lifetime,
    /// What it shall do.
    pub scope: &'a Scope,
    /// Whether a refresh token comes with it.
    pub refreshable: bool,
    /// Whether a reference token comes with it.
    pub reference: bool,
    /// Whether it shall be revocable whatever its lifetime.
    pub force_revocable: bool,
    /// Whether the request carries an `Idempotency-Key`.
    pub idempotent: bool,
}

impl<'a> IssueRequest<'a> {
    /// What decides the class of the token that a command asks for.
    #[must_use]
    pub fn of(issue: &'a IssueToken) -> Self {
        Self {
            generation: issue.generation,
            lifetime: issue.lifetime,
            scope: &issue.scope,
            refreshable: issue.family.is_some(),
            reference: issue.reference.is_some(),
            force_revocable: issue.force_revocable,
            idempotent: issue.idempotency.is_some(),
        }
    }
}

impl State {
    /// Which class a token is of under the present configuration.
    #[must_use]
    pub fn plan_issue(&self, request: &IssueRequest<'_>) -> Plan {
        let admin = self.service_id().is_some_and(|own| request.scope.is_admin(own));
        let recorded = request.refreshable
            || request.reference
            || request.force_revocable
            || request.idempotent
            || admin
            || reaches(request.lifetime, self.config.persistent_expiry_threshold, true);
        let revocable =
            request.force_revocable || revocable(&self.config, request.generation, request.lifetime);
        Plan { class: if recorded { TokenClass::Recorded } else { TokenClass::Plain }, revocable }
    }

    /// The longest that a token can live which is revocable though nothing recorded it; 0 if there are no such tokens.
    pub(crate) fn longest_unseen(config: &Config) -> u64 {
        let longest = config.persistent_expiry_threshold.saturating_sub(1);
        if longest <= 0 {
            return 0;
        }
        let life = Lifetime::from_secs(unsigned(longest));
        let some = [Generation::Legacy, Generation::Access].iter().any(|one| revocable(config, *one, life));
        if some { unsigned(longest) } else { 0 }
    }
}

/// Whether a lifetime alone makes a token revocable.
fn revocable(config: &Config, generation: Generation, lifetime: Lifetime) -> bool {
    match generation {
        Generation::Legacy => reaches(lifetime, config.minimum_revocable_expiry, false),
        Generation::Access => reaches(lifetime, config.revocable_expiry_threshold, false),
    }
}

/// Whether a lifetime is at or above a threshold. For ever is above all; a negative threshold is below everything or above
/// everything that expires, as `if_negative` says.
pub(crate) fn reaches(lifetime: Lifetime, threshold: i64, if_negative: bool) -> bool {
    match (lifetime.secs(), u64::try_from(threshold)) {
        (None, _) => true,
        (Some(_), Err(_)) => if_negative,
        (Some(life), Ok(threshold)) => life >= threshold,
    }
}
