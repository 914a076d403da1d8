//! What happened, in one order: each event is shown to every invariant, and kept as text if somebody wants to read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, Weak};

use circlet_authority::{FamilyId, TokenRecord};
use circlet_token::TokenId;

use crate::invariant::{self, Invariant};
use crate::midst::Midst;
use crate::plant::Plant;
use crate::runtime::{self, global_nanos};
use crate::scope::lock;
use crate::sealing::MasterKey;
use crate::staleness::Staleness;

mod event;
mod facts;
mod notes;

pub use event::Event;
pub use facts::{Descendant, Grant, Standing};

/// Nodes are compared as a whole at every index that this divides, in most runs: the digest of a state takes longer than
/// most entries take to be applied.
const WHOLE_EVERY: u64 = 32;

/// The number of the cluster that goes on though it was given up.
const OF_GIVEN_UP: u64 = 0;

/// An invariant that was broken, and when.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which one.
    pub invariant: &'static str,
    /// The number of the cluster in which it was broken.
    pub cluster: u64,
    /// The number of the event that broke it.
    pub step: u64,
    /// The simulator's time in milliseconds.
    pub at_ms: u64,
    /// What was seen.
    pub what: String,
}

/// Which invariants judge.
#[derive(Clone, Copy, Debug)]
enum Judges {
    All,
    One(&'static str),
    Those(&'static [&'static str]),
}

impl Judges {
    fn include(self, invariant: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == invariant,
            Self::Those(those) => those.contains(&invariant),
        }
    }
}

/// Everything that happened in one run.
#[derive(Debug)]
pub struct History {
    plant: Plant,
    /// Which invariants judge.
    by: Judges,
    inner: Mutex<Inner>,
    /// Which cluster of the run it is of: the first, unless it is a neighbour's.
    cluster: u64,
    /// The readable log, if it is kept: of all clusters of the run, in the order in which things happen.
    lines: Lines,
    /// Every token that the log has issued, whoever was told.
    issued: Mutex<BTreeMap<TokenId, Arc<TokenRecord>>>,
    /// What has to end with tokens that were revoked with all that was created with them, by the index of the revoke; what
    /// somebody was told of is told once.
    descendants: Mutex<BTreeMap<u64, Vec<Descendant>>>,
    /// Tokens that went otherwise.
    gone: Mutex<BTreeSet<TokenId>>,
    /// Entries that one node has applied, for which it spoke for all.
    spoken_for: Mutex<BTreeSet<u64>>,
    /// Who was in a group when a watermark was set on it, by the index of that.
    members: Mutex<BTreeMap<u64, BTreeSet<String>>>,
    /// Every master key that was made, by fingerprint, whoever has it.
    masters: Mutex<BTreeMap<[u8; 32], MasterKey>>,
    /// Those of which a file was damaged, by fingerprint.
    damaged_keys: Mutex<BTreeSet<[u8; 32]>>,
    /// The newest state of which `verify.max-staleness-ms` is known, by generation and index; its value, and those before.
    staleness: Mutex<((u64, u64), u64, Staleness)>,
    /// Every plain token that a node has signed, whoever was told.
    plain: Mutex<Vec<Arc<TokenRecord>>>,
    /// What had expired when a purge was marked, in seconds, by the index of that.
    purge_marks: Mutex<BTreeMap<u64, u64>>,
    /// Families that had been ended when they were forgotten.
    over: Mutex<BTreeSet<FamilyId>>,
    /// Where the present cluster began, if there was one before.
    begun: AtomicU64,
    /// From which index on refresh tokens are made of another secret, since a lost node knew the one before.
    refresh_since: Mutex<u64>,
    /// Those of the clusters that follow this one.
    abroad: Mutex<Vec<Weak<Self>>>,
    /// Nodes are compared as a whole at every index that this divides.
    whole_every: u64,
    /// What is being changed.
    midst: Arc<Midst>,
    /// The highest feature level that the cluster has come to.
    level: AtomicU32,
}

/// Lines that several histories write.
type Lines = Option<Arc<Mutex<Vec<String>>>>;

#[derive(Debug)]
struct Inner {
    steps: u64,
    /// When the last of them was, by the simulator's time in milliseconds.
    at_ms: u64,
    invariants: Vec<Box<dyn Invariant>>,
    violation: Option<Violation>,
}

impl History {
    /// The history of a run with this bug planted, judged by one invariant or all; `keeps_lines` makes it readable.
    #[must_use]
    pub fn new(plant: Plant, by: Option<&'static str>, keeps_lines: bool) -> Self {
        Self::judged(plant, by.map_or(Judges::All, Judges::One), keeps_lines)
    }

    fn judged(plant: Plant, by: Judges, keeps_lines: bool) -> Self {
        let mut invariants = invariant::all();
        invariants.retain(|invariant| by.include(invariant.name()));
        let inner = Inner { steps: 0, at_ms: 0, invariants, violation: None };
        Self {
            plant,
            by,
            inner: Mutex::new(inner),
            cluster: 1,
            lines: keeps_lines.then(Arc::default),
            issued: Mutex::default(),
            descendants: Mutex::default(),
            gone: Mutex::default(),
            spoken_for: Mutex::default(),
            members: Mutex::default(),
            plain: Mutex::default(),
            purge_marks: Mutex::default(),
            over: Mutex::default(),
            begun: AtomicU64::default(),
            masters: Mutex::default(),
            damaged_keys: Mutex::default(),
            staleness: Mutex::default(),
            refresh_since: Mutex::default(),
            abroad: Mutex::default(),
            whole_every: WHOLE_EVERY,
            midst: Arc::default(),
            level: AtomicU32::default(),
        }
    }

    /// One in which nodes are compared as a whole at every index.
    #[must_use]
    pub fn comparing_at_each(self) -> Self {
        Self { whole_every: 1, ..self }
    }

    /// One of those nodes of `ours` that a recovery has given up: what they did before stands in that one, so that they are held
    /// to what can be judged without it.
    #[must_use]
    pub fn of_given_up(ours: &Self) -> Self {
        let by = match ours.by {
            Judges::All => Judges::Those(invariant::OF_GIVEN_UP),
            other => other,
        };
        let by = match by {
            Judges::One(one) if !invariant::OF_GIVEN_UP.contains(&one) => Judges::Those(&[]),
            by => by,
        };
        Self::judged(ours.plant, by, false).beside(ours, OF_GIVEN_UP)
    }

    /// One of a neighbour of `ours`, the cluster of this number: what happens there stands in the same readable log.
    #[must_use]
    pub fn beside(self, ours: &Self, cluster: u64) -> Self {
        Self { cluster, lines: ours.lines.clone(), ..self }
    }

    /// Whether nodes are compared as a whole at this index.
    #[must_use]
    pub fn compares_at(&self, index: u64) -> bool {
        index.is_multiple_of(self.whole_every)
    }

    /// Another cluster follows this one: its history is told what happens here and matters there.
    pub fn is_followed_by(&self, other: &Arc<Self>) {
        lock(&self.abroad).push(Arc::downgrade(other));
    }

    /// How many clusters follow this one.
    #[must_use]
    pub fn followers(&self) -> usize {
        lock(&self.abroad).len()
    }

    /// Something happened that matters to the clusters that follow this one.
    pub fn tell_abroad(&self, event: &Event) {
        let abroad: Vec<Arc<Self>> = lock(&self.abroad).iter().filter_map(Weak::upgrade).collect();
        for other in abroad {
            other.tell(event);
        }
    }

    /// What is being changed in this cluster.
    #[must_use]
    pub fn midst(&self) -> &Arc<Midst> {
        &self.midst
    }

    /// What was planted.
    #[must_use]
    pub fn plant(&self) -> Plant {
        self.plant
    }

    /// Something happened.
    pub fn tell(&self, event: &Event) {
        let now = global_nanos();
        runtime::spend();
        let mut inner = lock(&self.inner);
        inner.steps += 1;
        inner.at_ms = now / 1_000_000;
        self.write(inner.steps, now, event);
        let broken = |invariant: &mut Box<dyn Invariant>| {
            let what = invariant.see(now, event).err()?;
            Some((invariant.name(), what))
        };
        if inner.violation.is_none()
            && let Some((name, what)) = inner.invariants.iter_mut().find_map(broken)
        {
            self.convict(&mut inner, name, what);
        }
    }

    /// A line of the readable log.
    fn write(&self, step: u64, nanos: u64, what: &dyn fmt::Display) {
        if let Some(lines) = &self.lines {
            let (cluster, ms, us) = (self.cluster, nanos / 1_000_000, nanos / 1_000 % 1_000);
            lock(lines).push(format!("c{cluster} {step:>7} {ms:>10}.{us:03} {what}"));
        }
    }

    /// The first that was broken counts, and stands in the readable log behind what broke it.
    fn convict(&self, inner: &mut Inner, invariant: &'static str, what: String) {
        if inner.violation.is_some() {
            return;
        }
        let (cluster, step, at_ms) = (self.cluster, inner.steps, inner.at_ms);
        self.write(step, at_ms * 1_000_000, &format_args!("BROKEN: {invariant}: {what}"));
        inner.violation = Some(Violation { invariant, cluster, step, at_ms, what });
    }

    /// The run is over: what can be judged only as a whole is judged now.
    pub fn finish(&self) {
        let mut inner = lock(&self.inner);
        inner.at_ms = global_nanos() / 1_000_000;
        let broken = |invariant: &mut Box<dyn Invariant>| Some((invariant.name(), invariant.finish().err()?));
        if inner.violation.is_none()
            && let Some((name, what)) = inner.invariants.iter_mut().find_map(broken)
        {
            self.convict(&mut inner, name, what);
        }
    }

    /// Counts what happened in another history as well.
    pub fn add_steps(&self, steps: u64) {
        lock(&self.inner).steps += steps;
    }

    /// Whether this invariant judges.
    #[must_use]
    pub fn is_judged_by(&self, invariant: &'static str) -> bool {
        self.by.include(invariant)
    }

    /// Takes over that something was broken elsewhere, unless something was before that here.
    pub fn adopt(&self, violation: Option<Violation>) {
        let mut inner = lock(&self.inner);
        let both = [inner.violation.take(), violation];
        inner.violation = both.into_iter().flatten().min_by_key(|violation| violation.at_ms);
    }

    /// Something that must hold doesn't, seen by the run itself.
    pub fn accuse(&self, invariant: &'static str, what: String) {
        if !self.is_judged_by(invariant) {
            return;
        }
        let mut inner = lock(&self.inner);
        inner.at_ms = global_nanos() / 1_000_000;
        self.convict(&mut inner, invariant, what);
    }

    /// The run was broken off, whoever judges.
    pub fn break_off(&self, invariant: &'static str, what: String) {
        self.convict(&mut lock(&self.inner), invariant, what);
    }

    /// The first invariant that was broken.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        lock(&self.inner).violation.clone()
    }

    /// How much happened.
    #[must_use]
    pub fn steps(&self) -> u64 {
        lock(&self.inner).steps
    }

    /// The readable log, if it was kept: cluster, step, milliseconds, and what happened.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.as_ref().map_or_else(Vec::new, |lines| lock(lines).clone())
    }
}
