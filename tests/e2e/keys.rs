//! The cluster's signing key is replaced by files, while clients are at work.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use circlet::certificates::{self, KeyAndCertificate, TokenKeyKind, token_issuer};
use circlet::clock;
use circlet_token::{KeyId, read_certificate};

use super::cluster::Cluster;
use super::eventually::eventually;
use super::failover::{Done, assert_kept_promises, work};
use super::load::Load;
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, PLAIN_SECS, create};

/// A pair as an operator makes it.
struct Pair {
    kid: KeyId,
    certificate: String,
    private_key: String,
}

impl Pair {
    fn new(kind: TokenKeyKind, service_id: &str) -> Self {
        let made = token_issuer(kind, service_id, clock::wall_ms()).expect("a pair");
        let pem = certificates::private_key_pem(&made.private_key);
        let private_key = pem.expose_text().expect("PEM is text").to_owned();
        Self::of(&made, private_key)
    }

    /// The same RSA key as PKCS#1, which is what lies inside of PKCS#8 after 26 bytes.
    fn pkcs1(service_id: &str) -> Self {
        let made = token_issuer(TokenKeyKind::Rs256, service_id, clock::wall_ms()).expect("a pair");
        let body = STANDARD.encode(&made.private_key.expose()[26..]);
        let private_key = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n");
        Self::of(&made, private_key)
    }

    fn of(made: &KeyAndCertificate, private_key: String) -> Self {
        let kid = read_certificate(&made.certificate).expect("a certificate").key_id;
        Self { kid, certificate: certificates::certificate_pem(&made.certificate), private_key }
    }

    /// Both files, the key first.
    fn place(&self, home: &Path) {
        write(&private_key(home), &self.private_key);
        write(&root_crt(home), &self.certificate);
    }
}

fn root_crt(home: &Path) -> PathBuf {
    home.join("etc/keys/root.crt")
}

fn private_key(home: &Path) -> PathBuf {
    home.join("etc/keys/private.key")
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("a file");
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).expect("a mode");
}

/// The id of the key that signed a token.
fn signer(token: &str) -> String {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).expect("a token's header");
    let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a key id").to_owned()
}

/// Waits until every node signs with this key, and shows its certificate.
async fn all_sign_with(cluster: &Cluster, pair: &Pair) {
    for number in cluster.all() {
        eventually(READY_WITHIN, "the node signs with the new key", || async {
            let token = create(cluster.endpoint(number), &cluster.admin_token, PLAIN_SECS, false).await;
            (token.status == 200 && signer(&token.member("access_token")) == pair.kid.as_str()).then_some(())
        })
        .await;
        eventually(READY_WITHIN, "the node shows the new certificate", || async {
            let shown = std::fs::read_to_string(root_crt(cluster.home(number))).ok()?;
            (shown == pair.certificate).then_some(())
        })
        .await;
    }
}

/// Waits until the node's status names a problem with these words.
async fn problem(cluster: &Cluster, number: usize, words: &str) {
    eventually(READY_WITHIN, "the status says what is wrong", || async {
        let status = cluster.status(number).await?;
        status["problems"].to_string().contains(words).then_some(())
    })
    .await;
}

async fn no_problem(cluster: &Cluster, number: usize) {
    eventually(READY_WITHIN, "the status has nothing to complain of", || async {
        (cluster.status(number).await?["problems"].as_array()?.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pair_placed_on_one_running_node_is_adopted_by_all_and_no_request_fails() {
    let cluster = Cluster::start("three-node").await;
    let endpoints: Vec<_> = cluster.endpoints().collect();
    let old_plain =
        create(cluster.endpoint(0), &cluster.admin_token, PLAIN_SECS, false).await.member("access_token");
    let old_long =
        create(cluster.endpoint(1), &cluster.admin_token, LONG_SECS, false).await.member("access_token");
    let load = Load::start(&endpoints, &cluster.admin_token);
    let before = work(&load, &Done::default()).await;

    let pairs = [
        Pair::new(TokenKeyKind::Rs256, &cluster.service_id),
        Pair::pkcs1(&cluster.service_id),
        Pair::new(TokenKeyKind::EdDsa, &cluster.service_id),
    ];
    for (number, pair) in pairs.iter().enumerate() {
        pair.place(cluster.home(number));
        all_sign_with(&cluster, pair).await;
        eventually(READY_WITHIN, "the private key is replaced by its sealed form", || async {
            let left = std::fs::read_to_string(private_key(cluster.home(number))).ok()?;
            (left.contains("SEALED") && !left.contains(pair.private_key.lines().nth(1)?)).then_some(())
        })
        .await;
        eventually(READY_WITHIN, "each peer is announced", || async {
            let log = std::fs::read_to_string(cluster.home(number).join("logs/artifactory.log")).ok()?;
            let told = |other: &usize| {
                let url = cluster.endpoint(*other).url();
                log.contains(&format!("Publish changes to another access peer [{url}/access] successfully"))
            };
            cluster.others(number).iter().all(told).then_some(())
        })
        .await;
    }
    work(&load, &before).await;
    assert_kept_promises(&load.stop().await);
    for node in cluster.endpoints() {
        assert_eq!(node.verify(&old_plain).await.status, 200, "the old key verifies");
        assert_eq!(node.verify(&old_long).await.status, 200, "the old key verifies");
    }
    for number in cluster.all() {
        no_problem(&cluster, number).await;
    }
}

#[tokio::test]
async fn what_is_no_whole_pair_is_waited_for_and_said_and_changes_nothing() {
    let cluster = Cluster::start("single").await;
    let home = cluster.home(0);
    let before = std::fs::read_to_string(root_crt(home)).expect("a certificate");
    let first = signer(&cluster.admin_token);
    let (pair, other) = (
        Pair::new(TokenKeyKind::EdDsa, &cluster.service_id),
        Pair::new(TokenKeyKind::EdDsa, &cluster.service_id),
    );

    write(&private_key(home), &other.private_key);
    problem(&cluster, 0, "not the key of root.crt").await;
    write(&root_crt(home), &pair.certificate[..pair.certificate.len() / 2]);
    problem(&cluster, 0, "root.crt is not a certificate, or not yet").await;
    write(&root_crt(home), &pair.certificate);
    problem(&cluster, 0, "not the key of root.crt").await;
    write(&private_key(home), &pair.private_key[..pair.private_key.len() / 2]);
    problem(&cluster, 0, "private.key is not a private key, or not yet").await;
    let theirs = Pair::new(TokenKeyKind::EdDsa, "jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4");
    theirs.place(home);
    problem(&cluster, 0, "speaks only for its own issuer").await;
    let token = create(cluster.endpoint(0), &cluster.admin_token, PLAIN_SECS, false).await;
    assert_eq!(signer(&token.member("access_token")), first, "nothing of it was adopted");

    std::fs::remove_file(private_key(home)).expect("removed");
    std::fs::remove_file(root_crt(home)).expect("removed");
    eventually(READY_WITHIN, "the certificate is shown again", || async {
        (std::fs::read_to_string(root_crt(home)).ok()? == before).then_some(())
    })
    .await;
    no_problem(&cluster, 0).await;
    pair.place(home);
    all_sign_with(&cluster, &pair).await;
}

#[tokio::test]
async fn of_two_pairs_at_once_one_wins_and_the_other_is_set_aside() {
    let mut cluster = Cluster::start("three-node").await;
    let pairs: Vec<Pair> = (0..2).map(|_| Pair::new(TokenKeyKind::EdDsa, &cluster.service_id)).collect();
    for (number, pair) in pairs.iter().enumerate() {
        pair.place(cluster.home(number));
    }
    let loser = eventually(READY_WITHIN, "one pair is set aside", || async {
        let aside = |number: &usize| cluster.home(*number).join("etc/keys/private.key.conflict").exists();
        [0, 1].into_iter().find(aside)
    })
    .await;
    let winner = &pairs[1 - loser];
    all_sign_with(&cluster, winner).await;
    problem(&cluster, loser, "set aside").await;
    let aside = |name: &str| cluster.home(loser).join("etc/keys").join(name);
    let kept = std::fs::read_to_string(aside("private.key.conflict")).expect("the other key");
    assert_eq!(kept, pairs[loser].private_key, "nothing of it is lost");
    for name in ["private.key.conflict", "root.crt.conflict"] {
        std::fs::remove_file(aside(name)).expect("removed");
    }
    no_problem(&cluster, loser).await;

    // A node that was down meanwhile knows an older cluster, and its pair was meant for that.
    cluster.kill(2);
    let late = Pair::new(TokenKeyKind::EdDsa, &cluster.service_id);
    late.place(cluster.home(2));
    cluster.restart(2);
    cluster.ready(2).await;
    all_sign_with(&cluster, &late).await;
    cluster.kill(2);
    let newer = Pair::new(TokenKeyKind::EdDsa, &cluster.service_id);
    newer.place(cluster.home(0));
    let older = Pair::new(TokenKeyKind::EdDsa, &cluster.service_id);
    older.place(cluster.home(2));
    eventually(READY_WITHIN, "the newer pair is published", || async {
        let left = std::fs::read_to_string(private_key(cluster.home(0))).ok()?;
        left.contains("SEALED").then_some(())
    })
    .await;
    cluster.restart(2);
    cluster.ready(2).await;
    all_sign_with(&cluster, &newer).await;
    problem(&cluster, 2, "set aside").await;
}
