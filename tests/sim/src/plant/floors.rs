//! Planted bugs in floors: what is written to them, and what is taken for enough.

use std::sync::Arc;

use circlet_authority::{Picture, State};

use super::Plant;
use super::states::without_watermarks;
use crate::floor::place::{Phase, Place};
use crate::floor::reading;
use crate::floor::storage::Root;
use crate::scope::Scope;

/// The view as a floor is told of it, which is another one where that is planted.
pub(crate) fn on_floor(scope: &Scope, view: &Arc<State>) -> Arc<State> {
    let planted = scope.history().plant() == Plant::UnmarkedFloor;
    let unmarked = planted.then(|| without_watermarks(view)).flatten();
    unmarked.map_or_else(|| Arc::clone(view), Arc::new)
}

/// What the floors hold that can be read, where they are taken for all there were.
pub(crate) fn part_of_floors(plant: Plant, roots: &[Root], before: &State) -> Option<Picture> {
    let service = before.service_id().filter(|_| plant == Plant::PartOfFloors)?;
    let files = roots.iter().filter_map(|root| {
        let place = Place::new(root, service.ulid(), before.generation());
        let folder = place.folder(Phase::Open);
        let file = root
            .storage
            .names(&folder)
            .ok()?
            .into_iter()
            .find(|name| name.strip_suffix(".floor").is_some())?;
        reading::read(&*root.storage, &folder.join(file)).ok()
    });
    files.map(|read| read.picture).max_by_key(Picture::index)
}
