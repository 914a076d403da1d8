//! `access.config.yml`, which the node writes and an operator may edit: what is the node's own writing, and what an edit
//! means.
//!
//! An edit is what differs from what the node wrote there. Only that is taken, on top of what holds by now: a node that was
//! down while the cluster changed has an old file, and must not bring the old settings back.

use std::collections::BTreeMap;
use std::path::Path;

use circlet_authority::{Config, State};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::read::{Import, Kind};
use super::{Keeper, content, text_of};
use crate::home::{self, HomeError};
use crate::seal::hex;

const HINT: &str = "# Edit it here, on any node: a valid edit becomes the configuration of the whole cluster at once, and an \
                    invalid one is\n# kept and said in the log. What is removed gets its default.\n";
/// The version of a cluster's configuration that nobody has changed yet.
const FIRST_VERSION: u64 = 1;

/// What the node has written to the file: the last text, and the one before it, in case the last never got there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    written: Vec<Written>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    version: u64,
    /// SHA-256 of the text, hexadecimal.
    digest: String,
    settings: BTreeMap<String, String>,
}

impl Manifest {
    /// The memory of an earlier run; `None` if there is none, or none that can be read.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let bytes = home::read(file, "it is the memory of access.config.yml").ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(%error, "the memory of access.config.yml is damaged"))
            .ok()
    }

    /// Whether this is what the node wrote, unchanged.
    pub(super) fn wrote(&self, text: &[u8]) -> bool {
        let digest = digest(text);
        self.written.iter().any(|written| written.digest == digest)
    }

    fn version(&self) -> Option<u64> {
        self.written.last().map(|written| written.version)
    }

    /// What the file held before it was edited: the text says of which version it is.
    fn before(&self, edited: &[u8]) -> Option<Config> {
        let edited = String::from_utf8_lossy(edited);
        let says = |written: &&Written| edited.contains(&format!(", version {}, written ", written.version));
        let before = self.written.iter().rev().find(says).or(self.written.last())?;
        let mut config = Config::default();
        for (name, value) in &before.settings {
            // A setting that this version doesn't know any more is nobody's edit.
            let _ = config.set(name, value);
        }
        Some(config)
    }

    /// The memory with one text more, to be kept before the text is written.
    fn with(&self, version: u64, config: &Config, text: &[u8]) -> Self {
        let settings = Config::settings().iter();
        let settings =
            settings.filter_map(|setting| Some((setting.name.to_owned(), config.get(setting.name).ok()?)));
        let last = Written { version, digest: digest(text), settings: settings.collect() };
        let before = self.written.last().filter(|before| before.digest != last.digest).cloned();
        Self { written: before.into_iter().chain([last]).collect() }
    }

    fn write(&self, file: &Path) -> Result<(), HomeError> {
        let mut text = serde_json::to_vec_pretty(self).expect("numbers and texts have a JSON form");
        text.push(b'\n');
        home::write_public(file, &text)
    }
}

fn digest(text: &[u8]) -> String {
    hex(&Sha256::digest(text))
}

impl Keeper {
    /// The configuration that an edit makes of the present one.
    pub(super) fn merged(&self, edit: &Import, bytes: &[u8], view: &State) -> Result<Config, String> {
        let before = match &self.manifest {
            Some(manifest) => manifest.before(bytes),
            // Before the first change there is nothing that an old file could bring back.
            None => (view.config_version() == FIRST_VERSION).then(Config::default),
        };
        let before = before.ok_or_else(|| {
            format!(
                "this node did not write it, and can't tell what was edited; rename it to {} to take it as it is, or \
                 remove it",
                Kind::Replace.file_name()
            )
        })?;
        merge(&before, &edit.apply_to(&Config::default())?, view.config())
    }

    /// Whether the file holds what this node wrote there.
    pub(super) fn is_own(&self, file: &Path) -> bool {
        let text = content(file).ok().flatten();
        text.is_some_and(|text| self.manifest.as_ref().is_some_and(|manifest| manifest.wrote(&text)))
    }

    /// Writes the file if what holds is not in it, unless an edit is waiting there.
    pub(super) fn export_for_edits(&mut self) {
        let view = std::sync::Arc::clone(&self.cluster.published().view);
        let (version, file) = (view.config_version(), self.paths.config());
        let shown = self.manifest.as_ref().and_then(Manifest::version) == Some(version);
        if version == 0 || (shown && file.exists()) {
            return;
        }
        let free = self.is_own(&file) || matches!(content(&file), Ok(None));
        if free && let Err(why) = self.show_for_edits(&view) {
            self.watched.problems.set(Kind::Edit.file_name(), why);
        }
    }

    /// Writes what holds to the file.
    pub(super) fn show_for_edits(&mut self, view: &State) -> Result<(), String> {
        let text = text_of(view, HINT);
        let memory = self.manifest.clone().unwrap_or_default();
        let memory = memory.with(view.config_version(), view.config(), text.as_bytes());
        memory.write(&self.paths.config_manifest()).map_err(|error| error.to_string())?;
        self.manifest = Some(memory);
        home::write_public(&self.paths.config(), text.as_bytes()).map_err(|error| error.to_string())
    }
}

/// What `edited` changes of `before`, done to `present`.
fn merge(before: &Config, edited: &Config, present: &Config) -> Result<Config, String> {
    let mut merged = present.clone();
    for setting in Config::settings() {
        let name = setting.name;
        let of = |config: &Config| config.get(name).unwrap_or_default();
        let (from, to, now) = (of(before), of(edited), of(present));
        if to == from || to == now {
            continue;
        }
        if now != from {
            return Err(format!(
                "it changes {name} from {from} to {to}, and the cluster has it at {now} meanwhile; remove the file, and \
                 edit the one that the node writes then"
            ));
        }
        merged.set(name, &to).map_err(|error| error.to_string())?;
    }
    merged.validate().map_err(|error| error.to_string())?;
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::{Manifest, merge};
    use circlet_authority::Config;

    fn config(settings: &[(&str, &str)]) -> Config {
        let mut config = Config::default();
        for (name, value) in settings {
            config.set(name, value).expect("a setting");
        }
        config
    }

    const DAY: (&str, &str) = ("token.default-expiry", "86400");
    const HOUR: (&str, &str) = ("token.default-expiry", "3600");
    const NO_REFRESH: (&str, &str) = ("token.allow-refreshable", "false");

    #[test]
    fn only_what_was_edited_is_meant() {
        let merged = merge(&config(&[]), &config(&[NO_REFRESH]), &config(&[DAY]));
        assert_eq!(merged, Ok(config(&[DAY, NO_REFRESH])), "the cluster's newer setting stays");
        assert_eq!(
            merge(&config(&[DAY]), &config(&[]), &config(&[DAY])),
            Ok(config(&[])),
            "removed: the default"
        );
        assert_eq!(
            merge(&config(&[]), &config(&[]), &config(&[DAY])),
            Ok(config(&[DAY])),
            "not edited at all"
        );
        assert_eq!(
            merge(&config(&[]), &config(&[DAY]), &config(&[DAY])),
            Ok(config(&[DAY])),
            "both did the same"
        );
    }

    #[test]
    fn two_minds_about_one_setting_are_told_and_nothing_of_the_edit_is_taken() {
        let why = merge(&config(&[]), &config(&[HOUR, NO_REFRESH]), &config(&[DAY])).expect_err("two minds");
        assert!(why.contains("from 31536000 to 3600") && why.contains("at 86400"), "{why}");
        let why = merge(&config(&[]), &config(&[("token.max-expiry", "1")]), &config(&[]))
            .expect_err("out of range");
        assert!(why.contains("token.max-expiry"), "{why}");
    }

    #[test]
    fn the_text_on_the_disk_says_before_which_version_an_edit_began() {
        let text =
            |version: u64| format!("# The access configuration of x, version {version}, written then.\n");
        let memory = Manifest::default()
            .with(1, &config(&[]), text(1).as_bytes())
            .with(2, &config(&[DAY]), text(2).as_bytes())
            .with(3, &config(&[HOUR]), text(3).as_bytes());
        assert!(!memory.wrote(text(1).as_bytes()), "two are enough");
        assert!(memory.wrote(text(2).as_bytes()) && memory.wrote(text(3).as_bytes()));
        let edited = |version| format!("{}token.allow-refreshable: false\n", text(version));
        assert!(!memory.wrote(edited(3).as_bytes()));
        assert_eq!(
            memory.before(edited(2).as_bytes()),
            Some(config(&[DAY])),
            "the newer one never got to the disk"
        );
        assert_eq!(memory.before(b"token.allow-refreshable: false"), Some(config(&[HOUR])));
    }
}
