//! Replicas over a network in memory: what a cut-off node may claim, what a wrong clock may not, and who leads on a slow disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::lines::{BOMB, Lines, NONSENSE};
use crate::wires::{self, Wires, decide, in_time, leader, peer, start, three, three_on, until};
use circlet_raft::log_store::COMMAND_BYTES_MAX;
use circlet_raft::network::Lane;
use circlet_raft::{
    Clocks, DiskTrouble, Dismissed, Gate, Machine, MemberError, NodeId, NotWelcome, Observation, Observer,
    ProposeError, Stage, Trace, Unconfirmed,
};
use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio_util::bytes::Bytes;

/// What members keep open to each other.
const LANES: [Lane; 4] = [Lane::Calls, Lane::Append, Lane::Heartbeat, Lane::Snapshot];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_leader_is_never_credited_with_freshness_after_the_cut() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    decide(&nodes[2].0, b"before").await;
    let old = leader(&nodes).await;
    let (lost, clocks) = &nodes[old];
    until("the leader is fresh", || lost.published().fresh_as_of.is_some()).await;

    wires.isolate(old as u64 + 1);
    let cut = clocks.now();
    let acknowledged = decide(&nodes[(old + 1) % 3].0, b"after").await;
    assert!(lost.fresh(None).await.is_err());
    assert!(lost.fresh(Some(cut)).await.is_err());
    let published = lost.published();
    assert!(!published.view.lines.contains_key("after"));
    assert!(published.fresh_as_of.unwrap().boot_ms <= cut.boot_ms, "nothing after the cut is credited");
    let now = clocks.now();
    assert!(published.age_ms(now).unwrap() >= now.boot_ms - cut.boot_ms, "its age grows");
    let orphan = lost.propose(b"orphan".to_vec()).await;
    assert!(matches!(orphan, Err(ProposeError::Unknown(_) | ProposeError::Unavailable(_))), "{orphan:?}");

    wires.heal();
    until("it is fresh again", || lost.published().fresh_as_of.unwrap().boot_ms > now.boot_ms).await;
    let published = lost.fresh(Some(now)).await.unwrap();
    assert!(published.view.lines.contains_key("after"), "fresh means that it holds what was acknowledged");
    assert!(published.index >= acknowledged.index);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_jumps_hands_over_and_stamps_nothing() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    decide(&nodes[0].0, b"before").await;
    let wrong = leader(&nodes).await;
    let (ahead, clocks) = &nodes[wrong];
    clocks.0.store(3_600_000, Ordering::SeqCst);
    let refused = ahead.propose(b"an hour ahead".to_vec()).await;
    assert!(matches!(refused, Err(ProposeError::Unavailable(_))), "{refused:?}");
    until("another leads", || {
        nodes[(wrong + 1) % 3].0.status().leader.is_some_and(|leader| leader != wrong as u64 + 1)
    })
    .await;
    decide(ahead, b"by another's clock").await;
    let view = ahead.published();
    assert!(!view.view.lines.contains_key("an hour ahead"));
    assert!(view.view.now_ms < clocks.wall_ms() - 3_000_000, "the state's time didn't jump");
    until("its own status says so", || ahead.status().clock_offset_ms.is_some_and(|ms| ms > 3_000_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_applied_never_enters_the_log() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    let large = decide(&nodes[1].0, &vec![b'x'; COMMAND_BYTES_MAX]).await;
    let mut refused = nodes[1].0.propose(NONSENSE.as_bytes().to_vec()).await;
    while matches!(refused, Err(ProposeError::Unavailable(_) | ProposeError::Unknown(_))) {
        refused = nodes[1].0.propose(NONSENSE.as_bytes().to_vec()).await;
    }
    assert_eq!(refused, Err(ProposeError::Refused("nonsense".to_owned())));
    let too_large = nodes[1].0.propose(vec![b'x'; COMMAND_BYTES_MAX + 1]).await;
    assert!(matches!(too_large, Err(ProposeError::Refused(_))));
    until("it is everywhere", || nodes.iter().all(|(node, _)| node.published().index >= large.index)).await;
    assert!(nodes.iter().all(|(node, _)| node.status().stopped.is_none()), "{BOMB} was never proposed");
}

/// At once is: before any other entry is decided. One thread runs all, and each task in its turn, so that the order tells it.
#[tokio::test]
async fn a_node_that_was_removed_loses_the_connections_it_has_before_anything_else_is_decided() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    let mut open = Vec::new();
    for (at, lane) in [1, 2].into_iter().flat_map(|at| LANES.map(|lane| (at, lane))) {
        open.push((at, lane, wires.open(3, at, lane).await, wires.open(3 - at, at, lane).await));
    }
    in_time(async { while nodes[0].0.remove(3).await.is_err() {} }).await;
    for (at, lane, mut removed, mut member) in open {
        let node = &nodes[usize::try_from(at).unwrap() - 1].0;
        let removal = in_time(removal_of(node, 3)).await;
        tokio::select! {
            biased;
            closed = removed.rx.next() => assert!(closed.is_none(), "{lane:?} to node {at} says {closed:?}"),
            _ = decide(node, b"something else") => unreachable!("{lane:?} to node {at} is still open"),
        }
        let told = node.welcomes(3, peer(3).public_key);
        let expected = Dismissed::Removed { index: removal };
        assert!(matches!(told, Err(NotWelcome::Dismissed(why)) if why == expected), "{lane:?} to node {at}");
        assert!(futures::poll!(member.rx.next()).is_pending(), "who is still a member keeps its own");
    }
}

/// A node that was asked to have it let in may have slept since then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_let_a_node_in_that_comes_after_its_removal_does_not_take_it_back() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    in_time(async { while nodes[0].0.remove(3).await.is_err() {} }).await;
    let late = async {
        loop {
            match nodes[1].0.add_learner(3, peer(3)).await {
                Err(MemberError::Unavailable(_)) => {}
                said => return said,
            }
        }
    };
    let said = in_time(late).await;
    assert!(
        matches!(&said, Err(MemberError::Refused(why)) if why.contains("its id never returns")),
        "{said:?}"
    );
    let decided = decide(&nodes[0].0, b"afterwards").await;
    assert!(!nodes[0].0.status().members.contains_key(&3), "at {}", decided.index);
}

/// The index at which a node was removed, once the view of another says so.
async fn removal_of(node: &wires::Node, id: NodeId) -> u64 {
    loop {
        let published = node.published();
        if let Some(removal) = Lines::removed(&published.view, id) {
            return removal.index;
        }
        node.wait_index(published.index + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_while_it_was_removed_hears_of_it_from_whom_it_dials() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    wires.isolate(3);
    in_time(async { while nodes[0].0.remove(3).await.is_err() {} }).await;
    let removed = nodes[0].0.published().index;
    assert!(futures::poll!(std::pin::pin!(nodes[2].0.dismissed())).is_pending());
    wires.heal();
    let Dismissed::Removed { index: heard } = in_time(nodes[2].0.dismissed()).await else {
        unreachable!("its disk is as it was");
    };
    assert!(heard > 0 && heard <= removed, "index {heard} of {removed}");
    assert!(nodes[2].0.published().index < heard, "its own log doesn't know");
    assert!(nodes[2].0.status().members.contains_key(&3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_slept_while_another_joined_follows_it_once_those_it_knows_vouch_for_it() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let mut nodes = three(&home, &wires).await;
    wires.isolate(3);
    let slept_at = nodes[2].0.published().index;
    nodes.push(start(&home, &wires, 4).await);
    in_time(async { while nodes[0].0.add_learner(4, peer(4)).await.is_err() {} }).await;
    let votes = || nodes[0].0.status().members.get(&4).is_some_and(|member| member.voter);
    until("the newcomer votes", votes).await;
    in_time(async { while nodes[0].0.transfer(4).await.is_err() {} }).await;
    until("the newcomer leads", || nodes[0].0.status().leader == Some(4)).await;
    let decided = decide(&nodes[3].0, b"under the newcomer").await;
    assert!(nodes[2].0.welcomes(4, peer(4).public_key).is_err(), "its log doesn't know it");

    wires.heal();
    assert!(nodes[2].0.published().index < decided.index && decided.index > slept_at);
    until("it is up to date", || nodes[2].0.published().index >= decided.index).await;
    assert!(nodes[2].0.welcomes(4, peer(4).public_key).is_ok());
    assert!(nodes[2].0.welcomes(5, peer(5).public_key).is_err(), "nobody vouches for a stranger");
}

/// Of four voters one is gone for good, and only the newest holds the last entry of its log: nobody can be elected but it, and
/// not without a node that slept since before it joined.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_of_four_go_on_though_one_of_them_slept_while_the_newest_joined_that_has_to_lead() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let mut nodes = three(&home, &wires).await;
    wires.isolate(3);
    nodes.push(start(&home, &wires, 4).await);
    in_time(async { while nodes[0].0.add_learner(4, peer(4)).await.is_err() {} }).await;
    let votes = |node: &wires::Node| node.status().members.get(&4).is_some_and(|member| member.voter);
    until("the newcomer votes", || votes(&nodes[0].0) && votes(&nodes[1].0)).await;
    in_time(async { while nodes[0].0.transfer(1).await.is_err() {} }).await;
    until("the first leads", || [0, 1, 3].iter().all(|at| nodes[*at].0.status().leader == Some(1))).await;
    wires.isolate(2);
    let last = |at: usize| nodes[at].0.status().last_log;
    let orphan = nodes[0].0.propose(b"on the newest and the lost one".to_vec());
    let orphan = tokio::join!(orphan, until("the newest has it", || last(3) > last(1))).0;
    assert!(matches!(orphan, Err(ProposeError::Unknown(_) | ProposeError::Unavailable(_))), "{orphan:?}");
    assert!(nodes[2].0.welcomes(4, peer(4).public_key).is_err(), "the sleeper's log doesn't know it");

    wires.isolate(1);
    for id in 2..=3 {
        wires.connect(id);
    }
    let decided = decide(&nodes[1].0, b"by the three that are left").await;
    until("the sleeper is up to date", || nodes[2].0.published().index >= decided.index).await;
    assert!(nodes[2].0.welcomes(4, peer(4).public_key).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_lets_in_without_a_quorum_only_whom_somebody_that_it_knows_names_under_that_key() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let mut nodes = three(&home, &wires).await;
    wires.isolate(3);
    nodes.push(start(&home, &wires, 4).await);
    in_time(async { while nodes[0].0.add_learner(4, peer(4)).await.is_err() {} }).await;
    let votes = || nodes[0].0.status().members.get(&4).is_some_and(|member| member.voter);
    until("the newcomer votes", votes).await;
    in_time(async { while nodes[0].0.transfer(4).await.is_err() {} }).await;
    until("the newcomer leads", || nodes[0].0.status().leader == Some(4)).await;
    // Two of four: nobody leads, and nobody can confirm who belongs.
    wires.isolate(2);
    wires.isolate(4);
    assert!(nodes[2].0.welcomes(4, peer(4).public_key).is_err(), "while it hears nobody");
    wires.connect(3);
    until("it is named", || {
        assert!(nodes[2].0.welcomes(5, peer(5).public_key).is_err(), "nobody names a stranger");
        assert!(nodes[2].0.welcomes(4, peer(5).public_key).is_err(), "nor the newcomer under another key");
        nodes[2].0.welcomes(4, peer(4).public_key).is_ok()
    })
    .await;
    nodes[2].0.tell_by(Arc::new(Believing));
    assert!(
        !in_time(is_believed(&nodes[2].0, 4)).await,
        "that all goes on without it, only members can tell"
    );
    assert!(in_time(is_believed(&nodes[2].0, 1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dialled_as_a_member_and_is_none_any_more_is_not_believed_about_a_later_generation() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    let lead = leader(&nodes).await;
    let (told, gone) = (&nodes[(lead + 1) % 3].0, (lead as u64 + 2) % 3 + 1);
    told.tell_by(Arc::new(Believing));
    let (mut ours, theirs) = wires::pair();
    tokio::spawn(Arc::clone(told).serve(gone, Lane::Succession, theirs));
    in_time(async { while nodes[lead].0.remove(gone).await.is_err() {} }).await;
    until("the other one knows", || !told.status().members.contains_key(&gone)).await;
    let _ = ours.tx.send(LATER_GENERATION).await;
    assert!(in_time(ours.rx.next()).await.is_none(), "a removed node is believed");
    assert!(in_time(is_believed(told, lead as u64 + 1)).await, "and a member is");
}

/// Believes that a later generation goes on.
struct Believing;

impl Gate for Believing {
    fn admit(&self, _: [u8; 32], _: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        async { Err(String::new()) }.boxed()
    }
    fn superseded(&self, _: NodeId, _: u64) -> BoxFuture<'static, Result<(), Unconfirmed>> {
        async { Ok(()) }.boxed()
    }
}

/// What says that generation 5 goes on.
const LATER_GENERATION: Bytes = Bytes::from_static(b"\x01\x05");

/// Whether a node that was let in gets an answer when it says that generation 5 goes on.
async fn is_believed(node: &Arc<wires::Node>, from: NodeId) -> bool {
    let (mut ours, theirs) = wires::pair();
    tokio::spawn(Arc::clone(node).serve(from, Lane::Succession, theirs));
    // It may have hung up before.
    let _ = ours.tx.send(LATER_GENERATION).await;
    ours.rx.next().await.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_members_that_no_quorum_holds_is_not_said_to_be_made() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    // On a busy machine another may lead by the time the leader is cut off: then with the next newcomer.
    for newcomer in 4.. {
        let lead = leader(&nodes).await;
        let alone = Arc::clone(&nodes[lead].0);
        wires.isolate(lead as u64 + 1);
        let asked = Arc::clone(&alone);
        let adding = tokio::spawn(async move { asked.add_learner(newcomer, peer(newcomer)).await });
        let mut holds = false;
        for _ in 0..400 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            holds = alone.status().members.contains_key(&newcomer);
            if holds {
                break;
            }
        }
        if holds {
            let again = alone.add_learner(newcomer, peer(newcomer));
            let again = tokio::time::timeout(std::time::Duration::from_secs(1), again).await;
            assert!(!matches!(again, Ok(Ok(()))), "asked again, it has still not been decided");
            return;
        }
        wires.heal();
        // Whether it was made in the end doesn't matter here.
        let _ = in_time(adding).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_flushes_take_a_second_lets_another_one_lead() {
    /// Nobody's disk.
    const NOBODYS: u64 = 0;
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let slow = Arc::new(AtomicU64::new(NOBODYS));
    let nodes = three_on(&home, &wires, |id| {
        let slow = Arc::clone(&slow);
        Box::new(move |file| {
            if slow.load(Ordering::SeqCst) == id {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            file.sync_data()
        })
    })
    .await;
    decide(&nodes[0].0, b"before").await;
    let bad = leader(&nodes).await;
    let id = bad as u64 + 1;
    let (hampered, follower) = (&nodes[bad].0, &nodes[(bad + 1) % 3].0);
    slow.store(id, Ordering::SeqCst);
    let another_leads = || follower.status().leader.is_some_and(|leader| leader != id);
    decide_until(follower, b"on a slow disk", another_leads).await;
    let slow_there = || hampered.status().disk.trouble == Some(DiskTrouble::Slow);
    decide_until(follower, b"what is wrong is told", slow_there).await;
    let waits = || hampered.status().disk.queued > 0;
    decide_until(follower, b"what waits for a flush is counted", waits).await;
    slow.store(NOBODYS, Ordering::SeqCst);
    let well = || hampered.status().disk.trouble.is_none();
    decide_until(follower, b"what it writes tells that its disk is well", well).await;
}

/// Has the cluster decide again and again until something is so.
async fn decide_until(node: &wires::Node, command: &[u8], so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < std::time::Duration::from_mins(2), "{}", String::from_utf8_lossy(command));
        decide(node, command).await;
    }
}

/// Counts what it is told of.
#[derive(Default)]
struct Told(AtomicUsize);

struct Unheeded;

impl Observation for Unheeded {
    fn reached(&mut self, _: Stage) {}
}

impl Observer for Told {
    fn begins(&self, _: Trace) -> Box<dyn Observation> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::new(Unheeded)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_leaves_its_trace_behind_while_some_node_might_not_understand_it() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    decide(&nodes[0].0, b"before").await;
    let told = Arc::new(Told::default());
    for (node, _) in &nodes {
        node.observe(Arc::clone(&told) as Arc<dyn Observer>);
    }
    let trace = Trace { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    for (number, (node, _)) in nodes.iter().enumerate() {
        // These nodes are at the first level, which knows of no traces; asked of the leader and of followers.
        let proposed = node.propose_traced(format!("traced {number}").into_bytes(), Some(trace)).await;
        assert!(proposed.is_ok(), "{proposed:?}");
    }
    assert_eq!(told.0.load(Ordering::SeqCst), 0);
}
