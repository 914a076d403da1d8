//! Members of the circle whose revocations we follow, and our own key for such things.

use circlet_token::{
    ServiceId,
    feed::{CirclePublicKey, FeedPosition, Succession},
};
use sha2::{Digest, Sha256};

use super::{IssuerLimits, Sealed};
use crate::codec::{self, DecodeError, Input, Wire, wire_enum, wire_struct};

/// Our circle key: it signs where our feed stands, and no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircleKey {
    /// Its public half, DER `SubjectPublicKeyInfo`.
    pub spki_der: Vec<u8>,
    /// Its private half, sealed.
    pub private_key: Sealed,
    /// How it came to be the present one, oldest first: whoever knows an earlier one is led here.
    pub successions: Vec<Succession>,
}
wire_struct!(CircleKey { spki_der, private_key, successions });

impl CircleKey {
    /// Whether it is this key, or was before it was replaced.
    #[must_use]
    pub fn was(&self, spki_der: &[u8]) -> bool {
        let of = CirclePublicKey::of_spki(spki_der);
        self.spki_der == spki_der || self.successions.iter().any(|one| Some(one.previous) == of)
    }
}

impl Wire for Succession {
    fn put(&self, out: &mut Vec<u8>) {
        Self::put(self, out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.part("a succession of circle keys", Self::take)
    }
}

/// What a person approved of another cluster: whom to believe about its revocations, and where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The other cluster.
    pub issuer: ServiceId,
    /// What it is called here.
    pub name: String,
    /// Its circle key's public half, DER `SubjectPublicKeyInfo`.
    pub circle_key: Vec<u8>,
    /// Where its nodes are: `scheme://host:port`. Nobody else is asked.
    pub hosts: Vec<String>,
    /// The authority behind its nodes' TLS certificates, DER; empty if the system's are enough.
    pub ca_certificate_der: Vec<u8>,
}
wire_struct!(Approved { issuer, name, circle_key, hosts, ca_certificate_der });

impl Approved {
    /// SHA-256 of all of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(codec::encode(self)).into()
    }
}

/// A cluster whose feed we follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What was approved.
    pub approved: Approved,
    /// The log index of the approval: what was proved of an earlier one counts no more.
    pub since_index: u64,
    /// How far its feed has been followed.
    pub progress: Progress,
    /// The state's time at which it last answered, milliseconds, noted now and then; that of the approval at first.
    pub contact_ms: u64,
    /// Its feed has more entries than `circle.feed-entries-max` allows.
    pub over_quota: bool,
    /// What was wrong with its answers: the first of each kind.
    pub faults: Vec<MemberFault>,
    /// Whether it follows us as well.
    pub mutual: bool,
    /// How its circle key was replaced since the approval.
    pub successions: Vec<Succession>,
    /// Up to which sequence it has taken over our feed, as far as that was of interest.
    pub taken: u64,
    /// What its next token key may do while none of its certificates is trusted; `None` if a person distrusted the last one.
    pub limits: Option<IssuerLimits>,
}
wire_struct!(Member {
    approved,
    since_index,
    progress,
    contact_ms,
    over_quota,
    faults,
    mutual,
    successions,
    taken,
    limits,
});

impl Member {
    /// The same approval, before anything was followed.
    pub(crate) fn anew(&self) -> Self {
        Self { progress: Progress::New, over_quota: false, taken: 0, ..self.clone() }
    }

    /// Its circle keys, oldest first: the last one is believed. Empty if what was approved is no key.
    #[must_use]
    pub fn circle_keys(&self) -> Vec<CirclePublicKey> {
        let approved = CirclePublicKey::of_spki(&self.approved.circle_key);
        let replaced = self.successions.iter().map(|one| one.next);
        approved.map(|first| std::iter::once(first).chain(replaced).collect()).unwrap_or_default()
    }

    /// The circle key that is believed; `None` if what was approved is no key.
    #[must_use]
    pub fn circle_key(&self) -> Option<CirclePublicKey> {
        self.circle_keys().last().copied()
    }

    /// Whether it has, or had, this circle key.
    pub(crate) fn had_circle_key(&self, spki_der: &[u8]) -> bool {
        let of = CirclePublicKey::of_spki(spki_der);
        self.approved.circle_key == spki_der || self.successions.iter().any(|one| Some(one.next) == of)
    }
}

/// How far a feed has been followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum Progress {
    /// Nothing of it is known yet.
    New = 1,
    /// Its list is being read, page by page.
    Reading {
        /// Where its chain stood at the first page.
        from: FeedPosition,
        /// What to ask for next.
        next: Vec<u8>,
        /// How far it had been followed before.
        before: Option<FeedPosition>,
    } = 2,
    /// All of it is known up to here.
    Following {
        /// Where its chain stood.
        at: FeedPosition,
    } = 3,
    /// It contradicted itself under its own signature: it is believed no more until a person approves it anew.
    Broken {
        /// How far it had been followed before.
        at: Option<FeedPosition>,
    } = 4,
}
wire_enum!(Progress {
    1 => New,
    2 => Reading { from, next, before },
    3 => Following { at },
    4 => Broken { at },
});

impl Progress {
    /// How far the feed is known.
    #[must_use]
    pub fn at(&self) -> Option<FeedPosition> {
        match self {
            Self::New => None,
            Self::Reading { before, .. } => *before,
            Self::Following { at } => Some(*at),
            Self::Broken { at } => *at,
        }
    }

    /// The word used in messages and answers.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reading { .. } => "reading",
            Self::Following { .. } => "following",
            Self::Broken { .. } => "broken",
        }
    }
}

/// Something that was wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFault {
    /// What, in a word.
    pub code: String,
    /// The state's time, milliseconds.
    pub at_ms: u64,
    /// The signed head, if it could be read: if the signature is the member's, this proves the fault to anybody.
    pub evidence: Vec<u8>,
}
wire_struct!(MemberFault { code, at_ms, evidence });

/// The right to pair with this cluster, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Seconds since the epoch.
    pub expires_at: u64,
    /// Who is invited; `None`: anybody who is not known here yet.
    pub guest: Option<ServiceId>,
    /// Who used it, by the digest of what it said of itself.
    pub redeemed: Option<[u8; 32]>,
}
wire_struct!(Invite { hash, expires_at, guest, redeemed });
