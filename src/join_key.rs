//! The join key: a file that an operator places on every node, so that machines set up by files join without a join
//! token (contract section 1.11).
//!
//! `etc/security/join.key` holds 32 or 64 hexadecimal digits. Who joins with it needs the cluster's master key as well.
//! Neither key is sent: both are proved over the TLS session, as join tokens are.

use crate::derivation::derive;
use crate::home::{self, HomeError, Paths};
use crate::seal::read_key_text;
use crate::secret::Secret;

/// The secret that both sides prove to have, from the file of a home.
///
/// # Errors
/// [`HomeError::Missing`] if no join key was placed there, or whatever is wrong with the file.
pub fn read(paths: &Paths) -> Result<Secret, HomeError> {
    let file = paths.join_key();
    let text = home::read_secret(&file, "it is the key by which nodes join")?;
    let key = read_key_text(&text).map_err(|error| HomeError::Damaged {
        file,
        why: error.to_string(),
        remedy: "place the same file of 32 or 64 hexadecimal digits on every node",
    })?;
    Ok(Secret::new(derive(&key, "circlet join key").to_vec()))
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::home::{HomeError, Paths};

    #[test]
    fn what_is_no_key_is_named() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path());
        assert!(matches!(read(&paths), Err(HomeError::Missing { .. })));
        std::fs::create_dir_all(paths.security()).unwrap();
        std::fs::write(paths.join_key(), "0f".repeat(8)).unwrap();
        let error = read(&paths).err().unwrap().to_string();
        assert!(error.contains("join.key") && error.contains("16 hexadecimal digits"), "{error}");
        std::fs::write(paths.join_key(), format!("{}\n", "0f".repeat(16))).unwrap();
        assert!(read(&paths).is_ok());
    }
}
