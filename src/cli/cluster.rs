//! `circlet cluster`: the nodes of a cluster.

mod verdict;

use reqwest::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::profile::ServerArguments;
use super::table;
use crate::client::segment;

const CLUSTER: &str = "/circlet/v1/cluster";

/// `circlet cluster`: the nodes of a cluster.
#[derive(clap::Subcommand)]
pub enum ClusterCommand {
    /// Make a join token: one node may join with it, once, within a day
    Token(Token),
    /// Show the nodes, who leads, and how fresh the answering node is
    Status(Status),
    /// Remove a node from the cluster; its id never returns
    Remove(Remove),
    /// Hand the leadership to another voting node
    Transfer(Transfer),
}

impl ClusterCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Token(token) => token.run(output).await,
            Self::Status(status) => status.run(output).await,
            Self::Remove(remove) => remove.run(output).await,
            Self::Transfer(transfer) => transfer.run(output).await,
        }
    }
}

/// Make a join token.
#[derive(clap::Args)]
pub struct Token {
    #[command(flatten)]
    server: ServerArguments,
}

impl Token {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let answer = client.request(Method::POST, &format!("{CLUSTER}/tokens"), Some(&json!({}))).await?;
        let minted = answer.json()?;
        output.result(&minted, |minted| table::cell(&minted["token"]))?;
        output.say("it lets one node join, once: circlet join --home DIR --token-file FILE");
        Ok(())
    }
}

/// Show the nodes, who leads, and how fresh the answering node is.
#[derive(clap::Args)]
pub struct Status {
    #[command(flatten)]
    server: ServerArguments,
}

impl Status {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let answer = client.request(Method::GET, &format!("{CLUSTER}/status"), None).await?;
        output.result(&answer.json()?, for_people)
    }
}

/// What to do if it stays like that.
const NO_LEADER: &str = "no leader known: nothing is decided until a majority of the voters is up (if one is gone for good: \
                         circlet recover)";

/// What is wrong comes first.
fn for_people(status: &Value) -> String {
    let leader = match &status["leader"] {
        Value::Null => NO_LEADER.to_owned(),
        leader => format!("leader {leader}"),
    };
    let age = match &status["view_age_ms"] {
        Value::Null => "not yet proved fresh".to_owned(),
        age => format!("fresh as of {age} ms ago"),
    };
    let head = format!(
        "{}, asked node {}: {leader}, term {}, applied {}, {age}, feature level {}",
        table::cell(&status["service_id"]),
        status["node"],
        status["term"],
        table::cell(&status["applied"]),
        status["feature_level"],
    );
    let mut rows = table::rows(
        &status["nodes"],
        &["id", "name", "role", "leader", "answers", "url", "peer", "matched", "supports"],
    );
    for row in &mut rows {
        for flag in row.iter_mut().skip(3).take(2) {
            *flag = flag.replace("true", "yes").replace("false", "no");
        }
    }
    let columns = ["ID", "NAME", "ROLE", "LEADER", "ANSWERS", "URL", "PEER", "MATCHED", "LEVEL"];
    let mut parts = vec![verdict::of(status), head, table::table(&columns, &rows)];
    parts.extend(given_up(status));
    parts.join("\n\n")
}

/// Whom the answering node gave up when it began this generation, or one before, if anybody.
fn given_up(status: &Value) -> Option<String> {
    let mut rows = table::rows(&status["given_up"], &["id", "name", "generation", "url", "peer", "told_at"]);
    for row in &mut rows {
        for never in row.iter_mut().skip(5).filter(|told| told.is_empty()) {
            "not reached yet".clone_into(never);
        }
    }
    let columns = ["ID", "GIVEN UP", "GENERATION", "URL", "PEER", "KNOWS SINCE"];
    (!rows.is_empty()).then(|| table::table(&columns, &rows))
}

/// Remove a node from the cluster; its id never returns.
#[derive(clap::Args)]
pub struct Remove {
    /// The node's name or id
    #[arg(value_name = "NODE")]
    node: String,
    /// Somebody may have its disk: replace the master key, the CA, the refresh secret and the signing key, and refuse every
    /// token of before; also for a node that was removed already
    #[arg(long)]
    lost: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl Remove {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        if self.lost {
            let path = format!("{CLUSTER}/nodes/{}/lost", segment(&self.node));
            let lost = client.request(Method::POST, &path, None).await?.json()?;
            output.result(&lost, |lost| {
                format!("removed node {}, and replaced what it knew", table::cell(&lost["name"]))
            })?;
            for left in lost["left_to_do"].as_array().into_iter().flatten() {
                output.say(&table::cell(left));
            }
            return Ok(());
        }
        client.request(Method::DELETE, &format!("{CLUSTER}/nodes/{}", segment(&self.node)), None).await?;
        output.result(&json!({ "removed": self.node }), |_| format!("removed node {}", self.node))
    }
}

/// Hand the leadership to another voting node.
#[derive(clap::Args)]
pub struct Transfer {
    /// The name or id of the node that shall lead
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Transfer {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let body = json!({ "to": self.node });
        client.request(Method::POST, &format!("{CLUSTER}/leader"), Some(&body)).await?;
        output.result(&json!({ "leader": self.node }), |_| format!("handed the leadership to {}", self.node))
    }
}
