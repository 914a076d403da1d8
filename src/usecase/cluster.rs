//! Nodes of the cluster: status, join tokens, removal, transfer of leadership.

use circlet_authority::{Action, MintJoinToken, Node, NodeRole, Refusal, State};
use circlet_raft::{MemberError, Role, Status};
use serde_json::{Value, json};

use super::failure::{Code, Failure};
use super::{Session, reading, refusal};
use crate::audit::{self, Change, Entity};
use crate::certificates::{self, Validity};
use crate::health::{Health, Missing};
use crate::home::{KeptList, Paths, Told};
use crate::join_token::{self, JoinToken};
use crate::seal::hex;
use crate::secret::Secret;
use crate::watched::Problems;

/// A join token names so many nodes at most; any of them will do.
const ADDRESSES_MAX: usize = 5;
/// What is left where the membership can't be changed any more.
const GONE_FOR_GOOD: &str =
    "if a majority is gone for good, begin the next generation with one node that is left: circlet recover";

/// A join token, shown once.
pub(crate) struct MintedJoinToken {
    /// The text for `circlet join`.
    pub(crate) text: Secret,
    /// Until when it can be used, in seconds since 1970.
    pub(crate) expires_at: u64,
    /// The log index that made it.
    pub(crate) index: u64,
}

/// What this node knows of itself and of the others, as JSON. Reading it needs no leader.
pub(crate) async fn status(
    session: &Session<'_>,
    problems: &Problems,
    health: &Health,
    paths: &Paths,
) -> Result<Value, Failure> {
    session.require_admin("see the nodes of the cluster").await?;
    let published = session.published();
    let view = &published.view;
    let status = session.cluster.status();
    let nodes: Vec<Value> = view.nodes().map(|node| describe(node, &status)).collect();
    let given_up = given_up(paths).await;
    Ok(json!({
        "service_id": view.service_id().map(ToString::to_string),
        "generation": view.generation(),
        "feature_level": view.feature_level(),
        "node": status.id,
        "role": role_text(status.role),
        "leader": status.leader,
        "term": status.term,
        "applied": status.applied,
        "last_log": status.last_log,
        "snapshot": status.snapshot,
        "view_age_ms": published.age_ms(session.cluster.instants()),
        "clock_offset_ms": status.clock_offset_ms,
        "ca_expires": view.cluster_ca_certificate().and_then(|ca| Some(Validity::of(ca).ok()?.not_after)),
        "master_key": view.master_key_fingerprint().map(|fingerprint| hex(&fingerprint)),
        "next_master_key": view.next_master_key().map(|next| json!({
            "fingerprint": hex(&next.fingerprint),
            "waits": view.master_key_waits(next, session.cluster.now().millis()),
        })),
        "lost": view.lost_nodes_pending().map(|lost| json!({"id": lost.id, "name": lost.name})).collect::<Vec<_>>(),
        "nodes": nodes,
        "given_up": given_up,
        "missing": health.missing(&status, &published).iter().map(Missing::json).collect::<Vec<_>>(),
        "problems": problems.all().iter().map(|(file, problem)| json!({"file": file, "problem": problem})).collect::<Vec<_>>(),
    }))
}

/// Whom this node gave up when it began a generation, and who of them knows.
async fn given_up(paths: &Paths) -> Vec<Value> {
    let paths = paths.clone();
    let read = tokio::task::spawn_blocking(move || KeptList::all(&paths)).await;
    // What can't be read is in the log of the node: it tells nobody then.
    let lists = read.ok().and_then(Result::ok).unwrap_or_default();
    let nodes = lists.into_iter().flat_map(|list| {
        let generation = list.given_up.generation;
        list.given_up.nodes.into_iter().map(move |told| (generation, told))
    });
    let one = |(generation, told): (u64, Told)| {
        json!({
            "id": told.node.id,
            "name": told.node.name,
            "url": told.node.client_url,
            "peer": told.node.peer_address,
            "generation": generation,
            "told_at": told.told_at_ms.map(audit::timestamp),
        })
    };
    nodes.map(one).collect()
}

/// Makes a join token. Its secret is derived, so the log holds only its hash, and every node can check a proof.
pub(crate) async fn mint_join_token(session: &Session<'_>) -> Result<MintedJoinToken, Failure> {
    session.require_admin("let nodes join").await?;
    let published = reading::current(session.cluster).await?;
    let view = &published.view;
    let refresh = session.cluster.keys().refresh_secret(view).map_err(|error| sealed(&error))?;
    let ca = view.cluster_ca_certificate().ok_or_else(|| refusal::failure(&Refusal::NotBootstrapped))?;
    let mut id = [0; 16];
    rand::fill(&mut id);
    let secret = refresh.join_secret(&id);
    let hash = join_token::hash_of(&secret);
    let decided = session.decide(Action::MintJoinToken(MintJoinToken { hash })).await?;
    let view = &session.published().view;
    let expires_at = view.join_token(&hash).map_or(0, |token| token.expires_at);
    let addresses = addresses(view);
    let token = JoinToken { ca_fingerprint: certificates::fingerprint(ca), id, secret, addresses };
    session.record(Change::Created, Entity::Node, "join-token", json!({"added": {"expires": expires_at}}))?;
    Ok(MintedJoinToken { text: token.to_text(), expires_at, index: decided.index })
}

/// Removes a node, named by its name or id, from the membership. Its id never returns.
pub(crate) async fn remove(session: &Session<'_>, named: &str) -> Result<(), Failure> {
    session.require_admin("remove nodes").await?;
    session.admit_write()?;
    remove_member(session, named).await.map(drop)
}

/// The same, once the caller may. Returns the node's id and name.
pub(super) async fn remove_member(session: &Session<'_>, named: &str) -> Result<(u64, String), Failure> {
    let (id, name) = find(session, named).await?;
    let voters = session.published().view.nodes().filter(|node| node.role == NodeRole::Voter).count();
    if voters == 1 && session.published().view.node(id).is_some_and(|node| node.role == NodeRole::Voter) {
        return Err(Failure::new(
            Code::Conflict,
            "last_voter",
            "this is the only voting node of the cluster",
        )
        .with_detail("add another node first, with circlet cluster token and circlet join"));
    }
    session.cluster.remove(id).await.map_err(|error| removal_failure(&error))?;
    acknowledge_removal(session, id).await?;
    session.record(Change::Deleted, Entity::Node, &name, json!({"removed": {"id": id, "name": name}}))?;
    tracing::info!(node = id, %name, "node removed");
    Ok((id, name))
}

/// Where a floor is required, the removal must be on this node's. Its own a node learns of last, and vouches for nothing after it.
async fn acknowledge_removal(session: &Session<'_>, id: u64) -> Result<(), Failure> {
    let cluster = session.cluster;
    if id == cluster.status().id || !session.published().view.floor_is_required() {
        return Ok(());
    }
    let removed = reading::fresh(cluster).await?.index;
    cluster.may_acknowledge(removed).await.map_err(|error| refusal::unavailable(&error))
}

/// Hands leadership to a voting node, named by its name or id.
pub(crate) async fn transfer(session: &Session<'_>, named: &str) -> Result<(), Failure> {
    session.require_admin("transfer the leadership").await?;
    let (id, name) = find(session, named).await?;
    session.admit_write()?;
    session.cluster.transfer(id).await.map_err(|error| member_failure(&error))?;
    session.record(Change::Updated, Entity::Node, &name, json!({"changed": {"leader": id}}))?;
    Ok(())
}

/// The node with this name or id, in a view that is fresh if the first one doesn't hold it.
async fn find(session: &Session<'_>, named: &str) -> Result<(u64, String), Failure> {
    let published = reading::holding(session.cluster, |view| matching(view, named).is_some()).await?;
    let published =
        published.ok_or_else(|| Failure::not_found(format!("no node has the name or id '{named}'")))?;
    let node = matching(&published.view, named).expect("the view was chosen because it holds the node");
    Ok((node.record.id, node.record.name.clone()))
}

pub(super) fn matching<'a>(view: &'a State, named: &str) -> Option<&'a Node> {
    let mut nodes = view.nodes();
    nodes.find(|node| node.record.name == named || node.record.id.to_string() == named).map(AsRef::as_ref)
}

fn describe(node: &Node, status: &Status) -> Value {
    let record = &node.record;
    let member = status.members.get(&record.id);
    json!({
        "id": record.id,
        "name": record.name,
        "url": record.client_url,
        "peer": record.peer_address,
        "role": node_role_text(node.role),
        "supports": node.supports,
        "leader": status.leader == Some(record.id),
        "matched": member.and_then(|member| member.matched),
        "clock_offset_ms": member.and_then(|member| member.clock_offset_ms),
        "set_back": member.is_some_and(|member| member.set_back),
        // Voters ask each other for the time every second; who has not told it for ten is not reached.
        "answers": member.filter(|member| member.voter).map(|member| member.clock_offset_ms.is_some()),
    })
}

fn node_role_text(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Admitted => "admitted",
        NodeRole::Learner => "learner",
        NodeRole::Voter => "voter",
    }
}

fn role_text(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Stopped => "stopped",
    }
}

/// Where a joiner may knock: voters first.
fn addresses(view: &State) -> Vec<String> {
    let mut nodes: Vec<&Node> = view.nodes().map(AsRef::as_ref).collect();
    nodes.sort_by_key(|node| node.role != NodeRole::Voter);
    nodes.into_iter().take(ADDRESSES_MAX).map(|node| node.record.peer_address.clone()).collect()
}

/// Where no majority answers, no removal can be decided, however often it is asked for.
fn removal_failure(error: &MemberError) -> Failure {
    let failure = member_failure(error);
    let why = failure.detail.clone().map(|why| format!("{why}; ")).unwrap_or_default();
    failure.with_detail(format!("{why}{GONE_FOR_GOOD}"))
}

fn member_failure(error: &MemberError) -> Failure {
    match error {
        MemberError::Refused(why) => Failure::new(Code::Conflict, "membership", why.clone()),
        MemberError::Unavailable(why) => {
            Failure::unavailable("membership", "the membership may not have changed").with_detail(why.clone())
        }
    }
}

fn sealed(error: &crate::keys::KeyUnavailable) -> Failure {
    Failure::new(Code::Internal, "sealed", "a secret of the cluster can't be opened")
        .with_detail(error.to_string())
}
