//! What a joiner and a member say to each other: one frame each, a proof before the message.
//!
//! ```text
//! by a join token   1  id of the token (16)  proof (32)  message
//! by the join key   2  proof (32)  message
//! the answer        1  proof (32)  message
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::feature_level;
use crate::home::Introduced;
use crate::join_token::{self, Side};
use crate::seal::{MasterKey, hex, hex_decode};
use crate::secret::Secret;

/// The first byte of a request with a join token, and of every answer.
const VERSION: u8 = 1;
/// The first byte of a request with the join key.
const BY_KEY: u8 = 2;
const ID_BYTES: usize = 16;
const PROOF_BYTES: usize = 32;
/// What is proved about the master key, besides the session.
const MASTER_KEY: &[u8] = b"master key";

/// What the joiner says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JoinRequest {
    pub(super) name: String,
    pub(super) peer_address: String,
    pub(super) client_url: String,
    /// `SubjectPublicKeyInfo` of the joiner's key, base64.
    public_key: String,
    /// In a request with the join key: the proof that the joiner has the cluster's master key, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    master_key_proof: Option<String>,
    /// It never votes.
    #[serde(default)]
    pub(super) learner: bool,
    /// The highest feature level that it supports.
    pub(super) supports: u32,
}

impl JoinRequest {
    pub(super) fn new(name: &str, peer_address: &str, client_url: &str, public_key: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            peer_address: peer_address.to_owned(),
            client_url: client_url.to_owned(),
            public_key: STANDARD.encode(public_key),
            master_key_proof: None,
            learner: false,
            supports: feature_level::supported(),
        }
    }

    /// The same request from one who has the master key, for this session only.
    pub(super) fn with_master_key(&self, master: &MasterKey, exporter: &[u8; 32]) -> Self {
        let proof = join_token::prove(&master.join_secret(), Side::Joiner, exporter, MASTER_KEY);
        Self { master_key_proof: Some(hex(&proof)), ..self.clone() }
    }

    /// Whether the joiner has this master key.
    pub(super) fn proves_master_key(&self, master: &MasterKey, exporter: &[u8; 32]) -> bool {
        let proof = self.master_key_proof.as_deref().and_then(hex_decode).unwrap_or_default();
        join_token::is_proved(&master.join_secret(), Side::Joiner, exporter, MASTER_KEY, &proof)
    }

    pub(super) fn public_key(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.public_key).ok()
    }
}

/// What the member answers.
#[derive(Serialize, Deserialize)]
pub(super) struct JoinAnswer {
    pub(super) node_id: u64,
    pub(super) service_id: String,
    pub(super) generation: u64,
    pub(super) members: Vec<Introduced>,
    /// As a key file holds it; absent if the joiner has proved that it has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    master_key: Option<String>,
    ca_certificate: String,
    node_certificate: String,
}

impl Drop for JoinAnswer {
    fn drop(&mut self) {
        if let Some(key) = &mut self.master_key {
            zeroize::Zeroize::zeroize(key);
        }
    }
}

impl JoinAnswer {
    pub(super) fn new(
        node_id: u64,
        service_id: &str,
        generation: u64,
        members: Vec<Introduced>,
        master_key: Option<&Secret>,
        ca_certificate: &[u8],
        node_certificate: &[u8],
    ) -> Self {
        Self {
            node_id,
            service_id: service_id.to_owned(),
            generation,
            members,
            master_key: master_key.map(|key| hex(key.expose())),
            ca_certificate: STANDARD.encode(ca_certificate),
            node_certificate: STANDARD.encode(node_certificate),
        }
    }

    pub(super) fn master_key(&self) -> Option<Secret> {
        self.master_key.as_deref().and_then(hex_decode).map(Secret::new)
    }

    pub(super) fn ca_certificate(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.ca_certificate).ok()
    }

    pub(super) fn node_certificate(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.node_certificate).ok()
    }
}

/// By what a node asks to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// The join token with this id.
    Token([u8; ID_BYTES]),
    /// The join key.
    Key,
}

/// The joiner's frame.
pub(super) fn write_request(
    means: Means,
    secret: &Secret,
    exporter: &[u8; 32],
    request: &JoinRequest,
) -> Vec<u8> {
    let message = serde_json::to_vec(request).expect("texts have a JSON form");
    let proof = join_token::prove(secret, Side::Joiner, exporter, &message);
    match &means {
        Means::Token(id) => [&[VERSION], id.as_slice(), &proof, &message].concat(),
        Means::Key => [&[BY_KEY], proof.as_slice(), &message].concat(),
    }
}

/// The joiner's frame, taken apart but not believed yet.
pub(super) struct RequestFrame<'a> {
    pub(super) means: Means,
    proof: &'a [u8],
    message: &'a [u8],
}

impl<'a> RequestFrame<'a> {
    pub(super) fn parse(frame: &'a [u8]) -> Option<Self> {
        let (means, rest) = match frame.split_first()? {
            (&VERSION, rest) => {
                let (id, rest) = rest.split_first_chunk::<ID_BYTES>()?;
                (Means::Token(*id), rest)
            }
            (&BY_KEY, rest) => (Means::Key, rest),
            _ => return None,
        };
        let (proof, message) = rest.split_at_checked(PROOF_BYTES)?;
        Some(Self { means, proof, message })
    }

    /// Reads the message and believes nothing of it.
    pub(super) fn read_unproved(&self) {
        drop(serde_json::from_slice::<JoinRequest>(self.message));
    }

    /// The message, if the joiner has proved the secret.
    pub(super) fn proved(&self, secret: &Secret, exporter: &[u8; 32]) -> Option<JoinRequest> {
        let proved = join_token::is_proved(secret, Side::Joiner, exporter, self.message, self.proof);
        proved.then(|| serde_json::from_slice(self.message).ok()).flatten()
    }
}

/// The member's frame: version, proof, message.
pub(super) fn write_answer(secret: &Secret, exporter: &[u8; 32], answer: &JoinAnswer) -> Vec<u8> {
    let message = Secret::new(serde_json::to_vec(answer).expect("numbers and texts have a JSON form"));
    let proof = join_token::prove(secret, Side::Cluster, exporter, message.expose());
    [&[VERSION], proof.as_slice(), message.expose()].concat()
}

/// The member's message, if it has proved the secret.
pub(super) fn read_answer(frame: &Secret, secret: &Secret, exporter: &[u8; 32]) -> Option<JoinAnswer> {
    let rest = frame.expose().strip_prefix(&[VERSION])?;
    let (proof, message) = rest.split_at_checked(PROOF_BYTES)?;
    let proved = join_token::is_proved(secret, Side::Cluster, exporter, message, proof);
    proved.then(|| serde_json::from_slice(message).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{JoinAnswer, JoinRequest, Means, RequestFrame, read_answer, write_answer, write_request};
    use crate::seal::MasterKey;
    use crate::secret::Secret;

    const SESSION: [u8; 32] = [4; 32];

    fn secret() -> Secret {
        Secret::new(vec![3; 32])
    }

    fn request() -> JoinRequest {
        JoinRequest::new("node2", "h:1", "http://h:2", b"key")
    }

    #[test]
    fn a_request_is_read_by_whoever_knows_the_secret_in_this_session() {
        for means in [Means::Token([2; 16]), Means::Key] {
            let frame = write_request(means, &secret(), &SESSION, &request());
            let parsed = RequestFrame::parse(&frame).unwrap();
            assert_eq!(parsed.means, means);
            assert_eq!(parsed.proved(&secret(), &SESSION), Some(request()));
            assert_eq!(parsed.proved(&secret(), &[5; 32]), None);
            assert_eq!(parsed.proved(&Secret::random(32), &SESSION), None);
            assert!(RequestFrame::parse(&frame[..20]).is_none());
        }
        assert!(RequestFrame::parse(&[9; 80]).is_none());
    }

    #[test]
    fn who_has_the_master_key_proves_it_for_one_session() {
        let (ours, other) = (MasterKey::generate(), MasterKey::generate());
        let proving = request().with_master_key(&ours, &SESSION);
        assert!(proving.proves_master_key(&ours, &SESSION));
        assert!(!proving.proves_master_key(&ours, &[5; 32]));
        assert!(!proving.proves_master_key(&other, &SESSION));
        assert!(!request().proves_master_key(&ours, &SESSION));
    }

    #[test]
    fn an_answer_is_believed_only_with_its_proof() {
        let key = Secret::new(vec![8; 32]);
        let answer = JoinAnswer::new(7, "jfrt@01", 1, Vec::new(), Some(&key), b"ca", b"node");
        let frame = write_answer(&secret(), &SESSION, &answer);
        let read = read_answer(&Secret::new(frame.clone()), &secret(), &SESSION).unwrap();
        assert_eq!((read.node_id, read.node_certificate()), (7, Some(b"node".to_vec())));
        assert!(read.master_key().is_some_and(|key| key.expose() == [8; 32]));
        let mut changed = frame;
        let last = changed.len() - 10;
        changed[last] ^= 1;
        assert!(read_answer(&Secret::new(changed), &secret(), &SESSION).is_none());
    }
}
