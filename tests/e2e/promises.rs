//! The bounds that the tests hold the cluster to.

use std::time::Duration;

/// A verification sent this long after a revoke was acknowledged is refused: `verify.max-staleness` with 200 ppm of drift,
/// and a moment for the request itself to be sent.
pub(crate) const REVOKED_WITHIN: Duration = Duration::from_millis(2_010);

/// Writes are back this long after the leader was killed. At default settings it takes about a second; the tests share two
/// cores with whatever else runs.
pub(crate) const WRITES_BACK_WITHIN: Duration = Duration::from_mins(2);

/// A node that was started answers within this.
pub(crate) const READY_WITHIN: Duration = Duration::from_mins(2);
