//! Secrets that an administrator has replaced: the master key, the cluster's CA, and all that a lost node knew.
//!
//! Each answer comes when all of it is done. Where that takes longer than a request may, the answer is 503 and says what is
//! waited for; the nodes go on by themselves, and asking again waits further.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{
    Action, ClusterCa, DeclareLost, NodeRole, Outcome, Refusal, ReplaceCa, SealedKind, State,
};
use serde_json::json;
use tokio::time::Instant;

use super::failure::{Code, Failure};
use super::{Session, cluster, reading, refusal};
use crate::audit::{Change, Entity};
use crate::certificates::{self, Validity};
use crate::clock;
use crate::home::Paths;
use crate::keys::KeyUnavailable;
use crate::node::opening;
use crate::seal::hex;
use crate::turnover::{self, NotTurned};

/// How long a request waits until all is done: below what clients wait for an answer.
const WAIT: Duration = Duration::from_secs(25);
/// How soon it sees that.
const LOOK: Duration = Duration::from_millis(50);

/// The master key that took the place of another.
pub(crate) struct MasterKeyTurned {
    /// Its fingerprint.
    pub(crate) fingerprint: [u8; 32],
    /// The fingerprint of the one before.
    pub(crate) former: [u8; 32],
    /// A view that holds it.
    pub(crate) index: u64,
}

/// Puts a new master key in the place of the present one. One that is on its way is waited for.
pub(crate) async fn rotate_master_key(
    session: &Session<'_>,
    paths: &Paths,
) -> Result<MasterKeyTurned, Failure> {
    session.require_admin("replace the master key").await?;
    let published = reading::fresh(session.cluster).await?;
    let view = &published.view;
    let former = view.master_key_fingerprint().ok_or_else(|| refusal::failure(&Refusal::NotBootstrapped))?;
    let now_ms = session.cluster.now().millis();
    let coming = view.next_master_key().filter(|next| !view.is_master_key_given_up(next, now_ms));
    let fingerprint = if let Some(next) = coming {
        next.fingerprint
    } else {
        session.admit_write()?;
        let patience = u64::try_from(view.config().verify_max_isolation).unwrap_or(0);
        let announced = turnover::announce(session.cluster, paths, session.actor()?, former, patience).await;
        let fingerprint = announced.map_err(not_turned)?;
        let data = json!({"added": {"fingerprint": hex(&fingerprint), "replaces": hex(&former)}});
        session.record(Change::Created, Entity::Key, "master-key", data)?;
        fingerprint
    };
    // Also in the file of this node: whoever asked may want to keep a copy of it.
    let is_in_place = || opening::master_key(paths).is_ok_and(|key| key.fingerprint() == fingerprint);
    let holds = |view: &State| view.master_key_fingerprint() == Some(fingerprint) && is_in_place();
    let view = until(session, holds, |view| master_key_waits(session, view)).await?;
    Ok(MasterKeyTurned { fingerprint, former, index: view.index() })
}

/// What the next master key waits for, in words.
fn master_key_waits(session: &Session<'_>, view: &State) -> String {
    let Some(next) = view.next_master_key() else { return "the nodes".to_owned() };
    let why = view.master_key_waits(next, session.cluster.now().millis());
    let why = why.unwrap_or_else(|| "the secrets are being sealed under it".to_owned());
    format!("the master key with the fingerprint {} is on its way: {why}", hex(&next.fingerprint))
}

/// The CA that took the place of another.
pub(crate) struct CaTurned {
    /// Its certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// Until when it is valid, in seconds since 1970.
    pub(crate) not_after: i64,
    /// The log index of the decision.
    pub(crate) index: u64,
}

/// Puts a CA on a new key in the place of the cluster's. The nodes' certificates follow by themselves; peers are held to
/// their keys, so no connection breaks.
pub(crate) async fn rotate_ca(session: &Session<'_>) -> Result<CaTurned, Failure> {
    session.require_admin("replace the cluster's CA").await?;
    let published = reading::fresh(session.cluster).await?;
    let view = &published.view;
    let service_id = view.service_id().map(ToString::to_string).unwrap_or_default();
    let lifetime = Duration::from_secs(u64::try_from(view.config().ca_lifetime).unwrap_or(0));
    let broken = |error: certificates::CertificateProblem| {
        Failure::new(Code::Internal, "key_not_made", "a new CA could not be made")
            .with_detail(error.to_string())
    };
    let made = certificates::cluster_ca(&service_id, clock::wall_ms(), lifetime).map_err(broken)?;
    let sealed = session.cluster.keys().seal(view, &SealedKind::ClusterCa, &made.private_key);
    let private_key = sealed.map_err(|error| unusable(&error))?;
    let certificate = made.certificate;
    let replace = ReplaceCa {
        replaces: view.cluster_ca_certificate().unwrap_or_default().to_vec(),
        ca: ClusterCa { certificate_der: certificate.clone(), private_key },
    };
    let decided = session.decide(Action::ReplaceCa(Box::new(replace))).await?;
    let not_after = Validity::of(&certificate).map_err(broken)?.not_after;
    let data = json!({"changed": {"ca": "replaced", "expires": not_after}});
    session.record(Change::Updated, Entity::Key, "cluster-ca", data)?;
    tracing::info!(not_after, "the cluster's CA was replaced");
    Ok(CaTurned { certificate, not_after, index: decided.index })
}

/// A node that is gone, and of whose secrets none counts any more.
pub(crate) struct Lost {
    /// Its id.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: String,
    /// The log index at which the last of what it knew was replaced.
    pub(crate) replaced: u64,
    /// A view that holds that.
    pub(crate) view: Arc<State>,
}

/// Removes a node whose disk somebody may have, if it is a member still, and replaces what it knew. Like a revoke, it
/// doesn't wait for an audit log that can't be written.
pub(crate) async fn remove_lost(session: &Session<'_>, named: &str) -> Result<Lost, Failure> {
    session.require_admin("remove nodes").await?;
    let member = reading::holding(session.cluster, |view| cluster::matching(view, named).is_some()).await?;
    let (id, name) = if member.is_some() {
        cluster::remove_member(session, named).await?
    } else {
        removed(&session.published().view, named)
            .ok_or_else(|| Failure::not_found(format!("no node has, or had, the name or id '{named}'")))?
    };
    declare(session, id).await?;
    let data = json!({"changed": {"id": id, "name": name, "state": "lost"}});
    session.record(Change::Updated, Entity::Node, &name, data)?;
    let replaced = |view: &State| view.lost_node(id).and_then(|lost| lost.replaced);
    let waits = |view: &State| {
        format!(
            "node {name} is removed, and what it knew is being replaced: {}",
            master_key_waits(session, view)
        )
    };
    let view = until(session, |view| replaced(view).is_some(), waits).await?;
    let at = replaced(&view).unwrap_or_default();
    Ok(Lost { id, name, replaced: at, view })
}

/// A node that was removed, the latest of that name.
fn removed(view: &State, named: &str) -> Option<(u64, String)> {
    let mut all = view.removed_nodes().rev();
    let found = all.find(|node| node.record.name == named || node.record.id.to_string() == named)?;
    Some((found.record.id, found.record.name.clone()))
}

async fn declare(session: &Session<'_>, node: u64) -> Result<(), Failure> {
    let deadline = Instant::now() + WAIT;
    loop {
        let action = Action::DeclareLost(DeclareLost { node });
        let decided = session.cluster.decide(session.actor()?, action).await;
        let decided = decided.map_err(|error| refusal::unavailable(&error))?;
        match decided.outcome {
            Outcome::Refused(refused) => match *refused {
                // The last entry of its removal is on its way.
                Refusal::NodeNotRemoved { .. } if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                refused => return Err(refusal::failure(&refused)),
            },
            Outcome::NotFound { what } => return Err(Failure::not_found(format!("there is no {what}"))),
            _ => return Ok(()),
        }
    }
}

/// Waits until a view says that it is done.
async fn until(
    session: &Session<'_>,
    done: impl Fn(&State) -> bool,
    waits: impl Fn(&State) -> String,
) -> Result<Arc<State>, Failure> {
    let deadline = Instant::now() + WAIT;
    loop {
        let view = Arc::clone(&session.published().view);
        if done(&view) {
            return Ok(view);
        }
        if Instant::now() >= deadline {
            return Err(Failure::unavailable(
                "not_finished",
                "it is not finished yet; it goes on by itself, and asking again waits further",
            )
            .with_detail(waits(&view)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn not_turned(error: NotTurned) -> Failure {
    match error {
        NotTurned::Refused(refused) => refusal::failure(&refused),
        NotTurned::Undecided(error) => refusal::unavailable(&error),
        other => Failure::new(Code::Internal, "key_not_made", "a new master key could not be made")
            .with_detail(other.to_string()),
    }
}

fn unusable(error: &KeyUnavailable) -> Failure {
    Failure::unavailable("key_unavailable", "this node cannot use the cluster's keys")
        .with_detail(error.to_string())
}

/// What a person has to see to after a node was lost.
pub(crate) fn left_to_do(view: &State) -> Vec<&'static str> {
    let mut left = vec![
        "every access, refresh, reference and join token of before is refused: clients log in anew",
        "give clusters and services that verify tokens the new root certificate (etc/keys/root.crt)",
        "look whether all nodes are yours (circlet cluster status): with that disk others could join before",
        "give clients that trust the cluster's CA the new one (etc/security/ca.crt)",
        "where master.key or join.key are placed by files, place the new master.key (of any node) and another join.key",
        "hashes of passwords were on the lost disk: users with passwords that can be guessed need others",
    ];
    if view.circle_key().is_some() {
        left.push(
            "the circle key was NOT replaced, and the node knew it: each member of the circle dismisses this cluster and \
             pairs anew (circlet circle)",
        );
    }
    if view.nodes().filter(|node| node.role == NodeRole::Voter).count() < 3 {
        left.push("fewer than three voting nodes are left: let another join (circlet cluster token)");
    }
    left
}
