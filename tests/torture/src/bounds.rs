//! For how long each part of a run may go on, so that a run ends whatever hangs. `scripts/torture` ends it from outside where
//! even that doesn't help.

use std::time::Duration;

/// One order to the lab; it gives up by itself what it waits for long before.
pub(crate) const LAB_ORDER: Duration = Duration::from_mins(2);

/// What is made ready in a cluster in which nothing is wrong yet.
pub(crate) const PREPARED: Duration = Duration::from_mins(2);

/// What was not made within the time that was asked for is tried for so much longer.
pub(crate) const TRIED_ON: Duration = Duration::from_mins(2);

/// What is under way ends once nothing new begins: requests, and faults with what mends them.
pub(crate) const UNDER_WAY: Duration = Duration::from_mins(3);

/// The cluster recovers once nothing is wrong any more.
pub(crate) const RECOVERY: Duration = Duration::from_secs(90);

/// Then everything is looked at.
pub(crate) const LOOKED_AT: Duration = Duration::from_mins(2);

/// Another cluster begins from what is left; then that one recovers and is looked at.
pub(crate) const BEGUN_ANEW: Duration = Duration::from_mins(3);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BEGUN_ANEW, LOOKED_AT, PREPARED, RECOVERY, TRIED_ON, UNDER_WAY};

    /// The cluster is made before this program begins, and it judges and reports after all of this.
    const BESIDE: Duration = Duration::from_mins(4);

    #[test]
    fn all_parts_together_end_before_the_script_ends_them() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/torture");
        let text = std::fs::read_to_string(script).expect("the script");
        let more = text.lines().find_map(|line| line.strip_prefix("more_secs=")).expect("its bound");
        let more = Duration::from_secs(more.parse().expect("a number of seconds"));
        let parts = PREPARED + TRIED_ON + UNDER_WAY + BEGUN_ANEW + (RECOVERY + LOOKED_AT) * 2;
        assert!(parts + BESIDE <= more, "{parts:?} and {BESIDE:?} are more than {more:?}");
    }
}
