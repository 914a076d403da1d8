//! What a node of an issuer answers to whoever follows its feed.

use sha2::{Digest, Sha256};

use super::bytes::{put_bytes, put_number, take, take_bytes, take_issuer, take_number};
use super::{CirclePublicKey, FeedPosition, SUCCESSIONS_MAX, Succession};
use crate::{ServiceId, SigningKey};

/// The first byte of an answer.
const VERSION: u8 = 1;
/// In front of what is signed, so that the key can never be made to sign anything else.
const DOMAIN: &[u8] = b"circlet revocation feed 1\0";
/// An Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedHead {
    /// Whose feed it is.
    pub issuer: ServiceId,
    /// Where the chain stands behind the entries of this answer.
    pub position: FeedPosition,
    /// How many entries there are in all: the answer is complete if its position is there.
    pub latest: u64,
    /// What the question held: the answer was made after it was asked.
    pub nonce: [u8; 32],
    /// SHA-256 of what follows the signature: the successions and the content.
    content: [u8; 32],
}

/// What an answer holds besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedContent {
    /// The entries after the position that was asked for.
    Entries {
        /// How many entries led there.
        after: u64,
        /// Their bytes.
        entries: Vec<u8>,
    },
    /// The chain doesn't lead on from there, or not any more: read the list.
    Elsewhere,
    /// A part of the list of everything that is revoked. It holds at least what was revoked at the head's position.
    Page {
        /// What was asked for: so no page can be left out unnoticed.
        cursor: Vec<u8>,
        /// The bytes of its entries.
        entries: Vec<u8>,
        /// What to ask for next; empty after the last page.
        next: Vec<u8>,
    },
}

/// A signed answer. The signature is not checked before [`FeedAnswer::is_signed_by`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedAnswer {
    /// What is signed.
    pub head: FeedHead,
    /// How the issuer's circle key got to be the one that signed: each one names the next. Covered by the head's digest.
    pub successions: Vec<Succession>,
    /// What is told; covered by the head's digest.
    pub content: FeedContent,
    signature: [u8; SIGNATURE_BYTES],
}

const ENTRIES: u8 = 1;
const ELSEWHERE: u8 = 2;
const PAGE: u8 = 3;

impl FeedAnswer {
    /// Signs an answer with the circle key of `issuer`; `None` if that is no Ed25519 key.
    #[must_use]
    pub fn sign(
        key: &SigningKey,
        issuer: &ServiceId,
        position: FeedPosition,
        latest: u64,
        nonce: [u8; 32],
        successions: Vec<Succession>,
        content: FeedContent,
    ) -> Option<Self> {
        let digest = Sha256::digest(covered(&successions, &content)).into();
        let head = FeedHead { issuer: issuer.clone(), position, latest, nonce, content: digest };
        let signature = key.sign(&head.signed_bytes()).try_into().ok()?;
        Some(Self { head, successions, content, signature })
    }

    /// Whether this circle key of the issuer signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: CirclePublicKey) -> bool {
        key.verifies(&self.head.issuer, &self.head.signed_bytes(), &self.signature)
    }

    /// What proves that the issuer's key signed this head: its bytes as they were signed, then the signature.
    #[must_use]
    pub fn evidence(&self) -> Vec<u8> {
        let mut bytes = self.head.signed_bytes();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// The answer's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.head.put(&mut out);
        out.extend_from_slice(&self.signature);
        out.extend_from_slice(&covered(&self.successions, &self.content));
        out
    }

    /// Reads an answer; `None` if it is none. Its signature is not checked yet.
    #[must_use]
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let [VERSION] = take(rest)? else { return None };
        let issuer = take_issuer(rest)?;
        let position = FeedPosition::take(rest)?;
        let (latest, nonce) = (take_number(rest)?, take(rest)?);
        let signature = take(rest)?;
        let head = FeedHead { issuer, position, latest, nonce, content: Sha256::digest(*rest).into() };
        let count = usize::try_from(take_number(rest)?).ok().filter(|count| *count <= SUCCESSIONS_MAX)?;
        let successions = (0..count).map(|_| Succession::take(rest)).collect::<Option<_>>()?;
        Some(Self { head, successions, content: FeedContent::read(rest)?, signature })
    }
}

fn covered(successions: &[Succession], content: &FeedContent) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(u64::try_from(successions.len()).unwrap_or(u64::MAX), &mut out);
    for succession in successions {
        succession.put(&mut out);
    }
    out.extend_from_slice(&content.to_bytes());
    out
}

impl FeedHead {
    /// Whether nothing was revoked behind the answer's entries.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.position.sequence == self.latest
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.issuer.as_str().as_bytes(), out);
        self.position.put(out);
        put_number(self.latest, out);
        out.extend_from_slice(&self.nonce);
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        self.put(&mut out);
        out.extend_from_slice(&self.content);
        out
    }
}

impl FeedContent {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Entries { after, entries } => {
                out.push(ENTRIES);
                put_number(*after, &mut out);
                out.extend_from_slice(entries);
            }
            Self::Elsewhere => out.push(ELSEWHERE),
            Self::Page { cursor, entries, next } => {
                out.push(PAGE);
                put_bytes(cursor, &mut out);
                put_bytes(next, &mut out);
                out.extend_from_slice(entries);
            }
        }
        out
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let [tag] = take(rest)?;
        match tag {
            ENTRIES => Some(Self::Entries { after: take_number(rest)?, entries: rest.to_vec() }),
            ELSEWHERE => rest.is_empty().then_some(Self::Elsewhere),
            PAGE => {
                let (cursor, next) = (take_bytes(rest)?.to_vec(), take_bytes(rest)?.to_vec());
                Some(Self::Page { cursor, entries: rest.to_vec(), next })
            }
            _ => None,
        }
    }
}
