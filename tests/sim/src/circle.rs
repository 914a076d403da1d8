//! Clusters that follow what each other revokes, over ways that fail: what is asked or answered comes late or never, and
//! whoever speaks in a host's place repeats what it has heard, or makes something up.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use circlet_authority::{
    Action, Actor, ApproveMember, Approved, CircleKey, IssuerLimits, SealedKind, SetCircleKey, State,
};
use circlet_token::{ServiceId, SigningKey};
use openraft_rt::AsyncRuntime;

use crate::cluster::{Cluster, Computer, ask, decide};
use crate::dice::Dice;
use crate::history::Event;
use crate::house;
use crate::runtime::NodeRuntime;
use crate::scope::lock;

mod anew;
mod following;
mod guests;
mod ordering;
mod pairing;
mod strife;
mod thief;
mod way;

pub use anew::make_key;
pub(crate) use following::follow;
pub use guests::Guests;
pub use ordering::Ordered;
pub(crate) use ordering::order;
pub(crate) use pairing::{Invited, accept, fresh, invite, number, said};
pub use strife::Strife;
pub use thief::Thefts;
pub use way::{Way, keys_of_thief};

/// A cluster may take so long to introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(2);
/// What members are called.
const NAME: &str = "the neighbours";

/// Another cluster, as the nodes of one see it.
#[derive(Clone)]
pub struct Neighbour {
    /// What it is called.
    pub service: ServiceId,
    cluster: Arc<Mutex<Weak<Cluster>>>,
    /// The way there and back.
    pub way: Arc<Way>,
}

impl Neighbour {
    /// It, as long as it is there.
    #[must_use]
    pub fn cluster(&self) -> Option<Arc<Cluster>> {
        lock(&self.cluster).upgrade()
    }

    /// The one that began anew in its place is found where it was.
    pub fn moves_to(&self, cluster: &Arc<Cluster>) {
        *lock(&self.cluster) = Arc::downgrade(cluster);
    }

    /// What it says of itself to whoever approves it, by a view that was proved fresh: its present circle key, and where its
    /// nodes are. With that view.
    pub async fn introduced(&self) -> Option<(Approved, Arc<State>)> {
        let theirs = self.cluster()?;
        let computer = theirs.leader()?;
        let fresh = ask(&computer, |member| async move { member.fresh(None).await.ok() });
        let view = Arc::clone(&NodeRuntime::timeout(INTRODUCTION, fresh).await.ok()???.view);
        let approved = Approved {
            issuer: self.service.clone(),
            name: NAME.to_owned(),
            circle_key: view.circle_key()?.spki_der.clone(),
            hosts: hosts_of(&theirs),
            ca_certificate_der: Vec::new(),
        };
        Some((approved, view))
    }

    /// Who answers under the name of a host: its node, or another one where that is gone.
    fn host(&self, name: &str, dice: &Dice) -> Option<Arc<Computer>> {
        let running = self.cluster()?.running();
        let named = running.iter().find(|computer| computer.peer().client_url == name).cloned();
        named.or_else(|| dice.pick(&running).cloned())
    }
}

/// Has each of these clusters follow each other. Their token keys they learn from the feeds alone.
///
/// # Errors
/// One of them didn't take it.
pub async fn pair(clusters: &[&Arc<Cluster>], dice: &Dice) -> Result<(), String> {
    for (ours, theirs) in couples(clusters) {
        ours.history.is_followed_by(&theirs.history);
    }
    for ours in clusters {
        let seed = circle_seed(&ours.service);
        let key = CircleKey {
            spki_der: SigningKey::from_ed25519_seed(&seed).spki_der(),
            private_key: house::first_master_key(&ours.service).seal(&SealedKind::CircleKey, &seed),
            successions: Vec::new(),
        };
        through_leader(ours, Actor::System, Action::SetCircleKey(Box::new(SetCircleKey { key }))).await?;
        // What they have been founded with, nobody was told so far.
        let view = ours.view().ok_or("nobody is there")?;
        view.keyring().for_each(|key| {
            ours.history.tell_abroad(&Event::KeyAbroad { kid: key.kid.clone() });
        });
    }
    for (ours, theirs) in couples(clusters) {
        let issuer = theirs.service.clone();
        let approved = Approved {
            issuer: issuer.clone(),
            name: NAME.to_owned(),
            circle_key: SigningKey::from_ed25519_seed(&circle_seed(&issuer)).spki_der(),
            hosts: hosts_of(theirs),
            ca_certificate_der: Vec::new(),
        };
        let approve = Action::ApproveMember(Box::new(ApproveMember { approved, invite: None, mutual: true }));
        through_leader(ours, Actor::Operator, approve).await?;
        let limits = IssuerLimits::default();
        ours.history.tell(&Event::Limiting { change: 0, issuer: issuer.clone(), limits });
        ours.history.tell(&Event::Limited { change: 0, index: 0 });
        let way = Arc::new(Way::new(dice.split()));
        let cluster = Arc::new(Mutex::new(Arc::downgrade(theirs)));
        ours.meet(&Neighbour { service: issuer, cluster, way });
    }
    Ok(())
}

/// Each of them with each other, both ways.
fn couples<'a>(
    clusters: &'a [&'a Arc<Cluster>],
) -> impl Iterator<Item = (&'a Arc<Cluster>, &'a Arc<Cluster>)> {
    let others =
        |ours: &'a Arc<Cluster>| clusters.iter().filter(move |theirs| theirs.service != ours.service);
    clusters.iter().flat_map(move |ours| others(ours).map(move |theirs| (*ours, *theirs)))
}

/// Where the nodes of a cluster are.
pub(crate) fn hosts_of(cluster: &Cluster) -> Vec<String> {
    cluster.computers().iter().map(|computer| computer.peer().client_url.clone()).collect()
}

async fn through_leader(cluster: &Cluster, actor: Actor, action: Action) -> Result<(), String> {
    let leader = cluster.leader().ok_or("nobody leads")?;
    decide(&leader, actor, action).await.map(|_| ())
}

/// The first key with which a cluster signs where its feed stands.
fn circle_seed(service: &ServiceId) -> [u8; 32] {
    house::seed(&format!("the circle key of {service}"))
}
