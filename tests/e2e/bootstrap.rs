//! What an operator places in a home before a node starts, for those who set up machines by files.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use circlet::certificates::{self, TokenKeyKind, token_issuer};
use circlet::clock;
use circlet_token::read_certificate;
use serde_json::Value;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::node::circlet;
use super::promises::READY_WITHIN;

#[tokio::test]
async fn a_first_token_is_generated_when_a_file_asks_for_it() {
    let mut cluster = Cluster::start("single").await;
    let keys = cluster.home(0).join("etc/keys");
    let (trigger, file) = (keys.join("generate.token.json"), keys.join("token.json"));
    assert!(!file.exists(), "nobody has asked");
    cluster.kill(0);
    std::fs::write(&trigger, "").expect("a trigger");
    cluster.restart(0);
    cluster.ready(0).await;
    let written: Value = eventually(READY_WITHIN, "the token is there and the trigger gone", || async {
        let bytes = std::fs::read(&file).ok().filter(|_| !trigger.exists())?;
        serde_json::from_slice(&bytes).ok()
    })
    .await;
    assert_eq!(file.metadata().expect("the file").permissions().mode() & 0o777, 0o600);
    let token = written["token"].as_str().expect("a token");
    let worth = cluster.endpoint(0).verify(token).await.expect(200);
    assert_eq!((&worth["admin"], &worth["user"]), (&true.into(), &"admin".into()), "{worth}");
    let claims = STANDARD_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["aud"], "jfac@*", "{claims}");
    assert_eq!(claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat), Some(900));
    let log = std::fs::read_to_string(cluster.home(0).join("logs/access-security-audit.log")).expect("a log");
    assert!(log.contains("generate") || log.contains(claims["jti"].as_str().expect("an id")), "{log}");
    assert!(!log.contains(token), "no token in the log");
}

#[tokio::test]
async fn a_pair_placed_before_the_cluster_is_founded_is_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, common_name, service_id) in [
        ("heir", "jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4", Some("jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4")),
        ("new", "a pair of our own", None),
    ] {
        let home = folder.path().join(name);
        std::fs::create_dir_all(home.join("etc/keys")).expect("a home");
        let made = token_issuer(TokenKeyKind::EdDsa, common_name, clock::wall_ms()).expect("a pair");
        let pem = certificates::private_key_pem(&made.private_key);
        std::fs::write(home.join("etc/keys/root.crt"), certificates::certificate_pem(&made.certificate))
            .expect("a file");
        std::fs::write(home.join("etc/keys/private.key"), pem.expose()).expect("a file");
        let founded = circlet(&["init"], &home).await;
        let kid = read_certificate(&made.certificate).expect("a certificate").key_id;
        assert_eq!(founded["kid"], kid.as_str(), "{founded}");
        match service_id {
            Some(own) => assert_eq!(founded["service_id"], own, "{founded}"),
            None => assert!(founded["service_id"].as_str().is_some_and(|id| id.len() == 31), "{founded}"),
        }
    }
}
