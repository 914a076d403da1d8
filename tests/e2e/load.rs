//! Clients that go on while things break, and remember what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::task::JoinHandle;

use super::eventually::until;
use super::http::{Auth, Body, Endpoint};
use super::promises::REVOKED_WITHIN;
use super::tokens::{LONG_SECS, PLAIN_SECS, Pair, TOKENS, create, create_body, refresh_once, revoke_once};

/// Clients who issue and verify, however few nodes there are.
const PLAIN_CLIENTS_MIN: usize = 2;
/// A client that was told "not now" asks again after this.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// What the clients were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Plain tokens issued and verified.
    pub(crate) plain_done: usize,
    /// Every request for a plain token, or its verification, that failed.
    pub(crate) plain_failed: Vec<String>,
    /// Ids of recorded tokens whose creation was acknowledged.
    pub(crate) created: Vec<String>,
    /// Revoked tokens: their value, and when that was acknowledged.
    pub(crate) revoked: Vec<(String, Instant)>,
    /// How often a revoked token was refused after the bound.
    pub(crate) refused: usize,
    /// For every refresh token that was used, all the different pairs that came back for it.
    pub(crate) successors: BTreeMap<String, Vec<(String, String)>>,
    /// When each refresh was acknowledged.
    pub(crate) refreshed_at: Vec<Instant>,
    /// Answers that no client should ever get.
    pub(crate) wrong: Vec<String>,
}

/// Whom the clients know. Whoever asks one of them holds it until it has the answer.
type Nodes = Arc<RwLock<Vec<Endpoint>>>;

/// The clients at work.
pub(crate) struct Load {
    nodes: Nodes,
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What every client has at hand.
#[derive(Clone)]
struct Client {
    nodes: Nodes,
    admin: String,
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts clients that know only these nodes.
    pub(crate) fn start(nodes: &[&Endpoint], admin: &str) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let plain_clients = nodes.len().max(PLAIN_CLIENTS_MIN);
        let nodes = Nodes::new(RwLock::new(nodes.iter().map(|node| (*node).clone()).collect()));
        let client =
            Client { nodes: nodes.clone(), admin: admin.to_owned(), told: told.clone(), stop: stop.clone() };
        let mut tasks = Vec::new();
        for number in 0..plain_clients {
            tasks.push(tokio::spawn(client.clone().issue_and_verify(number)));
        }
        tasks.push(tokio::spawn(client.clone().create_and_revoke()));
        tasks.push(tokio::spawn(client.clone().try_what_was_revoked()));
        tasks.push(tokio::spawn(client.clone().refresh_for_ever()));
        tasks.push(tokio::spawn(client.refresh_for_ever()));
        Self { nodes, told, stop, tasks }
    }

    /// Has the clients know one more node.
    pub(crate) async fn add(&self, node: &Endpoint) {
        self.nodes.write().await.push(node.clone());
    }

    /// Has them forget one, and waits until nobody has a request under way there.
    pub(crate) async fn take_out(&self, url: &str) {
        self.nodes.write().await.retain(|node| node.url() != url);
    }

    /// Looks at what was told so far.
    pub(crate) fn told<T>(&self, look: impl FnOnce(&Told) -> T) -> T {
        look(&self.told.lock().expect("no panic while held"))
    }

    /// Ends the clients and returns what they were told.
    pub(crate) async fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client does not panic");
        }
        std::mem::take(&mut *self.told.lock().expect("no panic while held"))
    }
}

impl Client {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, note: impl FnOnce(&mut Told)) {
        note(&mut self.told.lock().expect("no panic while held"));
    }

    /// Whom the client knows, held back from leaving; and the one whose turn it is.
    async fn nodes(&self, turn: usize) -> (RwLockReadGuard<'_, Vec<Endpoint>>, Endpoint) {
        let nodes = self.nodes.read().await;
        let node = nodes[turn % nodes.len()].clone();
        (nodes, node)
    }

    /// A plain token from one node, verified at all of them, without a pause and without a second try.
    async fn issue_and_verify(self, first: usize) {
        for turn in first.. {
            if self.is_stopped() {
                return;
            }
            let (nodes, node) = self.nodes(turn).await;
            let body = Body::Json(create_body(PLAIN_SECS, false));
            let answer = node.send(Method::POST, TOKENS, Auth::Token(&self.admin), body).await;
            let token = match answer {
                Ok(answer) if answer.status == 200 => answer.member("access_token"),
                other => {
                    self.note(|told| told.plain_failed.push(format!("issue at {}: {other:?}", node.url())));
                    continue;
                }
            };
            for verifier in nodes.iter() {
                let verdict = verifier.verify_once(&token).await;
                match verdict {
                    Ok(verdict) if verdict.status == 200 => self.note(|told| told.plain_done += 1),
                    other => {
                        let what = format!("verify at {}: {other:?}", verifier.url());
                        self.note(|told| told.plain_failed.push(what));
                    }
                }
            }
        }
    }

    /// Creates a recorded token and revokes it, asking again until the cluster can decide.
    async fn create_and_revoke(self) {
        for turn in 0.. {
            if self.is_stopped() {
                return;
            }
            let (held, node) = self.nodes(turn).await;
            let body = Body::Json(create_body(LONG_SECS, false));
            let answer = node.send(Method::POST, TOKENS, Auth::Token(&self.admin), body).await;
            drop(held);
            let Ok(answer) = answer else { continue };
            if answer.status != 200 {
                self.expect_not_now("create", answer.status, &answer.text);
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            let (id, access) = (answer.member("token_id"), answer.member("access_token"));
            self.note(|told| told.created.push(id.clone()));
            for attempt in turn + 1.. {
                let (held, node) = self.nodes(attempt).await;
                let answer = revoke_once(&node, &self.admin, &id).await;
                drop(held);
                match answer {
                    Ok(answer) if matches!(answer.status, 200 | 204) => {
                        self.note(|told| told.revoked.push((access.clone(), Instant::now())));
                        break;
                    }
                    Ok(answer) => self.expect_not_now("revoke", answer.status, &answer.text),
                    Err(_no_answer) => {}
                }
                if self.is_stopped() {
                    return;
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }

    /// Shows every node again and again what was revoked, as soon as the bound has passed.
    async fn try_what_was_revoked(self) {
        let mut next = 0;
        while !self.is_stopped() {
            let revoked = self.told.lock().expect("no panic while held").revoked.get(next).cloned();
            let Some((token, acknowledged)) = revoked else {
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            };
            until(acknowledged + REVOKED_WITHIN).await;
            for node in self.nodes.read().await.iter() {
                let verdict = node.verify_once(&token).await;
                match verdict {
                    Ok(verdict) if matches!(verdict.status, 401 | 503) => self.note(|told| told.refused += 1),
                    other => {
                        self.note(|told| told.wrong.push(format!("revoked, at {}: {other:?}", node.url())));
                    }
                }
            }
            next += 1;
        }
    }

    /// Refreshes one family again and again, every time at two nodes at once: as two careless jobs with the same pair do.
    async fn refresh_for_ever(self) {
        let Some(mut pair) = self.refreshable().await else { return };
        for turn in 0.. {
            let answers = {
                let (nodes, one) = self.nodes(turn).await;
                let other = &nodes[(turn + 1) % nodes.len()];
                let answers = tokio::join!(refresh_once(&one, &pair), refresh_once(other, &pair));
                [answers.0, answers.1]
            };
            for answer in answers.into_iter().flatten() {
                if answer.status != 200 {
                    self.expect_not_now("refresh", answer.status, &answer.text);
                    continue;
                }
                let successor = (answer.member("access_token"), answer.member("refresh_token"));
                self.note(|told| {
                    told.refreshed_at.push(Instant::now());
                    let known = told.successors.entry(pair.refresh.clone()).or_default();
                    if !known.contains(&successor) {
                        known.push(successor);
                    }
                });
            }
            let successor =
                self.told.lock().expect("no panic while held").successors.get(&pair.refresh).cloned();
            match successor.and_then(|known| known.into_iter().next()) {
                Some((access, refresh)) => pair = Pair { access, refresh, ..pair },
                None => tokio::time::sleep(RETRY_AFTER).await,
            }
            if self.is_stopped() {
                return;
            }
        }
    }

    async fn refreshable(&self) -> Option<Pair> {
        let answer = create(self.nodes.read().await.first()?, &self.admin, LONG_SECS, true).await;
        Some(Pair::of(&answer))
    }

    /// While there is no leader, a write may be answered with 503; nothing else is right.
    fn expect_not_now(&self, what: &str, status: u16, text: &str) {
        if status != 503 {
            self.note(|told| told.wrong.push(format!("{what}: {status} {text}")));
        }
    }
}
