//! Who is turned away when too many requests are being answered at a time. Revokes have room that nothing else takes, and
//! each connection may always have one under way, so that only the number of connections bounds them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::places::Seat;
use crate::metrics::Work;
use crate::usecase::failure::Failure;

/// Requests that are answered at a time; verifying has as much room again.
const REQUESTS_MAX: usize = 8192;
/// Revokes that are answered at a time, beside those that are the only one of their connection.
const REVOKES_MAX: usize = 8192;

/// Who is connected. Clones are of the same connection.
#[derive(Clone)]
pub(super) struct Client {
    /// Where the connection comes from.
    pub(super) peer: SocketAddr,
    /// What its connection sits on.
    pub(super) seat: Arc<Seat>,
    revokes: Arc<AtomicUsize>,
}

impl Client {
    /// One that has just come.
    pub(super) fn new(peer: SocketAddr, seat: Arc<Seat>) -> Self {
        Self { peer, seat, revokes: Arc::default() }
    }
}

/// What is being answered, revokes apart from everything else.
#[derive(Default)]
pub(super) struct Admission {
    revokes: Arc<AtomicUsize>,
    others: Arc<AtomicUsize>,
}

impl Admission {
    /// Lets a request in until what is returned is dropped, or turns it away.
    pub(super) fn admit(&self, work: Work, client: &Client) -> Result<Pass, Failure> {
        let pass = match work {
            Work::Revoke => take(&self.revokes, REVOKES_MAX).or_else(|| take(&client.revokes, 1)),
            Work::Verify => take(&self.others, REQUESTS_MAX * 2),
            Work::Token | Work::Other => take(&self.others, REQUESTS_MAX),
        };
        pass.ok_or_else(|| {
            Failure::unavailable("busy", "too many requests are being answered; nothing was changed")
                .with_detail("ask another node, or again in a moment")
        })
    }
}

/// A request that was let in, where it is counted.
pub(super) struct Pass(Arc<AtomicUsize>);

/// Counts one more if there is room for it.
fn take(under_way: &Arc<AtomicUsize>, room: usize) -> Option<Pass> {
    let before = under_way.fetch_add(1, Ordering::Relaxed);
    // Counted already, so that it is given back if there was none.
    let pass = Pass(Arc::clone(under_way));
    (before < room).then_some(pass)
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new(SocketAddr::from(([127, 0, 0, 1], 1)), Arc::default())
    }

    /// So many requests of this kind, each of a connection of its own.
    fn fill(admission: &Admission, work: Work, requests: usize) -> Vec<Pass> {
        let admitted = (0..requests).map(|number| {
            admission.admit(work, &client()).unwrap_or_else(|_| panic!("{work:?} {number} was turned away"))
        });
        admitted.collect()
    }

    #[test]
    fn who_issues_leaves_room_to_whoever_verifies_and_nobody_takes_that_of_revokes() {
        let admission = Admission::default();
        let mut passes = fill(&admission, Work::Token, REQUESTS_MAX / 2);
        passes.extend(fill(&admission, Work::Other, REQUESTS_MAX / 2));
        for work in [Work::Token, Work::Other] {
            let busy = admission.admit(work, &client()).err().expect("it is one too many");
            assert_eq!(busy.word(), "busy");
        }
        passes.extend(fill(&admission, Work::Verify, REQUESTS_MAX));
        assert!(admission.admit(Work::Verify, &client()).is_err());
        drop(fill(&admission, Work::Revoke, REVOKES_MAX));
        passes.pop();
        assert!(admission.admit(Work::Verify, &client()).is_ok(), "who is answered makes room");
    }

    #[test]
    fn each_connection_may_revoke_whatever_others_do_and_no_revoke_keeps_out_anything_else() {
        let admission = Admission::default();
        let flooding = client();
        let flood = || admission.admit(Work::Revoke, &flooding);
        let mut passes: Vec<Pass> = std::iter::from_fn(|| flood().ok()).collect();
        assert_eq!(passes.len(), REVOKES_MAX + 1, "the last is the one that it may always have");
        passes.extend(fill(&admission, Work::Revoke, 3));
        let other = client();
        let first = admission.admit(Work::Revoke, &other);
        assert!(first.is_ok() && admission.admit(Work::Revoke, &other).is_err());
        drop(first);
        assert!(admission.admit(Work::Revoke, &other).is_ok(), "one after the other");
        assert!(admission.admit(Work::Other, &flooding).is_ok());
    }
}
