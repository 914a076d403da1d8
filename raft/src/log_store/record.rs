//! What the log looks like on disk. Frozen: a change of layout is a new version beside the old one.
//!
//! ```text
//! key    'l' index(u64, big endian)                       an entry, or its first part
//!        'l' index(u64, big endian) part(u16, big endian) its further parts, from 1 on
//!        'm' name                                         vote, purged, committed, format
//! value  version(u8) crc32(u32, little endian, over key, version and payload) payload(bincode)
//! ```
//! Of an entry in parts (`log_store/parts.rs`) the values together are such a value, under the key of the first.
//! The checksum covers the key, so a record that strayed to another key fails it, and so does one of zeros.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use openraft::impls::{EntryPayload, leader_id_std};
use openraft::vote::RaftLeaderId;
use openraft::{Membership, StoredMembership};

use crate::types::{NodeId, Peer, Proposal};

/// The version that is written.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const CONFIG: bincode::config::Configuration = bincode::config::standard();

/// What decoding one record may take, in bytes: a checksum tells of damage, not of who wrote the lengths inside, and a
/// snapshot's are a peer's word. Many times what the largest record holds.
const DECODED_BYTES_MAX: usize = 64 << 20;

pub(crate) type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
pub(crate) type Term = <LeaderId as RaftLeaderId>::Committed;
pub(crate) type LogId = openraft::impls::LogId<Term>;
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type Payload = EntryPayload<Proposal, NodeId, Peer>;
pub(crate) type Entry = openraft::impls::Entry<Term, Payload>;
pub(crate) type Members = StoredMembership<Term, NodeId, Peer>;
pub(crate) type Meta = openraft::storage::SnapshotMeta<Term, NodeId, Peer>;

pub(crate) const VOTE: &[u8] = b"mvote";
pub(crate) const PURGED: &[u8] = b"mpurged";
pub(crate) const COMMITTED: &[u8] = b"mcommitted";
/// Written once, when the store is made; that it is missing later means that the store lost everything.
pub(crate) const FORMAT: &[u8] = b"mformat";
/// The value of [`FORMAT`].
pub(crate) const FORMAT_MARK: &[u8] = b"circlet log 2";

/// The key of the entry at `index`.
pub(crate) fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [b'l'; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The key of a further part of the entry at `index`.
pub(crate) fn part_key(index: u64, part: u16) -> [u8; 11] {
    let mut key = [0; 11];
    key[..9].copy_from_slice(&entry_key(index));
    key[9..].copy_from_slice(&part.to_be_bytes());
    key
}

/// The index that an entry's key names, and which part of it; the first is 0.
pub(crate) fn part_of(key: &[u8]) -> Option<(u64, u16)> {
    let (index, part) = key.strip_prefix(b"l")?.split_first_chunk()?;
    let part = match part {
        [] => 0,
        part => Some(u16::from_be_bytes(part.try_into().ok()?)).filter(|part| *part > 0)?,
    };
    Some((u64::from_be_bytes(*index), part))
}

#[derive(Clone, Copy, Encode, Decode)]
pub(crate) struct LogIdV1 {
    term: u64,
    index: u64,
}

#[derive(Clone, Copy, Encode, Decode)]
pub(crate) struct VoteV1 {
    term: u64,
    node: u64,
    committed: bool,
}

#[derive(Encode, Decode)]
struct PeerV1 {
    name: String,
    peer_address: String,
    client_url: String,
    public_key: [u8; 32],
}

#[derive(Encode, Decode)]
struct MembersV1 {
    configs: Vec<BTreeSet<u64>>,
    peers: BTreeMap<u64, PeerV1>,
}

/// Tags are the order of the variants: append, never insert.
#[derive(Encode, Decode)]
enum PayloadV1 {
    Blank,
    Command { stamp_ms: u64, command: Vec<u8> },
    Members(MembersV1),
}

#[derive(Encode, Decode)]
pub(crate) struct EntryV1 {
    at: LogIdV1,
    payload: PayloadV1,
}

/// What a snapshot says about itself.
#[derive(Encode, Decode)]
pub(crate) struct MetaV1 {
    last: Option<LogIdV1>,
    members_at: Option<LogIdV1>,
    members: MembersV1,
}

/// Between openraft's types, whose own encoding may change, and the frozen ones.
pub(crate) trait Stored: Sized {
    type Wire: Encode + Decode<()>;
    fn to_wire(&self) -> Self::Wire;
    fn from_wire(wire: Self::Wire) -> Result<Self, String>;
}

impl Stored for LogId {
    type Wire = LogIdV1;

    fn to_wire(&self) -> LogIdV1 {
        LogIdV1 { term: self.committed_leader_id().term, index: self.index() }
    }

    fn from_wire(wire: LogIdV1) -> Result<Self, String> {
        Ok(Self::new(Term::new(wire.term), wire.index))
    }
}

impl Stored for Vote {
    type Wire = VoteV1;

    fn to_wire(&self) -> VoteV1 {
        VoteV1 { term: self.leader_id.term, node: self.leader_id.voted_for, committed: self.committed }
    }

    fn from_wire(wire: VoteV1) -> Result<Self, String> {
        let leader_id = LeaderId { term: wire.term, voted_for: wire.node };
        Ok(Self { leader_id, committed: wire.committed })
    }
}

impl MembersV1 {
    fn of(members: &Membership<NodeId, Peer>) -> Self {
        let peers = members.nodes().map(|(id, peer)| (*id, PeerV1::of(peer)));
        Self { configs: members.get_joint_config().clone(), peers: peers.collect() }
    }

    fn members(self) -> Result<Membership<NodeId, Peer>, String> {
        let peers: BTreeMap<_, _> = self.peers.into_iter().map(|(id, peer)| (id, peer.peer())).collect();
        // Before the first membership entry there is none, which the checking constructor refuses.
        if self.configs.is_empty() && peers.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(self.configs, peers).map_err(|error| error.to_string())
    }
}

impl PeerV1 {
    fn of(peer: &Peer) -> Self {
        Self {
            name: peer.name.clone(),
            peer_address: peer.peer_address.clone(),
            client_url: peer.client_url.clone(),
            public_key: peer.public_key,
        }
    }

    fn peer(self) -> Peer {
        Peer {
            name: self.name,
            peer_address: self.peer_address,
            client_url: self.client_url,
            public_key: self.public_key,
        }
    }
}

impl Stored for Entry {
    type Wire = EntryV1;

    fn to_wire(&self) -> EntryV1 {
        let payload = match &self.payload {
            EntryPayload::Blank => PayloadV1::Blank,
            EntryPayload::Normal(proposal) => {
                PayloadV1::Command { stamp_ms: proposal.stamp_ms, command: proposal.command.clone() }
            }
            EntryPayload::Membership(members) => PayloadV1::Members(MembersV1::of(members)),
        };
        EntryV1 { at: self.log_id.to_wire(), payload }
    }

    fn from_wire(wire: EntryV1) -> Result<Self, String> {
        let payload = match wire.payload {
            PayloadV1::Blank => EntryPayload::Blank,
            PayloadV1::Command { stamp_ms, command } => EntryPayload::Normal(Proposal { stamp_ms, command }),
            PayloadV1::Members(members) => EntryPayload::Membership(members.members()?),
        };
        Ok(Self { log_id: LogId::from_wire(wire.at)?, payload })
    }
}

impl Stored for Meta {
    type Wire = MetaV1;

    fn to_wire(&self) -> MetaV1 {
        MetaV1 {
            last: self.last_log_id.as_ref().map(Stored::to_wire),
            members_at: self.last_membership.log_id().as_ref().map(Stored::to_wire),
            members: MembersV1::of(self.last_membership.membership()),
        }
    }

    fn from_wire(wire: MetaV1) -> Result<Self, String> {
        let members_at = wire.members_at.map(LogId::from_wire).transpose()?;
        Ok(Self {
            last_log_id: wire.last.map(LogId::from_wire).transpose()?,
            last_membership: Members::new(members_at, wire.members.members()?),
        })
    }
}

/// The value to store under `key`.
pub(crate) fn encode<T: Stored>(key: &[u8], value: &T) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bincode::encode_into_std_write(value.to_wire(), &mut bytes, CONFIG)
        .expect("writing to memory can't fail, and these types have no value that can't be encoded");
    bytes[0] = VERSION;
    let sum = checksum(key, VERSION, &bytes[HEADER_BYTES..]);
    bytes[1..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads the value stored under `key`, or says why it can't be believed.
pub(crate) fn decode<T: Stored>(key: &[u8], bytes: &[u8]) -> Result<T, String> {
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(format!("a record of {} bytes", bytes.len()));
    };
    let sum = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    let version = header[0];
    if sum != checksum(key, version, payload) {
        return Err("the checksum is wrong".into());
    }
    if version != VERSION {
        return Err(format!("record version {version}; this program reads up to {VERSION}"));
    }
    let (wire, used) =
        bincode::decode_from_slice::<T::Wire, _>(payload, CONFIG.with_limit::<DECODED_BYTES_MAX>())
            .map_err(|error| error.to_string())?;
    if used != payload.len() {
        return Err(format!("{} bytes too many", payload.len() - used));
    }
    T::from_wire(wire)
}

/// A record of these bytes with the header that makes it believed.
pub(crate) fn sealed(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let sum = checksum(key, VERSION, payload).to_le_bytes();
    [&[VERSION], sum.as_slice(), payload].concat()
}

fn checksum(key: &[u8], version: u8, payload: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(&[version]);
    sum.update(payload);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn at(term: u64, index: u64) -> LogId {
        LogId::new(Term::new(term), index)
    }

    fn members() -> Membership<NodeId, Peer> {
        let peer = Peer {
            name: "a".into(),
            peer_address: "h:1".into(),
            client_url: "https://h".into(),
            public_key: [7; 32],
        };
        Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, peer)])).unwrap()
    }

    fn entries() -> Vec<Entry> {
        let proposal = Proposal { stamp_ms: 1_700_000_000_000, command: vec![1, 2, 3] };
        vec![
            Entry { log_id: at(1, 0), payload: EntryPayload::Membership(members()) },
            Entry { log_id: at(2, 300), payload: EntryPayload::Blank },
            Entry { log_id: at(2, 301), payload: EntryPayload::Normal(proposal) },
        ]
    }

    #[test]
    fn the_format_is_frozen() {
        let texts: Vec<_> =
            entries().iter().map(|entry| hex(&encode(&entry_key(entry.log_id.index()), entry))).collect();
        assert_eq!(texts, ENTRIES);

        let vote = Vote { leader_id: LeaderId { term: 3, voted_for: 9 }, committed: true };
        let meta =
            Meta { last_log_id: Some(at(2, 300)), last_membership: Members::new(Some(at(1, 0)), members()) };
        assert_eq!(
            [
                frozen(b"mvote", VOTE, &vote),
                frozen(b"mpurged", PURGED, &at(2, 299)),
                frozen(b"mcommitted", COMMITTED, &at(2, 300)),
                frozen(b"snapshot", b"snapshot", &meta),
            ],
            OTHERS
        );
        assert_eq!((FORMAT, FORMAT_MARK), (b"mformat".as_slice(), b"circlet log 2".as_slice()));
        assert_eq!(hex(&entry_key(300)), "6c000000000000012c");
        assert_eq!(hex(&part_key(300, 258)), "6c000000000000012c0102");
    }

    /// The bytes of a record, which come back as it, under the key that has stayed the same.
    fn frozen<T: Stored + PartialEq + std::fmt::Debug>(named: &[u8], key: &[u8], value: &T) -> String {
        let bytes = encode(key, value);
        assert_eq!((key, decode::<T>(named, &bytes).as_ref()), (named, Ok(value)));
        hex(&bytes)
    }

    /// Vote, purged and committed index, and what a snapshot says about itself.
    const OTHERS: [&str; 4] = [
        "014f33ba81030901",
        "01ac6b754202fb2b01",
        "017d0de31f02fb2c01",
        "01a59d41f90102fb2c010101000101010101016103683a310968747470733a2f2f68\
         0707070707070707070707070707070707070707070707070707070707070707",
    ];

    const ENTRIES: [&str; 3] = [
        "018f08116a0100020101010101016103683a310968747470733a2f2f68\
         0707070707070707070707070707070707070707070707070707070707070707",
        "01302318dc02fb2c0100",
        "01a883c47102fb2d0101fd0068e5cf8b01000003010203",
    ];

    #[test]
    fn entries_come_back_as_they_went_in() {
        for entry in entries() {
            let key = entry_key(entry.log_id.index());
            assert_eq!(part_of(&key), Some((entry.log_id.index(), 0)));
            assert_eq!(part_of(&part_key(entry.log_id.index(), 258)), Some((entry.log_id.index(), 258)));
            assert_eq!(decode::<Entry>(&key, &encode(&key, &entry)).unwrap(), entry);
        }
        for stray in [b"l".as_slice(), b"lindex", &part_key(7, 0), b"mvote8bytes", &[b'l'; 10]] {
            assert_eq!(part_of(stray), None, "{stray:02x?}");
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        for entry in entries() {
            let key = entry_key(entry.log_id.index());
            let good = encode(&key, &entry);
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(decode::<Entry>(&key, &bad).is_err(), "bit {bit}");
            }
            for length in 0..good.len() {
                assert!(decode::<Entry>(&key, &good[..length]).is_err(), "cut to {length}");
            }
        }
    }

    #[test]
    fn a_record_under_another_key_and_one_of_zeros_are_refused() {
        let entry = &entries()[1];
        let bytes = encode(&entry_key(300), entry);
        assert!(decode::<Entry>(&entry_key(301), &bytes).is_err());
        for length in 0..64 {
            assert!(decode::<Entry>(&entry_key(0), &vec![0; length]).is_err());
        }
    }
}
