//! What the settings of a node accept and refuse.

use super::{HomeError, LogFormat, NodeSettings, Paths, SETTINGS, TlsChoice, write_or_read};
use std::path::Path;
use std::time::Duration;

fn parse(text: &str) -> Result<NodeSettings, HomeError> {
    NodeSettings::parse(Path::new("etc/node.yml"), text, &|_| None)
}

fn error(text: &str) -> (String, String) {
    let error = parse(text).expect_err(text);
    (error.to_string(), error.remedy().unwrap_or_default())
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in ["", "# nothing\n", "\n"] {
        let settings = parse(text).unwrap();
        assert_eq!(settings.name, "node1");
        assert_eq!(settings.peer_advertise, "127.0.0.1:8041");
        assert_eq!(settings.http_advertise, "http://127.0.0.1:8040");
        assert_eq!(settings.tls, TlsChoice::Auto);
        assert!(!settings.is_https());
    }
}

#[test]
fn nested_and_dotted_names_mean_the_same() {
    let nested = "name: a\nhttp:\n  listen: 127.0.0.1:1\n  tls:\n    certificate: c.pem\n    key: k.pem\n";
    let dotted = "name: a\nhttp.listen: 127.0.0.1:1\nhttp.tls.certificate: c.pem\nhttp.tls.key: k.pem\n";
    for text in [nested, dotted] {
        let settings = parse(text).unwrap();
        assert!(
            matches!(&settings.tls, TlsChoice::Files { certificate, .. } if certificate == Path::new("c.pem"))
        );
        assert_eq!(settings.http_advertise, "https://127.0.0.1:1");
    }
}

#[test]
fn the_environment_has_the_last_word() {
    let environment = |name: &str| match name {
        "CIRCLET_HTTP_LISTEN" => Some("127.0.0.1:9".to_owned()),
        "CIRCLET_RAFT_HEARTBEAT_MS" => Some("20".to_owned()),
        "CIRCLET_TRUSTED_PROXIES" => Some("10.0.0.0/8, 127.0.0.1".to_owned()),
        _ => None,
    };
    let text = "http.listen: 127.0.0.1:1\nlog.format: json";
    let settings = NodeSettings::parse(Path::new("f"), text, &environment).unwrap();
    assert_eq!(settings.http_listen.port(), 9);
    assert_eq!(settings.raft.heartbeat_ms, 20);
    assert_eq!(settings.trusted_proxies.len(), 2);
    assert_eq!(settings.log_format, LogFormat::Json);
    let bad = |name: &str| (name == "CIRCLET_HTTP_LISTEN").then(|| "x".to_owned());
    let error = NodeSettings::parse(Path::new("f"), "", &bad).unwrap_err().to_string();
    assert!(error.contains("http.listen (from CIRCLET_HTTP_LISTEN)"), "{error}");
}

#[test]
fn an_unknown_setting_names_its_line_and_the_nearest_known_one() {
    let (what, hint) = error("name: a\nhttp:\n  lisen: 127.0.0.1:1\n");
    assert_eq!(what, "etc/node.yml: unknown setting `http.lisen` (line 3)");
    assert_eq!(hint, "did you mean `http.listen`?");
    assert_eq!(error("heartbeat_ms: 3").1, "did you mean `raft.heartbeat-ms`?");
}

#[test]
fn a_wrong_value_says_what_was_expected() {
    for (text, expected) in [
        (
            "http.listen: here",
            "http.listen: expected an address and a port such as 127.0.0.1:8040, found `here`",
        ),
        ("raft.heartbeat-ms: -1", "raft.heartbeat-ms: expected a whole number from 1 to 60000, found -1"),
        ("http.allow-plain: maybe", "expected true or false, found \"maybe\""),
        ("trusted-proxies: [10.0.0.0/99]", "`10.0.0.0/99` is neither an address nor a range"),
        ("name: 'a b'", "found `a b`"),
        ("http.advertise: node1", "expected a URL such as https://node1:8040, found `node1`"),
        ("peer.listen: node1", "expected a host and a port"),
        ("http.tls: sometimes", "expected auto, cluster, off"),
        ("name: [", "etc/node.yml: "),
    ] {
        let (what, _) = error(text);
        assert!(what.contains(expected), "{what}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (text, expected) in [
        ("http: {listen: '0.0.0.0:1', advertise: 'http://a:1', tls: off}", "is not a loopback address"),
        ("http.tls: auto\nhttp.tls.key: k.pem", "http.tls is set"),
        ("http.tls.key: k.pem", "only one is set"),
        ("peer.listen: 0.0.0.0:1", "say how they reach this node with peer.advertise"),
        ("http.listen: '[::]:1'", "http.listen [::]:1 is no address that others can reach"),
        ("raft: {election-min-ms: 500}", "is not below raft.election-max-ms"),
        ("raft.heartbeat-ms: 200", "is more than a third of"),
    ] {
        let (what, hint) = error(text);
        assert!(format!("{what} {hint}").contains(expected), "{text}: {what} {hint}");
    }
    let plain = "http: {listen: '0.0.0.0:1', advertise: 'http://a:1', tls: off, allow-plain: true}";
    assert!(!parse(plain).unwrap().is_https());
}

#[test]
fn every_documented_default_is_the_default() {
    let free = [
        "peer.advertise",
        "http.advertise",
        "http.tls.certificate",
        "http.tls.key",
        "metrics.listen",
        "memory.limit-bytes",
        "revocation-floor.dir",
        "tracing.otlp-endpoint",
    ];
    let lines: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| !free.contains(&setting.name))
        .map(|setting| format!("{}: {}", setting.name, setting.default))
        .collect();
    assert_eq!(format!("{:?}", parse(&lines.join("\n")).unwrap()), format!("{:?}", parse("").unwrap()));
}

#[test]
fn a_written_file_reads_back() {
    let chosen = [("name", "b".to_owned()), ("shutdown-grace-ms", "7".to_owned())];
    let text = NodeSettings::write(&chosen);
    let settings = parse(&text).unwrap();
    assert_eq!(settings.name, "b");
    assert_eq!(settings.shutdown_grace, Duration::from_millis(7));
    assert!(SETTINGS.iter().all(|setting| text.contains(setting.doc)));
}

#[test]
fn a_command_that_is_repeated_finds_its_file_and_another_does_not() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::new(home.path());
    std::fs::create_dir_all(paths.node_yml().parent().unwrap()).unwrap();
    let chosen = |name: &str| vec![("name", name.to_owned()), ("http.listen", "127.0.0.1:1".to_owned())];
    for _ in 0..2 {
        assert_eq!(write_or_read(&paths, &chosen("here")).unwrap().name, "here");
    }
    let error = write_or_read(&paths, &chosen("there")).expect_err("the file says another name");
    assert!(error.to_string().contains("so name can't be set by a flag as well"), "{error}");
    assert_eq!(write_or_read(&paths, &[]).unwrap().name, "here");
}
