//! `circlet token create`.

use clap::ValueEnum;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{TOKENS, warn};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::profile::ServerArguments;
use crate::cli::table;

/// Create an access token. What no flag says, the server decides.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Create {
    /// Whom the token is for; by default you
    #[arg(value_name = "USERNAME")]
    username: Option<String>,
    /// With an administrator's rights
    #[arg(long)]
    grant_admin: bool,
    /// With the rights of these groups
    #[arg(long, value_name = "GROUP,...", value_delimiter = ',')]
    groups: Vec<String>,
    /// With exactly this scope
    #[arg(long, value_name = "SCOPE", conflicts_with_all = ["grant_admin", "groups"])]
    scope: Option<String>,
    /// Seconds until it expires; 0 for never
    #[arg(long, value_name = "SECONDS")]
    expiry: Option<u64>,
    /// With a refresh token
    #[arg(long)]
    refreshable: bool,
    /// With a reference token: a short text that stands for it at this cluster
    #[arg(long)]
    reference: bool,
    /// Revocable whatever its lifetime
    #[arg(long)]
    force_revocable: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who may accept it, as service ids separated by spaces
    #[arg(long, value_name = "SERVICE_ID ...")]
    audience: Option<String>,
    /// The project it belongs to
    #[arg(long, value_name = "KEY")]
    project: Option<String>,
    /// Makes a retry with the same key return the same token
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How the new token is printed
    #[arg(long, value_enum, default_value_t = Layout::Json)]
    format: Layout,
    #[command(flatten)]
    server: ServerArguments,
}

/// How the new token is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// The server's answer, for programs
    Json,
    /// One line for each part, for people
    Table,
}

impl Create {
    pub(super) async fn run(self, output: &Output) -> Result<(), Failure> {
        let body = self.body();
        let layout = self.format;
        let client = self.server.client(output)?;
        let header = self.idempotency_key.as_deref().map(|key| ("idempotency-key", key));
        let answer = client.request_with(Method::POST, TOKENS, header, Some(&body)).await?;
        warn(&answer, *output);
        print_token(&answer.json()?, layout == Layout::Json, *output)
    }

    /// Only what was asked for: an absent key leaves the choice to the server.
    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() && value != json!(false) {
                body.insert(key.to_owned(), value);
            }
        };
        put("grant_type", json!("client_credentials"));
        put("username", json!(self.username.as_ref().map(|name| name.to_lowercase())));
        put("scope", json!(self.scope()));
        put("expires_in", json!(self.expiry));
        put("refreshable", json!(self.refreshable));
        put("include_reference_token", json!(self.reference));
        put("force_revocable", json!(self.force_revocable));
        put("description", json!(self.description));
        put("audience", json!(self.audience));
        put("project_key", json!(self.project));
        Value::Object(body)
    }

    /// Groups and administration combine into one scope; `--scope` stands alone.
    fn scope(&self) -> Option<String> {
        if self.scope.is_some() {
            return self.scope.clone();
        }
        let mut items = Vec::new();
        if !self.groups.is_empty() {
            let quoted =
                |group: &String| if group.contains(' ') { format!("\"{group}\"") } else { group.clone() };
            let groups: Vec<String> = self.groups.iter().map(quoted).collect();
            items.push(format!("applied-permissions/groups:{}", groups.join(",")));
        }
        if self.grant_admin {
            items.push("applied-permissions/admin".to_owned());
        }
        (!items.is_empty()).then(|| items.join(" "))
    }
}

/// Prints what the server answered to a create or a refresh.
pub(super) fn print_token(token: &Value, as_json: bool, output: Output) -> Result<(), Failure> {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    output.result(token, |token| if as_json { pretty(token) } else { table::members(token) })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::Create;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: Create,
    }

    fn body(line: &[&str]) -> serde_json::Value {
        let line = Line::try_parse_from([&["create"], line].concat()).expect("a valid command line");
        line.create.body()
    }

    #[test]
    fn without_flags_the_server_decides_everything() {
        assert_eq!(body(&[]), json!({ "grant_type": "client_credentials" }));
    }

    #[test]
    fn groups_and_administration_combine() {
        assert_eq!(
            body(&["Alice", "--groups", "a,b c", "--grant-admin", "--expiry", "0", "--refreshable"]),
            json!({
                "grant_type": "client_credentials",
                "username": "alice",
                "scope": "applied-permissions/groups:a,\"b c\" applied-permissions/admin",
                "expires_in": 0,
                "refreshable": true,
            })
        );
    }

    #[test]
    fn a_scope_stands_alone() {
        assert!(Line::try_parse_from(["create", "--scope", "x", "--grant-admin"]).is_err());
        assert!(Line::try_parse_from(["create", "--expiry", "-1"]).is_err());
    }
}
