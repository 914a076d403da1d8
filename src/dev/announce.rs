//! What a development cluster tells when it is ready.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::place::write_private;
use crate::cli::failure::Failure;

/// The cluster, its nodes, and how to get in. The same object on stdout and in the ready file.
#[derive(Serialize)]
pub(super) struct Announcement {
    /// The cluster's service id.
    pub(super) service_id: String,
    /// The nodes, in the order of their numbers.
    pub(super) nodes: Vec<AnnouncedNode>,
    /// The administrator.
    pub(super) admin: Administrator,
}

/// One node.
#[derive(Serialize)]
pub(super) struct AnnouncedNode {
    /// Its Raft id.
    pub(super) id: u64,
    /// scheme://host:port.
    pub(super) url: String,
    /// Its process.
    pub(super) pid: u32,
    /// Its home directory.
    pub(super) home: String,
}

/// The administrator, whose e-mail is admin@example.org.
#[derive(Serialize)]
pub(super) struct Administrator {
    /// The name.
    pub(super) username: String,
    /// The password.
    pub(super) password: String,
    /// A token with an administrator's rights: recorded, not revocable, for four hours.
    pub(super) access_token: String,
}

impl Announcement {
    /// Puts the object into a file that only its owner can read, by rename.
    pub(super) fn write_to(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::ours("the announcement has no JSON form").because(error))?;
        write_private(path, text.as_bytes()).map_err(|error| {
            Failure::input(format!("cannot write the ready file {}", path.display())).because(error)
        })
    }

    /// The same for people, with lines to paste.
    pub(super) fn for_people(&self) -> String {
        let mut text = String::new();
        self.write_for_people(&mut text).expect("writing to a string never fails");
        text
    }

    fn write_for_people(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "cluster {}", self.service_id)?;
        for (number, node) in (1..).zip(&self.nodes) {
            writeln!(text, "  node {number}  {}  pid {}  {}", node.url, node.pid, node.home)?;
        }
        writeln!(text)?;
        writeln!(text, "administrator  {}", self.admin.username)?;
        writeln!(text, "password       {}", self.admin.password)?;
        writeln!(text, "access token   {}", self.admin.access_token)?;
        let Some(first) = self.nodes.first() else { return Ok(()) };
        let last = self.nodes.last().unwrap_or(first);
        writeln!(text)?;
        writeln!(text, "Create a token on one node; create another one and verify it on another node:")?;
        writeln!(text)?;
        let create = format!(
            "curl -s -u {}:{} -d expires_in=600 {}/access/api/v1/tokens",
            self.admin.username, self.admin.password, first.url
        );
        writeln!(text, "  {create}")?;
        writeln!(text, r#"  TOKEN=$({create} | sed 's/.*"access_token":"\([^"]*\)".*/\1/')"#)?;
        writeln!(text, "  curl -s -H \"Authorization: Bearer $TOKEN\" {}/circlet/v1/verify", last.url)?;
        writeln!(text)?;
        writeln!(text, "Or with this program:")?;
        writeln!(text)?;
        writeln!(
            text,
            "  export CIRCLET_URL={} CIRCLET_ACCESS_TOKEN={}",
            first.url, self.admin.access_token
        )?;
        writeln!(text, "  circlet token create alice --groups readers --refreshable")?;
        writeln!(text, "  circlet cluster status")
    }
}

#[cfg(test)]
mod tests {
    use super::{Administrator, AnnouncedNode, Announcement};

    #[test]
    fn the_lines_to_paste_name_the_first_node_and_the_last() {
        let node = |id| AnnouncedNode {
            id,
            url: format!("http://127.0.0.1:{id}"),
            pid: 7,
            home: format!("/d/node-{id}"),
        };
        let announcement = Announcement {
            service_id: "jfrt@x".to_owned(),
            nodes: vec![node(1), node(5), node(9)],
            admin: Administrator {
                username: "admin".to_owned(),
                password: "secret".to_owned(),
                access_token: "a.b.c".to_owned(),
            },
        };
        let text = announcement.for_people();
        for line in [
            "  node 3  http://127.0.0.1:9  pid 7  /d/node-9",
            "  curl -s -u admin:secret -d expires_in=600 http://127.0.0.1:1/access/api/v1/tokens",
            "  curl -s -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:9/circlet/v1/verify",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
