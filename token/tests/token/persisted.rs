//! How the words are persisted: these bytes stand in logs and snapshots, so they may not change.
use crate::data::{OWN, OWN_CERTIFICATE, kid};
use circlet_token::{Algorithm, Audience, KeyId, Lifetime, Scope, ServiceId, Subject, TokenId, UserName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

fn frozen<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, bytes: &[u8]) {
    let config = bincode::config::standard();
    assert_eq!(bincode::serde::encode_to_vec(value, config).unwrap(), bytes, "{value:?}");
    let (read, used): (T, usize) = bincode::serde::decode_from_slice(bytes, config).unwrap();
    assert_eq!((&read, used), (value, bytes.len()));
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn refused<T: DeserializeOwned + Debug>(bytes: &[u8]) {
    let read = bincode::serde::decode_from_slice::<T, _>(bytes, bincode::config::standard());
    assert!(read.is_err(), "{read:?}");
}

#[test]
fn words_are_persisted_as_their_text() {
    frozen(&ServiceId::parse(OWN).unwrap(), &text(OWN));
    frozen(&kid(OWN_CERTIFICATE), &text(kid(OWN_CERTIFICATE).as_str()));
    frozen(&UserName::parse("älice").unwrap(), &text("älice"));
    frozen(&Subject::parse("jfrt@01h2/users/a/b").unwrap(), &text("jfrt@01h2/users/a/b"));
    frozen(&Scope::parse("api:* member-of-groups:\"a b\"").unwrap(), &text("api:* member-of-groups:\"a b\""));
    frozen(&Scope::read("path:x:read").unwrap(), &text("path:x:read"));
    frozen(&Audience::parse("jfrt@* jfxr@01h2").unwrap(), &text("jfrt@* jfxr@01h2"));
}

#[test]
fn numbers_are_persisted_as_numbers() {
    frozen(&TokenId([7; 16]), &[7; 16]);
    frozen(&Algorithm::EdDsa, &[1]);
    frozen(&Algorithm::Rs256, &[2]);
    frozen(&Algorithm::Es256, &[3]);
    frozen(&Lifetime::FOREVER, &[0]);
    frozen(&Lifetime::from_secs(3600), &[251, 0x10, 0x0e]);
}

#[test]
fn what_is_read_back_is_checked() {
    refused::<ServiceId>(&text("nobody"));
    refused::<KeyId>(&text("short"));
    refused::<UserName>(&text("a:b"));
    refused::<Subject>(&text("alice"));
    refused::<Scope>(&text("\"open"));
    refused::<Audience>(&text("a\u{0}"));
    refused::<Algorithm>(&[4]);
    refused::<TokenId>(&[7; 15]);
}
