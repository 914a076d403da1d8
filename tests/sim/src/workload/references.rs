//! Reference tokens: shown in the place of the tokens that they stand for, to be verified, to be revoked, and as one half of
//! the pair at a refresh.

use std::sync::Arc;

use circlet_authority::{FamilyId, State, TokenRecord};
use circlet_token::TokenId;
use openraft_rt::AsyncRuntime;
use sha2::{Digest, Sha256};

use super::{Held, PATIENCE, Workload, witness};
use crate::clock::START_MS;
use crate::cluster::{Computer, ask};
use crate::linear::token;
use crate::machine::Member;
use crate::plant::Plant;
use crate::reference;
use crate::reference_token::{RANDOM_CHARS, hash, write};
use crate::runtime::{NodeRuntime, global_nanos};
use crate::vouch::holding;

/// What a token is known to be gone by must not be that it has expired: so much of its life is left, in seconds.
const REST_SECS: u64 = 60;

/// What a node says of a reference token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// It stands for this token.
    Token(TokenId),
    /// No such token is there.
    Unknown,
    /// The node can't say.
    Unanswered,
}

/// What is drawn for the reference token of a token: here it follows from its id alone.
fn characters(id: TokenId) -> [u8; RANDOM_CHARS] {
    let digest = Sha256::new().chain_update("reference of ").chain_update(id.0).finalize();
    std::array::from_fn(|at| digest.get(at).map_or(b'a', |byte| b'a' + byte % 26))
}

/// The hash of the reference token that comes with a token.
pub(super) fn reference_of(id: TokenId) -> [u8; 32] {
    hash(&characters(id))
}

/// The reference token that came with a token, if one did.
pub(super) fn text_of(record: &TokenRecord) -> Option<Arc<str>> {
    record.reference.map(|_| write(&characters(record.id), record.expires_at).into())
}

/// Whether the record of a token can't have been purged yet.
fn is_kept(record: &TokenRecord) -> bool {
    record.expiry() > (START_MS + global_nanos() / 1_000_000) / 1_000 + REST_SECS
}

/// What a node finds, in its present view or in a fresh one.
async fn found(member: Arc<Member>, find: impl Fn(&State) -> Option<TokenId> + Send + Sync) -> Named {
    let Some(node) = witness::Node::here(member) else { return Named::Unanswered };
    let Ok(published) = holding(&node, |view| find(view).is_some()).await else { return Named::Unanswered };
    published.and_then(|published| find(&published.view)).map_or(Named::Unknown, Named::Token)
}

impl Workload {
    /// A node is shown the reference token of a token that is to be revoked.
    pub(super) async fn named_to_revoke(&self, computer: &Computer, held: &Held) -> Named {
        let (hash, sent) = (reference_of(held.record.id), global_nanos());
        let named = self.asked_for(computer, held, move |view| view.reference(&hash)).await;
        if named == Named::Unknown {
            self.count("reference token unknown at a revoke");
            self.record_unknown(held, sent);
        }
        named
    }

    /// A node is shown a refresh token with the reference token of its token.
    pub(super) async fn named_in_pair(&self, computer: &Computer, held: &Held, family: FamilyId) -> Named {
        let (hash, sent) = (reference_of(held.record.id), global_nanos());
        let forgets = self.cluster.history.plant() == Plant::UnpairedRepeats;
        let find = move |view: &State| {
            reference::in_pair(view, &family, &hash, |id| (!forgets).then(|| reference_of(*id)))
        };
        let named = self.asked_for(computer, held, find).await;
        if let (Named::Unknown, Some((_, sequence))) = (named, held.record.family) {
            self.count("reference token unknown at a refresh");
            if is_kept(&held.record) {
                self.record_token(&held.record, token::Step::Unpaired { sequence }, sent, true);
            }
        }
        named
    }

    async fn asked_for(
        &self,
        computer: &Computer,
        held: &Held,
        find: impl Fn(&State) -> Option<TokenId> + Send + Sync + 'static,
    ) -> Named {
        let asked = ask(computer, move |member| found(member, find));
        let named = NodeRuntime::timeout(PATIENCE, asked).await.ok().flatten().unwrap_or(Named::Unanswered);
        if let Named::Token(id) = named {
            self.check_named(held, Some(id));
        }
        named
    }

    /// A reference token stands for the token that it came with.
    pub(super) fn check_named(&self, held: &Held, id: Option<TokenId>) {
        if id.is_some_and(|id| id != held.record.id) {
            let what = format!("the reference token of {} stands for {id:?}", held.record.id);
            self.cluster.history.accuse("issued-once", what);
        }
    }

    /// Keeps that a node which had proved its view fresh knew no such token.
    pub(super) fn record_unknown(&self, held: &Held, sent: u64) {
        if held.record.revocable && is_kept(&held.record) {
            self.record_token(&held.record, token::Step::Dead { id: held.record.id }, sent, true);
        }
    }
}
