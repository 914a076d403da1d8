//! Tells those that were given up when this node began a generation that theirs is over, until each of them knows: in the
//! name that this node had then, since they believe nobody else.

mod telling;

use std::sync::Arc;
use std::time::Duration;

use circlet_raft::{DialError, NodeId, Peer, announce_succession};
use futures::future::join_all;
use tokio::sync::Mutex;

use self::telling::Former;
use super::opening;
use crate::clock;
use crate::home::{HomeError, Introduced, KeptList, Paths};

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
            let tell = async |node: &Introduced| telling::tell(&telling, node.id, &opening::peer(node)).await;
            join_all(open.iter().map(tell)).await;
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
}

impl Former for Telling {
    type Failure = HomeError;

    async fn announce(&self, to: NodeId, peer: &Peer) -> Result<(), DialError> {
        announce_succession(&self.former, to, peer, self.goes_on_in).await
    }

    async fn note(&self, id: NodeId) -> Result<(), HomeError> {
        let mut list = Arc::clone(&self.list).lock_owned().await;
        let noting = tokio::task::spawn_blocking(move || {
            list.note(id, clock::wall_ms()).and_then(|()| list.forget_key())
        });
        // It is broken off only when the process ends; the node is told again then.
        noting.await.unwrap_or(Ok(()))
    }

    async fn pause(&self, about: Duration) {
        tokio::time::sleep(about.mul_f64(rand::random_range(0.75..1.25))).await;
    }
}
