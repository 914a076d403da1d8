//! `circlet doctor` on the home of a node that runs, of one that doesn't, and of one with mistakes in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use circlet::certificates::{self, KeyAndCertificate};
use circlet::clock;
use serde_json::{Value, json};

use crate::server::{Server, circlet};

const PATIENCE: Duration = Duration::from_mins(2);

/// Its exit status, and all that it found: area, verdict, what.
fn examine(home: &Path) -> (Option<i32>, Vec<(String, String, String)>) {
    let output = circlet().args(["--output", "json", "doctor", "--home"]).arg(home).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = said["findings"].as_array().unwrap().iter();
    let findings = findings.map(|found| {
        assert!(found["verdict"] == "fine" || found["remedy"].is_string(), "what to do is said: {found}");
        (text(&found["area"]), text(&found["verdict"]), text(&found["found"]))
    });
    (output.status.code(), findings.collect())
}

fn problems(findings: &[(String, String, String)]) -> Vec<&str> {
    findings
        .iter()
        .filter(|(_, verdict, _)| verdict == "problem")
        .map(|(_, _, found)| found.as_str())
        .collect()
}

#[test]
fn a_doctor_finds_what_is_wrong_with_a_home_and_nothing_else() {
    let mut server = Server::start();
    let home = server.home();
    let begun = Instant::now();
    // On a busy machine a node may be without a proof for a moment, or its disk slow.
    let healthy = loop {
        let (code, findings) = examine(&home);
        if code == Some(0) {
            break findings;
        }
        assert!(begun.elapsed() < PATIENCE, "{findings:?}");
    };
    for area in ["settings", "files", "disk", "certificates", "node"] {
        assert!(
            healthy.iter().any(|(of, verdict, _)| of == area && verdict == "fine"),
            "{area}: {healthy:?}"
        );
    }
    assert!(healthy.iter().any(|(area, verdict, _)| area == "peers" && verdict == "warning"), "{healthy:?}");

    let key = home.join("etc/security/master.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(home.join("etc/keys/trusted/friend.crt"), "no certificate").unwrap();
    // Somebody who was there once, at an address where nobody is.
    let members = json!([{"id": 77, "name": "node-77", "peer_address": "127.0.0.1:1", "client_url": "http://127.0.0.1:1"}]);
    server.kill();
    std::fs::write(home.join("data/members.json"), members.to_string()).unwrap();
    let (code, findings) = examine(&home);
    assert_eq!(code, Some(1), "{findings:?}");
    let found = problems(&findings).join("; ");
    for part in [
        "master.key may be read by others (mode 644)",
        "friend.crt",
        "does not answer",
        "node-77 can't be reached",
    ] {
        assert!(found.contains(part), "{part} is missing: {found}");
    }
    let first = findings.first().map(|(_, verdict, _)| verdict.as_str());
    assert_eq!(first, Some("problem"), "what is wrong comes first");

    assert_finds_what_is_wrong_with_disk_and_certificates(&home);

    std::fs::write(home.join("etc/node.yml"), "htp.listen: 127.0.0.1:1\n").unwrap();
    let (code, findings) = examine(&home);
    let found = problems(&findings).join("; ");
    assert!(code == Some(1) && found.contains("unknown setting `htp.listen`"), "{found}");
}

/// Certificates that end, keys of others, and a reserve that no disk has; each is put right again.
fn assert_finds_what_is_wrong_with_disk_and_certificates(home: &Path) {
    let settings = std::fs::read_to_string(home.join("etc/node.yml")).unwrap();
    let node_key = std::fs::read(home.join("etc/security/node.key")).unwrap();
    let (ours, other) = (ends_after_hours(36), ends_after_hours(24 * 365));
    let place = |file: &str, content: &[u8]| std::fs::write(home.join("etc").join(file), content).unwrap();
    place("server.crt", certificates::certificate_pem(&other.certificate).as_bytes());
    place("server.key", certificates::private_key_pem(&ours.private_key).expose());
    place("keys/trusted/friend.crt", certificates::certificate_pem(&ours.certificate).as_bytes());
    let tls = "http.tls.certificate: etc/server.crt\nhttp.tls.key: etc/server.key\n";
    place("node.yml", format!("{settings}{tls}disk.reserve-bytes: 1152921504606846976\n").as_bytes());
    place("security/node.key", certificates::private_key_pem(&ours.private_key).expose());
    let (code, findings) = examine(home);
    let of = |verdict| {
        let found = findings.iter().filter(|(_, judged, _)| judged == verdict);
        found.map(|(_, _, found)| found.as_str()).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(code, Some(1));
    let (problems, warnings) = (of("problem"), of("warning"));
    for part in [
        "below the reserve of 1099511627776 MiB",
        "etc/security/node.key is not the key of ",
        "etc/server.key is not the key of ",
    ] {
        assert!(problems.contains(part), "{part} is missing: {problems}");
    }
    assert!(warnings.contains("friend.crt ends in 1 days"), "{warnings}");

    place("keys/trusted/friend.crt", certificates::certificate_pem(&other.certificate).as_bytes());
    place("server.key", certificates::private_key_pem(&other.private_key).expose());
    place("node.yml", format!("{settings}{tls}").as_bytes());
    place("security/node.key", &node_key);
    let (_, findings) = examine(home);
    for area in ["certificates", "disk"] {
        let found: Vec<_> = findings.iter().filter(|(of, ..)| of == area).collect();
        assert!(found.iter().all(|(_, verdict, _)| verdict == "fine"), "{found:?}");
    }
}

/// A certificate of its own key.
fn ends_after_hours(hours: u64) -> KeyAndCertificate {
    certificates::cluster_ca("jfrt@01test", clock::wall_ms(), Duration::from_hours(hours)).unwrap()
}
