//! Instants on the clock of a node.

use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use openraft_rt::Instant as _;
use openraft_rt_sim::SimInstant;

use crate::scope::{self, Scope};

/// A point on the monotonic clock of a node, or outside of one on the simulator's; nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeInstant(pub(crate) u64);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("no simulation lasts for centuries")
}

impl Add<Duration> for NodeInstant {
    type Output = Self;
    fn add(self, more: Duration) -> Self {
        Self(self.0.saturating_add(nanos(more)))
    }
}

impl AddAssign<Duration> for NodeInstant {
    fn add_assign(&mut self, more: Duration) {
        *self = *self + more;
    }
}

impl Sub<Duration> for NodeInstant {
    type Output = Self;
    fn sub(self, less: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(less)))
    }
}

impl SubAssign<Duration> for NodeInstant {
    fn sub_assign(&mut self, less: Duration) {
        *self = *self - less;
    }
}

impl Sub<Self> for NodeInstant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl openraft_rt::Instant for NodeInstant {
    fn now() -> Self {
        now()
    }
}

/// The simulator's time in nanoseconds since its start.
pub(crate) fn global_nanos() -> u64 {
    nanos(SimInstant::now().elapsed_since_start())
}

/// The time of the scope that is being polled.
pub(super) fn now() -> NodeInstant {
    let global = global_nanos();
    NodeInstant(scope::current().map_or(global, |scope| scope.monotonic(global)))
}

/// How long the simulator must wait until it is `deadline` in that scope.
pub(super) fn left(scope: Option<&Scope>, deadline: NodeInstant) -> Duration {
    let global = global_nanos();
    let left = match scope {
        Some(scope) => scope.global_until(global, deadline.0),
        None => deadline.0.saturating_sub(global),
    };
    Duration::from_nanos(left)
}
