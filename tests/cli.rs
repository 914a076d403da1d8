//! The commands that make, join and serve nodes, with the real binary.

#![expect(clippy::panic, reason = "a step that fails fails the test")]

#[path = "cli/installed.rs"]
mod installed;
#[path = "cli/pairing.rs"]
mod pairing;
#[path = "support/ports.rs"]
mod ports;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/renewal.rs"]
mod renewal;
#[path = "cli/restoring.rs"]
mod restoring;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use circlet::certificates;
use process::{Place, eventually, run, run_command};
use tempfile::TempDir;

const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

fn root() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A founded cluster of one node, and its administrator's password.
fn founded(root: &TempDir, name: &str) -> (Place, String) {
    let place = Place::new(root.path(), name);
    let founded = place.found(&["init"]).json();
    let password = founded["admin"]["password"].as_str().expect("a password is printed once").to_owned();
    (place, password)
}

#[test]
fn a_new_cluster_serves_and_stops_when_asked_and_serves_again() {
    let root = root();
    let (place, password) = founded(&root, "node1");
    let key = std::fs::read(place.path("etc/keys/root.crt")).unwrap();
    let facts = circlet_token::read_certificate(&key).unwrap();
    let node = place.serve();
    assert_eq!(node.get("/artifactory/api/system/ping"), (200, "OK".to_owned()));
    let status = node.ask(&password, &["cluster", "status"]).json();
    assert_eq!(status["service_id"].as_str(), facts.issuer.as_ref().map(circlet_token::ServiceId::as_str));
    let ready: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path("ready.json")).unwrap()).unwrap();
    assert_eq!(ready["id"], 1);
    assert_eq!(ready["url"], node.url());
    assert_eq!(node.terminate().code(), Some(0));
    assert!(!place.path("ready.json").exists());

    let again = place.serve();
    assert_eq!(again.ask(&password, &["cluster", "status"]).json()["service_id"], status["service_id"]);
}

#[test]
fn an_rs256_cluster_signs_with_rsa() {
    let root = root();
    let place = Place::new(root.path(), "node1");
    let founded = place.found(&["init", "--algorithm", "rs256"]).json();
    assert_eq!(founded["algorithm"], "RS256");
    let node = place.serve();
    let password = founded["admin"]["password"].as_str().unwrap();
    assert_eq!(node.ask(password, &["cluster", "status"]).json()["role"], "leader");
}

#[test]
fn an_heir_takes_over_the_service_id_and_the_key_of_another_installation() {
    let root = root();
    let (old, _) = founded(&root, "old");
    let pair = certificates::token_issuer(
        certificates::TokenKeyKind::Rs256,
        "jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4",
        1_700_000_000_000,
    )
    .unwrap();
    let (certificate, key) = (root.path().join("old.crt"), root.path().join("old.key"));
    std::fs::write(&certificate, certificates::certificate_pem(&pair.certificate)).unwrap();
    std::fs::write(&key, certificates::private_key_pem(&pair.private_key).expose()).unwrap();
    let flags = ["init", "--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];

    let mismatched = old.path("etc/keys/root.crt");
    let wrong = ["init", "--cert", mismatched.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let place = Place::new(root.path(), "heir");
    place.found(&wrong).assert_refused(&["old.key", "it is not the key of the certificate"]);
    assert!(!place.home.exists(), "a refused init leaves nothing behind");

    let heir = place.found(&flags).json();
    assert_eq!(heir["service_id"], "jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4");
    assert_eq!(heir["algorithm"], "RS256");
    drop(place.serve());
}

#[test]
fn the_first_administrators_may_come_from_a_file_that_is_used_once() {
    let root = root();
    let place = Place::new(root.path(), "node1");
    std::fs::create_dir_all(place.path("etc")).unwrap();
    place.write("etc/bootstrap.creds", "admin@*=from the file\nsecond@*=other\n");
    let mode =
        |mode| std::fs::set_permissions(place.path("etc/bootstrap.creds"), PermissionsExt::from_mode(mode));
    mode(0o640).unwrap();
    place.found(&["init"]).assert_refused(&["etc/bootstrap.creds", "its mode is 640"]);
    mode(0o600).unwrap();
    let founded = place.found(&["init"]).json();
    assert_eq!(founded["admin"], serde_json::json!({ "username": "admin" }));
    assert!(!place.path("etc/bootstrap.creds").exists());
    let node = place.serve();
    assert_eq!(node.ask("from the file", &["cluster", "status"]).code, Some(0));
    let users = node.ask("from the file", &["user", "list"]);
    assert!(users.stdout.contains("second"), "{}", users.stdout);
}

#[test]
fn no_secret_is_ever_written_in_the_clear() {
    let root = root();
    let pair = certificates::token_issuer(
        certificates::TokenKeyKind::EdDsa,
        "jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4",
        1_700_000_000_000,
    )
    .unwrap();
    let (certificate, key) = (root.path().join("old.crt"), root.path().join("old.key"));
    std::fs::write(&certificate, certificates::certificate_pem(&pair.certificate)).unwrap();
    std::fs::write(&key, certificates::private_key_pem(&pair.private_key).expose()).unwrap();
    let place = Place::new(root.path(), "node1");
    let flags = ["init", "--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let founded = place.found(&flags).json();
    let password = founded["admin"]["password"].as_str().unwrap().to_owned();
    let settings = std::fs::read_to_string(place.path("etc/node.yml")).unwrap();
    // So that there is a snapshot to search as well.
    place.write("etc/node.yml", &format!("{settings}\nraft.snapshot-log-bytes: 1\n"));
    let node = place.serve();
    let token = ["token", "create", "--refreshable", "--reference", "--expiry", "86400"];
    let token = node.ask(&password, &token).json();
    let join = node.ask(&password, &["cluster", "token"]).json();
    let join = join["token"].as_str().unwrap();

    eventually("a snapshot", || {
        node.ask(&password, &["token", "create", "--refreshable"]).json();
        let snapshots = std::fs::read_dir(place.path("data/snapshots")).ok()?;
        (snapshots.count() > 0).then_some(())
    });

    // The seed of the token key lies in its PKCS#8 form behind a fixed head of 16 bytes.
    let seed = &pair.private_key.expose()[16..48];
    let master = std::fs::read_to_string(place.path("etc/security/master.key")).unwrap();
    let raw_master: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&master[at..at + 2], 16).unwrap()).collect();
    let mut secrets: Vec<(&str, Vec<u8>)> = vec![
        ("the token key", seed.to_vec()),
        ("the master key", raw_master),
        ("the master key's text", master.trim().as_bytes().to_vec()),
        ("the administrator's password", password.as_bytes().to_vec()),
        ("the join token", join.as_bytes().to_vec()),
        ("the join token's secret", join.split('.').nth(3).unwrap().as_bytes().to_vec()),
    ];
    for kind in ["access_token", "refresh_token", "reference_token"] {
        let value = token[kind].as_str().unwrap_or_else(|| panic!("no {kind} in {token}"));
        secrets.push((kind, value.as_bytes().to_vec()));
    }
    assert_eq!(node.terminate().code(), Some(0));
    let holds = |content: &[u8], text: &[u8]| content.windows(text.len()).any(|window| window == text);
    let mut with_service_id = 0;
    for folder in ["data", "logs"] {
        for (file, content) in process::files_below(&place.path(folder)) {
            with_service_id += usize::from(holds(&content, b"jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4"));
            for (what, secret) in &secrets {
                assert!(!holds(&content, secret), "{what} is in {}", file.display());
            }
        }
    }
    // What is no secret is found, in the log, the snapshot, the audit log and the node's own log: the search works.
    assert!(with_service_id >= 4, "{with_service_id}");
}

#[test]
fn a_home_is_founded_only_once() {
    let root = root();
    let (place, _) = founded(&root, "node1");
    let before = std::fs::read(place.path("etc/security/master.key")).unwrap();
    place.found(&["init"]).assert_refused(&["already is the home of node 1 of cluster jfrt@", "hint: "]);
    assert_eq!(std::fs::read(place.path("etc/security/master.key")).unwrap(), before);
}

#[test]
fn a_home_without_a_node_says_how_to_make_one() {
    let root = root();
    let place = Place::new(root.path(), "nothing");
    place.serve_to_end().assert_refused(&["no node lives in", "hint: make one with `circlet init --home"]);
}

#[test]
fn a_home_with_the_data_of_another_cluster_is_refused() {
    let root = root();
    let (one, _) = founded(&root, "one");
    let (other, _) = founded(&root, "other");
    std::fs::remove_dir_all(one.path("data")).unwrap();
    std::fs::rename(other.path("data"), one.path("data")).unwrap();
    one.serve_to_end().assert_refused(&[
        "belongs to cluster jfrt@",
        "but its data is of cluster jfrt@",
        "hint: ",
    ]);
}

#[test]
fn a_master_key_that_is_damaged_missing_or_another_is_named_and_nothing_is_lost() {
    let root = root();
    let (place, password) = founded(&root, "node1");
    let key = std::fs::read_to_string(place.path("etc/security/master.key")).unwrap();
    for (damaged, why) in [
        ("", "is damaged: it is empty"),
        ("not a key", "is damaged: it holds something else than hexadecimal digits"),
        (&key[..60], "is damaged: it has 60 hexadecimal digits"),
    ] {
        place.write("etc/security/master.key", damaged);
        place.serve_to_end().assert_refused(&["etc/security/master.key", why, "hint: "]);
    }
    let flipped = if key.starts_with('0') { key.replacen('0', "1", 1) } else { format!("0{}", &key[1..]) };
    place.write("etc/security/master.key", &flipped);
    place.serve_to_end().assert_refused(&[
        "etc/security/master.key is not the master key of this cluster: its fingerprint is ",
        "the cluster's is ",
        "hint: copy etc/security/master.key from another node",
    ]);
    std::fs::remove_file(place.path("etc/security/master.key")).unwrap();
    place.serve_to_end().assert_refused(&["etc/security/master.key is missing"]);
    place.write("etc/security/master.key", &key);
    let node = place.serve();
    assert_eq!(node.ask(&password, &["cluster", "status"]).code, Some(0));
}

#[test]
fn a_node_key_or_certificate_that_is_damaged_is_named() {
    let root = root();
    let (place, _) = founded(&root, "node1");
    for file in [
        "etc/security/node.key",
        "etc/security/node.crt",
        "etc/security/ca.crt",
        "etc/security/identity.json",
    ] {
        let before = std::fs::read_to_string(place.path(file)).unwrap();
        place.write(file, "damaged");
        place.serve_to_end().assert_refused(&[file, "is damaged", "hint: "]);
        place.write(file, &before);
    }
    drop(place.serve());
}

#[test]
fn a_node_that_has_lost_its_log_does_not_come_back() {
    let root = root();
    let (place, password) = founded(&root, "node1");
    let aside = root.path().join("aside");
    std::fs::rename(place.path("data"), &aside).unwrap();
    place.serve_to_end().assert_refused(&["data/raft is missing or damaged", "hint: remove the node with"]);
    let log = place.path("data/raft/db");
    std::fs::remove_dir_all(place.path("data")).unwrap();
    std::fs::rename(&aside, place.path("data")).unwrap();

    let good = std::fs::read(&log).unwrap();
    let mut damaged = good.clone();
    for byte in damaged.iter_mut().skip(300).step_by(97) {
        *byte ^= 0xff;
    }
    std::fs::write(&log, damaged).unwrap();
    let ended = place.serve_to_end();
    assert!(matches!(ended.code, Some(1 | 2)) && ended.stderr.contains("data/raft"), "{}", ended.stderr);
    std::fs::write(&log, good).unwrap();
    let node = place.serve();
    assert_eq!(node.ask(&password, &["cluster", "status"]).code, Some(0));
}

#[test]
fn a_port_in_use_is_named_with_its_setting() {
    let root = root();
    let (place, _) = founded(&root, "node1");
    for (address, setting) in [(&place.http, "(http.listen)"), (&place.peer, "(peer.listen)")] {
        let taken = TcpListener::bind(address).unwrap();
        place.serve_to_end().assert_refused(&[address, setting, "hint: stop what uses the port"]);
        drop(taken);
    }
    drop(place.serve());
}

#[test]
fn two_processes_cannot_serve_one_home() {
    let root = root();
    let (place, _) = founded(&root, "node1");
    let _node = place.serve();
    place.serve_to_end().assert_refused(&["is in use by process", "hint: stop that process first"]);
}

#[test]
fn an_unknown_setting_names_the_nearest_known_one() {
    let root = root();
    let (place, _) = founded(&root, "node1");
    let settings = std::fs::read_to_string(place.path("etc/node.yml")).unwrap();
    place.write("etc/node.yml", &format!("{settings}\nhttp.lisen: 127.0.0.1:1\n"));
    place.serve_to_end().assert_refused(&[
        "etc/node.yml: unknown setting `http.lisen` (line",
        "hint: did you mean `http.listen`?",
    ]);
    place.write("etc/node.yml", &format!("{settings}\nraft.heartbeat-ms: soon\n"));
    place.serve_to_end().assert_refused(&["raft.heartbeat-ms: expected a whole number"]);
}

#[test]
fn three_nodes_join_and_a_join_token_lets_one_node_in() {
    let root = root();
    let (first, password) = founded(&root, "node1");
    let mut nodes = vec![first.serve()];
    for name in ["node2", "node3"] {
        let token = nodes[0].ask(&password, &["cluster", "token"]).json();
        let token = token["token"].as_str().unwrap();
        let place = Place::new(root.path(), name);
        assert!(place.found(&["join", "--token", token]).json()["node_id"].as_u64() > Some(1));
        nodes.push(place.serve());

        let late = Place::new(root.path(), "late");
        let refused = late.found(&["join", "--token", token]);
        refused.assert_refused(&["the cluster refused: ", "hint: make a new join token"]);
        assert!(!late.path("etc/security/identity.json").exists());
        std::fs::remove_dir_all(&late.home).unwrap();
    }
    for node in &nodes {
        eventually("three voting nodes", || {
            let status = node.ask(&password, &["cluster", "status"]).json();
            let roles = status["nodes"].as_array()?.iter().map(|node| node["role"].as_str());
            (roles.collect::<Vec<_>>() == [Some("voter"); 3]).then_some(())
        });
    }
    let certificate = |node: &str| std::fs::read(root.path().join(node).join("etc/keys/root.crt")).ok();
    eventually("the root certificate on every node", || {
        (certificate("node3").is_some() && certificate("node3") == certificate("node1")).then_some(())
    });

    // Leadership moves when it is told to, and when its holder stops.
    let moved = nodes[2].ask(&password, &["cluster", "transfer", "node2"]);
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);
    let leader = |node: &process::Node| node.ask(&password, &["cluster", "status"]).json()["leader"].clone();
    let second = nodes[1].ask(&password, &["cluster", "status"]).json()["node"].clone();
    eventually("node2 leads", || (leader(&nodes[0]) == second).then_some(()));
    let stopped = nodes.remove(1);
    assert_eq!(stopped.terminate().code(), Some(0));
    eventually("another leader", || {
        (!leader(&nodes[0]).is_null() && leader(&nodes[0]) != second).then_some(())
    });
    let removed = nodes[0].ask(&password, &["cluster", "remove", "node2"]);
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    let status = nodes[1].ask(&password, &["cluster", "status"]).json();
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(2));
    // One that was down meanwhile is told by those that it dials.
    let told = Place::new(root.path(), "node2").serve_to_end();
    told.assert_refused(&["was removed from cluster", "at index", "hint: move its home aside"]);

    // A leader that is removed lets another lead, and stops.
    let own = |node: &process::Node| node.ask(&password, &["cluster", "status"]).json()["node"].clone();
    let leads = eventually("a leader that leads", || nodes.iter().position(|node| own(node) == leader(node)));
    let mut removed = nodes.remove(leads);
    let id = own(&removed).to_string();
    assert_eq!(nodes[0].ask(&password, &["cluster", "remove", &id]).code, Some(0));
    assert_eq!(removed.wait().code(), Some(1));
    assert!(removed.log().contains("was removed from cluster"), "{}", removed.log());
    let last = nodes[0].ask(&password, &["cluster", "remove", &own(&nodes[0]).to_string()]);
    assert!(last.stderr.contains("the only voting node"), "{}", last.stderr);
}

#[test]
fn a_join_token_that_was_not_copied_in_full_is_refused() {
    let root = root();
    let place = Place::new(root.path(), "node2");
    place
        .found(&["join", "--token", "circlet-join-1.abc"])
        .assert_refused(&["the join token can't be read", "was it copied in full?"]);
    place
        .found(&["join"])
        .assert_refused(&["no join token was given", "hint: make one with `circlet cluster token`"]);
    assert!(!place.home.exists());
}

#[test]
fn a_certificate_dropped_on_one_node_is_trusted_everywhere_until_it_is_removed() {
    let root = root();
    let (first, password) = founded(&root, "node1");
    let (stranger, stranger_password) = founded(&root, "stranger");
    let one = first.serve();
    let token = one.ask(&password, &["cluster", "token"]).json();
    let second = Place::new(root.path(), "node2");
    second.found(&["join", "--token", token["token"].as_str().unwrap()]).json();
    let two = second.serve();

    let abroad = stranger.serve();
    let foreign = abroad.ask(&stranger_password, &["token", "create", "--expiry", "600"]).json();
    let foreign = foreign["access_token"].as_str().unwrap();
    let verify = |node: &process::Node| node.get_with_token("/circlet/v1/verify", foreign);
    assert_eq!(verify(&one).0, 401);

    // Refused a moment ago, and good as soon as its certificate is there: one more look is taken before it is refused.
    let trusted = "etc/keys/trusted/stranger.crt";
    eventually("no look within the last second", || {
        std::fs::copy(stranger.path("etc/keys/root.crt"), first.path(trusted)).unwrap();
        (verify(&one).0 == 200).then_some(())
    });
    eventually("the certificate on the other node", || second.path(trusted).exists().then_some(()));
    let listed = two.ask(&password, &["trust", "list"]);
    assert!(listed.stdout.contains("stranger"), "{}", listed.stdout);
    let published = format!("Publish changes to another access peer [{}/access] successfully", two.url());
    eventually("the line about the peer", || {
        let log = std::fs::read_to_string(first.path("logs/artifactory.log")).unwrap_or_default();
        log.contains(&published).then_some(())
    });

    std::fs::remove_file(second.path(trusted)).unwrap();
    eventually("the certificate moved aside", || (!first.path(trusted).exists()).then_some(()));
    assert!(first.path("etc/keys/trusted/stranger.crt.distrusted").exists());
    assert!(!one.ask(&password, &["trust", "list"]).stdout.contains("stranger"));
    let (status, body) = verify(&two);
    assert_eq!(status, 401, "{body}");
}

#[test]
fn client_traffic_is_protected_by_the_clusters_certificate() {
    let root = root();
    let (place, password) = founded(&root, "node1");
    let settings = std::fs::read_to_string(place.path("etc/node.yml")).unwrap();
    place.write("etc/node.yml", &format!("{settings}\nhttp.tls: cluster\n"));
    let _node = place.serve();
    let (url, ca) = (format!("https://{}", place.http), place.path("etc/security/ca.crt"));
    let ask = |ca: &[&str]| {
        let mut command = process::circlet();
        command.args(["--output", "json", "cluster", "status", "--url", &url, "--user", "admin"]).args(ca);
        run_command(command.env("CIRCLET_PASSWORD", &password))
    };
    let status = eventually("an answer", || {
        let ended = ask(&["--ca-file", ca.to_str().unwrap()]);
        (ended.code == Some(0)).then(|| ended.json())
    });
    assert_eq!(status["role"], "leader");
    assert_eq!(ask(&[]).code, Some(2), "without the cluster's CA the certificate is not accepted");
}

#[test]
fn a_certificate_that_changes_is_shown_to_new_connections_and_running_ones_live_on() {
    let root = root();
    let (place, _) = founded(&root, "node1");
    let ca = certificates::cluster_ca("jfrt@01", circlet::clock::wall_ms(), HOUR).unwrap();
    let write = |name: &str| {
        let hosts = vec!["127.0.0.1".to_owned()];
        let made = certificates::client_traffic(&ca, hosts, circlet::clock::wall_ms(), HOUR).unwrap();
        let certificate = certificates::certificate_pem(&made.certificate);
        // Whole or not at all, each of them; between the two they don't belong together.
        for (file, content) in [
            ("etc/site.key", certificates::private_key_pem(&made.private_key).expose()),
            ("etc/site.crt", certificate.as_bytes()),
        ] {
            let next = root.path().join(name);
            std::fs::write(&next, content).unwrap();
            std::fs::set_permissions(&next, PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::rename(next, place.path(file)).unwrap();
        }
        made.certificate
    };
    let first = write("first");
    let settings = std::fs::read_to_string(place.path("etc/node.yml")).unwrap();
    let tls = "http.tls.certificate: etc/site.crt\nhttp.tls.key: etc/site.key\n";
    place.write("etc/node.yml", &format!("{settings}\n{tls}"));
    let node = place.serve();
    let mut old = process::Secured::connect(&place.http, &ca.certificate);
    assert_eq!(old.certificate(), first);
    assert_eq!(old.ping(), 200);

    let second = write("second");
    eventually("the new certificate", || {
        (process::Secured::connect(&place.http, &ca.certificate).certificate() == second).then_some(())
    });
    assert_eq!(old.ping(), 200, "a connection that was open goes on");
    assert_eq!(old.certificate(), first);

    place.write("etc/site.crt", "damaged");
    eventually("the damage is said", || {
        node.log().contains("the changed certificate is refused").then_some(())
    });
    let mut new = process::Secured::connect(&place.http, &ca.certificate);
    assert_eq!((new.certificate(), new.ping()), (second, 200), "the one before stays in use");
}

#[test]
fn wrong_usage_is_the_callers_input() {
    let ended = run(&["serve", "--hom", "x"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("--home"), "{}", ended.stderr);
    assert_eq!(run(&["--version"]).code, Some(0));
}
