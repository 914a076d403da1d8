//! From the text of a file to a configuration.

use std::collections::BTreeMap;

use circlet_authority::{Config, ConfigError};
use serde_json::Value;

/// What a file does to the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything that it doesn't name gets its default.
    Replace,
    /// Everything that it doesn't name stays.
    Patch,
    /// As `Replace`, but only what differs from what the node wrote there is meant.
    Edit,
}

impl Kind {
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Replace => "etc/access.config.import.yml",
            Self::Patch => "etc/access.config.patch.yml",
            Self::Edit => "etc/access.config.yml",
        }
    }
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Import {
    kind: Kind,
    values: BTreeMap<String, String>,
    /// What it says of settings that are not known here, one line each.
    pub(super) unknown: Vec<String>,
}

impl Import {
    /// Reads a file; an error says what is wrong with the first value that can't be used.
    pub(super) fn read(kind: Kind, bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let is_empty = text.lines().all(|line| matches!(line.trim().as_bytes(), [] | [b'#', ..] | b"---"));
        if is_empty {
            return Err("it names no setting".to_owned());
        }
        let document: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let mut found = BTreeMap::new();
        flatten("", &document, &mut found)?;
        let defaults = Config::default();
        let (mut values, mut unknown) = (BTreeMap::new(), Vec::new());
        for (name, value) in found {
            match (defaults.get(&name), value) {
                (Err(error @ ConfigError::Unknown { .. }), _) => unknown.push(error.to_string()),
                (_, Some(value)) => drop(values.insert(name, value)),
                (_, None) => return Err(format!("{name} has no single value")),
            }
        }
        if values.is_empty() {
            return Err(format!("it names no setting that is known here: {}", unknown.join("; ")));
        }
        Ok(Self { kind, values, unknown })
    }

    /// The configuration that the file makes of the present one; an error names the first rule that is broken.
    pub(super) fn apply_to(&self, present: &Config) -> Result<Config, String> {
        let mut config = match self.kind {
            Kind::Replace | Kind::Edit => Config::default(),
            Kind::Patch => present.clone(),
        };
        for (name, value) in &self.values {
            config.set(name, value).map_err(|error| error.to_string())?;
        }
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }
}

/// `{a: {b: 1}}` and `{a.b: 1}` are the same setting `a.b`. A list, or nothing, is no value.
fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, Option<String>>) -> Result<(), String> {
    let value = match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, into)?;
            }
            return Ok(());
        }
        _ if prefix.is_empty() => return Err("it is not a list of `name: value`".to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Array(_) | Value::Null => None,
    };
    match into.insert(prefix.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(format!("{prefix} is named twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Import, Kind};
    use circlet_authority::Config;

    fn read(kind: Kind, text: &str) -> Result<Config, String> {
        let mut present = Config::default();
        present.set("token.max-expiry", "40000000").expect("a setting");
        Import::read(kind, text.as_bytes())?.apply_to(&present)
    }

    fn value(config: &Config, name: &str) -> String {
        config.get(name).expect("a setting")
    }

    #[test]
    fn an_import_replaces_and_a_patch_changes() {
        let text = "token:\n  default-expiry: 3600\n  persistency:\n    persistent-expiry-threshold: -1\nsecurity.audit.enabled: false\n";
        for (kind, max_expiry) in [(Kind::Replace, "0"), (Kind::Patch, "40000000")] {
            let config = read(kind, text).expect("a configuration");
            assert_eq!(value(&config, "token.default-expiry"), "3600");
            assert_eq!(value(&config, "token.persistency.persistent-expiry-threshold"), "-1");
            assert_eq!(value(&config, "security.audit.enabled"), "false");
            assert_eq!(value(&config, "token.max-expiry"), max_expiry);
        }
    }

    #[test]
    fn the_names_of_the_guide_are_understood_at_the_top() {
        let config = read(Kind::Replace, "minimum-revocable-expiry: 120\n").expect("a configuration");
        assert_eq!(value(&config, "token.minimum-revocable-expiry"), "120");
    }

    #[test]
    fn settings_of_other_versions_are_left_out_and_named() {
        let text =
            "http:\n  port: 8340\ntoken.default-expire: 5\ntoken.default-expiry: 7200\nsecurity.tls: [1]\n";
        let import = Import::read(Kind::Replace, text.as_bytes()).expect("a configuration");
        assert_eq!(import.unknown.len(), 3, "{:?}", import.unknown);
        assert!(import.unknown.iter().any(|line| line.contains("the nearest is token.default-expiry")));
        let config = import.apply_to(&Config::default()).expect("a configuration");
        assert_eq!(value(&config, "token.default-expiry"), "7200");
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_is_taken() {
        for (text, why) in [
            ("", "names no setting"),
            ("# only talk\n---\n", "names no setting"),
            ("token.default-expiry", "not a list"),
            ("- token.default-expiry\n", "not a list"),
            ("http.port: 8340\n", "names no setting that is known here"),
            ("token.default-expiry: soon\n", "not a whole number"),
            ("token.default-expiry: -5\n", "at least 0"),
            ("token.default-expiry:\n", "has no single value"),
            ("token.default-expiry: [1, 2]\n", "has no single value"),
            ("token.default-expiry: 1\ntoken:\n  default-expiry: 2\n", "named twice"),
            ("token:\n  max-expiry: 60\n", "at least token.default-expiry"),
            ("token: {default-expiry: 7", ""),
        ] {
            let error = read(Kind::Replace, text).expect_err(text);
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!(Import::read(Kind::Patch, b"\xff\xfe").is_err());
    }
}
