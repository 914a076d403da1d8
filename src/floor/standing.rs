//! How far a node's floor has come, and what may be acknowledged by that.

use std::sync::Arc;

use circlet_authority::State;
use circlet_raft::watch;

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
        self.status.get()
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
        self.status.modify(|status| {
            status.holds = status.holds.max(index);
            status.standing = Standing::Stands;
            status.written += u64::from(written);
            true
        });
    }

    /// There is to be none.
    pub fn is_absent(&self) {
        self.stands(Standing::Absent);
    }

    /// It can't be written, and will be tried again.
    pub fn fails(&self, why: String) {
        self.stands(Standing::Fails(why));
    }

    /// It will never be written again.
    pub fn ends(&self, why: String) {
        self.stands(Standing::Ended(why));
    }

    fn stands(&self, standing: Standing) {
        self.status.modify(|status| {
            status.standing = standing;
            true
        });
    }

    /// Resolves with the reason once it has ended.
    pub async fn ended(&self) -> String {
        loop {
            let ended = |status: &Status| matches!(status.standing, Standing::Ended(_));
            if let Standing::Ended(why) = self.status.subscribe().wait_for(ended).await.standing {
                return why;
            }
        }
    }

    /// Waits until a node with this floor may acknowledge what its view, which is this one, holds up to `index`; until
    /// `patience` ends at most. The error says why it must not.
    pub async fn may_acknowledge(
        &self,
        view: &State,
        index: u64,
        patience: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let due = view.floor_due(index);
        if due == 0 {
            return Ok(());
        }
        let reached = self.reaches(due, patience).await;
        // Where none is required, a node without one vouches for nothing.
        let has_none = self.status().standing == Standing::Absent;
        if has_none && !view.floor_is_required() { Ok(()) } else { reached }
    }

    /// Waits until it holds `index`. The error says why it doesn't: at once where it can't, else when `patience` ends.
    pub async fn reaches(&self, index: u64, patience: impl Future<Output = ()>) -> Result<(), String> {
        let status = self.status.subscribe();
        let settled = |status: &Status| {
            let gives_up = !matches!(status.standing, Standing::Begins | Standing::Stands);
            (status.holds >= index && status.standing != Standing::Absent) || gives_up
        };
        tokio::select! {
            biased;
            _ = status.wait_for(settled) => {}
            () = patience => {}
        }
        let now = self.status();
        match now.standing {
            Standing::Ended(why) => Err(why),
            Standing::Absent => Err(NO_FLOOR.to_owned()),
            _ if now.holds >= index => Ok(()),
            Standing::Fails(why) => Err(why),
            Standing::Begins => {
                Err("it is being begun: this node has not proved yet that its view is fresh".to_owned())
            }
            Standing::Stands => {
                Err(format!("it holds entry {}, and did not reach {index} in time", now.holds))
            }
        }
    }
}

/// What is wrong with a node that has no floor.
pub const NO_FLOOR: &str = "this node has none: revocation-floor.dir is not set in its node.yml";
