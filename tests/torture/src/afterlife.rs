//! In the end the cluster is lost, and another begins from what is left of it: a backup that was made during the run, or what
//! one node holds that was cut off. Clients come with all that they had; nothing of it counts any more.

use std::sync::Arc;
use std::time::Duration;

use circlet_sim::dice::Dice;
use circlet_sim::history::Event;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::lab::{Node, last_lines};
use crate::workload::past::Past;
use crate::workload::{Workload, wall_secs};

/// How long each client of the cluster that begins rests at most between two requests, in milliseconds.
const CLIENTS_REST_MS: [u64; 3] = [40, 80, 120];

/// So often the others decide something while the node that will be left is cut off.
const DECIDED_WITHOUT: usize = 4;

/// The generation that doesn't begin.
const PRETENDED: u64 = 2;

/// Between two looks at something that is waited for; the whole has a deadline.
const LOOK: Duration = Duration::from_millis(200);

/// How a cluster ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it is lost, but for a backup.
    Restored,
    /// All nodes are given up but one.
    Recovered,
    /// It is said to begin anew, and goes on as it was.
    Pretended,
}

/// A new generation.
struct Begun {
    /// Its number.
    generation: u64,
    founder: Arc<Node>,
    past: Past,
    /// Who may come back, though given up.
    given_up: Option<Arc<Node>>,
    /// All others.
    others: Vec<u64>,
}

/// Ends the cluster whose clients have stopped, and lets another begin; its clients, who have stopped as well.
pub(crate) async fn begin_anew(
    before: &Arc<Workload>,
    end: End,
    dice: Dice,
) -> Result<Arc<Workload>, String> {
    let begun = match end {
        End::Restored => restored(before).await?,
        End::Recovered => recovered(before).await?,
        End::Pretended => pretended(before).await?,
    };
    let Begun { generation, founder, past, given_up, others } = begun;
    let past = Arc::new(past);
    let lab = Arc::clone(&before.lab);
    until_ready(before, &founder).await;
    let workload = Workload::new(lab, Arc::clone(&before.judge), before.client.clone(), dice)?;
    while !workload.renew_admin().await {
        tokio::time::sleep(LOOK).await;
    }
    let administrator = tokio::spawn(Arc::clone(&workload).keep_admin());
    if let Some(neighbour) = before.neighbour() {
        workload.meet(neighbour);
        neighbour.begins_anew(&workload);
    }
    workload.show_past(&founder, &past).await;
    let mut clients = JoinSet::new();
    for rest_ms in CLIENTS_REST_MS {
        clients.spawn(Arc::clone(&workload).run(rest_ms));
    }
    let returning = given_up.as_ref().map(|node| come_back(&workload, &founder, node, &past));
    let (joined, returned) = tokio::join!(join(&workload, &others), async {
        match returning {
            Some(returning) => returning.await,
            None => Ok(()),
        }
    });
    joined.and(returned)?;
    if let Some(node) = given_up {
        join(&workload, &[node.number]).await?;
    }
    workload.stop();
    while clients.join_next().await.is_some() {}
    let paired = async {
        match workload.neighbour() {
            Some(neighbour) => neighbour.pair_anew(&past, generation).await,
            None => Ok(()),
        }
    };
    let (paired, ()) = tokio::join!(paired, show_around(&workload, &founder, &past));
    paired?;
    administrator.abort();
    Ok(workload)
}

/// All nodes are lost with their disks, and one begins anew from a backup.
async fn restored(before: &Arc<Workload>) -> Result<Begun, String> {
    let (file, passphrase) = before.some_backup().await?;
    let nodes = before.lab.nodes();
    let (first, rest) = nodes.split_first().ok_or("there are no nodes")?;
    before.judge.fault("cluster restored", format!("all is lost but a backup, {file}"));
    let past = before.end();
    let second = wall_secs();
    for node in &nodes {
        lose(before, node, "wipe").await?;
    }
    let number = first.number.to_string();
    let said = before.lab.run(&["restore", &number, &file, &passphrase]).await?;
    let (founder, generation) = begin(before, first.number, &said, second).await?;
    Ok(Begun { generation, founder, past, given_up: None, others: numbers(rest) })
}

/// One node is cut off while the others decide some more; then it is all that is left.
async fn recovered(before: &Arc<Workload>) -> Result<Begun, String> {
    let nodes = before.lab.nodes();
    let left = before.dice.pick(&nodes).cloned().ok_or("there are no nodes")?;
    let others: Vec<Arc<Node>> = nodes.iter().filter(|node| node.number != left.number).cloned().collect();
    let number = left.number.to_string();
    before.judge.fault("cluster recovered", format!("all is lost but node {number}"));
    for other in &others {
        before.lab.run(&["cut", &number, &other.number.to_string()]).await?;
    }
    for _ in 0..DECIDED_WITHOUT {
        for other in &others {
            before.issue(other).await;
            before.revoke(other).await;
        }
    }
    let past = before.end();
    let second = wall_secs();
    for node in &nodes {
        lose(before, node, "kill").await?;
    }
    before.lab.run(&["mend"]).await?;
    let said = before.lab.run(&["recover", &number]).await?;
    let (founder, generation) = begin(before, left.number, &said, second).await?;
    let (given_up, others) =
        others.split_first().map_or((None, [].as_slice()), |(one, rest)| (Some(one), rest));
    Ok(Begun { generation, founder, past, given_up: given_up.cloned(), others: numbers(others) })
}

/// The nodes end, and start again.
async fn pretended(before: &Arc<Workload>) -> Result<Begun, String> {
    let nodes = before.lab.nodes();
    let (first, rest) = nodes.split_first().ok_or("there are no nodes")?;
    let past = before.end();
    for node in &nodes {
        lose(before, node, "kill").await?;
    }
    let (index, second) = (before.newest_index() + 1, wall_secs());
    tell_begun(before, index, second, PRETENDED);
    for node in rest {
        start(before, node.number).await?;
    }
    let founder = start(before, first.number).await?;
    Ok(Begun { generation: PRETENDED, founder, past, given_up: None, others: Vec::new() })
}

fn numbers(nodes: &[Arc<Node>]) -> Vec<u64> {
    nodes.iter().map(|node| node.number).collect()
}

async fn lose(before: &Workload, node: &Node, how: &str) -> Result<(), String> {
    node.note(|known| (known.runs, known.ready) = (false, false));
    before.lab.run(&[how, &node.number.to_string()]).await?;
    before.judge.tell(&Event::Killed { node: node.number, lost: 0 });
    before.lab.forget(node);
    Ok(())
}

/// What the program said when the next generation began tells where: a founder's id is the index of its state.
async fn begin(before: &Workload, number: u64, said: &str, second: u64) -> Result<(Arc<Node>, u64), String> {
    let said: Value = serde_json::from_str(said).map_err(|error| format!("{error}: {said}"))?;
    let index = said["node_id"].as_u64().ok_or_else(|| format!("no node begins: {said}"))?;
    let generation = said["generation"].as_u64().ok_or_else(|| format!("of which generation? {said}"))?;
    tell_begun(before, index, second, generation);
    Ok((start(before, number).await?, generation))
}

/// Here, and to who judges abroad.
fn tell_begun(before: &Workload, index: u64, second: u64, generation: u64) {
    before.judge.tell(&Event::Begun { index, second, on_floor: false });
    if let Some(neighbour) = before.neighbour() {
        let issuer = before.service().clone();
        neighbour.tell(&Event::BegunAbroad { issuer, index, generation, on_floor: false });
    }
}

async fn start(before: &Workload, number: u64) -> Result<Arc<Node>, String> {
    before.judge.tell(&Event::Started { node: number, life: 1 });
    before.lab.run(&["start", &number.to_string()]).await?;
    let node = before.lab.add(number).await?;
    node.note(|known| (known.runs, known.life) = (true, 1));
    Ok(node)
}

async fn until_ready(workload: &Workload, node: &Node) {
    while !workload.is_ready(node).await {
        tokio::time::sleep(LOOK).await;
    }
    node.note(|known| known.ready = true);
}

/// Others join, on empty disks.
async fn join(workload: &Arc<Workload>, numbers: &[u64]) -> Result<(), String> {
    for number in numbers {
        let text = number.to_string();
        workload.judge.tell(&Event::Started { node: *number, life: 1 });
        loop {
            workload.lab.run(&["wipe", &text]).await?;
            match workload.lab.run(&["make", &text]).await {
                Ok(_) => break,
                // A join that is broken off has used up its name.
                Err(why) => {
                    workload.judge.tell(&Event::Fault { what: format!("no new node {text} yet: {why}") });
                }
            }
            workload.remove(&format!("node-{text}")).await;
            tokio::time::sleep(LOOK).await;
        }
        let node = workload.lab.add(*number).await?;
        node.note(|known| (known.runs, known.life) = (true, 1));
        until_ready(workload, &node).await;
    }
    Ok(())
}

/// Shows every node all that clients had, and what the neighbour had issued; who began the generation has seen the former.
async fn show_around(workload: &Arc<Workload>, founder: &Node, past: &Arc<Past>) {
    let mut shown = JoinSet::new();
    for node in workload.lab.nodes() {
        let (workload, past) = (Arc::clone(workload), Arc::clone(past));
        let is_founder = node.number == founder.number;
        shown.spawn(async move {
            if !is_founder {
                workload.show_past(&node, &past).await;
            }
            if let Some(neighbour) = workload.neighbour() {
                neighbour.show_all_here(&node).await;
            }
        });
    }
    while shown.join_next().await.is_some() {}
}

/// A node comes back that was given up. It has heard nothing of that, and can be sure of nothing; it is told, stops, and starts
/// no more.
async fn come_back(
    workload: &Arc<Workload>,
    founder: &Node,
    node: &Arc<Node>,
    past: &Past,
) -> Result<(), String> {
    let (number, home) = (node.number.to_string(), workload.lab.home(node));
    let haunt = ["haunt", &number, &home.display().to_string()];
    let stops = async {
        for _ in 0..2 {
            let ended = workload.lab.run(&haunt).await?;
            if ended.trim() != "1" {
                let words = last_lines(&home.with_extension("log"));
                let said = format!("node {number} was given up, and ended with {}: {words}", ended.trim());
                workload.judge.accuse("given-up", said);
                return Ok(false);
            }
        }
        workload.judge.count("node that was given up came back, and stopped");
        Ok::<bool, String>(true)
    };
    let stopped = tokio::select! {
        stopped = stops => stopped?,
        () = workload.show_again_and_again(node, past) => false,
    };
    if !stopped {
        return Ok(());
    }
    while !workload.knows_of_giving_up(founder, &format!("node-{number}")).await {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
