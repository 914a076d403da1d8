//! Afterwards nothing is wrong any more: then there is one leader, all nodes know the same, writes work everywhere, and
//! everything that was acknowledged is there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use circlet_token::TokenId;
use reqwest::Method;
use serde_json::Value;

use crate::bounds::RECOVERY;
use crate::client::Shown;
use crate::workload::verifying::BOUND_MS;
use crate::workload::{Held, Workload, wall_secs};

/// So many tokens of each kind are looked at in the end, the newest.
const LOOKED_AT_MAX: usize = 150;

/// Lists that differ are read so often.
const LISTED_MAX: usize = 4;

/// How far a new token's time may be from ours, in seconds: what a leader's clock may be off, twice, and a little.
const TIME_OFF_SECS_MAX: u64 = 15;

/// A clean-up of the tokens' states by the clock of one node can't be seen by the others sooner.
const CLOCKS_SETTLE: Duration = Duration::from_millis(2_500);

/// Looks whether all is well, now that nothing is wrong any more. The clients have stopped.
pub(crate) async fn look(workload: &Arc<Workload>) {
    tokio::time::sleep(CLOCKS_SETTLE).await;
    let deadline = tokio::time::Instant::now() + RECOVERY;
    loop {
        match healthy(workload).await {
            Ok(()) => break,
            Err(why) if tokio::time::Instant::now() > deadline => {
                workload.judge.accuse("liveness", format!("{} s without faults: {why}", RECOVERY.as_secs()));
                return;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    workload.let_all_in().await;
    for node in &workload.lab.nodes() {
        workload.read_fresh(node).await;
        workload.read_state(node).await;
        workload.issue(node).await;
        workload.tell_secrets_on_disk(node).await;
    }
    new_master_key(workload, deadline).await;
    same_lists(workload).await;
    tokio::time::sleep(Duration::from_millis(BOUND_MS + 100)).await;
    living_and_ended(workload).await;
    right_time(workload);
}

/// One leader that all nodes name, the same index on all of them, each fresh; and those that are there vote, and no others.
async fn healthy(workload: &Workload) -> Result<(), String> {
    let there: BTreeSet<String> =
        workload.lab.nodes().iter().map(|node| format!("node-{}", node.number)).collect();
    let mut seen: Vec<(Value, Value)> = Vec::new();
    for node in &workload.lab.nodes() {
        let url = format!("{}/readyz?consistency=strong", node.url);
        let answer = workload.client.send(Method::GET, url, Shown::Nothing, None).await;
        let answer = answer.ok_or_else(|| {
            format!("node {} does not answer; its log ends: {}", node.number, workload.lab.last_words(node))
        })?;
        if answer.status != 200 || answer.body["ready"] != true {
            return Err(format!("node {} is not ready: {}", node.number, answer.body));
        }
        seen.push((answer.body["leader"].clone(), answer.body["applied_index"].clone()));
        let status = workload.read(node, "/circlet/v1/cluster/status").await;
        let status = status.ok_or_else(|| format!("node {} does not tell who belongs", node.number))?;
        if status.body["lost"].as_array().is_none_or(|lost| !lost.is_empty()) {
            return Err(format!("what lost nodes knew is not replaced: {}", status.body["lost"]));
        }
        let members = status.body["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let voters = members.iter().filter(|member| member["role"] == "voter");
        let voters: BTreeSet<String> =
            voters.filter_map(|voter| voter["name"].as_str().map(str::to_owned)).collect();
        if voters != there || members.len() != there.len() {
            return Err(format!(
                "node {} has {} as members, and there are {there:?}",
                node.number, status.body["nodes"]
            ));
        }
    }
    seen.dedup();
    match seen.as_slice() {
        [(leader, _)] if !leader.is_null() => Ok(()),
        _ => Err(format!("leader and index differ: {seen:?}")),
    }
}

/// Nothing keeps the master key from being replaced, and so every node has the present one.
async fn new_master_key(workload: &Arc<Workload>, deadline: tokio::time::Instant) {
    for node in workload.lab.nodes().iter().cycle() {
        if workload.turn_master_key(node).await {
            return;
        }
        if tokio::time::Instant::now() > deadline {
            return workload.judge.accuse("liveness", "the master key could not be replaced".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Every node lists the same tokens, and the same users; at the latest when whatever was under way has arrived.
async fn same_lists(workload: &Arc<Workload>) {
    let mut differ = Err("nobody was asked".to_owned());
    for _ in 0..LISTED_MAX {
        differ = compare_lists(workload).await;
        if differ.is_ok() {
            break;
        }
        tokio::time::sleep(CLOCKS_SETTLE).await;
    }
    match differ {
        Err(why) => workload.judge.accuse("agreement", why),
        Ok(listed) => {
            let held = workload.held().clone();
            let recorded = held.iter().filter(|held| !held.is_plain);
            for lost in recorded.filter(|held| workload.is_untouched(held) && !listed.contains(&held.id)) {
                workload.judge.accuse("listed", format!("token {} was acknowledged and is gone", lost.id));
            }
        }
    }
}

async fn compare_lists(workload: &Arc<Workload>) -> Result<BTreeSet<TokenId>, String> {
    let mut lists = Vec::new();
    for node in &workload.lab.nodes() {
        let tokens = workload.listed(node, "").await;
        let users = workload.read(node, "/access/api/v2/users?consistency=strong").await;
        match (tokens, users) {
            (Some(tokens), Some(users)) => lists.push((tokens, users.body["users"].clone())),
            _ => return Err(format!("node {} does not list what it knows", node.number)),
        }
    }
    lists.dedup();
    if let [(tokens, _)] = lists.as_slice() {
        return Ok(tokens.clone());
    }
    let counts: Vec<_> = lists.iter().map(|(tokens, users)| (tokens.len(), users)).collect();
    Err(format!("the nodes list different tokens or users: {counts:?}"))
}

/// What nobody tried to end is accepted by every node, and what was ended by none.
async fn living_and_ended(workload: &Workload) {
    let held = workload.held().clone();
    let newest = |wanted: &dyn Fn(&Held) -> bool| -> Vec<Held> {
        held.iter().rev().filter(|held| wanted(held)).take(LOOKED_AT_MAX).cloned().collect()
    };
    let lives = |held: &Held| workload.is_untouched(held) && workload.is_in_time(held);
    let living = newest(&|held| lives(held) && !held.is_plain);
    let living_plain = newest(&|held| lives(held) && held.is_plain);
    let ended = newest(&|held| workload.is_ended(held));
    for node in &workload.lab.nodes() {
        for token in living.iter().chain(&living_plain) {
            if workload.judge_by(node, token).await == Some(false) {
                let said =
                    format!("token {} of nobody's ending is refused by node {}", token.id, node.number);
                workload.judge.accuse("acknowledged", said);
            }
        }
        for token in &ended {
            // That it is refused is for the invariants to say.
            workload.judge_by(node, token).await;
        }
    }
    workload.judge.note("tokens living in the end", living.len());
    workload.judge.note("plain tokens living in the end", living_plain.len());
    workload.judge.note("tokens ended in the end", ended.len());
}

/// No clock has carried the cluster's time away.
fn right_time(workload: &Workload) {
    let held = workload.held();
    let Some(newest) = held.last() else { return };
    let (issued_at, now) = (newest.issued_at, wall_secs());
    if issued_at.abs_diff(now) > TIME_OFF_SECS_MAX + RECOVERY.as_secs() {
        let said = format!("the newest token was issued at {issued_at}, and it is {now}");
        workload.judge.accuse("time", said);
    }
}
