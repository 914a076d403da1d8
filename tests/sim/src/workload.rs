//! What clients and administrators do: issue, refresh, revoke, verify, list, turn keys over, change users, trust and the
//! configuration, through whichever node they meet, and again when nobody answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_authority::{Action, Actor, Command, IssueToken, Outcome, TokenRecord};
use circlet_raft::ProposeError;
use circlet_raft::trace::Trace;
use circlet_token::{KeyId, TokenId};
use openraft_rt::AsyncRuntime;
use sha2::{Digest, Sha256};

use crate::cluster::{Cluster, Computer, ask};
use crate::dice::Dice;
use crate::floor;
use crate::history::Event;
use crate::house;
use crate::linear::{Object, Step, value};
use crate::machine::{Member, first_word};
use crate::midst::{Awaiting, Change};
use crate::plant::Plant;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;

mod abroad;
mod closing;
mod deputy;
mod groups;
mod importing;
mod keys;
pub mod kinds;
mod lagging;
mod limiting;
mod marking;
mod ordering;
mod overreaching;
mod pairing;
mod parting;
mod people;
mod plain;
mod reading;
mod recording;
mod references;
mod refreshing;
mod requests;
mod revoking;
mod settings;
mod signing;
mod strangers;
mod survivors;
mod taking;
mod theft;
mod usage;
mod verifying;
mod wishing;
mod witness;

pub use verifying::{Verdict, judged};

/// In so many of a hundred runs all that is recorded lives for seconds.
const BRIEF_PERCENT: u64 = 15;
/// So many of a hundred thefts are tried: while one lasts little can be said of what is revoked.
const THEFT_PERCENT: u64 = 30;
/// So many of a hundred clusters are heirs of an older installation.
const HEIRS_PERCENT: u64 = 35;
/// A client waits so long at most.
const PATIENCE: Duration = Duration::from_secs(8);

/// A token that clients know.
#[derive(Clone)]
pub struct Held {
    /// What it was made from.
    pub record: TokenRecord,
    /// Its bytes.
    pub text: Arc<str>,
    /// What it was asked for with, if the log issued it for that.
    order: Option<Arc<(Actor, IssueToken)>>,
    /// The log doesn't know it.
    plain: bool,
    /// When clients learnt of it.
    since: u64,
}

/// A token of another cluster.
#[derive(Clone)]
struct Foreign {
    id: TokenId,
    text: Arc<str>,
    kid: KeyId,
    /// When it was issued, in nanoseconds.
    at: u64,
}

impl Held {
    /// Equal for equal bytes.
    fn sum(&self) -> u64 {
        first_word(&Sha256::digest(self.text.as_bytes()))
    }
}

/// Whom a token speaks for, as a number.
fn subject_number(record: &TokenRecord) -> u64 {
    first_word(&Sha256::digest(record.subject.as_str().as_bytes()))
}

fn administrator() -> Actor {
    Actor::User { name: house::name(house::ADMINISTRATOR) }
}

/// What became of a write.
enum Reply {
    /// `text` is the token that was decided, if one was and the node could sign it.
    Decided {
        outcome: Outcome,
        index: u64,
        text: Option<Arc<str>>,
    },
    Unknown,
    NotDone,
}

/// What a node says of a write that was decided.
struct Answer {
    outcome: Result<Outcome, String>,
    index: u64,
    holds: u64,
    text: Option<Arc<str>>,
}

/// All clients of one run.
pub struct Workload {
    cluster: Arc<Cluster>,
    dice: Dice,
    held: Mutex<Vec<Held>>,
    /// Those that were issued to be revoked behind somebody's back.
    doomed: Mutex<Vec<Held>>,
    /// Tokens of another cluster that were shown.
    shown: Mutex<Vec<Foreign>>,
    /// Where the cluster began: tokens with a lower index are of the one before.
    begun: u64,
    /// Names of key pairs that were drawn for our own keyring.
    drawn: Mutex<Vec<String>>,
    /// The cluster is the heir of an older installation.
    is_heir: bool,
    /// Names of that one's key pairs, which were adopted.
    adopted: Mutex<Vec<String>>,
    /// Its tokens.
    heirlooms: Mutex<Vec<importing::Heirloom>>,
    /// An administrator is limiting a neighbour.
    limiting: Arc<AtomicBool>,
    /// How often one has.
    changes: AtomicU64,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// All that is recorded lives for seconds, so that what it needs goes as well.
    is_brief: bool,
    /// Nobody takes from the neighbours what they need.
    spares: AtomicBool,
    over: AtomicBool,
    /// Clients who haven't heard yet that it is over.
    at_work: AtomicU64,
}

impl Workload {
    /// Clients who know nothing yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, dice: Dice) -> Arc<Self> {
        let is_heir = dice.percent(HEIRS_PERCENT);
        let is_brief = dice.percent(BRIEF_PERCENT);
        Arc::new(Self {
            limiting: Arc::clone(&cluster.guests.busy),
            cluster,
            dice,
            is_heir,
            is_brief,
            adopted: Mutex::default(),
            heirlooms: Mutex::default(),
            held: Mutex::default(),
            doomed: Mutex::default(),
            shown: Mutex::default(),
            begun: 0,
            drawn: Mutex::default(),
            changes: AtomicU64::new(0),
            counts: Mutex::default(),
            spares: AtomicBool::new(false),
            over: AtomicBool::new(false),
            at_work: AtomicU64::new(0),
        })
    }

    /// The clients of a cluster that begins anew at this index, with all that they had from the one before.
    #[must_use]
    pub fn anew(&self, cluster: Arc<Cluster>, dice: Dice, begun: u64) -> Arc<Self> {
        // Nobody asks the new cluster again for what was asked of the one before.
        let mut held = self.held();
        for held in &mut held {
            held.order = None;
        }
        self.of_another(cluster, dice, (held, begun))
    }

    /// The clients of those nodes of a cluster that live on by themselves.
    #[must_use]
    pub fn beside(&self, cluster: Arc<Cluster>, dice: Dice) -> Arc<Self> {
        self.of_another(cluster, dice, (self.held(), self.begun))
    }

    fn held(&self) -> Vec<Held> {
        lock(&self.held).clone()
    }

    fn of_another(&self, cluster: Arc<Cluster>, dice: Dice, (held, begun): (Vec<Held>, u64)) -> Arc<Self> {
        Arc::new(Self {
            limiting: Arc::clone(&cluster.guests.busy),
            cluster,
            dice,
            is_heir: false,
            is_brief: self.is_brief,
            adopted: Mutex::default(),
            heirlooms: Mutex::default(),
            held: Mutex::new(held),
            doomed: Mutex::default(),
            shown: Mutex::new(lock(&self.shown).clone()),
            begun,
            drawn: Mutex::new(lock(&self.drawn).clone()),
            changes: AtomicU64::new(self.changes.load(Ordering::SeqCst)),
            counts: Mutex::new(self.counts()),
            spares: AtomicBool::new(false),
            over: AtomicBool::new(false),
            at_work: AtomicU64::new(0),
        })
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
        debug_assert!(kinds::is_known(what), "{what} is missing in the list of kinds");
        *lock(&self.counts).entry(what).or_default() += 1;
    }

    /// Somebody begins to wait for a change.
    fn begin(&self, change: Change) -> Awaiting {
        let awaiting = self.cluster.history.midst().awaiting(change);
        self.goad(change);
        awaiting
    }

    /// Sees to it that something goes wrong while this is being changed.
    fn goad(&self, change: Change) {
        self.cluster.history.midst().goad(change, &self.dice);
    }

    /// One client, until it is told to stop.
    pub async fn client(self: Arc<Self>, pause_ms_max: u64) {
        self.at_work.fetch_add(1, Ordering::SeqCst);
        while !self.over.load(Ordering::SeqCst) {
            NodeRuntime::sleep(Duration::from_millis(self.dice.between(1, pause_ms_max))).await;
            let Some(computer) = self.dice.pick(&self.cluster.running()).cloned() else { continue };
            if self.goads_deceived() {
                self.order_revoke().await;
                continue;
            }
            if let Some(wish) = self.cluster.history.midst().take_wish() {
                self.fulfil(wish, &computer).await;
                continue;
            }
            if let Some(laggard) = self.cluster.wires.laggard().filter(|_| self.dice.percent(60)) {
                self.revoke_behind(laggard).await;
                continue;
            }
            match self.dice.between(0, 99) {
                0..=10 => {
                    self.issue(&computer).await;
                }
                11..=15 => self.issue_with_token(&computer).await,
                16 if self.dice.percent(50) => self.issue_again(&computer).await,
                16 => self.take_id(&computer).await,
                17 if self.dice.percent(60) => self.issue_with_password(&computer).await,
                17..=25 => self.issue_plain(&computer).await,
                26..=36 => self.refresh(&computer).await,
                37 if self.is_heir => self.revoke_heirloom(&computer).await,
                37..=45 => self.revoke(&computer).await,
                46 => self.set_watermark(&computer).await,
                47 => self.overreach(&computer).await,
                48..=51 => self.read_fresh(&computer).await,
                52..=55 => self.read_list(&computer).await,
                56..=57 => self.administer(&computer).await,
                58..=61 => self.show_strange(&computer).await,
                62 if self.has_neighbours() => self.order_revoke().await,
                63..=71 if self.has_neighbours() => self.show_abroad().await,
                72..=73 => self.note_use(&computer).await,
                74..=75 if self.is_heir => self.import(&computer).await,
                76..=79 if self.is_heir => self.verify_heirloom(&computer).await,
                _ => self.verify(&computer).await,
            }
        }
        self.at_work.fetch_sub(1, Ordering::SeqCst);
    }

    /// Changes what somebody asks for, so that something can go wrong in the midst of it.
    async fn fulfil(self: &Arc<Self>, wish: Change, computer: &Computer) {
        match wish {
            Change::TokenKey => self.turn_key(computer).await,
            Change::MasterKey => self.turn_master_key(computer).await,
            Change::CircleKey => self.replace_circle_key(computer).await,
            Change::Ca => self.replace_ca(computer).await,
            _ => self.change_many_settings().await,
        }
    }

    /// What administrators do now and then.
    async fn administer(self: &Arc<Self>, computer: &Computer) {
        match self.dice.between(0, if self.has_neighbours() { 17 } else { 9 }) {
            10..=12 => self.replace_circle_key(computer).await,
            13..=15 => self.limit_neighbour(computer).await,
            16 => self.part(computer).await,
            17 if self.dice.percent(THEFT_PERCENT) => self.suffer_theft().await,
            0..=1 => self.turn_key(computer).await,
            2 if self.dice.percent(75) => self.replace_ca(computer).await,
            2 => self.turn_master_key(computer).await,
            3 if self.dice.percent(60) => self.change_deputy(computer).await,
            3..=5 => self.change_person(computer).await,
            6..=7 => self.change_trust(computer).await,
            _ if self.dice.percent(20) => self.change_many_settings().await,
            _ => self.change_settings(computer).await,
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
            self.tell_known(&held.record);
            all.push(held);
        }
    }

    /// Has a command decided through a node, and signed by it if a token comes of it.
    async fn propose(&self, computer: &Computer, actor: Actor, action: Action) -> Reply {
        let command = Command { actor, action }.encode();
        let sent = global_nanos();
        let asked = ask(computer, move |member| carry_out(member, command, sent));
        let unanswered = |what| self.cluster.history.tell(&Event::Unanswered { what });
        match NodeRuntime::timeout(PATIENCE, asked).await {
            Ok(Some(Ok(Answer { outcome, index, holds, text }))) => {
                let node = computer.id;
                self.cluster.history.tell(&Event::Acknowledged { node, index, holds, sent });
                match outcome {
                    Ok(outcome) => Reply::Decided { outcome, index, text },
                    Err(error) => {
                        self.cluster
                            .history
                            .accuse("sound-state", format!("an outcome can't be read: {error}"));
                        Reply::Unknown
                    }
                }
            }
            Ok(Some(Err(ProposeError::Unavailable(_)))) => {
                unanswered("not done");
                Reply::NotDone
            }
            Ok(Some(Err(ProposeError::Refused(why)))) => {
                self.cluster.history.accuse("sound-state", format!("a command was refused as bytes: {why}"));
                Reply::NotDone
            }
            Err(_) | Ok(None | Some(Err(ProposeError::Unknown(_)))) => {
                unanswered("fate unknown");
                Reply::Unknown
            }
        }
    }

    /// Has an administrator's command decided, and keeps what was done to this object, or may have been.
    async fn order_done(
        &self,
        computer: &Computer,
        what: &'static str,
        action: Action,
        told: Option<(Object, value::Step)>,
    ) -> Option<(Outcome, u64)> {
        let told = told.map(|(object, step)| (object, Step::Value(step)));
        self.order_told(computer, what, action, told.as_slice()).await
    }

    /// The same of several objects.
    async fn order_told(
        &self,
        computer: &Computer,
        what: &'static str,
        action: Action,
        told: &[(Object, Step)],
    ) -> Option<(Outcome, u64)> {
        self.count(what);
        let sent = global_nanos();
        match self.propose(computer, administrator(), action).await {
            Reply::Decided { outcome, index, .. } => {
                if let Some(refusal) = outcome.refusal() {
                    self.record_absence(refusal, sent);
                    return None;
                }
                for (object, step) in told.iter().cloned() {
                    self.record_now(object, groups::with_outcome(step, &outcome), sent);
                }
                Some((outcome, index))
            }
            Reply::Unknown => {
                for (object, step) in told.iter().cloned() {
                    self.record(object, groups::unanswered(step), sent, None);
                }
                None
            }
            Reply::NotDone => None,
        }
    }

    fn believes_unknown(&self) -> bool {
        self.cluster.history.plant() == Plant::UnknownIsDone
    }
}

/// A node's part of a write: to propose it, and to sign what was decided once its own view holds it.
async fn carry_out(member: Arc<Member>, command: Vec<u8>, sent: u64) -> Result<Answer, ProposeError> {
    let committed = member.propose_traced(command, trace_of(sent)).await?;
    floor::may_acknowledge(&member, committed.index).await.map_err(ProposeError::Unknown)?;
    let published = member.published();
    let outcome = Outcome::decode(&committed.outcome).map_err(|error| error.to_string());
    let text = match &outcome {
        Ok(Outcome::Refreshed { .. }) if signing::is_silent() => None,
        Ok(Outcome::Issued(record) | Outcome::Refreshed { record, .. }) => {
            signing::sign(&member, &published, record, false, sent)
        }
        _ => None,
    };
    Ok(Answer { outcome, index: committed.index, holds: published.index, text })
}

/// Half of the requests are traced.
fn trace_of(sent: u64) -> Option<Trace> {
    let trace_id = u128::from(sent).to_be_bytes();
    sent.is_multiple_of(2).then_some(Trace { trace_id, span_id: sent.to_be_bytes(), flags: 0 })
}
