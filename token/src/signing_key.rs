//! A key that tokens are signed with.
use crate::algorithm::Algorithm;
use crate::key_material::{KeyError, KeyMaterial};
use crate::limits::{RSA_BITS_MAX, RSA_BITS_MIN};
use crate::pem;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use zeroize::Zeroizing;

/// A private key. It has no `Debug`, and its memory is wiped when it is dropped.
pub struct SigningKey(Secret);

enum Secret {
    EdDsa(Box<ed25519_dalek::SigningKey>),
    Rs256(Box<rsa::KeyPair>),
}

/// Why a private key can't be used. No variant carries anything of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Not PEM, or damaged PEM.
    #[error("not a private key in PEM")]
    Pem,
    /// None or several private keys.
    #[error("{found} private keys where one was expected")]
    Count {
        /// How many.
        found: usize,
    },
    /// It is protected by a passphrase.
    #[error("the private key is encrypted: store it without a passphrase (openssl pkcs8 -topk8 -nocrypt)")]
    Encrypted,
    /// Neither Ed25519 nor RSA, an RSA key that is too small, or damaged.
    #[error(
        "neither an Ed25519 key in PKCS#8 nor an RSA key of {RSA_BITS_MIN} to {RSA_BITS_MAX} bits in PKCS#8 or PKCS#1, \
         or damaged"
    )]
    Unsupported,
    /// Its public half would not be believed.
    #[error("the private key can't be used: {0}")]
    Key(#[from] KeyError),
}

impl SigningKey {
    /// An Ed25519 key from its 32 secret bytes (RFC 8032 section 5.1.5).
    #[must_use]
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Self {
        Self(Secret::EdDsa(Box::new(ed25519_dalek::SigningKey::from_bytes(seed))))
    }

    /// Reads PKCS#8: Ed25519 (version 1, or version 2 with a public key, which must fit) or RSA.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, SigningKeyError> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            return Ok(Self(Secret::EdDsa(Box::new(key))));
        }
        Self::rsa(rsa::KeyPair::from_pkcs8(der).map_err(|_| SigningKeyError::Unsupported)?)
    }

    /// Reads a file with one private key: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
    pub fn from_pem(text: &str) -> Result<Self, SigningKeyError> {
        let blocks = pem::blocks(text).ok_or(SigningKeyError::Pem)?;
        let mut keys = blocks.iter().filter(|block| block.label.ends_with("PRIVATE KEY"));
        let (Some(block), more) = (keys.next(), keys.count()) else {
            return Err(SigningKeyError::Count { found: 0 });
        };
        if more > 0 {
            return Err(SigningKeyError::Count { found: more.saturating_add(1) });
        }
        match block.label.as_str() {
            _ if block.encrypted => Err(SigningKeyError::Encrypted),
            "ENCRYPTED PRIVATE KEY" => Err(SigningKeyError::Encrypted),
            "PRIVATE KEY" => Self::from_pkcs8_der(&block.bytes),
            "RSA PRIVATE KEY" => {
                Self::rsa(rsa::KeyPair::from_der(&block.bytes).map_err(|_| SigningKeyError::Unsupported)?)
            }
            _ => Err(SigningKeyError::Unsupported),
        }
    }

    fn rsa(key: rsa::KeyPair) -> Result<Self, SigningKeyError> {
        let key = Self(Secret::Rs256(Box::new(key)));
        KeyMaterial::read(&key.spki_der())?;
        Ok(key)
    }

    /// The algorithm it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Secret::EdDsa(_) => Algorithm::EdDsa,
            Secret::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Its public half, as DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_der(&self) -> Vec<u8> {
        match &self.0 {
            Secret::EdDsa(key) => {
                key.verifying_key().to_public_key_der().expect("a fixed-size key always encodes").into_vec()
            }
            Secret::Rs256(key) => {
                let der: PublicKeyX509Der<'_> =
                    key.public_key().as_der().expect("a key that was read can be written");
                der.as_ref().to_vec()
            }
        }
    }

    /// The key itself as PKCS#8 DER, for sealing. The bytes are wiped when dropped.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        match &self.0 {
            Secret::EdDsa(key) => key.to_pkcs8_der().expect("a fixed-size key always encodes").to_bytes(),
            Secret::Rs256(key) => {
                let der: Pkcs8V1Der<'_> = key.as_der().expect("a key that was read can be written");
                Zeroizing::new(der.as_ref().to_vec())
            }
        }
    }

    /// Whether its public half is the key in `spki_der`, in whatever spelling.
    #[must_use]
    pub fn fits(&self, spki_der: &[u8]) -> bool {
        match (KeyMaterial::read(&self.spki_der()), KeyMaterial::read(spki_der)) {
            (Ok(mine), Ok(theirs)) => mine.is(&theirs),
            _ => false,
        }
    }

    /// Signs. The same key and message always give the same bytes (RFC 8032; RFC 8017 section 8.2).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Secret::EdDsa(key) => key.sign(message).to_bytes().to_vec(),
            Secret::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                // PKCS#1 v1.5 uses no randomness; the argument is there for RSA-PSS.
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .expect("a checked key signs into a buffer of its modulus' size");
                signature
            }
        }
    }
}
