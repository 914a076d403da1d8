//! Revoking everything of somebody at once: one log entry, however many tokens there are.

use std::sync::Arc;

use circlet_authority::{Action, Outcome, RevokeBefore, State, Whom};
use circlet_raft::Published;
use circlet_token::{KeyId, ServiceId, Subject, UserName};
use serde_json::json;

use super::failure::{Code, Failure};
use super::{Session, keys, reading, refusal};
use crate::audit::{Change, Entity};

/// Whose tokens shall end, as a request names them.
pub(crate) enum Named {
    /// A user of this cluster; a `*` at the end stands for any text.
    User(String),
    /// A whole subject, or the beginning of some before a `*`.
    Subject(String),
    /// The members of a group, and whoever claims it.
    Group(String),
    /// A key by its id, or as `active`.
    Key(String),
    /// Whoever has got a token from this cluster.
    Everyone,
}

/// What shall end.
pub(crate) struct Order {
    pub(crate) named: Named,
    /// Only what was issued at this second or later.
    pub(crate) since: Option<u64>,
    /// Only what was issued at this second or earlier.
    pub(crate) until: Option<u64>,
    /// Only tell what would end.
    pub(crate) dry_run: bool,
}

/// What ended, or would.
pub(crate) struct Ended {
    /// As the log has it.
    pub(crate) revoke: RevokeBefore,
    /// Live recorded tokens that were counted before.
    pub(crate) recorded: u64,
    /// The log index of the decision, if one was taken.
    pub(crate) index: Option<u64>,
}

/// A view with the watermarks, for administrators.
pub(crate) async fn read(session: &Session<'_>) -> Result<Arc<Published<State>>, Failure> {
    session.require_admin("see what was revoked together").await?;
    reading::current(session.cluster).await
}

/// Counts what would end, and ends it unless this is a dry run. Users may end what was issued to themselves.
pub(crate) async fn revoke(session: &Session<'_>, order: Order) -> Result<Ended, Failure> {
    let own = |view: &State| match &order.named {
        Named::User(name) => UserName::parse(name).is_ok_and(|name| session.is_self(view, &name)),
        _ => false,
    };
    session.require_admin_or("revoke everything of others", own).await?;
    let published = reading::fresh(session.cluster).await?;
    let whom = meant(&published.view, &order.named)?;
    let revoke = RevokeBefore { whom, since: order.since, until: order.until };
    let recorded = count(session, published, revoke.clone()).await?;
    if order.dry_run {
        return Ok(Ended { revoke, recorded, index: None });
    }
    let index = decide(session, &revoke).await?;
    let data = json!({"removed": {
        "whom": text(&revoke.whom),
        "since": revoke.since,
        "until": revoke.until,
        "recorded": recorded,
        "index": index,
    }});
    tracing::info!(whom = text(&revoke.whom), recorded, index, "tokens revoked together");
    session.write_line(Change::Deleted, Entity::Token, &text(&revoke.whom), data);
    Ok(Ended { revoke, recorded, index: Some(index) })
}

/// Looks at every token, in the worst case: not on a thread that serves others.
async fn count(
    session: &Session<'_>,
    published: Arc<Published<State>>,
    revoke: RevokeBefore,
) -> Result<u64, Failure> {
    let now = session.cluster.now_at(&published).secs();
    tokio::task::spawn_blocking(move || published.view.would_end(&revoke, now))
        .await
        .map_err(|_| Failure::new(Code::Internal, "internal", "Internal error"))
}

/// Like any revoke, it doesn't wait for an audit log that can't be written.
async fn decide(session: &Session<'_>, revoke: &RevokeBefore) -> Result<u64, Failure> {
    let action = Action::RevokeBefore(revoke.clone());
    let decided = session.cluster.decide(session.actor()?, action).await;
    let decided = decided.map_err(|error| refusal::unavailable(&error))?;
    match decided.outcome {
        Outcome::Refused(refused) => Err(refusal::failure(&refused)),
        _ => Ok(decided.index),
    }
}

fn meant(view: &State, named: &Named) -> Result<Whom, Failure> {
    let bad = |what: &str, text: &str| {
        Failure::bad_request("bad_parameter", format!("Invalid {what} value: '{text}'"))
    };
    let ours = || {
        view.service_id()
            .cloned()
            .ok_or_else(|| Failure::unavailable("not_ready", "this node does not know its cluster yet"))
    };
    match named {
        Named::Everyone => Ok(Whom::Everyone),
        Named::Group(name) => match view.group(name) {
            Some(_) => Ok(Whom::Group(name.clone())),
            None => Err(Failure::not_found(format!("there is no group named '{name}'"))),
        },
        Named::Key(key) => match KeyId::parse(key).ok().filter(|kid| view.trusted(kid).is_some()) {
            Some(theirs) => Ok(Whom::Key(theirs)),
            None => keys::find(view, key).map(|key| Whom::Key(key.kid.clone())),
        },
        Named::User(name) => {
            if let Some(start) = name.strip_suffix('*') {
                return Ok(Whom::Subjects { service: ours()?, start: format!("users/{start}") });
            }
            let user = UserName::parse(name).map_err(|_| bad("user", name))?;
            Ok(Whom::Subject(Subject::user(&ours()?, &user)))
        }
        Named::Subject(subject) => {
            let Some(start) = subject.strip_suffix('*') else {
                return Subject::parse(subject).map(Whom::Subject).map_err(|_| bad("subject", subject));
            };
            let (service, start) = start.split_once('/').ok_or_else(|| bad("subject", subject))?;
            let service = ServiceId::parse(service).map_err(|_| bad("subject", subject))?;
            Ok(Whom::Subjects { service, start: start.to_owned() })
        }
    }
}

/// As a request would name them.
pub(crate) fn text(whom: &Whom) -> String {
    match whom {
        Whom::Subject(subject) => format!("subject {subject}"),
        Whom::Subjects { service, start } => format!("subject {service}/{start}*"),
        Whom::Group(name) => format!("group {name}"),
        Whom::Key(kid) => format!("key {kid}"),
        Whom::Everyone => "everyone".to_owned(),
    }
}
