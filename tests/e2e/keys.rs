//! The cluster's signing key is replaced by files, while clients are at work.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use circlet::certificates::{self, KeyAndCertificate, TokenKeyKind, token_issuer};
use circlet::clock;
use circlet_token::{KeyId, read_certificate};
use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually::{eventually, until};
use super::failover::{Done, assert_kept_promises, work};
use super::http::Body;
use super::load::Load;
use super::promises::{READY_WITHIN, REVOKED_WITHIN};
use super::tokens::{LONG_SECS, PLAIN_SECS, TOKENS, create, create_body};

const KEYS: &str = "/circlet/v1/keys";
const CONFIG: &str = "/circlet/v1/config";

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
    let header: Value = serde_json::from_slice(&header).expect("JSON");
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

/// What a node says of the key with this id, or by this name.
async fn key(cluster: &Cluster, number: usize, named: &str) -> Value {
    cluster.endpoint(number).get(&format!("{KEYS}/{named}"), cluster.admin()).await.expect(200)
}

/// Waits until a node says so of a key.
async fn key_until(cluster: &Cluster, number: usize, named: &str, is_so: impl Fn(&Value) -> bool) {
    eventually(READY_WITHIN, "the key has got there", || async {
        is_so(&key(cluster, number, named).await).then_some(())
    })
    .await;
}

/// Publishes a new key at a node, and returns its id.
async fn rotate(cluster: &Cluster, number: usize, order: Value) -> String {
    let made = cluster.endpoint(number).post(KEYS, cluster.admin(), Body::Json(order)).await.expect(201);
    made["kid"].as_str().expect("a key id").to_owned()
}

#[tokio::test]
async fn rotating_waits_for_every_node_and_no_request_fails() {
    let cluster = Cluster::start("three-node").await;
    let endpoints: Vec<_> = cluster.endpoints().collect();
    let load = Load::start(&endpoints, &cluster.admin_token);
    let mut done = work(&load, &Done::default()).await;

    let given_up = rotate(&cluster, 0, json!({ "overlap": 3600 })).await;
    let again = cluster.endpoint(1).post(KEYS, cluster.admin(), Body::Json(json!({}))).await;
    assert_eq!(again.status, 409, "one at a time: {}", again.text);
    key_until(&cluster, 2, &given_up, |key| {
        key["unconfirmed"] == json!([]) && key["waits"].to_string().contains("it is shown for 3600 s")
    })
    .await;
    let path = format!("{KEYS}/next");
    let gone =
        endpoints[2].send(Method::DELETE, &path, cluster.admin(), Body::Empty).await.expect("an answer");
    assert_eq!(gone.expect(200)["state"], "retired");

    for algorithm in ["rs256", "eddsa"] {
        let next = rotate(&cluster, 1, json!({ "algorithm": algorithm })).await;
        for number in cluster.all() {
            key_until(&cluster, number, "active", |key| key["kid"] == next.as_str()).await;
        }
        done = work(&load, &done).await;
    }
    assert_kept_promises(&load.stop().await);

    let old = create(endpoints[0], &cluster.admin_token, PLAIN_SECS, false).await.member("access_token");
    let follower = cluster.others(cluster.leader(&cluster.all()).await)[0];
    let asked = cluster.others(follower)[0];
    cluster.pause(follower);
    let next = rotate(&cluster, asked, json!({})).await;
    key_until(&cluster, asked, &next, |key| {
        key["unconfirmed"].as_array().is_some_and(|names| names.len() == 1)
    })
    .await;
    // However much the others do meanwhile.
    let awake: Vec<_> = cluster.others(follower).into_iter().map(|number| cluster.endpoint(number)).collect();
    let load = Load::start(&awake, &cluster.admin_token);
    work(&load, &Done::default()).await;
    assert_kept_promises(&load.stop().await);
    assert_eq!(key(&cluster, asked, &next).await["state"], "published", "a node has not unsealed it");
    let meanwhile =
        create(endpoints[asked], &cluster.admin_token, PLAIN_SECS, false).await.member("access_token");
    assert_eq!(signer(&meanwhile), signer(&old), "the old key goes on signing");
    cluster.resume(follower);
    for number in cluster.all() {
        key_until(&cluster, number, &next, |key| key["state"] == "active").await;
        assert_eq!(cluster.endpoint(number).verify(&meanwhile).await.status, 200);
    }
}

#[tokio::test]
async fn tokens_of_a_tainted_key_are_refused_by_every_node() {
    let cluster = Cluster::start("three-node").await;
    let leaked = signer(&cluster.admin_token);
    let plain =
        create(cluster.endpoint(1), &cluster.admin_token, PLAIN_SECS, false).await.member("access_token");
    let revocable =
        create(cluster.endpoint(1), &cluster.admin_token, LONG_SECS, false).await.member("access_token");
    for node in cluster.endpoints() {
        for token in [&plain, &revocable] {
            assert_eq!(node.verify(token).await.status, 200);
        }
    }
    let tainted =
        cluster.endpoint(2).post(&format!("{KEYS}/active/taint"), cluster.admin(), Body::Empty).await;
    assert_eq!(tainted.expect(200)["state"], "tainted");
    let acknowledged = Instant::now();
    until(acknowledged + REVOKED_WITHIN).await;
    for node in cluster.endpoints() {
        let verdict = node.verify(&revocable).await;
        assert_eq!(verdict.status, 401, "asked after the bound, at {}: {}", node.url(), verdict.text);
        // Where nobody has to prove that its view is fresh, it comes as soon as the node has heard.
        for token in [&plain, &cluster.admin_token] {
            eventually(READY_WITHIN, "the token is refused", || async {
                let verdict = node.verify(token).await;
                (verdict.status == 401 && verdict.text.contains("taint")).then_some(())
            })
            .await;
        }
        let body = create_body(PLAIN_SECS, false);
        let new = node.post(TOKENS, cluster.admin(), Body::Json(body)).await.member("access_token");
        assert_ne!(signer(&new), leaked, "another key signs at once");
        for other in cluster.endpoints() {
            assert_eq!(other.verify(&new).await.status, 200);
        }
    }
}

#[tokio::test]
async fn keys_are_replaced_on_schedule_and_retire_when_their_last_token_is_gone() {
    let cluster = Cluster::start("single").await;
    let first = signer(&cluster.admin_token);
    let set = |settings: Value| async {
        let answer =
            cluster.endpoint(0).send(Method::PATCH, CONFIG, cluster.admin(), Body::Json(settings)).await;
        answer.expect("an answer").expect(200)
    };
    // Nothing but recorded tokens, and nobody is cut off for long: what signs from now on is not needed for long after.
    set(json!({
        "token.persistency.persistent-expiry-threshold": 0, "verify.clock-leeway": 0,
        "issue.max-isolation": 1, "verify.max-isolation": 1, "key.rotation-interval": 1,
    }))
    .await;
    eventually(READY_WITHIN, "a key that the schedule made has retired", || async {
        let keys = cluster.endpoint(0).get(KEYS, cluster.admin()).await;
        let keys: Value = serde_json::from_str(&keys.text).ok()?;
        keys["keys"].as_array()?.iter().any(|key| key["state"] == "retired").then_some(())
    })
    .await;
    set(json!({ "key.rotation-interval": 0 })).await;
    let first = key(&cluster, 0, &first).await;
    assert_eq!(first["state"], "retiring", "the administrator's token is signed with it: {first}");
    assert!(first["waits"].to_string().contains("recorded tokens are signed with it"), "{first}");
    assert_eq!(cluster.endpoint(0).verify(&cluster.admin_token).await.status, 200);
}

#[tokio::test]
async fn a_swap_of_links_is_one_change_and_the_links_stay() {
    let cluster = Cluster::start("single").await;
    let home = cluster.home(0);
    let keys = home.join("etc/keys");
    let link = |to: &str, name: &str| {
        let aside = keys.join(format!("..{name}"));
        std::os::unix::fs::symlink(to, &aside).expect("a link");
        std::fs::rename(&aside, keys.join(name)).expect("a link in its place");
    };
    for turn in ["..first", "..second"] {
        let pair = Pair::new(TokenKeyKind::EdDsa, &cluster.service_id);
        std::fs::create_dir(keys.join(turn)).expect("a folder");
        write(&keys.join(turn).join("root.crt"), &pair.certificate);
        write(&keys.join(turn).join("private.key"), &pair.private_key);
        // As volumes are mounted: two links into a folder that is itself a link, which is swapped.
        link(turn, "..data");
        for name in ["private.key", "root.crt"] {
            if keys.join(name).symlink_metadata().is_ok_and(|found| !found.is_symlink()) || turn == "..first"
            {
                link(&format!("..data/{name}"), name);
            }
        }
        all_sign_with(&cluster, &pair).await;
        no_problem(&cluster, 0).await;
        assert!(
            private_key(home).is_symlink() && root_crt(home).is_symlink(),
            "they belong to somebody else"
        );
    }
}
