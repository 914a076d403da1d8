//! Somebody who has stolen the circle key of a neighbour and speaks in its place, and administrators who mend that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_authority::{Action, IssuerLimits, ReplaceCircleKey, SealedKind};
use circlet_token::feed::{CirclePublicKey, Succession};
use circlet_token::{ServiceId, SigningKey, TokenId, mint};
use openraft_rt::AsyncRuntime;

use super::verifying::Verdict;
use super::{Workload, administrator};
use crate::circle::{Neighbour, keys_of_thief};
use crate::cluster::{Cluster, decide};
use crate::history::Event;
use crate::house;
use crate::runtime::NodeRuntime;

/// How long the thief is believed, in milliseconds.
const BELIEVED_MS: (u64, u64) = (500, 4_000);
/// Between two attempts to mend it.
const PAUSE: Duration = Duration::from_millis(200);
const ATTEMPTS: u32 = 600;
/// What the thief signed is shown so often, before it is mended and after.
const SHOWN: u32 = 4;

impl Workload {
    /// Somebody steals the circle key of a neighbour. A while later that has another one, and an administrator dismisses it
    /// and approves it anew; the thief goes on talking.
    pub(super) async fn suffer_theft(&self) {
        let Some(neighbour) = self.dice.pick(&self.cluster.neighbours()).cloned() else { return };
        if self.spares.load(Ordering::SeqCst)
            || self.expects_guests()
            || self.limiting.swap(true, Ordering::SeqCst)
        {
            return;
        }
        if let Some(stolen) = self.steal(&neighbour) {
            self.count("circle key stolen");
            NodeRuntime::sleep(Duration::from_millis(self.dice.between(BELIEVED_MS.0, BELIEVED_MS.1))).await;
            self.show_thief(&neighbour.service).await;
            if let Some(index) = self.mend(&neighbour, stolen).await {
                self.count("stolen circle key mended");
                if let Some(view) = self.cluster.view() {
                    neighbour.way.note_theft(|thefts| thefts.mend(view.generation()));
                }
                let issuer = neighbour.service.clone();
                self.cluster.history.tell(&Event::KeyMended { issuer, index });
                self.show_thief(&neighbour.service).await;
            }
        }
        self.limiting.store(false, Ordering::SeqCst);
    }

    fn steal(&self, neighbour: &Neighbour) -> Option<CirclePublicKey> {
        let theirs = neighbour.cluster()?;
        let key = theirs.unseal(&*theirs.view()?, &SealedKind::CircleKey)?;
        let stolen = CirclePublicKey::of(&key)?;
        self.cluster.history.tell(&Event::KeyStolen { issuer: neighbour.service.clone() });
        neighbour.way.steal(key);
        Some(stolen)
    }

    /// As of which index the stolen key is believed no more.
    async fn mend(&self, neighbour: &Neighbour, stolen: CirclePublicKey) -> Option<u64> {
        let issuer = &neighbour.service;
        let mut replaced = false;
        for _ in 0..ATTEMPTS {
            if self.over.load(Ordering::SeqCst) {
                return None;
            }
            replaced = replaced || self.replace(&*neighbour.cluster()?, stolen).await.is_some();
            let computer = self.dice.pick(&self.cluster.running()).filter(|_| replaced).cloned();
            if let Some(computer) = computer
                && let Some(index) = self.dismiss(&computer, issuer).await
            {
                self.cluster.history.tell(&Event::TrustEnded { issuer: issuer.clone(), index });
                self.cluster.history.tell(&Event::TrustBegins { issuer: issuer.clone() });
                return self.begin_again(neighbour, true).await;
            }
            NodeRuntime::sleep(PAUSE).await;
        }
        None
    }

    /// The neighbour has another circle key, if this is its present one.
    async fn replace(&self, theirs: &Cluster, stolen: CirclePublicKey) -> Option<()> {
        let leader = theirs.leader()?;
        let (scope, member) = leader.node()?;
        let view = Arc::clone(&member.published().view);
        drop(member);
        let present = house::unseal(scope.ring(), &view, &SealedKind::CircleKey)?;
        if CirclePublicKey::of(&present)? != stolen {
            return Some(());
        }
        let next = house::seed(&format!("circle key {}", self.dice.word()));
        let named = CirclePublicKey::of(&SigningKey::from_ed25519_seed(&next))?;
        let succession = Succession::sign(&present, &theirs.service, named)?;
        let private_key = house::master_key(scope.ring(), &view)?.seal(&SealedKind::CircleKey, &next);
        let replace = Action::ReplaceCircleKey(Box::new(ReplaceCircleKey { succession, private_key }));
        decide(&leader, administrator(), replace).await.ok().map(|_| ())
    }

    /// Shows nodes what the thief has signed with the token key that he told.
    async fn show_thief(&self, issuer: &ServiceId) {
        let pair = keys_of_thief(issuer).0;
        for _ in 0..SHOWN {
            for computer in self.cluster.running() {
                self.count("token of a thief");
                let claims = self.claims(TokenId(self.dice.bytes()), issuer, "alice", 0);
                let text: Arc<str> = mint(&claims, &pair.kid, &pair.signer()).into();
                let (view, accepted) = match self.present(&computer, text, &pair.kid).await {
                    Some(Verdict::Accepted { view, .. }) => (view, true),
                    Some(Verdict::Refused { view, .. }) => (view, false),
                    Some(Verdict::Stale) | None => continue,
                };
                if accepted {
                    self.count("token of a thief accepted");
                }
                let (node, issuer) = (computer.id, issuer.clone());
                self.cluster.history.tell(&Event::ThiefShown { node, issuer, view, accepted });
            }
            NodeRuntime::sleep(PAUSE).await;
        }
    }

    /// Begins to trust a neighbour again, and says what its tokens may do then: all that they may by default, if nothing of the
    /// trust before was left. As of which index.
    pub(super) async fn begin_again(&self, neighbour: &Neighbour, from_nothing: bool) -> Option<u64> {
        let issuer = neighbour.service.clone();
        let (change, limits) = (self.changes.fetch_add(1, Ordering::SeqCst) + 1, IssuerLimits::default());
        self.cluster.history.tell(&Event::Limiting { change, issuer, limits });
        let index = self.approve_at_last(neighbour).await?;
        if from_nothing {
            self.cluster.history.tell(&Event::Limited { change, index });
        }
        Some(index)
    }
}
