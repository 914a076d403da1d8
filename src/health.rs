//! What keeps a node from serving all that it could, in words that an alert, a script and a person can act on.

use circlet_authority::State;
use circlet_raft::{DiskTrouble, Published, Status};

use serde_json::{Value, json};

use crate::authenticate::vouch;
use crate::cluster::Cluster;
use crate::headroom::Headroom;

/// Something that a node needs and lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The node has stopped itself.
    Stopped,
    /// No state has arrived yet.
    NoState,
    /// A key of the cluster doesn't open.
    KeysSealed,
    /// The node's clock is off.
    ClockSkew,
    /// The view is not proved fresh, or not lately.
    Stale,
    /// Nobody is known to lead.
    NoLeader,
    /// The disk has no more than its reserve.
    DiskFull,
    /// The disk is too slow, or failed.
    DiskBad,
    /// The process is near its limit of memory.
    MemoryTight,
    /// A revocation floor is required, and this node's can't be relied on.
    NoFloor,
}

impl Condition {
    /// All there are.
    pub(crate) const ALL: [Self; 10] = [
        Self::Stopped,
        Self::NoState,
        Self::KeysSealed,
        Self::ClockSkew,
        Self::Stale,
        Self::NoLeader,
        Self::DiskFull,
        Self::DiskBad,
        Self::MemoryTight,
        Self::NoFloor,
    ];

    /// The word for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::NoState => "no_state",
            Self::KeysSealed => "keys_sealed",
            Self::ClockSkew => "clock_skew",
            Self::Stale => "stale",
            Self::NoLeader => "no_leader",
            Self::DiskFull => "disk_full",
            Self::DiskBad => "disk_bad",
            Self::MemoryTight => "memory_tight",
            Self::NoFloor => "no_floor",
        }
    }

    /// What an operator does about it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Stopped => {
                "read the end of the node's log, put right what it names, and start the node again"
            }
            Self::NoState => {
                "wait until the peers have sent it; if they don't, see whether they reach this node"
            }
            Self::KeysSealed => "copy etc/security/master.key from another node, and start this one again",
            Self::ClockSkew => {
                "set the clock, and see to it that it is kept right (chrony, systemd-timesyncd)"
            }
            Self::Stale => "see whether this node reaches the leader: circlet doctor",
            Self::NoLeader => "see how many voting nodes run and reach each other: circlet doctor",
            Self::DiskFull => "make room on the disk of data/; the node goes on by itself",
            Self::DiskBad => {
                "see what else writes to the disk of data/, and whether it is failing: dmesg, smartctl"
            }
            Self::MemoryTight => {
                "revoke tokens that nobody needs, one in eight at least, and the node goes on by itself; or give it more memory (memory.limit-bytes) and start it again"
            }
            Self::NoFloor => {
                "see to the storage of revocation-floor.dir; the node goes on by itself. Without it: revocation-floor.required false"
            }
        }
    }
}

/// What is missing for the whole of its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) condition: Condition,
    /// Whether nothing at all should be sent to this node; otherwise plain tokens are issued and verified all the same.
    pub(crate) stops_all: bool,
    /// What was found.
    pub(crate) why: String,
    /// What to do.
    pub(crate) remedy: &'static str,
}

impl Missing {
    /// For programs: the condition, what was found, what to do.
    pub(crate) fn json(&self) -> Value {
        json!({"condition": self.condition.word(), "why": self.why, "hint": self.remedy})
    }
}

/// One node's health. Clones are handles to the same node.
#[derive(Clone)]
pub(crate) struct Health {
    cluster: Cluster,
    headroom: Headroom,
    clock_offset_ms_max: u64,
}

impl Health {
    /// The health of this node, whose clock may be off by `clock_offset_ms_max`.
    pub(crate) fn new(cluster: Cluster, headroom: Headroom, clock_offset_ms_max: u64) -> Self {
        Self { cluster, headroom, clock_offset_ms_max }
    }

    /// What the node has left of disk and memory.
    pub(crate) fn headroom(&self) -> &Headroom {
        &self.headroom
    }

    /// What is missing, the worst first; nothing if all is well.
    pub(crate) fn missing(&self, status: &Status, published: &Published<State>) -> Vec<Missing> {
        let found = [
            status.stopped.clone().map(|why| (Condition::Stopped, true, why)),
            state(published),
            self.keys(published),
            self.clock(status),
            self.freshness(published),
            self.leader(status, published),
            self.disk(status),
            self.memory(),
            self.floor(),
        ];
        let missing = found.into_iter().flatten();
        missing
            .map(|(condition, stops_all, why)| Missing {
                condition,
                stops_all,
                why,
                remedy: condition.remedy(),
            })
            .collect()
    }

    fn keys(&self, published: &Published<State>) -> Option<Found> {
        let view = &published.view;
        let active = view.active_key()?;
        let keys = self.cluster.keys();
        let opened = keys.signing_key(view, &active.kid).map(drop).and(keys.refresh_secret(view).map(drop));
        opened.err().map(|why| (Condition::KeysSealed, true, why.to_string()))
    }

    fn clock(&self, status: &Status) -> Option<Found> {
        Some((Condition::ClockSkew, true, self.clock_is_off(status)?))
    }

    /// How far the node's clock is off, if that is more than it may.
    pub(crate) fn clock_is_off(&self, status: &Status) -> Option<String> {
        let off_ms = status.clock_offset_ms.filter(|ms| ms.unsigned_abs() > self.clock_offset_ms_max)?;
        Some(format!("the clock is {off_ms} ms ahead of the voters' median"))
    }

    fn freshness(&self, published: &Published<State>) -> Option<Found> {
        let now = self.cluster.instants();
        if vouch::is_fresh(published, now) {
            return None;
        }
        let why = match published.age_ms(now) {
            None => "not yet proved since the start that the view is fresh".to_owned(),
            Some(age_ms) => format!("the view was last proved fresh {age_ms} ms ago"),
        };
        Some((Condition::Stale, !vouch::may_read(published, now), why))
    }

    /// Raft names who led last for as long as nobody else is elected, and without a majority nobody is. So the name counts
    /// only as long as this node hears of that leader.
    fn leader(&self, status: &Status, published: &Published<State>) -> Option<Found> {
        let fresh = vouch::is_fresh(published, self.cluster.instants());
        let why = match status.leader {
            None => "no node is known to lead the cluster".to_owned(),
            Some(_) if fresh => return None,
            Some(leader) if leader == status.id => {
                "this node leads, and no majority of the voting nodes answers it".to_owned()
            }
            Some(leader) => {
                let answers = status.members.get(&leader).is_some_and(|led| led.clock_offset_ms.is_some());
                if answers {
                    return None;
                }
                format!("node {leader}, which led last, has not answered for ten seconds")
            }
        };
        Some((Condition::NoLeader, false, why))
    }

    fn disk(&self, status: &Status) -> Option<Found> {
        let headroom = &self.headroom;
        if let Some(trouble) = status.disk.trouble {
            return Some(held_up(trouble));
        }
        let why = || {
            let (free, reserve) = (headroom.disk_free_bytes(), headroom.disk_reserve_bytes());
            format!("{free} bytes are free, {reserve} are kept for revokes (disk.reserve-bytes)")
        };
        headroom.disk_is_full().then(|| (Condition::DiskFull, false, why()))
    }

    fn floor(&self) -> Option<Found> {
        let why = self.cluster.lacks_floor()?;
        Some((Condition::NoFloor, false, format!("what is decided here is not acknowledged: {why}")))
    }

    fn memory(&self) -> Option<Found> {
        let headroom = &self.headroom;
        let limit = headroom.memory_limit_bytes().filter(|_| headroom.memory_is_tight())?;
        let why = format!("{} bytes are resident of {limit} allowed", headroom.resident_bytes());
        Some((Condition::MemoryTight, false, why))
    }
}

/// The condition, whether it stops all, and what was found.
type Found = (Condition, bool, String);

/// What it means that the disk under the log is in trouble.
fn held_up(trouble: DiskTrouble) -> Found {
    match trouble {
        DiskTrouble::Full => {
            let why = "the log waits for room on the disk, and nothing is decided here meanwhile";
            (Condition::DiskFull, false, why.to_owned())
        }
        DiskTrouble::Slow | DiskTrouble::Failed => {
            let why = format!("writes to the disk of data/ are held up: {}", trouble.word());
            (Condition::DiskBad, false, why)
        }
    }
}

fn state(published: &Published<State>) -> Option<Found> {
    let missing = published.view.service_id().is_none();
    missing.then(|| (Condition::NoState, true, "the state of the cluster has not arrived yet".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_is_a_bad_one_and_a_full_one_waits_for_room() {
        for (trouble, word, why) in [
            (DiskTrouble::Slow, "disk_bad", "held up: slow"),
            (DiskTrouble::Failed, "disk_bad", "held up: failed"),
            (DiskTrouble::Full, "disk_full", "waits for room"),
        ] {
            let (condition, stops_all, found) = held_up(trouble);
            assert_eq!((condition.word(), stops_all), (word, false), "plain tokens are served all the same");
            assert!(found.contains(why), "{found}");
        }
    }
}
