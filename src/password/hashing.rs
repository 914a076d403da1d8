//! argon2id, with memory that is given back.
//!
//! Every hash takes 19 MiB for a moment. glibc's `malloc` learns from the first such block that is freed to keep the
//! next ones in the arenas of the threads, where they stay: a node that had hashed a hundred passwords held 400 MB.
//! Blocks above 32 MiB it always maps and unmaps (`DEFAULT_MMAP_THRESHOLD_MAX` in mallopt(3)). So more is asked for
//! than is used; pages that nobody touches are never there.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::secret::Secret;

/// What is asked for at least, in blocks of 1 KiB: more than glibc keeps.
const BLOCKS_ASKED_MIN: usize = 33 * 1024;
/// As RFC 9106 section 3.1 recommends.
const SALT_BYTES: usize = 16;

/// Hashes on the calling thread: argon2id with 19 MiB, two passes, one lane (OWASP's first choice), random salt.
#[must_use]
pub(crate) fn hash_now(password: &Secret) -> String {
    let salt: [u8; SALT_BYTES] = rand::random();
    let argon2 = Argon2::default();
    let output = output(&argon2, password.expose(), &salt).expect(WITHIN_BOUNDS);
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params()).expect(WITHIN_BOUNDS),
        salt: Some(Salt::new(&salt).expect(WITHIN_BOUNDS)),
        hash: Some(output),
    };
    hash.to_string()
}

/// Why hashing with our own parameters cannot fail.
const WITHIN_BOUNDS: &str = "default parameters and a generated salt are valid, and no password is too long";

/// Whether `password` is the one behind the PHC string `stored`; a garbled string matches nothing.
pub(super) fn matches(password: &Secret, stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else { return false };
    let Some(argon2) = like(&stored) else { return false };
    // Compared in constant time.
    output(&argon2, password.expose(), salt).is_some_and(|output| output == *expected)
}

/// The function that a stored hash was made with.
fn like(stored: &PasswordHash) -> Option<Argon2<'static>> {
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = stored.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
    let params = Params::try_from(stored).ok()?;
    Some(Argon2::new(algorithm, version, params))
}

fn output(argon2: &Argon2<'_>, password: &[u8], salt: &[u8]) -> Option<Output> {
    let blocks = argon2.params().block_count();
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(blocks.max(BLOCKS_ASKED_MIN)).ok()?;
    memory.resize(blocks, Block::new());
    let bytes = argon2.params().output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut out = vec![0; bytes];
    argon2.hash_password_into_with_memory(password, salt, &mut out, &mut memory).ok()?;
    Output::new(&out).ok()
}

#[cfg(test)]
mod tests {
    use argon2::Argon2;
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::{hash_now, matches};
    use crate::secret::Secret;

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[test]
    fn the_hashes_are_those_of_everybody_else() {
        let ours = hash_now(&secret("correct horse"));
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{ours}");
        assert!(Argon2::default().verify_password(b"correct horse", ours.as_str()).is_ok());
        assert!(Argon2::default().verify_password(b"battery staple", ours.as_str()).is_err());
        let theirs = Argon2::default().hash_password(b"correct horse").unwrap().to_string();
        assert!(matches(&secret("correct horse"), &theirs));
        assert!(!matches(&secret("battery staple"), &theirs));
    }

    #[test]
    fn other_parameters_are_read_from_the_hash() {
        let params = argon2::Params::new(256, 3, 2, Some(24)).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2i, argon2::Version::V0x13, params);
        let stored = argon2.hash_password(b"password").unwrap().to_string();
        assert!(stored.starts_with("$argon2i$v=19$m=256,t=3,p=2$"), "{stored}");
        assert!(matches(&secret("password"), &stored));
        assert!(!matches(&secret("Password"), &stored));
    }

    #[test]
    fn what_is_no_hash_matches_nothing() {
        for stored in
            ["", "password", "$argon2id$v=19$m=19456,t=2,p=1", "$scrypt$ln=16,r=8,p=1$c29tZXNhbHQ$aGFzaA"]
        {
            assert!(!matches(&secret("password"), stored), "{stored}");
        }
    }
}
