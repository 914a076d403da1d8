//! What is done to the nodes. The seed shuffles a deck with every kind in it, again and again, so that a short run has
//! them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use circlet_sim::dice::Dice;
use circlet_sim::history::Event;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use crate::deck::Deck;
use crate::judge::Judge;
use crate::lab::{CLOCK_REMEMBERED, Lab, Node};
use crate::workload::Workload;

mod disks;
mod fault;
mod members;
mod network;
mod processes;

pub(crate) use fault::Fault;

/// All faults of one run.
pub(crate) struct Chaos {
    lab: Arc<Lab>,
    judge: Arc<Judge>,
    workload: Arc<Workload>,
    dice: Dice,
    over: AtomicBool,
    /// One fault of the network at a time: mending mends all.
    network: Mutex<()>,
    /// Whose clock is or was wrong. The promise is about one.
    clock: Mutex<Option<u64>>,
    /// One node at a time comes, goes or is replaced: until it votes, its loss would be one too many.
    moving: Mutex<()>,
    /// With so many nodes the cluster began; it never has fewer.
    nodes_min: usize,
}

/// So many more nodes than at first the cluster has at most.
const NODES_MORE: usize = 2;

impl Chaos {
    /// Nothing is done yet.
    pub(crate) fn new(workload: &Arc<Workload>, dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            lab: Arc::clone(&workload.lab),
            judge: Arc::clone(&workload.judge),
            workload: Arc::clone(workload),
            dice,
            over: AtomicBool::new(false),
            network: Mutex::default(),
            clock: Mutex::default(),
            moving: Mutex::default(),
            nodes_min: workload.lab.nodes().len(),
        })
    }

    /// Does one thing after the other, up to two at a time, until told to stop; then waits until all have ended.
    pub(crate) async fn rage(self: Arc<Self>, mut deck: Deck<Fault>) {
        let mut under_way: Vec<JoinHandle<()>> = Vec::new();
        while !self.is_over() && !deck.is_empty() {
            self.wait_ms(200, 900).await;
            under_way.retain(|task| !task.is_finished());
            if under_way.len() < 2 {
                let (this, fault) = (Arc::clone(&self), deck.draw(&self.dice));
                under_way.push(tokio::spawn(async move { this.make(fault).await }));
            }
        }
        for task in under_way {
            if task.await.is_err() {
                self.judge.accuse("lab", "a fault could not be ended".to_owned());
            }
        }
    }

    /// Nothing begins from now on.
    pub(crate) fn stop(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    async fn make(&self, fault: Fault) {
        let Some(victim) = self.dice.pick(&self.lab.nodes()).cloned() else { return };
        match fault {
            Fault::Kill => self.kill(&victim).await,
            Fault::BounceLeader => self.bounce_leader().await,
            Fault::Pause => self.pause(&victim).await,
            Fault::Cut => self.cut(&victim).await,
            Fault::Isolation => self.isolate(&victim).await,
            Fault::OneWay => self.one_way(&victim).await,
            Fault::Bridge => self.bridge(&victim).await,
            Fault::StartAlone => self.start_alone(&victim).await,
            Fault::Clock => self.set_clock(&victim).await,
            Fault::FullDisk => self.full_disk(&victim).await,
            Fault::FailingDisk => self.failing_disk(&victim).await,
            Fault::PowerCut => self.power_cut(std::slice::from_ref(&victim)).await,
            Fault::PowerCutOfAll => self.power_cut(&self.lab.nodes()).await,
            Fault::Replacement => self.replace(&victim).await,
            Fault::Join => self.let_join().await,
            Fault::Leave => self.let_leave(&victim).await,
        }
    }

    /// Starts nodes that ended by themselves, as a supervisor does, and says so; for ever.
    pub(crate) async fn supervise(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            for node in &self.lab.nodes() {
                let Some(_breaking) = self.take(node) else { continue };
                let known = node.condition();
                if known.runs && !self.lab.is_alive(node) {
                    let why = self.lab.last_words(node);
                    node.note(|known| known.runs = false);
                    self.judge.tell(&Event::Stopped { node: node.number, why, expected: known.bad_disk });
                    self.start(node).await;
                }
                if known.runs && !known.ready && self.workload.is_ready(node).await {
                    node.note(|known| known.ready = true);
                }
            }
        }
    }

    /// Takes the right to break a node, unless somebody has it or the node is gone.
    fn take<'a>(&self, node: &'a Node) -> Option<MutexGuard<'a, ()>> {
        node.breaking.try_lock().ok().filter(|_| self.lab.has(node))
    }

    /// Starts a node.
    pub(crate) async fn start(&self, node: &Node) {
        self.lab.must(&self.judge, &["start", &node.number.to_string()]).await;
        node.note(|known| {
            (known.runs, known.ready, known.paused, known.bad_disk) = (true, false, false, false);
            known.life += 1;
        });
        self.judge.tell(&Event::Started { node: node.number, life: node.condition().life });
    }

    async fn wait_ms(&self, low: u64, high: u64) {
        tokio::time::sleep(Duration::from_millis(self.dice.between(low, high))).await;
    }

    /// The node that leads, if one says so.
    async fn leader(&self) -> Option<Arc<Node>> {
        let number: u64 = self.lab.run(&["leader"]).await.ok()?.trim().parse().ok()?;
        self.lab.nodes().into_iter().find(|node| node.number == number)
    }

    /// Sets one wall clock wrong for a while.
    async fn set_clock(&self, victim: &Arc<Node>) {
        let Ok(mut wrong) = self.clock.try_lock() else { return };
        let nodes = self.lab.nodes();
        let last = wrong.and_then(|number| nodes.iter().find(|node| node.number == number));
        let victim = match last {
            Some(last) if !last.tells_time(self.judge.now()) => last,
            _ => victim,
        };
        *wrong = Some(victim.number);
        let most = self.dice.pick(&[20, 3 * 86_400, 5 * 365 * 86_400]).copied().unwrap_or(20);
        let sign = if self.dice.percent(50) { '+' } else { '-' };
        let offset = format!("{sign}{}", self.dice.between(1, most));
        victim.note(|known| known.wrong_clock_until = u64::MAX);
        self.judge
            .fault("clock set", format!("the wall clock of node {} is off by {offset} s", victim.number));
        let number = victim.number.to_string();
        self.lab.must(&self.judge, &["clock", &number, &offset]).await;
        self.wait_ms(1_500, 5_000).await;
        self.lab.must(&self.judge, &["clock", &number, "+0"]).await;
        let until = self.judge.now() + CLOCK_REMEMBERED;
        victim.note(|known| known.wrong_clock_until = until);
    }
}
