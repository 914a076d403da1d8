//! Clients that begin a request of each kind at a stated rate, whether the last one has been answered or not.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::fleet::{Ask, Fleet};
use super::record::{Operation, Record};
use super::writes::Writes;

/// Where tokens are made.
pub(super) const TOKENS: &str = "/access/api/v1/tokens";
/// Where they are judged.
pub(super) const VERIFY: &str = "/circlet/v1/verify";
/// Below what the log records.
const PLAIN_SECS: u64 = 600;
/// So many plain tokens are kept to be verified.
const PLAIN_KEPT: usize = 64;
/// So many requests of one kind are under way at most; what is more counts as failed.
const UNDER_WAY_MAX: usize = 512;

/// The clients at work.
pub(super) struct Load {
    tasks: Vec<JoinHandle<()>>,
    over: CancellationToken,
}

/// How long the clients work.
#[derive(Clone)]
struct Span {
    end: Instant,
    /// Nothing more will happen to the cluster: a pause of the clients while something does would look like a gap.
    over: CancellationToken,
}

impl Span {
    fn is_over(&self) -> bool {
        Instant::now() >= self.end && self.over.is_cancelled()
    }
}

/// What the clients who need no leader share.
struct Plain {
    fleet: Arc<Fleet>,
    record: Arc<Record>,
    tokens: Mutex<VecDeque<String>>,
}

impl Load {
    /// Sets the clients to work: for so long, and until they are told that the trouble is over.
    pub(super) fn begin(
        fleet: &Arc<Fleet>,
        record: &Arc<Record>,
        writes: &Arc<Writes>,
        rate: u32,
        length: Duration,
    ) -> Self {
        let span = Span { end: Instant::now() + length, over: CancellationToken::new() };
        let plain = Arc::new(Plain {
            fleet: Arc::clone(fleet),
            record: Arc::clone(record),
            tokens: Mutex::default(),
        });
        let every = Duration::from_secs(1) / rate.max(1);
        let mut tasks = Vec::new();
        for operation in Operation::ALL {
            let (plain, writes) = (Arc::clone(&plain), Arc::clone(writes));
            let begin = move || {
                let (plain, writes) = (Arc::clone(&plain), Arc::clone(&writes));
                async move {
                    match operation {
                        Operation::Issue => plain.issue().await,
                        Operation::Verify => plain.verify().await,
                        Operation::Refresh => writes.refresh(&plain.fleet, &plain.record).await,
                        Operation::Revoke => writes.revoke(&plain.fleet, &plain.record).await,
                    }
                }
            };
            tasks.push(tokio::spawn(at_rate(every, span.clone(), operation, Arc::clone(record), begin)));
        }
        Self { tasks, over: span.over }
    }

    /// Nothing more happens to the cluster; waits until all requests have ended.
    pub(super) async fn finish(self) {
        self.over.cancel();
        for task in self.tasks {
            // A client neither panics nor is cancelled.
            let _ = task.await;
        }
    }
}

/// Begins a request at every tick; waits for all of them in the end.
async fn at_rate<F: Future<Output = ()> + Send + 'static>(
    every: Duration,
    span: Span,
    operation: Operation,
    record: Arc<Record>,
    begin: impl Fn() -> F,
) {
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut under_way = JoinSet::new();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !span.is_over() {
        ticks.tick().await;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            record.sample(operation, false, false);
            continue;
        };
        let request = begin();
        under_way.spawn(async move {
            request.await;
            drop(place);
        });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

impl Plain {
    async fn issue(&self) {
        let body = json!({
            "username": "drill", "scope": "applied-permissions/groups:drill", "expires_in": PLAIN_SECS,
        });
        let (answer, is_first) = self.fleet.ask(&Ask::new(Method::POST, TOKENS).with(body)).await;
        let token =
            answer.as_ref().filter(|answer| answer.status == 200).and_then(|answer| answer.json().ok());
        let token = token.and_then(|body| body["access_token"].as_str().map(str::to_owned));
        self.record.sample(Operation::Issue, token.is_some(), !is_first);
        match token {
            Some(token) => {
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                tokens.push_back(token);
                if tokens.len() > PLAIN_KEPT {
                    tokens.pop_front();
                }
            }
            None => self.tell("issuing a plain token", answer.as_ref()),
        }
    }

    async fn verify(&self) {
        let token = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            let next = tokens.pop_front();
            tokens.extend(next.clone());
            next
        };
        let Some(token) = token else { return };
        let (answer, is_first) = self.fleet.ask(&Ask::new(Method::GET, VERIFY).showing(&token)).await;
        let done = answer.as_ref().is_some_and(|answer| answer.status == 200);
        self.record.sample(Operation::Verify, done, !is_first);
        if !done {
            self.tell("verifying a plain token", answer.as_ref());
        }
    }

    fn tell(&self, what: &str, answer: Option<&crate::client::Answer>) {
        let said = answer
            .map_or_else(|| "no node answered".to_owned(), |answer| format!("answer {}", answer.status));
        self.record.problem(format!("{what} at {} ms: {said}", self.record.now_ms()));
    }
}
