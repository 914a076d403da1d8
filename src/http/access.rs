//! The Access API's tokens: `/access/api/v1/tokens` (contract section 1.6).

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use circlet_authority::{Generation, State, TokenFilter, TokenOrder, TokenRecord};
use circlet_token::{Claims, ExpiryRule, Parsed, ServiceId, TokenId};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer;
use super::body::{Parameters, Reads};
use super::call::Call;
use super::paging;
use crate::authenticate::Caller;
use crate::authenticate::credential::Credential;
use crate::authenticate::tokens::Rules;
use crate::secret::Secret;
use crate::usecase::failure::{Code, Failure};
use crate::usecase::issue::{self, Handout, Order};
use crate::usecase::list::{self, Found, ListOrder};
use crate::usecase::refresh::{self, PAIR_PARAMETERS, RefreshOrder};
use crate::usecase::revoke::{self, Ended};
use crate::usecase::{Session, config, users};

pub(super) async fn create_or_refresh(call: Call) -> Result<Response, Failure> {
    let parameters = call.parameters(Reads::FormOrJson)?;
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
        generation: Generation::Access,
        username: parameters.text("username")?.map(str::to_owned),
        scope: parameters.text("scope")?.map(str::to_owned),
        expires_in: parameters.whole("expires_in")?,
        refreshable: parameters.flag("refreshable")?.unwrap_or(false),
        description: parameters.text("description")?.map(str::to_owned),
        audience: parameters.text("audience")?.map(str::to_owned),
        reference: parameters.flag("include_reference_token")?.unwrap_or(false),
        force_revocable: parameters.flag("force_revocable")?.unwrap_or(false),
        idempotency_key: call.idempotency_key()?,
    };
    let handout = issue::create(&session, &order).await?;
    Ok(handed_out(&handout))
}

async fn refresh_pair(call: &Call, parameters: &Parameters) -> Result<Response, Failure> {
    let refresh_token = parameters.text("refresh_token")?.ok_or_else(|| {
        Failure::bad_request("missing_parameter", "refresh_token is required for grant_type=refresh_token")
    })?;
    let mut order = RefreshOrder {
        refresh_token: refresh_token.to_owned(),
        access_token: parameters.text("access_token")?.map(str::to_owned),
        scope: parameters.text("scope")?.map(str::to_owned),
        audience: parameters.text("audience")?.map(str::to_owned),
        lifetime: refresh::expires_in(Generation::Access, parameters.whole("expires_in")?)?,
        reference: parameters.flag("include_reference_token")?.unwrap_or(false),
    };
    let session = refreshing(call, &mut order).await?;
    // What of the token shall differ is for the cluster to allow; the rest changes nothing and is no user's to send.
    let judged = |name: &str| matches!(name, "expires_in" | "scope" | "audience");
    if parameters.asked().any(|name| !PAIR_PARAMETERS.contains(&name) && !judged(name)) {
        session.require_admin("send more than the token pair with a refresh").await?;
    }
    let handout = refresh::refresh(&session, &order).await?;
    Ok(handed_out(&handout))
}

/// Who refreshes: the pair, where the bearer token is its access token (expired or not) or where both are in the
/// body; otherwise whoever authenticates.
async fn refreshing<'a>(call: &'a Call, order: &mut RefreshOrder) -> Result<Session<'a>, Failure> {
    let nobody = call.session_of(Caller::Anonymous);
    let mut of_the_pair = false;
    if let Ok(Credential::Bearer(bearer)) = Credential::read(&call.headers) {
        let named = order.access_token.as_deref() == Some(bearer);
        let id = Parsed::parse(bearer).ok().and_then(|parsed| parsed.claims().id);
        let alone = match id {
            Some(id) if order.access_token.is_none() => {
                refresh::belong_together(&nobody, &order.refresh_token, &id).await?
            }
            _ => false,
        };
        of_the_pair = named || alone;
        if of_the_pair {
            order.access_token = Some(bearer.to_owned());
            if order.is_pair() {
                return Ok(nobody);
            }
        }
        if order.access_token.is_none() {
            // The bearer may be the pair's access token and expired: then say that the pair doesn't fit, below.
            let rules = Rules { expiry: ExpiryRule::Enforce, ..Rules::HERE };
            return match call.judged_by(rules).await {
                Ok(caller) => Ok(call.session_of(caller)),
                Err(failure) if failure.reason() == "expired" || failure.reason() == "revoked" => {
                    order.access_token = Some(bearer.to_owned());
                    Ok(nobody)
                }
                Err(failure) => Err(failure),
            };
        }
        if order.is_pair() {
            // Another token beside a whole pair: the pair is enough, and an old bearer must not spoil it.
            return Ok(nobody);
        }
    }
    let session = match call.session().await {
        // Rotated out by the refresh that this one may repeat; the log knows.
        Err(failure) if of_the_pair && failure.reason() == "revoked" => return Ok(nobody),
        session => session?,
    };
    if matches!(session.caller, Caller::Anonymous) && !order.is_pair() {
        session.actor()?;
    }
    Ok(session)
}

pub(super) async fn list(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let query = call.query()?;
    let order = list_order(&query)?;
    let listed = list::list(&session, order).await?;
    let view = &listed.view.view;
    let tokens: Vec<Value> = listed.tokens.iter().map(|record| record_json(record, view)).collect();
    let mut body = json!({ "tokens": tokens });
    let Some(next) = &listed.next else { return Ok(answer::json(&body)) };
    insert_present(&mut body, [("cursor", Some(paging::text(next).into()))]);
    Ok(paging::with_more(answer::json(&body), listed.tokens.len(), next))
}

fn list_order(query: &Parameters) -> Result<ListOrder, Failure> {
    let bad = |text: String| Failure::bad_request("bad_parameter", text);
    let user = query.text("username")?.map(users::user_name).transpose()?;
    let id = match query.text("token_id")? {
        Some(text) => Some(TokenId::parse(text).map_err(|malformed| bad(malformed.to_string()))?),
        None => None,
    };
    let order = match query.text("order_by")? {
        None | Some("created") => TokenOrder::Created,
        Some("token_id") => TokenOrder::Id,
        Some("owner") => TokenOrder::Owner,
        Some("subject") => TokenOrder::Subject,
        Some("expiry") => TokenOrder::Expiry,
        Some(other) => {
            return Err(bad(format!(
                "Invalid order_by value: {other} (created, token_id, owner, subject or expiry expected)"
            )));
        }
    };
    let (limit, cursor) = paging::page(query)?;
    let parent = match query.text("parent")? {
        Some(text) => Some(TokenId::parse(text).map_err(|malformed| bad(malformed.to_string()))?),
        None => None,
    };
    let description = query.text("description")?.map(str::to_owned);
    let filter = TokenFilter {
        user,
        id,
        parent,
        description,
        refreshable: query.flag("refreshable")?,
        ..TokenFilter::default()
    };
    Ok(ListOrder {
        filter,
        order,
        descending: query.flag("descending_order")?.unwrap_or(false),
        cursor,
        limit,
    })
}

pub(super) async fn show(Path(id): Path<String>, call: Call) -> Result<Response, Failure> {
    let found = if id == "me" {
        let session = call.session_under(Rules::ABOUT_ITSELF).await?;
        list::me(&session).await?
    } else {
        let session = call.known_session().await?;
        list::find(&session, token_id(&id)?).await?
    };
    Ok(answer::json(&match found {
        Found::Recorded(published, record) => record_json(&record, &published.view),
        Found::Presented(claims) => claims_json(&claims),
    }))
}

pub(super) async fn revoke_by_id(Path(id): Path<String>, call: Call) -> Result<Response, Failure> {
    let (session, id) = if id == "me" {
        let session = call.session_under(Rules::ABOUT_ITSELF).await?;
        session.actor()?;
        let Caller::Token(bearer) = &session.caller else {
            return Err(Failure::bad_request(
                "no_token",
                "'me' stands for the token that the request is made with",
            ));
        };
        let id =
            bearer.verified.claims.id.ok_or_else(|| Failure::not_found("the token has no id of ours"))?;
        (session, id)
    } else {
        let session = call.known_session().await?;
        (session, token_id(&id)?)
    };
    let query = call.query()?;
    let cascade = query.flag("cascade")?.unwrap_or(false);
    let ended = revoke::by_id(&session, id, query.text("issuer")?, cascade)
        .await?
        .ok_or_else(|| list::unknown(&id))?;
    Ok(revoked(&ended, json!({"token_id": id.to_string(), "revoked": true})))
}

pub(super) async fn revoke_by_value(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::FormOrJson)?;
    let token = parameters
        .text("token")?
        .ok_or_else(|| Failure::bad_request("missing_parameter", "token is required"))?;
    let cascade = parameters.flag("cascade")?.unwrap_or(false);
    let ended = revoke::by_value(&session, token, cascade).await?.ok_or_else(|| {
        Failure::not_found("Token not found")
            .with_detail("it was not issued here, has expired, or is altered")
    })?;
    let id = ended.ids.first().map(ToString::to_string);
    // Two spellings are documented for the one answer (contract section 1.6).
    Ok(revoked(&ended, json!({"revoked-token-id": id, "revoked_token_id": id})))
}

/// The answer to a revoke: 204 if there was nothing left to end (contract section 1.6).
fn revoked(ended: &Ended, mut body: Value) -> Response {
    if ended.already {
        return answer::at_index(answer::empty(StatusCode::NO_CONTENT), ended.index);
    }
    let descendants = ended.descendants.map(|found| json!({"ended": found.ended, "living": found.living}));
    insert_present(&mut body, [("note", Some(ended.note.clone().into())), ("descendants", descendants)]);
    answer::at_index(answer::json(&body), ended.index)
}

pub(super) async fn default_expiry(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let secs = session.published().view.config().default_expiry;
    Ok(answer::json(&json!({"default_token_expiration": secs, "default_expiry": secs})))
}

pub(super) async fn change_default_expiry(call: Call) -> Result<Response, Failure> {
    let session = call.session().await?;
    // One client sends a form under a JSON content type (contract section 1.6).
    let parameters = match call.parameters(Reads::FormOrJson) {
        Ok(parameters) => parameters,
        Err(failure) => Parameters::read_form(&call.body).map_err(|_| failure)?,
    };
    let secs = match parameters.whole("default_token_expiration")? {
        Some(secs) => Some(secs),
        None => parameters.whole("default_expiry")?,
    };
    let secs = secs
        .ok_or_else(|| Failure::bad_request("missing_parameter", "default_token_expiration is required"))?;
    let changes = [("token.default-expiry".to_owned(), secs.to_string())];
    let (_, index) = config::change(&session, &changes, None).await?;
    let body = json!({"default_token_expiration": secs, "default_expiry": secs});
    Ok(answer::at_index(answer::json(&body), index))
}

fn token_id(text: &str) -> Result<TokenId, Failure> {
    TokenId::parse(text).map_err(|malformed| Failure::bad_request("bad_token_id", malformed.to_string()))
}

/// The answer to a create or a refresh (contract section 1.6), with what this server adds.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    scope: &'a str,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    persisted: bool,
    revocable: bool,
}

fn handed_out(handout: &Handout) -> Response {
    let claims = &handout.claims;
    let body = TokenAnswer {
        token_id: claims.id.map(|id| id.to_string()),
        access_token: &handout.access_token,
        refresh_token: handout.refresh_token.as_ref().and_then(Secret::expose_text),
        reference_token: handout.reference_token.as_ref().and_then(Secret::expose_text),
        expires_in: handout.lifetime.secs(),
        scope: claims.scope.as_str(),
        token_type: "Bearer",
        description: handout.description.as_deref(),
        persisted: handout.persisted,
        revocable: claims.revocable == Some(true),
    };
    let response = answer::with_warning(answer::json(&body), handout.warning.as_deref());
    match handout.index {
        Some(index) => answer::at_index(response, index),
        None => response,
    }
}

fn record_json(record: &TokenRecord, view: &State) -> Value {
    let mut item = json!({
        "token_id": record.id.to_string(),
        "subject": record.subject.as_str(),
        "issued_at": record.issued_at,
        "issuer": view.service_id().map(ServiceId::as_str).unwrap_or_default(),
        "scope": record.scope.as_str(),
        "audience": record.audience.as_str(),
        "refreshable": view.is_refreshable(record),
        "revocable": record.revocable,
        "persisted": true,
    });
    let optional = [
        ("expiry", record.expires_at.map(Value::from)),
        ("description", record.description.as_deref().map(Value::from)),
        ("owner", record.owner.as_ref().map(|owner| owner.as_str().into())),
        ("parent", record.parent.map(|parent| parent.to_string().into())),
        ("last_used", view.last_used(&record.id).map(Value::from)),
        ("username", record.subject.user_name().map(Value::from)),
    ];
    insert_present(&mut item, optional);
    item
}

fn claims_json(claims: &Claims) -> Value {
    let mut item = json!({
        "subject": claims.subject.as_str(),
        "issued_at": claims.issued_at,
        "issuer": claims.issuer.as_str(),
        "scope": claims.scope.as_str(),
        "audience": claims.audience.as_str(),
        "refreshable": false,
        "revocable": claims.revocable == Some(true),
        "persisted": false,
    });
    let optional = [
        ("token_id", claims.id.map(|id| id.to_string().into())),
        ("expiry", claims.expires_at.map(Value::from)),
        ("username", claims.subject.user_name().map(Value::from)),
    ];
    insert_present(&mut item, optional);
    item
}

fn insert_present<const N: usize>(item: &mut Value, optional: [(&str, Option<Value>); N]) {
    if let Some(object) = item.as_object_mut() {
        for (key, value) in optional {
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        }
    }
}
