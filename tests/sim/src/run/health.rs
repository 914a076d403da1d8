//! Whether a cluster is well once nothing is wrong any more.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Progress, SealedKind, State};
use circlet_raft::{Clocks, NodeId};
use circlet_token::{Audience, Claims, Scope, ServiceId, TokenId, mint};
use openraft_rt::AsyncRuntime;

use crate::cluster::{Cluster, Computer, ask};
use crate::floor;
use crate::history::{Event, History};
use crate::house;
use crate::machine::tell_whole;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::turnover;
use crate::workload::{Verdict, judged};

/// How long the cluster may take to recover once nothing is wrong any more.
const RECOVERY_MS: u64 = 30_000;

/// Liveness: in a while there is one leader, everyone is in the same state, and every node takes fresh reads.
pub(super) async fn recover(cluster: &Arc<Cluster>, history: &History) {
    let mut why = "nothing was tried".to_owned();
    let deadline = global_nanos() + RECOVERY_MS * 1_000_000;
    while global_nanos() < deadline && history.violation().is_none() {
        NodeRuntime::sleep(Duration::from_millis(250)).await;
        match healthy(cluster, history).await {
            Ok(()) => return,
            Err(reason) => why = reason,
        }
    }
    if history.violation().is_none() {
        history.accuse("liveness", format!("after {RECOVERY_MS} ms without faults: {why}"));
    }
}

async fn healthy(cluster: &Arc<Cluster>, history: &History) -> Result<(), String> {
    let mut leaders: Vec<Option<NodeId>> = Vec::new();
    for computer in cluster.computers() {
        let id = computer.id;
        let (scope, member) = computer.node().ok_or_else(|| format!("node {id} is down"))?;
        let status = member.status();
        if let Some(stopped) = status.stopped {
            return Err(format!("node {id} has stopped itself: {stopped}"));
        }
        if !cluster.knows_all(&computer) {
            return Err(format!("node {id} knows other voters than there are: {:?}", status.members.keys()));
        }
        leaders.push(status.leader);
        let sent = global_nanos();
        let fresh = ask(&computer, |member| async move { member.fresh(None).await }).await;
        let fresh = fresh.ok_or_else(|| format!("node {id} died"))?;
        let seen = fresh.map_err(|error| format!("node {id} can't prove freshness: {}", error.0))?;
        history.tell(&Event::Fresh { node: id, index: seen.index, sent });
        tell_whole(&scope, &seen.view);
        floor::stands_well(&computer)?;
    }
    leaders.dedup();
    if leaders.len() == 1 && leaders.iter().all(Option::is_some) {
        turnover::keeps_well(cluster)?;
        cluster.is_upgraded()?;
        return follows_well(cluster).await;
    }
    Err(format!("they don't agree who leads: {leaders:?}"))
}

/// What a cluster lacks of following its neighbours well: each node knows their feeds afresh, nothing that happened on the way
/// ended the belief in them, their tokens are good here, and no key of ours waits for them.
async fn follows_well(cluster: &Cluster) -> Result<(), String> {
    for neighbour in cluster.neighbours() {
        let Some(theirs) = neighbour.cluster() else { continue };
        let token = token_of(&theirs).ok_or("the neighbours can't sign")?;
        for computer in cluster.computers() {
            let id = computer.id;
            knows_well(&computer, &neighbour.service).map_err(|why| format!("node {id}: {why}"))?;
            let text = Arc::clone(&token);
            let verdict = ask(&computer, move |member| judged(member, text)).await;
            match verdict.ok_or_else(|| format!("node {id} died"))? {
                Verdict::Accepted { .. } => {}
                Verdict::Refused { why, .. } => {
                    return Err(format!("node {id} refuses a plain token of the neighbours: {why}"));
                }
                Verdict::Stale => return Err(format!("node {id} can't vouch for a token of the neighbours")),
            }
        }
    }
    Ok(())
}

/// What a node lacks of knowing a neighbour well.
fn knows_well(computer: &Computer, neighbour: &ServiceId) -> Result<(), String> {
    let (scope, member) = computer.node().ok_or("it is down")?;
    let published = member.published();
    let view = &published.view;
    let followed = view.member(neighbour).ok_or("the neighbours are no member")?;
    if matches!(followed.progress, Progress::Broken { .. }) {
        return Err(format!("it believes the neighbours no more: {:?}", followed.faults));
    }
    let most = u64::try_from(view.config().circle_max_staleness_ms).unwrap_or(0);
    let age = published.sources.age_ms(followed.since_index, Clocks::now(&*scope));
    if age.is_none_or(|age| age > most) {
        return Err(format!("what it knows of the neighbours' feed is {age:?} ms old"));
    }
    let waits_for = |key| view.members_unaware(key).next();
    match view.next_key().and_then(waits_for) {
        Some(member) => Err(format!("the next key waits for {}", member.approved.issuer)),
        None => Ok(()),
    }
}

/// A plain token as a cluster signs them now.
fn token_of(cluster: &Cluster) -> Option<Arc<str>> {
    let view: Arc<State> = cluster.view()?;
    let key = view.active_key()?;
    let now = view.now_ms() / 1_000;
    let claims = Claims {
        revocable: None,
        subject: house::subject(&cluster.service, "alice"),
        scope: Scope::parse("applied-permissions/user").expect("the scope of a user"),
        audience: Audience::any(),
        issuer: cluster.service.clone(),
        expires_at: Some(now + 4),
        issued_at: now,
        not_before: None,
        id: Some(TokenId([7; 16])),
        index: Some(view.index()),
    };
    let signer = cluster.unseal(&view, &SealedKind::TokenKey(key.kid.clone()))?;
    Some(mint(&claims, &key.kid, &signer).into())
}
