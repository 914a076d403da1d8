//! Where a development cluster lives: its folder and its ports.

use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// Marks a folder as one of ours, and keeps the administrator's password for the next start.
const ADMIN_FILE: &str = "admin-password";

/// The folder and the ports of a development cluster.
pub(super) struct Place {
    root: PathBuf,
    temporary: bool,
    nodes: u16,
    base_port: u16,
}

/// Where one node lives.
#[derive(Debug, Clone)]
pub(super) struct NodePlace {
    /// Its number, counted from 1.
    pub(super) number: u16,
    /// Its home directory.
    pub(super) home: PathBuf,
    /// Its HTTP listener.
    pub(super) http: SocketAddr,
    /// Its listener for the other nodes.
    pub(super) peer: SocketAddr,
}

impl Place {
    /// Makes the folder if it is missing, and checks that the ports are free. A folder that a development cluster left is
    /// taken up again; one with anything else in it is refused.
    pub(super) fn prepare(nodes: u16, home: Option<&Path>, base_port: u16) -> Result<Self, Failure> {
        let last = base_port.checked_add(2 * nodes - 1).filter(|_| base_port > 0);
        if last.is_none() {
            let message = format!("{nodes} nodes need {} ports from {base_port} on", 2 * nodes);
            return Err(Failure::input(message).hint("--base-port takes 1 to 65500"));
        }
        let temporary = home.is_none();
        let root = home.map_or_else(temporary_root, Path::to_path_buf);
        let place = Self { root, temporary, nodes, base_port };
        place.check_ports()?;
        place.make_root()?;
        Ok(place)
    }

    /// Where each node lives.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodePlace> + '_ {
        (1..=self.nodes).map(|number| NodePlace {
            number,
            home: self.root.join(format!("node-{number}")),
            http: loopback(self.base_port + number - 1),
            peer: loopback(self.base_port + self.nodes + number - 1),
        })
    }

    /// The password that an earlier run left, if the folder was used before.
    pub(super) fn remembered_password(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(ADMIN_FILE)).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// Keeps the password for the next run in this folder.
    pub(super) fn remember_password(&self, password: &str) -> Result<(), Failure> {
        let path = self.root.join(ADMIN_FILE);
        write_private(&path, password.as_bytes())
            .map_err(|error| Failure::ours(format!("cannot write {}", path.display())).because(error))
    }

    /// Removes the folder, if it is a temporary one.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        if !self.temporary {
            return Ok(());
        }
        std::fs::remove_dir_all(&self.root).map_err(|error| {
            Failure::ours(format!("cannot remove the temporary folder {}", self.root.display()))
                .because(error)
        })
    }

    fn check_ports(&self) -> Result<(), Failure> {
        for node in self.nodes() {
            for address in [node.http, node.peer] {
                TcpListener::bind(address).map_err(|error| {
                    Failure::input(format!("node {} cannot listen on {address}", node.number))
                        .because(error)
                        .hint("choose other ports with --base-port")
                })?;
            }
        }
        Ok(())
    }

    fn make_root(&self) -> Result<(), Failure> {
        let unusable =
            || Failure::input(format!("{} cannot be the home of the cluster", self.root.display()));
        // A temporary folder that somebody else has made under this name is not ours.
        DirBuilder::new()
            .recursive(!self.temporary)
            .mode(0o700)
            .create(&self.root)
            .map_err(|error| unusable().because(error))?;
        let mut entries = std::fs::read_dir(&self.root).map_err(|error| unusable().because(error))?;
        if entries.next().is_some() && self.remembered_password().is_none() {
            return Err(unusable()
                .hint("it is not empty and was not left by `circlet dev`; name another folder with --home"));
        }
        let kept = self.nodes().filter(|node| node.home.exists()).count();
        if self.remembered_password().is_some() && kept != usize::from(self.nodes) {
            let hint =
                format!("it holds {kept} of the {} nodes; name another folder, or remove it", self.nodes);
            return Err(unusable().hint(hint));
        }
        Ok(())
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn temporary_root() -> PathBuf {
    std::env::temp_dir().join(format!("circlet-dev-{}", uuid::Uuid::new_v4().simple()))
}

/// Writes a file that only its owner can read, by rename, so that nobody sees half of it.
pub(super) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let unfinished = PathBuf::from(name);
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn every_node_has_a_home_and_two_ports_of_its_own() {
        let place = Place { root: "/d".into(), temporary: true, nodes: 3, base_port: 100 };
        let ports: Vec<(u16, u16)> = place.nodes().map(|node| (node.http.port(), node.peer.port())).collect();
        assert_eq!(ports, [(100, 103), (101, 104), (102, 105)]);
    }

    #[test]
    fn a_folder_with_something_else_in_it_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = || Place { root: folder.path().into(), temporary: false, nodes: 1, base_port: 1 };
        place().make_root().expect("an empty folder is fine");
        std::fs::write(folder.path().join("thesis.txt"), "years of work").expect("a file");
        assert!(place().make_root().is_err());
        assert!(place().remove().is_ok());
        assert!(folder.path().exists(), "a named folder is never removed");
    }

    #[test]
    fn a_folder_that_was_used_before_is_taken_up_with_its_password() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Place { root: folder.path().into(), temporary: false, nodes: 1, base_port: 1 };
        std::fs::create_dir(folder.path().join("node-1")).expect("a node's home");
        place.remember_password("secret").expect("written");
        place.make_root().expect("ours");
        assert_eq!(place.remembered_password().as_deref(), Some("secret"));
        let larger = Place { nodes: 3, ..place };
        assert!(larger.make_root().is_err());
    }

    #[test]
    fn a_port_in_use_leaves_no_folder_behind() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = holder.local_addr().expect("an address").port();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().join("home");
        let failure = Place::prepare(1, Some(&home), port).err().expect("the port is in use");
        assert!(failure.message.contains(&port.to_string()), "{failure}");
        assert!(!home.exists());
    }

    #[test]
    fn ports_beyond_the_last_are_refused() {
        assert!(Place::prepare(3, None, 65_533).is_err());
        assert!(Place::prepare(3, None, 0).is_err());
    }
}
