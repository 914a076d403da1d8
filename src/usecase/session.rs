//! One authenticated request, as the use cases see it.

use std::net::IpAddr;
use std::sync::Arc;

use circlet_authority::{Action, Actor, Outcome, Rights, State};
use circlet_raft::Published;
use circlet_token::UserName;
use serde_json::Value;

use super::failure::{Code, Failure};
use super::{reading, refusal};
use crate::audit::{Audit, Change, Entity, Line, OnFailure, Recorded, Refused};
use crate::authenticate::Caller;
use crate::cluster::Cluster;
use crate::headroom::Headroom;
use crate::metrics::Counts;
use crate::password::Passwords;

/// What a client is told to wait while disk or memory are short, in seconds.
const SHORT_RETRY_SECS: u32 = 5;

/// Who asks, and on what.
pub(crate) struct Session<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) passwords: &'a Passwords,
    pub(crate) audit: &'a Audit,
    pub(crate) headroom: &'a Headroom,
    pub(crate) counts: &'a Counts,
    pub(crate) request_id: &'a str,
    pub(crate) address: IpAddr,
    pub(crate) caller: Caller,
}

/// What the cluster has decided; this node's view holds it.
pub(crate) struct Decided {
    /// The log index of the decision.
    pub(crate) index: u64,
    /// What applying it gave; never a refusal.
    pub(crate) outcome: Outcome,
}

impl Session<'_> {
    /// The view to read from.
    pub(crate) fn published(&self) -> Arc<Published<State>> {
        self.cluster.published()
    }

    /// What the caller may do, by this view.
    pub(crate) fn rights(&self, view: &State) -> Option<Rights> {
        self.caller.rights(view)
    }

    /// Whether the caller is an administrator by this view.
    pub(crate) fn is_admin(&self, view: &State) -> bool {
        self.rights(view).is_some_and(|rights| rights.admin)
    }

    /// The caller as the log knows it; 401 for nobody.
    pub(crate) fn actor(&self) -> Result<Actor, Failure> {
        self.caller.actor().ok_or_else(|| {
            Failure::unauthorized(
                "no_credential",
                "this needs a credential: a bearer token, or a name with a password",
            )
        })
    }

    /// Refuses everyone but administrators. A view may be behind, so it is proved fresh before a refusal counts.
    pub(crate) async fn require_admin(&self, what: &str) -> Result<(), Failure> {
        self.require_admin_or(what, |_| false).await
    }

    /// Refuses everyone but administrators and those for whom `allowed` holds, on this view or on a fresh one.
    pub(crate) async fn require_admin_or(
        &self,
        what: &str,
        allowed: impl Fn(&State) -> bool,
    ) -> Result<(), Failure> {
        self.actor()?;
        let holds = |view: &State| self.is_admin(view) || allowed(view);
        if reading::holding(self.cluster, holds).await?.is_some() {
            return Ok(());
        }
        Err(Failure::new(Code::Forbidden, "admin_required", "Forbidden")
            .with_detail(format!("only an administrator may {what}")))
    }

    /// Whether the caller is the user of this name, and no foreign one.
    pub(crate) fn is_self(&self, view: &State, name: &UserName) -> bool {
        self.rights(view).is_some_and(|rights| !rights.foreign && rights.user.as_ref() == Some(name))
    }

    /// Has the cluster decide for this caller.
    pub(crate) async fn decide(&self, action: Action) -> Result<Decided, Failure> {
        self.decide_as(self.actor()?, action).await
    }

    /// Has the cluster decide for this actor.
    pub(crate) async fn decide_as(&self, actor: Actor, action: Action) -> Result<Decided, Failure> {
        self.admit_write()?;
        self.admit_growth(&action)?;
        let decided =
            self.cluster.decide(actor, action).await.map_err(|error| refusal::unavailable(&error))?;
        match decided.outcome {
            Outcome::Refused(refused) => Err(refusal::failure(&refused)),
            outcome => Ok(Decided { index: decided.index, outcome }),
        }
    }

    /// Refuses what would change something while its audit line can't be written, unless the operator wants it to go
    /// on. Asked before the cluster decides; revoking doesn't ask.
    pub(crate) fn admit_write(&self) -> Result<(), Failure> {
        if self.is_audited() { self.audit.admit_write().map_err(not_audited) } else { Ok(()) }
    }

    /// Refuses what clients ask for without end while disk or memory are short. What is left is for revokes and for what
    /// administrators do, which is never refused for that.
    fn admit_growth(&self, action: &Action) -> Result<(), Failure> {
        let grows =
            matches!(action, Action::IssueToken(_) | Action::RefreshToken(_) | Action::ImportTokens(_));
        let short = |reason, what: &'static str| {
            self.counts.shed(what);
            Err(Failure::unavailable(reason, format!("nothing was changed: this node is short of {what}"))
                .with_detail("it verifies and revokes; ask another node, or again when there is room")
                .retry_after(SHORT_RETRY_SECS))
        };
        match grows {
            true if self.headroom.disk_is_full() => short("disk_full", "disk"),
            true if self.headroom.memory_is_tight() => short("memory_tight", "memory"),
            true => self.admit_unacknowledged(),
            false => Ok(()),
        }
    }

    /// Refuses what nobody could be given: a token is recorded, and must not be handed out.
    fn admit_unacknowledged(&self) -> Result<(), Failure> {
        let Some(why) = self.cluster.lacks_floor() else { return Ok(()) };
        Err(Failure::unavailable(
            "floor_unwritable",
            "nothing was changed: this node's revocation floor can't be written",
        )
        .with_detail(format!("{why}; ask another node"))
        .retry_after(SHORT_RETRY_SECS))
    }

    /// The same for what the log doesn't decide, whose line may wait in memory for a while.
    pub(crate) fn admit_kept(&self) -> Result<(), Failure> {
        if self.is_audited() { self.audit.admit_kept().map_err(not_audited) } else { Ok(()) }
    }

    /// Writes the audit line of something that was decided. An error says that it was, but that its line is not in
    /// the file, which the operator wants no caller to be told as a success.
    pub(crate) fn record(
        &self,
        change: Change,
        entity: Entity,
        entity_name: &str,
        data: Value,
    ) -> Result<(), Failure> {
        match self.write_line(change, entity, entity_name, data) {
            Recorded::Written => Ok(()),
            Recorded::Kept(_) | Recorded::LeftOut if self.audit.on_failure() == OnFailure::Continue => Ok(()),
            Recorded::Kept(_) | Recorded::LeftOut => Err(Failure::unavailable(
                "audit_failed",
                "the request was carried out, but its line in the audit log of this node could not be written",
            )
            .with_detail("look what is there before you ask again, or ask another node")),
        }
    }

    /// Writes an audit line, or has it wait in memory.
    pub(crate) fn write_line(
        &self,
        change: Change,
        entity: Entity,
        entity_name: &str,
        data: Value,
    ) -> Recorded {
        if !self.is_audited() {
            return Recorded::Written;
        }
        self.audit.record(&Line {
            request_id: self.request_id,
            address: Some(self.address),
            user: self.caller.name(),
            principal: self.caller.principal(),
            entity_name,
            change,
            entity,
            data,
        })
    }

    fn is_audited(&self) -> bool {
        self.published().view.config().audit_enabled
    }
}

/// 503: nothing was changed, since it could not be recorded.
fn not_audited(refused: Refused) -> Failure {
    Failure::unavailable(
        "audit_unavailable",
        "nothing was changed: the audit log of this node can't be written",
    )
    .with_detail(format!("{refused}; see to the disk of the node, or ask another node"))
}
