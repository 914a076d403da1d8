//! Actions on the circle beyond trust in a certificate: members whose revocations are followed.

use circlet_token::{
    Algorithm, KeyId, ServiceId, TokenId,
    feed::{FeedPosition, Succession},
};

use crate::{
    codec::{wire_enum, wire_struct},
    record::{Approved, CircleKey, Sealed},
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
    /// Whether it follows us as well.
    pub mutual: bool,
}
wire_struct!(ApproveMember { approved, invite, mutual });

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
    /// The token keys among what it said that may be believed, taken apart.
    pub keys: Vec<ToldKey>,
}
wire_struct!(FollowFeed { member, issuer, step, keys });

/// A token key that a member's feed tells, taken out of its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldKey {
    /// The id of the certificate.
    pub kid: KeyId,
    /// What the key signs with.
    pub algorithm: Algorithm,
    /// The public key, as the certificate holds it.
    pub spki_der: Vec<u8>,
    /// The certificate's common name.
    pub common_name: String,
    /// The certificate's last day, as text.
    pub not_after: String,
    /// The file that shows it.
    pub file_name: String,
}
wire_struct!(ToldKey { kid, algorithm, spki_der, common_name, not_after, file_name });

/// Note that a member has taken over our feed up to a point, as it said under its circle key; the node that heard it
/// checked the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteTaken {
    /// Who said so.
    pub issuer: ServiceId,
    /// The log index of its approval.
    pub member: u64,
    /// Up to which point of our feed.
    pub at: FeedPosition,
}
wire_struct!(NoteTaken { issuer, member, at });

/// Replace this cluster's circle key. Of two at once the first in the log counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceCircleKey {
    /// The present key names the next one.
    pub succession: Succession,
    /// The private half of the next one, sealed.
    pub private_key: Sealed,
}
wire_struct!(ReplaceCircleKey { succession, private_key });

/// Revoke one of our tokens because a member asks for it, as its limits allow; the node that heard it checked the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeForMember {
    /// Who asks.
    pub issuer: ServiceId,
    /// The log index of its approval.
    pub member: u64,
    /// The token.
    pub id: TokenId,
    /// Whether what was created with it ends as well.
    pub cascade: bool,
}
wire_struct!(RevokeForMember { issuer, member, id, cascade });

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
    /// Its circle key was replaced, each time by the word of the one before.
    CircleKeys {
        /// Oldest first.
        successions: Vec<Succession>,
    } = 5,
}
wire_enum!(FollowStep {
    1 => Entries { at, to, entries },
    2 => Page { cursor, from, entries, next },
    3 => Contact,
    4 => Fault { code, proved, evidence },
    5 => CircleKeys { successions },
});
