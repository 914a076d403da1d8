//! Others that do similar work, three nodes each on the same disks: etcd's puts, and the tokens of `OpenBao`.
//!
//! Each is driven as the cluster is: a closed loop of clients on open connections, spread over its nodes.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, Node};
use crate::connection::{Call, Protocol, Reply};
use crate::load::{self, Client};

/// About what a recorded token takes in our log.
const VALUE_BYTES: usize = 256;

/// A peer, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// etcd: a key of its own with a value of 256 bytes, by gRPC.
    Etcd,
    /// `OpenBao`: a service token for a year, which it stores.
    OpenbaoService,
    /// `OpenBao`: a batch token for ten minutes, which it doesn't store.
    OpenbaoBatch,
}

/// What a peer did; one line of the file that `--peers` names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Who.
    pub(crate) peer: Peer,
    /// How many clients at once.
    pub(crate) clients: usize,
    /// Requests that were answered as expected.
    pub(crate) requests_per_second: f64,
    /// Requests that were not.
    pub(crate) failed: u64,
    /// The first of these.
    pub(crate) first_failure: Option<String>,
}

/// Why the file of the peers is of no use.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} as the file of the peers: {why}")]
pub(crate) struct UnusableFile {
    path: String,
    why: String,
}

/// Reads what was found of the peers, one JSON object a line.
pub(crate) fn read(path: &Path) -> Result<Vec<Found>, UnusableFile> {
    let unusable = |why: String| UnusableFile { path: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| unusable(error.to_string()))).collect()
}

/// Drives a peer at these addresses for this long.
pub(crate) async fn run(
    peer: Peer,
    addresses: &[String],
    token: &str,
    clients: usize,
    time: Duration,
) -> Found {
    let node = |authority: &String| Node { id: 0, authority: authority.clone(), pid: 0, home: String::new() };
    let cluster = Cluster { nodes: addresses.iter().map(node).collect(), admin_token: token.to_owned() };
    let client = |number| -> Box<dyn Client> {
        match peer {
            Peer::Etcd => Box::new(Put { client: number, done: 0 }),
            Peer::OpenbaoService => Box::new(Token::new(token, r#"{"ttl":"8760h","policies":["default"]}"#)),
            Peer::OpenbaoBatch => {
                Box::new(Token::new(token, r#"{"type":"batch","ttl":"10m","policies":["default"]}"#))
            }
        }
    };
    let measured = load::run(&cluster, (0..clients).map(client).collect(), time).await;
    Found {
        peer,
        clients,
        requests_per_second: measured.rate(),
        failed: measured.failed,
        first_failure: measured.first_failure,
    }
}

/// Puts one key after another.
struct Put {
    client: usize,
    done: u64,
}

impl Client for Put {
    fn next(&mut self) -> Option<Call> {
        self.done += 1;
        let key = format!("client-{}/{}", self.client, self.done);
        Some(Call {
            method: Method::POST,
            path: "/etcdserverpb.KV/Put".to_owned(),
            bearer: None,
            body: Some(("application/grpc", put(key.as_bytes(), &[b'v'; VALUE_BYTES]))),
        })
    }

    fn accept(&mut self, reply: &Reply) -> bool {
        reply.status == StatusCode::OK && reply.grpc_status.as_deref() == Some("0")
    }

    fn protocol(&self) -> Protocol {
        Protocol::Grpc
    }
}

/// A put as a message of gRPC: not compressed, its length, then the fields `key` (1) and `value` (2) of protobuf.
fn put(key: &[u8], value: &[u8]) -> Bytes {
    let mut message = Vec::new();
    for (tag, bytes) in [(0x0a, key), (0x12, value)] {
        message.push(tag);
        push_varint(&mut message, bytes.len());
        message.extend_from_slice(bytes);
    }
    let length = u32::try_from(message.len()).expect("a key and a value of a few hundred bytes");
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

fn push_varint(into: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        into.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    into.push(u8::try_from(number).expect("seven bits"));
}

/// Creates one token after another.
struct Token(Call);

impl Token {
    fn new(token: &str, body: &'static str) -> Self {
        Self(Call {
            method: Method::POST,
            path: "/v1/auth/token/create".to_owned(),
            bearer: Some(token.to_owned()),
            body: Some(("application/json", Bytes::from_static(body.as_bytes()))),
        })
    }
}

impl Client for Token {
    fn next(&mut self) -> Option<Call> {
        Some(self.0.clone())
    }

    fn accept(&mut self, reply: &Reply) -> bool {
        reply.status == StatusCode::OK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_framed_as_grpc_has_it() {
        let mut expected = vec![0, 0, 0, 1, 6, 0x0a, 1, b'k', 0x12, 0x80, 0x02];
        expected.extend_from_slice(&[b'v'; 256]);
        assert_eq!(put(b"k", &[b'v'; 256]), expected);
    }
}
