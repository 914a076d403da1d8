//! A backup of the cluster, made by the node that is asked: from one view, while everything goes on.

use std::io::{self, Write};
use std::sync::Arc;

use circlet_authority::State;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use super::failure::{Code, Failure};
use super::{Session, reading};
use crate::audit::{self, Change, Entity};
use crate::backup::{Header, Node, Opening, Writer};
use crate::clock;
use crate::seal::hex;
use crate::secret::Secret;

/// Shorter passphrases are refused, in characters: whoever has the file can try as many as they like.
const PASSPHRASE_CHARS_MIN: usize = 12;
/// One at a time: each takes memory for its passphrase and a thread for its bytes.
static UNDER_WAY: Semaphore = Semaphore::const_new(1);
/// Parts that wait to be sent.
const PARTS_WAITING: usize = 4;
/// Bytes of a part.
const PART_BYTES: usize = 64 * 1024;

/// A backup that is being made: its bytes, in parts, and an error where it was broken off.
pub(crate) struct Begun {
    pub(crate) parts: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// The last log entry that is in it.
    pub(crate) index: u64,
}

/// Begins a backup of a fresh view. Without a passphrase it is sealed under the master key.
pub(crate) async fn begin(session: &Session<'_>, passphrase: Option<Secret>) -> Result<Begun, Failure> {
    session.require_admin("make a backup").await?;
    if let Some(passphrase) = &passphrase {
        let chars = passphrase.expose_text().map_or(0, |text| text.chars().count());
        if chars < PASSPHRASE_CHARS_MIN {
            let why = format!("a passphrase has at least {PASSPHRASE_CHARS_MIN} characters");
            return Err(Failure::bad_request("bad_passphrase", why));
        }
    }
    session.admit_write()?;
    let permit = UNDER_WAY.try_acquire().map_err(|_| {
        Failure::new(Code::TooManyRequests, "backup_under_way", "this node is making a backup already")
            .retry_after(5)
    })?;
    let published = reading::fresh(session.cluster).await?;
    let index = published.view.index();
    let opening = match passphrase {
        Some(passphrase) => Opening::Passphrase(passphrase),
        None => Opening::MasterKey(session.cluster.keys().master(&published.view).map_err(|error| {
            Failure::unavailable("key_unavailable", "this node cannot use the cluster's keys")
                .with_detail(error.to_string())
        })?),
    };
    let sealed = if matches!(opening, Opening::Passphrase(_)) { "passphrase" } else { "master key" };
    let data = json!({"added": {"index": index, "sealed": sealed}});
    session.record(Change::Created, Entity::Node, "backup", data)?;
    let (sender, parts) = mpsc::channel(PARTS_WAITING);
    let view = Arc::clone(&published.view);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let into = Parts { sender, buffer: Vec::new() };
        if let Err((error, sender)) = write(&view, &opening, into) {
            // Whoever asked may be gone; otherwise they learn that what they have is not whole.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Ok(Begun { parts, index })
}

type Sender = mpsc::Sender<io::Result<Vec<u8>>>;

fn write(view: &State, opening: &Opening, into: Parts) -> Result<(), (io::Error, Sender)> {
    let sender = into.sender.clone();
    let write = || {
        let (seal, key) = opening.seal();
        let mut nonce = [0; 16];
        rand::fill(&mut nonce);
        let nodes = view
            .nodes()
            .map(|node| Node { name: node.record.name.clone(), url: node.record.client_url.clone() });
        let header = Header {
            service_id: view.service_id().map(ToString::to_string).unwrap_or_default(),
            generation: view.generation(),
            index: view.index(),
            made_at: audit::timestamp(clock::wall_ms()),
            nodes: nodes.collect(),
            seal,
            nonce: hex(&nonce),
        };
        let mut writer = Writer::begin(into, &header, &key)?;
        view.archived().encode_snapshot(&mut writer)?;
        writer.finish().map(drop)
    };
    write().map_err(|error| (error, sender))
}

/// Hands what is written to it to the connection, part by part.
struct Parts {
    sender: Sender,
    buffer: Vec<u8>,
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let part = std::mem::take(&mut self.buffer);
        self.sender.blocking_send(Ok(part)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
