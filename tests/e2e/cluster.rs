//! A cluster of real processes, made the way an operator makes one, from the files in `cluster-configs/`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};

use super::eventually::eventually;
use super::http::{Auth, Body, Endpoint};
use super::node::{Environment, Node, circlet_with};
use super::ports::Ports;
use super::promises::{READY_WITHIN, WRITES_BACK_WITHIN};
use super::tokens::TOKENS;

/// Longer than any test before it may take.
const TURN_WITHIN: Duration = Duration::from_mins(30);

/// A running cluster; its processes and its folder end with it.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    endpoints: Vec<Endpoint>,
    pub(crate) service_id: String,
    pub(crate) admin_password: String,
    /// Recorded, not revocable: works without a leader.
    pub(crate) admin_token: String,
    _folder: tempfile::TempDir,
    _turn: Turn,
}

/// Three tests' clusters at a time, whatever runs the tests, in threads or processes: they wait more than they work, and two
/// cores are not enough for the timeouts of many.
pub(crate) struct Turn {
    _lock: Option<File>,
}

impl Turn {
    pub(crate) async fn wait() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let files = ["one-cluster", "another-cluster", "a-third-cluster"].map(|name| {
            File::options().create(true).append(true).open(folder.join(name)).expect("a lock file")
        });
        let free = || async {
            let free = files.iter().find(|file| file.try_lock().is_ok())?;
            Some(free.try_clone().expect("another handle to the same lock"))
        };
        Self { _lock: Some(eventually(TURN_WITHIN, "another test's cluster ends", free).await) }
    }
}

impl Cluster {
    /// Starts the nodes of `cluster-configs/<name>`, on free ports.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, "").await
    }

    /// The same with more lines in every node's settings.
    pub(crate) async fn start_with(name: &str, settings: &str) -> Self {
        Self::start_in(Turn::wait().await, name, settings, &Environment::new()).await
    }

    /// The same where the program is told something besides.
    pub(crate) async fn start_told(name: &str, environment: &Environment) -> Self {
        Self::start_in(Turn::wait().await, name, "", environment).await
    }

    /// Two clusters at once, under one turn.
    pub(crate) async fn start_circle() -> (Self, Self) {
        Self::start_circle_of("single").await
    }

    /// The three clusters of `cluster-configs/circle`, under one turn.
    pub(crate) async fn start_all_of_circle() -> [Self; 3] {
        let turn = Turn::wait().await;
        let b = Self::start_in(Turn { _lock: None }, "circle/b", "", &Environment::new()).await;
        let c = Self::start_in(Turn { _lock: None }, "circle/c", "", &Environment::new()).await;
        [Self::start_in(turn, "circle/a", "", &Environment::new()).await, b, c]
    }

    /// The same, where the first one has these nodes.
    pub(crate) async fn start_circle_of(name: &str) -> (Self, Self) {
        let turn = Turn::wait().await;
        let other = Self::start_in(Turn { _lock: None }, "circle/c", "", &Environment::new()).await;
        (Self::start_in(turn, name, "", &Environment::new()).await, other)
    }

    async fn start_in(turn: Turn, name: &str, settings: &str, environment: &Environment) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut nodes = settings_of(name)
            .iter()
            .enumerate()
            .map(|(number, file)| {
                let home = folder.path().join(format!("node-{}", number + 1));
                let mut node = Node::prepare(&home, file, settings);
                node.environment.clone_from(environment);
                node
            })
            .collect::<Vec<_>>();
        let founded = circlet_with(&["init"], &nodes[0].home, environment).await;
        let admin_password = text(&founded["admin"]["password"]);
        let service_id = text(&founded["service_id"]);
        nodes[0].start();
        let endpoints: Vec<Endpoint> = nodes.iter().map(|node| Endpoint::new(&node.url)).collect();
        ready(&endpoints[0]).await;
        let admin = Auth::Password("admin", &admin_password);
        let admin_token = admin_token(&endpoints[0], admin).await;
        for number in 1..nodes.len() {
            let join_token = join_token(&endpoints[0], &admin_token).await;
            circlet_with(&["join", "--token", &join_token], &nodes[number].home, environment).await;
            nodes[number].start();
            ready(&endpoints[number]).await;
        }
        let cluster =
            Self { nodes, endpoints, service_id, admin_password, admin_token, _folder: folder, _turn: turn };
        cluster.all_vote().await;
        let group = json!({ "name": "readers" });
        let made = cluster
            .endpoint(0)
            .put(
                "/artifactory/api/security/groups/readers",
                Auth::Token(&cluster.admin_token),
                Body::Json(group),
            )
            .await;
        assert!(matches!(made.status, 200 | 201), "{}", made.text);
        cluster
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter()
    }

    pub(crate) fn endpoint(&self, number: usize) -> &Endpoint {
        &self.endpoints[number]
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn home(&self, number: usize) -> &Path {
        &self.nodes[number].home
    }

    /// The administrator, whatever becomes of tokens.
    pub(crate) fn admin(&self) -> Auth<'_> {
        Auth::Password("admin", &self.admin_password)
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, number: usize) {
        self.nodes[number].kill();
    }

    /// SIGTERM; returns at once.
    pub(crate) fn terminate(&self, number: usize) {
        self.nodes[number].terminate();
    }

    /// SIGSTOP.
    pub(crate) fn pause(&self, number: usize) {
        self.nodes[number].pause();
    }

    /// SIGCONT.
    pub(crate) fn resume(&self, number: usize) {
        self.nodes[number].resume();
    }

    /// Starts a node that was killed; returns at once.
    pub(crate) fn restart(&mut self, number: usize) {
        self.nodes[number].start();
    }

    /// Stops a node in good order and starts it again, told something else; returns at once.
    pub(crate) fn restart_told(&mut self, number: usize, environment: &Environment) {
        self.nodes[number].stop();
        self.nodes[number].environment.clone_from(environment);
        self.nodes[number].start();
    }

    /// Starts it where no file can grow beyond so many bytes; returns at once.
    pub(crate) fn restart_with_files_up_to(&mut self, number: usize, bytes: u64) {
        self.nodes[number].start_with_files_up_to(bytes);
    }

    /// How a node ended, if it has.
    pub(crate) fn ended(&mut self, number: usize) -> Option<ExitStatus> {
        self.nodes[number].ended()
    }

    /// All that a node said so far.
    pub(crate) fn said(&self, number: usize) -> String {
        self.nodes[number].said()
    }

    /// Waits until a node serves.
    pub(crate) async fn ready(&self, number: usize) {
        ready(&self.endpoints[number]).await;
    }

    /// What a node tells about itself and the cluster.
    pub(crate) async fn status(&self, number: usize) -> Option<Value> {
        status(&self.endpoints[number], &self.admin_token).await
    }

    /// The value of a line of a node's page of metrics that begins with this name and labels; `None` if there is none.
    pub(crate) async fn metric(&self, number: usize, series: &str) -> Option<f64> {
        let auth = Auth::Token(&self.admin_token);
        let page =
            self.endpoint(number).send(reqwest::Method::GET, "/metrics", auth, Body::Empty).await.ok()?;
        let line = page.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    /// Waits until a node's page of metrics has a line with at least this value.
    pub(crate) async fn metric_reaches(&self, number: usize, series: &str, least: f64) {
        eventually(READY_WITHIN, &format!("{series} reaches {least}"), || async {
            self.metric(number, series).await.filter(|value| *value >= least).map(drop)
        })
        .await;
    }

    /// The number of the node that leads, in the opinion of these.
    pub(crate) async fn leader(&self, ask: &[usize]) -> usize {
        eventually(WRITES_BACK_WITHIN, "the nodes agree on one leader", || async {
            let mut opinions = Vec::new();
            for number in ask {
                opinions.push(leader_of(&self.status(*number).await?)?);
            }
            let leader = opinions[0].clone();
            let place = self.nodes.iter().position(|node| node.name == leader)?;
            opinions.iter().all(|opinion| *opinion == leader).then_some(place)
        })
        .await
    }

    /// Everyone.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.len()).collect()
    }

    /// Everyone but one.
    pub(crate) fn others(&self, than: usize) -> Vec<usize> {
        (0..self.len()).filter(|number| *number != than).collect()
    }

    async fn all_vote(&self) {
        eventually(READY_WITHIN, "every node is a voter", || async {
            let status = self.status(0).await?;
            (voters(&status) == self.len()).then_some(())
        })
        .await;
    }
}

async fn ready(endpoint: &Endpoint) {
    eventually(READY_WITHIN, "the node is ready", || async {
        let answer = endpoint.send(reqwest::Method::GET, "/readyz", Auth::Nobody, Body::Empty).await;
        answer.ok().filter(|answer| answer.status == 200).map(drop)
    })
    .await;
}

async fn admin_token(endpoint: &Endpoint, admin: Auth<'_>) -> String {
    let body = json!({ "scope": "applied-permissions/admin", "expires_in": 14_400 });
    endpoint.post(TOKENS, admin, Body::Json(body)).await.member("access_token")
}

/// The files of `cluster-configs/<name>`, on free ports.
pub(crate) fn settings_of(name: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster-configs").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let ports = Ports::default();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("a node's settings"));
    texts.map(|text| ports.substituted(&text)).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

/// What a node says of its cluster, if it answers.
async fn status(endpoint: &Endpoint, admin_token: &str) -> Option<Value> {
    let path = "/circlet/v1/cluster/status";
    let answer =
        endpoint.send(reqwest::Method::GET, path, Auth::Token(admin_token), Body::Empty).await.ok()?;
    (answer.status == 200).then(|| serde_json::from_str(&answer.text).expect("the status is JSON"))
}

/// The name of the node that leads.
fn leader_of(status: &Value) -> Option<String> {
    let leader = status["leader"].as_u64()?;
    let nodes = status["nodes"].as_array()?;
    let node = nodes.iter().find(|node| node["id"].as_u64() == Some(leader))?;
    node["name"].as_str().map(str::to_owned)
}

fn voters(status: &Value) -> usize {
    let nodes = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    nodes.iter().filter(|node| node["role"] == "voter" || node["voter"] == true).count()
}

async fn join_token(endpoint: &Endpoint, admin_token: &str) -> String {
    let path = "/circlet/v1/cluster/tokens";
    let answer = endpoint.post(path, Auth::Token(admin_token), Body::Json(json!({}))).await;
    answer.member("token")
}
