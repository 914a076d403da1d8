//! Following the neighbour: the product's own lines, on this node's clocks and log, over the way between the clusters.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, Command, NoteTaken, Outcome, SealedKind, State};
use circlet_raft::{Clocks, Instants, Published, Role, SourceId};
use circlet_token::feed::{CirclePublicKey, FeedAnswer, FeedPosition, Taken};
use circlet_token::{ServiceId, SigningKey};
use openraft_rt::AsyncRuntime;

use super::Neighbour;
use super::way::{Host, Lie, THIEVES, WHO_HAS_IT, circle_key_of};
use crate::cluster::{Cluster, Computer, ask};
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

/// So often whoever repeats answers repeats what a guest has said, of a hundred times.
const GUEST_PERCENT: u64 = 15;

/// Follows the neighbour while this node leads, as long as it runs.
pub(crate) async fn follow(member: Arc<Member>, neighbour: Neighbour) {
    loop {
        NodeRuntime::sleep(LOOK).await;
        if member.status().role != Role::Leader {
            continue;
        }
        let Some(scope) = scope::current() else { return };
        let Some(followed) = member.published().view.member(&neighbour.service).cloned() else { continue };
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
        if let Some(stolen) = way.stolen() {
            let answer = way.made_up(&self.lie_with(stolen, &question));
            way.answer().await;
            return Ok(answer);
        }
        let theirs = self.neighbour.cluster().ok_or("the neighbours are gone")?;
        let answer = match way.host() {
            Host::Honest => {
                let host = self.neighbour.host(host, way.dice()).ok_or("nobody is there")?;
                let answer = ask(&host, move |member| answered(member, question)).await;
                let answer = answer.ok_or("the host died")??;
                way.overhear(&answer);
                answer
            }
            Host::Replays => {
                if way.dice().percent(GUEST_PERCENT) {
                    self.neighbour.repeat_guest();
                }
                way.repeated().ok_or("nothing was heard yet")?
            }
            Host::Forges => {
                let view = theirs.view().ok_or("nobody is there")?;
                if let Some(host) = way.dice().pick(&theirs.running()).filter(|_| way.dice().percent(50)) {
                    self.lie_to(host, &view).await;
                }
                way.made_up(&self.lie(&theirs, &view, &question))
            }
        };
        drop(theirs);
        way.answer().await;
        Ok(answer)
    }

    /// What a liar has to go by: the question, and a token key of the issuer's, which was stolen. Where that is planted, what
    /// it signs is taken for the circle key's word.
    fn lie(&self, theirs: &Cluster, view: &State, question: &Question) -> Lie {
        let token_key = || theirs.unseal(view, &SealedKind::TokenKey(view.active_key()?.kid.clone()));
        let circle_key = || theirs.unseal(view, &SealedKind::CircleKey);
        let as_circle = |planted| circle_key().filter(|_| self.has(planted)).or_else(token_key).map(Arc::new);
        Lie {
            issuer: theirs.service.clone(),
            nonce: question.nonce,
            at: question.at(),
            called: THIEVES,
            signer: as_circle(Plant::TokenKeyVouches),
            circle_key: view.circle_key().and_then(|key| CirclePublicKey::of_spki(&key.spki_der)),
            names_next: as_circle(Plant::AnySuccession),
        }
    }

    /// What a liar has to go by who has stolen the issuer's circle key: once the one that he named is believed, that.
    fn lie_with(&self, stolen: Arc<SigningKey>, question: &Question) -> Lie {
        let issuer = self.neighbour.service.clone();
        let named = Arc::new(circle_key_of(WHO_HAS_IT, &issuer));
        let believed = self.member.published().view.member(&issuer).and_then(|known| known.circle_key());
        let signer = if believed == CirclePublicKey::of(&named) { named } else { Arc::clone(&stolen) };
        Lie {
            issuer,
            nonce: question.nonce,
            at: question.at(),
            called: WHO_HAS_IT,
            signer: Some(signer),
            circle_key: CirclePublicKey::of(&stolen),
            names_next: Some(stolen),
        }
    }

    /// A liar tells the issuer in our name that we have all that it told, with a token key of ours that was stolen.
    async fn lie_to(&self, host: &Computer, theirs: &State) {
        let view = &self.member.published().view;
        let signer = view.active_key().and_then(|key| own(view, &SealedKind::TokenKey(key.kid.clone())));
        let (Some(issuer), Some(member), Some(signer)) = (theirs.service_id(), view.service_id(), signer)
        else {
            return;
        };
        let at = theirs.feed_end();
        let taken = Word { member: member.clone(), signature: Taken { issuer, member, at }.sign(&signer) };
        // Whatever it answers.
        let _ = ask(host, move |member| heard(member, at, taken)).await;
    }

    /// What we have of a feed, under our circle key.
    fn taken(&self, issuer: &ServiceId, at: FeedPosition) -> Option<Word> {
        let view = &self.member.published().view;
        let (member, key) = (view.service_id()?, own(view, &SealedKind::CircleKey)?);
        Some(Word { member: member.clone(), signature: Taken { issuer, member, at }.sign(&key) })
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
        let taken = match asked.place {
            Place::After { at, .. } => self.taken(asked.issuer, at),
            Place::Page { .. } => None,
        };
        let question = Question { nonce: asked.nonce, place: Asking::of(asked.place), taken };
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
    taken: Option<Word>,
}

impl Question {
    /// Where whoever asks stands.
    fn at(&self) -> FeedPosition {
        match self.place {
            Asking::After { at, .. } => at,
            Asking::Page { .. } => FeedPosition::default(),
        }
    }
}

/// A member's word that it has a feed up to the place that it asks about.
struct Word {
    member: ServiceId,
    signature: Vec<u8>,
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

/// A signing key of ours, as the node that is being polled can unseal it.
pub(super) fn own(view: &State, which: &SealedKind) -> Option<SigningKey> {
    house::unseal(scope::current()?.ring(), view, which)
}

/// A node hears what a member says that it has taken over.
async fn heard(member: Arc<Member>, at: FeedPosition, word: Word) {
    let view = Arc::clone(&member.published().view);
    let planted = scope::current().is_some_and(|scope| scope.history().plant() == Plant::AnyWord);
    let believed = || {
        let known = view.member(&word.member)?;
        Some(NoteTaken { issuer: word.member.clone(), member: known.since_index, at })
    };
    let noted = serve::note(&view, &word.member, at, &word.signature);
    let Some(note) = noted.or_else(|| planted.then(believed).flatten()) else { return };
    let command = Command { actor: Actor::System, action: Action::NoteTaken(note) }.encode();
    // Said again with the next question.
    let _ = member.propose(command).await;
}

/// What a node answers, by a view that was proved fresh after the question came.
async fn answered(member: Arc<Member>, question: Question) -> Result<Vec<u8>, String> {
    if let Asking::After { at, wait } = question.place {
        if let Some(word) = question.taken {
            heard(Arc::clone(&member), at, word).await;
        }
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
    let key = own(view, &SealedKind::CircleKey).ok_or("the circle key can't be had")?;
    let latest = view.feed_end().sequence;
    let successions = view.circle_key().map(|key| key.successions.clone()).unwrap_or_default();
    let answer = FeedAnswer::sign(&key, issuer, position, latest, question.nonce, successions, content);
    Ok(answer.ok_or("the circle key can't sign")?.to_bytes())
}
