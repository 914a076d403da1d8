//! How a node proves how fresh its view is.
//!
//! It notes its clocks, asks the leader for a read index with a nonce (the leader confirms with a quorum, never by
//! lease), waits until it has applied that index, and is then fresh as of the noted instant. The instant belongs to
//! the round that noted it: an answer that comes late proves an old instant, and one with another nonce nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use openraft::AsyncRuntime;
use openraft_rt::Select3;
use tokio::sync::watch;

use crate::clock_watch::{Clocks, Instants};
use crate::published::{Board, Published};
use crate::settings::Settings;

/// Rounds under way at once: one that hangs doesn't hold up the next.
const ROUNDS_MAX: usize = 3;

/// What the leader answers: the nonce it was asked with, and its read index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadIndex {
    pub(crate) nonce: u64,
    pub(crate) index: u64,
}

/// Asks whoever leads for a read index.
pub(crate) trait AskLeader: Send + Sync + 'static {
    fn read_index(&self, nonce: u64) -> impl Future<Output = Result<ReadIndex, String>> + Send;
}

/// One round of the rule. Returns the instant that is proved.
pub(crate) async fn round<V: Send + Sync, A: AskLeader>(
    board: &Board<V>,
    clocks: &dyn Clocks,
    leader: &A,
    nonce: u64,
) -> Result<Instants, String> {
    let noted = clocks.now();
    let answer = leader.read_index(nonce).await?;
    if answer.nonce != nonce {
        return Err("the answer belongs to another question".to_owned());
    }
    board.wait_index(answer.index).await;
    if board.prove(answer.index, noted) { Ok(noted) } else { Err("the view went back".to_owned()) }
}

/// How a round ended: the last request that had come before it began, and its result.
type Ended = (u64, Result<(), String>);

/// Keeps the view proven, at intervals and on demand.
pub(crate) struct Prover {
    /// Counts the requests for a proof.
    requested: watch::Sender<u64>,
    ended: watch::Sender<Ended>,
    interval: Duration,
    wait: Duration,
}

impl Prover {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            requested: watch::Sender::new(0),
            ended: watch::Sender::new((0, Err("no proof since the start".to_owned()))),
            interval: Duration::from_millis(settings.freshness_interval_ms),
            wait: Duration::from_millis(settings.fresh_wait_ms),
        }
    }

    /// Runs rounds for ever. A request starts one at once, unless one that began after it is under way.
    pub(crate) async fn run<R, V, A>(
        &self,
        board: Arc<Board<V>>,
        clocks: Arc<dyn Clocks>,
        leader: Arc<A>,
        salt: u64,
    ) where
        R: AsyncRuntime,
        V: Send + Sync + 'static,
        A: AskLeader,
    {
        let mut requests = self.requested.subscribe();
        let mut rounds: FuturesUnordered<BoxFuture<'static, Ended>> = FuturesUnordered::new();
        let mut alarm: Pin<Box<R::Sleep>> = Box::pin(R::sleep(Duration::ZERO));
        let mut begun = 0;
        let mut nonce = salt;
        let mut due = false;
        loop {
            let asked = *requests.borrow_and_update();
            if rounds.len() < ROUNDS_MAX && (due || asked > begun) {
                (begun, due) = (asked, false);
                nonce = nonce.wrapping_add(1);
                let (board, clocks, leader) = (Arc::clone(&board), Arc::clone(&clocks), Arc::clone(&leader));
                let (seen, number, wait) = (begun, nonce, self.wait);
                rounds.push(Box::pin(async move {
                    let proving = round(&board, clocks.as_ref(), leader.as_ref(), number);
                    let result = match R::timeout(wait, proving).await {
                        Ok(result) => result.map(|_| ()),
                        Err(_) => Err("the leader didn't confirm in time".to_owned()),
                    };
                    (seen, result)
                }));
                alarm = Box::pin(R::sleep(self.interval));
            }
            let next_end =
                async { if rounds.is_empty() { std::future::pending().await } else { rounds.next().await } };
            match R::select3(next_end, requests.changed(), &mut alarm).await {
                Select3::First(Some(end)) => {
                    // Rounds overlap: one that began earlier must not hide one that began later.
                    self.ended.send_if_modified(|last| {
                        let tells = end.0 > last.0 || (end.0 == last.0 && last.1.is_err());
                        if tells {
                            *last = end;
                        }
                        tells
                    });
                }
                Select3::First(None) | Select3::Second(_) => {}
                Select3::Third(()) => {
                    due = rounds.len() < ROUNDS_MAX;
                    alarm = Box::pin(R::sleep(self.interval));
                }
            }
        }
    }

    /// A view proven fresh as of an instant after `newer_than`, or after this call.
    pub(crate) async fn fresh<R: AsyncRuntime, V>(
        &self,
        board: &Board<V>,
        newer_than: Option<Instants>,
    ) -> Result<Arc<Published<V>>, String>
    where
        V: Send + Sync,
    {
        let published = board.load();
        if let (Some(wanted), Some(proved)) = (newer_than, published.fresh_as_of)
            && proved.boot_ms > wanted.boot_ms
        {
            return Ok(published);
        }
        match R::timeout(self.wait, self.proved_after_now::<R>()).await {
            Ok(()) => Ok(board.load()),
            Err(_) => Err(match &self.ended.borrow().1 {
                Err(reason) => reason.clone(),
                Ok(()) => "the leader didn't confirm in time".to_owned(),
            }),
        }
    }

    /// Waits for a round that began after this call and succeeded; asks again after a failure.
    async fn proved_after_now<R: AsyncRuntime>(&self) {
        let mut ended = self.ended.subscribe();
        loop {
            let mut mine = 0;
            self.requested.send_modify(|count| {
                *count += 1;
                mine = *count;
            });
            let after = |(seen, _): &Ended| *seen >= mine;
            match ended.wait_for(after).await {
                Ok(end) if end.1.is_ok() => return,
                _ => {}
            }
            R::sleep(Duration::from_millis(20)).await;
        }
    }
}
