//! Every parser of this crate that sees bytes from outside, by name: for those who throw bytes at them.

use openraft::raft::AppendEntriesRequest;
use openraft_rt_tokio::TokioRuntime as Runtime;

use crate::log_store::record::{self, Entry, Meta, Vote};
use crate::network::roster::Roster;
use crate::network::succession::{Succession, SuccessionSaid};
use crate::network::wire::{
    Appended, Ask, Hello, Numbered, Said, SnapshotHead, SnapshotSaid, Welcome, decode, decode_greeting,
};
use crate::snapshot::format;
use crate::types::Types;

/// A parser's name, and what takes the bytes to it. Whatever they are, it returns.
pub type Parser = (&'static str, fn(&[u8]));

/// All of them.
pub const PARSERS: [Parser; 4] = [
    ("greeting", greeting),
    ("peer-frame", peer_frame),
    ("log-record", log_record),
    ("snapshot-file", snapshot_file),
];

/// The frames of those who have not proved who they are.
fn greeting(frame: &[u8]) {
    // What came of it is nobody's business here: that it came is.
    let _ = (decode_greeting::<Hello>(frame).is_ok(), decode_greeting::<Welcome>(frame).is_ok());
}

fn peer_frame(frame: &[u8]) {
    let _ = (
        decode::<Numbered<Ask<Runtime>>>(frame).is_ok(),
        decode::<Numbered<Said<Runtime>>>(frame).is_ok(),
        decode::<AppendEntriesRequest<Types<Runtime>>>(frame).is_ok(),
        decode::<Appended<Runtime>>(frame).is_ok(),
        decode::<SnapshotHead<Runtime>>(frame).is_ok(),
        decode::<SnapshotSaid<Runtime>>(frame).is_ok(),
        decode::<Succession>(frame).is_ok(),
        decode::<SuccessionSaid>(frame).is_ok(),
        decode::<Roster>(frame).is_ok(),
    );
}

/// The bytes as they are, and as the payload of a record whose checksum is right.
fn log_record(bytes: &[u8]) {
    let key = record::entry_key(1);
    let sealed = record::sealed(&key, bytes);
    for bytes in [bytes, &sealed] {
        let _ = (
            record::decode::<Entry>(&key, bytes).is_ok(),
            record::decode::<Vote>(&key, bytes).is_ok(),
            record::decode::<Meta>(&key, bytes).is_ok(),
        );
    }
}

fn snapshot_file(bytes: &[u8]) {
    if let Ok(reader) = format::Reader::start(bytes) {
        let _ = reader.drain();
    }
}
