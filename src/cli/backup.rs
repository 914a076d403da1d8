//! `circlet backup`: what outlives the cluster, in one sealed file.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::profile::ServerArguments;
use crate::backup::{self, Header, Seal};
use crate::home;
use crate::secret::Secret;

const BACKUP: &str = "/circlet/v1/backup";

/// Write a backup of the cluster into a file, while it runs.
#[derive(clap::Args)]
pub struct Backup {
    /// The file to write; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A file with the passphrase to seal it under, at least 12 characters; without it the backup opens with the master
    /// key of the cluster, etc/security/master.key of any node
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Backup {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        if self.out.exists() {
            return Err(Failure::input(format!("{} is there already", self.out.display()))
                .hint("name a new file: a backup never takes the place of another one"));
        }
        let passphrase = self.passphrase_file.as_deref().map(read_passphrase).transpose()?;
        let body = json!({ "passphrase": passphrase.as_ref().and_then(Secret::expose_text) });
        let client = self.server.client(output)?;
        let part = part_of(&self.out);
        let unwritten = |error| Failure::ours(format!("can't write {}", part.display())).because(error);
        let mut file = create(&part).map_err(unwritten)?;
        let received = client.download(BACKUP, &body, |bytes| file.write_all(bytes)).await;
        let kept = received.and_then(|()| keep(&mut file, &part, &self.out));
        let header = kept.inspect_err(|_| {
            // What is not whole is no backup; why it isn't is what counts.
            let _ = fs::remove_file(&part);
        })?;
        let bytes = fs::metadata(&self.out).map_or(0, |metadata| metadata.len());
        let mut result = describe(&header);
        result["file"] = json!(self.out);
        result["bytes"] = json!(bytes);
        output.result(&result, |_| {
            let (file, sealed) = (self.out.display(), sealed(&header));
            format!(
                "wrote {file}, {bytes} bytes: cluster {}, generation {}, up to log entry {}, {sealed}",
                header.service_id, header.generation, header.index
            )
        })?;
        output.say(
            "it holds users, groups, trusted clusters and settings, and no key; when it is restored, tokens of before end \
             unless revocation floors prove which were revoked",
        );
        Ok(())
    }
}

fn create(part: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(part)
}

/// Checks what was received, makes it durable, and gives it its name.
fn keep(file: &mut File, part: &Path, out: &Path) -> Result<Header, Failure> {
    let header = backup::check(file).map_err(|error| {
        Failure::ours("what the server sent is not a whole backup")
            .because(error)
            .hint("ask again, or ask another node with --url")
    })?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    file.sync_all()
        .and_then(|()| fs::rename(part, out))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|error| Failure::ours(format!("can't write {}", out.display())).because(error))?;
    Ok(header)
}

fn part_of(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    out.with_file_name(name)
}

/// The passphrase in a file, without the line break behind it.
pub(super) fn read_passphrase(file: &Path) -> Result<Secret, Failure> {
    let text = home::read_secret(file, "it holds the passphrase of the backup")?;
    let text = text.expose_text().map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    match text {
        Some(text) if !text.is_empty() => Ok(Secret::from(text)),
        _ => Err(Failure::input(format!("{} holds no passphrase", file.display()))),
    }
}

/// A backup's header as a result.
pub(super) fn describe(header: &Header) -> Value {
    json!({
        "service_id": header.service_id,
        "generation": header.generation,
        "index": header.index,
        "made_at": header.made_at,
        "nodes": header.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(),
        "sealed": sealed(header),
    })
}

fn sealed(header: &Header) -> &'static str {
    match header.seal {
        Seal::Passphrase { .. } => "sealed under a passphrase",
        Seal::MasterKey { .. } => "sealed under the master key",
    }
}
