//! Secrets sealed under the cluster's master key, so that the log and the snapshots may hold them.
//!
//! XChaCha20-Poly1305 with a random nonce. What a secret is *for* is bound to it as associated data: a sealed text
//! that is moved to another cluster, kind or record doesn't open there.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use circlet_authority::Sealed;

use crate::derivation::derive;
use crate::secret::Secret;

const NONCE_BYTES: usize = 24;
pub(crate) const KEY_BYTES: usize = 32;

/// What a sealed secret belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// The cluster's service id.
    pub service_id: &'a str,
    /// Which sort of secret, such as `token-key`.
    pub kind: &'a str,
    /// Which one of that sort, such as a key id.
    pub record: &'a str,
}

impl Label<'_> {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.service_id, self.kind, self.record] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// The sealed text doesn't open under this master key and label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sealed {kind} {record} does not open under this master key")]
pub struct SealBroken {
    /// The kind that was expected.
    pub kind: String,
    /// The record that was expected.
    pub record: String,
}

/// The text of a key file is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// The file is empty.
    #[error("it is empty")]
    Empty,
    /// It holds something else than hexadecimal digits.
    #[error("it holds something else than hexadecimal digits")]
    NotHex,
    /// It has the wrong length.
    #[error("it has {digits} hexadecimal digits, where 32 or 64 are expected")]
    Length {
        /// How many there are.
        digits: usize,
    },
}

/// The cluster's master key. Only its fingerprint is ever shown.
#[derive(Clone)]
pub struct MasterKey {
    material: Secret,
    sealing: Secret,
    fingerprint: [u8; 32],
}

impl MasterKey {
    /// A new key of 32 random bytes.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_material(Secret::random(KEY_BYTES))
    }

    /// Reads the text of a key file: 32 or 64 hexadecimal digits, white space around them ignored.
    pub fn parse(text: &Secret) -> Result<Self, MalformedKey> {
        read_key_text(text).map(Self::from_material)
    }

    /// The text for a key file.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let mut text = hex(self.material.expose());
        text.push('\n');
        Secret::from(text)
    }

    /// What it is made of, for a node that joins.
    pub(crate) fn material(&self) -> &Secret {
        &self.material
    }

    /// What a joining node that has this key proves it by.
    pub(crate) fn join_secret(&self) -> Secret {
        Secret::new(derive(&self.material, "circlet join with master key").to_vec())
    }

    /// What the cluster remembers of the key, so that a node with another one is told so.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Seals `secret` for `label`.
    #[must_use]
    pub fn seal(&self, label: Label<'_>, secret: &Secret) -> Sealed {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce);
        let ciphertext = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: secret.expose(), aad: &label.bytes() })
            .expect("only a text of 256 GiB is too long to seal");
        Sealed { under: self.fingerprint, nonce, ciphertext }
    }

    /// Opens what was sealed for `label`.
    pub fn unseal(&self, label: Label<'_>, sealed: &Sealed) -> Result<Secret, SealBroken> {
        self.cipher()
            .decrypt(&XNonce::from(sealed.nonce), Payload { msg: &sealed.ciphertext, aad: &label.bytes() })
            .map(Secret::new)
            .map_err(|_| SealBroken { kind: label.kind.to_owned(), record: label.record.to_owned() })
    }

    /// The key of backups that are sealed under this key.
    pub(crate) fn backup_key(&self) -> Secret {
        Secret::new(derive(&self.material, "circlet backup key").to_vec())
    }

    /// The key with this material.
    pub(crate) fn from_material(material: Secret) -> Self {
        let sealing = Secret::new(derive(&material, "circlet sealing key").to_vec());
        let fingerprint = derive(&material, "circlet master key fingerprint");
        Self { material, sealing, fingerprint }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new_from_slice(self.sealing.expose()).expect("a derived key has 32 bytes")
    }
}

/// The bytes of a key file: 32 or 64 hexadecimal digits, white space around them ignored.
pub(crate) fn read_key_text(text: &Secret) -> Result<Secret, MalformedKey> {
    let text = text.expose_text().ok_or(MalformedKey::NotHex)?.trim();
    if text.is_empty() {
        return Err(MalformedKey::Empty);
    }
    if !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(MalformedKey::NotHex);
    }
    if text.len() != KEY_BYTES && text.len() != 2 * KEY_BYTES {
        return Err(MalformedKey::Length { digits: text.len() });
    }
    hex_decode(text).map(Secret::new).ok_or(MalformedKey::NotHex)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes whatever is written to it");
        text
    })
}

/// The bytes behind pairs of hexadecimal digits.
#[must_use]
pub(crate) fn hex_decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<Vec<u8>>>()?;
    rest.is_empty().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Label, MalformedKey, MasterKey, hex, hex_decode};
    use crate::secret::Secret;

    const LABEL: Label<'_> = Label { service_id: "jfrt@01", kind: "token-key", record: "k1" };

    fn parse(text: &str) -> Result<MasterKey, MalformedKey> {
        MasterKey::parse(&Secret::from(text.to_owned()))
    }

    #[test]
    fn a_sealed_secret_opens_only_where_it_belongs() {
        let key = MasterKey::generate();
        let secret = Secret::new(b"very secret".to_vec());
        let sealed = key.seal(LABEL, &secret);
        assert!(key.unseal(LABEL, &sealed).is_ok_and(|opened| opened == secret));
        for other in [
            Label { service_id: "jfrt@02", ..LABEL },
            Label { kind: "ca-key", ..LABEL },
            Label { record: "k2", ..LABEL },
            Label { kind: "token-keyk", record: "1", ..LABEL },
        ] {
            assert!(key.unseal(other, &sealed).is_err(), "{other:?}");
        }
        assert!(MasterKey::generate().unseal(LABEL, &sealed).is_err());
    }

    #[test]
    fn any_changed_byte_keeps_it_shut() {
        let key = MasterKey::generate();
        let sealed = key.seal(LABEL, &Secret::new(b"very secret".to_vec()));
        for at in 0..sealed.ciphertext.len() {
            let mut damaged = sealed.clone();
            damaged.ciphertext[at] ^= 1;
            assert!(key.unseal(LABEL, &damaged).is_err());
        }
    }

    #[test]
    fn a_key_survives_its_text_form() {
        let key = MasterKey::generate();
        let read = MasterKey::parse(&key.to_text()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.fingerprint(), key.fingerprint());
    }

    #[test]
    fn garbled_key_texts_say_what_is_wrong() {
        assert_eq!(parse(" \n").err(), Some(MalformedKey::Empty));
        assert_eq!(parse("not a key").err(), Some(MalformedKey::NotHex));
        assert_eq!(parse("abcd").err(), Some(MalformedKey::Length { digits: 4 }));
        assert!(parse(&"0f".repeat(16)).is_ok());
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(hex_decode("001FfF"), Some(vec![0, 0x1f, 0xff]));
        assert_eq!(hex_decode("001"), None);
        assert_eq!(hex_decode("0g"), None);
    }
}
