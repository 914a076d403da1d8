//! The table of settings holds together.

use std::collections::BTreeSet;

use circlet_authority::{Config, ConfigError};

#[test]
fn every_setting_is_documented_and_can_be_read_and_written_by_name() {
    let names: BTreeSet<&str> = Config::settings().iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), Config::settings().len());
    for setting in Config::settings() {
        assert!(!setting.doc.is_empty() && !setting.doc.contains('\n'), "{}", setting.name);
        let mut config = Config::default();
        assert_eq!(config.get(setting.name).as_ref(), Ok(&setting.default_text()));
        let other = if setting.default_text() == "true" { "false" } else { "1" };
        let other = if setting.default_text() == "false" { "true" } else { other };
        config.set(setting.name, other).unwrap();
        assert_eq!(config.get(setting.name).as_deref(), Ok(other));
        let differ =
            Config::settings().iter().filter(|one| config.get(one.name) != Config::default().get(one.name));
        let differ: Vec<&str> = differ.map(|one| one.name).filter(|name| *name != setting.name).collect();
        assert!(differ.is_empty(), "{} also writes {differ:?}", setting.name);
    }
    assert_eq!(Config::default().validate(), Ok(()));
}

#[test]
fn an_unknown_setting_names_the_nearest_known_one() {
    for (typed, meant) in [
        ("token.max-expire", "token.max-expiry"),
        ("refresh-expiry", "token.refresh-expiry"),
        ("verify.max_isolation", "verify.max-isolation"),
    ] {
        let unknown = ConfigError::Unknown { name: typed.to_owned(), nearest: meant };
        assert_eq!(Config::default().get(typed), Err(unknown));
    }
}
