//! Tokens that clients know.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use circlet_authority::FamilyId;
use circlet_sim::linear::Object;
use circlet_sim::mark::Facts;
use circlet_token::{KeyId, Parsed, TokenId};
use sha2::{Digest, Sha256};

use crate::client::Answer;

/// A token that clients know.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: TokenId,
    pub(crate) user: String,
    pub(crate) subject: u64,
    pub(crate) index: u64,
    /// When it says that it was issued, in seconds since 1970.
    pub(crate) issued_at: u64,
    /// The key that signed it.
    pub(crate) kid: KeyId,
    pub(crate) revocable: bool,
    /// A node signed it without the log.
    pub(crate) is_plain: bool,
    /// The groups that its scope names.
    pub(crate) groups: Vec<String>,
    /// What watermarks go by.
    pub(crate) facts: Arc<Facts>,
    pub(crate) text: Arc<str>,
    /// What it was created with, and what that was created with, as far back as is known.
    pub(crate) origins: Vec<Object>,
    /// Family and sequence of the refresh token, and its text.
    pub(crate) refresh: Option<(FamilyId, u32, Arc<str>)>,
    /// When clients learnt of it, in nanoseconds.
    pub(crate) since: u64,
}

impl Held {
    /// Reads the answer to a create or a refresh, which came at `now`.
    pub(crate) fn of(answer: &Answer, now: u64) -> Option<Self> {
        let text: Arc<str> = answer.text("access_token")?.into();
        let parsed = Parsed::parse(&text).ok()?;
        let kid = KeyId::parse(parsed.kid()?).ok()?;
        let claims = parsed.claims();
        Some(Self {
            id: claims.id?,
            user: claims.subject.user_name()?.to_owned(),
            subject: number(claims.subject.as_str()),
            index: claims.index?,
            issued_at: claims.issued_at,
            facts: Arc::new(Facts::of_claims(claims, &kid)),
            kid,
            revocable: claims.revocable == Some(true),
            is_plain: false,
            groups: claims.scope.groups().map(str::to_owned).collect(),
            origins: Vec::new(),
            refresh: answer.text("refresh_token").and_then(family),
            since: now,
            text,
        })
    }

    /// Equal for equal bytes.
    pub(crate) fn sum(&self) -> u64 {
        number(&self.text)
    }

    /// What a token comes of that was created with this one, as the log knows it: it knows nothing of plain ones.
    pub(crate) fn with_origins(self) -> Vec<Object> {
        if self.is_plain {
            return Vec::new();
        }
        let own = self.object();
        self.origins.into_iter().chain([own]).collect()
    }

    /// What it belongs to in the history of operations.
    pub(crate) fn object(&self) -> Object {
        self.refresh.as_ref().map_or(Object::Token(self.id), |(family, ..)| Object::Family(*family))
    }
}

/// Family, sequence and text of a refresh token.
fn family(text: &str) -> Option<(FamilyId, u32, Arc<str>)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (family, rest) = bytes.split_first_chunk::<16>()?;
    let (sequence, _) = rest.split_first_chunk::<4>()?;
    Some((FamilyId(*family), u32::from_be_bytes(*sequence), text.into()))
}

/// The first bits of a text's hash.
pub(crate) fn number(text: &str) -> u64 {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}
