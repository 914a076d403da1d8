//! `circlet config`: the access configuration.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::output::Output;
use super::profile::ServerArguments;
use super::table;
use crate::client::segment;

const CONFIG: &str = "/circlet/v1/config";

/// `circlet config`: the access configuration.
#[derive(clap::Subcommand)]
pub enum ConfigCommand {
    /// Show a setting: its value, its default, and what it may be
    Get(Get),
    /// Change settings for the whole cluster, at once and without a restart
    Set(Set),
    /// Set a setting back to its default
    Reset(Reset),
    /// List all settings
    List(List),
    /// Show who changed what, and when
    History(History),
}

impl ConfigCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Get(get) => get.run(output).await,
            Self::Set(set) => set.run(output).await,
            Self::Reset(reset) => reset.run(output).await,
            Self::List(list) => list.run(output).await,
            Self::History(history) => history.run(output).await,
        }
    }
}

/// Show a setting.
#[derive(clap::Args)]
pub struct Get {
    /// The dotted name, as `circlet config list` shows it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Get {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let answer = client.request(Method::GET, &path_of(&self.name), None).await?;
        output.result(&answer.json()?, table::members)
    }
}

/// Change settings.
#[derive(clap::Args)]
pub struct Set {
    /// One setting as NAME VALUE, or several as NAME=VALUE: all of them change together, or none does
    #[arg(value_name = "NAME VALUE | NAME=VALUE", required = true, allow_negative_numbers = true)]
    settings: Vec<String>,
    /// Only if the configuration still has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Set {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let settings = pairs(&self.settings)?;
        let mut body: Map<String, Value> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        if let Some(version) = self.if_version {
            body.insert("if_version".to_owned(), json!(version));
        }
        let client = self.server.client(output)?;
        let answer = client.request(Method::PATCH, CONFIG, Some(&Value::Object(body))).await?.json()?;
        let changed: Map<String, Value> = settings
            .iter()
            .map(|(name, value)| {
                // The shorter names of the guide are not in the list.
                let now = answer["settings"].get(name).cloned().unwrap_or_else(|| json!(value));
                ((*name).to_owned(), now)
            })
            .collect();
        output.result(&json!({ "version": answer["version"], "settings": changed }), |result| {
            format!("{}\nconfiguration {}", table::members(&result["settings"]), result["version"])
        })
    }
}

/// `NAME VALUE`, or `NAME=VALUE ...`.
fn pairs(words: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    if let [name, value] = words
        && !name.contains('=')
    {
        return Ok(vec![(name, value)]);
    }
    words
        .iter()
        .map(|word| {
            word.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Failure::input(format!("{word} is not NAME=VALUE"))
                    .hint("circlet config set NAME VALUE, or circlet config set NAME=VALUE NAME=VALUE ...")
            })
        })
        .collect()
}

/// Set a setting back to its default.
#[derive(clap::Args)]
pub struct Reset {
    /// The dotted name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Reset {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let answer = client.request(Method::DELETE, &path_of(&self.name), None).await?;
        output.result(&answer.json()?, table::members)
    }
}

/// List all settings.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    server: ServerArguments,
}

impl List {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let answer = self.server.client(output)?.request(Method::GET, CONFIG, None).await?;
        output.result(&answer.json()?, |list| {
            format!("{}\n\nconfiguration {}", table::members(&list["settings"]), list["version"])
        })
    }
}

/// Show who changed what, and when.
#[derive(clap::Args)]
pub struct History {
    #[command(flatten)]
    server: ServerArguments,
}

impl History {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let answer = client.request(Method::GET, &format!("{CONFIG}/history"), None).await?;
        output.result(&answer.json()?, |history| {
            let rows: Vec<Vec<String>> =
                history["changes"].as_array().into_iter().flatten().flat_map(rows_of).collect();
            table::table(&["VERSION", "AT", "BY", "SETTING", "FROM", "TO"], &rows)
        })
    }
}

/// A row for each setting that one change has changed.
fn rows_of(change: &Value) -> Vec<Vec<String>> {
    let head: Vec<String> = ["version", "at", "by"].iter().map(|key| table::cell(&change[*key])).collect();
    let settings = change["settings"].as_object().into_iter().flatten();
    settings
        .map(|(name, values)| {
            let row = [name.clone(), table::cell(&values["from"]), table::cell(&values["to"])];
            head.iter().cloned().chain(row).collect()
        })
        .collect()
}

fn path_of(name: &str) -> String {
    format!("{CONFIG}/{}", segment(name))
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn one_setting_or_several_can_be_named() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(pairs(&words(&["a", "-1"])).ok(), Some(vec![("a", "-1")]));
        assert_eq!(pairs(&words(&["a=-1", "b=2"])).ok(), Some(vec![("a", "-1"), ("b", "2")]));
        assert_eq!(pairs(&words(&["a=1"])).ok(), Some(vec![("a", "1")]));
        for wrong in [&["a"][..], &["a", "b", "c"], &["=1"]] {
            assert!(pairs(&words(wrong)).is_err(), "{wrong:?}");
        }
    }
}
