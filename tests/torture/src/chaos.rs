//! What is done to the nodes. The seed shuffles a deck with every kind in it, again and again; what can't be done when it
//! is drawn is put back, and a run isn't over before each kind was really made.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use circlet_sim::dice::Dice;
use circlet_sim::history::Event;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinError, JoinSet};

use crate::deck::Deck;
use crate::judge::Judge;
use crate::lab::{CLOCK_REMEMBERED, Lab, Node};
use crate::workload::Workload;

mod circle;
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
    /// Only what was never made is made from now on.
    late: AtomicBool,
    /// What was never made from its beginning to its end.
    untried: std::sync::Mutex<BTreeSet<Fault>>,
    /// One fault of the network at a time: mending mends all.
    network: Mutex<()>,
    /// Whose clock is or was wrong. The promise is about one.
    clock: Mutex<Option<u64>>,
    /// Held by whoever breaks the neighbour.
    neighbour: Mutex<()>,
    /// One node at a time comes, goes or is replaced: until it votes, its loss would be one too many.
    moving: Mutex<()>,
    /// With so many nodes the cluster began; it never has fewer.
    nodes_min: usize,
}

/// So many more nodes than at first the cluster has at most.
const NODES_MORE: usize = 2;

impl Chaos {
    /// Nothing is done yet; each of these is to be.
    pub(crate) fn new(workload: &Arc<Workload>, dice: Dice, wanted: &[Fault]) -> Arc<Self> {
        Arc::new(Self {
            lab: Arc::clone(&workload.lab),
            judge: Arc::clone(&workload.judge),
            workload: Arc::clone(workload),
            dice,
            over: AtomicBool::new(false),
            late: AtomicBool::new(false),
            untried: std::sync::Mutex::new(wanted.iter().copied().collect()),
            network: Mutex::default(),
            clock: Mutex::default(),
            neighbour: Mutex::default(),
            moving: Mutex::default(),
            nodes_min: workload.lab.nodes().len(),
        })
    }

    /// Does one thing after the other, up to two at a time, until told to stop; then waits until all have ended.
    pub(crate) async fn rage(self: Arc<Self>, mut deck: Deck<Fault>) {
        let mut under_way = JoinSet::new();
        while !self.is_over() && !deck.is_empty() {
            self.wait_ms(100, 700).await;
            while let Some(ended) = under_way.try_join_next() {
                self.see_end(&ended, &mut deck);
            }
            if under_way.len() < 2
                && let Some(fault) = self.next(&mut deck)
            {
                let this = Arc::clone(&self);
                under_way.spawn(async move { (fault, this.make(fault).await) });
            }
        }
        while let Some(ended) = under_way.join_next().await {
            self.see_end(&ended, &mut deck);
        }
    }

    fn next(&self, deck: &mut Deck<Fault>) -> Option<Fault> {
        if self.late.load(Ordering::SeqCst) {
            return self.dice.pick(&self.untried()).copied();
        }
        Some(deck.draw(&self.dice))
    }

    fn see_end(&self, ended: &Result<(Fault, bool), JoinError>, deck: &mut Deck<Fault>) {
        match ended {
            Ok((fault, true)) => self.was_made(*fault),
            Ok((fault, false)) => deck.put_back(*fault),
            Err(_) => self.judge.accuse("lab", "a fault could not be ended".to_owned()),
        }
    }

    fn was_made(&self, fault: Fault) {
        self.untried.lock().unwrap_or_else(PoisonError::into_inner).remove(&fault);
    }

    /// What was never made.
    pub(crate) fn untried(&self) -> Vec<Fault> {
        self.untried.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// The time is over: only what was never made is made from now on.
    pub(crate) fn hurry(&self) {
        self.late.store(true, Ordering::SeqCst);
    }

    /// Nothing begins from now on.
    pub(crate) fn stop(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Makes a fault and mends it; whether that could be done at this moment.
    async fn make(&self, fault: Fault) -> bool {
        let Some(victim) = self.dice.pick(&self.lab.nodes()).cloned() else { return false };
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
            Fault::PowerCut => self.power_cut(fault, std::slice::from_ref(&victim)).await,
            Fault::PowerCutOfAll => self.power_cut(fault, &self.lab.nodes()).await,
            Fault::Replacement => self.replace(&victim).await,
            Fault::StolenDisk => self.lose(&victim).await,
            Fault::CircleCut => self.cut_circle().await,
            Fault::NeighbourDown => self.kill_neighbour().await,
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
        // Before it does: once it runs it may serve what was decided since.
        self.judge.tell(&Event::Started { node: node.number, life: node.condition().life + 1 });
        self.lab.must(&self.judge, &["start", &node.number.to_string()]).await;
        node.note(|known| {
            (known.runs, known.ready, known.paused, known.bad_disk) = (true, false, false, false);
            known.has_dated = false;
            known.life += 1;
        });
    }

    async fn wait_ms(&self, low: u64, high: u64) {
        tokio::time::sleep(Duration::from_millis(self.dice.between(low, high))).await;
    }

    /// The node that leads, if one says so.
    async fn leader(&self) -> Option<Arc<Node>> {
        let number: u64 = self.lab.run(&["leader"]).await.ok()?.trim().parse().ok()?;
        self.lab.nodes().into_iter().find(|node| node.number == number)
    }

    /// A fault is made, and counted.
    fn say(&self, fault: Fault, what: String) {
        self.judge.fault(fault.name(), what);
    }

    /// Sets one wall clock wrong for a while.
    async fn set_clock(&self, victim: &Arc<Node>) -> bool {
        let Ok(mut wrong) = self.clock.try_lock() else { return false };
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
        self.say(Fault::Clock, format!("the wall clock of node {} is off by {offset} s", victim.number));
        let number = victim.number.to_string();
        self.lab.must(&self.judge, &["clock", &number, &offset]).await;
        self.wait_ms(1_500, 5_000).await;
        self.lab.must(&self.judge, &["clock", &number, "+0"]).await;
        let until = self.judge.now() + CLOCK_REMEMBERED;
        victim.note(|known| known.wrong_clock_until = until);
        true
    }
}
