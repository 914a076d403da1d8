//! A client behind a load balancer, which takes a node out of rotation before the node leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use tokio::task::JoinHandle;

use super::eventually::eventually;
use super::http::{Auth, Body, Endpoint};
use super::promises::READY_WITHIN;
use super::tokens::{PLAIN_SECS, TOKENS, create_body};

/// Between two requests of the client.
const PAUSE: Duration = Duration::from_millis(5);

/// One client behind a load balancer that knows which nodes are in rotation.
#[derive(Default)]
pub(crate) struct Rotation {
    nodes: Mutex<Vec<Endpoint>>,
    failed: Mutex<Vec<String>>,
    done: Mutex<usize>,
    stop: AtomicBool,
}

impl Rotation {
    pub(crate) fn add(&self, node: &Endpoint) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(node.clone());
    }

    pub(crate) fn take_out(&self, url: &str) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).retain(|node| node.url() != url);
    }

    /// Waits until the client has ended the requests that it had under way.
    pub(crate) async fn settle(&self) {
        let ended = || {
            let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).len();
            failed + *self.done.lock().unwrap_or_else(PoisonError::into_inner)
        };
        let before = ended();
        eventually(READY_WITHIN, "the client goes on", || async { (ended() >= before + 2).then_some(()) })
            .await;
    }

    fn pick(&self, turn: usize) -> Endpoint {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes[turn % nodes.len()].clone()
    }

    /// Issues a plain token at one node and verifies it at the next, each request once.
    pub(crate) async fn run(self: Arc<Self>, admin: String) {
        let mut turn = 0;
        while !self.stop.load(Ordering::SeqCst) {
            turn += 1;
            let node = self.pick(turn);
            let body = Body::Json(create_body(PLAIN_SECS, false));
            let issued = node.send(Method::POST, TOKENS, Auth::Token(&admin), body).await;
            let verdict = match issued {
                Ok(issued) if issued.status == 200 => {
                    self.pick(turn + 1).verify_once(&issued.member("access_token")).await
                }
                other => other,
            };
            match verdict {
                Ok(verdict) if verdict.status == 200 => {
                    *self.done.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                }
                other => {
                    let what = format!("{}: {other:?}", node.url());
                    self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(what);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends the client, which must not have met a failure.
    pub(crate) async fn ended_well(&self, client: JoinHandle<()>) {
        self.stop.store(true, Ordering::SeqCst);
        client.await.expect("the client ends");
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(failed.is_empty(), "{failed:?}");
        assert!(*self.done.lock().unwrap_or_else(PoisonError::into_inner) > 50);
    }
}
