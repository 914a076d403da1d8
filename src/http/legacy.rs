//! The older API's tokens: `/api/security/token` (contract sections 1.4 and 1.5), forms only.

use axum::response::Response;
use circlet_authority::{Generation, TokenFilter, TokenOrder};
use circlet_token::TokenId;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer;
use super::body::{Parameters, Reads};
use super::call::Call;
use super::paging;
use crate::authenticate::Caller;
use crate::secret::Secret;
use crate::usecase::failure::{Code, Failure};
use crate::usecase::issue::{self, Handout, Order};
use crate::usecase::list::{self, ListOrder};
use crate::usecase::refresh::{self, PAIR_PARAMETERS, RefreshOrder};
use crate::usecase::{Session, revoke};

pub(super) async fn create_or_refresh(call: Call) -> Result<Response, Failure> {
    let parameters = call.parameters(Reads::Form)?;
    match parameters.text("grant_type")? {
        None | Some("client_credentials") => create(&call, &parameters).await,
        Some("refresh_token") => refresh_pair(&call, &parameters).await,
        Some(other) => Err(Failure::new(
            Code::UnsupportedGrantType,
            "unsupported_grant_type",
            format!("Grant type is not supported: {other}"),
        )),
    }
}

async fn create(call: &Call, parameters: &Parameters) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let order = Order {
        generation: Generation::Legacy,
        username: parameters.text("username")?.map(str::to_owned),
        scope: parameters.text("scope")?.map(str::to_owned),
        expires_in: parameters.whole("expires_in")?,
        refreshable: parameters.flag("refreshable")?.unwrap_or(false),
        description: None,
        audience: parameters.text("audience")?.map(str::to_owned),
        reference: false,
        force_revocable: false,
        idempotency_key: call.idempotency_key()?,
    };
    let handout = issue::create(&session, &order).await?;
    Ok(handed_out(&handout))
}

async fn refresh_pair(call: &Call, parameters: &Parameters) -> Result<Response, Failure> {
    let needed = |name: &str, text: &'static str| -> Result<String, Failure> {
        let value = parameters.text(name)?;
        value.map(str::to_owned).ok_or_else(|| Failure::new(Code::InvalidGrant, "missing_parameter", text))
    };
    let refresh_token = needed("refresh_token", "refresh token is required.")?;
    let access_token = needed("access_token", "access token is required.")?;
    let order = RefreshOrder {
        refresh_token,
        access_token: Some(access_token),
        scope: parameters.text("scope")?.map(str::to_owned),
        audience: parameters.text("audience")?.map(str::to_owned),
        lifetime: refresh::expires_in(Generation::Legacy, parameters.whole("expires_in")?)?,
        reference: false,
    };
    let session = refreshing(call, parameters).await?;
    let handout = refresh::refresh(&session, &order).await.map_err(pair_refused)?;
    Ok(handed_out(&handout))
}

/// The pair alone needs nobody; with a new expiry it needs a credential, with anything else an administrator's.
async fn refreshing<'a>(call: &'a Call, parameters: &Parameters) -> Result<Session<'a>, Failure> {
    if parameters.asked().all(|name| PAIR_PARAMETERS.contains(&name)) {
        return Ok(call.session_of(Caller::Anonymous));
    }
    let session = call.known_session().await?;
    if parameters.asked().any(|name| !PAIR_PARAMETERS.contains(&name) && name != "expires_in") {
        session.require_admin("send more than the token pair and expires_in with a refresh").await?;
    }
    Ok(session)
}

/// What the pair is refused for is one text here, whatever the reason (contract section 1.4).
fn pair_refused(failure: Failure) -> Failure {
    let unusable = failure.code() == Code::RefreshUnknown
        || (failure.code() == Code::Unauthorized && failure.is_about_a_token());
    if !unusable {
        return failure;
    }
    let reason = failure.reason().to_owned();
    let detail = failure.detail.clone().unwrap_or_default();
    Failure::new(Code::InvalidGrant, reason, "Invalid access token or refresh token").with_detail(detail)
}

pub(super) async fn list(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    session.require_admin("list all tokens").await.map_err(Failure::before_handler)?;
    let (limit, cursor) = paging::page(&call.query()?)?;
    let order = ListOrder {
        filter: TokenFilter::default(),
        order: TokenOrder::Created,
        descending: false,
        cursor,
        limit,
    };
    let listed = list::list(&session, order).await?;
    let view = &listed.view.view;
    let issuer = view.service_id().map(circlet_token::ServiceId::as_str).unwrap_or_default();
    let tokens: Vec<Value> = listed
        .tokens
        .iter()
        .map(|record| {
            let mut item = json!({
                "token_id": record.id.to_string(),
                "issuer": issuer,
                "subject": record.subject.as_str(),
                "issued_at": record.issued_at,
                "refreshable": view.is_refreshable(record),
            });
            if let (Some(expiry), Some(object)) = (record.expires_at, item.as_object_mut()) {
                object.insert("expiry".to_owned(), expiry.into());
            }
            item
        })
        .collect();
    // The body has exactly the contract's keys, so a header says that there is more (section 1.5).
    let response = answer::json(&json!({ "tokens": tokens }));
    Ok(match &listed.next {
        Some(next) => paging::with_more(response, tokens.len(), next),
        None => response,
    })
}

pub(super) async fn revoke(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    session
        .require_admin("revoke tokens here; use DELETE /access/api/v1/tokens/{id} for your own")
        .await
        .map_err(Failure::before_handler)?;
    let parameters = call.parameters(Reads::Form)?;
    if let Some(hint) = parameters.text("token_type_hint")?
        && !matches!(hint, "access_token" | "refresh_token")
    {
        return Err(Failure::bad_request("bad_hint", format!("Token type is not supported: {hint}")));
    }
    let cascade = parameters.flag("cascade")?.unwrap_or(false);
    let ended = match (parameters.text("token")?, parameters.text("token_id")?) {
        (Some(_), Some(_)) => {
            return Err(Failure::bad_request("both_given", "token and token_id are mutually exclusive"));
        }
        (None, None) => return Err(Failure::bad_request("none_given", "token or token_id are required")),
        (Some(token), None) => revoke::by_value(&session, token, cascade).await?,
        (None, Some(id)) => match TokenId::parse(id) {
            Ok(id) => revoke::by_id(&session, id, None, cascade).await?,
            Err(_) => None,
        },
    };
    Ok(match ended {
        Some(ended) if !ended.already => answer::with_warning(
            answer::at_index(answer::text("Token revoked"), ended.index),
            ended.note.as_deref(),
        ),
        Some(ended) => answer::at_index(answer::text("Token not found"), ended.index),
        None => answer::text("Token not found"),
    })
}

/// Exactly the keys that the contract names, and no others (section 1.4).
#[derive(Serialize)]
struct TokenAnswer<'a> {
    scope: &'a str,
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

fn handed_out(handout: &Handout) -> Response {
    let body = TokenAnswer {
        scope: handout.claims.scope.as_str(),
        access_token: &handout.access_token,
        expires_in: handout.lifetime.secs(),
        token_type: "Bearer",
        refresh_token: handout.refresh_token.as_ref().and_then(Secret::expose_text),
    };
    let response = answer::with_warning(answer::json(&body), handout.warning.as_deref());
    match handout.index {
        Some(index) => answer::at_index(response, index),
        None => response,
    }
}
