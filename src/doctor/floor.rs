//! The node's revocation floor: whether its storage is there, and whether what is on it would prove anything.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use circlet_token::ServiceId;

use super::Finding;
use crate::floor::place::{Phase, Place};
use crate::floor::reading;
use crate::floor::storage::Root;
use crate::home::settings::NodeSettings;
use crate::home::{Identity, Paths};

const FLOOR: &str = "revocation floor";
const MOUNT: &str = "mount the storage that revocation-floor.dir names, for the user of the node";

pub(super) fn look(paths: &Paths, settings: Option<&NodeSettings>, findings: &mut Vec<Finding>) {
    let Some(dir) = settings.and_then(|settings| settings.floor_dir.as_deref()) else { return };
    let identity = Identity::read_if_present(paths).ok().flatten();
    let service = identity.as_ref().and_then(|identity| ServiceId::parse(&identity.service_id).ok());
    let (Some(identity), Some(service)) = (identity, service) else { return };
    let storage = match fs::metadata(dir) {
        Ok(storage) => storage,
        Err(error) => {
            findings.push(Finding::problem(FLOOR, format!("{}: {error}", dir.display()), MOUNT));
            return;
        }
    };
    if fs::metadata(paths.data()).is_ok_and(|data| data.dev() == storage.dev()) {
        findings.push(Finding::warning(
            FLOOR,
            format!("{} is on the file system of data/", dir.display()),
            "keep it on storage that outlives this machine: what takes the home would take the floor",
        ));
    }
    findings.push(of_file(dir, service.ulid(), &identity));
}

fn of_file(dir: &Path, ulid: &str, identity: &Identity) -> Finding {
    let place = Place::new(&Root::real(dir), ulid, identity.generation);
    if place.is_closed().unwrap_or(false) {
        let why = format!("{} was sealed: the cluster was restored", place.folder(Phase::Open).display());
        return Finding::problem(FLOOR, why, "don't run this node; it is of the generation before");
    }
    let file = place.file(identity.node_id, Phase::Open);
    match reading::read(place.storage(), &file) {
        Ok(read) => {
            let (file, index) = (file.display(), read.picture.index());
            Finding::fine(
                FLOOR,
                format!("{file} holds all that is refused, last changed by log entry {index}"),
            )
        }
        Err(error) => Finding::problem(
            FLOOR,
            format!("{}: {error}", file.display()),
            "see to the storage, then start the node: it writes its floor anew",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::look;
    use crate::doctor::Verdict;
    use crate::home::settings::NodeSettings;
    use crate::home::{Home, Identity};

    #[test]
    fn storage_that_is_not_there_or_goes_with_the_home_is_told() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::found(&root.path().join("home")).unwrap_or_else(|error| panic!("{error}"));
        let identity = Identity {
            node_id: 1,
            service_id: "jfrt@01hq0000000000000000000001".to_owned(),
            generation: 1,
            log_begun: true,
            introduced: Vec::new(),
        };
        identity.write(&home.paths).unwrap();
        let storage = root.path().join("storage");
        let text = format!("name: one\nrevocation-floor.dir: {}\n", storage.display());
        std::fs::write(home.paths.node_yml(), text).unwrap();
        let settings = NodeSettings::read(&home.paths).unwrap();
        let found = || {
            let mut findings = Vec::new();
            look(&home.paths, Some(&settings), &mut findings);
            let told = findings.into_iter().map(|finding| (finding.verdict, finding.found));
            told.collect::<Vec<_>>()
        };
        assert!(matches!(found().as_slice(), [(Verdict::Problem, why)] if why.contains("No such file")));
        std::fs::create_dir(&storage).unwrap();
        let told = found();
        let [(Verdict::Warning, near), (Verdict::Problem, none)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert!(near.contains("is on the file system of data/") && none.contains("1.floor"), "{told:?}");
        std::fs::create_dir(storage.join("01hq0000000000000000000001.1.sealed")).unwrap();
        assert!(found()[1].1.contains("was sealed"), "{:?}", found());
    }
}
