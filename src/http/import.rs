//! `/circlet/v1/import`: what an older installation lists.

use axum::response::Response;
use circlet_authority::ImportedToken;
use circlet_token::{Scope, Subject, TokenId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::body::Reads;
use super::call::Call;
use crate::usecase::failure::Failure;
use crate::usecase::import;

/// What a list says that does not say what a token may do, as that of the older API.
const SCOPE_UNKNOWN: &str = "api:*";

/// An item of the list of either API (contract sections 1.5 and 1.6); its other keys are passed over.
#[derive(Deserialize)]
struct Listed {
    token_id: String,
    subject: String,
    issued_at: u64,
    expiry: Option<u64>,
    scope: Option<String>,
    description: Option<String>,
}

/// `POST /circlet/v1/import/tokens` with the list as the other installation gave it, or a part of it.
pub(super) async fn tokens(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    let Some(Value::Array(items)) = parameters.value("tokens") else {
        return Err(Failure::bad_request("missing_parameter", "tokens is required, a list"));
    };
    let (mut tokens, mut unreadable) = (Vec::new(), Vec::new());
    for item in items {
        match read(item) {
            Ok(token) => tokens.push(token),
            Err(why) => unreadable.push(json!({"token_id": item["token_id"], "why": why})),
        }
    }
    let (counts, index) = import::tokens(&session, &tokens).await?;
    let body = json!({
        "recorded": counts.recorded,
        "known": counts.known,
        "revoked": counts.revoked,
        "expired": counts.expired,
        "foreign": counts.foreign,
        "unreadable": unreadable,
    });
    Ok(answer::at_index(answer::json(&body), index))
}

fn read(item: &Value) -> Result<ImportedToken, String> {
    let listed = Listed::deserialize(item).map_err(|error| error.to_string())?;
    let scope = listed.scope.as_deref().unwrap_or(SCOPE_UNKNOWN);
    Ok(ImportedToken {
        id: TokenId::parse(&listed.token_id).map_err(|malformed| malformed.to_string())?,
        subject: Subject::parse(&listed.subject).map_err(|malformed| malformed.to_string())?,
        scope: Scope::parse(scope).map_err(|malformed| malformed.to_string())?,
        issued_at: listed.issued_at,
        // Some lists write 0 where a token never expires.
        expires_at: listed.expiry.filter(|at| *at > 0),
        description: listed.description,
    })
}
