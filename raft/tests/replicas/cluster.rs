//! Replicas over real sockets and disks: who decides, what is fresh, who is let in, what survives.

use std::time::Duration;

use crate::lines::{ADMIT, BOMB, Lines, NONSENSE};
use crate::nodes::{Node, cluster, identity, leader, patient, until};
use crate::ports::free_port;
use circlet_raft::{
    Dismissed, Doorkeeper, Identity, KnockError, Machine, MemberError, ProposeError, Settings, knock, offline,
};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_command_proposed_anywhere_is_seen_there_and_then_everywhere() {
    let home = home();
    let nodes = cluster(&home, 3, &patient());
    for node in &nodes {
        let line = format!("from {}", node.id());
        let committed = node.decide(&line);
        assert_eq!(committed.outcome, committed.index.to_be_bytes());
        assert!(node.has(&line), "the proposer's own view holds it");
        until("the others have it", || nodes.iter().all(|other| other.has(&line)));
    }
    let digests: Vec<_> = nodes.iter().map(|node| Lines::digest(&node.raft().published().view)).collect();
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
    until("nonsense is refused", || {
        let refused = nodes[1].propose(NONSENSE).unwrap_err();
        refused == ProposeError::Refused("nonsense".to_owned())
    });
}

#[test]
fn every_node_proves_that_its_view_is_fresh() {
    let home = home();
    let nodes = cluster(&home, 3, &patient());
    for (number, node) in nodes.iter().enumerate() {
        let line = format!("line {number}");
        nodes[(number + 1) % 3].decide(&line);
        until("fresh", || node.is_fresh_now());
        assert!(node.has(&line), "a fresh view holds what was acknowledged before");
    }
}

#[test]
fn writes_resume_when_the_leader_dies_and_it_catches_up_when_it_is_back() {
    let home = home();
    let mut nodes = cluster(&home, 3, &patient());
    nodes[1].decide("before");
    let dead = leader(&nodes);
    nodes[dead].kill();
    let survivor = (dead + 1) % 3;
    nodes[survivor].decide("after");
    assert!(nodes[survivor].has("before"));
    nodes[dead].start();
    until("it is back and fresh", || nodes[dead].is_fresh_now());
    assert!(nodes[dead].has("before") && nodes[dead].has("after"));
}

#[test]
fn a_leader_whose_clients_take_all_threads_goes_on_leading() {
    let home = home();
    let nodes = cluster(&home, 3, &patient());
    nodes[0].decide("line");
    let busy = leader(&nodes);
    let term = nodes[busy].raft().status().term;
    nodes[busy].while_its_threads_are_taken(|| {
        for follower in nodes.iter().filter(|node| !node.leads()) {
            until("the leader, or its successor, has answered", || follower.is_fresh_now());
            let status = follower.raft().status();
            assert_eq!((status.leader, status.term), (Some(nodes[busy].id()), term), "no successor");
        }
    });
}

#[test]
fn a_stopping_leader_hands_over_first() {
    let home = home();
    // Nobody stands for election unasked for as long.
    let settings = Settings { election_min_ms: 20_000, election_max_ms: 24_000, ..Settings::default() };
    let mut nodes = cluster(&home, 3, &settings);
    nodes[0].decide("compare clocks");
    let first = leader(&nodes);
    let term = nodes[first].raft().status().term;
    nodes[first].stop();
    let second = leader(&nodes);
    assert_ne!(first, second);
    assert_eq!(nodes[second].raft().status().term, term + 1, "no election timed out on the way");
    nodes[second].decide("led by another");
}

#[test]
fn a_restarted_node_is_not_fresh_until_a_leader_has_confirmed_it() {
    let home = home();
    let mut nodes = cluster(&home, 3, &patient());
    nodes[0].decide("line");
    nodes.iter_mut().for_each(Node::kill);
    nodes[2].start();
    assert!(!nodes[2].is_fresh_now());
    assert_eq!(nodes[2].raft().published().fresh_as_of, None);
    nodes[1].start();
    until("two of three are enough", || nodes[2].is_fresh_now());
    assert!(nodes[2].has("line"));
}

#[test]
fn a_leader_back_within_its_lease_leads_only_after_an_election() {
    let home = home();
    let mut nodes = cluster(&home, 3, &patient());
    nodes[0].decide("acknowledged");
    let old = leader(&nodes);
    let term = nodes[old].raft().status().term;
    nodes[old].kill();
    nodes[old].start();
    until("fresh again", || nodes[old].is_fresh_now());
    assert!(nodes[old].has("acknowledged"));
    assert!(nodes[old].raft().status().term > term);
}

#[test]
fn a_node_that_was_away_too_long_gets_a_snapshot() {
    let home = home();
    let settings = Settings { snapshot_log_bytes: 20_000, ..patient() };
    let mut nodes = cluster(&home, 3, &settings);
    let away = (leader(&nodes) + 1) % 3;
    let last = nodes[away].raft().status().last_log;
    nodes[away].kill();
    let writer = leader(&nodes);
    // The leader holds one request of up to 300 entries ready for a peer that is away.
    let ready = last.map(|last| last + 300);
    let mut number = 0;
    until("whoever may lead has purged beyond what it has", || {
        let line = format!("{number} {}", "x".repeat(500));
        number += 1;
        nodes[writer].decide(&line);
        nodes.iter().filter(|node| node.is_running()).all(|node| node.raft().status().purged > ready)
    });
    nodes[away].start();
    until("it has caught up", || nodes[away].is_fresh_now());
    until("it says so", || nodes[away].raft().status().snapshot > last);
    let digest = |node: &Node| Lines::digest(&node.raft().published().view);
    until("they are equal", || digest(&nodes[away]) == digest(&nodes[writer]));
}

#[test]
fn a_member_with_another_key_than_the_recorded_one_is_refused() {
    refused_while(|own| identity(own.node_id));
}

#[test]
fn a_member_of_another_service_or_generation_is_refused() {
    refused_while(|own| Identity { generation: 2, ..own.clone() });
    refused_while(|own| Identity { service_id: "jfrt@01other".to_owned(), ..own.clone() });
}

/// A follower that comes back under an identity that was tampered with hears nothing, until it has its own again.
fn refused_while(tamper: impl Fn(&Identity) -> Identity) {
    let home = home();
    let mut nodes = cluster(&home, 3, &patient());
    let follower = (leader(&nodes) + 1) % 3;
    nodes[follower].kill();
    let own = nodes[follower].identity.clone();
    nodes[follower].identity = tamper(&own);
    nodes[follower].start();
    let writer = leader_of_two(&nodes, follower);
    nodes[writer].decide("not for strangers");
    assert!(!nodes[follower].is_fresh_now(), "nobody answers it");
    assert!(!nodes[follower].has("not for strangers"), "nobody tells it");
    nodes[follower].kill();
    nodes[follower].identity = own;
    nodes[follower].start();
    until("its own identity opens the doors again", || nodes[follower].is_fresh_now());
    assert!(nodes[follower].has("not for strangers"));
}

/// The leader that the two nodes other than `without` know.
fn leader_of_two(nodes: &[Node], without: usize) -> usize {
    let mut found = 0;
    until("one of the two leads", || {
        let position = (0..nodes.len()).find(|at| *at != without && nodes[*at].leads());
        found = position.unwrap_or(0);
        position.is_some()
    });
    found
}

#[test]
fn strangers_may_knock_and_nothing_else() {
    let home = home();
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca_params = ca_params();
    let ca = ca_params.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca_params, &ca_key);
    let mut node = Node::new(1, &home, Settings::default());
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().signed_by(&key, &issuer).unwrap();
    node.identity.certificate_chain = vec![certificate.der().to_vec(), ca.der().to_vec()];
    node.identity.private_key = key.serialize_der().into();
    node.start();

    let fingerprint: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(ca.der()).into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |doorkeeper, request: &'static [u8]| {
        let (address, identity) = (node.address.clone(), identity(0));
        runtime.block_on(async move {
            let mut seen = [0; 32];
            let make = |exporter: [u8; 32]| {
                seen = exporter;
                request.to_vec()
            };
            let answer = knock(&address, doorkeeper, &identity, make).await;
            (answer, seen)
        })
    };
    let (answer, exporter) = ask(Doorkeeper::SignedBy(fingerprint), b"let me in");
    assert_eq!(answer.unwrap(), [exporter.as_slice(), b"let me in"].concat(), "both derived the same secret");
    assert!(matches!(ask(Doorkeeper::Anybody, b"no").0, Err(KnockError::Refused(why)) if why == "not today"));
    assert!(matches!(ask(Doorkeeper::SignedBy([7; 32]), b"let me in").0, Err(KnockError::Stranger { .. })));
}

fn ca_params() -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
}

#[test]
fn members_can_be_removed_and_leadership_moved_from_any_node() {
    let home = home();
    let nodes = cluster(&home, 3, &patient());
    nodes[0].decide("line");
    let first = leader(&nodes);
    let (second, third) = ((first + 1) % 3, (first + 2) % 3);
    let (second_id, third_id) = (nodes[second].id(), nodes[third].id());
    until("the second leads", || {
        // Refused while it is under way, or when it is done.
        let _ = nodes[third].wait(|raft| async move { raft.transfer(second_id).await });
        nodes[second].leads()
    });
    until("the third is removed", || {
        nodes[first].wait(|raft| async move { raft.remove(third_id).await }).is_ok()
    });
    until("it is gone", || nodes[first].raft().status().members.len() == 2);
    // Its key is good for nothing but to hear that.
    let told = nodes[third].wait(|raft| async move {
        tokio::time::timeout(Duration::from_mins(2), raft.dismissed()).await.unwrap()
    });
    assert!(matches!(told, Dismissed::Removed { index } if index <= nodes[first].raft().published().index));
    nodes[first].decide("without the third");
    let unknown = nodes[first].wait(|raft| async move { raft.promote(99).await });
    assert!(matches!(unknown, Err(MemberError::Refused(_))));
}

#[test]
fn a_node_that_moved_is_found_by_the_only_one_who_can_be_elected() {
    let home = home();
    let mut nodes = cluster(&home, 3, &patient());
    nodes[0].decide("line");
    let lead = leader(&nodes);
    let (stays, moves) = ((lead + 1) % 3, (lead + 2) % 3);
    nodes[moves].kill();
    nodes[lead].decide("what it lacks");
    until("the one that stays has it", || nodes[stays].has("what it lacks"));
    nodes[lead].kill();
    nodes[moves].address = format!("127.0.0.1:{}", free_port());
    nodes[moves].start();
    let (id, peer) = (nodes[moves].id(), nodes[moves].peer());
    until("it is recorded where it is", || {
        let told = peer.clone();
        nodes[moves].wait(|raft| async move { raft.relocate(id, told).await }).is_ok()
    });
    nodes[stays].decide("by two of three");
    until("the one that moved has it", || nodes[moves].has("by two of three"));
    assert_eq!(nodes[stays].raft().status().members[&id].peer, peer);
}

#[test]
fn a_node_that_was_admitted_and_never_came_can_be_removed() {
    let home = home();
    let nodes = cluster(&home, 1, &patient());
    nodes[0].decide(&format!("{ADMIT}7"));
    let admitted = || Lines::admitted(&nodes[0].raft().published().view);
    assert_eq!(admitted().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [7]);
    until("it is removed", || nodes[0].wait(|raft| async move { raft.remove(7).await }).is_ok());
    assert!(admitted().is_empty(), "its key is not known any more");
    until("the status says so", || nodes[0].raft().status().members.len() == 1);
    nodes[0].decide("life goes on");
}

#[test]
fn a_machine_that_fails_stops_its_node_with_the_reason() {
    let home = home();
    let nodes = cluster(&home, 1, &patient());
    assert!(nodes[0].propose(BOMB).is_err());
    let reason = nodes[0].wait(|raft| async move {
        tokio::time::timeout(Duration::from_mins(2), raft.stopped()).await.unwrap()
    });
    assert!(reason.contains("a bomb"), "{reason}");
    assert!(nodes[0].propose("more").is_err());
}

#[test]
fn a_node_whose_disk_was_set_back_is_refused_by_the_leader_it_had_answered() {
    let home = home();
    let mut nodes = cluster(&home, 3, &patient());
    let lead = leader(&nodes);
    let follower = (lead + 1) % 3;
    let backup = home.path().join("backup");
    nodes[follower].kill();
    nodes[follower].copy_disk(&backup, false);
    nodes[follower].start();
    nodes[follower].decide("acknowledged by all");
    let last = nodes[lead].raft().status().last_log;
    let id = nodes[follower].id();
    let member = |nodes: &[Node]| nodes[lead].raft().status().members[&id].clone();
    until("it has it on its disk", || member(&nodes).matched >= last);
    nodes[follower].kill();
    nodes[follower].copy_disk(&backup, true);
    nodes[follower].start();
    until("the leader notices", || member(&nodes).set_back);
    assert!(!nodes[follower].is_fresh_now(), "the leader doesn't talk to it any more");
    assert!(!nodes[follower].has("acknowledged by all"));
    nodes[lead].decide("life goes on");
}

/// Two of three are gone for good. What is left on the third begins again beyond every index of before, with the third
/// alone, and grows from there; the others can't come back.
#[test]
fn a_folder_that_no_node_has_open_is_read_to_its_end_and_begins_another_log() {
    const BEYOND: u64 = 1_000_000_000_000;
    let home = home();
    let mut nodes = cluster(&home, 3, &patient());
    let lines: Vec<String> = (0..40).map(|number| format!("line {number}")).collect();
    for line in &lines {
        nodes[1].decide(line);
    }
    let last = lines.len();
    until("the first has all", || lines.iter().all(|line| nodes[0].has(line)));
    for node in &mut nodes {
        node.kill();
    }
    let held = offline::read::<Lines>(&home.path().join("1")).unwrap();
    assert_eq!(held.machine.view().lines.len(), last);
    assert!(held.decided <= held.last && held.last >= last as u64);
    assert_eq!((held.voters.len(), held.peers.len()), (3, 3));
    let unread = offline::read::<Lines>(&home.path().join("nowhere")).err().unwrap();
    assert!(unread.to_string().contains("no log"), "{unread}");

    let mut first = Node::new(BEYOND, &home, patient());
    first.identity.generation = 2;
    let data = home.path().join(BEYOND.to_string());
    offline::begin(&data, BEYOND, (BEYOND, first.peer()), held.machine.capture()).unwrap();
    let again = offline::begin(&data, BEYOND, (BEYOND, first.peer()), held.machine.capture());
    assert!(again.unwrap_err().to_string().contains("holds data"));
    first.start();
    assert!(first.decide("after").index > BEYOND);
    first.stop();
    first.start();
    until("it is all there again", || first.has("after") && lines.iter().all(|line| first.has(line)));

    let mut second = Node::new(BEYOND + 7, &home, patient());
    second.identity.generation = 2;
    second.introduced = vec![(first.id(), first.peer())];
    second.start();
    let (id, peer) = (second.id(), second.peer());
    until("another one joins", || {
        let peer = peer.clone();
        first.wait(|raft| async move { raft.add_learner(id, peer).await }).is_ok()
    });
    until("it has what was before", || second.has("line 39") && second.has("after"));
    // One of before finds nobody who would speak with it.
    nodes[1].start();
    nodes[2].start();
    nodes[1].decide("on their own");
    assert_eq!(first.raft().status().members.len(), 2);
    assert!(!first.has("on their own") && !nodes[1].has("after"));
}

#[test]
fn a_node_whose_disk_was_set_back_is_noticed_by_a_leader_that_it_never_answered() {
    let home = home();
    let mut nodes = cluster(&home, 3, &patient());
    let old = leader(&nodes);
    let (follower, next) = ((old + 1) % 3, (old + 2) % 3);
    let backup = home.path().join("backup");
    nodes[follower].kill();
    nodes[follower].copy_disk(&backup, false);
    nodes[follower].start();
    let decided = nodes[follower].decide("acknowledged by all").index;
    let id = nodes[follower].id();
    let member = |nodes: &[Node]| nodes[next].raft().status().members[&id].clone();
    until("it has told the next leader", || member(&nodes).decided >= Some(decided));
    nodes[follower].kill();
    nodes[follower].copy_disk(&backup, true);
    let heir = nodes[next].id();
    until("another leads", || {
        let transferred = nodes[old].wait(|raft| async move { raft.transfer(heir).await });
        transferred.is_ok() && nodes[next].leads()
    });
    nodes[follower].start();
    until("the next leader notices", || member(&nodes).set_back);
    let told = nodes[follower].wait(|raft| async move {
        tokio::time::timeout(Duration::from_mins(2), raft.dismissed()).await.unwrap()
    });
    assert_eq!(told, Dismissed::SetBack);
    nodes[next].decide("life goes on");
}
