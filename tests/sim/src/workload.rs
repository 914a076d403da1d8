//! What clients do: issue, refresh, revoke, verify, through whichever node they meet, and again when nobody answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_authority::{Action, Actor, Command, Outcome, TokenRecord};
use circlet_raft::ProposeError;
use circlet_token::mint;
use openraft_rt::AsyncRuntime;
use sha2::{Digest, Sha256};

use crate::cluster::{Cluster, Computer, ask};
use crate::dice::Dice;
use crate::history::Event;
use crate::house;
use crate::machine::first_word;
use crate::plant::Plant;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;

mod overreaching;
mod reading;
mod requests;
mod verifying;

/// A client waits so long at most.
const PATIENCE: Duration = Duration::from_secs(8);

/// A token that clients know.
#[derive(Clone)]
pub struct Held {
    /// What it was made from.
    pub record: TokenRecord,
    /// Its bytes.
    pub text: Arc<str>,
}

impl Held {
    fn of(record: TokenRecord) -> Self {
        let text = mint(&record.claims(&house::SERVICE), &record.kid, &house::SIGNER).into();
        Self { record, text }
    }

    /// Equal for equal bytes.
    fn sum(&self) -> u64 {
        first_word(&Sha256::digest(self.text.as_bytes()))
    }
}

/// Whom a token speaks for, as a number.
fn subject_number(record: &TokenRecord) -> u64 {
    first_word(&Sha256::digest(record.subject.as_str().as_bytes()))
}

/// What became of a write.
enum Reply {
    Decided { outcome: Outcome, index: u64 },
    Unknown,
    NotDone,
}

/// All clients of one run.
pub struct Workload {
    cluster: Arc<Cluster>,
    dice: Dice,
    held: Mutex<Vec<Held>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    over: AtomicBool,
}

impl Workload {
    /// Clients who know nothing yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, dice: Dice) -> Arc<Self> {
        let (held, counts) = (Mutex::default(), Mutex::default());
        Arc::new(Self { cluster, dice, held, counts, over: AtomicBool::new(false) })
    }

    /// No client begins anything from now on.
    pub fn stop(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// How often each thing was done.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_default() += 1;
    }

    /// One client, until it is told to stop.
    pub async fn client(self: Arc<Self>, pause_ms_max: u64) {
        while !self.over.load(Ordering::SeqCst) {
            NodeRuntime::sleep(Duration::from_millis(self.dice.between(1, pause_ms_max))).await;
            let Some(computer) = self.dice.pick(&self.cluster.running()).cloned() else { continue };
            match self.dice.between(0, 99) {
                0..=11 => self.issue(&computer).await,
                12..=17 => self.issue_with_token(&computer).await,
                18..=33 => self.refresh(&computer).await,
                34..=43 => self.revoke(&computer).await,
                44 => self.set_watermark(&computer).await,
                45 => self.overreach(&computer).await,
                46..=52 => self.read_fresh(&computer).await,
                _ => self.verify(&computer).await,
            }
        }
    }

    /// Some token that is known, rather a recent one.
    fn some_token(&self) -> Option<Held> {
        let held = lock(&self.held);
        let recent = if self.dice.percent(70) { held.len().saturating_sub(12) } else { 0 };
        self.dice.pick(held.get(recent..)?).cloned()
    }

    fn keep(&self, held: Held) {
        let mut all = lock(&self.held);
        if all.iter().all(|known| known.record.id != held.record.id) {
            all.push(held);
        }
    }

    /// Has a command decided through a node.
    async fn propose(&self, computer: &Computer, actor: Actor, action: Action) -> Reply {
        let command = Command { actor, action }.encode();
        let sent = global_nanos();
        let asked = ask(computer, move |member| async move {
            let proposed = member.propose(command).await;
            (proposed, member.published().index)
        });
        let unanswered = |what| self.cluster.history.tell(&Event::Unanswered { what });
        match NodeRuntime::timeout(PATIENCE, asked).await {
            Ok(Some((Ok(committed), holds))) => {
                let (node, index) = (computer.id, committed.index);
                self.cluster.history.tell(&Event::Acknowledged { node, index, holds, sent });
                match Outcome::decode(&committed.outcome) {
                    Ok(outcome) => Reply::Decided { outcome, index },
                    Err(error) => {
                        self.cluster
                            .history
                            .accuse("sound-state", format!("an outcome can't be read: {error}"));
                        Reply::Unknown
                    }
                }
            }
            Ok(Some((Err(ProposeError::Unavailable(_)), _))) => {
                unanswered("not done");
                Reply::NotDone
            }
            Ok(Some((Err(ProposeError::Refused(why)), _))) => {
                self.cluster.history.accuse("sound-state", format!("a command was refused as bytes: {why}"));
                Reply::NotDone
            }
            Err(_) | Ok(None | Some((Err(ProposeError::Unknown(_)), _))) => {
                unanswered("fate unknown");
                Reply::Unknown
            }
        }
    }

    fn believes_unknown(&self) -> bool {
        self.cluster.history.plant() == Plant::UnknownIsDone
    }
}
