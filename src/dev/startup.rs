//! Making and starting the nodes of a development cluster, the way an operator would: init, serve, token, join, serve.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::announce::{Administrator, AnnouncedNode, Announcement};
use super::node_process::{NodeProcess, run_to_end};
use super::place::{NodePlace, Place};
use crate::cli::failure::Failure;
use crate::cli::init::Algorithm;
use crate::cli::output::Output;
use crate::client::{Client, Credential, Server};
use crate::home::settings::NodeSettings;
use crate::home::{Paths, write_public};

/// The administrator of a new cluster.
const ADMIN: &str = "admin";
/// The administrator's token: below the threshold of revocable ones, so that it works without a leader.
const ADMIN_TOKEN_SECS: u64 = 4 * 3600;
/// A node that does not serve within this has a problem that waiting does not solve.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a node is let join, and how long between.
const JOIN_ATTEMPTS_MAX: u32 = 5;
const JOIN_AGAIN: Duration = Duration::from_secs(1);
/// How often a starting node is asked.
const READY_INTERVAL: Duration = Duration::from_millis(25);

/// Brings the cluster up: a new one, or the one that lives in the folder already. The nodes that were started are in
/// `nodes` also if this fails, or is given up half-way.
pub(super) async fn start(
    place: &Place,
    algorithm: Algorithm,
    nodes: &mut Vec<NodeProcess>,
    output: Output,
) -> Result<Announcement, Failure> {
    let password = match place.remembered_password() {
        Some(password) => {
            start_again(place, nodes).await?;
            password
        }
        None => found(place, algorithm, nodes, output).await?,
    };
    let first = nodes.first().ok_or_else(|| Failure::ours("a cluster has at least one node"))?;
    let admin = client(
        &first.place,
        &Credential::Password { name: ADMIN.to_owned(), password: password.clone().into() },
    )?;
    let access_token = admin_token(&admin).await?;
    let client = admin.with(Credential::Token(access_token.clone().into()));
    let status = all_voting(&client, nodes.len()).await?;
    Ok(Announcement {
        service_id: text(&status, "service_id")?,
        nodes: announced(nodes, &status),
        admin: Administrator { username: ADMIN.to_owned(), password, access_token },
    })
}

/// A new cluster.
async fn found(
    place: &Place,
    algorithm: Algorithm,
    nodes: &mut Vec<NodeProcess>,
    output: Output,
) -> Result<String, Failure> {
    let mut operator: Option<Client> = None;
    let mut admin_password = String::new();
    for node in place.nodes() {
        write_settings(&node)?;
        match &operator {
            None => {
                let founded = run_to_end(&["init", "--algorithm", algorithm.as_str()], &node.home).await?;
                admin_password = text(&founded["admin"], "password")?;
                let password = admin_password.clone().into();
                operator = Some(client(&node, &Credential::Password { name: ADMIN.to_owned(), password })?);
            }
            Some(operator) => {
                let answer =
                    insist(operator, Method::POST, "/circlet/v1/cluster/tokens", Some(&json!({}))).await?;
                join(&node, &text(&answer, "token")?).await?;
            }
        }
        nodes.push(NodeProcess::start(&node)?);
        if let Some(started) = nodes.last_mut() {
            ready(started).await?;
            output.say(&format!("node {} is up at http://{}", node.number, node.http));
        }
    }
    place.remember_password(&admin_password)?;
    Ok(admin_password)
}

/// Tried again after a failure: on a machine that is busy with something else an election may come between, and a join that
/// is repeated gives the same node.
async fn join(node: &NodePlace, token: &str) -> Result<(), Failure> {
    let mut attempt = 1;
    loop {
        match run_to_end(&["join", "--token", token], &node.home).await {
            Err(_) if attempt < JOIN_ATTEMPTS_MAX => attempt += 1,
            ended => return ended.map(drop),
        }
        tokio::time::sleep(JOIN_AGAIN).await;
    }
}

/// The cluster that an earlier run left.
async fn start_again(place: &Place, nodes: &mut Vec<NodeProcess>) -> Result<(), Failure> {
    for node in place.nodes() {
        check_settings(&node)?;
        nodes.push(NodeProcess::start(&node)?);
    }
    for node in nodes {
        ready(node).await?;
    }
    Ok(())
}

fn write_settings(node: &NodePlace) -> Result<(), Failure> {
    let file = Paths::new(&node.home).node_yml();
    let etc = node.home.join("etc");
    std::fs::create_dir_all(&etc)
        .map_err(|error| Failure::ours(format!("cannot make {}", etc.display())).because(error))?;
    let settings = NodeSettings::write(&[
        ("name", format!("node-{}", node.number)),
        ("http.listen", node.http.to_string()),
        ("peer.listen", node.peer.to_string()),
    ]);
    Ok(write_public(&file, settings.as_bytes())?)
}

/// The other nodes know this one by the addresses with which it was made.
fn check_settings(node: &NodePlace) -> Result<(), Failure> {
    let settings = NodeSettings::read(&Paths::new(&node.home))?;
    if settings.http_listen == node.http && settings.peer_listen == node.peer.to_string() {
        return Ok(());
    }
    let first = settings.http_listen.port().saturating_sub(node.number - 1);
    let message =
        format!("{} was made for {}, not for {}", node.home.display(), settings.http_listen, node.http);
    Err(Failure::input(message).hint(format!("start it again with --base-port {first}")))
}

fn client(node: &NodePlace, credential: &Credential) -> Result<Client, Failure> {
    Ok(Client::new(Server::new(&format!("http://{}", node.http), None)?, credential.clone()))
}

/// Waits until a node serves, or has ended instead.
async fn ready(node: &mut NodeProcess) -> Result<(), Failure> {
    let client = client(&node.place, &Credential::Anonymous)?;
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        // Nobody listens yet, or the node is not fresh yet: both pass.
        if client.ask(Method::GET, "/readyz", None).await.is_ok_and(|answer| answer.is_success()) {
            return Ok(());
        }
        if let Some(status) = node.ended() {
            return Err(node.failure(&format!("ended while it started: {status}")));
        }
        if Instant::now() > deadline {
            return Err(node.failure(&format!("does not serve after {} s", READY_TIMEOUT.as_secs())));
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

/// A recorded token that is not revocable.
async fn admin_token(admin: &Client) -> Result<String, Failure> {
    let body = json!({
        "scope": "applied-permissions/admin",
        "expires_in": ADMIN_TOKEN_SECS,
        "description": "circlet dev",
    });
    text(&insist(admin, Method::POST, "/access/api/v1/tokens", Some(&body)).await?, "access_token")
}

/// Asks until it is answered. After a start there may be no leader yet, nor after one was elected elsewhere, and a busy
/// machine may let an answer wait for too long: that passes, and a refusal doesn't.
async fn insist(client: &Client, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let failure = match client.ask(method.clone(), path, body).await {
            Ok(answer) if answer.is_success() => return answer.json(),
            Ok(answer) if answer.status != 503 => return Err(answer.failure()),
            Ok(answer) => answer.failure(),
            Err(unreachable) => unreachable,
        };
        if Instant::now() > deadline {
            return Err(failure);
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

/// Waits until every node votes, so that the loss of any one of them is survived.
async fn all_voting(client: &Client, nodes: usize) -> Result<Value, Failure> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let status = insist(client, Method::GET, "/circlet/v1/cluster/status", None).await?;
        let listed = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let voting = listed.iter().filter(|node| node["role"] == "voter").count();
        if voting == nodes {
            return Ok(status);
        }
        if Instant::now() > deadline {
            let secs = READY_TIMEOUT.as_secs();
            return Err(Failure::ours(format!("{voting} of {nodes} nodes vote after {secs} s")));
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

fn announced(nodes: &[NodeProcess], status: &Value) -> Vec<AnnouncedNode> {
    let listed = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let id_of =
        |name: &str| listed.iter().find(|node| node["name"] == name).and_then(|node| node["id"].as_u64());
    nodes
        .iter()
        .map(|node| AnnouncedNode {
            id: id_of(&format!("node-{}", node.place.number)).unwrap_or_default(),
            url: format!("http://{}", node.place.http),
            pid: node.pid,
            home: node.place.home.display().to_string(),
        })
        .collect()
}

fn text(value: &Value, key: &str) -> Result<String, Failure> {
    let found = value[key].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::ours(format!("an answer of the cluster has no {key}: {value}")))
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::insist;
    use crate::client::{Client, Credential, Server};

    /// Answers once with each of these, on a connection each; `None` hangs up.
    async fn node(answers: &'static [Option<&'static str>]) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let _ = stream.read(&mut [0; 4096]).await;
                let Some(status) = answer else { continue };
                let body = r#"{"token":"t"}"#;
                let text = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(text.as_bytes()).await.expect("the client reads");
            }
        });
        Client::new(Server::new(&url, None).expect("a URL"), Credential::Anonymous)
    }

    #[tokio::test]
    async fn what_passes_is_waited_for_and_a_refusal_is_not() {
        let busy = node(&[Some("503 Service Unavailable"), None, Some("200 OK")]).await;
        let told = insist(&busy, Method::POST, "/", Some(&json!({}))).await.expect("the third answer");
        assert_eq!(told["token"], "t");
        let strict = node(&[Some("403 Forbidden"), Some("200 OK")]).await;
        assert!(insist(&strict, Method::GET, "/", None).await.is_err());
    }
}
