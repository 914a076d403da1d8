//! `circlet token verify`.

use std::path::PathBuf;

use reqwest::Method;

use super::offline;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::profile::{ServerArguments, secret_from_stdin};
use crate::cli::table;
use crate::client::Credential;

/// Where a token is shown to be judged.
const VERIFY: &str = "/circlet/v1/verify";

/// Check a token. A server also knows what was revoked; offline signature, time and audience are checked, and with --circle what was revoked.
#[derive(clap::Args)]
pub struct Verify {
    /// The token; better read from stdin, because every user of this machine can see an argument
    #[arg(value_name = "TOKEN", required_unless_present = "token_stdin")]
    token: Option<String>,
    /// Read the token from stdin
    #[arg(long, conflicts_with = "token")]
    token_stdin: bool,
    /// Offline: accept what is signed by one of the root certificates (*.crt, *.pem) in this folder
    #[arg(long, value_name = "DIR")]
    certificates: Option<PathBuf>,
    /// Offline: the same, and what was revoked, as `circlet circle export` and `pull` put it into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "certificates")]
    circle: Option<PathBuf>,
    /// Offline: who accepts the token; without it the audience is not checked
    #[arg(long, value_name = "SERVICE_ID")]
    audience: Option<String>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Verify {
    pub(super) async fn run(self, output: &Output) -> Result<(), Failure> {
        let token = match self.token {
            Some(token) => token.into(),
            None => secret_from_stdin("the token to verify")?,
        };
        let offline = match (&self.circle, &self.certificates) {
            (Some(folder), _) => Some((folder, true)),
            (None, folder) => folder.as_ref().map(|folder| (folder, false)),
        };
        if let Some((folder, follows)) = offline {
            let token = token.expose_text().ok_or_else(|| Failure::input("the token is not UTF-8 text"))?;
            let (verdict, said) = offline::verify(token, folder, follows, self.audience.as_deref())?;
            for said in said {
                output.say(&format!("warning: {said}"));
            }
            return output.result(&verdict, table::members);
        }
        if self.audience.is_some() {
            return Err(Failure::input("--audience goes with --certificates or --circle")
                .hint("a server judges for itself; GET /circlet/v1/verify?audience= asks it for another"));
        }
        let client = self.server.client_or_anonymous(output)?.with(Credential::Token(token));
        let answer = client.ask(Method::GET, VERIFY, None).await?;
        if answer.is_success() {
            return output.result(&answer.json()?, table::members);
        }
        // The token is what was judged, not a credential to be replaced: no hint to get another.
        Err(answer.failure_without_hint())
    }
}
