//! Tells those that were given up when this node began a generation that theirs is over, until each of them knows: in the
//! name that this node had then, since they believe nobody else.

use std::sync::Arc;
use std::time::Duration;

use circlet_raft::{DialError, Dismissed, announce_succession};
use futures::future::join_all;
use tokio::sync::Mutex;

use super::opening;
use crate::clock;
use crate::home::{HomeError, Introduced, KeptList, Paths};

/// They are dialled this soon again at first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// And at last so often, for ever: for about so long a majority that is started again serves before it hears.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Tells all that don't know yet. Returns once they do.
pub(super) async fn run(paths: Paths) {
    let read = tokio::task::spawn_blocking(move || KeptList::all(&paths)).await;
    let Ok(lists) = read else { return };
    match lists {
        Ok(lists) => drop(join_all(lists.into_iter().map(tell_all)).await),
        Err(error) => tracing::error!(%error, "the nodes that were given up are not told that they were"),
    }
}

async fn tell_all(list: KeptList) {
    let open: Vec<Introduced> = {
        let nodes = list.given_up.nodes.iter();
        nodes.filter(|told| told.told_at_ms.is_none()).map(|told| told.node.clone()).collect()
    };
    let telling =
        if open.is_empty() { list.forget_key().map(|()| None) } else { Telling::of(list).map(Some) };
    match telling {
        Ok(None) => {}
        Ok(Some(telling)) => {
            let names: Vec<&str> = open.iter().map(|node| node.name.as_str()).collect();
            tracing::info!(nodes = ?names, "telling those that were given up that their generation is over");
            join_all(open.iter().map(|node| telling.tell(node))).await;
        }
        Err(error) => tracing::error!(%error, "the nodes that were given up are not told that they were"),
    }
}

/// What it takes.
struct Telling {
    former: circlet_raft::Identity,
    goes_on_in: u64,
    list: Arc<Mutex<KeptList>>,
}

impl Telling {
    fn of(list: KeptList) -> Result<Self, HomeError> {
        let (key, certificate) = list.key_and_certificate();
        let former = opening::identity_of(&list.former(), &key, &[certificate])?;
        Ok(Self { former, goes_on_in: list.given_up.goes_on_in, list: Arc::new(Mutex::new(list)) })
    }

    /// Tells one of them, until it knows, or has told us why it doesn't listen.
    async fn tell(&self, node: &Introduced) {
        let (name, peer) = (node.name.as_str(), opening::peer(node));
        let mut pause = FIRST_PAUSE;
        loop {
            match announce_succession(&self.former, node.id, &peer, self.goes_on_in).await {
                Ok(()) => return self.note_for_good(node).await,
                Err(DialError::Dismissed(why @ Dismissed::Removed { .. })) => {
                    return tracing::error!(name, %why, "a node lives that was given up, and had removed this one before");
                }
                Err(error) => tracing::debug!(name, %error, "a node that was given up is not reached"),
            }
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// It stops now, and can't be asked again.
    async fn note_for_good(&self, node: &Introduced) {
        let name = node.name.as_str();
        tracing::warn!(name, "a node that was given up knows it now, and has stopped");
        while let Err(error) = self.note(node.id).await {
            tracing::error!(name, %error, "that a node knows that it was given up can't be kept");
            tokio::time::sleep(LAST_PAUSE).await;
        }
    }

    async fn note(&self, id: u64) -> Result<(), HomeError> {
        let mut list = Arc::clone(&self.list).lock_owned().await;
        let noting = tokio::task::spawn_blocking(move || {
            list.note(id, clock::wall_ms()).and_then(|()| list.forget_key())
        });
        // It is broken off only when the process ends; the node is told again then.
        noting.await.unwrap_or(Ok(()))
    }
}
