//! `circlet trust`: the circle of trust.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::output::Output;
use super::profile::ServerArguments;
use super::table;
use crate::client::segment;

const TRUST: &str = "/circlet/v1/trust";
/// A certificate file is never larger.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;

/// `circlet trust`: the circle of trust.
#[derive(clap::Subcommand)]
pub enum TrustCommand {
    /// Trust the tokens of another cluster, by its root certificate
    Add(Add),
    /// Trust them no longer
    Remove(Remove),
    /// Change what their tokens may do here
    Set(Set),
    /// List the trusted clusters
    List(List),
}

impl TrustCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(output).await,
            Self::Remove(remove) => remove.run(output).await,
            Self::Set(set) => set.run(output).await,
            Self::List(list) => list.run(output).await,
        }
    }
}

/// Trust the tokens of another cluster, by its root certificate.
#[derive(clap::Args)]
pub struct Add {
    /// The other cluster's root certificate, in PEM: etc/keys/root.crt of any of its nodes
    #[arg(value_name = "FILE")]
    certificate: PathBuf,
    /// What to call it; by default the file's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Whom the certificate speaks for, where its common name does not say
    #[arg(long, value_name = "SERVICE_ID")]
    service_id: Option<String>,
    /// Its administrators are administrators here too
    #[arg(long)]
    allow_admin: bool,
    /// Its tokens bring only these groups, each as the one of ours behind the =; by default any that they name
    #[arg(long, value_name = "THEIRS[=OURS],...", value_delimiter = ',')]
    groups: Option<Vec<String>>,
    /// Its tokens are refused when they live longer than this
    #[arg(long, value_name = "SECONDS")]
    max_lifetime: Option<u64>,
    /// Its tokens are refused when they are meant for anybody else than these
    #[arg(long, value_name = "AUDIENCE,...", value_delimiter = ',')]
    audiences: Option<Vec<String>>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Add {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let path = &self.certificate;
        let unusable = || Failure::input(format!("the certificate {} cannot be used", path.display()));
        let size = std::fs::metadata(path).map_err(|error| unusable().because(error))?.len();
        if size > CERTIFICATE_BYTES_MAX {
            return Err(unusable()
                .hint(format!("it has {size} bytes; a certificate has at most {CERTIFICATE_BYTES_MAX}")));
        }
        let certificate = std::fs::read_to_string(path).map_err(|error| {
            unusable().because(error).hint("it must be in PEM, -----BEGIN CERTIFICATE-----")
        })?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let body = json!({
            "name": self.name.or(stem),
            "certificate": certificate,
            "service_id": self.service_id,
            "limits": {
                "admin": self.allow_admin,
                "groups": self.groups.as_deref().map(stands_for),
                "max_lifetime": self.max_lifetime,
                "audiences": self.audiences,
            },
        });
        let answer = self.server.client(output)?.request(Method::POST, TRUST, Some(&body)).await?;
        output.result(&answer.json()?, table::members)
    }
}

/// Trust them no longer.
#[derive(clap::Args)]
pub struct Remove {
    /// The key id, the name or the service id, as `circlet trust list` shows them
    #[arg(value_name = "ISSUER")]
    issuer: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Remove {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let path = format!("{TRUST}/{}", segment(&self.issuer));
        self.server.client(output)?.request(Method::DELETE, &path, None).await?;
        output.result(&json!({ "issuer": self.issuer, "state": "no longer trusted" }), table::members)
    }
}

/// Change what their tokens may do here. What is not named stays.
#[derive(clap::Args)]
pub struct Set {
    /// The key id, the name or the service id, as `circlet trust list` shows them
    #[arg(value_name = "ISSUER")]
    issuer: String,
    /// Whether its administrators are administrators here too
    #[arg(long, value_name = "BOOL")]
    admin: Option<bool>,
    /// Whether it may have our tokens revoked, if it is a member of the circle
    #[arg(long, value_name = "BOOL")]
    revoke: Option<bool>,
    /// Its tokens bring only these groups, each as the one of ours behind the =; `any`: all that they name
    #[arg(long, value_name = "THEIRS[=OURS],...", value_delimiter = ',')]
    groups: Option<Vec<String>>,
    /// Its tokens are refused when they live longer than this; 0: no limit
    #[arg(long, value_name = "SECONDS")]
    max_lifetime: Option<u64>,
    /// Its tokens are refused when they are meant for anybody else than these; `any`: no limit
    #[arg(long, value_name = "AUDIENCE,...", value_delimiter = ',')]
    audiences: Option<Vec<String>>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Set {
    pub(super) async fn run(self, output: &Output) -> Result<(), Failure> {
        let is_any = |list: &[String]| list == ["any"];
        let mut limits = Map::new();
        if let Some(admin) = self.admin {
            limits.insert("admin".to_owned(), admin.into());
        }
        if let Some(revoke) = self.revoke {
            limits.insert("revoke".to_owned(), revoke.into());
        }
        if let Some(groups) = &self.groups {
            let groups = if is_any(groups) { Value::Null } else { json!(stands_for(groups)) };
            limits.insert("groups".to_owned(), groups);
        }
        if let Some(secs) = self.max_lifetime {
            limits.insert("max_lifetime".to_owned(), if secs == 0 { Value::Null } else { secs.into() });
        }
        if let Some(audiences) = &self.audiences {
            let audiences = if is_any(audiences) { Value::Null } else { json!(audiences) };
            limits.insert("audiences".to_owned(), audiences);
        }
        if limits.is_empty() {
            return Err(Failure::input("nothing to change")
                .hint("name at least one of --admin, --revoke, --groups, --max-lifetime and --audiences"));
        }
        let path = format!("{TRUST}/{}", segment(&self.issuer));
        let body = json!({ "limits": limits });
        let answer = self.server.client(output)?.request(Method::PATCH, &path, Some(&body)).await?;
        output.result(&answer.json()?, issuers)
    }
}

/// What each of their groups stands for here: itself, unless another follows a `=`.
fn stands_for(groups: &[String]) -> BTreeMap<&str, &str> {
    groups.iter().map(|group| group.split_once('=').unwrap_or((group, group))).collect()
}

fn issuers(list: &Value) -> String {
    let keys = ["name", "service_id", "kid", "algorithm"];
    table::table(&["NAME", "SERVICE ID", "KEY ID", "ALGORITHM"], &table::rows(&list["issuers"], &keys))
}

/// List the trusted clusters.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    server: ServerArguments,
}

impl List {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let answer = self.server.client(output)?.request(Method::GET, TRUST, None).await?;
        output.result(&answer.json()?, issuers)
    }
}
