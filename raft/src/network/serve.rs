//! The other end of the connections: what peers send is handed to openraft and to the replica.

use std::collections::BTreeSet;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use openraft::AsyncRuntime;
use openraft::Snapshot;
use openraft::alias::SnapshotOf;
use openraft::raft::{AppendEntriesRequest, StreamAppendError};
use openraft_rt::Select2;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::blocking::{Blocking, unblock};
use crate::folder::Folder;
use crate::network::calls::{QUEUE_FRAMES_MAX, write_frames};
use crate::network::snapshot;
use crate::network::wire::{Appended, Ask, Numbered, Said, SnapshotSaid, decode, encode};
use crate::network::{Channel, Lane, detach};
use crate::snapshot::check_received;
use crate::snapshot_file::{FileMachine, SnapshotFile};
use crate::types::{NodeId, Types};

/// Questions of one peer that are worked on at once.
const WORKING_MAX: usize = 256;

/// Questions that may overtake one.
const OVERTAKEN_MAX: usize = 4_096;

/// A connection that says nothing for this long is given up; its peer dials again when it has something to say.
const IDLE: Duration = Duration::from_mins(1);

/// Who answers the questions.
pub(crate) trait Answer<R: AsyncRuntime>: Send + Sync + 'static {
    fn answer(&self, from: NodeId, ask: Ask<R>) -> impl Future<Output = Said<R>> + Send;
}

/// Where snapshots come in.
pub(crate) struct Inbox {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) silence: Duration,
    pub(crate) blocking: Arc<dyn Blocking>,
}

/// A connection of a member.
pub(crate) struct Connection {
    pub(crate) from: NodeId,
    pub(crate) lane: Lane,
    pub(crate) channel: Channel,
    /// Resolves when the member is none any more: no frame is taken from it after that.
    pub(crate) unwelcome: BoxFuture<'static, ()>,
}

/// Serves one connection of a member until it ends.
pub(crate) async fn serve<R, S, A>(
    raft: openraft::Raft<Types<R>, S>,
    answers: Arc<A>,
    inbox: Inbox,
    connection: Connection,
) where
    R: AsyncRuntime,
    S: FileMachine<R>,
    A: Answer<R>,
{
    let Connection { from, lane, channel, unwelcome } = connection;
    let ended = match lane {
        Lane::Append | Lane::Heartbeat => serve_append(raft, channel, unwelcome).await,
        Lane::Snapshot => match R::select2(unwelcome, serve_snapshot(raft, channel, inbox)).await {
            Select2::First(()) => Ok(()),
            Select2::Second(ended) => ended,
        },
        Lane::Calls => serve_calls(answers, from, channel, unwelcome).await,
        // None is the log's business; they never come here.
        Lane::Join | Lane::Succession | Lane::Roster => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(from, ?lane, %error, "connection of a peer ended");
    }
}

async fn serve_append<R: AsyncRuntime, S: FileMachine<R>>(
    raft: openraft::Raft<Types<R>, S>,
    channel: Channel,
    unwelcome: BoxFuture<'static, ()>,
) -> io::Result<()> {
    let Channel { mut tx, rx } = channel;
    // Ends the input when this function does: openraft's task reads it until then.
    let (_alive, done) = oneshot::channel::<()>();
    let requests = futures::stream::unfold(rx.take_until(unwelcome), |mut rx| async move {
        let frame = R::timeout(IDLE, rx.next()).await.ok()??.ok()?;
        let request: AppendEntriesRequest<Types<R>> = decode(&frame).ok()?;
        Some((request, rx))
    });
    let mut results = std::pin::pin!(raft.stream_append(requests.take_until(done)));
    while let Some(result) = results.next().await {
        let (answer, last): (Appended<R>, bool) = match result {
            Ok(Ok(matched)) => (Appended::Matched(matched), false),
            Ok(Err(StreamAppendError::Conflict(at))) => (Appended::Conflict(at), true),
            Ok(Err(StreamAppendError::HigherVote(vote))) => (Appended::HigherVote(vote), true),
            Err(fatal) => (Appended::Failed(fatal.to_string()), true),
        };
        let sent = R::timeout(IDLE, tx.send(encode(&answer)?)).await;
        sent.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if last {
            break;
        }
    }
    tx.close().await
}

async fn serve_snapshot<R: AsyncRuntime, S: FileMachine<R>>(
    raft: openraft::Raft<Types<R>, S>,
    channel: Channel,
    inbox: Inbox,
) -> io::Result<()> {
    let Channel { mut tx, mut rx } = channel;
    let Inbox { folder, silence, blocking } = inbox;
    let (head, file) = snapshot::receive::<R>(&mut rx, &folder, silence).await?;
    let mut installing = Box::pin(async move {
        let meta = head.meta.clone();
        // A damaged transfer must not reach openraft, which would stop over it.
        let check = move || check_received(&file, &meta).map(|()| file);
        let checked = unblock(blocking.as_ref(), "check", check).await;
        let snapshot = checked.map_err(|error| error.to_string())?;
        let received: SnapshotOf<Types<R>, SnapshotFile> = Snapshot { meta: head.meta, snapshot };
        let installed = raft.install_full_snapshot(head.vote, received).await;
        installed.map(|response| response.vote).map_err(|fatal| fatal.to_string())
    });
    let answer: SnapshotSaid<R> = loop {
        match R::select2(&mut installing, R::sleep(silence / 4)).await {
            Select2::First(Ok(vote)) => break SnapshotSaid::Installed(vote),
            Select2::First(Err(reason)) => break SnapshotSaid::Failed(reason),
            Select2::Second(()) => tx.send(encode(&SnapshotSaid::<R>::Working)?).await?,
        }
    };
    tx.send(encode(&answer)?).await?;
    tx.close().await
}

/// The numbers of the questions that a connection has brought. TLS brings each once; what is decided must not hang on that.
#[derive(Debug, Default)]
struct Heard {
    /// All up to here count as heard.
    through: u64,
    /// Those beyond, since questions may overtake each other.
    beyond: BTreeSet<u64>,
}

impl Heard {
    /// Whether a question comes for the first time.
    fn is_new(&mut self, number: u64) -> bool {
        if number <= self.through || !self.beyond.insert(number) {
            return false;
        }
        // One that is so late was given up by whoever asked.
        while self.beyond.len() > OVERTAKEN_MAX || self.beyond.contains(&(self.through + 1)) {
            let Some(next) = self.beyond.pop_first() else { break };
            self.through = next;
        }
        true
    }
}

async fn serve_calls<R: AsyncRuntime, A: Answer<R>>(
    answers: Arc<A>,
    from: NodeId,
    channel: Channel,
    unwelcome: BoxFuture<'static, ()>,
) -> io::Result<()> {
    let Channel { tx, rx } = channel;
    let mut rx = rx.take_until(unwelcome);
    let (queue, frames) = mpsc::channel(QUEUE_FRAMES_MAX);
    let room = Arc::new(Semaphore::new(WORKING_MAX));
    let mut heard = Heard::default();
    let reading = async move {
        loop {
            let Ok(Some(frame)) = R::timeout(IDLE, rx.next()).await else { return Ok(()) };
            let ask: Numbered<Ask<R>> = decode(&frame?)?;
            if !heard.is_new(ask.number) {
                continue;
            }
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            let (answers, queue) = (Arc::clone(&answers), queue.clone());
            detach::<R>(async move {
                let said = answers.answer(from, ask.body).await;
                if let Ok(frame) = encode(&Numbered { number: ask.number, body: said }) {
                    // The peer may be gone by now.
                    let _ = queue.send(frame).await;
                }
                drop(permit);
            });
        }
    };
    let mut writing = pin!(write_frames(tx, frames));
    match R::select2(reading, &mut writing).await {
        Select2::First(ended) => {
            // What was asked before is answered, also where a member asked for its own removal.
            let _ = R::timeout(IDLE, writing).await;
            ended
        }
        Select2::Second(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, OVERTAKEN_MAX};

    #[test]
    fn a_question_is_new_once_in_whatever_order_they_come() {
        let mut heard = Heard::default();
        for number in [2, 1, 5, 3, 4, 7] {
            assert!(heard.is_new(number), "{number}");
        }
        for number in 1..=5 {
            assert!(!heard.is_new(number), "{number} again");
        }
        assert!(!heard.is_new(7));
        assert!(heard.is_new(6));
        assert_eq!((heard.through, heard.beyond.len()), (7, 0));
    }

    #[test]
    fn questions_that_never_came_are_not_waited_for_without_end() {
        let mut heard = Heard::default();
        assert!((1..).step_by(2).take(3 * OVERTAKEN_MAX).all(|number| heard.is_new(number)));
        assert!(heard.beyond.len() <= OVERTAKEN_MAX);
        assert!(!heard.is_new(2) && !heard.is_new(1));
    }
}
