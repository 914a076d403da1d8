//! Who changed the configuration, when, and what.

use super::{Config, Setting, settings};
use crate::codec::wire_struct;

/// One change of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// The version that it led to.
    pub version: u64,
    /// The state's time, milliseconds.
    pub at_ms: u64,
    /// Who asked for it: a user's name, the whole subject of a foreign principal, or `system` for a file on a node.
    pub by: String,
    /// The numbers of the settings that changed, each with the value before and after.
    pub(crate) changes: Vec<(u32, (i64, i64))>,
}
wire_struct!(ConfigChange { version, at_ms, by, changes });

impl ConfigChange {
    /// The difference between two configurations.
    pub(crate) fn between(before: &Config, after: &Config) -> Vec<(u32, (i64, i64))> {
        let pairs = settings::TABLE
            .iter()
            .map(|setting| (setting.number, (setting.read(before), setting.read(after))));
        pairs.filter(|(_, (from, to))| from != to).collect()
    }

    /// The settings that changed, with the value before and after as text.
    pub fn settings(&self) -> impl Iterator<Item = (&'static Setting, String, String)> {
        self.changes.iter().filter_map(|(number, (from, to))| {
            let setting = settings::TABLE.iter().find(|setting| setting.number == *number)?;
            Some((setting, setting.text(*from), setting.text(*to)))
        })
    }
}
