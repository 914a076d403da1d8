//! Settings, identity, and who may read what.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::Finding;
use crate::home::settings::NodeSettings;
use crate::home::{HomeError, Identity, Paths, Superseded};

const SETTINGS: &str = "settings";
const FILES: &str = "files";
/// With fewer open files there are fewer places for clients than the default allows.
const OPEN_FILES_USUAL: u64 = 8192 + 256;

/// The settings, if they can be read.
pub(super) fn settings(paths: &Paths, findings: &mut Vec<Finding>) -> Option<NodeSettings> {
    match Identity::read_if_present(paths) {
        Ok(Some(identity)) => findings.push(who_lives_here(paths, &identity)),
        Ok(None) => findings.push(Finding::problem(
            SETTINGS,
            format!("no node lives in {}", paths.root().display()),
            "is this the right --home? `circlet init` and `circlet join` make one",
        )),
        Err(error) => findings.push(of_home(&error)),
    }
    match NodeSettings::read(paths) {
        Ok(settings) => {
            findings.push(Finding::fine(SETTINGS, format!("{} is in order", paths.node_yml().display())));
            open_files(&settings, findings);
            Some(settings)
        }
        Err(error) => {
            findings.push(of_home(&error));
            None
        }
    }
}

fn who_lives_here(paths: &Paths, identity: &Identity) -> Finding {
    match Superseded::of(paths, identity) {
        Ok(None) => {
            let who = format!("node {} of cluster {} lives here", identity.node_id, identity.service_id);
            Finding::fine(SETTINGS, who)
        }
        Ok(Some(told)) => of_home(&told.error(paths, identity)),
        Err(error) => of_home(&error),
    }
}

/// A damaged home says itself what to do.
fn of_home(error: &HomeError) -> Finding {
    let remedy =
        error.remedy().unwrap_or_else(|| "put it right, or take it from a backup of this node".to_owned());
    Finding::problem(SETTINGS, error.to_string(), remedy)
}

fn open_files(settings: &NodeSettings, findings: &mut Vec<Finding>) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let wanted = OPEN_FILES_USUAL.min(settings.connections.all as u64 + 256);
    if let Some(most) = limit.filter(|most| *most < wanted) {
        findings.push(Finding::warning(
            SETTINGS,
            format!("a process of this user may open {most} files, and {wanted} are needed for all clients"),
            "raise the limit (LimitNOFILE= of the systemd unit, or limits.conf)",
        ));
    }
}

/// Secrets are for their owner alone, and everything belongs to one user.
pub(super) fn modes(paths: &Paths, findings: &mut Vec<Finding>) {
    let before = findings.len();
    let owner = fs::metadata(paths.root()).map(|home| home.uid()).ok();
    for secret in [paths.master_key(), paths.node_key(), paths.identity(), paths.security()] {
        let Ok(metadata) = fs::metadata(&secret) else {
            let known =
                "copy it from a backup of this node; etc/security/master.key is the same on every node";
            findings.push(Finding::problem(FILES, format!("{} is missing", secret.display()), known));
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let right = if metadata.is_dir() { "700" } else { "600" };
            findings.push(Finding::problem(
                FILES,
                format!("{} may be read by others (mode {mode:03o})", secret.display()),
                format!("chmod {right} {}; who has read it may have to be locked out", secret.display()),
            ));
        }
        if owner.is_some_and(|owner| owner != metadata.uid()) {
            findings.push(Finding::problem(
                FILES,
                format!("{} belongs to another user than the home", secret.display()),
                format!("chown --recursive --reference={0} {0}", paths.root().display()),
            ));
        }
    }
    for folder in [paths.data(), paths.logs(), paths.keys()] {
        writable(&folder, findings);
    }
    if findings.len() == before {
        findings.push(Finding::fine(FILES, "secrets are for their owner alone, and folders can be written"));
    }
}

fn writable(folder: &Path, findings: &mut Vec<Finding>) {
    if !folder.exists() {
        return;
    }
    if let Err(error) = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK) {
        findings.push(Finding::problem(
            FILES,
            format!("{} can't be written: {error}", folder.display()),
            "run this as the user of the node; else see to the rights, and whether the disk is mounted read-only",
        ));
    }
}
