//! `circlet token`: the life of access tokens.

mod create;
mod offline;
mod refresh;
mod revoke_all;
mod verify;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::output::Output;
use super::profile::{ServerArguments, secret_from_stdin};
use super::table;
use crate::client::{Answer, segment};

/// Where tokens are made and kept.
const TOKENS: &str = "/access/api/v1/tokens";

/// `circlet token`: the life of access tokens.
#[derive(clap::Subcommand)]
pub enum TokenCommand {
    /// Create an access token
    Create(create::Create),
    /// Exchange a refresh token for a new pair; the old pair ends
    Refresh(refresh::Refresh),
    /// Revoke tokens, by id or by value
    Revoke(Revoke),
    /// Revoke everything of a user, a group, a key or a stretch of time, at once; or count it first
    RevokeAll(revoke_all::RevokeAll),
    /// List the recorded tokens that you may see
    List(List),
    /// Show one recorded token
    Show(Show),
    /// Show what you may ask for when you create a token, on either API
    Limits(Limits),
    /// Check a token, at a server or offline
    Verify(verify::Verify),
}

impl TokenCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(output).await,
            Self::Refresh(refresh) => refresh.run(output).await,
            Self::Revoke(revoke) => revoke.run(output).await,
            Self::RevokeAll(revoke) => revoke.run(output).await,
            Self::List(list) => list.run(output).await,
            Self::Show(show) => show.run(output).await,
            Self::Limits(limits) => limits.run(output).await,
            Self::Verify(verify) => verify.run(output).await,
        }
    }
}

/// Revoke tokens, by id or by value.
#[derive(clap::Args)]
pub struct Revoke {
    /// The ids of the tokens, or `me` for the token that you ask with
    #[arg(value_name = "TOKEN_ID", required_unless_present = "token_stdin")]
    ids: Vec<String>,
    /// End what was created with the token as well, and what was created with that
    #[arg(long)]
    cascade: bool,
    /// The member of the circle that issued the tokens: it is asked to revoke them, if circle.forward-revoke is set
    #[arg(long, value_name = "MEMBER", requires = "ids")]
    issuer: Option<String>,
    /// Read the value of the token to revoke from stdin: an access, refresh or reference token
    #[arg(long, conflicts_with_all = ["ids", "access_token_stdin"])]
    token_stdin: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl Revoke {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let mut revoked = Vec::new();
        if self.token_stdin {
            let token = secret_from_stdin("the token to revoke")?;
            let body = json!({ "token": token.expose_text(), "cascade": self.cascade });
            let answer = client.request(Method::DELETE, &format!("{TOKENS}/revoke"), Some(&body)).await?;
            let id = answer.json().map(|body| table::cell(&body["revoked_token_id"])).unwrap_or_default();
            revoked.push(fate(&id, &answer));
        }
        let issuer = self.issuer.as_deref().map(|issuer| format!("&issuer={}", segment(issuer)));
        let query = format!("?cascade={}{}", self.cascade, issuer.unwrap_or_default());
        for id in &self.ids {
            let path = format!("{TOKENS}/{}{query}", segment(id));
            let answer = client.request(Method::DELETE, &path, None).await?;
            warn(&answer, *output);
            revoked.push(fate(id, &answer));
        }
        output.result(&json!({ "tokens": revoked }), |result| {
            table::table(&["TOKEN", "STATE"], &table::rows(&result["tokens"], &["token_id", "state"]))
        })
    }
}

/// 204 says that the token was revoked before (contract: revoke by id).
fn fate(id: &str, answer: &Answer) -> Value {
    let state = if answer.status == 204 { "already revoked" } else { "revoked" };
    json!({ "token_id": id, "state": state })
}

/// List the recorded tokens that you may see.
#[derive(clap::Args)]
pub struct List {
    /// Only tokens of this user
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Only tokens with this description; a trailing * stands for anything
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Only tokens that were created with this one
    #[arg(long, value_name = "TOKEN_ID")]
    parent: Option<String>,
    /// Only tokens that can, or cannot, be refreshed
    #[arg(long, value_name = "BOOL")]
    refreshable: Option<bool>,
    /// The order of the list
    #[arg(long, value_name = "KEY", value_parser = ["created", "token_id", "owner", "subject", "expiry"])]
    order_by: Option<String>,
    /// The other way round
    #[arg(long)]
    descending: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl List {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let query = [
            ("username", self.username),
            ("description", self.description),
            ("parent", self.parent),
            ("refreshable", self.refreshable.map(|value| value.to_string())),
            ("order_by", self.order_by),
            ("descending_order", self.descending.then(|| "true".to_owned())),
        ];
        let query: Vec<String> = query
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", segment(&value?))))
            .collect();
        let path = if query.is_empty() { TOKENS.to_owned() } else { format!("{TOKENS}?{}", query.join("&")) };
        let list = self.server.client(output)?.list(&path, "tokens").await?;
        output.result(&list, |list| {
            let columns = [
                ("token_id", "TOKEN"),
                ("subject", "SUBJECT"),
                ("issued_at", "ISSUED"),
                ("expiry", "EXPIRY"),
                ("last_used", "LAST USED"),
                ("refreshable", "REFRESHABLE"),
                ("scope", "SCOPE"),
                ("description", "DESCRIPTION"),
            ];
            let (keys, headings) = (columns.map(|(key, _)| key), columns.map(|(_, heading)| heading));
            table::table(&headings, &table::rows(&list["tokens"], &keys))
        })
    }
}

/// Show one recorded token.
#[derive(clap::Args)]
pub struct Show {
    /// The token's id, or `me` for the token that you ask with
    #[arg(value_name = "TOKEN_ID", default_value = "me")]
    id: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Show {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let path = format!("{TOKENS}/{}", segment(&self.id));
        let answer = self.server.client(output)?.request(Method::GET, &path, None).await?;
        output.result(&answer.json()?, table::members)
    }
}

/// Show what you may ask for.
#[derive(clap::Args)]
pub struct Limits {
    #[command(flatten)]
    server: ServerArguments,
}

impl Limits {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let answer = client.request(Method::GET, "/circlet/v1/limits", None).await?;
        output.result(&answer.json()?, |limits| {
            let mut all = Map::new();
            for (name, value) in limits.as_object().into_iter().flatten() {
                match value.as_object() {
                    Some(inner) => all.extend(
                        inner.iter().map(|(inner, value)| (format!("{name}.{inner}"), value.clone())),
                    ),
                    None => drop(all.insert(name.clone(), value.clone())),
                }
            }
            table::members(&Value::Object(all))
        })
    }
}

/// What the server did, with what it wants to be known although it did it.
fn warn(answer: &Answer, output: Output) {
    if let Some(warning) = &answer.warning {
        output.say(&format!("warning: {warning}"));
    }
}
