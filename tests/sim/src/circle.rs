//! Two clusters that follow what each other revokes, over ways that fail: what is asked or answered comes late or never,
//! and whoever speaks in a host's place repeats what it has heard, or makes something up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use circlet_authority::{
    Action, Actor, ApproveMember, Approved, CircleKey, IssuerLimits, Key, Progress, SealedKind, SetCircleKey,
    TrustIssuer,
};
use circlet_token::ServiceId;
use openraft_rt::AsyncRuntime;

use crate::cluster::{Cluster, Computer, decide};
use crate::dice::Dice;
use crate::fault::{Fault, Faults};
use crate::history::{Event, History};
use crate::house::{self, Pair};
use crate::runtime::NodeRuntime;

mod following;
mod way;

pub(crate) use following::follow;
use way::Host;
pub use way::Way;

/// Between two faults.
const REST_MS: (u64, u64) = (100, 1_500);
/// How long each lasts.
const LASTS_MS: (u64, u64) = (300, 4_500);
/// Being slow lasts for several questions.
const SLOW_MS: (u64, u64) = (2_000, 9_000);

/// The other cluster, as the nodes of one see it.
#[derive(Clone)]
pub struct Neighbour {
    cluster: Weak<Cluster>,
    /// The way there and back.
    pub way: Arc<Way>,
}

impl Neighbour {
    /// It, as long as it is there.
    #[must_use]
    pub fn cluster(&self) -> Option<Arc<Cluster>> {
        self.cluster.upgrade()
    }

    /// Who answers under the name of a host: its node, or another one where that is gone.
    fn host(&self, name: &str, dice: &Dice) -> Option<Arc<Computer>> {
        let running = self.cluster()?.running();
        let named = running.iter().find(|computer| computer.peer.client_url == name).cloned();
        named.or_else(|| dice.pick(&running).cloned())
    }
}

/// Has two clusters follow each other, both ways.
///
/// # Errors
/// One of them didn't take it.
pub async fn pair(clusters: [&Arc<Cluster>; 2], dice: &Dice) -> Result<(), String> {
    for ours in clusters {
        let key = circle_key(&ours.service);
        let key = CircleKey {
            spki_der: key.signer().spki_der(),
            private_key: key.private_half(&SealedKind::CircleKey, &house::first_master_key(&ours.service)),
            successions: Vec::new(),
        };
        through_leader(ours, Actor::System, Action::SetCircleKey(Box::new(SetCircleKey { key }))).await?;
    }
    let [one, other] = clusters;
    for (ours, theirs) in [(one, other), (other, one)] {
        let approved = Approved {
            issuer: theirs.service.clone(),
            name: "the neighbours".to_owned(),
            circle_key: circle_key(&theirs.service).signer().spki_der(),
            hosts: theirs.computers().iter().map(|computer| computer.peer.client_url.clone()).collect(),
            ca_certificate_der: Vec::new(),
        };
        let approve =
            Action::ApproveMember(Box::new(ApproveMember { approved, invite: None, mutual: false }));
        through_leader(ours, Actor::Operator, approve).await?;
        let way = Arc::new(Way::new(dice.split()));
        ours.meet(Neighbour { cluster: Arc::downgrade(theirs), way });
    }
    Ok(())
}

async fn through_leader(cluster: &Cluster, actor: Actor, action: Action) -> Result<(), String> {
    let leader = cluster.leader().ok_or("nobody leads")?;
    decide(&leader, actor, action).await.map(|_| ())
}

/// The pair with which a cluster signs where its feed stands.
fn circle_key(service: &ServiceId) -> Pair {
    Pair::named(&format!("the circle key of {service}"))
}

/// How the other cluster trusts a key of this one.
#[must_use]
pub fn as_trusted(key: &Key, issuer: &ServiceId) -> TrustIssuer {
    TrustIssuer {
        kid: key.kid.clone(),
        algorithm: key.algorithm,
        spki_der: key.spki_der.clone(),
        certificate_der: key.certificate_der.clone(),
        issuer: issuer.clone(),
        common_name: issuer.to_string(),
        not_after: "2099-12-31".to_owned(),
        limits: IssuerLimits::default(),
        file_name: "neighbours.crt".to_owned(),
    }
}

/// What a cluster lacks of following its neighbour well: each node's knowledge of its feed is fresh, and nothing that
/// happened on the way ended the belief in it.
///
/// # Errors
/// What is amiss.
pub fn follows_well(cluster: &Cluster) -> Result<(), String> {
    let Some(neighbour) = cluster.neighbour().and_then(Neighbour::cluster) else { return Ok(()) };
    for computer in cluster.computers() {
        let id = computer.id;
        let (scope, member) = computer.node().ok_or_else(|| format!("node {id} is down"))?;
        let published = member.published();
        let followed = published.view.member(&neighbour.service).ok_or("the neighbours are no member")?;
        if matches!(followed.progress, Progress::Broken { .. }) {
            return Err(format!("node {id} believes the neighbours no more: {:?}", followed.faults));
        }
        let most = u64::try_from(published.view.config().circle_max_staleness_ms).unwrap_or(0);
        let age = published.sources.age_ms(followed.since_index, circlet_raft::Clocks::now(&*scope));
        if age.is_none_or(|age| age > most) {
            return Err(format!("what node {id} knows of the neighbours' feed is {age:?} ms old"));
        }
    }
    Ok(())
}

/// What goes wrong between two clusters.
pub struct Strife {
    ways: Vec<Arc<Way>>,
    /// Told what goes wrong.
    history: Arc<History>,
    faults: Arc<Faults>,
    dice: Dice,
    seeks: bool,
    over: AtomicBool,
}

impl Strife {
    /// Between these. One that `seeks` makes what has not happened yet.
    #[must_use]
    pub fn between(clusters: [&Arc<Cluster>; 2], dice: Dice, seeks: bool) -> Arc<Self> {
        let ways = clusters.iter().filter_map(|cluster| Some(Arc::clone(&cluster.neighbour()?.way)));
        let [ours, _] = clusters;
        Arc::new(Self {
            ways: ways.collect(),
            history: Arc::clone(&ours.history),
            faults: Arc::clone(&ours.faults),
            dice,
            seeks,
            over: AtomicBool::new(false),
        })
    }

    /// One thing after the other, until told to stop.
    pub async fn rage(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            self.wait(REST_MS).await;
            let Some(way) = self.dice.pick(&self.ways) else { return };
            let fault = self.next();
            self.faults.count(fault);
            let heading = self.dice.percent(50);
            self.history.tell(&Event::Fault { what: format!("{} ({heading})", fault.name()) });
            way.set(|habits| match fault {
                Fault::FeedCut => (habits.asks_cut, habits.answers_cut) = (true, true),
                Fault::FeedCutOneWay => (habits.asks_cut, habits.answers_cut) = (heading, !heading),
                Fault::FeedLate => habits.delay_us_max = 4_500_000,
                Fault::FeedLost => habits.lost_per_mille = 400,
                Fault::FeedReplayed => habits.host = Host::Replays,
                _ => habits.host = Host::Forges,
            });
            self.wait(if fault == Fault::FeedLate { SLOW_MS } else { LASTS_MS }).await;
            way.end_faults();
        }
    }

    /// Everything goes well from now on.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.ways.iter().for_each(|way| way.end_faults());
    }

    async fn wait(&self, (low, high): (u64, u64)) {
        NodeRuntime::sleep(Duration::from_millis(self.dice.between(low, high))).await;
    }

    fn next(&self) -> Fault {
        if self.seeks {
            let mut absent = self.faults.absent();
            absent.retain(|fault| Fault::BETWEEN.contains(fault));
            if let Some(fault) = self.dice.pick(&absent) {
                return *fault;
            }
        }
        match self.dice.between(0, 9) {
            0..=1 => Fault::FeedCut,
            2..=3 => Fault::FeedCutOneWay,
            4..=5 => Fault::FeedLate,
            6 => Fault::FeedLost,
            7..=8 => Fault::FeedReplayed,
            _ => Fault::FeedForged,
        }
    }
}
