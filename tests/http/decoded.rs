//! Answers that are not for eyes, in words: what a reader makes of their bytes.

use std::fmt::Write as _;
use std::io::Cursor;

use circlet::backup::{self, Opening};
use circlet::seal::MasterKey;
use circlet::secret::Secret;
use circlet_token::feed::{CirclePublicKey, DatedHead, FeedAnswer, FeedContent, FeedEntry, FeedPosition};
use serde_json::Value;

use crate::circle::hex;
use crate::transcript::Answer;

/// The OpenAPI document: each operation with what it reads, what it answers, and in which form.
pub(crate) fn document(answer: &Answer) -> String {
    let document = answer.json();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let mut shown = format!("openapi {}\n", document["openapi"].as_str().unwrap());
    let _ = writeln!(shown, "schemas: {}", names(&document["components"]["schemas"]));
    let _ = writeln!(shown, "credentials: {}", names(&document["components"]["securitySchemes"]));
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let _ = write!(shown, "{method} {path}");
            for parameter in operation["parameters"].as_array().unwrap() {
                if parameter["in"] == "query" {
                    let _ = write!(shown, " ?{}", parameter["name"].as_str().unwrap());
                }
            }
            if let Some(body) = operation.get("requestBody") {
                let _ = write!(shown, " reads {}", contents(body));
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let _ = write!(shown, "; {status} {}", contents(response));
            }
            shown.push('\n');
        }
    }
    shown
}

/// The schemas of a body, or the types of what has none.
fn contents(body: &Value) -> String {
    let Some(content) = body["content"].as_object() else { return "-".to_owned() };
    let named = content.iter().map(|(media_type, of)| {
        let one = of["schema"].as_object().map(|_| vec![&of["schema"]]);
        let any = of["schema"]["anyOf"].as_array().map(|any| any.iter().collect::<Vec<_>>());
        let names: Vec<&str> = any
            .or(one)
            .into_iter()
            .flatten()
            .filter_map(|schema| schema["$ref"].as_str()?.rsplit('/').next())
            .collect();
        if names.is_empty() { media_type.split(';').next().unwrap().to_owned() } else { names.join("|") }
    });
    let mut named: Vec<String> = named.collect();
    named.dedup();
    named.join(",")
}

/// The page of metrics: their names and kinds.
pub(crate) fn metrics(answer: &Answer) -> String {
    let types = answer.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let end = answer.text.lines().last().unwrap();
    types.chain([end]).collect::<Vec<_>>().join("\n")
}

/// A backup, opened as its owner does, and how large it is.
pub(crate) fn backup(answer: &Answer, with: &Opening) -> String {
    let opened =
        backup::open(&mut Cursor::new(&answer.bytes), with).unwrap_or_else(|error| panic!("{error}"));
    let (header, state) = (&opened.header, &opened.state);
    let mut nodes = header.nodes.iter().map(|node| node.name.as_str());
    let mut users: Vec<&str> = state.users().map(|user| user.name.as_str()).collect();
    users.sort_unstable();
    format!(
        "a backup of {}, generation {}, nodes {}, sealed under {}, {} KiB\nusers {}, tokens {}",
        header.service_id,
        header.generation,
        nodes.next().unwrap(),
        match header.seal {
            backup::Seal::MasterKey { .. } => "the master key",
            backup::Seal::Passphrase { .. } => "a passphrase",
        },
        answer.bytes.len().div_ceil(16 * 1024) * 16,
        users.join(" "),
        state.token_count(),
    )
}

/// What opens a backup that is sealed under the master key in this file.
pub(crate) fn master_key(file: &std::path::Path) -> Opening {
    let text = std::fs::read_to_string(file).unwrap();
    Opening::MasterKey(MasterKey::parse(&Secret::from(text)).unwrap())
}

/// An answer of the feed to a nonce, whose signature is looked at.
pub(crate) fn feed(answer: &Answer, key: CirclePublicKey) -> String {
    let read = FeedAnswer::read(&answer.bytes).unwrap();
    assert!(read.is_signed_by(key), "the circle key signs it");
    let head = &read.head;
    let content = match &read.content {
        FeedContent::Entries { after, entries: bytes } => format!("after {after}:{}", entries(bytes)),
        FeedContent::Elsewhere => "the chain doesn't lead on from there: read the list".to_owned(),
        FeedContent::Page { cursor, entries: bytes, next } => {
            let more = if next.is_empty() { "the last page" } else { "more follows" };
            format!("a page at {:?}, {more}:{}", hex(cursor), entries(bytes))
        }
    };
    format!(
        "{}, {} of {}, nonce {}, {} keys before\n{content}",
        head.issuer,
        position(&head.position),
        head.latest,
        hex(&head.nonce),
        read.successions.len()
    )
}

/// A head with a date, whose signature is looked at.
pub(crate) fn dated_head(answer: &Answer, key: CirclePublicKey) -> String {
    let head = DatedHead::read(&answer.bytes).unwrap();
    assert!(head.is_signed_by(key), "the circle key signs it");
    format!("{}, {}, valid for {} ms", head.issuer, position(&head.position), head.valid_for_ms)
}

/// The hash holds random ids.
fn position(at: &FeedPosition) -> String {
    format!("generation {}, entry {}", at.generation, at.sequence)
}

fn entries(bytes: &[u8]) -> String {
    let read = FeedEntry::read_all(bytes).unwrap();
    read.iter().fold(String::new(), |mut shown, entry| {
        let _ = write!(shown, "\n{}", kind(entry));
        shown
    })
}

fn kind(entry: &FeedEntry) -> String {
    match entry {
        FeedEntry::Listed { expiry: u64::MAX, id } => format!("revoked for ever: {id}"),
        FeedEntry::Listed { id, .. } => format!("revoked until it expires: {id}"),
        FeedEntry::Unseen { id, .. } => format!("revoked by its id alone: {id}"),
        FeedEntry::Mark { whom, .. } => format!("revoked together: {whom:?}"),
        FeedEntry::Tainted { .. } => "a key is tainted".to_owned(),
        FeedEntry::KeyShown { .. } => "a key is published".to_owned(),
        FeedEntry::KeyActive { .. } => "a key signs".to_owned(),
        FeedEntry::KeyRetired { .. } => "a key has retired".to_owned(),
        FeedEntry::CircleKey(_) => "the next circle key".to_owned(),
    }
}
