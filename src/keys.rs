//! The cluster's secrets, unsealed: signing keys by their id, the refresh secret, the key of the CA.
//!
//! The state holds them sealed. What was unsealed once is kept until the sealed form changes, so a request that signs
//! looks into a map and nothing more.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use circlet_authority::{Resealed, Sealed, SealedKind, State};
use circlet_token::feed::{DatedHead, FeedAnswer, FeedContent, FeedPosition};
use circlet_token::{Claims, KeyId, SigningKey};

use crate::certificates::KeyAndCertificate;
use crate::derivation::derive;
use crate::invitation;
use crate::join_token;
use crate::reference_token::ReferenceTokens;
use crate::refresh_token::RefreshTokens;
use crate::seal::{Label, MasterKey, SealBroken, hex};
use crate::secret::Secret;

/// Why a key can't be used on this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyUnavailable {
    /// It signs nothing any more, or not yet: it leaked after the token was decided, or has retired.
    #[error("key {0} signs nothing; ask for another token")]
    Silent(KeyId),
    /// The view doesn't hold it.
    #[error("the cluster has no {0} yet")]
    Absent(String),
    /// It doesn't open.
    #[error(transparent)]
    Sealed(#[from] SealBroken),
    /// It opens under a master key that this node doesn't hold.
    #[error(
        "this node does not hold the master key with the fingerprint {0}; it asks the other nodes for it"
    )]
    NoMasterKey(String),
    /// It opens, but is not a key.
    #[error("the unsealed {0} is not a key")]
    NotAKey(String),
}

/// The present master key, the next one, and some of before.
const MASTER_KEYS_MAX: usize = 6;

/// Unseals and keeps what was unsealed.
pub struct Keys {
    masters: ArcSwap<Vec<MasterKey>>,
    signing: ArcSwap<BTreeMap<KeyId, Kept<SigningKey>>>,
    refresh: ArcSwap<Option<Kept<RefreshSecret>>>,
    circle: ArcSwap<Option<Kept<SigningKey>>>,
}

/// Something unsealed, and the nonce of the sealed form that it came from: another sealing has another nonce.
struct Kept<T> {
    nonce: [u8; 24],
    value: Arc<T>,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self { nonce: self.nonce, value: Arc::clone(&self.value) }
    }
}

/// What is derived from the cluster's refresh secret.
pub struct RefreshSecret {
    secret: Secret,
    /// Makes and checks refresh tokens.
    pub refresh_tokens: RefreshTokens,
    /// Derives reference tokens.
    pub reference_tokens: ReferenceTokens,
}

impl RefreshSecret {
    fn new(secret: Secret) -> Self {
        let refresh_tokens = RefreshTokens::new(&secret);
        let reference_tokens = ReferenceTokens::new(&secret);
        Self { secret, refresh_tokens, reference_tokens }
    }

    /// The secret of the invitation with this id.
    #[must_use]
    pub fn invite_secret(&self, id: &[u8; 16]) -> Secret {
        invitation::secret_of(&self.secret, id)
    }

    /// What proves that this cluster made a challenge.
    #[must_use]
    pub fn challenge_secret(&self) -> [u8; 32] {
        derive(&self.secret, "circlet revoke challenge")
    }

    /// The secret of the join token with this id.
    #[must_use]
    pub fn join_secret(&self, id: &[u8; 16]) -> Secret {
        join_token::secret_of(&self.secret, id)
    }
}

impl Keys {
    /// Keys under this master key.
    #[must_use]
    pub fn new(master: MasterKey) -> Self {
        Self {
            masters: ArcSwap::from_pointee(vec![master]),
            signing: ArcSwap::default(),
            refresh: ArcSwap::from_pointee(None),
            circle: ArcSwap::from_pointee(None),
        }
    }

    /// The master key of this view, for handing it to a node that joins.
    pub fn master(&self, view: &State) -> Result<MasterKey, KeyUnavailable> {
        let absent = || KeyUnavailable::Absent("master key".to_owned());
        self.master_of(&view.master_key_fingerprint().ok_or_else(absent)?)
    }

    /// The master key with this fingerprint, if this node holds it.
    pub fn master_of(&self, fingerprint: &[u8; 32]) -> Result<MasterKey, KeyUnavailable> {
        let held = self.masters.load();
        let master = held.iter().find(|master| master.fingerprint() == *fingerprint);
        master.cloned().ok_or_else(|| KeyUnavailable::NoMasterKey(hex(fingerprint)))
    }

    /// Holds another master key from now on. Those before stay: requests under way see the view of before.
    pub fn hold(&self, master: &MasterKey) {
        self.masters.rcu(|held| {
            let mut held = Vec::clone(held);
            if held.iter().all(|one| one.fingerprint() != master.fingerprint()) {
                held.push(master.clone());
            }
            let over = held.len().saturating_sub(MASTER_KEYS_MAX);
            held.drain(..over);
            held
        });
    }

    /// Seals a secret of the cluster under the master key of this view.
    pub fn seal(&self, view: &State, which: &SealedKind, secret: &Secret) -> Result<Sealed, KeyUnavailable> {
        let service_id = view.service_id().ok_or_else(|| KeyUnavailable::Absent(describe(which)))?;
        Ok(seal(&self.master(view)?, service_id.as_str(), which, secret))
    }

    /// A secret that this view holds sealed, sealed once more under another master key.
    pub fn reseal(
        &self,
        view: &State,
        which: &SealedKind,
        under: &MasterKey,
    ) -> Result<Resealed, KeyUnavailable> {
        let service_id = view.service_id().ok_or_else(|| KeyUnavailable::Absent(describe(which)))?;
        let secret = self.unseal(view, which)?;
        let replaces = sealed(view, which)?.nonce;
        Ok(Resealed { replaces, sealed: seal(under, service_id.as_str(), which, &secret) })
    }

    /// The signing key `kid` of this view.
    pub fn signing_key(&self, view: &State, kid: &KeyId) -> Result<Arc<SigningKey>, KeyUnavailable> {
        let which = SealedKind::TokenKey(kid.clone());
        let sealed = sealed(view, &which)?;
        if let Some(kept) = self.signing.load().get(kid)
            && kept.nonce == sealed.nonce
        {
            return Ok(Arc::clone(&kept.value));
        }
        let secret = self.unseal(view, &which)?;
        let key = SigningKey::from_pkcs8_der(secret.expose())
            .map_err(|_| KeyUnavailable::NotAKey(describe(&which)))?;
        let kept = Kept { nonce: sealed.nonce, value: Arc::new(key) };
        let value = Arc::clone(&kept.value);
        self.signing.rcu(|keys| {
            let mut keys = BTreeMap::clone(keys);
            keys.insert(kid.clone(), kept.clone());
            keys
        });
        Ok(value)
    }

    /// The text of a token with these claims, signed with `kid`. The same claims give the same bytes on every node. A key
    /// that the view knows to be tainted or retired signs nothing.
    pub fn mint(&self, view: &State, claims: &Claims, kid: &KeyId) -> Result<String, KeyUnavailable> {
        if !view.may_sign(kid) {
            return Err(KeyUnavailable::Silent(kid.clone()));
        }
        Ok(circlet_token::mint(claims, kid, self.signing_key(view, kid)?.as_ref()))
    }

    /// What is derived from the refresh secret of this view.
    pub fn refresh_secret(&self, view: &State) -> Result<Arc<RefreshSecret>, KeyUnavailable> {
        let sealed = sealed(view, &SealedKind::RefreshSecret)?;
        if let Some(kept) = self.refresh.load().as_ref()
            && kept.nonce == sealed.nonce
        {
            return Ok(Arc::clone(&kept.value));
        }
        let value = Arc::new(RefreshSecret::new(self.unseal(view, &SealedKind::RefreshSecret)?));
        let kept = Kept { nonce: sealed.nonce, value: Arc::clone(&value) };
        self.refresh.store(Arc::new(Some(kept)));
        Ok(value)
    }

    /// Signs an answer of our feed with the circle key of this view.
    pub fn sign_feed(
        &self,
        view: &State,
        position: FeedPosition,
        nonce: [u8; 32],
        content: FeedContent,
    ) -> Result<FeedAnswer, KeyUnavailable> {
        let which = SealedKind::CircleKey;
        let issuer = view.service_id().ok_or_else(|| KeyUnavailable::Absent(describe(&which)))?;
        let latest = view.feed_end().sequence;
        let key = self.circle_key(view)?;
        let successions = view.circle_key().map(|key| key.successions.clone()).unwrap_or_default();
        FeedAnswer::sign(&key, issuer, position, latest, nonce, successions, content)
            .ok_or_else(|| KeyUnavailable::NotAKey(describe(&which)))
    }

    /// Signs where the feed of this view stands, with a date.
    pub fn sign_dated_head(&self, view: &State, issued_at_ms: u64) -> Result<DatedHead, KeyUnavailable> {
        let which = SealedKind::CircleKey;
        let issuer = view.service_id().ok_or_else(|| KeyUnavailable::Absent(describe(&which)))?;
        let valid_for_ms = u64::try_from(view.config().circle_head_valid_for_ms).unwrap_or(0);
        DatedHead::sign(&*self.circle_key(view)?, issuer, view.feed_end(), issued_at_ms, valid_for_ms)
            .ok_or_else(|| KeyUnavailable::NotAKey(describe(&which)))
    }

    /// The circle key of this view.
    pub fn circle_key(&self, view: &State) -> Result<Arc<SigningKey>, KeyUnavailable> {
        let which = SealedKind::CircleKey;
        let sealed = sealed(view, &which)?;
        if let Some(kept) = self.circle.load().as_ref()
            && kept.nonce == sealed.nonce
        {
            return Ok(Arc::clone(&kept.value));
        }
        let secret = self.unseal(view, &which)?;
        let key = SigningKey::from_pkcs8_der(secret.expose())
            .map_err(|_| KeyUnavailable::NotAKey(describe(&which)))?;
        let kept = Kept { nonce: sealed.nonce, value: Arc::new(key) };
        let value = Arc::clone(&kept.value);
        self.circle.store(Arc::new(Some(kept)));
        Ok(value)
    }

    /// The cluster's CA with its key; unsealed anew each time, since it is needed rarely.
    pub fn cluster_ca(&self, view: &State) -> Result<KeyAndCertificate, KeyUnavailable> {
        let which = SealedKind::ClusterCa;
        let certificate =
            view.cluster_ca_certificate().ok_or_else(|| KeyUnavailable::Absent(describe(&which)))?;
        Ok(KeyAndCertificate { certificate: certificate.to_vec(), private_key: self.unseal(view, &which)? })
    }

    /// Opens everything that the view holds sealed, so that a wrong key shows at the start and not at first use.
    pub fn check(&self, view: &State) -> Result<(), KeyUnavailable> {
        for key in view.keyring().filter(|key| key.private_key.is_some()) {
            self.signing_key(view, &key.kid)?;
        }
        self.refresh_secret(view)?;
        if view.circle_key().is_some() {
            self.circle_key(view)?;
        }
        self.cluster_ca(view).map(drop)
    }

    fn unseal(&self, view: &State, which: &SealedKind) -> Result<Secret, KeyUnavailable> {
        let service_id = view.service_id().ok_or_else(|| KeyUnavailable::Absent(describe(which)))?;
        let record = record(which);
        let label = Label { service_id: service_id.as_str(), kind: kind_text(which), record: &record };
        let sealed = sealed(view, which)?;
        Ok(self.master_of(&sealed.under)?.unseal(label, sealed)?)
    }
}

/// Seals a secret of the cluster, as [`Keys`] opens it.
#[must_use]
pub fn seal(master: &MasterKey, service_id: &str, which: &SealedKind, secret: &Secret) -> Sealed {
    let record = record(which);
    master.seal(Label { service_id, kind: kind_text(which), record: &record }, secret)
}

fn sealed<'a>(view: &'a State, which: &SealedKind) -> Result<&'a Sealed, KeyUnavailable> {
    view.sealed(which).ok_or_else(|| KeyUnavailable::Absent(describe(which)))
}

/// Frozen: part of the associated data of everything that was ever sealed.
fn kind_text(which: &SealedKind) -> &'static str {
    match which {
        SealedKind::TokenKey(_) => "token-key",
        SealedKind::ClusterCa => "cluster-ca",
        SealedKind::RefreshSecret => "refresh-secret",
        SealedKind::CircleKey => "circle-key",
    }
}

/// Frozen, as above.
fn record(which: &SealedKind) -> String {
    match which {
        SealedKind::TokenKey(kid) => kid.as_str().to_owned(),
        SealedKind::ClusterCa | SealedKind::RefreshSecret | SealedKind::CircleKey => String::new(),
    }
}

fn describe(which: &SealedKind) -> String {
    format!("{} {}", kind_text(which), record(which)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use circlet_token::{Audience, Scope, ServiceId, Subject};

    use super::*;

    #[test]
    fn a_key_that_may_not_sign_signs_nothing() {
        let issuer = ServiceId::parse("jfrt@01hq0000000000000000000001").expect("it is one");
        let claims = Claims {
            revocable: None,
            subject: Subject::parse(&format!("{issuer}/users/alice")).expect("it is one"),
            scope: Scope::parse("applied-permissions/user").expect("it is one"),
            audience: Audience::any(),
            issuer,
            expires_at: None,
            issued_at: 0,
            not_before: None,
            id: None,
            index: None,
        };
        let kid = KeyId::of_certificate(b"of nobody");
        let minted = Keys::new(MasterKey::generate()).mint(&State::new(), &claims, &kid);
        assert_eq!(minted, Err(KeyUnavailable::Silent(kid)));
    }
}
