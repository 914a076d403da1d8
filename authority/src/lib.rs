//! What a cluster decides about access tokens. Pure: a [`Command`] goes in, an [`Outcome`] comes out, and equal logs give
//! equal states on every node. No clock, file, socket or randomness.
//!
//! | read | for |
//! |---|---|
//! | [`Command`], [`Actor`], [`Action`] | what goes into the log |
//! | [`State::apply`], [`Outcome`], [`Refusal`] | the one way in: a total function; a refusal is a value |
//! | [`State`] and the modules behind it | what views hold, and how they are read |
//! | [`State::authorize`], [`Rights`] | who may do what; the same function at the edge and inside apply |
//! | [`State::plan_issue`], [`Plan`] | plain or recorded, revocable or not |
//! | [`State::judge`], [`Judgement`] | whether a verified token is good here |
//! | [`Config`], [`limits`] | settings and bounds |
//! | [`State::encode_snapshot`], [`State::digest`] | the state as bytes |
//! | [`State::archived`], [`State::next_generation`] | what a backup holds, and what a restored cluster begins with |
//! | [`State::floor_changes`], [`Picture`] | what is refused, as it is kept outside, so that earlier tokens can live on |
//! | [`invariant`] | what must hold after every command |

// Whatever the log says, applying it must not panic.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod apply;
mod codec;
pub mod command;
mod config;
mod floor;
pub mod invariant;
mod judge;
pub mod limits;
mod next_generation;
mod outcome;
mod plan;
mod policy;
pub mod record;
mod refusal;
mod rights;
mod snapshot;
mod state;

pub use codec::{DecodeError, FORMAT_VERSION};
pub use command::{
    Action, Actor, AdmitByKey, AdmitNode, ApproveMember, Bootstrap, ClusterCa, Command, DeclareLost,
    DeleteGroup, DeleteUser, DismissMember, DistrustIssuer, FeatureLevel, FirstAdministrator, FollowFeed,
    FollowStep, ImportTokens, ImportedToken, InviteMember, IssueToken, LimitIssuer, MintJoinToken, NewKey,
    NoteTaken, NoteUse, PasswordChange, PresentedToken, Purge, PutGroup, PutMode, PutUser, RefreshOverrides,
    RefreshToken, ReplaceCa, ReplaceCircleKey, ReplaceSecrets, RevokeBefore, RevokeForMember, RevokeTarget,
    RevokeToken, RotateKey, SetCircleKey, SetConfig, Stamp, TokenActor, ToldKey, TrustIssuer, TurnMasterKey,
    Whom,
};
pub use config::{Config, ConfigChange, ConfigError, Setting, Unit};
pub use floor::{FloorFact, FloorHead, FloorRecord, Picture};
pub use judge::Judgement;
pub use next_generation::{NextGeneration, NoNextGeneration};
pub use outcome::{Descendants, Imported, Outcome, RevokeNote, Revoked};
pub use plan::{IssueRequest, Plan, TokenClass};
pub use record::{
    Approved, CircleKey, Family, FamilyId, FormerSecrets, Generation, Group, Invite, IssuerLimits, JoinToken,
    Key, KeyOrigin, KeyState, LostNode, Member, MemberFault, NextMasterKey, Node, NodeRecord, NodeRole,
    Origin, Progress, RemovedNode, Resealed, Sealed, SealedKind, TokenRecord, TrustedIssuer, User,
    UserStatus, Watermark,
};
pub use refusal::Refusal;
pub use rights::{Principal, Rights};
pub use state::{FeedPage, State, TokenCursor, TokenFilter, TokenOrder, TokenPage};
