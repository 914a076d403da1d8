//! Recovering a cluster whose majority is gone for good: one node that is left begins the next generation alone, with all
//! that it has.

use std::path::PathBuf;

use circlet_authority::State;
use circlet_raft::Peer;
use circlet_raft::offline::{self, Held};

use super::next_generation::{self, Begun, Left, NextGenerationError};
use super::others;
use crate::floor::proof::{self, Against};
use crate::floor::storage::Root;
use crate::home::settings::NodeSettings;
use crate::home::{Home, HomeError, Introduced};
use crate::machine::Authority;
use crate::seal::MasterKey;

/// What a cluster is recovered from.
pub struct Recovering {
    /// The home of the node that is left; it is stopped.
    pub home: PathBuf,
    /// The others are not asked whether they live.
    pub unasked: bool,
    /// The others are not told that their generation is over, whenever they turn up.
    pub untold: bool,
    /// Where the floors of all nodes are, if earlier tokens shall live on.
    pub floors: Vec<PathBuf>,
}

/// What was recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The cluster.
    pub begun: Begun,
    /// The last log entry that the node had.
    pub last: u64,
    /// The last one of which it knew that it was decided.
    pub decided: u64,
    /// The names of those who voted besides it.
    pub others: Vec<String>,
    /// Whether the node will tell the others that they were given up.
    pub tells: bool,
    /// Whose homes must never be served again: name and URL of each node that there was besides it.
    pub to_erase: Vec<(String, String)>,
}

/// Makes a stopped node the only one of the next generation of its cluster. If that fails, the home is as it was.
pub async fn recover(recovering: Recovering) -> Result<Recovered, NextGenerationError> {
    let Recovering { home, unasked, untold, floors } = recovering;
    let (home, identity) = Home::open(&home)?;
    let settings = NodeSettings::read(&home.paths)?;
    let data = home.paths.data();
    let unread = |source| NextGenerationError::Data { data: home.paths.data(), source };
    let held = tokio::task::spawn_blocking(move || offline::read::<Authority>(&data));
    let held = held.await.map_err(|_| NextGenerationError::BrokenOff)?.map_err(unread)?;
    let Held { machine, last, decided, peers, voters } = held;
    let state: State = machine.into_state();
    let found = state.service_id().map(ToString::to_string).unwrap_or_default();
    if found != identity.service_id {
        let (home, expected) = (home.paths.root().to_owned(), identity.service_id);
        return Err(HomeError::OtherCluster { home, expected, found }.into());
    }
    let others: Vec<_> = peers.iter().filter(|(id, _)| **id != identity.node_id).collect();
    if voters.len() == 1 && voters.contains(&identity.node_id) {
        return Err(NextGenerationError::Alone { name: settings.name });
    }
    let to_erase: Vec<_> =
        others.iter().map(|(_, peer)| (peer.name.clone(), peer.client_url.clone())).collect();
    if !unasked {
        others::must_be_gone(&found, to_erase.clone()).await?;
    }
    let introduced = others.iter().map(|(id, peer)| introduced(**id, peer)).collect();
    let left = (!untold).then_some(Left { former: identity, nodes: introduced });
    let others: Vec<String> =
        others.into_iter().filter(|(id, _)| voters.contains(id)).map(|(_, peer)| peer.name.clone()).collect();
    let begun = tokio::task::spawn_blocking(move || {
        let service_id =
            state.service_id().cloned().ok_or(circlet_authority::NoNextGeneration::NotFounded)?;
        let floor = match floors.as_slice() {
            [] => None,
            dirs => Some(proof::prove(&Root::all_real(dirs), Against::Remains(&state))?),
        };
        // The lost nodes know the master key of before.
        let master = MasterKey::generate();
        next_generation::begin(&home.paths, &settings, &state, &service_id, &master, floor, left)
    });
    let begun = begun.await.map_err(|_| NextGenerationError::BrokenOff)??;
    Ok(Recovered { begun, last, decided, others, tells: !untold, to_erase })
}

fn introduced(id: u64, peer: &Peer) -> Introduced {
    let Peer { name, peer_address, client_url, public_key } = peer.clone();
    Introduced { id, name, peer_address, client_url, public_key }
}
