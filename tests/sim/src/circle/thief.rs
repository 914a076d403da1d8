//! Whoever has stolen a circle key and answers orders in its cluster's place: with the key that is believed of it, that they are
//! carried out, or that they are not, whether he has passed them on or kept them to himself.

use std::sync::Arc;

use circlet_token::SigningKey;
use circlet_token::feed::CirclePublicKey;

use super::ordering::{Ordered, Sent, There, judged};
use super::way::{WHO_HAS_IT, circle_key_of};
use crate::forward::Order;

/// So many of a hundred orders he passes on before he answers.
const PASSES_ON_PERCENT: u64 = 50;
/// So many of a hundred he says to be done.
const SAYS_DONE_PERCENT: u64 = 70;

/// What is known of the thefts on a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thefts {
    begun: u64,
    /// The generation of who asks in which the last one was mended.
    mended_in: Option<u64>,
    verdicts: u64,
}

impl Thefts {
    pub(super) fn begin(&mut self) {
        (self.begun, self.mended_in) = (self.begun + 1, None);
    }

    /// Nothing of the thief is believed any more by who asks, in this generation: another begins with what a backup believes.
    pub(crate) fn mend(&mut self, generation: u64) {
        self.mended_in = Some(generation);
    }

    /// Whether a verdict that came now may be a thief's, on an order that was sent when this was known, by who is in this
    /// generation.
    pub(crate) fn excuse(self, now: Self, generation: u64) -> bool {
        self.begun != now.begun || (self.begun > 0 && self.mended_in != Some(generation))
    }

    /// Whether a thief has given a verdict since this was known.
    pub(crate) fn has_judged(self, now: Self) -> bool {
        self.verdicts != now.verdicts
    }
}

impl There {
    /// The verdict of whoever has stolen the circle key.
    pub(super) async fn verdict_of_thief(
        &self,
        host: &str,
        order: &Order<'_>,
        signature: &[u8],
        stolen: Arc<SigningKey>,
    ) -> (String, Vec<u8>) {
        let way = &self.neighbour.way;
        way.note_theft(|thefts| thefts.verdicts += 1);
        if way.dice().percent(PASSES_ON_PERCENT) {
            let sent = Sent::of(order, signature);
            drop(self.carry(host, move |member| judged(member, sent)).await);
        }
        let index = self.neighbour.cluster().and_then(|theirs| theirs.view()).map_or(1, |view| view.index());
        let done = Ordered::Revoked { index, seen: true, ids: vec![order.id] };
        let verdict = if way.dice().percent(SAYS_DONE_PERCENT) { done } else { Ordered::Not }.to_text();
        let named = circle_key_of(WHO_HAS_IT, &self.neighbour.service);
        let signer = if CirclePublicKey::of(&named) == Some(self.believed) { &named } else { &*stolen };
        let signature = order.sign_verdict(signer, &verdict);
        (verdict, signature)
    }
}
