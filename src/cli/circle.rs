//! `circlet circle`: clusters that honour each other's revocations.

pub(super) mod folder;
mod offline;

use std::io::Read;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::profile::ServerArguments;
use super::table;
use crate::client::segment;
use crate::invitation::{Introduction, Invitation, TEXT_BYTES_MAX};

const CIRCLE: &str = "/circlet/v1/circle";

/// `circlet circle`: clusters that honour each other's revocations.
#[derive(clap::Subcommand)]
pub enum CircleCommand {
    /// Make an invitation: one other cluster may pair with this one, once, within a quarter of an hour
    Invite(Invite),
    /// Pair with the cluster that made an invitation
    Accept(Accept),
    /// Change what the tokens of a member may do here
    Limits(super::trust::Set),
    /// Replace our circle key; members learn the next one from the one before
    RotateKey(RotateKey),
    /// End following a member, and trusting it
    Remove(Remove),
    /// Write what a verifier without a node needs into a folder: certificates, circle keys, what was revoked
    Export(offline::Export),
    /// Fetch what was revoked since into such a folder
    Pull(offline::Pull),
    /// Show the members, how far their revocations are known, and what they may do
    List(List),
}

impl CircleCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Invite(invite) => invite.run(output).await,
            Self::Accept(accept) => accept.run(output).await,
            Self::Limits(limits) => limits.run(output).await,
            Self::RotateKey(rotate) => rotate.run(output).await,
            Self::Remove(remove) => remove.run(output).await,
            Self::Export(export) => export.run(output).await,
            Self::Pull(pull) => pull.run(output).await,
            Self::List(list) => list.run(output).await,
        }
    }
}

/// Make an invitation.
#[derive(clap::Args)]
pub struct Invite {
    /// Who is invited; needed if it is trusted here already
    #[arg(long = "for", value_name = "SERVICE_ID")]
    guest: Option<String>,
    /// Where the other cluster reaches our nodes; by default where clients do
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    hosts: Option<Vec<String>>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Invite {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let body = json!({ "guest": self.guest, "hosts": self.hosts });
        let client = self.server.client(output)?;
        let answer = client.request(Method::POST, &format!("{CIRCLE}/invitations"), Some(&body)).await?;
        let invited = answer.json()?;
        output.result(&invited, |invited| table::cell(&invited["invitation"]))?;
        output.say(&format!("our circle key: {}", table::cell(&invited["circle_key"])));
        output.say("at the other cluster: circlet circle accept --invitation-file FILE");
        Ok(())
    }
}

/// Pair with the cluster that made an invitation.
#[derive(clap::Args)]
pub struct Accept {
    /// A file with the invitation; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    invitation_file: PathBuf,
    /// What to call the other cluster
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where the other cluster reaches our nodes; by default where clients do
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    hosts: Option<Vec<String>>,
    /// Trust and follow the other cluster, and tell it nothing of this one
    #[arg(long)]
    one_way: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl Accept {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let text = read(&self.invitation_file)?;
        let unusable = || Failure::input("the invitation cannot be used");
        let invitation = Invitation::parse(&text).map_err(|error| unusable().because(error))?;
        let theirs = Introduction::parse(&invitation.introduction)
            .and_then(|said| said.to_approve(""))
            .map_err(|error| unusable().because(error))?;
        output.say(&format!("the cluster that invites: {}", theirs.issuer));
        output.say(&format!("its circle key: {}", crate::invitation::fingerprint(&theirs.circle_key)));
        let body = json!({
            "invitation": text.trim(),
            "name": self.name,
            "hosts": self.hosts,
            "one_way": self.one_way,
        });
        let client = self.server.client(output)?;
        let answer = client.request(Method::POST, &format!("{CIRCLE}/members"), Some(&body)).await?;
        output.result(&answer.json()?, table::members)?;
        output.say("compare the circle key with what `circlet circle invite` showed there, and ours with `circlet circle list` there");
        Ok(())
    }
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    let unusable = || Failure::input(format!("the invitation {} cannot be read", path.display()));
    let most = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    read.map_err(|error| unusable().because(error))?;
    Ok(text)
}

/// Replace our circle key.
#[derive(clap::Args)]
pub struct RotateKey {
    #[command(flatten)]
    server: ServerArguments,
}

impl RotateKey {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let answer = client.request(Method::POST, &format!("{CIRCLE}/key"), None).await?;
        output.result(&answer.json()?, |key| {
            format!("our circle key is {} from now on", table::cell(&key["circle_key"]))
        })?;
        output.say("whoever follows us learns it from the feed; an invitation that was not used yet names the one before");
        Ok(())
    }
}

/// End following a member, and trusting it.
#[derive(clap::Args)]
pub struct Remove {
    /// The name or the service id, as `circlet circle list` shows them
    #[arg(value_name = "MEMBER")]
    member: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Remove {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let path = format!("{CIRCLE}/members/{}", segment(&self.member));
        self.server.client(output)?.request(Method::DELETE, &path, None).await?;
        output.result(
            &json!({ "member": self.member, "state": "no longer followed or trusted" }),
            table::members,
        )
    }
}

/// Show the members.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    server: ServerArguments,
}

impl List {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let answer = self.server.client(output)?.request(Method::GET, CIRCLE, None).await?;
        output.result(&answer.json()?, for_people)
    }
}

fn for_people(circle: &Value) -> String {
    let keys = ["name", "service_id", "feed", "sequence", "entries", "age_ms", "last_contact"];
    let head = ["NAME", "SERVICE ID", "FEED", "SEQUENCE", "ENTRIES", "AGE MS", "LAST CONTACT"];
    let members = table::table(&head, &table::rows(&circle["members"], &keys));
    let own = table::cell(&circle["circle_key"]);
    let mut lines = vec![format!("our circle key {own}, our feed at {}", circle["sequence"]), members];
    for member in list(&circle["members"]) {
        lines.push(format!(
            "{}: circle key {}",
            table::cell(&member["name"]),
            table::cell(&member["circle_key"])
        ));
        for certificate in list(&member["certificates"]) {
            lines.push(format!(
                "  certificate {} limits {}",
                table::cell(&certificate["kid"]),
                certificate["limits"]
            ));
        }
        for fault in list(&member["faults"]) {
            lines.push(format!(
                "  refused: {} at {}",
                table::cell(&fault["fault"]),
                table::cell(&fault["at"])
            ));
        }
    }
    lines.join("\n")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
