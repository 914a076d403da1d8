//! Clients whose requests go through the log: refresh and revoke. What they were told is kept, to be asked for again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fleet::{Ask, Fleet};
use super::load::{TOKENS, VERIFY};
use super::record::{Operation, Record};
use crate::cli::failure::Failure;
use crate::client::Answer;

/// A client asks for so long until it has an answer that counts.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough to be recorded.
const LONG_SECS: u64 = 31_536_000;
/// One in so many refreshes is sent to two nodes at once, as two careless jobs do.
const CARELESS: u64 = 5;
/// One in so many tokens is not revoked, but must be there in the end.
const KEPT: u64 = 4;
/// Added to the bound for the drift of clocks, which show whole milliseconds.
const BOUND_MARGIN: Duration = Duration::from_millis(5);
/// A revoked token is shown this long after the bound, again and again.
const LATER_MS: [u64; 3] = [0, 300, 1_500];

/// A pair of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// The access token.
    pub(super) access: String,
    /// The refresh token.
    pub(super) refresh: String,
}

impl Pair {
    fn of(body: &Value) -> Option<Self> {
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        Some(Self { access: text("access_token")?, refresh: text("refresh_token")? })
    }
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Families at rest: the last pair that was acknowledged.
    idle: Vec<Pair>,
    /// Families whose last refresh got no answer.
    unknown: Vec<Pair>,
    /// Revoked tokens.
    revoked: Vec<String>,
    /// Ids of tokens that nobody revoked.
    kept: Vec<String>,
}

/// All clients who write.
pub(super) struct Writes {
    bound: Duration,
    drill: String,
    turns: std::sync::atomic::AtomicU64,
    acknowledged: Mutex<Acknowledged>,
}

impl Writes {
    /// Creates the families that will be refreshed: enough that each is at rest most of the time.
    pub(super) async fn prepare(fleet: &Fleet, rate: u32) -> Result<Arc<Self>, Failure> {
        let bound = staleness(fleet).await?;
        let drill = format!("drill-{:08x}", rand::random::<u32>());
        let writes = Self { bound, drill, turns: 0.into(), acknowledged: Mutex::default() };
        for turn in 0..rate.clamp(8, 64) {
            let order = writes.order(true).once(format!("{}-family-{turn}", writes.drill));
            let answer = fleet.insist(&order, PATIENCE).await;
            let answer =
                answer.ok_or_else(|| Failure::ours("the cluster does not decide; the drill can't begin"))?;
            if !answer.is_success() {
                return Err(answer.failure());
            }
            let pair = Pair::of(&answer.json()?);
            let pair =
                pair.ok_or_else(|| Failure::ours("a refreshable token came without its refresh token"))?;
            writes.lock().idle.push(pair);
        }
        Ok(Arc::new(writes))
    }

    fn lock(&self) -> MutexGuard<'_, Acknowledged> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> u64 {
        self.turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    fn order(&self, refreshable: bool) -> Ask {
        Ask::new(Method::POST, TOKENS).with(json!({
            "username": "drill",
            "scope": "applied-permissions/groups:drill",
            "expires_in": LONG_SECS,
            "refreshable": refreshable,
            "force_revocable": true,
            "description": self.drill,
        }))
    }

    /// Refreshes a family that is at rest, with the same request until it is answered.
    pub(super) async fn refresh(&self, fleet: &Fleet, record: &Record) {
        let Some(pair) = ({
            let mut acknowledged = self.lock();
            if acknowledged.idle.is_empty() { None } else { Some(acknowledged.idle.remove(0)) }
        }) else {
            // All are waiting for answers; the gap is seen all the same.
            return;
        };
        let ask = Ask::new(Method::POST, TOKENS).showing(&pair.access).with(json!({
            "grant_type": "refresh_token", "refresh_token": pair.refresh, "access_token": pair.access,
        }));
        let mut successors: Vec<Pair> = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let mut attempts = 0;
        while successors.is_empty() && Instant::now() < deadline {
            attempts += 1;
            let answers = if self.turn().is_multiple_of(CARELESS) {
                let (one, other) = tokio::join!(fleet.ask(&ask), fleet.ask(&ask));
                vec![one.0, other.0]
            } else {
                vec![fleet.ask(&ask).await.0]
            };
            for answer in answers.into_iter().flatten() {
                self.take(&answer, &mut successors, record);
            }
            if successors.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        record.sample(Operation::Refresh, !successors.is_empty(), attempts > 1);
        if let [one, other, ..] = successors.as_slice() {
            let (one, other) = (tail(&one.access), tail(&other.access));
            record.double_refresh(format!("one refresh token gave ...{one} and ...{other}"));
        }
        match successors.into_iter().next() {
            Some(successor) => self.lock().idle.push(successor),
            None => self.lock().unknown.push(pair),
        }
    }

    fn take(&self, answer: &Answer, successors: &mut Vec<Pair>, record: &Record) {
        let body = answer.json().unwrap_or_default();
        match Pair::of(&body).filter(|_| answer.status == 200) {
            Some(pair) if !successors.contains(&pair) => successors.push(pair),
            Some(_) => {}
            None => {
                record.problem(format!("a refresh of {} was answered with {}", self.drill, answer.status));
            }
        }
    }

    /// Creates a token and revokes it; then shows it again and again once the bound has passed. Some are kept.
    pub(super) async fn revoke(self: &Arc<Self>, fleet: &Arc<Fleet>, record: &Arc<Record>) {
        if self.turn().is_multiple_of(KEPT)
            && let Some((id, _)) = self.create(fleet).await
        {
            self.lock().kept.push(id);
        }
        let Some((id, access)) = self.create(fleet).await else {
            record.sample(Operation::Revoke, false, true);
            return;
        };
        let ask = Ask::new(Method::DELETE, format!("{TOKENS}/{id}"));
        let done = fleet.insist(&ask, PATIENCE).await;
        let is_done = done.as_ref().is_some_and(Answer::is_success);
        record.sample(Operation::Revoke, is_done, false);
        if !is_done {
            return;
        }
        let acknowledged = Instant::now();
        self.lock().revoked.push(access.clone());
        for later_ms in LATER_MS {
            let at = acknowledged + self.bound + Duration::from_millis(later_ms);
            let (fleet, record, access) = (Arc::clone(fleet), Arc::clone(record), access.clone());
            drop(tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                show(&fleet, &record, &access).await;
            }));
        }
    }

    /// Creates a recorded token: its id and its value.
    async fn create(&self, fleet: &Fleet) -> Option<(String, String)> {
        let order = self.order(false).once(format!("{}-{}", self.drill, self.turn()));
        let body = fleet.insist(&order, PATIENCE).await.filter(Answer::is_success)?.json().ok()?;
        Some((body["token_id"].as_str()?.to_owned(), body["access_token"].as_str()?.to_owned()))
    }

    /// After so long a revoked token is refused everywhere.
    pub(super) fn bound(&self) -> Duration {
        self.bound
    }

    /// Access tokens that live, revoked access tokens, ids of tokens that are kept.
    pub(super) fn told(&self) -> (Vec<String>, Vec<String>, Vec<String>) {
        let acknowledged = self.lock();
        let living = acknowledged.idle.iter().map(|pair| pair.access.clone()).collect();
        (living, acknowledged.revoked.clone(), acknowledged.kept.clone())
    }

    /// Revokes what the drill has made and not revoked, as far as the cluster answers.
    pub(super) async fn tidy(&self, fleet: &Fleet) {
        let (pairs, kept) = {
            let acknowledged = self.lock();
            let pairs: Vec<Pair> = acknowledged.idle.iter().chain(&acknowledged.unknown).cloned().collect();
            (pairs, acknowledged.kept.clone())
        };
        let families = pairs.into_iter().map(|pair| {
            Ask::new(Method::DELETE, format!("{TOKENS}/revoke")).with(json!({ "token": pair.refresh }))
        });
        let kept = kept.into_iter().map(|id| Ask::new(Method::DELETE, format!("{TOKENS}/{id}")));
        let asks: Vec<Ask> = families.chain(kept).collect();
        for some in asks.chunks(32) {
            futures::future::join_all(some.iter().map(|ask| fleet.ask(ask))).await;
        }
    }
}

/// Shows a revoked token to every node.
async fn show(fleet: &Fleet, record: &Record, access: &str) {
    let ask = &Ask::new(Method::GET, VERIFY).showing(access);
    let asked = fleet.nodes().iter().map(|member| async move { (member, member.ask(ask).await) });
    for (member, answer) in futures::future::join_all(asked).await {
        if answer.is_some_and(|answer| answer.status == 200) {
            let token = tail(access);
            record.stale_accept(format!(
                "{} accepted ...{token} later than the bound after its revoke",
                member.name
            ));
        }
    }
}

/// Enough of a token to find it, and not enough to use it.
fn tail(token: &str) -> &str {
    token.get(token.len().saturating_sub(8)..).unwrap_or_default()
}

/// After so long a revoked token is refused everywhere: what the cluster is configured to, and 200 ppm of drift.
async fn staleness(fleet: &Fleet) -> Result<Duration, Failure> {
    let ask = Ask::new(Method::GET, "/circlet/v1/config/verify.max-staleness-ms");
    let answer = fleet.insist(&ask, PATIENCE).await;
    let answer = answer.ok_or_else(|| Failure::ours("no node of the cluster answers"))?;
    if !answer.is_success() {
        return Err(answer.failure());
    }
    let ms = answer.json()?["value"].as_u64();
    let ms = ms.ok_or_else(|| Failure::ours("the cluster does not say what verify.max-staleness-ms is"))?;
    Ok(Duration::from_millis(ms) + Duration::from_micros(ms / 5) + BOUND_MARGIN)
}
