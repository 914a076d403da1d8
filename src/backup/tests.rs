//! Sealed, opened, damaged.

use std::io::{Cursor, Write};

use circlet_authority::State;

use super::{BackupError, CHUNK_BYTES, Header, Opening, Writer, check, open};
use crate::seal::{MasterKey, hex};
use crate::secret::Secret;

fn passphrase(text: &str) -> Opening {
    Opening::Passphrase(Secret::from(text.to_owned()))
}

fn written(with: &Opening) -> Vec<u8> {
    let (seal, key) = with.seal();
    let header = Header {
        service_id: "jfrt@01".to_owned(),
        generation: 1,
        index: 7,
        made_at: "2024-02-29T23:59:59.000Z".to_owned(),
        nodes: Vec::new(),
        seal,
        nonce: hex(&[9; 16]),
    };
    let mut writer = Writer::begin(Vec::new(), &header, &key).unwrap();
    State::new().encode_snapshot(&mut writer).unwrap();
    writer.finish().unwrap()
}

fn read(bytes: &[u8], with: &Opening) -> Result<State, BackupError> {
    open(&mut Cursor::new(bytes), with).map(|opened| opened.state)
}

#[test]
fn a_backup_opens_with_what_it_was_sealed_with_and_with_nothing_else() {
    let (one, other) = (MasterKey::generate(), MasterKey::generate());
    let under_key = written(&Opening::MasterKey(one.clone()));
    let under_passphrase = written(&passphrase("correct horse"));
    assert_eq!(check(&mut Cursor::new(&under_key)).unwrap().index, 7);
    assert_eq!(read(&under_key, &Opening::MasterKey(one.clone())).unwrap().digest(), State::new().digest());
    assert!(read(&under_passphrase, &passphrase("correct horse")).is_ok());
    for (bytes, with, said) in [
        (&under_key, Opening::MasterKey(other), "another master key"),
        (&under_key, passphrase("correct horse"), "under the master key"),
        (&under_passphrase, Opening::MasterKey(one), "under a passphrase"),
        (&under_passphrase, passphrase("correct house"), "the passphrase is not"),
    ] {
        let error = read(bytes, &with).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn damage_is_told_from_a_wrong_key_and_needs_none() {
    let key = Opening::MasterKey(MasterKey::generate());
    let good = written(&key);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        let error = read(&bad, &key).err().unwrap();
        let told =
            matches!(error, BackupError::NotOne | BackupError::Version { .. } | BackupError::Damaged(_));
        assert!(told, "byte {at}: {error}");
        assert!(check(&mut Cursor::new(&good[..at])).is_err(), "cut at {at}");
    }
    assert!(check(&mut Cursor::new([good.as_slice(), &[0]].concat())).is_err());
}

#[test]
fn a_backup_of_another_version_or_of_something_else_is_named() {
    let key = Opening::MasterKey(MasterKey::generate());
    let mut newer = written(&key);
    newer[14] = 2;
    assert!(matches!(read(&newer, &key), Err(BackupError::Version { found: 2 })));
    assert!(matches!(read(b"PK\x03\x04", &key), Err(BackupError::NotOne)));
}

#[test]
fn content_of_any_length_is_sealed_in_chunks_that_keep_their_order() {
    let with = Opening::MasterKey(MasterKey::generate());
    let (seal, key) = with.seal();
    let header = || Header {
        service_id: String::new(),
        generation: 0,
        index: 0,
        made_at: String::new(),
        nodes: Vec::new(),
        seal: seal.clone(),
        nonce: hex(&[1; 16]),
    };
    for length in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
        let mut writer = Writer::begin(Vec::new(), &header(), &key).unwrap();
        writer.write_all(&vec![7; length]).unwrap();
        let bytes = writer.finish().unwrap();
        assert!(check(&mut Cursor::new(&bytes)).is_ok(), "{length}");
        // It is whole and opens, but is no state.
        let error = read(&bytes, &with).err().unwrap();
        assert!(matches!(error, BackupError::Content(_)), "{length}: {error}");
    }
}
