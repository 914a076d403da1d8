//! Creating a token: what is asked for, what may be asked for, and who signs it.
//!
//! A plain token is signed here from the view, without the log and so without a leader, as long as the view is not
//! older than `issue.max-isolation`. Every other token is decided by the log first and signed from its record.

use std::sync::Arc;

use circlet_authority::{
    Action, FamilyId, Generation, IssueRequest, IssueToken, Outcome, Refusal, Rights, State, TokenClass,
    TokenRecord,
};
use circlet_raft::Published;
use circlet_token::{Audience, AudienceEntry, Claims, KeyId, Lifetime, Scope, ServiceId, Subject, TokenId};

use super::failure::{Code, Failure};
use super::{Session, bounds, reading, refusal, users};
use crate::digest;
use crate::keys::{KeyUnavailable, RefreshSecret};
use crate::refresh_token::RefreshFields;
use crate::secret::Secret;

mod audited;

/// What a request asks for, in the words of either API. `None` takes that API's default.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) generation: Generation,
    pub(crate) username: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) expires_in: Option<i64>,
    pub(crate) refreshable: bool,
    pub(crate) description: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) reference: bool,
    pub(crate) force_revocable: bool,
    pub(crate) idempotency_key: Option<String>,
}

/// A token to hand out.
pub(crate) struct Handout {
    pub(crate) claims: Claims,
    pub(crate) lifetime: Lifetime,
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) reference_token: Option<Secret>,
    pub(crate) description: Option<String>,
    /// Whether the log knows it, so that it can be listed and fetched.
    pub(crate) persisted: bool,
    /// The log index of the decision, if the log decided.
    pub(crate) index: Option<u64>,
    /// What an administrator should know.
    pub(crate) warning: Option<String>,
}

/// An order with every default filled in.
struct Resolved {
    subject: Subject,
    scope: Scope,
    audience: Audience,
    lifetime: Lifetime,
}

/// The longest `Idempotency-Key`, in bytes.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// What the legacy API says of a scope that lets nobody do anything.
const NEEDS_GROUP: &str = "Insufficient scope: 'api:*'";

/// Creates a token.
pub(crate) async fn create(session: &Session<'_>, order: &Order) -> Result<Handout, Failure> {
    attempt(session, order).await.map_err(Failure::of_input)
}

async fn attempt(session: &Session<'_>, order: &Order) -> Result<Handout, Failure> {
    let actor = session.actor()?;
    let id = draw_id();
    let family = order.refreshable.then(|| FamilyId(rand::random()));
    let mut published = reading::current(session.cluster).await?;
    let mut proved = false;
    loop {
        // What is refused on an old view may be allowed on the next, so a refusal needs a fresh one.
        match plan(session, &published, order, id, family) {
            Ok((issue, class, revocable)) => {
                let action = Action::IssueToken(Box::new(issue));
                // A plain token carries the index of the view that allowed it: one that is too old to issue from
                // must not lend its judgement to a younger one.
                let too_old = class == TokenClass::Plain && !reading::may_issue(session.cluster, &published);
                match published.view.authorize(&actor, &action) {
                    Ok(()) if too_old && proved => {
                        return Err(reading::stale(session.cluster, "the proof took too long"));
                    }
                    Ok(()) if too_old => {}
                    Ok(()) => return carry_out(session, &published, action, class, revocable).await,
                    Err(refused) if proved => return Err(refusal::failure(&refused)),
                    Err(_) => {}
                }
            }
            Err(failure) if proved || !may_change(&failure) => return Err(failure),
            Err(_) => {}
        }
        published = reading::fresh(session.cluster).await?;
        proved = true;
    }
}

/// Only what depends on users and groups can look different on a later view.
fn may_change(failure: &Failure) -> bool {
    failure.reason() == "insufficient_scope"
}

async fn carry_out(
    session: &Session<'_>,
    published: &Arc<Published<State>>,
    action: Action,
    class: TokenClass,
    revocable: bool,
) -> Result<Handout, Failure> {
    let Action::IssueToken(issue) = &action else {
        return Err(Failure::new(Code::Internal, "internal", "Internal error"));
    };
    let warning = unknown_groups(session, &published.view, &issue.scope);
    let mut handout = match class {
        TokenClass::Plain => {
            session.admit_kept()?;
            reading::compare_clocks(session.cluster).await;
            let instants = || session.cluster.instants();
            let sign = || {
                let handout = sign_plain(session, published, issue, revocable)?;
                // Only now, since the clock may have been set meanwhile.
                reading::admit_date(session.cluster, &published.view)?;
                Ok(handout)
            };
            let signed = reading::signed_in_time(published, instants, sign)?;
            signed.ok_or_else(|| reading::stale(session.cluster, "signing took too long"))?
        }
        TokenClass::Recorded => {
            let decided = session.decide(action).await?;
            let Outcome::Issued(record) = decided.outcome else {
                return Err(Failure::new(Code::Internal, "internal", "Internal error"));
            };
            hand_out(session, &record, Some(decided.index))?
        }
    };
    session.counts.issued(class == TokenClass::Recorded);
    handout.warning = warning;
    audited::created(session, &mut handout)?;
    Ok(handout)
}

fn plan(
    session: &Session<'_>,
    published: &Published<State>,
    order: &Order,
    id: TokenId,
    family: Option<FamilyId>,
) -> Result<(IssueToken, TokenClass, bool), Failure> {
    let view = &published.view;
    let own = own_id(view)?;
    let rights = session.rights(view);
    let resolved = resolve(session, view, rights.as_ref(), order)?;
    let plan = view.plan_issue(&IssueRequest {
        generation: order.generation,
        lifetime: resolved.lifetime,
        scope: &resolved.scope,
        refreshable: order.refreshable,
        reference: order.reference,
        force_revocable: order.force_revocable,
        idempotent: order.idempotency_key.is_some(),
    });
    let reference = if order.reference { Some(reference_hash(session, view, &id)?) } else { None };
    let issue = IssueToken {
        id,
        generation: order.generation,
        subject: resolved.subject,
        scope: resolved.scope,
        audience: resolved.audience,
        lifetime: resolved.lifetime,
        force_revocable: order.force_revocable,
        description: order.description.clone(),
        reference,
        family,
        owner: rights.and_then(|rights| rights.user),
        idempotency: order.idempotency_key.as_ref().map(|key| idempotency_digest(session, own, key)),
        request_digest: request_digest(order),
    };
    Ok((issue, plan.class, plan.revocable))
}

fn resolve(
    session: &Session<'_>,
    view: &State,
    rights: Option<&Rights>,
    order: &Order,
) -> Result<Resolved, Failure> {
    let own = own_id(view)?;
    let subject = subject(session, own, order)?;
    Ok(Resolved {
        scope: scope(view, &subject, order)?,
        audience: audience(own, order)?,
        lifetime: lifetime(view, rights, order)?,
        subject,
    })
}

/// Whom the token shall speak for: the user named, the whole subject named (legacy), or the caller.
fn subject(session: &Session<'_>, own: &ServiceId, order: &Order) -> Result<Subject, Failure> {
    let Some(name) = &order.username else {
        return match order.generation {
            Generation::Legacy => Err(Failure::bad_request("missing_parameter", "username is required")),
            Generation::Access => session.caller.subject(own).ok_or_else(|| {
                Failure::bad_request(
                    "missing_parameter",
                    "username is required: the caller is no user of this cluster",
                )
            }),
        };
    };
    if let Ok(subject) = Subject::parse(name) {
        return match subject.user_name() {
            // A user is one and the same, however the name is spelled.
            Some(user) => Ok(Subject::user(subject.service(), &users::user_name(user)?)),
            None => Ok(subject),
        };
    }
    Ok(Subject::user(own, &users::user_name(name)?))
}

/// The scope asked for, or the API's default, with what the legacy API always adds.
fn scope(view: &State, subject: &Subject, order: &Order) -> Result<Scope, Failure> {
    let parse = |text: &str| {
        Scope::parse(text).map_err(|malformed| {
            Failure::new(
                Code::InvalidScope,
                "scope_unaccepted",
                format!("Unaccepted scope: '{}'", malformed.found),
            )
            .with_detail(format!("allowed is {}", malformed.allowed))
        })
    };
    let asked = order.scope.as_deref();
    match order.generation {
        Generation::Access => parse(asked.unwrap_or("applied-permissions/user")),
        Generation::Legacy => {
            let text = match asked {
                Some(text) => text.to_owned(),
                None => default_groups(view, subject)?,
            };
            let scope = parse(&text)?;
            let has_api = text.split_whitespace().any(|item| item == "api:*");
            let scope = if has_api { scope } else { parse(&format!("{text} api:*"))? };
            if scope.items().len() == 1 {
                return Err(Failure::bad_request("insufficient_scope", NEEDS_GROUP)
                    .with_detail("name at least one group: member-of-groups:<name>"));
            }
            Ok(scope)
        }
    }
}

/// All groups of an existing user, by name; by `*` if there are none yet, so that the token is of use later.
fn default_groups(view: &State, subject: &Subject) -> Result<String, Failure> {
    let name = subject.user_name().and_then(|name| users::user_name(name).ok());
    let user = name.and_then(|name| view.user(&name)).ok_or_else(|| {
        Failure::bad_request("insufficient_scope", NEEDS_GROUP)
            .with_detail("a user that does not exist here needs a scope with groups: member-of-groups:<name>")
    })?;
    if user.groups.is_empty() {
        return Ok("member-of-groups:*".to_owned());
    }
    let names: Vec<&str> = user.groups.iter().map(String::as_str).collect();
    let joined = names.join(",");
    let quoted = joined.contains(char::is_whitespace);
    Ok(if quoted { format!("member-of-groups:\"{joined}\"") } else { format!("member-of-groups:{joined}") })
}

fn audience(own: &ServiceId, order: &Order) -> Result<Audience, Failure> {
    let malformed = |malformed: circlet_token::Malformed| {
        Failure::bad_request("bad_audience", format!("Invalid audience: '{}'", malformed.found))
            .with_detail(format!("allowed is {}", malformed.allowed))
    };
    match (order.generation, order.audience.as_deref()) {
        (Generation::Access, None) => Ok(Audience::any()),
        (Generation::Access, Some(text)) => Audience::parse(text).map_err(malformed),
        (Generation::Legacy, None) => Ok(Audience::service(own)),
        (Generation::Legacy, Some("*" | "*@*")) => Audience::parse("jfrt@*").map_err(malformed),
        (Generation::Legacy, Some(text)) => {
            let audience = Audience::parse(text).map_err(malformed)?;
            let kinds = |entry: &AudienceEntry| match entry {
                AudienceEntry::Kind(kind) => matches!(kind.as_str(), "jfrt" | "jf-artifactory" | "jfac"),
                AudienceEntry::Service(service) => {
                    matches!(service.kind(), "jfrt" | "jf-artifactory" | "jfac")
                }
                AudienceEntry::Any | AudienceEntry::Unique(_) => true,
                AudienceEntry::Other(_) => false,
            };
            if audience.entries().iter().all(kinds) {
                return Ok(audience);
            }
            Err(Failure::bad_request(
                "bad_audience",
                format!(
                    "Illegal audience: {text}, audience can contain only service IDs of Artifactory servers."
                ),
            ))
        }
    }
}

/// The lifetime asked for, or the configured default, cut to what a user who is no administrator may have.
fn lifetime(view: &State, rights: Option<&Rights>, order: &Order) -> Result<Lifetime, Failure> {
    if let Some(secs) = order.expires_in {
        return u64::try_from(secs).map(Lifetime::from_secs).map_err(|_| {
            Failure::bad_request("bad_expires_in", format!("Invalid expires_in value: {secs}"))
        });
    }
    Ok(bounds::of(view, rights, order.generation).default)
}

/// Signs a plain token on the view that allowed it.
fn sign_plain(
    session: &Session<'_>,
    published: &Arc<Published<State>>,
    issue: &IssueToken,
    revocable: bool,
) -> Result<Handout, Failure> {
    let view = &published.view;
    let (Some(own), Some(key)) = (view.service_id(), view.active_key()) else {
        return Err(refusal::failure(&Refusal::NotBootstrapped));
    };
    let now = session.cluster.now().secs();
    let claims = Claims {
        revocable: revocable.then_some(true),
        subject: issue.subject.clone(),
        scope: issue.scope.clone(),
        audience: issue.audience.clone(),
        issuer: own.clone(),
        expires_at: issue.lifetime.expires_at(now),
        issued_at: now,
        not_before: None,
        id: Some(issue.id),
        index: Some(published.index),
    };
    let access_token = mint(session, view, &claims, &key.kid)?;
    Ok(Handout {
        claims,
        lifetime: issue.lifetime,
        access_token,
        refresh_token: None,
        reference_token: None,
        description: issue.description.clone(),
        persisted: false,
        index: None,
        warning: None,
    })
}

/// The texts that a record stands for; the same record always gives the same texts.
pub(super) fn hand_out(
    session: &Session<'_>,
    record: &TokenRecord,
    index: Option<u64>,
) -> Result<Handout, Failure> {
    let published = session.published();
    let view = &published.view;
    let own = own_id(view)?;
    let claims = record.claims(own);
    let secret = refresh_secret(session, view)?;
    // Decided just before the secret was replaced: what can be derived now is not what the log knows.
    if record.reference.is_some_and(|hash| hash != secret.reference_tokens.hash(&record.id.0)) {
        return Err(unusable_key(&KeyUnavailable::Silent(record.kid.clone())));
    }
    let reference_token =
        record.reference.map(|_| secret.reference_tokens.write(&record.id.0, record.expires_at));
    Ok(Handout {
        access_token: mint(session, view, &claims, &record.kid)?,
        claims,
        lifetime: record.lifetime,
        refresh_token: record.family.map(|(family, sequence)| {
            Secret::from(secret.refresh_tokens.write(RefreshFields { family: family.0, sequence }))
        }),
        reference_token,
        description: record.description.clone(),
        persisted: true,
        index,
        warning: None,
    })
}

fn mint(session: &Session<'_>, view: &State, claims: &Claims, kid: &KeyId) -> Result<String, Failure> {
    session.cluster.keys().mint(view, claims, kid).map_err(|error| unusable_key(&error))
}

/// What is derived from the cluster's refresh secret.
pub(super) fn refresh_secret(session: &Session<'_>, view: &State) -> Result<Arc<RefreshSecret>, Failure> {
    session.cluster.keys().refresh_secret(view).map_err(|error| unusable_key(&error))
}

/// What the state stores for the reference token of a token with this id.
pub(super) fn reference_hash(session: &Session<'_>, view: &State, id: &TokenId) -> Result<[u8; 32], Failure> {
    Ok(refresh_secret(session, view)?.reference_tokens.hash(&id.0))
}

fn unusable_key(error: &KeyUnavailable) -> Failure {
    if matches!(error, KeyUnavailable::Silent(_)) {
        tracing::warn!(%error, "a token was decided, and its key may not sign any more");
    } else {
        tracing::error!(%error, "a key of the cluster can't be used on this node");
    }
    Failure::unavailable("key_unavailable", "this node cannot use the cluster's keys")
        .with_detail(error.to_string())
}

/// This cluster's id, on a view that has one.
pub(super) fn own_id(view: &State) -> Result<&ServiceId, Failure> {
    view.service_id().ok_or_else(|| refusal::failure(&Refusal::NotBootstrapped))
}

/// Groups in the scope that don't exist here: a warning for administrators, whom nobody else would stop.
pub(super) fn unknown_groups(session: &Session<'_>, view: &State, scope: &Scope) -> Option<String> {
    let unknown: Vec<&str> = scope.groups().filter(|group| view.group(group).is_none()).collect();
    (!unknown.is_empty() && session.is_admin(view))
        .then(|| format!("these groups do not exist here: {}", unknown.join(", ")))
}

/// A random id (UUID version 4), from the thread's generator: no system call.
pub(super) fn draw_id() -> TokenId {
    TokenId(uuid::Builder::from_random_bytes(rand::random()).into_uuid().into_bytes())
}

/// Everything that must be equal for a repeat to be the same request.
fn request_digest(order: &Order) -> [u8; 32] {
    let number = order.expires_in.map(|secs| secs.to_string());
    let flags = format!("{}{}{}", order.refreshable, order.reference, order.force_revocable);
    digest::of(&[
        Some(match order.generation {
            Generation::Legacy => "legacy",
            Generation::Access => "access",
        }),
        order.username.as_deref(),
        order.scope.as_deref(),
        number.as_deref(),
        Some(&flags),
        order.description.as_deref(),
        order.audience.as_deref(),
    ])
}

/// A key belongs to who sends it: the whole subject, since a user's name alone may look like another's subject.
fn idempotency_digest(session: &Session<'_>, own: &ServiceId, key: &str) -> [u8; 32] {
    let subject = session.caller.subject(own);
    digest::of(&[subject.as_ref().map(Subject::as_str), Some(key)])
}
