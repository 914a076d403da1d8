//! `circlet import`: what an older installation lists, as its API gave it.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::output::Output;
use super::profile::ServerArguments;
use super::table;
use crate::client::Client;

/// Tokens that one request brings.
const TOKENS_PER_REQUEST: usize = 250;

/// Import what an older installation lists: its tokens, users and groups. Groups go first, then users, then tokens.
#[derive(clap::Subcommand)]
pub enum ImportCommand {
    /// Live tokens, from the list of either API; only for a cluster that was founded with that installation's key
    Tokens(File),
    /// Users, from a list or from their descriptions; without a password until somebody sets one
    Users(File),
    /// Groups, from a list or from their descriptions
    Groups(File),
}

/// A file and a server.
#[derive(clap::Args)]
pub struct File {
    /// JSON: a list, or the answer that holds it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    server: ServerArguments,
}

impl ImportCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Tokens(file) => {
                tokens(&file.server.client(output)?, &read(&file.file, "tokens")?, output).await
            }
            Self::Users(file) => {
                let users = read(&file.file, "users")?;
                let users: Vec<Value> = users.iter().map(user).collect();
                people(&file.server.client(output)?, "/access/api/v2/users", "username", &users, output).await
            }
            Self::Groups(file) => {
                let groups = read(&file.file, "groups")?;
                let groups: Vec<Value> = groups.iter().map(group).collect();
                people(&file.server.client(output)?, "/access/api/v2/groups", "name", &groups, output).await
            }
        }
    }
}

/// The list in the file, which may stand under `key`.
fn read(file: &Path, key: &str) -> Result<Vec<Value>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::input(format!("{} can't be read", file.display())).because(error))?;
    let content: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::input(format!("{} is not JSON", file.display())).because(error))?;
    let list = match content {
        Value::Object(mut object) => object.remove(key).unwrap_or_default(),
        other => other,
    };
    match list {
        Value::Array(list) => Ok(list),
        _ => Err(Failure::input(format!("{} holds no list of {key}", file.display()))
            .hint(format!("it should be a JSON list, or an object with one under \"{key}\""))),
    }
}

async fn tokens(client: &Client, list: &[Value], output: &Output) -> Result<(), Failure> {
    let mut sum = Map::new();
    let mut unreadable = Vec::new();
    for part in list.chunks(TOKENS_PER_REQUEST) {
        let body = json!({ "tokens": part });
        let answer = client.request(Method::POST, "/circlet/v1/import/tokens", Some(&body)).await?.json()?;
        for name in ["recorded", "known", "revoked", "expired", "foreign"] {
            let before = sum.get(name).and_then(Value::as_u64).unwrap_or(0);
            sum.insert(name.to_owned(), (before + answer[name].as_u64().unwrap_or(0)).into());
        }
        unreadable.extend(answer["unreadable"].as_array().into_iter().flatten().cloned());
    }
    for item in &unreadable {
        output.say(&format!("left out {}: {}", item["token_id"], table::cell(&item["why"])));
    }
    sum.insert("unreadable".to_owned(), unreadable.len().into());
    output.result(&Value::Object(sum), table::members)
}

/// Creates each that is not there yet; one that is refused does not keep the others out.
async fn people(
    client: &Client,
    path: &str,
    name: &str,
    list: &[Value],
    output: &Output,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut refused = 0;
    for item in list {
        let answer = client.ask(Method::POST, path, Some(item)).await?;
        let state = match answer.status {
            201 => "created".to_owned(),
            409 => "known".to_owned(),
            _ => {
                refused += 1;
                let why = answer.json().map(|body| table::cell(&body["errors"][0]["message"]));
                format!("refused: {}", why.unwrap_or_else(|_| answer.status.to_string()))
            }
        };
        rows.push(json!({"name": item[name], "state": state}));
    }
    output.result(&json!({ "imported": rows }), |result| {
        table::table(&["NAME", "STATE"], &table::rows(&result["imported"], &["name", "state"]))
    })?;
    if refused == 0 {
        return Ok(());
    }
    Err(Failure::input(format!("{refused} of {} were refused", list.len())).hint("the list above says why"))
}

/// A user as the newer API takes it, from either API's description or from an item of either one's list.
fn user(item: &Value) -> Value {
    let mut user = Map::new();
    put(&mut user, item, "username", &["username", "name"]);
    for (new, old) in [
        ("email", "email"),
        ("admin", "admin"),
        ("realm", "realm"),
        ("status", "status"),
        ("profile_updatable", "profileUpdatable"),
        ("disable_ui_access", "disableUIAccess"),
        ("internal_password_disabled", "internalPasswordDisabled"),
    ] {
        put(&mut user, item, new, &[new, old]);
    }
    put(&mut user, item, "groups", &["groups"]);
    Value::Object(user)
}

fn group(item: &Value) -> Value {
    let mut group = Map::new();
    put(&mut group, item, "name", &["name", "group_name"]);
    for (new, old) in [
        ("description", "description"),
        ("auto_join", "autoJoin"),
        ("admin_privileges", "adminPrivileges"),
        ("external_id", "realmAttributes"),
    ] {
        put(&mut group, item, new, &[new, old]);
    }
    Value::Object(group)
}

fn put(into: &mut Map<String, Value>, item: &Value, name: &str, names: &[&str]) {
    if let Some(value) = names.iter().map(|name| &item[*name]).find(|value| !value.is_null()) {
        into.insert(name.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_people_are_read() {
        let newer = json!({"username": "alice", "uri": "/access/api/v2/users/alice", "realm": "internal", "status": "enabled"});
        assert_eq!(user(&newer), json!({"username": "alice", "realm": "internal", "status": "enabled"}));
        let older = json!({"name": "bob", "email": "b@example.org", "admin": false, "profileUpdatable": true,
            "disableUIAccess": false, "groups": ["readers"], "lastLoggedIn": "2024-01-01", "realm": "ldap"});
        let wanted = json!({"username": "bob", "email": "b@example.org", "admin": false, "profile_updatable": true,
            "disable_ui_access": false, "groups": ["readers"], "realm": "ldap"});
        assert_eq!(user(&older), wanted);
        assert_eq!(group(&json!({"group_name": "g", "uri": "x"})), json!({"name": "g"}));
        assert_eq!(group(&json!({"name": "g", "autoJoin": true})), json!({"name": "g", "auto_join": true}));
    }
}
