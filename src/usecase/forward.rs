//! Revoking a token of another cluster: only its issuer decides, so the issuer is asked, and its verdict is the answer.
//!
//! The member vouches for an administrator of its own; the issuer judges by the limits that it set for that member. What
//! is asked and what is answered are signed with the circle keys. An answer that isn't signed so says nothing, and an order
//! whose fate is unknown is answered with 503.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Actor, Descendants, Member, Progress, Refusal, RevokeForMember, State};
use circlet_token::{Parsed, ServiceId, TokenId, verify_signature};
use serde_json::{Value, json};

use super::failure::{Code, Failure};
use super::revoke::Ended;
use super::{Session, reading, refusal};
use crate::audit::{Change, Entity};
use crate::circle::ask;
use crate::circle::forward::{BY_BYTES_MAX, Order, RANDOM_BYTES, challenge};
use crate::circle::orders::{self, Hosts, Judged, Unjudged};
use crate::seal::{hex, hex_decode};

/// How long all hosts of the issuer together may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one host may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// What an answer may hold.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The member that issued a token, and the token's id, if revoking it is to be asked of that member.
pub(super) async fn issuer_of(
    session: &Session<'_>,
    text: &str,
) -> Result<Option<(Arc<Member>, TokenId)>, Failure> {
    let Ok(parsed) = Parsed::parse(text) else { return Ok(None) };
    let published = reading::current(session.cluster).await?;
    let view = &published.view;
    let claims = parsed.claims();
    if !view.config().circle_forward_revoke
        || view.service_id().is_none_or(|own| claims.issuer.same_service(own))
    {
        return Ok(None);
    }
    let member = view.member(&claims.issuer).filter(|member| member.mutual);
    // What nobody signed names no token.
    let signed = verify_signature(&parsed, view.key_set()).is_ok();
    let member = member.filter(|_| signed);
    // The issuer has said so in the token itself: what carries an index says if it is revocable.
    let lasting = claims.index.is_some() && claims.expires_at.is_some() && claims.revocable != Some(true);
    if let (Some(_), Some(id), true) = (member, claims.id, lasting) {
        let expires_at = claims.expires_at;
        return Err(refusal::failure(&Refusal::NotRevocable { id, expires_at }));
    }
    Ok(member.and_then(|member| claims.id.map(|id| (Arc::clone(member), id))))
}

/// The member that a caller names as the issuer of a token.
pub(super) async fn named_issuer(session: &Session<'_>, named: &str) -> Result<Arc<Member>, Failure> {
    let known = |view: &State| find(view, named).is_some();
    let published = reading::holding(session.cluster, known).await?;
    let member = published.as_ref().and_then(|published| find(&published.view, named));
    let member = member.ok_or_else(|| {
        Failure::not_found(format!("no member of the circle that follows this cluster is called '{named}'"))
    })?;
    if !session.published().view.config().circle_forward_revoke {
        let issuer = &member.approved.issuer;
        return Err(Failure::bad_request(
            "foreign_token",
            format!("only {issuer} revokes its tokens; ask there, or set circle.forward-revoke"),
        ));
    }
    Ok(member)
}

fn find(view: &State, named: &str) -> Option<Arc<Member>> {
    let called =
        |member: &&Arc<Member>| member.approved.issuer.as_str() == named || member.approved.name == named;
    view.members_followed().filter(|member| member.mutual).find(called).cloned()
}

/// Asks a member to revoke one of its tokens; `Ok(None)` if it knows no such token.
pub(super) async fn ask_issuer(
    session: &Session<'_>,
    member: &Member,
    id: TokenId,
    cascade: bool,
) -> Result<Option<Ended>, Failure> {
    session.require_admin("have a token of another cluster revoked").await?;
    let published = reading::fresh(session.cluster).await?;
    let view = &published.view;
    // We vouch for our own administrators only.
    if session.rights(view).is_none_or(|rights| rights.foreign) {
        return Err(Failure::new(Code::Forbidden, "admin_required", "Forbidden")
            .with_detail("only an administrator of this cluster may have a token of another one revoked"));
    }
    if matches!(member.progress, Progress::Broken { .. }) {
        return Err(Failure::new(Code::Conflict, "member_broken", "the issuer's feed contradicted itself")
            .with_detail("a person must approve it anew before anything is believed of it"));
    }
    let verdict = tokio::time::timeout(FORWARD_TIMEOUT, verdict(session, view, member, id, cascade)).await;
    let verdict = verdict.map_err(|_elapsed| unknown_fate("no answer in time"))??;
    Ok(judged(&verdict)?.map(|ended| {
        let ended = Ended { index: published.index, ..ended };
        record(session, &member.approved.issuer, id, &ended);
        ended
    }))
}

/// The verdict of the first host that gives one under the issuer's circle key.
async fn verdict(
    session: &Session<'_>,
    view: &State,
    member: &Member,
    id: TokenId,
    cascade: bool,
) -> Result<Value, Failure> {
    let internal = |why: String| Failure::new(Code::Internal, "sealed", "Internal error").with_detail(why);
    let us = view.service_id().ok_or_else(|| internal("there is no cluster".to_owned()))?;
    let ours = session.cluster.keys().circle_key(view).map_err(|error| internal(error.to_string()))?;
    let theirs = member.circle_key().ok_or_else(|| internal("the member has no circle key".to_owned()))?;
    let http =
        ask::client(&member.approved.ca_certificate_der).map_err(|error| unreachable(error.to_string()))?;
    let by: String = session.caller.principal().chars().take(BY_BYTES_MAX / 4).collect();
    let (issuer, hosts) = (&member.approved.issuer, &member.approved.hosts);
    let wanted = Order { issuer, member: us, challenge: Vec::new(), nonce: [0; 32], id, cascade, by: &by };
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let done = |text: &str| read(text)["outcome"] == "revoked";
    let verdict = orders::verdict(&There { http, us }, hosts, &wanted, (&ours, theirs), done).await;
    match verdict {
        Ok(text) => Ok(read(&text)),
        Err(Unjudged::Unreachable(why)) => Err(unreachable(why)),
        Err(Unjudged::Unknown(why)) => Err(unknown_fate(&why)),
    }
}

/// The issuer's hosts, over HTTP.
struct There<'a> {
    http: reqwest::Client,
    us: &'a ServiceId,
}

impl Hosts for There<'_> {
    async fn challenge(&self, host: &str) -> Result<Vec<u8>, String> {
        let request = self.http.get(format!("{host}/circlet/v1/circle/challenge?member={}", self.us));
        let answer = ask::read(request, ANSWER_BYTES_MAX, ANSWER_TIMEOUT).await;
        let answer: Value =
            serde_json::from_slice(&answer.map_err(|error| error.to_string())?).unwrap_or_default();
        // A challenge that is none is refused by the issuer.
        Ok(answer["challenge"].as_str().and_then(hex_decode).unwrap_or_default())
    }

    fn nonce(&self) -> [u8; 32] {
        let mut nonce = [0; 32];
        rand::fill(&mut nonce);
        nonce
    }

    async fn order(
        &self,
        host: &str,
        order: &Order<'_>,
        signature: &[u8],
    ) -> Result<(String, Vec<u8>), String> {
        let body = json!({
            "member": order.member.as_str(), "token_id": order.id.to_string(), "cascade": order.cascade,
            "by": order.by, "challenge": hex(&order.challenge), "nonce": hex(&order.nonce),
            "signature": hex(signature),
        });
        let request = self.http.post(format!("{host}/circlet/v1/circle/revocations")).json(&body);
        let answer = ask::read(request, ANSWER_BYTES_MAX, ANSWER_TIMEOUT).await;
        let answer: Value =
            serde_json::from_slice(&answer.map_err(|error| error.to_string())?).unwrap_or_default();
        let verdict = answer["verdict"].as_str().unwrap_or_default().to_owned();
        let signature = answer["signature"].as_str().and_then(hex_decode).unwrap_or_default();
        Ok((verdict, signature))
    }
}

fn unreachable(why: String) -> Failure {
    Failure::unavailable("member_unreachable", "the issuer can't be reached; nothing was revoked")
        .with_detail(why)
}

fn unknown_fate(why: &str) -> Failure {
    Failure::unavailable("unknown_fate", "whether the issuer has revoked the token is not known; ask again")
        .with_detail(why)
}

/// What a verdict means here; `Ok(None)` if the issuer knows no such token.
fn judged(verdict: &Value) -> Result<Option<Ended>, Failure> {
    let text = |name: &str| verdict[name].as_str().unwrap_or_default().to_owned();
    match verdict["outcome"].as_str() {
        Some("revoked") => {
            let ids = verdict["ids"].as_array().into_iter().flatten();
            let ids = ids.filter_map(|id| TokenId::parse(id.as_str()?).ok()).collect();
            let number = |name: &str| verdict[name].as_u64();
            let descendants = number("ended").map(|ended| Descendants {
                ended,
                living: number("living").unwrap_or(0),
                more: false,
            });
            let note = verdict["note"].as_str().map(str::to_owned);
            let already = verdict["already"].as_bool().unwrap_or(false);
            Ok(Some(Ended { ids, already, note, descendants, index: 0 }))
        }
        Some("unknown") => Ok(None),
        Some("refused") if verdict["reason"] == "not_revocable" => {
            Err(Failure::bad_request("not_revocable", "Token not revocable").with_detail(text("message")))
        }
        Some("refused") => Err(Failure::new(Code::Forbidden, "refused_by_issuer", "the issuer refuses")
            .with_detail(text("message"))),
        _ => Err(unknown_fate("the issuer's verdict can't be read")),
    }
}

fn record(session: &Session<'_>, issuer: &ServiceId, id: TokenId, ended: &Ended) {
    tracing::info!(%issuer, token = %id, already = ended.already, "a token of a member of the circle was revoked by its issuer");
    let ids: Vec<String> = ended.ids.iter().map(ToString::to_string).collect();
    let data = json!({"removed": {"ids": ids, "issuer": issuer.as_str(), "already": ended.already}});
    session.write_line(Change::Deleted, Entity::Token, &id.to_string(), data);
}

/// What a member sends to have one of our tokens revoked.
pub(crate) struct Asked {
    pub(crate) member: ServiceId,
    pub(crate) id: TokenId,
    pub(crate) cascade: bool,
    pub(crate) by: String,
    pub(crate) challenge: Vec<u8>,
    pub(crate) nonce: [u8; 32],
    pub(crate) signature: Vec<u8>,
}

/// A challenge for an order of this member.
pub(crate) async fn challenge_for(session: &Session<'_>, member: &ServiceId) -> Result<String, Failure> {
    let published = reading::current(session.cluster).await?;
    let secret = challenge_secret(session, &published.view)?;
    let mut random = [0; RANDOM_BYTES];
    rand::fill(&mut random);
    Ok(hex(&challenge(&secret, member, session.cluster.now_at(&published).secs(), random)))
}

/// Judges an order of a member: the verdict, and our signature under it.
pub(crate) async fn judge(session: &Session<'_>, asked: &Asked) -> Result<(String, String), Failure> {
    let published = reading::fresh(session.cluster).await?;
    let view = &published.view;
    let forbidden =
        |why: &'static str| Failure::new(Code::Forbidden, "order_refused", "Forbidden").with_detail(why);
    let secret = challenge_secret(session, view)?;
    let now_secs = session.cluster.now_at(&published).secs();
    let issuer = view.service_id().ok_or_else(|| forbidden("there is no cluster"))?;
    let order = Order {
        issuer,
        member: &asked.member,
        challenge: asked.challenge.clone(),
        nonce: asked.nonce,
        id: asked.id,
        cascade: asked.cascade,
        by: &asked.by,
    };
    let member = orders::heard(view, &secret, now_secs, &order, &asked.signature).map_err(forbidden)?;
    let key = session.cluster.keys().circle_key(view).map_err(|error| {
        Failure::new(Code::Internal, "sealed", "Internal error").with_detail(error.to_string())
    })?;
    let verdict = decide(session, member, asked).await?.to_string();
    let signature = hex(&order.sign_verdict(&key, &verdict));
    Ok((verdict, signature))
}

fn challenge_secret(session: &Session<'_>, view: &State) -> Result<[u8; 32], Failure> {
    let secret = session.cluster.keys().refresh_secret(view).map_err(|error| {
        Failure::new(Code::Internal, "sealed", "Internal error").with_detail(error.to_string())
    })?;
    Ok(secret.challenge_secret())
}

/// Has the order carried out; the verdict on it.
async fn decide(session: &Session<'_>, member: &Member, asked: &Asked) -> Result<Value, Failure> {
    let issuer = member.approved.issuer.clone();
    let revoke = RevokeForMember { issuer, member: member.since_index, id: asked.id, cascade: asked.cascade };
    let judged = orders::carry_out(&revoke, |action| async {
        session.cluster.decide(Actor::System, action).await.map(|decided| decided.outcome)
    });
    let (first, found) = match judged.await.map_err(|error| refusal::unavailable(&error))? {
        Judged::Revoked { first, found } => (first, found),
        Judged::Unknown => return Ok(json!({"outcome": "unknown"})),
        Judged::Refused(refused) => return Ok(refuse(session, asked, &refused)),
        Judged::Unforeseen => return Err(Failure::new(Code::Internal, "internal", "Internal error")),
    };
    let ids: Vec<String> = first.ids.iter().map(ToString::to_string).collect();
    let already = first.already && found.ended == 0;
    let note = Some(first.note.to_string()).filter(|note| !note.is_empty());
    if !already {
        session.counts.revoked(found.ended.saturating_add(first.ids.len() as u64));
    }
    let data = json!({"removed": {"ids": ids, "note": note, "already": already,
        "member": asked.member.as_str(), "by": asked.by}});
    session.write_line(Change::Deleted, Entity::Token, &asked.id.to_string(), data);
    let mut verdict = json!({"outcome": "revoked", "ids": ids, "already": already, "note": note});
    if asked.cascade {
        verdict["ended"] = found.ended.into();
        verdict["living"] = found.living.into();
    }
    Ok(verdict)
}

/// A refusal as a verdict, with its line in the audit log: who asked has no credential of ours, so nobody else writes it.
fn refuse(session: &Session<'_>, asked: &Asked, refused: &Refusal) -> Value {
    let failure = refusal::failure(refused);
    let data =
        json!({"refused": {"reason": failure.reason(), "member": asked.member.as_str(), "by": asked.by}});
    session.write_line(Change::Refused, Entity::Token, &asked.id.to_string(), data);
    json!({"outcome": "refused", "reason": failure.reason(), "message": refused.to_string()})
}
