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

use crate::clock_watch::{Clocks, Instants};
use crate::defects::Defects;
use crate::published::{Board, Published};
use crate::settings::Settings;
use crate::sources::SourceId;
use crate::watch;

/// Rounds under way at once: one that hangs doesn't hold up the next.
const ROUNDS_MAX: usize = 3;

/// A round is given up after as many times what a request waits for one: on a busy machine an answer that comes later
/// than one request wanted it still proves an instant that is recent enough for the next.
const ROUND_WAITS: u32 = 2;

/// What the leader answers: the nonce it was asked with, its read index, and the ages of its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadIndex {
    pub(crate) nonce: u64,
    pub(crate) index: u64,
    pub(crate) ages: Vec<(SourceId, u64)>,
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
    defects: Defects,
) -> Result<Instants, String> {
    let mut noted = clocks.now();
    let answer = leader.read_index(nonce).await?;
    if answer.nonce != nonce {
        return Err("the answer belongs to another question".to_owned());
    }
    if defects.late_credit {
        noted = clocks.now();
    }
    board.wait_index(answer.index).await;
    if board.prove(answer.index, noted, &answer.ages) {
        Ok(noted)
    } else {
        Err("the view went back".to_owned())
    }
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
    defects: Defects,
}

impl Prover {
    pub(crate) fn new(settings: &Settings, defects: Defects) -> Self {
        Self {
            requested: watch::Sender::new(0),
            ended: watch::Sender::new((0, Err("no proof since the start".to_owned()))),
            interval: Duration::from_millis(settings.freshness_interval_ms),
            wait: Duration::from_millis(settings.fresh_wait_ms),
            defects,
        }
    }

    /// How long a round may take.
    pub(crate) fn round_timeout(&self) -> Duration {
        self.wait * ROUND_WAITS
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
            let asked = requests.see();
            if rounds.len() < ROUNDS_MAX && (due || asked > begun) {
                (begun, due) = (asked, false);
                nonce = nonce.wrapping_add(1);
                let (board, clocks, leader) = (Arc::clone(&board), Arc::clone(&clocks), Arc::clone(&leader));
                let (seen, number, defects) = (begun, nonce, self.defects);
                let timeout = self.round_timeout();
                rounds.push(Box::pin(async move {
                    let proving = round(&board, clocks.as_ref(), leader.as_ref(), number, defects);
                    let result = match R::timeout(timeout, proving).await {
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
                    self.ended.modify(|last| {
                        let tells = end.0 > last.0 || (end.0 == last.0 && last.1.is_err());
                        if tells {
                            *last = end;
                        }
                        tells
                    });
                }
                Select3::First(None) | Select3::Second(()) => {}
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
            Err(_) => Err(match self.ended.get().1 {
                Err(reason) => reason,
                Ok(()) => "the leader didn't confirm in time".to_owned(),
            }),
        }
    }

    /// Waits for a round that began after this call and succeeded; asks again after a failure.
    async fn proved_after_now<R: AsyncRuntime>(&self) {
        let ended = self.ended.subscribe();
        loop {
            let mut mine = 0;
            self.requested.modify(|count| {
                *count += 1;
                mine = *count;
                true
            });
            let after = |(seen, _): &Ended| *seen >= mine;
            if ended.wait_for(after).await.1.is_ok() {
                return;
            }
            R::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use openraft_rt_tokio::TokioRuntime;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Both clocks show what the test says.
    #[derive(Default)]
    struct Hands(AtomicU64);

    impl Clocks for Hands {
        fn boot_ms(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
        fn wall_ms(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// A leader that answers when the test says.
    struct Leader(mpsc::UnboundedSender<(u64, oneshot::Sender<ReadIndex>)>);

    impl AskLeader for Leader {
        async fn read_index(&self, nonce: u64) -> Result<ReadIndex, String> {
            let (answer, answered) = oneshot::channel();
            self.0.send((nonce, answer)).map_err(|_| "gone".to_owned())?;
            answered.await.map_err(|_| "gone".to_owned())
        }
    }

    fn read_index(nonce: u64, index: u64) -> ReadIndex {
        ReadIndex { nonce, index, ages: vec![(3, 40)] }
    }

    fn proved_ms(board: &Board<()>) -> Option<u64> {
        board.load().fresh_as_of.map(|noted| noted.boot_ms)
    }

    #[tokio::test]
    async fn a_late_answer_proves_the_instant_that_its_round_noted_and_no_later_one() {
        let (tx, mut asked) = mpsc::unbounded_channel();
        let (board, clocks, leader) = (Board::new(Arc::new(()), 5), Hands::default(), Leader(tx));
        clocks.0.store(100, Ordering::SeqCst);
        let slow = round(&board, &clocks, &leader, 1, Defects::default());
        let script = async {
            let (nonce, late) = asked.recv().await.unwrap();
            clocks.0.store(900, Ordering::SeqCst);
            late.send(read_index(nonce, 5)).unwrap();
        };
        let (noted, ()) = tokio::join!(slow, script);
        assert_eq!(noted.unwrap().boot_ms, 100);
        assert_eq!(proved_ms(&board), Some(100));
        assert_eq!(board.load().age_ms(clocks.now()), Some(800));
        // What the leader told of a source counts from the same instant, and is as much older.
        assert_eq!(board.load().sources.age_ms(3, clocks.now()), Some(840));
    }

    #[tokio::test]
    async fn an_answer_to_an_earlier_question_proves_nothing_for_a_later_one() {
        let (tx, mut asked) = mpsc::unbounded_channel();
        let (board, clocks, leader) = (Board::new(Arc::new(()), 5), Hands::default(), Leader(tx));
        let script = async {
            let (_, answer) = asked.recv().await.unwrap();
            answer.send(read_index(1, 5)).unwrap();
        };
        let (result, ()) = tokio::join!(round(&board, &clocks, &leader, 2, Defects::default()), script);
        assert!(result.is_err());
        assert_eq!(proved_ms(&board), None);
    }

    #[tokio::test]
    async fn an_index_counts_only_once_it_is_applied_and_a_new_view_keeps_the_proof() {
        let (tx, mut asked) = mpsc::unbounded_channel();
        let (board, clocks, leader) = (Board::new(Arc::new(()), 5), Hands::default(), Leader(tx));
        clocks.0.store(7, Ordering::SeqCst);
        let script = async {
            let (nonce, answer) = asked.recv().await.unwrap();
            answer.send(read_index(nonce, 6)).unwrap();
            tokio::task::yield_now().await;
            assert_eq!(proved_ms(&board), None);
            board.publish(Arc::new(()), 6, 0);
        };
        let (result, ()) = tokio::join!(round(&board, &clocks, &leader, 1, Defects::default()), script);
        assert!(result.is_ok());
        board.publish(Arc::new(()), 7, 0);
        assert_eq!((board.load().index, proved_ms(&board)), (7, Some(7)));
    }

    #[tokio::test]
    async fn requests_share_a_round_that_began_after_them_and_never_one_that_began_before() {
        let (tx, mut asked) = mpsc::unbounded_channel();
        let board = Arc::new(Board::new(Arc::new(()), 5));
        let settings = Settings { freshness_interval_ms: 60_000, ..Settings::default() };
        let prover = Arc::new(Prover::new(&settings, Defects::default()));
        let clocks = Arc::new(Hands::default());
        let running = {
            let (prover, board, clocks) = (Arc::clone(&prover), Arc::clone(&board), Arc::clone(&clocks));
            let leader = Arc::new(Leader(tx));
            tokio::spawn(async move { prover.run::<TokioRuntime, _, _>(board, clocks, leader, 0).await })
        };
        // The first round is under way before anybody asks.
        let (before, early) = asked.recv().await.unwrap();
        clocks.0.store(50, Ordering::SeqCst);
        let fresh = || async {
            let published = prover.fresh::<TokioRuntime, _>(&board, None).await.unwrap();
            published.fresh_as_of.unwrap().boot_ms
        };
        let rounds = Mutex::new(0);
        let script = async {
            let (nonce, answer) = asked.recv().await.unwrap();
            early.send(read_index(before, 5)).unwrap();
            answer.send(read_index(nonce, 5)).unwrap();
            *rounds.lock().unwrap() += 1;
        };
        let (one, other, ()) = tokio::join!(fresh(), fresh(), script);
        assert_eq!((one, other), (50, 50));
        assert_eq!(*rounds.lock().unwrap(), 1, "both were served by one round");
        running.abort();
    }
}
