//! Whether the floors of a cluster hold everything that it had acknowledged: asked by whoever lets it begin again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use circlet_authority::{Picture, State};

use super::place::{Phase, Place};
use super::reading::{self, FloorRead, Unfit};
use super::storage::{Root, Storage};

/// What the floors must agree with.
#[derive(Debug, Clone, Copy)]
pub enum Against<'a> {
    /// A backup: what it holds was decided.
    Backup(&'a State),
    /// All that is left of one node: some of it may have been decided by nobody.
    Remains(&'a State),
}

impl<'a> Against<'a> {
    fn state(self) -> &'a State {
        match self {
            Self::Backup(state) | Self::Remains(state) => state,
        }
    }

    fn contradiction(self, picture: &Picture) -> Option<String> {
        match self {
            Self::Backup(state) => picture.contradicts(state),
            Self::Remains(state) => picture.is_of_another(state),
        }
    }
}

/// Why nothing can be built upon these floors. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Incomplete {
    /// There are none.
    #[error("{} holds no floor of {service} in generation {generation}", root.display())]
    None {
        /// The directory.
        root: PathBuf,
        /// Whose floors were looked for.
        service: String,
        /// Of which generation.
        generation: u64,
    },
    /// A generation has begun from them, and may have revoked since.
    #[error(
        "{} is spent: a later generation has begun from it, and what that one revoked is not in it. If that generation never served, \
         because its restore was broken off in that very instant, rename the folder to end with .sealed",
        .0.display()
    )]
    Spent(PathBuf),
    /// A later generation writes there.
    #[error("{} holds the floor of generation {generation} as well, which came later: restore a backup of that one", root.display())]
    Later {
        /// The directory.
        root: PathBuf,
        /// Which generation.
        generation: u64,
    },
    /// What is there doesn't hold everything.
    #[error("{}", .0.join("; "))]
    Lacking(Vec<String>),
    /// The system refused something.
    #[error("{}: {source}", file.display())]
    Io {
        /// What was touched.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Floors that were proven to hold everything, and are sealed. Unless they are spent, they are opened again when this is
/// dropped, as far as it sealed them.
#[derive(Debug)]
pub struct Proof {
    places: Vec<Place>,
    sealed_here: Vec<Place>,
    /// What was refused.
    pub picture: Picture,
    /// How many nodes' floors it took.
    pub nodes: usize,
}

/// Seals the floors below these directories, and proves that they hold everything.
pub fn prove(roots: &[Root], against: Against<'_>) -> Result<Proof, Incomplete> {
    let state = against.state();
    let service = state.service_id().map(ToString::to_string).unwrap_or_default();
    let ulid = state.service_id().map(|id| id.ulid().to_owned()).unwrap_or_default();
    let generation = state.generation();
    let places: Vec<Place> = roots.iter().map(|root| Place::new(root, &ulid, generation)).collect();
    for place in &places {
        let root = place.root().to_owned();
        if let Some(generation) = place.later().map_err(io(&root))?.first().copied() {
            return Err(Incomplete::Later { root, generation });
        }
        match phase(place)? {
            Some(Phase::Spent) => return Err(Incomplete::Spent(place.folder(Phase::Spent))),
            None => return Err(Incomplete::None { root, service, generation }),
            _ => {}
        }
    }
    // What is refused for good reasons is refused before the nodes are fenced off.
    examine(&places, against)?;
    let mut proof = Proof { places, sealed_here: Vec::new(), picture: Picture::default(), nodes: 0 };
    for place in &proof.places {
        if phase(place)? == Some(Phase::Open) {
            place.turn(Phase::Open, Phase::Sealed).map_err(io(&place.folder(Phase::Open)))?;
            proof.sealed_here.push(place.clone());
        }
    }
    (proof.picture, proof.nodes) = examine(&proof.places, against)?;
    Ok(proof)
}

impl Proof {
    /// Notes that a generation begins from them, so that no other does: what this one revokes is not in them.
    pub fn spend(mut self) -> Result<(), Incomplete> {
        while let Some(place) = self.places.pop() {
            let sealed = place.folder(Phase::Sealed);
            place.turn(Phase::Sealed, Phase::Spent).map_err(io(&sealed))?;
            self.sealed_here.retain(|other| other.root() != place.root());
        }
        Ok(())
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        for place in &self.sealed_here {
            if let Err(error) = place.turn(Phase::Sealed, Phase::Open) {
                tracing::warn!(%error, folder = %place.folder(Phase::Sealed).display(), "the floors stay sealed");
            }
        }
    }
}

fn phase(place: &Place) -> Result<Option<Phase>, Incomplete> {
    place.phase().map_err(io(place.root()))
}

fn io(file: &Path) -> impl FnOnce(io::Error) -> Incomplete {
    let file = file.to_owned();
    |source| Incomplete::Io { file, source }
}

/// Reads all files. The one that ends last tells which nodes there are; each of them must have one that is its own.
fn examine(places: &[Place], against: Against<'_>) -> Result<(Picture, usize), Incomplete> {
    let mut read = BTreeMap::new();
    let mut unfit = BTreeMap::new();
    for place in places {
        let folder = place.folder(phase(place)?.unwrap_or(Phase::Open));
        for (node, file) in files(place.storage(), &folder)? {
            match of_node(place.storage(), &file, node, against.state()) {
                Ok(found) => {
                    let later = |known: &FloorRead| known.picture.index() < found.picture.index();
                    if read.get(&node).is_none_or(later) {
                        read.insert(node, found);
                    }
                }
                Err(error) => drop(unfit.insert(node, format!("{}: {error}", file.display()))),
            }
        }
    }
    let tokens_until = read.values().map(|found| found.picture.tokens_until()).max().unwrap_or(0);
    let last = read.values().map(|found| &found.picture).max_by_key(|picture| picture.index());
    let Some(last) = last.cloned() else {
        let why = unfit.into_values().chain(["no floor can be read".to_owned()]).collect();
        return Err(Incomplete::Lacking(why));
    };
    let mut lacking: Vec<String> = against.contradiction(&last).into_iter().collect();
    if !last.head().is_some_and(|head| head.required) {
        lacking.push(
            "revocation-floor.required was off when the floor ended: nodes acknowledged what is on none"
                .to_owned(),
        );
    }
    for (node, name) in last.nodes().filter(|(node, _)| !read.contains_key(node)) {
        let why = unfit.remove(&node).unwrap_or_else(|| "its floor is not there".to_owned());
        lacking.push(format!("node {name} (id {node}): {why}"));
    }
    if !lacking.is_empty() {
        return Err(Incomplete::Lacking(lacking));
    }
    let nodes = last.nodes().count();
    Ok((last.with_tokens_until(tokens_until), nodes))
}

fn of_node(storage: &dyn Storage, file: &Path, node: u64, state: &State) -> Result<FloorRead, Unfit> {
    let found = reading::read(storage, file)?;
    let header = &found.header;
    let service = state.service_id().map(ToString::to_string).unwrap_or_default();
    if header.node == node && header.generation == state.generation() && header.service_id == service {
        return Ok(found);
    }
    let why = format!(
        "it is the floor of node {} of cluster {} in generation {}",
        header.node, header.service_id, header.generation
    );
    Err(Unfit::Content { number: 0, why })
}

/// The floors in a folder, by node.
fn files(storage: &dyn Storage, folder: &Path) -> Result<Vec<(u64, PathBuf)>, Incomplete> {
    let mut files = Vec::new();
    for name in storage.names(folder).map_err(io(folder))? {
        if let Some(node) = name.strip_suffix(".floor").and_then(|name| name.parse().ok()) {
            files.push((node, folder.join(&name)));
        }
    }
    files.sort();
    Ok(files)
}
