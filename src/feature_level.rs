//! Which of the cluster's formats this version reads and writes.
//!
//! | level | from then on |
//! |---|---|
//! | 1 | everything but what follows |
//! | 2 | a proposal that is forwarded to the leader carries the trace of its request |
//! | 3 | a floor under revocations can be required, and the state says where one began |

use std::sync::LazyLock;

use circlet_authority::State;

/// The highest level that this version knows.
const HIGHEST: u32 = 3;

/// The highest level that this node supports. In debug builds a test may say another, to run two versions beside each
/// other that are one.
#[must_use]
pub fn supported() -> u32 {
    static SUPPORTED: LazyLock<u32> = LazyLock::new(|| {
        let other = std::env::var("CIRCLET_TEST_FEATURE_LEVEL").ok().filter(|_| cfg!(debug_assertions));
        other.and_then(|level| level.parse().ok()).unwrap_or(HIGHEST)
    });
    *SUPPORTED
}

/// A cluster that writes what this version doesn't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster writes at feature level {level}, and circlet {} reads up to {}; run the newer version here that its other \
     nodes run",
    env!("CARGO_PKG_VERSION"),
    supported()
)]
pub struct TooNew {
    /// The level that was met.
    pub level: u32,
}

/// Whether this version reads what a cluster in this state writes.
pub fn check(state: &State) -> Result<(), TooNew> {
    let level = state.feature_level();
    if level > supported() { Err(TooNew { level }) } else { Ok(()) }
}
