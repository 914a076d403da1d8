//! `circlet restore`: the first node of a cluster that begins again from a backup.

use std::path::PathBuf;

use circlet_token::ServiceId;
use serde_json::{Value, json};

use super::backup::{describe, read_passphrase};
use super::failure::Failure;
use super::init::NodeFlags;
use super::output::Output;
use crate::backup::{BackupError, Opening};
use crate::home;
use crate::node::next_generation::{Begun, NextGenerationError};
use crate::node::restoring::{Named, Restored, Restoring, examine, restore};
use crate::seal::MasterKey;

/// Make the first node of a cluster that begins again from a backup.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("called").required(true)))]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// The home directory of the first node; made if missing
    #[arg(long, value_name = "DIR", env = "CIRCLET_HOME", required_unless_present = "check")]
    home: Option<PathBuf>,
    #[command(flatten)]
    node: NodeFlags,
    /// The cluster of the backup is lost for good: go on under its service id
    #[arg(long, group = "called")]
    replace: bool,
    /// The cluster of the backup may live on: be another one beside it, of this service id, or `new` to have one drawn
    #[arg(long, value_name = "ID", group = "called")]
    service_id: Option<String>,
    /// Only read the backup to its end, and say what it is of
    #[arg(long, group = "called")]
    check: bool,
    /// A file with the passphrase under which the backup is sealed
    #[arg(long, value_name = "FILE", conflicts_with = "master_key_file")]
    passphrase_file: Option<PathBuf>,
    /// The master key under which the backup is sealed: etc/security/master.key of a node of that cluster
    #[arg(long, value_name = "FILE", required_unless_present = "passphrase_file")]
    master_key_file: Option<PathBuf>,
    /// Don't ask the nodes of the lost cluster whether they live
    #[arg(long, requires = "replace")]
    force: bool,
    /// Where the nodes of the lost cluster kept their revocation floors: earlier access tokens live on, if these hold everything
    /// that was ever acknowledged; may be given several times
    #[arg(long, value_name = "DIR")]
    floor: Vec<PathBuf>,
}

impl Restore {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        if !self.floor.is_empty() && !self.replace {
            return Err(Failure::input("--floor takes --replace")
                .hint("earlier tokens are those of the cluster of before; no other honours them, whatever it knows of them"));
        }
        let opening = self.opening()?;
        let home = match self.home {
            Some(home) if !self.check => home,
            _ => {
                let opened = examine(self.backup, opening).await.map_err(failure)?;
                let result = describe(&opened.header);
                return output.result(&result, |_| {
                    let header = &opened.header;
                    let (id, at, index) = (&header.service_id, &header.made_at, header.index);
                    format!("a whole backup of cluster {id}, made at {at}, up to log entry {index}")
                });
            }
        };
        let named = match self.service_id.as_deref() {
            None => Named::AsBefore { unasked: self.force },
            Some("new") => Named::Anew(None),
            Some(id) => Named::Anew(Some(ServiceId::parse(id).map_err(|error| {
                Failure::input("--service-id is neither `new` nor a service id").because(error)
            })?)),
        };
        let shown = home.clone();
        let chosen = self.node.chosen();
        let restoring = Restoring { backup: self.backup, opening, home, chosen, named, floors: self.floor };
        let restored = restore(restoring).await.map_err(failure)?;
        let mut result = result_of(&restored.begun);
        result["home"] = json!(shown);
        result["replaces"] = json!(restored.in_place);
        result["backup"] = describe(&restored.backup);
        output.result(&result, |_| story(&restored, &shown.display().to_string()))?;
        output.say(&format!(
            "run it with: circlet serve --home {}; others join with `circlet cluster token`",
            shown.display()
        ));
        Ok(())
    }

    fn opening(&self) -> Result<Opening, Failure> {
        if let Some(file) = &self.passphrase_file {
            return Ok(Opening::Passphrase(read_passphrase(file)?));
        }
        let file =
            self.master_key_file.as_ref().ok_or_else(|| Failure::input("nothing to open the backup with"))?;
        let text = home::read_secret(file, "it opens the backup")?;
        let key = MasterKey::parse(&text).map_err(|error| {
            Failure::input(format!("{} holds no master key", file.display())).because(error)
        })?;
        Ok(Opening::MasterKey(key))
    }
}

/// What the next generation of a cluster is.
pub(super) fn result_of(begun: &Begun) -> Value {
    json!({
        "service_id": begun.service_id.as_str(),
        "generation": begun.generation,
        "generation_before": begun.generation_before,
        "node_id": begun.node_id,
        "name": begun.name,
        "url": begun.url,
        "kid": begun.key_id,
        "users": begun.users,
        "groups": begun.groups,
        "trusted": begun.trusted,
        "earlier_tokens": if begun.floor.is_some() { "live on" } else { "refused" },
        "floor": begun.floor.as_ref().map(|floor| json!({
            "nodes": floor.nodes,
            "index": floor.index,
            "revoked": floor.revoked,
        })),
    })
}

fn story(restored: &Restored, home: &str) -> String {
    let Restored { begun, backup, in_place } = restored;
    let name = if *in_place {
        format!("cluster {} goes on, in place of the one that is lost", begun.service_id)
    } else {
        format!("cluster {} begins; {} may live on beside it", begun.service_id, backup.service_id)
    };
    format!(
        "{name}\ngeneration {}, from the backup of {} (log entry {}), node {} in {home}\n{}",
        begun.generation,
        backup.made_at,
        backup.index,
        begun.name,
        what_lives_on(begun, "what changed after the backup is lost"),
    )
}

/// What lives on and what does not, in the same words for whoever restores and whoever recovers.
pub(super) fn what_lives_on(begun: &Begun, lost: &str) -> String {
    let refused = match &begun.floor {
        None => "every access token, refresh token and join token of before, whoever issued it".to_owned(),
        Some(floor) => format!(
            "what was revoked ({} ids), every refresh token, reference token and join token of before, and what others issued \
             before\n\
             earlier access tokens live on: the floor of {} nodes is complete up to log entry {}; give this node a \
             revocation-floor.dir before it serves",
            floor.revoked, floor.nodes, floor.index
        ),
    };
    format!(
        "kept: {} users with their passwords, {} groups, {} trusted certificates, the settings; {lost}\n\
         refused from now on: {refused}\n\
         new: the signing key {}, the CA and the keys of nodes, the master key, the refresh secret",
        begun.users, begun.groups, begun.trusted, begun.key_id
    )
}

/// Whose fault it is, and what to do.
pub(super) fn failure(error: NextGenerationError) -> Failure {
    match error {
        NextGenerationError::Home(error) => error.into(),
        NextGenerationError::Backup { source: BackupError::Io(_), .. } => Failure::input(error.to_string()),
        NextGenerationError::Backup { ref source, .. } => {
            let hint = match source {
                BackupError::Sealed(_) => "a backup opens with what it was sealed under: --passphrase-file or --master-key-file",
                BackupError::Version { .. } => "restore it with the version of circlet that made it",
                _ => "take another backup: nothing was changed",
            };
            Failure::input(error.to_string()).hint(hint)
        }
        NextGenerationError::StillLives { .. } => Failure::input(error.to_string()).hint(
            "stop its nodes if it shall be replaced, or let another cluster begin beside it with --service-id new; --force \
             goes on without asking them",
        ),
        NextGenerationError::Alone { .. } => {
            Failure::input(error.to_string()).hint("run it with `circlet serve`: it decides alone")
        }
        NextGenerationError::State(error) => Failure::input(error.to_string()),
        NextGenerationError::Floor(_) => Failure::input(error.to_string()).hint(
            "nothing was changed; bring what is missing, or let every earlier token end by leaving --floor out",
        ),
        NextGenerationError::Data { .. }
        | NextGenerationError::Certificate(_)
        | NextGenerationError::BrokenOff => Failure::ours(error.to_string()),
    }
}
