//! A key that tokens are verified with.
use crate::algorithm::Algorithm;
use crate::certificate::{CertificateError, read_certificate};
use crate::key_id::KeyId;
use crate::key_material::{KeyError, KeyMaterial, Verifier};
use crate::service_id::ServiceId;
use std::fmt;

/// A public key, the one algorithm it verifies, and the one issuer it speaks for.
#[derive(Clone)]
pub struct PublicKey {
    id: KeyId,
    algorithm: Algorithm,
    issuer: ServiceId,
    spki_der: Vec<u8>,
    identity: Vec<u8>,
    verifier: Verifier,
}

impl PublicKey {
    /// The key of a root certificate, in PEM, DER, or the base64 of the DER. It speaks for `issuer` if that is given, and
    /// else for the service in the certificate's common name.
    pub fn from_certificate(bytes: &[u8], issuer: Option<&ServiceId>) -> Result<Self, CertificateError> {
        let facts = read_certificate(bytes)?;
        let issuer = issuer.or(facts.issuer.as_ref()).ok_or_else(|| CertificateError::NoIssuer {
            common_name: facts.common_name.clone().unwrap_or_default(),
        })?;
        Ok(Self::from_parts(facts.key_id, facts.algorithm, issuer.clone(), &facts.spki_der)?)
    }

    /// A key from its parts, as a state keeps them: no certificate is read.
    pub fn from_parts(
        id: KeyId,
        algorithm: Algorithm,
        issuer: ServiceId,
        spki_der: &[u8],
    ) -> Result<Self, KeyError> {
        let material = KeyMaterial::read(spki_der)?;
        if material.algorithm != algorithm {
            return Err(KeyError::Algorithm { expected: algorithm, found: material.algorithm });
        }
        let KeyMaterial { identity, verifier, .. } = material;
        Ok(Self { id, algorithm, issuer, spki_der: spki_der.to_vec(), identity, verifier })
    }

    /// The id of its certificate, the header's `kid`.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The algorithm, from the key itself.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The only issuer whose tokens it can sign.
    #[must_use]
    pub fn issuer(&self) -> &ServiceId {
        &self.issuer
    }

    /// The key as DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Whether `signature` is this key's over `message`. Ed25519 is checked strictly (RFC 8032 section 5.1.7 with canonical
    /// encodings only, and no points of small order); ES256 signatures are 64 bytes (RFC 7518 section 3.4).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier.verifies(message, signature)
    }

    /// What makes it the same key whatever bytes it is wrapped in.
    pub(crate) fn identity(&self) -> &[u8] {
        &self.identity
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {} of {})", self.algorithm, self.id, self.issuer)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.issuer == other.issuer && self.identity == other.identity
    }
}

impl Eq for PublicKey {}
