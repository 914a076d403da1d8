//! Keys for one purpose each, from one secret.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::secret::Secret;

/// A key for one purpose from a secret (HKDF-SHA256, RFC 5869).
#[must_use]
pub(crate) fn derive(secret: &Secret, purpose: &str) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, secret.expose())
        .expand(purpose.as_bytes(), &mut key)
        .expect("HKDF gives up to 8160 bytes");
    key
}
