//! `circlet token refresh`.

use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::create::print_token;
use super::{TOKENS, warn};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::profile::ServerArguments;
use crate::client::Credential;

/// A file with a pair is never longer.
const PAIR_BYTES_MAX: u64 = 256 * 1024;

/// Exchange a refresh token for a new pair; the old pair ends.
#[derive(clap::Args)]
#[expect(clippy::struct_field_names, reason = "the flag is named after what it holds")]
pub struct Refresh {
    /// The pair, as `circlet token create --refreshable` printed it; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "refresh_token")]
    pair: Option<PathBuf>,
    /// The refresh token; the access token to refresh is then the one that you ask with
    #[arg(long, value_name = "TOKEN", env = "CIRCLET_REFRESH_TOKEN", hide_env_values = true)]
    refresh_token: Option<String>,
    /// Seconds until the new access token expires; by default as long as the old one
    #[arg(long, value_name = "SECONDS")]
    expiry: Option<u64>,
    /// With a reference token for the new access token
    #[arg(long)]
    reference: bool,
    #[command(flatten)]
    server: ServerArguments,
}

struct Pair {
    access: Option<String>,
    refresh: String,
}

impl Refresh {
    pub(super) async fn run(self, output: &Output) -> Result<(), Failure> {
        let pair = match (&self.pair, self.refresh_token) {
            (Some(path), _) => read_pair(path)?,
            (None, Some(refresh)) => Pair { access: None, refresh },
            (None, None) => {
                return Err(Failure::input("no refresh token")
                    .hint("pass the pair that was printed with --pair FILE, or set CIRCLET_REFRESH_TOKEN"));
            }
        };
        let client = self.server.client_or_anonymous(output)?;
        // The old access token, expired or not, is what this one request is authenticated with.
        let access = pair.access.or_else(|| client.token_text());
        let mut body = Map::new();
        body.insert("grant_type".to_owned(), json!("refresh_token"));
        body.insert("refresh_token".to_owned(), json!(pair.refresh));
        body.insert("refreshable".to_owned(), json!(true));
        if let Some(access) = &access {
            body.insert("access_token".to_owned(), json!(access));
        }
        if let Some(expiry) = self.expiry {
            body.insert("expires_in".to_owned(), json!(expiry));
        }
        if self.reference {
            body.insert("include_reference_token".to_owned(), json!(true));
        }
        let client = match access {
            Some(access) => client.with(Credential::Token(access.into())),
            None => client,
        };
        let answer = client.request(Method::POST, TOKENS, Some(&Value::Object(body))).await?;
        warn(&answer, *output);
        print_token(&answer.json()?, true, *output)
    }
}

fn read_pair(path: &Path) -> Result<Pair, Failure> {
    let unusable = || {
        Failure::input(format!("{} holds no pair of tokens", path.display()))
            .hint("it must be the JSON that `circlet token create --refreshable` printed")
    };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(PAIR_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(PAIR_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| unusable().because(error))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| unusable().because(error))?;
    let refresh = value["refresh_token"].as_str().ok_or_else(unusable)?.to_owned();
    Ok(Pair { access: value["access_token"].as_str().map(str::to_owned), refresh })
}
