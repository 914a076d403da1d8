//! Following the neighbour: the product's own lines, on this node's clocks and log, over the way between the clusters.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, Command, Outcome, SealedKind, State};
use circlet_raft::{Clocks, Instants, Published, Role, SourceId};
use circlet_token::feed::{FeedAnswer, FeedPosition};
use openraft_rt::AsyncRuntime;

use super::Neighbour;
use super::way::Host;
use crate::cluster::ask;
use crate::follow::{self, Asked, Leader, Place};
use crate::house;
use crate::machine::Member;
use crate::plant::Plant;
use crate::runtime::NodeRuntime;
use crate::scope::{self, Scope};
use crate::serve;

/// How often a node looks whether it leads.
const LOOK: Duration = Duration::from_millis(250);
/// How often a node that was asked to wait looks whether there is something new.
const NEWS_LOOK: Duration = Duration::from_millis(20);

/// Follows the neighbour while this node leads, as long as it runs.
pub(crate) async fn follow(member: Arc<Member>, neighbour: Neighbour) {
    loop {
        NodeRuntime::sleep(LOOK).await;
        if member.status().role != Role::Leader {
            continue;
        }
        let Some(scope) = scope::current() else { return };
        let Some(followed) = member.published().view.members_followed().next().cloned() else { continue };
        let (approved, since_index) = (&followed.approved, followed.since_index);
        if scope.history().plant() == Plant::FeedFreshAtOnce {
            member.prove_source(since_index, scope.now());
        }
        let here = Here { member: Arc::clone(&member), scope, neighbour: neighbour.clone() };
        let following = follow::member(here, approved, since_index);
        let _ = NodeRuntime::select2(Box::pin(following), Box::pin(until_another_leads(&member))).await;
        member.forget_sources();
    }
}

async fn until_another_leads(member: &Member) {
    while member.status().role == Role::Leader {
        NodeRuntime::sleep(LOOK).await;
    }
}

struct Here {
    member: Arc<Member>,
    scope: Arc<Scope>,
    neighbour: Neighbour,
}

impl Here {
    fn has(&self, plant: Plant) -> bool {
        self.scope.history().plant() == plant
    }

    async fn carry(&self, host: &str, question: Question) -> Result<Vec<u8>, String> {
        let way = &self.neighbour.way;
        way.ask().await;
        let theirs = self.neighbour.cluster().ok_or("the neighbours are gone")?;
        let answer = match way.host() {
            Host::Honest => {
                let host = self.neighbour.host(host, way.dice()).ok_or("nobody is there")?;
                let answer = ask(&host, move |member| answered(member, question)).await;
                let answer = answer.ok_or("the host died")??;
                way.overhear(&answer);
                answer
            }
            Host::Replays => way.repeated().ok_or("nothing was heard yet")?,
            Host::Forges => {
                let at = match question.place {
                    Asking::After { at, .. } => at,
                    Asking::Page { .. } => FeedPosition::default(),
                };
                way.made_up(&theirs.service, question.nonce, at)
            }
        };
        drop(theirs);
        way.answer().await;
        Ok(answer)
    }
}

impl Leader for Here {
    fn published(&self) -> Arc<Published<State>> {
        self.member.published()
    }

    fn instants(&self) -> Instants {
        self.scope.now()
    }

    fn now_ms(&self, view: &State) -> u64 {
        self.scope.wall_ms().max(view.now_ms())
    }

    fn nonce(&self) -> [u8; 32] {
        if self.has(Plant::SameNonce) {
            return [7; 32];
        }
        let (mut nonce, dice) = ([0; 32], self.neighbour.way.dice());
        let (low, high) = nonce.split_at_mut(16);
        low.copy_from_slice(&dice.bytes());
        high.copy_from_slice(&dice.bytes());
        nonce
    }

    fn prove_source(&self, source: SourceId, noted: Instants) {
        let noted = if self.has(Plant::LateFeedCredit) { self.scope.now() } else { noted };
        self.member.prove_source(source, noted);
    }

    async fn decide(&self, action: Action) -> Result<Outcome, String> {
        let command = Command { actor: Actor::System, action }.encode();
        let committed = self.member.propose(command).await.map_err(|error| error.to_string())?;
        Outcome::decode(&committed.outcome).map_err(|error| error.to_string())
    }

    async fn ask(&self, host: &str, asked: Asked<'_>, deadline: Duration) -> Result<Vec<u8>, String> {
        let question = Question { nonce: asked.nonce, place: Asking::of(asked.place) };
        let carried = NodeRuntime::timeout(deadline, self.carry(host, question)).await;
        carried.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn pause(&self, time: Duration) {
        NodeRuntime::sleep(time).await;
    }
}

/// A question on its way.
struct Question {
    nonce: [u8; 32],
    place: Asking,
}

enum Asking {
    After { at: FeedPosition, wait: Duration },
    Page { cursor: Vec<u8> },
}

impl Asking {
    fn of(place: Place<'_>) -> Self {
        match place {
            Place::After { at, wait } => Self::After { at, wait },
            Place::Page { cursor } => Self::Page { cursor: cursor.to_vec() },
        }
    }
}

/// What a node answers, by a view that was proved fresh after the question came.
async fn answered(member: Arc<Member>, question: Question) -> Result<Vec<u8>, String> {
    if let Asking::After { at, wait } = question.place {
        let news = async {
            while member.published().view.feed_end() == at {
                NodeRuntime::sleep(NEWS_LOOK).await;
            }
        };
        // Nothing new in time is an answer too.
        let _ = NodeRuntime::timeout(wait, news).await;
    }
    let planted = scope::current().is_some_and(|scope| scope.history().plant() == Plant::UnprovedHeads);
    let published =
        if planted { member.published() } else { member.fresh(None).await.map_err(|error| error.0)? };
    let view = &published.view;
    let (content, position) = match &question.place {
        Asking::After { at, .. } => serve::entries(view, at),
        Asking::Page { cursor } => serve::page(view, cursor).ok_or("that is no cursor")?,
    };
    let issuer = view.service_id().ok_or("there is no cluster")?;
    let scope = scope::current().ok_or("there is no node")?;
    let key =
        house::unseal(scope.ring(), view, &SealedKind::CircleKey).ok_or("the circle key can't be had")?;
    let latest = view.feed_end().sequence;
    let successions = view.circle_key().map(|key| key.successions.clone()).unwrap_or_default();
    let answer = FeedAnswer::sign(&key, issuer, position, latest, question.nonce, successions, content);
    Ok(answer.ok_or("the circle key can't sign")?.to_bytes())
}
