//! Restoring a cluster from a backup: into a new home, as the first node of the next generation.

use std::fs::File;
use std::path::PathBuf;

use circlet_token::ServiceId;

use super::founding::new_service_id;
use super::next_generation::{self, Begun, NextGenerationError};
use super::{opening, others};
use crate::backup::{self, BackupError, Header, Opening};
use crate::floor::proof::{self, Against};
use crate::floor::storage::Root;
use crate::home::{Home, settings};

/// What a cluster is restored with.
pub struct Restoring {
    /// The backup.
    pub backup: PathBuf,
    /// What opens it.
    pub opening: Opening,
    /// Where its first node shall live; nobody does there yet.
    pub home: PathBuf,
    /// The settings of that node that differ from the default, as `node.yml` names them.
    pub chosen: Vec<(&'static str, String)>,
    /// What it shall be called.
    pub named: Named,
    /// Where the floors of the nodes of before are, if earlier tokens shall live on.
    pub floors: Vec<PathBuf>,
}

/// What a restored cluster is called.
pub enum Named {
    /// As before: that cluster is lost. `unasked`: its nodes are not asked whether they live.
    AsBefore {
        /// Take the operator's word for it.
        unasked: bool,
    },
    /// Like this, or by a name that is drawn: the one before may live on beside it.
    Anew(Option<ServiceId>),
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The cluster.
    pub begun: Begun,
    /// What the backup says of itself.
    pub backup: Header,
    /// Whether it is called as before.
    pub in_place: bool,
}

/// Reads a backup to its end; what is in it tells whether it can be restored.
pub async fn examine(file: PathBuf, opening: Opening) -> Result<backup::Opened, NextGenerationError> {
    let read = tokio::task::spawn_blocking(move || {
        let unfit = |source| NextGenerationError::Backup { file: file.clone(), source };
        let mut opened = File::open(&file).map_err(|error| unfit(BackupError::Io(error)))?;
        backup::open(&mut opened, &opening).map_err(unfit)
    });
    read.await.map_err(|_| NextGenerationError::BrokenOff)?
}

/// Restores a cluster. If that fails, nothing of a node is left in the home but the files given by the operator.
pub async fn restore(restoring: Restoring) -> Result<Restored, NextGenerationError> {
    // Before anything is written.
    let Restoring { backup, opening, home, chosen, named, floors } = restoring;
    let backup::Opened { header, state } = examine(backup, opening).await?;
    let before = state.service_id().cloned().ok_or(circlet_authority::NoNextGeneration::NotFounded)?;
    let service_id = match &named {
        Named::AsBefore { .. } => before.clone(),
        Named::Anew(given) => given.clone().unwrap_or_else(new_service_id),
    };
    let in_place = service_id.same_service(&before);
    let unasked = matches!(named, Named::AsBefore { unasked: true });
    if in_place && !unasked {
        let nodes = header.nodes.iter().map(|node| (node.name.clone(), node.url.clone())).collect();
        others::must_be_gone(before.as_str(), nodes).await?;
    }
    let begun = tokio::task::spawn_blocking(move || {
        let home = Home::found(&home)?;
        let settings = settings::write_or_read(&home.paths, &chosen)?;
        let master = opening::placed_master_key(&home.paths)?;
        let floor = match floors.as_slice() {
            [] => None,
            dirs => Some(proof::prove(&Root::all_real(dirs), Against::Backup(&state))?),
        };
        next_generation::begin(&home.paths, &settings, &state, &service_id, &master, floor, None)
    });
    let begun = begun.await.map_err(|_| NextGenerationError::BrokenOff)??;
    Ok(Restored { begun, backup: header, in_place })
}
