//! `circlet join`: a home for a new node of an existing cluster.

use std::io::Read;
use std::path::PathBuf;

use serde_json::json;

use super::failure::Failure;
use super::init::NodeFlags;
use super::output::Output;
use crate::home::{self, Paths};
use crate::join::{Invitation, JoinError, Joining, join};
use crate::join_token::JoinToken;
use crate::secret::Secret;

/// No join token is longer.
const TOKEN_BYTES_MAX: u64 = 8 * 1024;

/// Make a home directory for a new node of an existing cluster.
#[derive(clap::Args)]
pub struct Join {
    /// The home directory of the new node; made if missing
    #[arg(long, value_name = "DIR", env = "CIRCLET_HOME")]
    home: PathBuf,
    #[command(flatten)]
    node: NodeFlags,
    /// The join token, as `circlet cluster token` printed it
    #[arg(long, value_name = "TOKEN", env = "CIRCLET_JOIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the join token; `-` reads it from stdin
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Never give the node a vote: it issues and verifies, and no decision waits for it
    #[arg(long)]
    learner: bool,
}

impl Join {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let invitation = self.invitation()?;
        let home = self.home.clone();
        let joining =
            Joining { home: self.home, chosen: self.node.chosen(), invitation, learner: self.learner };
        let joined = join(joining).await.map_err(failure)?;
        let result = json!({
            "home": home,
            "node_id": joined.node_id,
            "name": joined.name,
            "service_id": joined.service_id,
            "url": joined.url,
        });
        output.result(&result, |_| {
            format!(
                "joined cluster {} as node {} ({}) in {}",
                joined.service_id,
                joined.node_id,
                joined.name,
                home.display()
            )
        })?;
        output.say(&format!("run it with: circlet serve --home {}", home.display()));
        Ok(())
    }

    /// The token that was given, or else the keys that were placed in the home.
    fn invitation(&self) -> Result<Invitation, Failure> {
        if self.token.is_none() && self.token_file.is_none() && Paths::new(&self.home).join_key().exists() {
            return Ok(Invitation::Key);
        }
        let text = self.token_text()?;
        let token = text.expose_text().ok_or_else(|| Failure::input("the join token is not text"))?;
        let token = JoinToken::parse(token).map_err(|error| {
            Failure::input("the join token can't be read")
                .because(error)
                .hint("make a new one with `circlet cluster token` on a machine that reaches the cluster")
        })?;
        Ok(Invitation::Token(token))
    }

    fn token_text(&self) -> Result<Secret, Failure> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Secret::from(token.clone())),
            (None, Some(file)) if file.as_os_str() == "-" => {
                let mut text = Vec::new();
                std::io::stdin().take(TOKEN_BYTES_MAX).read_to_end(&mut text).map_err(|error| {
                    Failure::input("the join token could not be read from stdin").because(error)
                })?;
                Ok(Secret::new(text))
            }
            (None, Some(file)) => Ok(home::read_secret(file, "it holds the join token")?),
            (None, None) => Err(Failure::input("no join token was given")
                .hint("make one with `circlet cluster token`, and pass it with --token or --token-file")),
        }
    }
}

/// Why a node did not join, with what to do.
pub(super) fn failure(error: JoinError) -> Failure {
    match error {
        JoinError::Home(error) => error.into(),
        JoinError::NoAddress { .. } => Failure::input(error.to_string())
            .hint("name the peer addresses of some nodes there: join: {addresses: [one.example.org:8444]}"),
        JoinError::Refused(_) => {
            Failure::input(error.to_string()).hint("make a new join token with `circlet cluster token`")
        }
        JoinError::Unreachable(_) => Failure::ours(error.to_string())
            .hint("are the nodes up, and does this machine reach their peer ports?"),
        JoinError::Stranger(_) => Failure::input(error.to_string()).hint(
            "a join token of before the CA was replaced lets nobody in: make a new one with `circlet cluster token`; \
             nodes that are down show their new certificates once they are up",
        ),
        JoinError::NotProved(_) | JoinError::Certificate(_) => Failure::ours(error.to_string()),
    }
}
