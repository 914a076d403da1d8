//! Processes that are killed, stopped in their tracks, or lose their power.

use std::sync::Arc;

use circlet_sim::history::Event;

use super::{Chaos, Fault};
use crate::lab::Node;

impl Chaos {
    /// A process is killed, and started again later.
    pub(super) async fn kill(&self, victim: &Arc<Node>) -> bool {
        let Some(_breaking) = self.take(victim) else { return false };
        self.say(Fault::Kill, format!("node {} is killed", victim.number));
        self.end(victim).await;
        self.wait_ms(20, 3_000).await;
        self.start(victim).await;
        true
    }

    /// The leader is killed and is back at once.
    pub(super) async fn bounce_leader(&self) -> bool {
        let Some(leader) = self.leader().await else { return false };
        let Some(_breaking) = self.take(&leader) else { return false };
        self.say(Fault::BounceLeader, format!("leader {} dies and comes back at once", leader.number));
        self.end(&leader).await;
        self.start(&leader).await;
        true
    }

    /// A process is stopped in its tracks for a while, often the leader.
    pub(super) async fn pause(&self, victim: &Arc<Node>) -> bool {
        let leader = if self.dice.percent(50) { self.leader().await } else { None };
        let victim = leader.as_ref().unwrap_or(victim);
        let Some(_breaking) = self.take(victim) else { return false };
        if !victim.condition().runs {
            return false;
        }
        victim.note(|known| known.paused = true);
        let number = victim.number.to_string();
        // It may have stopped itself a moment ago: then the supervisor finds it.
        let is_paused = self.lab.run(&["pause", &number]).await.is_ok();
        if is_paused {
            self.say(Fault::Pause, format!("node {number} is paused"));
            self.wait_ms(500, 4_500).await;
            self.lab.must(&self.judge, &["resume", &number]).await;
        }
        victim.note(|known| known.paused = false);
        is_paused
    }

    /// Machines lose power at once, and with it what they hadn't synced.
    pub(super) async fn power_cut(&self, fault: Fault, victims: &[Arc<Node>]) -> bool {
        let mut breaking = Vec::new();
        for victim in victims {
            breaking.push(victim.breaking.lock().await);
        }
        // One may have left while another was waited for.
        let victims: Vec<&Arc<Node>> = victims.iter().filter(|victim| self.lab.has(victim)).collect();
        if victims.is_empty() {
            return false;
        }
        let numbers: Vec<String> = victims.iter().map(|victim| victim.number.to_string()).collect();
        self.say(fault, format!("power cut at {}", numbers.join(", ")));
        for victim in &victims {
            victim.note(|known| (known.runs, known.ready) = (false, false));
        }
        let arguments: Vec<&str> =
            std::iter::once("power-cut").chain(numbers.iter().map(String::as_str)).collect();
        self.lab.must(&self.judge, &arguments).await;
        for victim in victims {
            self.judge.tell(&Event::Killed { node: victim.number, lost: 0 });
            self.wait_ms(5, 300).await;
            self.start(victim).await;
        }
        true
    }

    /// Kills a process.
    pub(super) async fn end(&self, victim: &Node) {
        victim.note(|known| (known.runs, known.ready) = (false, false));
        self.lab.must(&self.judge, &["kill", &victim.number.to_string()]).await;
        self.judge.tell(&Event::Killed { node: victim.number, lost: 0 });
    }
}
