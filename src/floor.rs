//! The floor under revocations: what the cluster refuses, kept by each node in a file of its own outside of its home, on
//! storage that outlives the machine. While `revocation-floor.required` is on, a node acknowledges no decision that its file
//! doesn't hold; so when all nodes are lost, the files of all of them together hold everything that was ever acknowledged, and
//! a restore can let earlier tokens live on.
//!
//! ```text
//! <dir>/<service ulid>.<generation>/<node id>.floor     a picture, then what changed (see `file`)
//! <dir>/<service ulid>.<generation>.sealed/             whoever restores has fenced the nodes off: none acknowledges any more
//! <dir>/<service ulid>.<generation>.spent/              a later generation has begun from it
//! ```
//!
//! Why the files suffice. The one that ends last holds everything that any node had acknowledged: a node acknowledges
//! only what its own file holds; it learns of its admission only by an acknowledged join, so it is on the file of whoever let
//! it in; and it acknowledges nothing once it is removed. So if every node that the last file names has its file there, and none
//! of them is a copy that may be older than what was acknowledged, nothing is missing. Sealing comes before reading, and a node
//! looks for the seal after each write, before it acknowledges: what a node that still lives has acknowledged is read, and
//! nothing is acknowledged afterwards.

pub mod file;
mod frames;
pub mod place;
pub mod proof;
pub mod reading;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Whether this node's floor can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The node has none.
    Absent,
    /// It is being begun.
    Begins,
    /// It is written.
    Stands,
    /// It can't be written at the moment, and why.
    Fails(String),
    /// It never will be again, and why.
    Ended(String),
}

/// How far a node's floor has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Up to which log index it holds all that is refused.
    pub holds: u64,
    /// Whether it goes on.
    pub standing: Standing,
    /// How many records were written since the start.
    pub written: u64,
}

/// Where the floor's writer says how far it has come, and everyone else waits for it. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Floor {
    status: Arc<watch::Sender<Status>>,
}

impl Default for Floor {
    fn default() -> Self {
        Self::new(Standing::Absent)
    }
}

impl Floor {
    /// A floor that stands like this, and holds nothing yet.
    #[must_use]
    pub fn new(standing: Standing) -> Self {
        Self { status: Arc::new(watch::Sender::new(Status { holds: 0, standing, written: 0 })) }
    }

    /// How it stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Why it can't be relied on at the moment; `None` if it stands.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match self.status().standing {
            Standing::Stands => None,
            Standing::Absent => Some(NO_FLOOR.to_owned()),
            Standing::Begins => Some("it is being begun".to_owned()),
            Standing::Fails(why) | Standing::Ended(why) => Some(why),
        }
    }

    /// It holds everything up to `index`; `written` says whether a record was written for that.
    pub fn holds(&self, index: u64, written: bool) {
        self.status.send_modify(|status| {
            status.holds = status.holds.max(index);
            status.standing = Standing::Stands;
            status.written += u64::from(written);
        });
    }

    /// There is to be none.
    pub fn is_absent(&self) {
        self.status.send_modify(|status| status.standing = Standing::Absent);
    }

    /// It can't be written, and will be tried again.
    pub fn fails(&self, why: String) {
        self.status.send_modify(|status| status.standing = Standing::Fails(why));
    }

    /// It will never be written again.
    pub fn ends(&self, why: String) {
        self.status.send_modify(|status| status.standing = Standing::Ended(why));
    }

    /// Resolves with the reason once it has ended.
    pub async fn ended(&self) -> String {
        let mut status = self.status.subscribe();
        loop {
            if let Standing::Ended(why) = &status.borrow_and_update().standing {
                return why.clone();
            }
            if status.changed().await.is_err() {
                // Nobody is left who could end it.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until it holds `index`. The error says why it doesn't: at once where it can't, else after `patience`.
    pub async fn reaches(&self, index: u64, patience: Duration) -> Result<(), String> {
        let mut status = self.status.subscribe();
        let settled = |status: &Status| {
            let gives_up = !matches!(status.standing, Standing::Begins | Standing::Stands);
            (status.holds >= index && status.standing != Standing::Absent) || gives_up
        };
        let waited = tokio::time::timeout(patience, status.wait_for(settled)).await;
        let now = self.status();
        match (now.standing, waited) {
            (Standing::Ended(why), _) => Err(why),
            (Standing::Absent, _) => Err(NO_FLOOR.to_owned()),
            _ if now.holds >= index => Ok(()),
            (Standing::Fails(why), _) => Err(why),
            (Standing::Begins, _) => {
                Err("it is being begun: this node has not proved yet that its view is fresh".to_owned())
            }
            (Standing::Stands, _) => {
                Err(format!("it holds entry {}, and did not reach {index} in time", now.holds))
            }
        }
    }
}

/// What is wrong with a node that has no floor.
pub const NO_FLOOR: &str = "this node has none: revocation-floor.dir is not set in its node.yml";

/// Why a floor is not required from now on. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node has no revocation floor that stands: {why}")]
pub struct NoFloor {
    /// What is wrong with it.
    pub why: String,
    /// The node has only just started, and will have one.
    pub begins: bool,
}

impl NoFloor {
    /// What an operator does about it.
    pub const REMEDY: &str =
        "set revocation-floor.dir in node.yml of every node and restart them one by one, then require it";
}

#[cfg(test)]
mod tests {
    use super::{Floor, NO_FLOOR, Standing};
    use std::time::Duration;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn whoever_waits_is_told_once_it_is_there_or_why_it_is_not() {
        assert_eq!(Floor::default().reaches(0, SOON).await, Err(NO_FLOOR.to_owned()));
        let floor = Floor::new(Standing::Begins);
        assert!(floor.reaches(1, SOON).await.unwrap_err().contains("being begun"));
        floor.holds(5, true);
        assert_eq!(floor.reaches(5, SOON).await, Ok(()));
        assert!(floor.reaches(6, SOON).await.unwrap_err().contains("holds entry 5"));
        let waiting = tokio::spawn({
            let floor = floor.clone();
            async move { floor.reaches(6, Duration::from_mins(1)).await }
        });
        floor.holds(6, false);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        floor.fails("full".to_owned());
        assert_eq!(floor.reaches(6, SOON).await, Ok(()), "what it holds it holds");
        assert_eq!(floor.reaches(7, Duration::from_mins(1)).await, Err("full".to_owned()));
        // What was sealed off must not be built upon, whatever it holds.
        floor.ends("sealed".to_owned());
        assert_eq!(floor.reaches(6, SOON).await, Err("sealed".to_owned()));
        assert_eq!(floor.status().written, 1);
    }
}
