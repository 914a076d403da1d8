//! What the audit log is told of a new token.

use serde_json::json;

use super::Handout;
use crate::audit::{Change, Entity, Recorded};
use crate::usecase::Session;
use crate::usecase::failure::Failure;

/// The line about a new token. That of a plain one may wait in memory, and its bearer is told so.
pub(super) fn created(session: &Session<'_>, handout: &mut Handout) -> Result<(), Failure> {
    let claims = &handout.claims;
    let id = claims.id.map(|id| id.to_string()).unwrap_or_default();
    let mut added = json!({
        "owner": session.caller.principal(),
        "created": (claims.issued_at.saturating_mul(1000)).to_string(),
        "subject": claims.subject.as_str(),
        "scope": claims.scope.as_str(),
        "id": id,
        "type": if claims.subject.user_name().is_some() { "user" } else { "generic" },
    });
    if let Some(expires_at) = claims.expires_at {
        added["expirationTime"] = expires_at.saturating_mul(1000).to_string().into();
    }
    // Of a plain token nothing else remembers by which token it was created.
    if let Some(parent) = session.caller.token_id() {
        added["parent"] = parent.to_string().into();
    }
    let (subject, data) = (claims.subject.as_str().to_owned(), json!({"added": added}));
    if handout.persisted {
        return session.record(Change::Created, Entity::Token, &subject, data);
    }
    match session.write_line(Change::Created, Entity::Token, &subject, data) {
        Recorded::Written => {}
        Recorded::Kept(lines) => {
            let said = format!("the audit log of this node can't be written; {lines} lines wait in memory");
            handout.warning = Some(match handout.warning.take() {
                Some(warning) => format!("{warning}; {said}"),
                None => said,
            });
        }
        Recorded::LeftOut => session.admit_kept()?,
    }
    Ok(())
}
