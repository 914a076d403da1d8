//! What clients and administrators do: issue, refresh, revoke, verify, list, turn keys over, change users, trust and the
//! configuration, through whichever node they meet, and again when nobody answers. The same mix as the simulator's, over
//! HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use circlet_authority::FamilyId;
use circlet_sim::dice::Dice;
use circlet_sim::history::Event;
use circlet_token::{KeyId, TokenId};

use crate::client::{Answer, Client, Shown};
use crate::deck::Deck;
use crate::gaps::Gaps;
use crate::judge::Judge;
use crate::lab::{Lab, Node};
use crate::neighbour::Neighbour;

mod administrator;
mod hearing;
mod held;
pub(crate) mod issuing;
mod ledger;
mod lost;
mod marks;
mod master_key;
mod outside;
mod overreaching;
pub(crate) mod past;
mod people;
pub(crate) mod plain;
mod reading;
mod recording;
mod refreshing;
mod revoking;
mod settings;
mod signing;
mod strangers;
mod touched;
pub(crate) mod verifying;

use administrator::Administrator;
use hearing::{Heard, heard};
pub(crate) use held::Held;
use ledger::Ledger;
pub(crate) use marks::MARKED_GROUP;
use marks::{KINDS, Kind, Mark, Whom};
use master_key::Replaced;
use refreshing::Unheard;
use strangers::Strangers;
use touched::Touched;

/// Where tokens are made.
pub(crate) const TOKENS: &str = "/access/api/v1/tokens";

/// A request is tried so often at most.
const ATTEMPTS: usize = 3;

/// What administrators do now and then, the frequent things more than once.
#[derive(Clone, Copy, Debug)]
enum Deed {
    PublishKey,
    GiveUpKey,
    TaintKey,
    RemoveUser,
    DisableUser,
    ChangeGroup,
    ChangeTrust,
    ChangeSetting,
    TurnMasterKey,
    BackUp,
}

const DEEDS: [Deed; 28] = [
    Deed::BackUp,
    Deed::BackUp,
    Deed::PublishKey,
    Deed::PublishKey,
    Deed::PublishKey,
    Deed::PublishKey,
    Deed::GiveUpKey,
    Deed::GiveUpKey,
    Deed::GiveUpKey,
    Deed::TaintKey,
    Deed::RemoveUser,
    Deed::DisableUser,
    Deed::DisableUser,
    Deed::ChangeGroup,
    Deed::ChangeGroup,
    Deed::ChangeGroup,
    Deed::ChangeTrust,
    Deed::ChangeTrust,
    Deed::ChangeTrust,
    Deed::ChangeTrust,
    Deed::ChangeTrust,
    Deed::ChangeTrust,
    Deed::ChangeSetting,
    Deed::ChangeSetting,
    Deed::ChangeSetting,
    Deed::ChangeSetting,
    Deed::TurnMasterKey,
    Deed::TurnMasterKey,
];

/// What became of a write.
pub(crate) enum Reply {
    /// The cluster decided and did it.
    Done(Answer, u64),
    /// The cluster decided not to, and said why.
    Refused(Answer),
    /// It may have been done.
    Unknown,
}

/// By family, number of the refresh token that was used, and number of the one that came of it: the successor, and the key
/// that signed it.
type Successors = BTreeMap<(FamilyId, u32, u32), (TokenId, KeyId)>;

/// All clients of one run.
pub(crate) struct Workload {
    pub(crate) lab: Arc<Lab>,
    pub(crate) judge: Arc<Judge>,
    pub(crate) gaps: Gaps,
    pub(crate) client: Client,
    pub(crate) dice: Dice,
    administrator: Administrator,
    strangers: Strangers,
    ledger: Ledger,
    held: Mutex<Vec<Held>>,
    touched: Touched,
    /// Tokens whose end was acknowledged.
    ended: Mutex<BTreeSet<TokenId>>,
    marks: Mutex<Vec<Mark>>,
    /// Marks of which nobody knows whether they were set, and when each was asked for.
    maybe_marks: Mutex<Vec<(Whom, u64)>>,
    successors: Mutex<Successors>,
    unheard: Mutex<Vec<Unheard>>,
    marking: Mutex<Deck<Kind>>,
    administering: Mutex<Deck<Deed>>,
    replaced: Replaced,
    /// The newest backup, and the file with its passphrase.
    backup: Mutex<Option<(String, String)>>,
    /// The other cluster of the circle.
    neighbour: OnceLock<Arc<Neighbour>>,
    /// How many nodes' disks were stolen.
    thieves: AtomicU64,
    /// What ends many tokens is acknowledged, and not done.
    is_hollow: AtomicBool,
    /// How many requests to let in each user have not been answered.
    being_let_in: Mutex<BTreeMap<&'static str, u64>>,
    /// The highest index of what was acknowledged.
    acknowledged: AtomicU64,
    over: AtomicBool,
    /// The cluster is lost, and all that was recorded of it is judged.
    is_past: AtomicBool,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time by the clock of the machine, which the judge and strangers have, in seconds.
#[expect(clippy::disallowed_methods, reason = "what nodes say of the time is compared with it")]
pub(crate) fn wall_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Workload {
    /// Clients who know nothing yet.
    pub(crate) fn new(
        lab: Arc<Lab>,
        judge: Arc<Judge>,
        client: Client,
        dice: Dice,
    ) -> Result<Arc<Self>, String> {
        let administrator = Administrator::of_lab(&lab.folder)?;
        let strangers = Strangers::new(&administrator.service)?;
        Ok(Arc::new(Self {
            lab,
            judge,
            gaps: Gaps::default(),
            client,
            dice,
            administrator,
            strangers,
            ledger: Ledger::default(),
            held: Mutex::default(),
            touched: Touched::default(),
            ended: Mutex::default(),
            marks: Mutex::default(),
            maybe_marks: Mutex::default(),
            successors: Mutex::default(),
            unheard: Mutex::default(),
            marking: Mutex::new(Deck::of(&KINDS)),
            administering: Mutex::new(Deck::of(&DEEDS)),
            replaced: Replaced::default(),
            backup: Mutex::default(),
            neighbour: OnceLock::new(),
            thieves: AtomicU64::new(0),
            is_hollow: AtomicBool::new(false),
            being_let_in: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            over: AtomicBool::new(false),
            is_past: AtomicBool::new(false),
        }))
    }

    /// From now on it is in a circle with another cluster.
    pub(crate) fn meet(&self, neighbour: &Arc<Neighbour>) {
        // It meets one, and once.
        drop(self.neighbour.set(Arc::clone(neighbour)));
    }

    /// The other cluster of the circle, if there is one.
    pub(crate) fn neighbour(&self) -> Option<&Arc<Neighbour>> {
        self.neighbour.get()
    }

    /// Something happened that matters there.
    fn tell_abroad(&self, event: &Event) {
        if let Some(neighbour) = self.neighbour() {
            neighbour.tell(event);
        }
    }

    /// No client begins anything from now on.
    pub(crate) fn stop(&self) {
        self.gaps.end(self.judge.now());
        self.over.store(true, Ordering::SeqCst);
    }

    /// Whether it was told to stop.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// One client, until it is told to stop.
    pub(crate) async fn run(self: Arc<Self>, pause_ms_max: u64) {
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(self.dice.between(1, pause_ms_max))).await;
            let Some(node) = self.dice.pick(&self.lab.running()).cloned() else { continue };
            match self.dice.between(0, 199) {
                0..=17 => self.issue(&node).await,
                18..=27 => self.issue_with_token(&node).await,
                28..=45 => self.issue_plain(&node).await,
                46..=71 => self.refresh(&node).await,
                72..=87 => self.revoke(&node).await,
                88 => self.mark(&node).await,
                89..=94 => self.administer(&node).await,
                95..=96 => self.overreach(&node).await,
                97..=99 => self.show_strange(&node).await,
                100..=111 => self.read_fresh(&node).await,
                112..=115 => self.list(&node).await,
                116..=121 => self.read_pages(&node).await,
                122..=123 => self.read_people(&node).await,
                124..=125 => self.read_trust(&node).await,
                126 => drop(self.read_settings(&node).await),
                _ => self.verify(&node).await,
            }
        }
    }

    async fn administer(self: &Arc<Self>, node: &Arc<Node>) {
        let deed = lock(&self.administering).draw(&self.dice);
        match deed {
            Deed::PublishKey => self.publish_key(node).await,
            Deed::GiveUpKey => self.give_up_key(node).await,
            Deed::TaintKey => self.taint_key(node).await,
            Deed::RemoveUser => self.remove_user(node).await,
            Deed::DisableUser => self.disable_user(node).await,
            Deed::ChangeGroup => self.change_group(node).await,
            Deed::ChangeTrust => self.change_trust(node).await,
            Deed::ChangeSetting => self.change_setting(node).await,
            Deed::BackUp => {
                self.back_up(node).await;
            }
            Deed::TurnMasterKey => {
                self.turn_master_key(node).await;
            }
        }
    }

    /// Reads from a node who is there, who is trusted, and which keys and settings there are.
    pub(crate) async fn read_state(&self, node: &Arc<Node>) {
        self.read_people(node).await;
        self.read_trust(node).await;
        drop(self.read_settings(node).await);
        drop(self.read_keys(node).await);
        self.read_pages(node).await;
    }

    /// Some token that is known, rather a recent one.
    pub(crate) fn some_token(&self) -> Option<Held> {
        let held = self.held();
        let recent = if self.dice.percent(70) { held.len().saturating_sub(12) } else { 0 };
        self.dice.pick(held.get(recent..)?).cloned()
    }

    /// Every token that is known.
    pub(crate) fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        lock(&self.held)
    }

    fn keep(&self, held: Held) {
        let mut all = self.held();
        if all.iter().all(|known| known.id != held.id) {
            self.judge.tell(&Event::Known { id: held.id, facts: Arc::clone(&held.facts) });
            self.see_marks(&held);
            all.push(held);
        }
    }

    /// Whether nobody has tried to end it so far.
    pub(crate) fn is_untouched(&self, held: &Held) -> bool {
        !self.touched.holds(held)
    }

    /// Whether its end was acknowledged.
    pub(crate) fn is_ended(&self, held: &Held) -> bool {
        lock(&self.ended).contains(&held.id)
    }

    fn note_end(&self, id: TokenId, index: u64) {
        self.judge.tell(&Event::Revoked { id: Some(id), family: None, index });
        self.tell_abroad(&Event::RevokedAbroad { id });
        lock(&self.ended).insert(id);
    }

    /// Has a write decided through a node; `refusals` are the statuses that say no.
    pub(crate) async fn write(
        &self,
        node: &Node,
        what: &'static str,
        request: Write<'_>,
        refusals: &[u16],
    ) -> Reply {
        self.judge.count(what);
        let sent = self.judge.now();
        let url = format!("{}{}", node.url, request.path);
        let answer = self
            .client
            .send_with(request.method, url, request.shown, request.body, request.idempotency_key)
            .await;
        let is_out = answer.as_ref().is_some_and(|answer| answer.status == 401)
            && self.explains_refusal(request.shown);
        match (heard(answer.as_ref(), refusals, node.tells_time(sent), is_out), answer) {
            (Heard::Nothing(why), _) => self.judge.tell(&Event::Unanswered { what: why }),
            (Heard::Done, Some(answer)) => {
                let Some(index) = answer.index else {
                    self.judge.accuse("answers", format!("{what} at node {} says no index", node.number));
                    return Reply::Unknown;
                };
                // The node's own view isn't seen from here; that it holds the write is what a fresh read shows.
                self.judge.tell(&Event::Acknowledged { node: node.number, index, holds: index, sent });
                self.acknowledged.fetch_max(index, Ordering::SeqCst);
                self.gaps.success("write", self.judge.now());
                return Reply::Done(answer, index);
            }
            (Heard::Refused, Some(answer)) => {
                self.judge.count("write refused");
                return Reply::Refused(answer);
            }
            (_, answer) => {
                let said =
                    answer.map(|answer| format!("{} {}", answer.status, answer.body)).unwrap_or_default();
                self.judge.accuse("answers", format!("{what} at node {}: {said}", node.number));
            }
        }
        self.judge.count("write undecided");
        Reply::Unknown
    }

    /// Some node that runs, another one if there is.
    fn another(&self, than: &Node) -> Option<Arc<Node>> {
        let others: Vec<_> =
            self.lab.running().into_iter().filter(|node| node.number != than.number).collect();
        self.dice.pick(&others).cloned()
    }
}

/// A request that goes through the log.
pub(crate) struct Write<'a> {
    pub(crate) method: reqwest::Method,
    pub(crate) path: String,
    pub(crate) shown: Shown<'a>,
    pub(crate) body: Option<&'a serde_json::Value>,
    pub(crate) idempotency_key: Option<&'a str>,
}
