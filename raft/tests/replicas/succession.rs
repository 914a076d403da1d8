//! The word that the cluster goes on in a later generation: who may bring it, and what becomes of who hears it.

use std::time::Duration;

use crate::nodes::{Node, UNBELIEVED, UNKEPT, cluster, identity, leader, patient, until};
use circlet_raft::{DialError, Dismissed, Identity, announce_succession};

/// Tells `to` of a later generation, as whoever has this identity.
fn tell(former: &Identity, to: &Node, generation: u64) -> Result<(), DialError> {
    let (former, id, peer) = (former.clone(), to.id(), to.peer());
    to.wait(|_| async move { announce_succession(&former, id, &peer, generation).await })
}

/// What a node was told that ended it.
fn ended(node: &Node) -> Dismissed {
    node.wait(
        |raft| async move { tokio::time::timeout(Duration::from_mins(2), raft.dismissed()).await.unwrap() },
    )
}

fn is_well(node: &Node) -> bool {
    node.wait(|raft| async move { futures::poll!(std::pin::pin!(raft.dismissed())).is_pending() })
}

#[test]
fn a_member_of_before_ends_those_whom_it_gave_up() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = cluster(&home, 3, &patient());
    nodes[1].decide("line");
    nodes[2].kill();
    let former = nodes[2].identity.clone();
    assert_eq!(tell(&former, &nodes[0], 2), Ok(()));
    assert_eq!(ended(&nodes[0]), Dismissed::Superseded { generation: 2 });
    assert!(is_well(&nodes[1]), "nobody has told it");
    let unkept = tell(&former, &nodes[1], UNKEPT).unwrap_err();
    assert!(unkept.to_string().contains("the disk is full"), "{unkept}");
    assert_eq!(ended(&nodes[1]), Dismissed::Superseded { generation: UNKEPT }, "and yet it is believed");
    let (id, peer) = (nodes[0].id(), nodes[0].peer());
    nodes[0].stop();
    let away = nodes[1].wait(|_| async move { announce_succession(&former, id, &peer, 2).await });
    assert!(away.is_err(), "who isn't there confirms nothing");
}

#[test]
fn nobody_else_ends_anybody() {
    let home = tempfile::tempdir().unwrap();
    let nodes = cluster(&home, 3, &patient());
    nodes[0].decide("line");
    let lead = leader(&nodes);
    let removed = (lead + 1) % 3;
    let (id, told) = (nodes[removed].id(), (lead + 2) % 3);
    until("one is removed", || nodes[lead].wait(|raft| async move { raft.remove(id).await }).is_ok());
    let gone = || !nodes[told].raft().status().members.contains_key(&id);
    until("the others know", gone);
    let member = &nodes[lead].identity;
    let with_another_key = Identity { node_id: member.node_id, ..identity(1) };
    let of_another_generation = Identity { generation: 2, ..member.clone() };
    let of_another_service = Identity { service_id: "jfrt@01other".to_owned(), ..member.clone() };
    let not_a_member = identity(77);
    for (who, former) in [
        ("a removed node", &nodes[removed].identity),
        ("who has no member's key", &with_another_key),
        ("a stranger", &not_a_member),
        ("a member of another generation", &of_another_generation),
        ("a member of another service", &of_another_service),
    ] {
        assert!(tell(former, &nodes[told], 9).is_err(), "{who}");
        assert!(is_well(&nodes[told]), "{who}");
    }
    let unbelieved = tell(member, &nodes[told], UNBELIEVED).unwrap_err();
    assert!(unbelieved.to_string().contains("it is over"), "{unbelieved}");
    assert!(is_well(&nodes[told]));
    nodes[told].decide("life goes on");
    // The same words from a member do it.
    assert_eq!(tell(member, &nodes[told], 9), Ok(()));
    assert_eq!(ended(&nodes[told]), Dismissed::Superseded { generation: 9 });
}
