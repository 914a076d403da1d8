//! Where chance comes from: one seed, and streams drawn from it that don't disturb each other.

use std::sync::{Arc, Mutex};

use crate::scope::lock;

/// A stream of chance. Clones draw from the same stream.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<u64>>);

impl Dice {
    /// The stream that `seed` begins.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// A stream of its own.
    #[must_use]
    pub fn split(&self) -> Self {
        Self::new(self.word() ^ 0x5851_f42d_4c95_7f2d)
    }

    /// 64 random bits (`SplitMix64`).
    #[must_use]
    pub fn word(&self) -> u64 {
        let mut state = lock(&self.0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` up to and with `high`.
    #[must_use]
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.word() % (high.saturating_sub(low) + 1)
    }

    /// True in `percent` of a hundred cases.
    #[must_use]
    pub fn percent(&self, percent: u64) -> bool {
        self.word() % 100 < percent
    }

    /// One of them; none of nothing.
    #[must_use]
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(from.len()).unwrap_or(u64::MAX);
        let at = (count > 0).then(|| self.word() % count)?;
        from.get(usize::try_from(at).ok()?)
    }

    /// 16 random bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 16] {
        ((u128::from(self.word()) << 64) | u128::from(self.word())).to_be_bytes()
    }
}
