//! What is being changed at a moment, and what goes wrong in the midst of it. A change that nothing ever went wrong in proves
//! nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_authority::State;
use openraft_rt::AsyncRuntime;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::fault::Fault;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;

/// A wish counts for so long.
const WISHED_NANOS: u64 = 600_000_000;

/// In the midst of one change it is the moment so often at most.
const GOADED_TIMES: u32 = 20;

/// What takes several steps, or a decision that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A token key is published and doesn't sign yet.
    TokenKey,
    /// A master key is announced and isn't in force yet.
    MasterKey,
    /// What a lost node knew isn't replaced yet.
    LostSecrets,
    /// A circle key is to be replaced.
    CircleKey,
    /// Another CA is to take the place of the present one.
    Ca,
    /// A setting is to be changed.
    Configuration,
    /// A node joins, leaves, moves, or takes the place of another.
    Membership,
    /// Some node supports more than the feature level.
    FeatureLevel,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TokenKey,
        Self::MasterKey,
        Self::LostSecrets,
        Self::CircleKey,
        Self::Ca,
        Self::Configuration,
        Self::Membership,
        Self::FeatureLevel,
    ];

    /// Those that clients are asked for, so that something can go wrong in the midst of them.
    pub const WISHED: [Self; 5] =
        [Self::TokenKey, Self::MasterKey, Self::Configuration, Self::CircleKey, Self::Ca];

    /// What it is called in summaries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenKey => "a token key's turn",
            Self::MasterKey => "the master key's turn",
            Self::LostSecrets => "replacing what a lost node knew",
            Self::CircleKey => "the circle key's turn",
            Self::Ca => "the CA's turn",
            Self::Configuration => "a change of settings",
            Self::Membership => "a change of members",
            Self::FeatureLevel => "an upgrade",
        }
    }

    /// What has to come in the midst of it, in many seeds.
    pub fn must_bear(self) -> impl Iterator<Item = (Self, Fault)> {
        self.bears().filter(|(change, fault)| !change.may_miss(*fault))
    }

    /// What has to come in the midst of it as well, in many more: what comes seldom may miss what is short.
    pub fn bears_seldom(self) -> impl Iterator<Item = (Self, Fault)> {
        self.bears().filter(|(change, fault)| change.may_miss(*fault))
    }

    /// All that comes in the midst of it.
    fn bears(self) -> impl Iterator<Item = (Self, Fault)> {
        Fault::ALL.iter().copied().filter(move |fault| self.can_bear(*fault)).map(move |fault| (self, fault))
    }

    /// Left out is what can't be there, or hardly ever.
    fn can_bear(self, fault: Fault) -> bool {
        match fault {
            Fault::FloorCut
            | Fault::RestoredOnFloor
            | Fault::RecoveredOnFloor
            | Fault::Fenced
            | Fault::LivedOn
            | Fault::FloorSpoilt => false,
            // In the midst of what the next one finds under way: no backup holds the next master key.
            Fault::Restored => matches!(self, Self::TokenKey | Self::FeatureLevel),
            Fault::Recovered => matches!(self, Self::TokenKey | Self::MasterKey),
            // What comes of a crash is a matter of luck, and it waits until all is well that a disk is set back.
            Fault::TailKept
            | Fault::TailLost
            | Fault::TailPartlyLost
            | Fault::TailTorn
            | Fault::DiskSetBack => self.bears_all(),
            // One change of the members at a time: a lost node is being replaced, and so is one that finds damage.
            Fault::Join
            | Fault::LearnerJoins
            | Fault::Moved
            | Fault::Leave
            | Fault::Replacement
            | Fault::LogDamaged
            | Fault::SnapshotDamaged
            | Fault::KeyFileDamaged => !matches!(self, Self::Membership | Self::LostSecrets),
            // It keeps the members from changing, and waits until all is well.
            Fault::LeaderDiskBad => self.bears_all() || self == Self::FeatureLevel,
            _ if Fault::BETWEEN.contains(&fault) => self == Self::CircleKey || !self.is_short(),
            // Few clusters have floors.
            _ if Fault::OF_FLOORS.contains(&fault) => !self.is_short() && self != Self::Configuration,
            _ => !(fault.is_rare() && self.is_short()),
        }
    }

    /// Whether a kind of fault need not come in the midst of it in fewer seeds.
    fn may_miss(self, fault: Fault) -> bool {
        let is_damage = matches!(fault, Fault::LogDamaged | Fault::SnapshotDamaged | Fault::KeyFileDamaged);
        let is_luck = fault == Fault::TailPartlyLost;
        is_damage || is_luck || fault.is_rare() || (fault.is_seldom() && self.is_short())
    }

    /// Whether it is asked for, and lasts long enough for anything to go wrong in it.
    fn bears_all(self) -> bool {
        Self::WISHED.contains(&self) && !self.is_short()
    }

    /// Whether it is over in a moment, or seldom there.
    fn is_short(self) -> bool {
        matches!(self, Self::LostSecrets | Self::CircleKey | Self::Ca)
    }

    /// Whether a state says that it is under way. The others are where somebody waits for a decision.
    fn is_in(self, state: &State) -> bool {
        match self {
            Self::TokenKey => state.next_key().is_some(),
            Self::MasterKey => state.next_master_key().is_some(),
            Self::LostSecrets => state.lost_nodes_pending().next().is_some(),
            Self::FeatureLevel => state.nodes().any(|node| node.supports > state.feature_level()),
            Self::CircleKey | Self::Ca | Self::Configuration | Self::Membership => false,
        }
    }
}

/// What is being changed in one cluster.
#[derive(Debug, Default)]
pub struct Midst {
    inner: Mutex<Inner>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// The newest state that a node has come to, and what is under way in it.
    index: u64,
    in_state: Vec<Change>,
    /// How often somebody waits for each.
    awaited: BTreeMap<Change, u64>,
    /// What clients are asked to change, so that something can go wrong in the midst of it.
    wished: Option<(Change, u64)>,
    /// How often each kind of fault came in the midst of each.
    counts: BTreeMap<(Change, Fault), u64>,
}

impl Inner {
    fn under_way(&self) -> Vec<Change> {
        let awaited = self.awaited.iter().filter(|(_, waiting)| **waiting > 0).map(|(change, _)| *change);
        awaited.chain(self.in_state.iter().copied()).collect()
    }
}

impl Midst {
    /// A node has come to this state.
    pub fn see(&self, state: &State) {
        let mut inner = lock(&self.inner);
        if state.index() >= inner.index {
            inner.index = state.index();
            inner.in_state = Change::ALL.into_iter().filter(|change| change.is_in(state)).collect();
        }
    }

    /// Somebody begins to wait for a decision, until what is returned is dropped.
    #[must_use]
    pub fn awaiting(self: &Arc<Self>, change: Change) -> Awaiting {
        *lock(&self.inner).awaited.entry(change).or_default() += 1;
        Awaiting { midst: Arc::clone(self), change }
    }

    /// Whether this is being changed now.
    #[must_use]
    pub fn is_under_way(&self, change: Change) -> bool {
        lock(&self.inner).under_way().contains(&change)
    }

    /// Asks clients to change something now; what was wished before doesn't count any more.
    pub fn wish(&self, change: Change) {
        lock(&self.inner).wished = Some((change, global_nanos()));
    }

    /// What a client is asked to change, if it is. Nobody waits for long.
    pub fn take_wish(&self) -> Option<Change> {
        let (change, since) = lock(&self.inner).wished.take()?;
        (global_nanos() - since < WISHED_NANOS).then_some(change)
    }

    /// Tells whoever does harm, now and then while this is being changed, that now is the moment.
    pub fn goad(self: &Arc<Self>, change: Change, dice: &Dice) {
        let (midst, dice) = (Arc::clone(self), dice.clone());
        drop(NodeRuntime::spawn(async move {
            for _ in 0..GOADED_TIMES {
                if !midst.is_under_way(change) {
                    return;
                }
                if dice.percent(if change.is_short() { 80 } else { 40 }) {
                    midst.begun.notify_waiters();
                }
                NodeRuntime::sleep(Duration::from_millis(dice.between(1, 200))).await;
            }
        }));
    }

    /// Returns when now is the moment.
    pub async fn provoked(&self) {
        self.begun.notified().await;
    }

    /// Something goes wrong.
    pub fn count(&self, fault: Fault) {
        let mut inner = lock(&self.inner);
        for change in inner.under_way() {
            *inner.counts.entry((change, fault)).or_default() += 1;
        }
    }

    /// Something goes wrong of which only this state is left.
    pub fn count_in(&self, fault: Fault, state: &State) {
        let mut inner = lock(&self.inner);
        for change in Change::ALL.into_iter().filter(|change| change.is_in(state)) {
            *inner.counts.entry((change, fault)).or_default() += 1;
        }
    }

    /// How often each kind of fault came in the midst of each change.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Change, Fault), u64> {
        lock(&self.inner).counts.clone()
    }
}

/// While it is there, somebody waits for a decision.
pub struct Awaiting {
    midst: Arc<Midst>,
    change: Change,
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.midst.inner).awaited.get_mut(&self.change) {
            *waiting -= 1;
        }
    }
}
