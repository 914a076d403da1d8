//! A node's directory: where everything is, and that it is what it claims to be.
//!
//! ```text
//! etc/node.yml                  this node: name, addresses, TLS, timeouts
//! etc/keys/root.crt             the certificate of the cluster's tokens
//! etc/keys/trusted/*.crt        the circle of trust
//! etc/security/                 master.key, node.key, node.crt, ca.crt, identity.json: mode 0700, files 0600
//! data/                         the log and the snapshots
//! logs/                         the audit log and others
//! ```

mod error;
mod files;
mod given_up;
mod identity;
mod network;
mod paths;
pub mod settings;
mod superseded;
mod takeover;

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

pub use error::HomeError;
pub use files::{read, read_secret, remove, replace, write_public, write_secret};
pub use given_up::{GivenUp, KeptList, Told};
pub use identity::{Identity, Introduced};
pub use network::Network;
pub use paths::Paths;
pub use superseded::Superseded;
pub(crate) use takeover::Takeover;

/// A home directory, held by this process alone until dropped.
pub struct Home {
    /// Where everything is.
    pub paths: Paths,
    /// The lock goes with the open file.
    _lock: File,
}

impl Home {
    /// Makes the directories for a new node. Refuses a home that a node already lives in, or has left data in.
    pub fn found(root: &Path) -> Result<Self, HomeError> {
        let home = Self::lock(root)?;
        if let Some(identity) = Identity::read_if_present(&home.paths)? {
            return Err(HomeError::Taken {
                home: root.to_owned(),
                node_id: identity.node_id,
                service_id: identity.service_id,
            });
        }
        if home.paths.raft().exists() {
            return Err(HomeError::Unfinished { home: root.to_owned(), data: home.paths.data() });
        }
        home.make_directories()?;
        Ok(home)
    }

    /// Opens the home of an existing node, unless that was told that its generation is over.
    pub fn open(root: &Path) -> Result<(Self, Identity), HomeError> {
        let nobody = || HomeError::Nobody { home: root.to_owned() };
        let paths = Paths::new(root);
        if !paths.identity().exists() && !takeover::is_complete(&paths) {
            return Err(nobody());
        }
        let home = Self::lock(root)?;
        takeover::finish(&home.paths)?;
        let identity = Identity::read_if_present(&home.paths)?.ok_or_else(nobody)?;
        if let Some(told) = Superseded::of(&home.paths, &identity)? {
            return Err(told.error(&home.paths, &identity));
        }
        home.make_directories()?;
        Ok((home, identity))
    }

    fn make_directories(&self) -> Result<(), HomeError> {
        for directory in [self.paths.etc(), self.paths.keys(), self.paths.trusted(), self.paths.logs()] {
            files::make_directory(&directory, 0o755)?;
        }
        for directory in [self.paths.security(), self.paths.data()] {
            files::make_directory(&directory, 0o700)?;
        }
        Ok(())
    }

    fn lock(root: &Path) -> Result<Self, HomeError> {
        files::make_directory(root, 0o755)?;
        let paths = Paths::new(root);
        let path = paths.lock();
        let io = |source| HomeError::Io { doing: "lock", file: path.clone(), source };
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is only told if it can be read.
                let _ = file.read_to_string(&mut holder);
                return Err(HomeError::InUse { home: root.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { paths, _lock: file })
    }
}

#[cfg(test)]
mod tests {
    use super::{Home, HomeError, Identity, Superseded};
    use std::os::unix::fs::PermissionsExt;

    fn identity() -> Identity {
        Identity {
            node_id: 1,
            service_id: "jfrt@01".to_owned(),
            generation: 1,
            log_begun: true,
            introduced: Vec::new(),
        }
    }

    #[test]
    fn a_home_opens_after_it_was_founded_and_not_before() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Home::open(root.path()), Err(HomeError::Nobody { .. })));
        let home = Home::found(root.path()).unwrap_or_else(|error| panic!("{error}"));
        identity().write(&home.paths).unwrap();
        drop(home);
        let (_, read) = Home::open(root.path()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read, identity());
    }

    #[test]
    fn a_home_is_founded_once() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::found(root.path()).unwrap_or_else(|error| panic!("{error}"));
        identity().write(&home.paths).unwrap();
        drop(home);
        assert!(matches!(Home::found(root.path()), Err(HomeError::Taken { node_id: 1, .. })));
        std::fs::remove_file(super::Paths::new(root.path()).identity()).unwrap();
        std::fs::create_dir(super::Paths::new(root.path()).raft()).unwrap();
        assert!(matches!(Home::found(root.path()), Err(HomeError::Unfinished { .. })));
    }

    #[test]
    fn two_processes_cannot_hold_one_home() {
        let root = tempfile::tempdir().unwrap();
        let _held = Home::found(root.path()).unwrap_or_else(|error| panic!("{error}"));
        let own_id = std::process::id().to_string();
        assert!(matches!(Home::found(root.path()), Err(HomeError::InUse { holder, .. }) if holder == own_id));
    }

    #[test]
    fn secrets_are_for_the_owner_only() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::found(root.path()).unwrap_or_else(|error| panic!("{error}"));
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        super::write_secret(&home.paths.master_key(), b"secret").unwrap();
        assert_eq!(mode(&home.paths.security()), 0o700);
        assert_eq!(mode(&home.paths.data()), 0o700);
        assert_eq!(mode(&home.paths.master_key()), 0o600);
    }

    #[test]
    fn a_home_whose_generation_is_over_opens_no_more_and_one_that_joined_anew_does() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::found(root.path()).unwrap_or_else(|error| panic!("{error}"));
        identity().write(&home.paths).unwrap();
        let told = Superseded { service_id: "jfrt@01".to_owned(), generation: 7, told_by: 3, told_at_ms: 1 };
        told.write(&home.paths).unwrap();
        drop(home);
        let error = Home::open(root.path()).err().unwrap();
        assert!(matches!(error, HomeError::Superseded { node_id: 1, generation: 7, .. }), "{error}");
        assert!(error.remedy().unwrap().contains("join anew from an empty directory"));
        for anew in [
            Identity { generation: 7, ..identity() },
            Identity { service_id: "jfrt@02".to_owned(), ..identity() },
        ] {
            anew.write(&super::Paths::new(root.path())).unwrap();
            assert!(Home::open(root.path()).is_ok(), "it was said of the node before");
        }
    }

    #[test]
    fn a_garbled_identity_is_named() {
        let root = tempfile::tempdir().unwrap();
        drop(Home::found(root.path()).unwrap_or_else(|error| panic!("{error}")));
        std::fs::write(super::Paths::new(root.path()).identity(), "{").unwrap();
        let error = Home::open(root.path()).err().unwrap();
        assert!(error.to_string().contains("identity.json"), "{error}");
    }
}
