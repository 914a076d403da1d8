//! `circlet user`: the accounts.

use reqwest::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::profile::{ServerArguments, secret_from_stdin};
use super::table;
use crate::client::segment;
use crate::secret::Secret;

const USERS: &str = "/access/api/v2/users";

/// `circlet user`: the accounts.
#[derive(clap::Subcommand)]
pub enum UserCommand {
    /// Create a user
    Create(Create),
    /// Delete a user; the tokens of that name end with it
    Delete(Delete),
    /// List the users
    List(List),
}

impl UserCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(output).await,
            Self::Delete(delete) => delete.run(output).await,
            Self::List(list) => list.run(output).await,
        }
    }
}

/// Create a user.
#[derive(clap::Args)]
pub struct Create {
    /// The user's name
    #[arg(value_name = "NAME")]
    name: String,
    /// The user's address
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// Read the password from stdin; without this a random one is made and printed once
    #[arg(long, conflicts_with = "access_token_stdin")]
    password_stdin: bool,
    /// An administrator
    #[arg(long)]
    admin: bool,
    /// A member of these groups
    #[arg(long, value_name = "GROUP,...", value_delimiter = ',')]
    groups: Vec<String>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Create {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let generated = if self.password_stdin { None } else { Some(random_password()) };
        let password = match &generated {
            Some(password) => Secret::from(password.clone()),
            None => secret_from_stdin("the password")?,
        };
        let body = json!({
            "username": self.name.to_lowercase(),
            "email": self.email,
            "password": password.expose_text(),
            "admin": self.admin,
            "groups": self.groups,
        });
        let answer = client.request(Method::POST, USERS, Some(&body)).await?;
        let mut user = answer.json()?;
        if let (Some(password), Some(members)) = (generated, user.as_object_mut()) {
            members.insert("password".to_owned(), Value::String(password));
        }
        output.result(&user, table::members)
    }
}

/// 160 random bits, in letters and digits that are not mistaken for each other.
fn random_password() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = Secret::random(32);
    bytes.expose().iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

/// Delete a user.
#[derive(clap::Args)]
pub struct Delete {
    /// The user's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Delete {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let path = format!("{USERS}/{}", segment(&self.name));
        self.server.client(output)?.request(Method::DELETE, &path, None).await?;
        output.result(&json!({ "username": self.name, "state": "deleted" }), table::members)
    }
}

/// List the users.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    server: ServerArguments,
}

impl List {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let list = self.server.client(output)?.list(USERS, "users").await?;
        output.result(&list, |list| {
            let keys = ["username", "status", "realm"];
            table::table(&["NAME", "STATUS", "REALM"], &table::rows(&list["users"], &keys))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::random_password;

    #[test]
    fn random_passwords_are_long_and_differ() {
        let (one, other) = (random_password(), random_password());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }
}
