//! What happens, as the invariants are told of it.

use std::fmt;
use std::sync::Arc;

use circlet_authority::{FamilyId, IssuerLimits};
use circlet_raft::NodeId;
use circlet_token::feed::CirclePublicKey;
use circlet_token::{KeyId, ServiceId, TokenId};

use super::{Grant, Standing};
use crate::linear::Operation;
use crate::mark::{Facts, Mark};

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
    /// A node answered with a list of its view at `view`, which was proved fresh, as it says, or wasn't.
    Listed { node: NodeId, view: u64, sent: u64, proved: bool },
    /// A node accepted a token that this key signed, by its view at `view`, which had been proved fresh `age_ms` before that
    /// was said, by its boot clock.
    Vouched { node: NodeId, kid: KeyId, view: u64, sent: u64, age_ms: Option<u64> },
    /// A node forgot something that is needed up to this second, because it took it for expired. By its state all that was
    /// needed up to `over` had expired for long enough.
    Forgotten { node: NodeId, index: u64, what: String, until: u64, over: u64 },
    /// What a client did, once it knows what came of it or that it will not know.
    Operation(Operation),
    /// A node applied, or signed without the log, what somebody asked for, though the state at `index` or before refuses their
    /// token or has shut them out.
    Overruled { node: NodeId, index: u64, what: &'static str },
    /// Somebody asked for more than the policy allows; `done` says whether it was done.
    Overreached { what: &'static str, done: bool, index: u64 },
    /// A node took over who belongs to the cluster: ids, and the beginning of each one's key; and who votes.
    Members { node: NodeId, index: u64, keys: Vec<(NodeId, u64)>, voters: Vec<NodeId> },
    /// A node believed `by`, which its state knows as a member or doesn't, that the cluster goes on without it.
    Superseded { node: NodeId, by: NodeId, known: bool },
    /// The floors of nodes that were given up are what another generation has begun on.
    FloorsTaken,
    /// A node that was given up has said that it knows, and that it stops.
    KnowsItIsGivenUp { node: NodeId },
    /// A node judged a token that nodes had issued since it gave them up.
    ShownOfGivenUp { node: NodeId, id: TokenId, accepted: bool },
    /// A node was let in that is never to vote.
    NeverVotes { node: NodeId },
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
