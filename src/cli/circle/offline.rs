//! `circlet circle export` and `circlet circle pull`: what a verifier without a node needs, and how it stays up to date.

use std::path::PathBuf;
use std::time::Duration;

use circlet_token::feed::{DATED_HEAD_BYTES_MAX, FEED_ANSWER_BYTES_MAX, FeedWant, Follower, HeadFault};
use reqwest::Method;
use serde_json::{Value, json};

use super::CIRCLE;
use super::folder::{Folder, Member};
use crate::circle::ask;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::profile::ServerArguments;
use crate::cli::table;
use crate::clock;
use crate::invitation::Introduction;
use crate::seal::hex;

/// One answer takes no longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A feed that moves on faster than it can be read is left after so many heads.
const HEADS_MAX: usize = 5;

/// Write what a verifier without a node needs into a folder.
#[derive(clap::Args)]
pub struct Export {
    /// The folder; what is there already stays, and is brought up to date
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where the verifier reaches our nodes; by default where clients do
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    hosts: Option<Vec<String>>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Export {
    pub(super) async fn run(self, output: &Output) -> Result<(), Failure> {
        let body = json!({ "hosts": self.hosts });
        let path = format!("{CIRCLE}/introductions");
        let answer = self.server.client(output)?.request(Method::POST, &path, Some(&body)).await?;
        let introductions =
            serde_json::from_value::<Vec<Introduction>>(answer.json()?["introductions"].take())
                .map_err(|error| Failure::ours("the server's answer can't be read").because(error))?;
        let folder = Folder(&self.folder);
        for introduction in &introductions {
            folder.add(introduction)?;
        }
        pull(&folder, &mut folder.members()?, output).await
    }
}

/// Fetch what was revoked since into a folder that `circlet circle export` has written. It needs no credential.
#[derive(clap::Args)]
pub struct Pull {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Again and again, with so many seconds in between
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
}

impl Pull {
    pub(super) async fn run(self, output: &Output) -> Result<(), Failure> {
        let folder = Folder(&self.folder);
        let mut members = folder.members()?;
        let Some(every) = self.every else { return pull(&folder, &mut members, output).await };
        loop {
            if let Err(failure) = pull(&folder, &mut members, output).await {
                output.say(&failure.to_string());
            }
            tokio::time::sleep(Duration::from_secs(every)).await;
        }
    }
}

/// Follows every member; one that can't be followed doesn't keep back the others.
async fn pull(folder: &Folder<'_>, members: &mut [Member], output: &Output) -> Result<(), Failure> {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for member in members {
        let issuer = member.approved.issuer.clone();
        if let Err(why) = follow(folder, member).await {
            failed.push(format!("{issuer}: {why}"));
        }
        rows.push(describe(&member.follower));
    }
    output.result(&json!({ "members": rows }), |result| {
        let keys = ["service_id", "sequence", "entries", "head_expires_at"];
        let head = ["SERVICE ID", "SEQUENCE", "ENTRIES", "HEAD EXPIRES AT"];
        table::table(&head, &table::rows(&result["members"], &keys))
    })?;
    if failed.is_empty() { Ok(()) } else { Err(Failure::ours(failed.join("; "))) }
}

fn describe(follower: &Follower) -> Value {
    let head = follower.head();
    json!({
        "service_id": follower.issuer().as_str(),
        "sequence": follower.known().map(|at| at.sequence),
        "entries": follower.len(),
        "head_expires_at": head.map(|head| head.expires_at_ms() / 1_000),
    })
}

/// Asks one host after the other until one leads to a head, and keeps what came of it in any case.
async fn follow(folder: &Folder<'_>, member: &mut Member) -> Result<(), String> {
    let before = member.follower.want();
    let mut ended = Err("it has no hosts".to_owned());
    for host in &member.approved.hosts {
        let client = ask::client(&member.approved.ca_certificate_der).map_err(|error| error.to_string())?;
        ended = Host { client, host }.follow(&mut member.follower).await;
        if ended.is_ok() {
            break;
        }
    }
    let kept = folder.keep(&member.follower, member.follower.want() != before);
    kept.map_err(|failure| failure.to_string()).and(ended)
}

/// One node of a member.
struct Host<'a> {
    client: reqwest::Client,
    host: &'a str,
}

impl Host<'_> {
    async fn follow(&self, follower: &mut Follower) -> Result<(), String> {
        for _ in 0..HEADS_MAX {
            self.read_on(follower).await?;
            let head = self.fetch("/circlet/v1/feed/head", DATED_HEAD_BYTES_MAX).await?;
            match follower.take_head(&head, clock::wall_ms()) {
                // Another node of the member, whose clock is ahead of this one's, told as much before.
                Ok(()) | Err(HeadFault::Older) => return Ok(()),
                // Something was revoked in between.
                Err(HeadFault::Unread) => {}
                Err(fault) => return Err(format!("{}: {fault}", self.host)),
            }
        }
        Err(format!("{}: the feed moves on faster than it can be read", self.host))
    }

    async fn read_on(&self, follower: &mut Follower) -> Result<(), String> {
        loop {
            // Freshness is shown by the dated head: the nonce, which the route demands, says nothing here.
            let nonce = hex(&[0; 32]);
            let path = match follower.want() {
                FeedWant::Page(cursor) => {
                    format!("/circlet/v1/feed/list?nonce={nonce}&cursor={}", hex(&cursor))
                }
                FeedWant::Entries(at) => format!(
                    "/circlet/v1/feed?nonce={nonce}&generation={}&sequence={}&hash={}",
                    at.generation,
                    at.sequence,
                    hex(&at.hash)
                ),
                FeedWant::Nothing => {
                    return Err(
                        "its feed contradicted itself; find out why, then remove its .feed file and \
                                its .head file"
                            .to_owned(),
                    );
                }
            };
            let answer = self.fetch(&path, FEED_ANSWER_BYTES_MAX).await?;
            if !follower.take(&answer).map_err(|fault| format!("{}: {fault}", self.host))? {
                return Ok(());
            }
        }
    }

    async fn fetch(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let request = self.client.get(format!("{}{path}", self.host));
        ask::read(request, most, ANSWER_TIMEOUT).await.map_err(|error| format!("{}: {error}", self.host))
    }
}
