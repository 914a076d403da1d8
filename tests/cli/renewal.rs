//! Certificates renew while the node runs, and whoever trusted them goes on trusting.

use std::path::PathBuf;

use circlet::certificates::{Validity, read_certificates};

use super::process::{Place, Secured, circlet, eventually, run_command};
use super::{founded, root};

fn certificate(file: PathBuf) -> Option<Vec<u8>> {
    read_certificates(&std::fs::read(file).ok()?).ok()?.into_iter().next()
}

#[test]
fn certificates_renew_by_themselves_and_who_trusts_the_ca_of_before_goes_on() {
    let root = root();
    let (place, password) = founded(&root, "node1");
    let settings = std::fs::read_to_string(place.path("etc/node.yml")).unwrap();
    place.write("etc/node.yml", &format!("{settings}\nhttp.tls: cluster\n"));
    let (ca_file, own_file) = (place.path("etc/security/ca.crt"), place.path("etc/security/node.crt"));
    let (ca, own) = (certificate(ca_file.clone()).unwrap(), certificate(own_file.clone()).unwrap());
    let trusted = root.path().join("ca.crt");
    std::fs::copy(&ca_file, &trusted).unwrap();
    let _node = place.serve();
    let ask = |arguments: &[&str]| {
        let mut command = circlet();
        command
            .args(["--output", "json"])
            .args(arguments)
            .args(["--user", "admin", "--ca-file"])
            .arg(&trusted);
        let ended = run_command(
            command.args(["--url", &format!("https://{}", place.http)]).env("CIRCLET_PASSWORD", &password),
        );
        (ended.code == Some(0)).then(|| ended.json())
    };
    let before = eventually("an answer", || ask(&["cluster", "status"]))["ca_expires"].as_i64().unwrap();
    let shown = Secured::connect(&place.http, &ca).certificate();

    // As if years had passed: all three live longer than they should.
    let lifetimes = ["certificates.ca-lifetime=90000", "certificates.lifetime=3000"];
    eventually("the settings", || ask(&[&["config", "set"], &lifetimes[..]].concat()));
    let renewed = eventually("the CA's", || certificate(ca_file.clone()).filter(|now| *now != ca));
    let until = |certificate: &[u8]| Validity::of(certificate).unwrap().not_after;
    assert!(until(&renewed) < until(&ca));
    eventually("the node's own", || {
        certificate(own_file.clone()).filter(|now| *now != own && until(now) < before)
    });
    let now = eventually("the one for clients", || {
        Some(Secured::connect(&place.http, &ca).certificate())
            .filter(|now| *now != shown && until(now) < before)
    });
    assert!(until(&now) <= until(&renewed), "nothing outlives what signed it");
    let after = eventually("an answer", || ask(&["cluster", "status"]))["ca_expires"].as_i64().unwrap();
    assert_eq!(after, until(&renewed));

    // A joiner knows the CA by its certificate: it must be shown what is in its token.
    let token = eventually("a join token", || ask(&["cluster", "token"]));
    let late = Place::new(root.path(), "late");
    let joined = late.found(&["join", "--token", token["token"].as_str().unwrap()]).json();
    assert!(joined["node_id"].as_u64() > Some(1), "{joined}");
    assert_eq!(certificate(late.path("etc/security/ca.crt")), Some(renewed));
}
