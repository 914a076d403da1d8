//! Nodes that are lost for good, and others that take their places.

use std::sync::Arc;
use std::time::Duration;

use circlet_sim::history::Event;
use reqwest::Method;

use super::Chaos;
use crate::client::Shown;
use crate::lab::Node;

/// Whatever else is wrong ends long before this.
const PATIENCE: Duration = Duration::from_mins(3);

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(300);

impl Chaos {
    /// A machine is lost with its disk. It is removed, and another joins under its name and at its address.
    pub(super) async fn replace(&self, victim: &Arc<Node>) {
        let Ok(_moving) = self.moving.try_lock() else { return };
        let Ok(_breaking) = victim.breaking.try_lock() else { return };
        let number = victim.number.to_string();
        self.judge
            .fault("replacement", format!("node {number} is lost with its disk, another takes its place"));
        victim.note(|known| (known.runs, known.ready) = (false, false));
        let replaced = tokio::time::timeout(PATIENCE, self.lose_and_join(&number)).await;
        if replaced.is_err() {
            self.judge.accuse("liveness", format!("node {number} could not be replaced"));
        }
        self.start(victim).await;
        let votes = tokio::time::timeout(PATIENCE, self.until_it_votes(&number)).await;
        if votes.is_err() {
            self.judge.accuse("liveness", format!("the new node {number} got no vote"));
        }
    }

    /// A join that is broken off half way has used up its name: then all of it is done once more.
    async fn lose_and_join(&self, number: &str) {
        loop {
            self.lab.must(&self.judge, &["wipe", number]).await;
            self.judge.tell(&Event::Killed { node: number.parse().unwrap_or_default(), lost: 0 });
            while !self.is_removed(number).await {
                tokio::time::sleep(RETRY).await;
            }
            match self.lab.run(&["make", number]).await {
                Ok(_) => return,
                Err(why) => {
                    self.judge.tell(&Event::Fault { what: format!("no new node {number} yet: {why}") });
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn is_removed(&self, number: &str) -> bool {
        let Some(through) = self.dice.pick(&self.lab.running()).cloned() else { return false };
        let url = format!("{}/circlet/v1/cluster/nodes/node-{number}", through.url);
        let shown = Shown::Token(&self.workload.admin);
        let answer = self.workload.client.send(Method::DELETE, url, shown, None).await;
        answer.is_some_and(|answer| matches!(answer.status, 204 | 404))
    }

    async fn until_it_votes(&self, number: &str) {
        loop {
            if let Some(through) = self.dice.pick(&self.lab.running()).cloned()
                && self.votes(&through, &format!("node-{number}")).await
            {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn votes(&self, through: &Node, name: &str) -> bool {
        let url = format!("{}/circlet/v1/cluster/status", through.url);
        let shown = Shown::Token(&self.workload.admin);
        let Some(answer) = self.workload.client.send(Method::GET, url, shown, None).await else {
            return false;
        };
        let nodes = answer.body["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        nodes.iter().any(|node| node["name"] == name && node["role"] == "voter")
    }
}
