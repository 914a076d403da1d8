//! What goes into the log: who asks ([`Actor`]), and what for ([`Action`]).
//!
//! A command carries everything that applying it needs: ids are drawn, certificates are taken apart and names are
//! normalised before it is proposed. The time travels beside it, in a [`Stamp`].

mod circle;
mod cluster;
mod master_key;
mod people;
mod tokens;

pub use circle::{
    ApproveMember, DismissMember, FollowFeed, FollowStep, InviteMember, NoteTaken, ReplaceCircleKey,
    RevokeForMember, SetCircleKey, ToldKey,
};
pub use cluster::{
    AdmitByKey, AdmitNode, Bootstrap, ClusterCa, DistrustIssuer, FeatureLevel, FirstAdministrator,
    LimitIssuer, MintJoinToken, NewKey, Purge, ReplaceCa, RotateKey, SetConfig, TrustIssuer,
};
pub use master_key::{DeclareLost, ReplaceSecrets, TurnMasterKey};
pub use people::{DeleteGroup, DeleteUser, PasswordChange, PutGroup, PutMode, PutUser};
pub use tokens::{
    ImportTokens, ImportedToken, IssueToken, NoteUse, PresentedToken, RefreshOverrides, RefreshToken,
    RevokeBefore, RevokeTarget, RevokeToken, Whom,
};

use circlet_token::{KeyId, ServiceId, Subject, TokenId, UserName, Verified};

use crate::codec::{self, DecodeError, wire_enum, wire_struct};
use circlet_token::Scope;

/// The leader's time for one log entry. [`State`](crate::State) never goes back: its time is the largest stamp so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Who asks. Checked again when the command is applied.
    pub actor: Actor,
    /// What is asked.
    pub action: Action,
}
wire_struct!(Command { actor, action });

impl Command {
    /// A version byte, then the command; frozen, see the module `codec`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The reverse of [`Command::encode`].
    ///
    /// # Errors
    /// The bytes are of an unknown version, damaged, or hold something that this build does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum Actor {
    /// The node itself: purging, importing files, admitting a node that proved a join token.
    System = 1,
    /// A user who gave a password.
    User {
        /// The user's name.
        name: UserName,
    } = 2,
    /// The bearer of an access token.
    Token(Box<TokenActor>) = 3,
    /// Nobody else: the pair of refresh token and access token is the credential, for [`Action::RefreshToken`] only.
    RefreshPair = 4,
    /// A local operator on the node's own home: trusted as the operating system trusts them.
    Operator = 5,
}
wire_enum!(Actor {
    1 => System,
    2 => User { name },
    3 => Token(token),
    4 => RefreshPair,
    5 => Operator,
});

/// The facts of a verified access token that decide what its bearer may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenActor {
    /// Whom it speaks for; its service id is the issuer's.
    pub subject: Subject,
    /// The token's id, where its issuer gives ids that are UUIDs.
    pub id: Option<TokenId>,
    /// The key that signed it.
    pub key: KeyId,
    /// Seconds since the epoch.
    pub issued_at: u64,
    /// The log index of the view that issued it, on our own tokens.
    pub index: Option<u64>,
    /// What it may do.
    pub scope: Scope,
    /// Seconds since the epoch; `None` never expires.
    pub expires_at: Option<u64>,
    /// What the token says of itself, if it does.
    pub revocable: Option<bool>,
}
wire_struct!(TokenActor { subject, id, key, issued_at, index, scope, expires_at, revocable });

impl TokenActor {
    /// The actor that a verified token makes of its bearer.
    #[must_use]
    pub fn of(verified: &Verified) -> Self {
        let claims = &verified.claims;
        Self {
            subject: claims.subject.clone(),
            id: claims.id,
            key: verified.key.clone(),
            issued_at: claims.issued_at,
            index: claims.index,
            scope: claims.scope.clone(),
            expires_at: claims.expires_at,
            revocable: claims.revocable,
        }
    }

    /// The service that issued it: a subject carries the same id as its issuer.
    #[must_use]
    pub fn issuer(&self) -> &ServiceId {
        self.subject.service()
    }
}

/// What is asked. One variant per transition, each with a file of the same name under `apply/`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant wraps the documented struct of its name")]
pub enum Action {
    Bootstrap(Box<Bootstrap>) = 1,
    IssueToken(Box<IssueToken>) = 2,
    RefreshToken(Box<RefreshToken>) = 3,
    RevokeToken(Box<RevokeToken>) = 4,
    RevokeBefore(RevokeBefore) = 5,
    PutUser(Box<PutUser>) = 6,
    DeleteUser(DeleteUser) = 7,
    PutGroup(Box<PutGroup>) = 8,
    DeleteGroup(DeleteGroup) = 9,
    SetConfig(Box<SetConfig>) = 10,
    TrustIssuer(Box<TrustIssuer>) = 11,
    DistrustIssuer(DistrustIssuer) = 12,
    MintJoinToken(MintJoinToken) = 13,
    AdmitNode(Box<AdmitNode>) = 14,
    Purge(Purge) = 15,
    RotateKey(Box<RotateKey>) = 16,
    NoteUse(NoteUse) = 30,
    ImportTokens(Box<ImportTokens>) = 31,
    AdmitByKey(Box<AdmitByKey>) = 40,
    ReplaceCa(Box<ReplaceCa>) = 41,
    TurnMasterKey(Box<TurnMasterKey>) = 42,
    DeclareLost(DeclareLost) = 43,
    ReplaceSecrets(Box<ReplaceSecrets>) = 44,
    FeatureLevel(FeatureLevel) = 50,
    LimitIssuer(Box<LimitIssuer>) = 70,
    SetCircleKey(Box<SetCircleKey>) = 71,
    ApproveMember(Box<ApproveMember>) = 72,
    DismissMember(DismissMember) = 73,
    InviteMember(InviteMember) = 74,
    FollowFeed(Box<FollowFeed>) = 75,
    NoteTaken(NoteTaken) = 76,
    ReplaceCircleKey(Box<ReplaceCircleKey>) = 77,
    RevokeForMember(RevokeForMember) = 78,
}
wire_enum!(Action {
    1 => Bootstrap(action),
    2 => IssueToken(action),
    3 => RefreshToken(action),
    4 => RevokeToken(action),
    5 => RevokeBefore(action),
    6 => PutUser(action),
    7 => DeleteUser(action),
    8 => PutGroup(action),
    9 => DeleteGroup(action),
    10 => SetConfig(action),
    11 => TrustIssuer(action),
    12 => DistrustIssuer(action),
    13 => MintJoinToken(action),
    14 => AdmitNode(action),
    15 => Purge(action),
    16 => RotateKey(action),
    30 => NoteUse(action),
    31 => ImportTokens(action),
    40 => AdmitByKey(action),
    41 => ReplaceCa(action),
    42 => TurnMasterKey(action),
    43 => DeclareLost(action),
    44 => ReplaceSecrets(action),
    50 => FeatureLevel(action),
    70 => LimitIssuer(action),
    71 => SetCircleKey(action),
    72 => ApproveMember(action),
    73 => DismissMember(action),
    74 => InviteMember(action),
    75 => FollowFeed(action),
    76 => NoteTaken(action),
    77 => ReplaceCircleKey(action),
    78 => RevokeForMember(action),
});

impl Action {
    /// The action's name, for messages and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) => "initialising",
            Self::IssueToken(_) => "issuing a token",
            Self::RefreshToken(_) => "refreshing a token",
            Self::RevokeToken(_) => "revoking a token",
            Self::RevokeBefore(_) => "revoking all earlier tokens",
            Self::PutUser(_) => "writing a user",
            Self::DeleteUser(_) => "deleting a user",
            Self::PutGroup(_) => "writing a group",
            Self::DeleteGroup(_) => "deleting a group",
            Self::SetConfig(_) => "changing the configuration",
            Self::TrustIssuer(_) => "trusting an issuer",
            Self::DistrustIssuer(_) => "distrusting an issuer",
            Self::MintJoinToken(_) => "making a join token",
            Self::AdmitNode(_) | Self::AdmitByKey(_) => "admitting a node",
            Self::ReplaceCa(_) => "replacing the cluster's CA",
            Self::TurnMasterKey(_) => "replacing the master key",
            Self::DeclareLost(_) => "declaring a node lost",
            Self::ReplaceSecrets(_) => "replacing what a lost node knew",
            Self::FeatureLevel(FeatureLevel::Support { .. }) => "telling what a node supports",
            Self::FeatureLevel(FeatureLevel::Raise { .. }) => "raising the feature level",
            Self::Purge(_) => "purging what has expired",
            Self::RotateKey(_) => "rotating a key",
            Self::NoteUse(_) => "noting the use of tokens",
            Self::ImportTokens(_) => "importing tokens",
            Self::LimitIssuer(_) => "limiting an issuer",
            Self::SetCircleKey(_) => "making the circle key",
            Self::ApproveMember(_) => "approving a member of the circle",
            Self::DismissMember(_) => "dismissing a member of the circle",
            Self::InviteMember(_) => "inviting a member into the circle",
            Self::FollowFeed(_) => "following a feed",
            Self::NoteTaken(_) => "noting what a member has taken over",
            Self::ReplaceCircleKey(_) => "replacing the circle key",
            Self::RevokeForMember(_) => "revoking a token for a member of the circle",
        }
    }
}
