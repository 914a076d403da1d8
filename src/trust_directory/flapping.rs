//! A certificate that comes and goes is left alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use circlet_token::KeyId;

/// So many changes of one certificate within [`WINDOW`] are followed.
const CHANGES_MAX: usize = 6;
const WINDOW: Duration = Duration::from_mins(5);

/// The recent changes per certificate.
#[derive(Default)]
pub(super) struct Flapping {
    changes: BTreeMap<KeyId, Vec<Instant>>,
}

impl Flapping {
    /// Counts a change, and says whether to follow it.
    pub(super) fn allows(&mut self, kid: &KeyId) -> bool {
        self.allows_at(kid, Instant::now())
    }

    fn allows_at(&mut self, kid: &KeyId, now: Instant) -> bool {
        let changes = self.changes.entry(kid.clone()).or_default();
        changes.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        if changes.len() >= CHANGES_MAX {
            tracing::error!(
                %kid, "a certificate in the trusted directory comes and goes; its changes are not followed for now"
            );
            return false;
        }
        changes.push(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{CHANGES_MAX, Flapping, WINDOW};
    use circlet_token::KeyId;
    use std::time::Instant;

    #[test]
    fn flapping_stops_for_a_while() {
        let mut flapping = Flapping::default();
        let (kid, now) = (KeyId::of_certificate(b"a"), Instant::now());
        for _ in 0..CHANGES_MAX {
            assert!(flapping.allows_at(&kid, now));
        }
        assert!(!flapping.allows_at(&kid, now));
        assert!(flapping.allows_at(&KeyId::of_certificate(b"b"), now));
        assert!(flapping.allows_at(&kid, now + WINDOW));
    }
}
