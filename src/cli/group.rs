//! `circlet group`: the groups of users.

use reqwest::Method;
use serde_json::json;

use super::failure::Failure;
use super::output::Output;
use super::profile::ServerArguments;
use super::table;
use crate::client::segment;

const GROUPS: &str = "/access/api/v2/groups";

/// `circlet group`: the groups of users.
#[derive(clap::Subcommand)]
pub enum GroupCommand {
    /// Create a group
    Create(Create),
    /// Delete a group; tokens keep its name in their scope, but it grants nothing any more
    Delete(Delete),
    /// List the groups
    List(List),
}

impl GroupCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(output).await,
            Self::Delete(delete) => delete.run(output).await,
            Self::List(list) => list.run(output).await,
        }
    }
}

/// Create a group.
#[derive(clap::Args)]
pub struct Create {
    /// The group's name
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Create {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let mut body = json!({ "name": self.name });
        if let Some(description) = self.description {
            body["description"] = json!(description);
        }
        let answer = self.server.client(output)?.request(Method::POST, GROUPS, Some(&body)).await?;
        output.result(&answer.json()?, table::members)
    }
}

/// Delete a group.
#[derive(clap::Args)]
pub struct Delete {
    /// The group's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Delete {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let path = format!("{GROUPS}/{}", segment(&self.name));
        self.server.client(output)?.request(Method::DELETE, &path, None).await?;
        output.result(&json!({ "name": self.name, "state": "deleted" }), table::members)
    }
}

/// List the groups.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    server: ServerArguments,
}

impl List {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let list = self.server.client(output)?.list(GROUPS, "groups").await?;
        output.result(&list, |list| table::table(&["NAME"], &table::rows(&list["groups"], &["group_name"])))
    }
}
