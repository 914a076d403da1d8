//! What is inside of a public key: the curve's point or the modulus, and what checks signatures with it.
use crate::algorithm::Algorithm;
use crate::limits::{RSA_BITS_MAX, RSA_BITS_MIN};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::{PublicKey as X509Key, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

const OID_ED25519: &str = "1.3.101.112";
const OID_RSA: &str = "1.2.840.113549.1.1.1";
const OID_EC: &str = "1.2.840.10045.2.1";
const OID_P256: &str = "1.2.840.10045.3.1.7";
const RSA_EXPONENT_MIN: u64 = 65_537;

/// Why a key is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not one DER `SubjectPublicKeyInfo`.
    #[error("the public key is not a DER SubjectPublicKeyInfo")]
    Der,
    /// Neither Ed25519, nor RSA, nor EC on P-256.
    #[error("the public key is neither Ed25519, RSA, nor EC on P-256")]
    Unsupported,
    /// An RSA key too small to be safe or too large to be fast.
    #[error("the RSA key has {bits} bits, {RSA_BITS_MIN} to {RSA_BITS_MAX} are allowed")]
    RsaBits {
        /// Its size.
        bits: usize,
    },
    /// An RSA key with a public exponent other keys don't have.
    #[error("the RSA key's public exponent is not an odd number from {RSA_EXPONENT_MIN} up")]
    RsaExponent,
    /// The point or number in it is not a key, or one that verifies signatures nobody made.
    #[error("the public key is not a valid one for {algorithm}")]
    Invalid {
        /// The algorithm it would be for.
        algorithm: Algorithm,
    },
    /// The key is for another algorithm than was said.
    #[error("the public key is for {found}, not {expected}")]
    Algorithm {
        /// What was said.
        expected: Algorithm,
        /// What the key is for.
        found: Algorithm,
    },
}

/// The key, ready to check signatures.
#[derive(Clone)]
pub(crate) enum Verifier {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    AwsLc(ParsedPublicKey),
}

impl Verifier {
    /// See [`PublicKey::verifies`](crate::PublicKey::verifies).
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Verifier::AwsLc(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// What a `SubjectPublicKeyInfo` contains.
pub(crate) struct KeyMaterial {
    pub(crate) algorithm: Algorithm,
    /// What makes it the same key whatever bytes it is wrapped in.
    pub(crate) identity: Vec<u8>,
    pub(crate) verifier: Verifier,
}

impl KeyMaterial {
    pub(crate) fn read(spki_der: &[u8]) -> Result<Self, KeyError> {
        let (rest, spki) = SubjectPublicKeyInfo::from_der(spki_der).map_err(|_| KeyError::Der)?;
        if !rest.is_empty() || spki.subject_public_key.unused_bits != 0 {
            return Err(KeyError::Der);
        }
        match spki.algorithm.algorithm.to_id_string().as_str() {
            OID_ED25519 => Self::ed25519(&spki.subject_public_key.data),
            OID_RSA => Self::rsa(&spki, spki_der),
            OID_EC => Self::p256(&spki, spki_der),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn ed25519(bytes: &[u8]) -> Result<Self, KeyError> {
        let algorithm = Algorithm::EdDsa;
        let invalid = KeyError::Invalid { algorithm };
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| invalid.clone())?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| invalid.clone())?;
        // A key of small order "verifies" signatures that no one made. A non-canonical encoding is a second name for a key.
        if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
            return Err(invalid);
        }
        Ok(Self { algorithm, identity: bytes.to_vec(), verifier: Verifier::Ed25519(Box::new(key)) })
    }

    fn rsa(spki: &SubjectPublicKeyInfo<'_>, spki_der: &[u8]) -> Result<Self, KeyError> {
        let algorithm = Algorithm::Rs256;
        let Ok(X509Key::RSA(rsa)) = spki.parsed() else { return Err(KeyError::Invalid { algorithm }) };
        let modulus: Vec<u8> = rsa.modulus.iter().copied().skip_while(|byte| *byte == 0).collect();
        let bits = significant_bits(&modulus);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(KeyError::RsaBits { bits });
        }
        check_exponent(&rsa)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki_der)
            .map_err(|_| KeyError::Invalid { algorithm })?;
        // Two keys with one modulus share their secret, so the modulus alone is the identity.
        Ok(Self { algorithm, identity: modulus, verifier: Verifier::AwsLc(key) })
    }

    fn p256(spki: &SubjectPublicKeyInfo<'_>, spki_der: &[u8]) -> Result<Self, KeyError> {
        let algorithm = Algorithm::Es256;
        let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        if curve.is_none_or(|curve| curve.to_id_string() != OID_P256) {
            return Err(KeyError::Unsupported);
        }
        let point = spki.subject_public_key.data.as_ref();
        // The uncompressed form only (RFC 5480 section 2.2): one key, one spelling.
        if point.len() != 65 || point.first() != Some(&4) {
            return Err(KeyError::Invalid { algorithm });
        }
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, spki_der)
            .map_err(|_| KeyError::Invalid { algorithm })?;
        Ok(Self { algorithm, identity: point.to_vec(), verifier: Verifier::AwsLc(key) })
    }

    /// Whether both are one key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.identity == other.identity
    }
}

fn check_exponent(rsa: &RSAPublicKey<'_>) -> Result<(), KeyError> {
    match rsa.try_exponent() {
        Ok(exponent) if exponent >= RSA_EXPONENT_MIN && exponent % 2 == 1 => Ok(()),
        _ => Err(KeyError::RsaExponent),
    }
}

fn significant_bits(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(leading)
}
