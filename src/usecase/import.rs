//! Live tokens of the installation whose heir the cluster is.

use circlet_authority::limits::IMPORT_ENTRIES_MAX;
use circlet_authority::{Action, ImportTokens, Imported, ImportedToken, KeyOrigin, KeyState, Outcome, State};
use circlet_token::KeyId;
use serde_json::json;

use super::failure::{Code, Failure};
use super::{Session, reading};
use crate::audit::{Change, Entity};

/// Records tokens of the list that the other installation gave, a bounded number with each decision. Those that a repeat
/// finds recorded stay as they are.
pub(crate) async fn tokens(
    session: &Session<'_>,
    tokens: &[ImportedToken],
) -> Result<(Imported, u64), Failure> {
    session.require_admin("import tokens").await?;
    let published = reading::holding(session.cluster, |view| adopted(view).is_some()).await?;
    let kid = published.and_then(|published| adopted(&published.view)).ok_or_else(|| {
        Failure::new(Code::Conflict, "no_adopted_key", "no key of another installation was adopted here")
            .with_detail("found the cluster as its heir: circlet init --service-id ID --key FILE --cert FILE")
    })?;
    let (mut sum, mut index) = (Imported::default(), 0);
    for chunk in tokens.chunks(IMPORT_ENTRIES_MAX) {
        let action = ImportTokens { kid: kid.clone(), tokens: chunk.to_vec() };
        let decided = session.decide(Action::ImportTokens(Box::new(action))).await?;
        let Outcome::Imported(part) = decided.outcome else {
            return Err(Failure::new(Code::Internal, "internal", "Internal error"));
        };
        sum = Imported {
            recorded: sum.recorded + part.recorded,
            known: sum.known + part.known,
            revoked: sum.revoked + part.revoked,
            expired: sum.expired + part.expired,
            foreign: sum.foreign + part.foreign,
        };
        index = decided.index;
    }
    let added = json!({"recorded": sum.recorded, "known": sum.known, "leftOut": sum.revoked + sum.expired + sum.foreign});
    session.record(Change::Created, Entity::Token, kid.as_str(), json!({"imported": added}))?;
    Ok((sum, index))
}

/// The key that the tokens of before were signed with: the first that was adopted and still verifies.
fn adopted(view: &State) -> Option<KeyId> {
    let verifies = |state| !matches!(state, KeyState::Retired | KeyState::Tainted);
    let keys = view.keyring().filter(|key| key.origin == KeyOrigin::Adopted && verifies(key.state));
    keys.min_by_key(|key| key.since_index).map(|key| key.kid.clone())
}
