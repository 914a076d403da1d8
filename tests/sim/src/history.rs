//! What happened, in one order: each event is shown to every invariant, and kept as text if somebody wants to read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, Weak};

use circlet_authority::{FamilyId, IssuerLimits, TokenRecord};
use circlet_raft::NodeId;
use circlet_token::feed::CirclePublicKey;
use circlet_token::{KeyId, ServiceId, TokenId};

use crate::invariant::{self, Invariant};
use crate::linear::Operation;
use crate::mark::{Facts, Mark};
use crate::midst::Midst;
use crate::plant::Plant;
use crate::runtime::{self, global_nanos};
use crate::scope::lock;
use crate::sealing::MasterKey;
use crate::staleness::Staleness;

mod notes;

mod facts;

pub use facts::{Descendant, Grant, Standing};

/// Nodes are compared as a whole at every index that this divides, in most runs: the digest of a state takes longer than
/// most entries take to be applied.
const WHOLE_EVERY: u64 = 32;

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
    /// The computer of a node is given this version of the program.
    Runs { node: NodeId, version: u32 },
    /// A node has come to another feature level, or has taken up a state with this one, and is this version.
    Level { node: NodeId, index: u64, level: u32, version: u32 },
    /// A cluster begins anew from a state with this feature level.
    LevelLeft { level: u32 },
    /// A node has applied that another one, `of`, says how much it supports.
    Said { node: NodeId, index: u64, of: NodeId, supports: u32 },
    /// A node has applied that another one is let in, `of`, which said how much it supports; the level then.
    LetIn { node: NodeId, index: u64, of: NodeId, supports: u32, level: u32 },
    /// A node has applied that the feature level rises; these nodes the cluster has.
    Rose { node: NodeId, index: u64, to: u32, nodes: Vec<NodeId> },
    /// A node of this version was sent a proposal with a trace.
    Traced { node: NodeId, version: u32 },
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
    /// This token, issued at this second of the state's time, was given to whoever asked under this key.
    IssuedFor { request: u64, id: TokenId, at: u64 },
    /// Somebody asks to have this token of an older installation imported.
    ImportAsked { id: TokenId },
    /// A node judged a token of an older installation that can be revoked, and that nobody asked to have imported.
    ImportShown { node: NodeId, id: TokenId, accepted: bool },
    /// A node has applied an import that did this to a token.
    ImportedWrong { node: NodeId, index: u64, id: TokenId, what: &'static str },
    /// It was acknowledged that these tokens were used then, in seconds.
    UsesNoted { uses: Vec<(TokenId, u64)> },
    /// The state at this index and second, which was asked for at `sent`, has this token, last used at `at`.
    LastUsed { id: TokenId, index: u64, at: Option<u64>, now_secs: u64, sent: u64 },
    /// It has no such token, and knows when that was used.
    UsedWhenGone { id: TokenId, index: u64 },
    /// A refresh token was used; `from` is what watermarks go by in the token that its family had come to before.
    Refreshed {
        family: FamilyId,
        sequence: u32,
        successor: TokenId,
        sum: u64,
        index: u64,
        sent: u64,
        from: Arc<Facts>,
    },
    /// A node has applied that a refresh token was used, whatever became of the answer; `from` is as above.
    RefreshDecided {
        node: NodeId,
        family: FamilyId,
        sequence: u32,
        successor: TokenId,
        index: u64,
        from: Arc<Facts>,
    },
    /// A repeated use of a refresh token gave another successor in the place of the one that this key had signed.
    Replaced { family: FamilyId, sequence: u32, kid: KeyId, index: u64 },
    /// A token was revoked, and its family with it if it has one.
    Revoked { id: Option<TokenId>, family: Option<FamilyId>, index: u64 },
    /// Every token of a subject that was issued below `index` was revoked.
    Watermark { subject: u64, index: u64 },
    /// Clients learnt of a token; these are what watermarks go by.
    Known { id: TokenId, facts: Arc<Facts> },
    /// A watermark was acknowledged that is not just on one subject, for all time.
    Marked(Arc<Mark>),
    /// A node has applied a watermark of any kind.
    MarkHeld(Arc<Mark>),
    /// A node has applied that a user may be spoken for from this index on, or may not. `None`: as before, but whoever is new
    /// may.
    UserPut { subject: u64, index: u64, enabled: Option<bool> },
    /// A token was judged by a node's view at `view`; `index` is the token's own.
    Verified {
        node: NodeId,
        id: TokenId,
        subject: u64,
        index: u64,
        view: u64,
        sent: u64,
        accepted: bool,
        proved: bool,
        revocable: bool,
    },
    /// How old what is known of the neighbours' revocations may be, where that is; said once.
    CircleBound { ms: u64 },
    /// The neighbours acknowledged that they revoked a token of theirs.
    RevokedAbroad { id: TokenId },
    /// The neighbours with this name acknowledged a watermark.
    MarkedAbroad { issuer: ServiceId, mark: Arc<Mark> },
    /// The neighbours acknowledged that this key of theirs leaked.
    TaintedAbroad { kid: KeyId },
    /// A node of the neighbours' has applied that a key is in their keyring.
    KeyAbroad { kid: KeyId },
    /// A node of the neighbours' has applied that a published key signs, so long after it was published; a member that does
    /// not have it is waited for for `patience_ms`.
    ActivatedAbroad { kid: KeyId, waited_ms: u64, patience_ms: u64 },
    /// A node of the neighbours' has applied which circle key is theirs.
    CircleKeyAbroad { key: CirclePublicKey },
    /// A node has applied which circle key it believes of a neighbour.
    CircleKey { node: NodeId, index: u64, key: CirclePublicKey },
    /// A node has applied that a neighbour's feed told it a key; `refused` if it is not trusted though nobody has ended it.
    Told { node: NodeId, index: u64, kid: KeyId, refused: bool },
    /// A node judged a token of the neighbours by its view at `view`; `facts` are what watermarks go by in it. `unknown`:
    /// refused for its key alone, which that view didn't have.
    VerifiedAbroad {
        node: NodeId,
        id: TokenId,
        issuer: ServiceId,
        facts: Arc<Facts>,
        kid: KeyId,
        revocable: bool,
        view: u64,
        sent: u64,
        accepted: bool,
        unknown: bool,
    },
    /// An administrator begins to limit what tokens of this issuer may do; `change` numbers it.
    Limiting { change: u64, issuer: ServiceId, limits: IssuerLimits },
    /// An administrator was told that it is done, as of `index`.
    Limited { change: u64, index: u64 },
    /// A node accepted a token of the neighbours by its view at `view`, and grants this.
    Granted { node: NodeId, view: u64, sent: u64, grant: Grant },
    /// A node has applied that a token was revoked because this neighbour asked for it.
    RevokedFor { node: NodeId, index: u64, issuer: ServiceId },
    /// An administrator was told that this neighbour is trusted no more, as of `index`.
    TrustEnded { issuer: ServiceId, index: u64 },
    /// An administrator begins to trust it again.
    TrustBegins { issuer: ServiceId },
    /// A node has applied that an invitation was made, for this guest or for whoever is not known yet; it can be used before
    /// this second of the state's time.
    Invited { index: u64, invite: u64, guest: Option<ServiceId>, until: u64 },
    /// A node has applied what ends all invitations that were made before.
    InvitesVoid { index: u64 },
    /// Somebody who has this invitation says of itself what is approved as `who`.
    GuestSpoke { invite: u64, who: u64 },
    /// A node has applied that this issuer came with an invitation, approved as `who`, at this second of the state's time;
    /// `known`: somebody was trusted under its name before. `renewed`: it is a member by that.
    Paired {
        node: NodeId,
        index: u64,
        invite: u64,
        issuer: ServiceId,
        who: u64,
        known: bool,
        now_secs: u64,
        renewed: bool,
    },
    /// It was proved to a guest that it was let in.
    GuestTold { invite: u64, who: u64 },
    /// A fresh view of a cluster that let this guest in follows it, or not; nobody has dismissed it.
    GuestLooked { issuer: ServiceId, followed: bool },
    /// Somebody has stolen the circle key of this neighbour, and speaks in its place.
    KeyStolen { issuer: ServiceId },
    /// It has another one, and an administrator was told that it is approved with that, as of `index`.
    KeyMended { issuer: ServiceId, index: u64 },
    /// A node judged by its view at `view` what a thief of this neighbour's circle key has signed with a token key of his own.
    ThiefShown { node: NodeId, issuer: ServiceId, view: u64, accepted: bool },
    /// How many entries of each neighbour's feed are kept, from this index on.
    Quota { index: u64, most: u64 },
    /// A node has applied what is kept of a neighbour's feed; `over`: not all of it, for want of room.
    Kept { node: NodeId, index: u64, issuer: ServiceId, entries: u64, grew: bool, over: bool },
    /// How long a node that is cut off issues plain tokens, and how long it verifies; said once.
    Bounds { issue_ms: u64, verify_ms: u64 },
    /// From now on states say so of `verify.max-staleness-ms`.
    Staleness { ms: u64 },
    /// A node has applied what became of a key.
    Key { node: NodeId, index: u64, kid: KeyId, standing: Standing },
    /// A node signed a token by its view at `view`, having proved freshness since its start or not; `age_ms` ago by its boot
    /// clock that view was proved fresh. A plain token is not in the log.
    Signed { node: NodeId, kid: KeyId, plain: bool, view: u64, sent: u64, proved: bool, age_ms: Option<u64> },
    /// A node handed out a plain token that it dated by its own clock. So far ahead a token may say that it was issued, and so
    /// long may a node be cut off that issues it.
    Dated { node: NodeId, dated_ms: u64, allowed_ms: u64 },
    /// A node answered with a list.
    Listed { node: NodeId, proved: bool },
    /// A node accepted a token that this key signed, by its view at `view`, which had been proved fresh `age_ms` before that
    /// was said, by its boot clock.
    Vouched { node: NodeId, kid: KeyId, view: u64, sent: u64, age_ms: Option<u64> },
    /// A node forgot something that is needed up to this second, because it took it for expired. By its state all that was
    /// needed up to `over` had expired for long enough.
    Forgotten { node: NodeId, index: u64, what: String, until: u64, over: u64 },
    /// What a client did, once it knows what came of it or that it will not know.
    Operation(Operation),
    /// A node applied what somebody asked for, though the state before refuses their token or has shut them out.
    Overruled { node: NodeId, index: u64, what: &'static str },
    /// Somebody asked for more than the policy allows; `done` says whether it was done.
    Overreached { what: &'static str, done: bool, index: u64 },
    /// A node took over who belongs to the cluster: ids, and the beginning of each one's key.
    Members { node: NodeId, index: u64, keys: Vec<(NodeId, u64)> },
    /// A cluster begins anew from what is left of the one before; every index of before is lower.
    Begun { index: u64, second: u64, on_floor: bool },
    /// The neighbours of this name began anew, with this generation at this index of theirs.
    BegunAbroad { issuer: ServiceId, index: u64, generation: u64, on_floor: bool },
    /// A node has applied that all is known of this generation of a neighbour's feed; 0: of none.
    Follows { node: NodeId, index: u64, issuer: ServiceId, generation: u64 },
    /// A node has applied that a floor is required from this index on, or no more.
    FloorRequired { node: NodeId, index: u64, required: bool },
    /// Whoever restores asked whether the floors hold everything; `spoilt`: what was done to one of them before.
    FloorsAsked { spoilt: Option<String>, proved: bool },
    /// A token that was good when its cluster was lost, and floors were complete, was shown to a node of the next one.
    LivedOn { node: NodeId, id: TokenId, accepted: bool },
    /// A node judged a token that the log didn't issue; `own` if it names this cluster.
    Shown { node: NodeId, id: TokenId, own: bool, accepted: bool },
    /// A node has applied that the secrets are sealed under this master key; those who had a vote then.
    MasterKey { node: NodeId, index: u64, key: u64, voters: Vec<NodeId> },
    /// It was decided that this node said that it has a master key on its disk.
    KeyPromised { node: NodeId, key: u64 },
    /// The master keys that a power cut would leave on a node's disk.
    KeysKept { node: NodeId, kept: Vec<u64> },
    /// A node has in its state, since this index, the secrets with these sums; what the nodes `lost` knew is replaced by then.
    Secrets { node: NodeId, index: u64, sums: Vec<u64>, lost: Vec<NodeId> },
    /// A secret in a node's state doesn't open under the master key of that state.
    Shut { node: NodeId, index: u64, what: String },
    /// A file on the disk of a node was damaged that holds a master key.
    KeyFileDamaged { node: NodeId },
    /// A node's disk went back to an older state.
    SetBack { node: NodeId },
    /// A node has been back for a while with no more than the log's `kept` entries; before, it had acknowledged more to a
    /// leader that has led ever since. `refused`: that one has noticed.
    CameBack { node: NodeId, kept: u64, acknowledged: u64, by: NodeId, refused: bool },
    /// It was acknowledged that this node was removed.
    Removed { node: NodeId },
    /// A node gave a master key to who showed the identity of another, and asked at `sent`.
    KeyGiven { node: NodeId, to: NodeId, sent: u64 },
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
    /// The number of the cluster in which it was broken.
    pub cluster: u64,
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
        let mut invariants = invariant::all();
        invariants.retain(|invariant| by.is_none_or(|by| by == invariant.name()));
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
