//! Actions on the circle beyond trust in a certificate: members whose revocations are followed.

use circlet_token::{ServiceId, feed::FeedPosition};

use crate::{
    codec::{wire_enum, wire_struct},
    record::{Approved, CircleKey},
};

/// Give this cluster its circle key. The first in the log stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCircleKey {
    /// The key.
    pub key: CircleKey,
}
wire_struct!(SetCircleKey { key });

/// Follow the revocations of another cluster, or approve anew what is believed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApproveMember {
    /// What a person approved.
    pub approved: Approved,
    /// The invitation that it used, if it came with one, as SHA-256 of its secret.
    pub invite: Option<[u8; 32]>,
}
wire_struct!(ApproveMember { approved, invite });

/// Follow them no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DismissMember {
    /// The other cluster.
    pub issuer: ServiceId,
}
wire_struct!(DismissMember { issuer });

/// Allow one other cluster to pair with this one, within `circle.invite-expiry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteMember {
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Who is invited. Without it, whoever is known here already can't use the invitation: it could be somebody else.
    pub guest: Option<ServiceId>,
}
wire_struct!(InviteMember { hash, guest });

/// Take over what a member's feed said. Its signature was checked by the node that asked; the chain is checked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowFeed {
    /// The log index of the member's approval.
    pub member: u64,
    /// Whose feed it is.
    pub issuer: ServiceId,
    /// What it said.
    pub step: FollowStep,
}
wire_struct!(FollowFeed { member, issuer, step });

/// One step along a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum FollowStep {
    /// Entries that follow on what is known.
    Entries {
        /// Where they begin.
        at: FeedPosition,
        /// Where they lead.
        to: FeedPosition,
        /// Their bytes, as the chain holds them.
        entries: Vec<u8>,
    } = 1,
    /// A page of the list.
    Page {
        /// What was asked for; empty for the first.
        cursor: Vec<u8>,
        /// Where the chain stood at the first page.
        from: FeedPosition,
        /// The bytes of its entries.
        entries: Vec<u8>,
        /// What to ask for next; empty after the last.
        next: Vec<u8>,
    } = 2,
    /// Nothing is new, and its node proved it: noted now and then only.
    Contact = 3,
    /// An answer that was refused.
    Fault {
        /// Why, in a word.
        code: String,
        /// The member's own signature proves it.
        proved: bool,
        /// The signed head.
        evidence: Vec<u8>,
    } = 4,
}
wire_enum!(FollowStep {
    1 => Entries { at, to, entries },
    2 => Page { cursor, from, entries, next },
    3 => Contact,
    4 => Fault { code, proved, evidence },
});
