//! A member of the circle whose cluster is restored: what the others believe of it isn't continued.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Node, Place, eventually};
use super::{founded, root};

/// Refreshable, and so revocable: it is accepted elsewhere only while its issuer's revocations are known.
fn token(node: &Node, password: &str) -> String {
    let order = ["token", "create", "--expiry", "86400", "--refreshable"];
    let made = node.ask(password, &order).json();
    made["access_token"].as_str().expect("an access token").to_owned()
}

fn verdict(node: &Node, token: &str) -> u16 {
    node.get_with_token("/circlet/v1/verify", token).0
}

/// The guest comes to follow the host.
fn pair(host: (&Node, &str), guest: (&Node, &str), root: &TempDir) {
    let service_id = |(node, password): (&Node, &str)| {
        let status = node.ask(password, &["cluster", "status"]).json();
        status["service_id"].as_str().expect("a service id").to_owned()
    };
    let invited = host.0.ask(host.1, &["circle", "invite", "--for", &service_id(guest)]).json();
    let file = root.path().join("invitation");
    fs::write(&file, invited["invitation"].as_str().expect("an invitation"))
        .expect("the folder can be written");
    let file = file.to_str().expect("UTF-8");
    guest.0.ask(guest.1, &["circle", "accept", "--invitation-file", file, "--name", "host"]).json();
}

/// What the guest knows of the host.
fn known((guest, password): (&Node, &str)) -> Value {
    let circle = guest.ask(password, &["circle", "list"]).json();
    circle["members"][0].clone()
}

#[test]
fn a_member_that_was_restored_is_believed_nothing_until_it_is_paired_anew() {
    let root = root();
    let (first, password) = founded(&root, "node1");
    let (other, other_password) = founded(&root, "other");
    let (node, guest) = (first.serve(), other.serve());
    let guest = (&guest, other_password.as_str());
    pair((&node, &password), guest, &root);
    let early = token(&node, &password);
    eventually("its token is accepted", || (verdict(guest.0, &early) == 200).then_some(()));
    let before = known(guest);
    assert_eq!(before["generation"], 1, "{before}");
    let backup = root.path().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    node.ask(&password, &["backup", "--out", backup]).json();
    assert_eq!(node.terminate().code(), Some(0));

    // It is found where it was before.
    let key = first.path("etc/security/master.key");
    let restored = Place::new(root.path(), "restored").at(&first);
    let order = ["restore", backup, "--replace", "--master-key-file", key.to_str().expect("UTF-8")];
    restored.found(&order).json();
    let node = restored.serve();
    let later = token(&node, &password);
    eventually("it is heard no more", || {
        // What was proved before wears off: 503 while that is asked for, and never accepted again.
        (verdict(guest.0, &early) != 200).then_some(())
    });
    let now = known(guest);
    for key in ["generation", "sequence", "circle_key"] {
        assert_eq!(now[key], before[key], "nothing that the restored one says continues what was believed");
    }
    assert_ne!(verdict(guest.0, &later), 200, "its new key was told to nobody");

    pair((&node, &password), guest, &root);
    eventually("its token is accepted", || (verdict(guest.0, &later) == 200).then_some(()));
    let anew = known(guest);
    assert_ne!(anew["circle_key"], before["circle_key"]);
    assert!(anew["generation"].as_u64() > before["generation"].as_u64(), "{anew}");
    assert_ne!(verdict(guest.0, &early), 200, "what was issued before has ended");
}
