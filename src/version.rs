//! What this version of the program knows.
//!
//! | level | from then on |
//! |---|---|
//! | 1 | everything but what follows |
//! | 2 | a proposal that is forwarded to the leader carries the trace of its request |
//! | 3 | a floor under revocations can be required, and the state says where one began |

use std::sync::LazyLock;

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
