//! What clients do: issue, refresh, revoke, verify, list, through whichever node they meet, and again when nobody
//! answers. The same mix as the simulator's, over HTTP.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use circlet_authority::FamilyId;
use circlet_sim::dice::Dice;
use circlet_sim::history::Event;
use circlet_token::{Parsed, TokenId};
use sha2::{Digest, Sha256};

use crate::client::{Answer, Client, Shown};
use crate::gaps::Gaps;
use crate::judge::Judge;
use crate::lab::{Lab, Node};

pub(crate) mod issuing;
mod reading;
mod refreshing;
mod revoking;
mod touched;
mod users;
pub(crate) mod verifying;

use touched::Touched;

/// Where tokens are made.
pub(crate) const TOKENS: &str = "/access/api/v1/tokens";

/// A request is tried so often at most.
const ATTEMPTS: usize = 3;

/// Statuses that say nothing about whether a write was carried out.
const UNDECIDED: [u16; 2] = [429, 503];

/// A token that clients know.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: TokenId,
    pub(crate) user: String,
    pub(crate) subject: u64,
    pub(crate) index: u64,
    pub(crate) revocable: bool,
    pub(crate) text: Arc<str>,
    /// Family and sequence of the refresh token, and its text.
    pub(crate) refresh: Option<(FamilyId, u32, Arc<str>)>,
}

impl Held {
    /// Reads the answer to a create or a refresh.
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        let text: Arc<str> = answer.text("access_token")?.into();
        let parsed = Parsed::parse(&text).ok()?;
        let claims = parsed.claims();
        let (id, subject) = (claims.id?, claims.subject.clone());
        let (index, revocable) = (claims.index?, claims.revocable == Some(true));
        let refresh = answer.text("refresh_token").and_then(family);
        let user = subject.user_name()?.to_owned();
        Some(Self { id, user, subject: number(subject.as_str()), index, revocable, text, refresh })
    }

    /// When it says that it was issued, in seconds since 1970.
    pub(crate) fn issued_at(&self) -> Option<u64> {
        Some(Parsed::parse(&self.text).ok()?.claims().issued_at)
    }

    /// Equal for equal bytes.
    pub(crate) fn sum(&self) -> u64 {
        number(&self.text)
    }
}

/// Family, sequence and text of a refresh token.
fn family(text: &str) -> Option<(FamilyId, u32, Arc<str>)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (family, rest) = bytes.split_first_chunk::<16>()?;
    let (sequence, _) = rest.split_first_chunk::<4>()?;
    Some((FamilyId(*family), u32::from_be_bytes(*sequence), text.into()))
}

/// The first bits of a text's hash.
pub(crate) fn number(text: &str) -> u64 {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// What became of a write.
pub(crate) enum Reply {
    /// The cluster decided and did it.
    Done(Answer, u64),
    /// The cluster decided not to.
    Refused,
    /// It may have been done.
    Unknown,
}

/// All clients of one run.
pub(crate) struct Workload {
    pub(crate) lab: Arc<Lab>,
    pub(crate) judge: Arc<Judge>,
    pub(crate) gaps: Gaps,
    pub(crate) client: Client,
    pub(crate) dice: Dice,
    /// The administrator's token; it isn't revocable.
    pub(crate) admin: String,
    held: Mutex<Vec<Held>>,
    touched: Touched,
    /// Tokens whose end was acknowledged.
    ended: Mutex<BTreeSet<TokenId>>,
    over: AtomicBool,
}

impl Workload {
    /// Clients who know nothing yet.
    pub(crate) fn new(
        lab: Arc<Lab>,
        judge: Arc<Judge>,
        client: Client,
        dice: Dice,
        admin: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            lab,
            judge,
            gaps: Gaps::default(),
            client,
            dice,
            admin,
            held: Mutex::default(),
            touched: Touched::default(),
            ended: Mutex::default(),
            over: AtomicBool::new(false),
        })
    }

    /// No client begins anything from now on.
    pub(crate) fn stop(&self) {
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
            match self.dice.between(0, 99) {
                0..=7 => self.issue(&node).await,
                8..=12 => self.issue_with_token(&node).await,
                13..=22 => self.issue_plain(&node).await,
                23..=36 => self.refresh(&node).await,
                37..=45 => self.revoke(&node).await,
                46 => self.remove_user(&node).await,
                47..=53 => self.read_fresh(&node).await,
                54..=56 => self.list(&node).await,
                _ => self.verify(&node).await,
            }
        }
    }

    /// Some token that is known, rather a recent one.
    pub(crate) fn some_token(&self) -> Option<Held> {
        let held = self.held();
        let recent = if self.dice.percent(70) { held.len().saturating_sub(12) } else { 0 };
        self.dice.pick(held.get(recent..)?).cloned()
    }

    /// Every token that is known.
    pub(crate) fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, held: Held) {
        let mut all = self.held();
        if all.iter().all(|known| known.id != held.id) {
            all.push(held);
        }
    }

    /// Whether nobody has tried to end it so far.
    pub(crate) fn is_untouched(&self, held: &Held) -> bool {
        !self.touched.holds(held)
    }

    /// Whether its end was acknowledged.
    pub(crate) fn is_ended(&self, held: &Held) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(&held.id)
    }

    fn note_end(&self, id: TokenId, index: u64) {
        self.judge.tell(&Event::Revoked { id: Some(id), family: None, index });
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
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
        let unanswered = |why| self.judge.tell(&Event::Unanswered { what: why });
        match answer {
            None => unanswered("no answer"),
            Some(answer) if UNDECIDED.contains(&answer.status) => unanswered("not decided"),
            Some(answer) if (200..300).contains(&answer.status) => {
                let Some(index) = answer.index else {
                    self.judge.accuse("answers", format!("{what} at node {} says no index", node.number));
                    return Reply::Unknown;
                };
                // The node's own view isn't seen from here; that it holds the write is what a fresh read shows.
                self.judge.tell(&Event::Acknowledged { node: node.number, index, holds: index, sent });
                self.gaps.success("write", self.judge.now());
                return Reply::Done(answer, index);
            }
            Some(answer)
                if refusals.contains(&answer.status) || !node.tells_time(sent) && answer.status < 500 =>
            {
                self.judge.count("write refused");
                return Reply::Refused;
            }
            Some(answer) => {
                let said = format!("{what} at node {}: {} {}", node.number, answer.status, answer.body);
                self.judge.accuse("answers", said);
                return Reply::Refused;
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
