//! The way to the other cluster and back, and who speaks at its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_token::feed::{CirclePublicKey, FeedAnswer, FeedContent, FeedEntry, FeedPosition, Succession};
use circlet_token::{ServiceId, SigningKey};
use openraft_rt::AsyncRuntime;

use super::thief::Thefts;
use crate::dice::Dice;
use crate::house::{self, Pair};
use crate::pairing::Guest;
use crate::runtime::NodeRuntime;
use crate::scope::lock;

/// How long something is under way, in microseconds, where nothing is wrong.
const DELAY_US: (u64, u64) = (200, 20_000);
/// So many answers are remembered by whoever repeats them.
const HEARD_MAX: usize = 4;

/// What the keys of whoever lies are called.
pub(super) const THIEVES: &str = "a key of nobody's";
/// What those are called of whoever has stolen a circle key.
pub(super) const WHO_HAS_IT: &str = "a key of who has the circle key";
/// So many of a hundred questions whoever has stolen the circle key answers.
const THIEF_PERCENT: u64 = 60;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A node of the other cluster.
    Honest,
    /// Somebody who has heard answers and repeats them.
    Replays,
    /// Somebody who makes answers up.
    Forges,
}

/// How the way behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) asks_cut: bool,
    pub(super) answers_cut: bool,
    /// What is under way takes so long at most, in microseconds.
    pub(super) delay_us_max: u64,
    /// So many questions and answers of a thousand are lost.
    pub(super) lost_per_mille: u64,
    pub(super) host: Host,
}

impl Habits {
    const GOOD: Self = Self {
        asks_cut: false,
        answers_cut: false,
        delay_us_max: DELAY_US.1,
        lost_per_mille: 0,
        host: Host::Honest,
    };
}

/// The way from one cluster to another, and back.
pub struct Way {
    habits: Mutex<Habits>,
    /// The last answers that honest hosts gave.
    heard: Mutex<VecDeque<Vec<u8>>>,
    /// The last guest that went to whoever is asked, and what proved that it was let in.
    guest: Mutex<Option<Guest>>,
    proof: Mutex<Option<String>>,
    /// The last verdict on an order, and its signature.
    verdict: Mutex<Option<(String, Vec<u8>)>>,
    /// The circle key of whoever is asked, where somebody has stolen it and speaks in that place.
    stolen: Mutex<Option<Arc<SigningKey>>>,
    thefts: Mutex<Thefts>,
    dice: Dice,
}

impl Way {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            habits: Mutex::new(Habits::GOOD),
            heard: Mutex::default(),
            guest: Mutex::default(),
            proof: Mutex::default(),
            verdict: Mutex::default(),
            stolen: Mutex::default(),
            thefts: Mutex::default(),
            dice,
        }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut lock(&self.habits));
    }

    /// Somebody speaks from now on with this circle key of whoever is asked.
    pub(crate) fn steal(&self, key: SigningKey) {
        *lock(&self.stolen) = Some(Arc::new(key));
        lock(&self.thefts).begin();
    }

    /// What is known of thefts on this way.
    pub(crate) fn thefts(&self) -> Thefts {
        *lock(&self.thefts)
    }

    /// Something happens to what is known of them.
    pub(crate) fn note_theft(&self, change: impl FnOnce(&mut Thefts)) {
        change(&mut lock(&self.thefts));
    }

    /// The stolen circle key, as long as whoever has it goes on talking.
    pub(crate) fn key_of_thief(&self) -> Option<Arc<SigningKey>> {
        lock(&self.stolen).clone()
    }

    /// Whoever has stolen the circle key is silent.
    pub(super) fn end_theft(&self) {
        *lock(&self.stolen) = None;
    }

    /// The stolen circle key, where whoever has it answers this time.
    pub(super) fn stolen(&self) -> Option<Arc<SigningKey>> {
        self.key_of_thief().filter(|_| self.dice.percent(THIEF_PERCENT))
    }

    /// It is as it should be.
    pub(super) fn end_faults(&self) {
        *lock(&self.habits) = Habits::GOOD;
    }

    pub(super) fn dice(&self) -> &Dice {
        &self.dice
    }

    /// Who answers now.
    pub(super) fn host(&self) -> Host {
        lock(&self.habits).host
    }

    /// A question goes there; it may never arrive.
    pub(super) async fn ask(&self) {
        self.travel(|habits| habits.asks_cut).await;
    }

    /// An answer comes back; it may never arrive.
    pub(super) async fn answer(&self) {
        self.travel(|habits| habits.answers_cut).await;
    }

    async fn travel(&self, is_cut: impl Fn(Habits) -> bool) {
        let habits = *lock(&self.habits);
        let delay_us = self.dice.between(DELAY_US.0, habits.delay_us_max);
        let lost = self.dice.between(0, 999) < habits.lost_per_mille;
        NodeRuntime::sleep(Duration::from_micros(delay_us)).await;
        if lost || is_cut(*lock(&self.habits)) {
            std::future::pending::<()>().await;
        }
    }

    /// An honest answer is overheard.
    pub(super) fn overhear(&self, answer: &[u8]) {
        let mut heard = lock(&self.heard);
        heard.push_front(answer.to_vec());
        heard.truncate(HEARD_MAX);
    }

    /// What a guest says is overheard, whether it arrives or not.
    pub(super) fn overhear_guest(&self, guest: &Guest) {
        *lock(&self.guest) = Some(guest.clone());
    }

    /// The last guest.
    pub(super) fn repeated_guest(&self) -> Option<Guest> {
        lock(&self.guest).clone()
    }

    /// What proves that a guest was let in is overheard.
    pub(super) fn overhear_proof(&self, proof: &str) {
        *lock(&self.proof) = Some(proof.to_owned());
    }

    /// What proved that a guest of before was let in.
    pub(super) fn repeated_proof(&self) -> Option<String> {
        lock(&self.proof).clone()
    }

    /// An honest verdict is overheard.
    pub(super) fn overhear_verdict(&self, verdict: &(String, Vec<u8>)) {
        *lock(&self.verdict) = Some(verdict.clone());
    }

    /// The verdict on an order of before.
    pub(super) fn repeated_verdict(&self) -> Option<(String, Vec<u8>)> {
        lock(&self.verdict).clone()
    }

    /// An answer of before, rather the last one.
    pub(super) fn repeated(&self) -> Option<Vec<u8>> {
        let heard = lock(&self.heard);
        let last = if self.dice.percent(60) { heard.front() } else { heard.back() };
        last.cloned()
    }

    /// What somebody says, with the circle key or without: that nothing was revoked, that there is another key, token key or
    /// circle key, or something changed on its way, or cut off.
    pub(super) fn made_up(&self, lie: &Lie) -> Vec<u8> {
        let mut heard = self.repeated().unwrap_or_default();
        let said = match self.dice.between(0, 5) {
            0 if !heard.is_empty() => {
                let end = self.dice.between(0, heard.len() as u64 - 1);
                heard.truncate(usize::try_from(end).unwrap_or(0));
                return heard;
            }
            1 if !heard.is_empty() => {
                let at = usize::try_from(self.dice.between(0, heard.len() as u64 - 1)).unwrap_or(0);
                heard.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
                return heard;
            }
            2..=3 => lie.another_key(),
            4 => lie.another_circle_key(),
            _ => lie.nothing_new(),
        };
        said.map(|answer| answer.to_bytes()).unwrap_or_default()
    }
}

/// The token key of whoever has stolen the circle key of this cluster, and the circle key that he names for it.
#[must_use]
pub fn keys_of_thief(issuer: &ServiceId) -> (Pair, Option<CirclePublicKey>) {
    let circle = circle_key_of(WHO_HAS_IT, issuer);
    (Pair::named(issuer, WHO_HAS_IT), CirclePublicKey::of(&circle))
}

/// The circle key that somebody who is called so would have in the place of this cluster.
pub(super) fn circle_key_of(called: &str, issuer: &ServiceId) -> SigningKey {
    SigningKey::from_ed25519_seed(&house::seed(&format!("{called} of {issuer}")))
}

/// What somebody can make a lie of.
pub(super) struct Lie {
    /// In whose place it is said.
    pub(super) issuer: ServiceId,
    /// What was asked with.
    pub(super) nonce: [u8; 32],
    /// Where whoever asked stands.
    pub(super) at: FeedPosition,
    /// What the liar's own keys are called.
    pub(super) called: &'static str,
    /// Signs what is said; a token key of the issuer's, or its circle key.
    pub(super) signer: Option<Arc<SigningKey>>,
    /// The issuer's circle key.
    pub(super) circle_key: Option<CirclePublicKey>,
    /// Signs which circle key is next; a token key of the issuer's, or its circle key.
    pub(super) names_next: Option<Arc<SigningKey>>,
}

impl Lie {
    fn nothing_new(&self) -> Option<FeedAnswer> {
        self.signed(self.signer.as_ref()?, Vec::new(), &[])
    }

    /// The issuer has published a key, which is the liar's.
    fn another_key(&self) -> Option<FeedAnswer> {
        let certificate = Pair::named(&self.issuer, self.called).certificate().to_vec();
        self.signed(self.signer.as_ref()?, Vec::new(), &[FeedEntry::KeyShown { certificate }])
    }

    /// The issuer has another circle key, which is the liar's and signs that.
    fn another_circle_key(&self) -> Option<FeedAnswer> {
        let thief = circle_key_of(self.called, &self.issuer);
        let (previous, next) = (self.circle_key?, CirclePublicKey::of(&thief)?);
        let named = Succession::sign(self.names_next.as_ref()?, &self.issuer, next)?;
        let succession = Succession { previous, ..named };
        self.signed(&thief, vec![succession], &[FeedEntry::CircleKey(Box::new(succession))])
    }

    fn signed(
        &self,
        key: &SigningKey,
        successions: Vec<Succession>,
        entries: &[FeedEntry],
    ) -> Option<FeedAnswer> {
        let to = self.at.after_all(entries);
        let bytes = entries.iter().flat_map(FeedEntry::to_bytes).collect();
        let content = FeedContent::Entries { after: self.at.sequence, entries: bytes };
        FeedAnswer::sign(key, &self.issuer, to, to.sequence, self.nonce, successions, content)
    }
}
