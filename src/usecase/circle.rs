//! The circle beyond certificates: pairing with other clusters, and following what they revoke.

mod key;

pub(crate) use key::{note_taken, rotate};

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{
    Action, Actor, ApproveMember, Approved, CircleKey, DismissMember, InviteMember, IssuerLimits, Member,
    Progress, SetCircleKey, State,
};
use circlet_raft::Published;
use circlet_token::{CertificateFacts, Lifetime, ServiceId};
use serde_json::{Value, json};

use super::failure::{Code, Failure};
use super::{Session, reading, trust};
use crate::audit::{self, Change, Entity};
use crate::circle::pairing::{self, BadCertificate, Guest, Hosts, Unheard, Untold};
use crate::circle::{ask, told};
use crate::invitation::{self, Introduction, Invitation, MalformedInvitation, Side};
use crate::secret::Secret;

/// How long the other cluster may take to answer when two pair.
const PAIR_TIMEOUT: Duration = Duration::from_secs(15);
/// What it may say.
const PAIR_ANSWER_BYTES_MAX: usize = 4 * 1024;

/// An invitation, shown once.
pub(crate) struct Invited {
    pub(crate) text: Secret,
    /// Until when it can be used, in seconds since 1970.
    pub(crate) expires_at: u64,
    /// The fingerprint of our circle key.
    pub(crate) fingerprint: String,
    pub(crate) index: u64,
}

/// An invitation to accept.
pub(crate) struct Acceptance {
    pub(crate) text: String,
    /// What to call the other cluster; by default the unique part of its service id.
    pub(crate) name: Option<String>,
    /// Where our nodes are for the other cluster; by default where clients reach them.
    pub(crate) hosts: Option<Vec<String>>,
    /// Follow the other cluster without telling it anything.
    pub(crate) one_way: bool,
}

/// Makes an invitation: whoever brings it within `circle.invite-expiry` is followed, and follows.
pub(crate) async fn invite(
    session: &Session<'_>,
    guest: Option<ServiceId>,
    hosts: Option<Vec<String>>,
) -> Result<Invited, Failure> {
    session.require_admin("invite into the circle of trust").await?;
    let introduction = introduce(session, hosts).await?;
    let mut id = [0; 16];
    rand::fill(&mut id);
    let secret = secret_of(session, &id)?;
    let hash = invitation::hash_of(&secret);
    let decided = session.decide(Action::InviteMember(InviteMember { hash, guest })).await?;
    let published = session.published();
    let expires_at = published.view.invite(&hash).map_or(0, |invite| invite.expires_at);
    let text = Invitation { id, secret, introduction: introduction.to_text() }.to_text();
    let fingerprint =
        published.view.circle_key().map(|key| invitation::fingerprint(&key.spki_der)).unwrap_or_default();
    session.record(
        Change::Created,
        Entity::Trust,
        "invitation",
        json!({"added": {"expires": expires_at}}),
    )?;
    Ok(Invited { text, expires_at, fingerprint, index: decided.index })
}

/// This cluster and its members, as whoever verifies without a node gets to know them.
pub(crate) async fn introduce_all(
    session: &Session<'_>,
    hosts: Option<Vec<String>>,
) -> Result<Vec<Introduction>, Failure> {
    session.require_admin("introduce the circle of trust").await?;
    let own = introduce(session, hosts).await?;
    let view = &session.published().view;
    let members = view.members_followed().map(|member| {
        let trusted = trust::matching(view, member.approved.issuer.as_str());
        Introduction::of_member(&member.approved, trusted.map(|issuer| issuer.certificate_der.as_slice()))
    });
    Ok([own].into_iter().chain(members).collect())
}

/// Accepts an invitation: tells the other cluster about this one, unless one way is wanted, then follows it.
pub(crate) async fn accept(
    session: &Session<'_>,
    order: Acceptance,
) -> Result<(Arc<Published<State>>, String, u64), Failure> {
    session.require_admin("join the circle of another cluster").await?;
    let invitation = Invitation::parse(&order.text).map_err(malformed)?;
    let theirs = Introduction::parse(&invitation.introduction).map_err(malformed)?;
    let name = order.name.unwrap_or_else(|| pairing::name_of(&theirs));
    let approved = theirs.to_approve(&name).map_err(malformed)?;
    let ours = introduce(session, order.hosts).await?;
    if pairing::name_is_taken(&session.published().view, &approved) {
        let why = format!("another member of the circle has the name '{name}'; choose one with `--name`");
        return Err(Failure::new(Code::Conflict, "name_taken", why));
    }
    if !order.one_way {
        tell(&invitation, &ours, &approved).await?;
    }
    let issuer = approved.issuer.clone();
    let actor = session.actor()?;
    let approve = ApproveMember { approved, invite: None, mutual: !order.one_way };
    let index = follow(session, &actor, &theirs, approve).await?;
    Ok((session.published(), issuer.to_string(), index))
}

/// Takes in whoever proves that it holds an invitation of ours; answers with a proof of our own.
pub(crate) async fn pair(session: &Session<'_>, guest: Guest) -> Result<String, Failure> {
    reading::fresh(session.cluster).await?;
    let secret = secret_of(session, &guest.id)?;
    let (theirs, approve) = pairing::heard(&secret, &guest).map_err(|unheard| match unheard {
        Unheard::Unproved => {
            Failure::new(Code::Forbidden, "invite_unknown", "Forbidden").with_detail(unheard.to_string())
        }
        Unheard::Malformed(garbled) => malformed(garbled),
    })?;
    follow(session, &Actor::System, &theirs, approve).await?;
    Ok(invitation::prove(&secret, Side::Host, &guest.introduction))
}

/// Dismisses a member, by name or service id, and distrusts its certificates.
pub(crate) async fn dismiss(session: &Session<'_>, named: &str) -> Result<u64, Failure> {
    session.require_admin("dismiss members of the circle").await?;
    let known = |view: &State| find(view, named).is_some();
    let published = reading::holding(session.cluster, known).await?;
    let member = published.as_ref().and_then(|published| find(&published.view, named));
    let Some(member) = member else { return Err(unknown(named)) };
    let issuer = member.approved.issuer.clone();
    let mut index =
        session.decide(Action::DismissMember(DismissMember { issuer: issuer.clone() })).await?.index;
    session.record(Change::Deleted, Entity::Trust, issuer.as_str(), json!({"dismissed": issuer.as_str()}))?;
    tracing::info!(%issuer, "member of the circle dismissed");
    if trust::matching(&session.published().view, issuer.as_str()).next().is_some() {
        index = trust::remove(session, issuer.as_str()).await?;
    }
    Ok(index)
}

/// The circle as this node sees it, as JSON.
pub(crate) async fn all(session: &Session<'_>) -> Result<Value, Failure> {
    session.require_admin("read the circle of trust").await?;
    let published = reading::current(session.cluster).await?;
    Ok(describe_all(session, &published))
}

/// One member, as JSON.
pub(crate) fn one(
    session: &Session<'_>,
    published: &Published<State>,
    named: &str,
) -> Result<Value, Failure> {
    let member = find(&published.view, named).ok_or_else(|| unknown(named))?;
    Ok(describe(session, published, member))
}

fn find<'a>(view: &'a State, named: &str) -> Option<&'a Arc<Member>> {
    view.members_followed()
        .find(|member| member.approved.issuer.as_str() == named || member.approved.name == named)
}

fn unknown(named: &str) -> Failure {
    Failure::not_found(format!("no member of the circle has the name or service id '{named}'"))
}

fn malformed(error: MalformedInvitation) -> Failure {
    Failure::bad_request("bad_invitation", error.to_string())
}

/// What this cluster says of itself, by a view that was proved fresh: nobody is to be told a circle key that was replaced
/// before. It gets its circle key with the first question for it.
async fn introduce(session: &Session<'_>, hosts: Option<Vec<String>>) -> Result<Introduction, Failure> {
    let published = reading::fresh(session.cluster).await?;
    if published.view.circle_key().is_none() {
        make_key(session, &published.view).await?;
    }
    let view = &session.published().view;
    let hosts = hosts.unwrap_or_else(|| {
        view.nodes().map(|node| node.record.client_url.trim_end_matches('/').to_owned()).collect()
    });
    if let Some(bad) = hosts.iter().find(|host| !invitation::is_host(host)) {
        return Err(Failure::bad_request("bad_host", format!("{bad:?} is no host: scheme://name:port")));
    }
    Introduction::of(view, hosts)
        .ok_or_else(|| Failure::unavailable("no_circle_key", "the cluster has no circle key yet; ask again"))
}

async fn make_key(session: &Session<'_>, view: &State) -> Result<(), Failure> {
    let (key, private_key) = key::new_key(session, view)?;
    let key = CircleKey { spki_der: key.spki_der(), private_key, successions: Vec::new() };
    session.decide_as(Actor::System, Action::SetCircleKey(Box::new(SetCircleKey { key }))).await?;
    Ok(())
}

fn secret_of(session: &Session<'_>, id: &[u8; 16]) -> Result<Secret, Failure> {
    let refresh = session.cluster.keys().refresh_secret(&session.published().view);
    refresh.map(|refresh| refresh.invite_secret(id)).map_err(|error| {
        Failure::new(Code::Internal, "sealed", "Internal error").with_detail(error.to_string())
    })
}

/// Asks the other cluster's hosts to follow us.
async fn tell(invitation: &Invitation, ours: &Introduction, theirs: &Approved) -> Result<(), Failure> {
    let unreachable = |why: String| {
        Failure::unavailable("member_unreachable", "the cluster that invited can't be reached")
            .with_detail(why)
    };
    let client = ask::client(&theirs.ca_certificate_der).map_err(|error| unreachable(error.to_string()))?;
    pairing::tell(&There { client }, &theirs.hosts, invitation, &ours.to_text()).await.map_err(|untold| {
        match untold {
            Untold::Refused(why) => {
                Failure::new(Code::Conflict, "invite_refused", "the cluster that invited refuses")
                    .with_detail(why)
            }
            Untold::Unanswered(why) => unreachable(why),
        }
    })
}

/// The hosts of whoever invited, over HTTP.
struct There {
    client: reqwest::Client,
}

impl Hosts for There {
    async fn pair(&self, host: &str, guest: &Guest) -> Result<String, Untold> {
        let body = json!({
            "id": crate::seal::hex(&guest.id),
            "introduction": guest.introduction,
            "proof": guest.proof,
        });
        let request = self.client.post(format!("{host}/circlet/v1/circle/pair")).json(&body);
        match ask::read(request, PAIR_ANSWER_BYTES_MAX, PAIR_TIMEOUT).await {
            Ok(answer) => {
                let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
                Ok(answer["proof"].as_str().unwrap_or_default().to_owned())
            }
            Err(ask::Unanswered::Status { status, body }) if (400..500).contains(&status) => {
                Err(Untold::Refused(format!("answered {status}: {body}")))
            }
            Err(error) => Err(Untold::Unanswered(error.to_string())),
        }
    }
}

/// Approves a member and trusts the certificates that it introduced itself with, as far as they are not trusted yet.
async fn follow(
    session: &Session<'_>,
    actor: &Actor,
    theirs: &Introduction,
    approve: ApproveMember,
) -> Result<u64, Failure> {
    let approved = approve.approved.clone();
    let (issuer, name) = (&approved.issuer, &approved.name);
    let certificates = pairing::certificates(theirs, issuer).map_err(|bad| match bad {
        BadCertificate::Malformed(garbled) => malformed(garbled),
        _ => Failure::bad_request("bad_certificate", bad.to_string()),
    })?;
    let fingerprint = invitation::fingerprint(&approved.circle_key);
    let data = json!({"added": {"serviceId": issuer.as_str(), "name": name,
        "circleKey": fingerprint, "hosts": approved.hosts}});
    let index = session.decide_as(actor.clone(), Action::ApproveMember(Box::new(approve))).await?.index;
    session.record(Change::Created, Entity::Trust, issuer.as_str(), data)?;
    tracing::info!(%issuer, name, circle_key = fingerprint, "member of the circle approved");
    let trust = |facts: CertificateFacts, limits| async move {
        let file = told::file_name(name, facts.key_id.as_str());
        let action = trust::action(facts, issuer.clone(), &file, limits)?;
        Ok(session.decide_as(actor.clone(), Action::TrustIssuer(Box::new(action))).await?.index)
    };
    let view = || Arc::clone(&session.published().view);
    let trusted: Result<_, Failure> = pairing::trust_all(&approved, index, certificates, view, trust).await;
    trusted?.ok_or_else(|| {
        Failure::new(Code::Conflict, "invite_used", "the invitation was used, and its guest dismissed since")
            .with_detail("make a new one with `circlet circle invite`")
    })
}

fn describe_all(session: &Session<'_>, published: &Published<State>) -> Value {
    let view = &published.view;
    let end = view.feed_end();
    let members: Vec<Value> =
        view.members_followed().map(|member| describe(session, published, member)).collect();
    json!({
        "service_id": view.service_id().map(ToString::to_string),
        "circle_key": view.circle_key().map(|key| invitation::fingerprint(&key.spki_der)),
        "generation": end.generation,
        "sequence": end.sequence,
        "members": members,
    })
}

fn describe(session: &Session<'_>, published: &Published<State>, member: &Member) -> Value {
    let (view, approved) = (&published.view, &member.approved);
    let at = member.progress.at();
    let age_ms = published.sources.age_ms(member.since_index, session.cluster.instants());
    let certificates: Vec<Value> = trust::matching(view, approved.issuer.as_str())
        .map(|issuer| {
            json!({"kid": issuer.kid.as_str(), "not_after": issuer.not_after, "by_feed": issuer.by_feed,
            "limits": limits_json(&issuer.limits)})
        })
        .collect();
    let faults: Vec<Value> = member
        .faults
        .iter()
        .map(|fault| json!({"fault": fault.code, "at": audit::timestamp(fault.at_ms), "evidence": crate::seal::hex(&fault.evidence)}))
        .collect();
    let state = match (&member.progress, member.over_quota) {
        (Progress::Broken { .. }, _) => "broken",
        (_, true) => "over_quota",
        (progress, false) => progress.as_str(),
    };
    json!({
        "service_id": approved.issuer.as_str(),
        "name": approved.name,
        "circle_key": member.circle_key().map(|key| invitation::fingerprint(&key.spki_der())),
        "mutual": member.mutual,
        "hosts": approved.hosts,
        "certificates": certificates,
        "feed": state,
        "generation": at.map(|at| at.generation),
        "sequence": at.map(|at| at.sequence),
        "entries": view.followed_count(&approved.issuer),
        "age_ms": age_ms,
        "last_contact": audit::timestamp(member.contact_ms),
        "faults": faults,
    })
}

/// Limits as answers show them.
pub(crate) fn limits_json(limits: &IssuerLimits) -> Value {
    json!({
        "admin": limits.admin,
        "groups": limits.groups,
        "max_lifetime": limits.max_lifetime.and_then(Lifetime::secs),
        "audiences": limits.audiences,
        "revoke": limits.revoke,
    })
}
