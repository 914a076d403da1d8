//! What the state holds: one type per kind of record.

mod key;
mod master_key;
mod member;
mod node;
mod people;
mod token;

pub use key::{IssuerLimits, Key, KeyOrigin, KeyState, Sealed, SealedKind, TrustedIssuer};
pub use master_key::{FormerSecrets, LostNode, NextMasterKey, Resealed};
pub use member::{Approved, CircleKey, Invite, Member, MemberFault, Progress};
pub use node::{JoinToken, Node, NodeRecord, NodeRole, Redeemed, RemovedNode};
pub use people::{Group, INTERNAL_REALM, User, UserStatus};
pub use token::{Family, FamilyId, Generation, Origin, Replay, TokenRecord, Watermark};
