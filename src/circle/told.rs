//! What a member's answer tells of keys, apart from who asks: its token keys taken apart, and what proves a fault. No
//! clock, no node, so that the simulator's clusters do the same.

use circlet_authority::ToldKey;
use circlet_authority::limits::TOLD_KEYS_BYTES_MAX;
use circlet_token::ServiceId;
use circlet_token::feed::{FeedAnswer, FeedEntry, FeedFault, Question, check_token_key, new_successions};

use crate::audit;

/// The token keys among these entries that may be the issuer's, as the log takes them. What is left out is refused there
/// and kept as evidence.
#[must_use]
pub fn token_keys(issuer: &ServiceId, name: &str, entries: &[FeedEntry]) -> Vec<ToldKey> {
    let certificates = entries.iter().filter_map(|entry| match entry {
        FeedEntry::KeyShown { certificate } => Some(certificate),
        _ => None,
    });
    let mut room = TOLD_KEYS_BYTES_MAX;
    let mut keys = Vec::new();
    for facts in certificates.filter_map(|certificate| check_token_key(issuer, certificate).ok()) {
        let Some(left) = room.checked_sub(facts.spki_der.len()) else { break };
        room = left;
        let file_name = file_name(name, facts.key_id.as_str());
        keys.push(ToldKey {
            kid: facts.key_id,
            algorithm: facts.algorithm,
            spki_der: facts.spki_der,
            common_name: facts.common_name.unwrap_or_default(),
            not_after: audit::date_of(facts.not_after),
            file_name,
        });
    }
    keys
}

/// The file that shows a member's certificate: its name, and the beginning of the key id.
#[must_use]
pub fn file_name(name: &str, kid: &str) -> String {
    let short: String = kid.chars().take(8).collect();
    format!("{name}-{short}.crt")
}

/// What proves a fault: the signed head, or the word of a circle key that contradicts what it had said.
#[must_use]
pub fn evidence(fault: FeedFault, question: &Question<'_>, answer: &FeedAnswer) -> Vec<u8> {
    let told = new_successions(question.keys, question.issuer, &answer.successions);
    match (fault, told) {
        (FeedFault::KeyFork, Err(second)) => {
            let mut bytes = Vec::new();
            second.put(&mut bytes);
            bytes
        }
        _ => answer.evidence(),
    }
}
