//! Having a neighbour revoke a token of its own: the product's own lines, over the way between the clusters. What a verdict
//! says is the simulator's own; whom it is believed of is the product's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use circlet_authority::{
    Actor, Command, Outcome, Progress, RevokeForMember, RevokeNote, Revoked, SealedKind, State,
};
use circlet_raft::Clocks;
use circlet_token::feed::CirclePublicKey;
use circlet_token::{ServiceId, TokenId};
use openraft_rt::AsyncRuntime;

use super::Neighbour;
use super::following::own;
use super::way::Host;
use crate::cluster::ask;
use crate::floor;
use crate::forward::{Order, RANDOM_BYTES, challenge};
use crate::machine::Member;
use crate::orders::{self, Hosts, Judged, Unjudged};
use crate::plant::Plant;
use crate::runtime::NodeRuntime;
use crate::scope::{self, Scope};

/// How long one host may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// The administrator who wants it.
const BY: &str = "admin";

/// What the issuer has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// The token has ended, as of an index of the issuer's log; `seen` unless only its id was known. Maybe others with it.
    Revoked {
        /// The last index that took part in it.
        index: u64,
        /// Whether the issuer knew the token.
        seen: bool,
        /// What has ended.
        ids: Vec<TokenId>,
    },
    /// It revokes nothing: there is no such token, or the member may not ask for it.
    Not,
}

impl Ordered {
    pub(super) fn to_text(&self) -> String {
        let Self::Revoked { index, seen, ids } = self else { return "not".to_owned() };
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        format!("{index} {seen} {}", ids.join(","))
    }

    fn is_done(text: &str) -> bool {
        Self::read(text) != Self::Not
    }

    fn read(text: &str) -> Self {
        let mut parts = text.split(' ');
        let index = parts.next().and_then(|index| index.parse().ok());
        let (seen, ids) = (parts.next() == Some("true"), parts.next().unwrap_or_default());
        let ids = ids.split(',').filter_map(|id| TokenId::parse(id).ok()).collect();
        index.map_or(Self::Not, |index| Self::Revoked { index, seen, ids })
    }
}

/// Has a neighbour asked, by this node, to revoke one of its tokens.
///
/// # Errors
/// There is no verdict.
pub(crate) async fn order(
    member: Arc<Member>,
    neighbour: Neighbour,
    id: TokenId,
    cascade: bool,
) -> Result<Ordered, Unjudged> {
    let nothing_sent = |why: &str| Unjudged::Unreachable(why.to_owned());
    let scope = scope::current().ok_or_else(|| nothing_sent("the node died"))?;
    let published = member.fresh(None).await.map_err(|error| Unjudged::Unreachable(error.0))?;
    let view = &published.view;
    let known = view.member(&neighbour.service).ok_or_else(|| nothing_sent("it is no member"))?;
    if matches!(known.progress, Progress::Broken { .. }) {
        return Err(nothing_sent("its feed contradicted itself"));
    }
    let theirs = known.circle_key().ok_or_else(|| nothing_sent("it has no circle key"))?;
    let forgotten = || CirclePublicKey::of(&*neighbour.way.key_of_thief()?);
    let planted = scope.history().plant() == Plant::OldVerdicts;
    let theirs = planted.then(forgotten).flatten().unwrap_or(theirs);
    let us = view.service_id().ok_or_else(|| nothing_sent("there is no cluster"))?;
    let ours = own(view, &SealedKind::CircleKey).ok_or_else(|| nothing_sent("no circle key of ours"))?;
    let issuer = &known.approved.issuer;
    let wanted = Order { issuer, member: us, challenge: Vec::new(), nonce: [0; 32], id, cascade, by: BY };
    let there = There { us: us.clone(), scope, neighbour, believed: theirs };
    let text =
        orders::verdict(&there, &known.approved.hosts, &wanted, (&ours, theirs), Ordered::is_done).await?;
    Ok(Ordered::read(&text))
}

/// The issuer's hosts, over the way to it.
pub(super) struct There {
    us: ServiceId,
    scope: Arc<Scope>,
    pub(super) neighbour: Neighbour,
    /// The circle key that is believed of it.
    pub(super) believed: CirclePublicKey,
}

impl There {
    /// What a node there does, as far as the way leads to it; nobody else knows how to answer.
    pub(super) async fn carry<T, F>(
        &self,
        host: &str,
        work: impl FnOnce(Arc<Member>) -> F + Send,
    ) -> Result<T, String>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, String>> + Send + 'static,
    {
        let way = &self.neighbour.way;
        let carried = async {
            way.ask().await;
            let host = self.neighbour.host(host, way.dice()).ok_or("nobody is there")?;
            let answer = ask(&host, work).await.ok_or("the host died")??;
            way.answer().await;
            Ok(answer)
        };
        let carried = NodeRuntime::timeout(ANSWER_TIMEOUT, carried).await;
        carried.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// Whoever speaks in the issuer's place says that it is done, with a token key of the issuer's that was stolen; where
    /// that is planted, it is taken for the circle key's word.
    fn lie(&self, order: &Order<'_>) -> Option<(String, Vec<u8>)> {
        let theirs = self.neighbour.cluster()?;
        let view = theirs.view()?;
        let planted = self.scope.history().plant() == Plant::AnyVerdict;
        let which = if planted {
            SealedKind::CircleKey
        } else {
            SealedKind::TokenKey(view.active_key()?.kid.clone())
        };
        let verdict = Ordered::Revoked { index: view.index(), seen: true, ids: vec![order.id] }.to_text();
        let signature = order.sign_verdict(&theirs.unseal(&view, &which)?, &verdict);
        Some((verdict, signature))
    }
}

impl Hosts for There {
    async fn challenge(&self, host: &str) -> Result<Vec<u8>, String> {
        let way = &self.neighbour.way;
        if way.host() != Host::Honest {
            return Ok(way.dice().bytes().to_vec());
        }
        let (us, random) = (self.us.clone(), way.dice().bytes());
        self.carry(host, move |member| async move { challenged(&member, &us, random) }).await
    }

    fn nonce(&self) -> [u8; 32] {
        let (mut nonce, dice) = ([0; 32], self.neighbour.way.dice());
        let (low, high) = nonce.split_at_mut(16);
        low.copy_from_slice(&dice.bytes());
        high.copy_from_slice(&dice.bytes());
        nonce
    }

    async fn order(
        &self,
        host: &str,
        order: &Order<'_>,
        signature: &[u8],
    ) -> Result<(String, Vec<u8>), String> {
        let way = &self.neighbour.way;
        if let Some(stolen) = way.stolen() {
            return Ok(self.verdict_of_thief(host, order, signature, stolen).await);
        }
        match way.host() {
            Host::Honest => {
                let sent = Sent::of(order, signature);
                let verdict = self.carry(host, move |member| judged(member, sent)).await?;
                way.overhear_verdict(&verdict);
                Ok(verdict)
            }
            Host::Replays => way.repeated_verdict().ok_or_else(|| "nothing was heard yet".to_owned()),
            Host::Forges => self.lie(order).ok_or_else(|| "nobody is there".to_owned()),
        }
    }
}

/// An order on its way.
pub(super) struct Sent {
    member: ServiceId,
    challenge: Vec<u8>,
    nonce: [u8; 32],
    id: TokenId,
    cascade: bool,
    by: String,
    signature: Vec<u8>,
}

impl Sent {
    pub(super) fn of(order: &Order<'_>, signature: &[u8]) -> Self {
        Self {
            member: order.member.clone(),
            challenge: order.challenge.clone(),
            nonce: order.nonce,
            id: order.id,
            cascade: order.cascade,
            by: order.by.to_owned(),
            signature: signature.to_vec(),
        }
    }

    fn order<'a>(&'a self, issuer: &'a ServiceId) -> Order<'a> {
        Order {
            issuer,
            member: &self.member,
            challenge: self.challenge.clone(),
            nonce: self.nonce,
            id: self.id,
            cascade: self.cascade,
            by: &self.by,
        }
    }
}

/// What challenges are made with: the beginning of the refresh secret.
fn challenge_secret(scope: &Scope, view: &State) -> Result<[u8; 32], String> {
    let which = SealedKind::RefreshSecret;
    let secret = view.sealed(&which).and_then(|sealed| scope.ring().of(&sealed.under)?.open(&which, sealed));
    secret
        .and_then(|secret| secret.first_chunk().copied())
        .ok_or_else(|| "the secret can't be had".to_owned())
}

/// A node's time by this view, in seconds.
fn now_secs(scope: &Scope, view: &State) -> u64 {
    scope.wall_ms().max(view.now_ms()) / 1_000
}

fn challenged(member: &Member, by: &ServiceId, random: [u8; RANDOM_BYTES]) -> Result<Vec<u8>, String> {
    let scope = scope::current().ok_or("the node died")?;
    let view = &member.published().view;
    Ok(challenge(&challenge_secret(&scope, view)?, by, now_secs(&scope, view), random))
}

/// What a node of the issuer's answers to an order.
pub(super) async fn judged(member: Arc<Member>, sent: Sent) -> Result<(String, Vec<u8>), String> {
    let scope = scope::current().ok_or("the node died")?;
    let published = member.fresh(None).await.map_err(|error| error.0)?;
    let view = &published.view;
    let secret = challenge_secret(&scope, view)?;
    let order = sent.order(view.service_id().ok_or("there is no cluster")?);
    let asking = orders::heard(view, &secret, now_secs(&scope, view), &order, &sent.signature)?;
    let (issuer, since) = (sent.member.clone(), asking.since_index);
    let revoke = RevokeForMember { issuer, member: since, id: sent.id, cascade: sent.cascade };
    let key = own(view, &SealedKind::CircleKey).ok_or("the circle key can't be had")?;
    let verdict = carried_out(&member, &revoke).await?.to_text();
    let signature = order.sign_verdict(&key, &verdict);
    Ok((verdict, signature))
}

async fn carried_out(member: &Arc<Member>, revoke: &RevokeForMember) -> Result<Ordered, String> {
    let last = AtomicU64::new(0);
    let judged = orders::carry_out(revoke, |action| async {
        let command = Command { actor: Actor::System, action }.encode();
        let committed = member.propose(command).await.map_err(|error| error.to_string())?;
        floor::may_acknowledge(member, committed.index).await?;
        last.store(committed.index, Ordering::SeqCst);
        Outcome::decode(&committed.outcome).map_err(|error| error.to_string())
    });
    match judged.await? {
        Judged::Revoked { first, .. } => {
            let Revoked { ids, note, .. } = *first;
            let seen = !matches!(note, RevokeNote::ListedUnseen { .. });
            let index = last.load(Ordering::SeqCst);
            Ok(Ordered::Revoked { index, seen, ids })
        }
        Judged::Unknown | Judged::Refused(_) => Ok(Ordered::Not),
        Judged::Unforeseen => Err("the log answered something else".to_owned()),
    }
}
