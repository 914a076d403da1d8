//! Nodes that come and go, or are lost for good and replaced by others; one at a time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use circlet_sim::history::Event;

use super::{Chaos, Fault, NODES_MORE};
use crate::lab::{Node, last_lines};

/// Whatever else is wrong ends long before this.
const PATIENCE: Duration = Duration::from_mins(3);

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(300);

impl Chaos {
    /// A machine is lost with its disk. It is removed, and another joins under its name and at its address.
    pub(super) async fn replace(&self, victim: &Arc<Node>) -> bool {
        let Ok(_moving) = self.moving.try_lock() else { return false };
        let Some(_breaking) = self.take(victim) else { return false };
        let number = victim.number.to_string();
        self.say(Fault::Replacement, format!("node {number} is lost with its disk, another takes its place"));
        victim.note(|known| (known.runs, known.ready) = (false, false));
        self.judge.tell(&Event::Killed { node: victim.number, lost: 0 });
        self.in_time(self.join_anew(&number), format!("node {number} could not be replaced")).await;
        self.start(victim).await;
        self.in_time(self.until_it_votes(&number), format!("the new node {number} got no vote")).await
    }

    /// A machine is lost, and somebody has its disk. An administrator declares its node lost: what it knew is replaced, it comes
    /// back to nothing, and another joins under its name and at its address.
    pub(super) async fn lose(&self, victim: &Arc<Node>) -> bool {
        let Ok(_moving) = self.moving.try_lock() else { return false };
        let Some(_breaking) = self.take(victim) else { return false };
        let number = victim.number.to_string();
        self.say(Fault::StolenDisk, format!("node {number} is lost, and somebody has its disk"));
        victim.note(|known| (known.runs, known.ready) = (false, false));
        self.lab.must(&self.judge, &["steal", &number]).await;
        self.judge.tell(&Event::Killed { node: victim.number, lost: 0 });
        self.lab.must(&self.judge, &["wipe", &number]).await;
        // It can be declared lost as a member, or once it was removed.
        if self.dice.percent(50) || self.workload.is_hollow() {
            let removed = format!("node {number} could not be removed");
            self.in_time(self.until_removed(&number), removed).await;
        }
        let undone = format!("what the lost node {number} knew could not be replaced");
        let declared = self.workload.declare_lost(victim);
        let is_over = self.in_time(declared, undone).await
            && self
                .in_time(self.until_all_know_that_it_left(victim), format!("not all know that {number} left"))
                .await
            && self.comes_back_to_nothing(victim).await;
        self.in_time(self.join_anew(&number), format!("node {number} could not be replaced")).await;
        self.start(victim).await;
        let votes = self.in_time(self.until_it_votes(&number), format!("the new node {number} got no vote"));
        votes.await && is_over
    }

    /// Who never heard of the removal would let it in as a member; that is a known limit.
    async fn until_all_know_that_it_left(&self, gone: &Node) {
        for node in self.lab.nodes().iter().filter(|node| node.number != gone.number) {
            let since = self.judge.now();
            while self.lab.has(node) && node.fresh_since() < since {
                self.workload.read_fresh(node).await;
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Whoever has the disk of a removed node starts it: it is refused, and stops for good.
    async fn comes_back_to_nothing(&self, lost: &Node) -> bool {
        let (number, stolen) = (lost.number.to_string(), self.lab.stolen());
        match self.lab.run(&["haunt", &number, &stolen.display().to_string()]).await.as_deref().map(str::trim)
        {
            Ok("1") => {
                self.judge.count("stolen disk started, and refused");
                true
            }
            ended => {
                let words = last_lines(&stolen.with_extension("log"));
                let said =
                    format!("node {number} was declared lost, and its disk serves on: {ended:?}: {words}");
                self.judge.accuse("removed-node", said);
                false
            }
        }
    }

    /// Another node joins.
    pub(super) async fn let_join(&self) -> bool {
        let Ok(_moving) = self.moving.try_lock() else { return false };
        self.lab.nodes().len() < self.nodes_min + NODES_MORE && self.join_another().await
    }

    /// A node is taken from the clients and removed, and stops by itself. If there would be too few, another joins first.
    pub(super) async fn let_leave(&self, victim: &Arc<Node>) -> bool {
        let Ok(_moving) = self.moving.try_lock() else { return false };
        if self.lab.nodes().len() <= self.nodes_min && self.join_another().await {
            self.was_made(Fault::Join);
        }
        let leader = if self.dice.percent(40) { self.leader().await } else { None };
        let victim = leader.as_ref().unwrap_or(victim);
        let _breaking = victim.breaking.lock().await;
        if !self.lab.has(victim) || self.lab.nodes().len() <= self.nodes_min {
            return false;
        }
        let number = victim.number.to_string();
        self.say(Fault::Leave, format!("node {number} leaves"));
        victim.note(|known| (known.runs, known.ready) = (false, false));
        let removed = format!("node {number} could not be removed");
        let stopped = format!("node {number} was removed and runs on");
        let has_left = self.in_time(self.until_removed(&number), removed).await
            && self.in_time(self.until_it_stops(victim), stopped).await;
        self.judge.tell(&Event::Killed { node: victim.number, lost: 0 });
        self.lab.forget(victim);
        self.lab.must(&self.judge, &["wipe", &number]).await;
        has_left
    }

    async fn join_another(&self) -> bool {
        let number = self.lab.free_number();
        self.say(Fault::Join, format!("node {number} joins"));
        let text = number.to_string();
        self.in_time(self.join_anew(&text), format!("node {text} could not join")).await;
        match self.lab.add(number).await {
            Ok(node) => self.start(&node).await,
            Err(why) => {
                self.judge.accuse("lab", why);
                return false;
            }
        }
        self.in_time(self.until_it_votes(&text), format!("the new node {text} got no vote")).await
    }

    async fn in_time(&self, what: impl Future<Output = ()>, otherwise: String) -> bool {
        let is_done = tokio::time::timeout(PATIENCE, what).await.is_ok();
        if !is_done {
            self.judge.accuse("liveness", otherwise);
        }
        is_done
    }

    /// Makes a node of this number on an empty disk. A join that is broken off half way has used up its name: then all of it
    /// is done once more.
    async fn join_anew(&self, number: &str) {
        loop {
            self.lab.must(&self.judge, &["wipe", number]).await;
            self.until_removed(number).await;
            match self.lab.run(&["make", number]).await {
                Ok(_) => return,
                Err(why) => {
                    self.judge.tell(&Event::Fault { what: format!("no new node {number} yet: {why}") });
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn until_removed(&self, number: &str) {
        while !self.workload.remove(&format!("node-{number}")).await {
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn until_it_stops(&self, node: &Node) {
        while self.lab.is_alive(node) {
            tokio::time::sleep(RETRY).await;
        }
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
        let Some(answer) = self.workload.read(through, "/circlet/v1/cluster/status").await else {
            return false;
        };
        let nodes = answer.body["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        nodes.iter().any(|node| node["name"] == name && node["role"] == "voter")
    }
}
