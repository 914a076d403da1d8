//! The nodes of the cluster, asked as a load balancer asks them: the next one if one does not answer, or says that it
//! cannot serve now.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::cli::failure::Failure;
use crate::client::{Answer, Client};

/// A node that has not answered within this is passed over.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// One node.
pub(super) struct Member {
    /// Its Raft id.
    pub(super) id: u64,
    /// What it is called.
    pub(super) name: String,
    /// Where it serves.
    pub(super) url: String,
    /// Where its peers reach it.
    pub(super) peer: String,
    client: Client,
}

/// All nodes that serve clients.
pub(super) struct Fleet {
    service_id: String,
    members: Vec<Member>,
    next: AtomicUsize,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The method.
    pub(super) method: Method,
    /// The path.
    pub(super) path: String,
    /// The token to show, if it is not the administrator's.
    pub(super) token: Option<String>,
    /// The body.
    pub(super) body: Option<Value>,
    /// Makes a create repeatable.
    pub(super) idempotency_key: Option<String>,
}

impl Ask {
    /// A request without body, as the administrator.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), token: None, body: None, idempotency_key: None }
    }

    /// With a body.
    pub(super) fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Showing this token.
    pub(super) fn showing(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// Repeatable under this key.
    pub(super) fn once(self, key: String) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }
}

impl Member {
    /// Asks this node alone; `None` if it does not answer in time.
    pub(super) async fn ask(&self, ask: &Ask) -> Option<Answer> {
        let client = match &ask.token {
            Some(token) => &self.client.with(crate::client::Credential::Token(token.clone().into())),
            None => &self.client,
        };
        let header = ask.idempotency_key.as_deref().map(|key| ("Idempotency-Key", key));
        let asked = client.ask_with(ask.method.clone(), &ask.path, header, ask.body.as_ref());
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
    }
}

impl Fleet {
    /// Asks the one node that is known for the others.
    pub(super) async fn muster(client: &Client) -> Result<Self, Failure> {
        let status = client.request(Method::GET, "/circlet/v1/cluster/status", None).await?.json()?;
        let listed = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let members = listed
            .iter()
            .map(|node| {
                let url = node["url"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
                let name = node["name"].as_str().unwrap_or_default().to_owned();
                let peer = node["peer"].as_str().unwrap_or_default().to_owned();
                let client = client.at(&url)?;
                Ok(Member { id: node["id"].as_u64().unwrap_or_default(), name, url, peer, client })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        if members.is_empty() {
            return Err(Failure::ours("the cluster names no nodes"));
        }
        let service_id = status["service_id"].as_str().unwrap_or_default().to_owned();
        Ok(Self { service_id, members, next: AtomicUsize::new(0) })
    }

    /// The nodes.
    pub(super) fn nodes(&self) -> &[Member] {
        &self.members
    }

    /// The cluster's service id.
    pub(super) fn service_id(&self) -> &str {
        &self.service_id
    }

    /// What a node with this Raft id is called.
    pub(super) fn name_of(&self, id: u64) -> String {
        let member = self.members.iter().find(|member| member.id == id);
        member.map_or_else(|| format!("node {id}"), |member| member.name.clone())
    }

    /// The nodes in the order in which the next request tries them.
    pub(super) fn turn(&self) -> impl Iterator<Item = &Member> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.members.len().max(1);
        self.members.iter().cycle().skip(first).take(self.members.len())
    }

    /// Asks one node after another until one serves; the answer, and whether it was the first that was asked.
    pub(super) async fn ask(&self, ask: &Ask) -> (Option<Answer>, bool) {
        let mut is_first = true;
        for member in self.turn() {
            if let Some(answer) = member.ask(ask).await
                && !matches!(answer.status, 429 | 503)
            {
                return (Some(answer), is_first);
            }
            is_first = false;
        }
        (None, false)
    }

    /// The same again and again until one serves or the time is up.
    pub(super) async fn insist(&self, ask: &Ask, patience: Duration) -> Option<Answer> {
        let deadline = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < deadline {
            if let (Some(answer), _) = self.ask(ask).await {
                return Some(answer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }
}
