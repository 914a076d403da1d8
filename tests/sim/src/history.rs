//! What happened, in one order: each event is shown to every invariant, and kept as text if somebody wants to read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use circlet_authority::{FamilyId, TokenRecord};
use circlet_raft::NodeId;
use circlet_token::{KeyId, TokenId};

use crate::invariant::{self, Invariant};
use crate::linear::Operation;
use crate::plant::Plant;
use crate::runtime::global_nanos;
use crate::scope::lock;

/// What a node knows of a key, ours or another cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Ours; it verifies, and does not sign yet.
    Published,
    /// Ours; it signs.
    Active,
    /// Ours; it verifies, and signs only what it has signed before.
    Retiring,
    /// Ours; nothing that it signed counts any more.
    Tainted,
    /// Ours; it is forgotten.
    Retired,
    /// Another cluster's, which is trusted.
    Trusted,
    /// Another cluster's, which is trusted no more.
    Distrusted,
}

/// Something that the invariants look at. Times are the simulator's, in nanoseconds.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "fields are what their names say; each variant has its sentence")]
pub enum Event {
    /// A node applied an entry; `sum` is over stamp, command and outcome.
    Applied { node: NodeId, index: u64, sum: u64, now_ms: u64 },
    /// A node's whole state at an index.
    Whole { node: NodeId, index: u64, sum: u64 },
    /// A state breaks the authority's own rules.
    Unsound { node: NodeId, index: u64, what: String },
    /// A node began to run.
    Started { node: NodeId, life: u64 },
    /// A node was killed; so many batches that weren't synced were lost.
    Killed { node: NodeId, lost: usize },
    /// A node stopped itself.
    Stopped { node: NodeId, why: String, expected: bool },
    /// Something was done to the cluster.
    Fault { what: String },
    /// A write was acknowledged.
    Acknowledged { node: NodeId, index: u64, holds: u64, sent: u64 },
    /// A client was told nothing about its write, or that it wasn't done.
    Unanswered { what: &'static str },
    /// A token was issued.
    Issued { id: TokenId, by: Option<TokenId>, index: u64, sum: u64 },
    /// A refresh token was used.
    Refreshed { family: FamilyId, sequence: u32, successor: TokenId, sum: u64, index: u64, sent: u64 },
    /// A repeated use of a refresh token gave another successor in the place of the one that this key had signed.
    Replaced { family: FamilyId, sequence: u32, kid: KeyId, index: u64 },
    /// A token was revoked, and its family with it if it has one.
    Revoked { id: Option<TokenId>, family: Option<FamilyId>, index: u64 },
    /// Every token of a subject that was issued below `index` was revoked.
    Watermark { subject: u64, index: u64 },
    /// A token was judged; `index` is its own.
    Verified {
        node: NodeId,
        id: TokenId,
        subject: u64,
        index: u64,
        sent: u64,
        accepted: bool,
        proved: bool,
        revocable: bool,
    },
    /// How old what is known of the neighbours' revocations may be, where that is; said once.
    CircleBound { ms: u64 },
    /// The neighbours acknowledged that they revoked a token of theirs.
    RevokedAbroad { id: TokenId },
    /// The neighbours acknowledged that every token of a subject of theirs below `index` was revoked.
    WatermarkAbroad { subject: u64, index: u64 },
    /// A node judged a token of the neighbours; `index` is the token's own.
    VerifiedAbroad { node: NodeId, id: TokenId, subject: u64, index: u64, sent: u64, accepted: bool },
    /// How long a node that is cut off issues plain tokens, and how long it verifies; said once.
    Bounds { issue_ms: u64, verify_ms: u64 },
    /// A node has applied what became of a key.
    Key { node: NodeId, index: u64, kid: KeyId, standing: Standing },
    /// A node signed a token by its view at `view`. A plain one is not in the log.
    Signed { node: NodeId, kid: KeyId, plain: bool, view: u64, sent: u64 },
    /// A node accepted a token that this key signed, by its view at `view`.
    Vouched { node: NodeId, kid: KeyId, view: u64, sent: u64 },
    /// A node forgot something that is needed up to this second, because it took it for expired.
    Forgotten { node: NodeId, index: u64, what: String, until: u64 },
    /// What a client did, once it knows what came of it or that it will not know.
    Operation(Operation),
    /// A node applied what the bearer of a token asked for, though the state before refuses that token.
    Overruled { node: NodeId, index: u64, what: &'static str },
    /// Somebody asked for more than the policy allows; `done` says whether it was done.
    Overreached { what: &'static str, done: bool, index: u64 },
    /// A node took over who belongs to the cluster: ids, and the beginning of each one's key.
    Members { node: NodeId, index: u64, keys: Vec<(NodeId, u64)> },
    /// A cluster begins anew from what is left of the one before; every index of before is lower.
    Begun { index: u64 },
    /// A node judged a token of another cluster.
    Shown { node: NodeId, id: TokenId, accepted: bool },
    /// A node gave a view that it had proved fresh.
    Fresh { node: NodeId, index: u64, sent: u64 },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied { node, index, sum, .. } => write!(f, "node {node} applied {index} ({sum:016x})"),
            Self::Whole { node, index, sum } => write!(f, "node {node} at {index} is {sum:016x}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// An invariant that was broken, and when.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which one.
    pub invariant: &'static str,
    /// The number of the event that broke it.
    pub step: u64,
    /// The simulator's time in milliseconds.
    pub at_ms: u64,
    /// What was seen.
    pub what: String,
}

/// Everything that happened in one run.
#[derive(Debug)]
pub struct History {
    plant: Plant,
    /// The one invariant that judges, if it is not all of them.
    by: Option<&'static str>,
    inner: Mutex<Inner>,
    /// Every token that the log has issued, whoever was told.
    issued: Mutex<BTreeMap<TokenId, Arc<TokenRecord>>>,
}

#[derive(Debug)]
struct Inner {
    steps: u64,
    lines: Option<Vec<String>>,
    /// Over all lines, whether they are kept or not.
    sum: u64,
    invariants: Vec<Box<dyn Invariant>>,
    violation: Option<Violation>,
}

impl History {
    /// The history of a run with this bug planted, judged by one invariant or all; `keeps_lines` makes it readable.
    #[must_use]
    pub fn new(plant: Plant, by: Option<&'static str>, keeps_lines: bool) -> Self {
        let mut invariants = invariant::all();
        invariants.retain(|invariant| by.is_none_or(|by| by == invariant.name()));
        let inner = Inner {
            steps: 0,
            lines: keeps_lines.then(Vec::new),
            sum: 0xcbf2_9ce4_8422_2325,
            invariants,
            violation: None,
        };
        Self { plant, by, inner: Mutex::new(inner), issued: Mutex::default() }
    }

    /// The log issued a token.
    pub fn note_issued(&self, record: TokenRecord) {
        lock(&self.issued).entry(record.id).or_insert_with(|| Arc::new(record));
    }

    /// Every token that the log has issued so far.
    #[must_use]
    pub fn issued(&self) -> Vec<Arc<TokenRecord>> {
        lock(&self.issued).values().cloned().collect()
    }

    /// What was planted.
    #[must_use]
    pub fn plant(&self) -> Plant {
        self.plant
    }

    /// Something happened.
    pub fn tell(&self, event: &Event) {
        let now = global_nanos();
        let mut inner = lock(&self.inner);
        inner.steps += 1;
        if inner.lines.is_some() {
            let line = format!("{:>10}.{:03} {event}", now / 1_000_000, now / 1_000 % 1_000);
            inner.sum = line
                .bytes()
                .fold(inner.sum, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            inner.lines.iter_mut().for_each(|lines| lines.push(line.clone()));
        }
        if inner.violation.is_some() {
            return;
        }
        let step = inner.steps;
        let broken = inner.invariants.iter_mut().find_map(|invariant| {
            let what = invariant.see(now, event).err()?;
            Some(Violation { invariant: invariant.name(), step, at_ms: now / 1_000_000, what })
        });
        inner.violation = broken;
    }

    /// The run is over: what can be judged only as a whole is judged now.
    pub fn finish(&self) {
        let at_ms = global_nanos() / 1_000_000;
        let mut inner = lock(&self.inner);
        if inner.violation.is_some() {
            return;
        }
        let step = inner.steps;
        inner.violation = inner.invariants.iter_mut().find_map(|invariant| {
            let what = invariant.finish().err()?;
            Some(Violation { invariant: invariant.name(), step, at_ms, what })
        });
    }

    /// Counts what happened in another history as well.
    pub fn add_steps(&self, steps: u64) {
        lock(&self.inner).steps += steps;
    }

    /// Adds the readable log of another history.
    pub fn add_lines(&self, lines: Vec<String>) {
        if let Some(all) = &mut lock(&self.inner).lines {
            all.extend(lines);
        }
    }

    /// Takes over that something was broken elsewhere.
    pub fn adopt(&self, violation: Option<Violation>) {
        let mut inner = lock(&self.inner);
        inner.violation = inner.violation.take().or(violation);
    }

    /// Something that must hold doesn't, seen by the run itself.
    pub fn accuse(&self, invariant: &'static str, what: String) {
        if self.by.is_some_and(|by| by != invariant) {
            return;
        }
        let at_ms = global_nanos() / 1_000_000;
        let mut inner = lock(&self.inner);
        let step = inner.steps;
        inner.violation.get_or_insert(Violation { invariant, step, at_ms, what });
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

    /// The readable log, if it was kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lock(&self.inner).lines.clone().unwrap_or_default()
    }
}
