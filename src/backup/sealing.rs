//! The key of a backup: from a passphrase, or from the master key.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::seal::{self, MasterKey, hex, hex_decode};
use crate::secret::Secret;

/// As RFC 9106 section 3.1 recommends.
const SALT_BYTES: usize = 16;
/// 64 MiB and three passes on one lane, after the second choice of RFC 9106 section 4: a passphrase can be tried offline.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What opening a backup may take: whoever wrote the file chose these.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 32;

/// How a backup is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "under", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Seal {
    /// Under a passphrase, by argon2id.
    Passphrase {
        /// Hexadecimal.
        salt: String,
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
    },
    /// Under the master key that the cluster had.
    MasterKey {
        /// SHA-256 of the key, hexadecimal.
        fingerprint: String,
    },
}

/// What opens a backup.
#[derive(Clone)]
pub enum Opening {
    /// A passphrase.
    Passphrase(Secret),
    /// A master key.
    MasterKey(MasterKey),
}

impl Opening {
    /// Seals a new backup: how, and with which key. Takes a moment for a passphrase.
    pub(crate) fn seal(&self) -> (Seal, Secret) {
        let seal = match self {
            Self::Passphrase(_) => {
                let salt: [u8; SALT_BYTES] = rand::random();
                Seal::Passphrase { salt: hex(&salt), memory_kib: MEMORY_KIB, passes: PASSES }
            }
            Self::MasterKey(key) => Seal::MasterKey { fingerprint: hex(&key.fingerprint()) },
        };
        let key = self.key(&seal).expect("what was just made fits");
        (seal, key)
    }

    /// The key of a backup that is sealed like this.
    pub(super) fn key(&self, seal: &Seal) -> Result<Secret, BackupError> {
        match (self, seal) {
            (Self::Passphrase(passphrase), Seal::Passphrase { salt, memory_kib, passes }) => {
                from_passphrase(passphrase, salt, *memory_kib, *passes)
            }
            (Self::MasterKey(key), Seal::MasterKey { fingerprint }) => {
                if *fingerprint != hex(&key.fingerprint()) {
                    return Err(BackupError::Sealed("it is sealed under another master key"));
                }
                Ok(key.backup_key())
            }
            (_, Seal::Passphrase { .. }) => Err(BackupError::Sealed("it is sealed under a passphrase")),
            (_, Seal::MasterKey { .. }) => {
                Err(BackupError::Sealed("it is sealed under the master key that the cluster had"))
            }
        }
    }
}

fn from_passphrase(
    passphrase: &Secret,
    salt: &str,
    memory_kib: u32,
    passes: u32,
) -> Result<Secret, BackupError> {
    let odd = || BackupError::Damaged("nobody seals like its header says");
    let salt = hex_decode(salt).filter(|salt| salt.len() >= SALT_BYTES).ok_or_else(odd)?;
    if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX {
        return Err(odd());
    }
    let params = Params::new(memory_kib, passes, 1, Some(seal::KEY_BYTES)).map_err(|_| odd())?;
    let mut key = Secret::random(seal::KEY_BYTES).expose().to_vec();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose(), &salt, &mut key)
        .map_err(|_| odd())?;
    Ok(Secret::new(key))
}
