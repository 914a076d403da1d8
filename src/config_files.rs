//! The access configuration as files, on every node: `access.config.yml` is the configuration, for an operator to edit;
//! `access.config.import.yml` replaces it, `access.config.patch.yml` changes some settings of it, and
//! `access.config.latest.yml` shows what holds (contract section 1.11).
//!
//! A file is taken as a whole or not at all. What was taken is put aside under another name; what can't be is left where
//! it is, and said in the log and in the node's status. Settings that this version doesn't know are left out with a
//! warning: files of other versions have them.

mod edited;
mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use circlet_authority::{Action, Actor, Config, Outcome, Refusal, SetConfig, State};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::audit::{self, Audit, Change, Entity, Line};
use crate::clock;
use crate::cluster::Cluster;
use crate::floor::NoFloor;
use crate::home::{self, Paths};
use crate::watched::{self, Watched};
use edited::Manifest;
use read::{Import, Kind};

/// A file must have stayed as it is for so long, so that half-written ones are waited for.
const SETTLE: Duration = Duration::from_secs(1);
/// How often the cluster's side is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A change that another change overtook is tried again this often.
const ATTEMPTS_MAX: usize = 5;

/// Imports and exports. Never returns.
pub(crate) async fn run(cluster: Cluster, paths: Paths, poll: Duration, audit: Audit, watched: Arc<Watched>) {
    let changed = Arc::new(Notify::new());
    // Kept as long as the loop runs; without it, as on some file systems, polling alone must do.
    let _watcher = watched::watch(&paths.etc(), &changed);
    let manifest = Manifest::read(&paths.config_manifest());
    let mut keeper =
        Keeper { cluster, paths, audit, watched, manifest, refused: BTreeMap::new(), shown: None };
    let mut looked = None;
    loop {
        if looked.is_none_or(|at: Instant| at.elapsed() >= poll) {
            keeper.import(Kind::Replace).await;
            keeper.import(Kind::Patch).await;
            keeper.import(Kind::Edit).await;
            looked = Some(Instant::now());
        }
        keeper.export();
        keeper.export_for_edits();
        tokio::select! {
            () = changed.notified() => looked = None,
            () = tokio::time::sleep(LOOK.min(poll)) => {}
        }
    }
}

struct Keeper {
    cluster: Cluster,
    paths: Paths,
    audit: Audit,
    watched: Arc<Watched>,
    /// What the file for edits held when this node wrote it; `None` if it never did.
    manifest: Option<Manifest>,
    /// Files that can't be taken, as they were; they are not tried again before they change.
    refused: BTreeMap<&'static str, Vec<u8>>,
    /// The version of the configuration that the latest file shows.
    shown: Option<u64>,
}

impl Keeper {
    fn path(&self, kind: Kind) -> PathBuf {
        match kind {
            Kind::Replace => self.paths.config_import(),
            Kind::Patch => self.paths.config_patch(),
            Kind::Edit => self.paths.config(),
        }
    }

    /// Takes a file, if there is one.
    async fn import(&mut self, kind: Kind) {
        let (file, name) = (self.path(kind), kind.file_name());
        if kind == Kind::Edit && self.is_own(&file) {
            self.refused.remove(name);
            self.watched.problems.clear(name);
            return;
        }
        let bytes = match settled(&file).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                if !file.exists() {
                    self.refused.remove(name);
                    self.watched.problems.clear(name);
                }
                return;
            }
            Err(error) => {
                self.watched.problems.set(name, format!("it can't be read: {error}"));
                return;
            }
        };
        if self.refused.get(name) == Some(&bytes) || self.cluster.isolation_ms().is_none() {
            return;
        }
        match self.take(kind, &bytes).await {
            Ok(()) => {
                self.refused.remove(name);
                self.watched.problems.clear(name);
            }
            Err(Failed::Refused(why)) => {
                self.watched.problems.set(name, format!("nothing of it was taken: {why}"));
                self.refused.insert(name, bytes);
            }
            Err(Failed::NotNow(why)) => tracing::warn!(file = %name, %why, "the configuration waits"),
        }
    }

    async fn take(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Failed> {
        let import = Import::read(kind, bytes).map_err(Failed::Refused)?;
        for unknown in &import.unknown {
            tracing::warn!(file = %kind.file_name(), "left out: {unknown}");
        }
        self.audit.admit_write().map_err(|refused| Failed::NotNow(refused.to_string()))?;
        for _ in 0..ATTEMPTS_MAX {
            let published = self.cluster.fresh().await.map_err(|error| Failed::NotNow(error.to_string()))?;
            let before = published.view.config();
            let config = match kind {
                Kind::Edit => self.merged(&import, bytes, &published.view),
                Kind::Replace | Kind::Patch => import.apply_to(before),
            };
            let config = config.map_err(Failed::Refused)?;
            let data = differences(before, &config);
            if kind == Kind::Edit && data.is_empty() {
                return self.show_for_edits(&published.view).map_err(Failed::Refused);
            }
            self.cluster.admit_config(&published.view, &config)?;
            let set = SetConfig { config, if_version: Some(published.view.config_version()) };
            let decided = self.cluster.decide(Actor::System, Action::SetConfig(Box::new(set))).await;
            match decided.map_err(|error| Failed::NotNow(error.to_string()))?.outcome {
                Outcome::Refused(refusal) if matches!(*refusal, Refusal::ConfigChanged { .. }) => {}
                Outcome::Refused(refusal) => return Err(Failed::Refused(refusal.to_string())),
                _ => return self.taken(kind, &data),
            }
        }
        Err(Failed::NotNow("the configuration changes all the time".to_owned()))
    }

    /// The file has been taken: it keeps its content under another name, or shows what holds from now on.
    fn taken(&mut self, kind: Kind, changed: &Map<String, Value>) -> Result<(), Failed> {
        let data = json!({"changed": changed});
        tracing::info!(file = %kind.file_name(), %data, "configuration imported");
        let view = Arc::clone(&self.cluster.published().view);
        if view.config().audit_enabled {
            self.audit.record(&Line::by_node(Change::Updated, Entity::Config, "access.config", data));
        }
        let file = self.path(kind);
        let done = if kind == Kind::Edit {
            self.show_for_edits(&view)
        } else {
            let mut aside = file.as_os_str().to_owned();
            aside.push(".imported");
            std::fs::rename(&file, &aside).map_err(|error| error.to_string())
        };
        done.map_err(|why| Failed::Refused(format!("it was taken, but can't be put aside: {why}")))
    }

    /// Shows what holds.
    fn export(&mut self) {
        let view = Arc::clone(&self.cluster.published().view);
        let version = view.config_version();
        let file = self.paths.config_latest();
        if version == 0 || (self.shown == Some(version) && file.exists()) {
            return;
        }
        match home::write_public(&file, text_of(&view, LOOK_ONLY).as_bytes()) {
            Ok(()) => {
                self.shown = Some(version);
                self.watched.problems.clear(LATEST);
            }
            Err(error) => self.watched.problems.set(LATEST, error.to_string()),
        }
    }
}

const LATEST: &str = "etc/access.config.latest.yml";
const LOOK_ONLY: &str = "# To change it, edit access.config.yml beside this file, or place access.config.import.yml \
                         (replaces it) or\n# access.config.patch.yml (changes some settings) there, or use `circlet \
                         config set`. Changes of this file have no effect.\n";

/// Why a file was not taken.
enum Failed {
    /// It never will be, as it is.
    Refused(String),
    /// It may be later.
    NotNow(String),
}

impl From<NoFloor> for Failed {
    fn from(none: NoFloor) -> Self {
        let why = format!("{none}; {}", NoFloor::REMEDY);
        if none.begins { Self::NotNow(why) } else { Self::Refused(why) }
    }
}

/// The content of a file that has stayed as it is for a while; `None` if there is none, or it moves.
async fn settled(file: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let Some(first) = content(file)? else { return Ok(None) };
    tokio::time::sleep(SETTLE).await;
    Ok(content(file)?.filter(|second| *second == first))
}

fn content(file: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn differences(before: &Config, after: &Config) -> Map<String, Value> {
    let values = Config::settings().iter().filter_map(|setting| {
        let (from, to) = (before.get(setting.name).ok()?, after.get(setting.name).ok()?);
        (from != to).then(|| (setting.name.to_owned(), json!({"from": from, "to": to})))
    });
    values.collect()
}

/// Every setting with its value, as `access.config.import.yml` takes it, after `hint`, which is a comment.
fn text_of(view: &State, hint: &str) -> String {
    let config = view.config();
    let settings = Config::settings().iter().map(|setting| {
        let value = config.get(setting.name).unwrap_or_default();
        let default = setting.default_text();
        let default = if value == default { String::new() } else { format!(" (default: {default})") };
        format!("\n# {}; {}{default}\n{}: {value}\n", setting.doc, setting.unit.as_str(), setting.name)
    });
    format!(
        "# The access configuration of {}, version {}, written {}.\n{hint}{}",
        view.service_id().map(ToString::to_string).unwrap_or_default(),
        view.config_version(),
        audit::timestamp(clock::wall_ms()),
        settings.collect::<String>()
    )
}
