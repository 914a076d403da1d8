//! The one way in: a total, deterministic function from a state and a command to an outcome.
//!
//! Nothing here reads a clock, draws a number, or parses what a library version could read differently. Time is the
//! largest stamp so far. Each transition has a file of its own and either changes the state and says so, or refuses and
//! changes nothing.

mod bootstrap;
mod cascade;
mod certificates;
mod circle;
mod circle_key;
mod feature_level;
mod groups;
mod import;
mod issue;
mod keys;
mod lost;
mod master_key;
mod nodes;
mod purge;
mod refresh;
mod revoke;
mod revoke_before;
mod settings;
mod told_keys;
mod trust;
mod usage;
mod users;

use crate::{
    command::{Action, Command, Stamp},
    outcome::Outcome,
    refusal::Refusal,
    state::State,
};

/// What a transition returns; a refusal becomes an outcome.
type Applied = Result<Outcome, Refusal>;

impl State {
    /// Apply one log entry. Total: whatever the command says, the answer is an outcome.
    pub fn apply(&mut self, index: u64, stamp: Stamp, command: &Command) -> Outcome {
        self.index = index;
        self.now_ms = self.now_ms.max(stamp.now_ms);
        let outcome = self.transition(command).unwrap_or_else(Outcome::from);
        #[cfg(debug_assertions)]
        self.assert_invariants(command);
        outcome
    }

    fn transition(&mut self, command: &Command) -> Applied {
        let actor = &command.actor;
        self.authorize(actor, &command.action)?;
        match &command.action {
            Action::Bootstrap(action) => self.bootstrap(action),
            Action::IssueToken(action) => self.issue_token(actor, action),
            Action::RefreshToken(action) => self.refresh_token(action),
            Action::RevokeToken(action) => self.revoke_token(actor, action),
            Action::RevokeBefore(action) => self.revoke_before(action),
            Action::PutUser(action) => self.put_user(action),
            Action::DeleteUser(action) => self.delete_user(action),
            Action::PutGroup(action) => self.put_group(action),
            Action::DeleteGroup(action) => self.delete_group(action),
            Action::SetConfig(action) => self.set_config(actor, action),
            Action::TrustIssuer(action) => self.trust_issuer(action),
            Action::DistrustIssuer(action) => Ok(self.distrust_issuer(action)),
            Action::MintJoinToken(action) => self.mint_join_token(action),
            Action::AdmitNode(action) => self.admit_node(action),
            Action::AdmitByKey(action) => self.admit_by_key(action),
            Action::ReplaceCa(action) => self.replace_ca(action),
            Action::TurnMasterKey(action) => self.turn_master_key(action),
            Action::DeclareLost(action) => self.declare_lost(action),
            Action::ReplaceSecrets(action) => self.replace_secrets(action),
            Action::FeatureLevel(action) => self.change_feature_level(*action),
            Action::Purge(action) => self.purge(action),
            Action::RotateKey(action) => self.rotate_key(action),
            Action::NoteUse(action) => Ok(self.note_use(action)),
            Action::ImportTokens(action) => self.import_tokens(action),
            Action::LimitIssuer(action) => self.limit_issuer(action),
            Action::SetCircleKey(action) => self.set_circle_key(action),
            Action::ApproveMember(action) => self.approve_member(action),
            Action::DismissMember(action) => Ok(self.dismiss_member(action)),
            Action::InviteMember(action) => self.invite_member(action),
            Action::FollowFeed(action) => self.follow_feed(action),
            Action::NoteTaken(action) => self.note_taken(action),
            Action::ReplaceCircleKey(action) => self.replace_circle_key(action),
            Action::RevokeForMember(action) => self.revoke_for_member(actor, action),
        }
    }

    /// Checks the invariants in debug builds, while the state is small: long tests must not become quadratic.
    #[cfg(debug_assertions)]
    fn assert_invariants(&self, command: &Command) {
        let sizes = [self.tokens.len(), self.families.len(), self.revocations.len(), self.users.len()];
        if sizes.iter().all(|size| *size <= 16) {
            let violations = crate::invariant::check(self);
            assert!(violations.is_empty(), "after {command:?}: {violations:?}");
        }
    }
}

/// Refuse when `found` things are already there and one more is asked for.
fn below_limit(found: usize, limit: &str, max: i64) -> Result<(), Refusal> {
    let max = crate::config::unsigned(max);
    if u64::try_from(found).unwrap_or(u64::MAX) < max {
        return Ok(());
    }
    Err(Refusal::LimitReached { limit: limit.to_owned(), max })
}
