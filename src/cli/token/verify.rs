//! `circlet token verify`.

use reqwest::Method;

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::profile::{ServerArguments, secret_from_stdin};
use crate::cli::table;
use crate::client::Credential;

/// Where a token is shown to be judged.
const VERIFY: &str = "/circlet/v1/verify";

/// Check a token.
#[derive(clap::Args)]
pub struct Verify {
    /// The token; better read from stdin, because every user of this machine can see an argument
    #[arg(value_name = "TOKEN", required_unless_present = "token_stdin")]
    token: Option<String>,
    /// Read the token from stdin
    #[arg(long, conflicts_with = "token")]
    token_stdin: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl Verify {
    pub(super) async fn run(self, output: &Output) -> Result<(), Failure> {
        let token = match self.token {
            Some(token) => token.into(),
            None => secret_from_stdin("the token to verify")?,
        };
        let client = self.server.client_or_anonymous(output)?.with(Credential::Token(token));
        let answer = client.ask(Method::GET, VERIFY, None).await?;
        if answer.is_success() {
            return output.result(&answer.json()?, table::members);
        }
        // The token is what was judged, not a credential to be replaced: no hint to get another.
        Err(answer.failure_without_hint())
    }
}
