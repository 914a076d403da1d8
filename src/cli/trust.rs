//! `circlet trust`: the circle of trust.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::json;

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
    /// List the trusted clusters
    List(List),
}

impl TrustCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(output).await,
            Self::Remove(remove) => remove.run(output).await,
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
    /// Its tokens bring only these of our groups; by default any that they name
    #[arg(long, value_name = "GROUP,...", value_delimiter = ',')]
    groups: Option<Vec<String>>,
    /// Its tokens are refused when they live longer than this
    #[arg(long, value_name = "SECONDS")]
    max_lifetime: Option<u64>,
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
            "limits": { "admin": self.allow_admin, "groups": self.groups, "max_lifetime": self.max_lifetime },
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

/// List the trusted clusters.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    server: ServerArguments,
}

impl List {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let answer = self.server.client(output)?.request(Method::GET, TRUST, None).await?;
        output.result(&answer.json()?, |list| {
            let keys = ["name", "service_id", "kid", "algorithm"];
            table::table(
                &["NAME", "SERVICE ID", "KEY ID", "ALGORITHM"],
                &table::rows(&list["issuers"], &keys),
            )
        })
    }
}
