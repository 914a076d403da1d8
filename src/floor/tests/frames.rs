//! The bytes of a floor's file.

use super::super::frames::{Found, Frames, MAGIC, first, put};
use crate::seal::hex;

/// Frozen: files of running nodes hold such bytes.
const FROZEN: &str = "636972636c657420666c6f6f72010400000041950bac6865616448f8bc6e9976ce120ab582883e193057d7f08868219b\
     8fe87ada06531b68424706000000d847d32b7265636f72641215027ad8d340468a45f551c064f04f9990e7f86b3bb0db\
     ea8de2d7d24e111b";

#[test]
fn frames_keep_their_bytes() {
    let (mut chain, mut bytes) = (first(), MAGIC.to_vec());
    for payload in ["head", "record"] {
        put(&mut chain, payload.as_bytes(), &mut bytes).unwrap();
    }
    assert_eq!(hex(&bytes), FROZEN);
    let mut frames = Frames::begin(bytes.as_slice()).unwrap().unwrap();
    for payload in ["head", "record"] {
        assert!(matches!(frames.next().unwrap(), Found::Payload(found) if found == payload.as_bytes()));
    }
    assert!(matches!(frames.next().unwrap(), Found::End));
    bytes[MAGIC.len() - 1] = 2;
    assert!(Frames::begin(bytes.as_slice()).unwrap().is_none(), "another version");
}
