//! Who leads, asked often.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::fleet::{Ask, Fleet, Member};
use super::record::Record;

/// How often every node is asked.
const EVERY: Duration = Duration::from_millis(20);

/// A leader that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reign {
    term: u64,
    leader: u64,
    first_ms: u64,
    last_ms: u64,
}

/// A change of leadership.
#[derive(Debug, Clone)]
pub(super) struct Election {
    /// The term that it won.
    pub(super) term: u64,
    /// The leader's name.
    pub(super) leader: String,
    /// When it was first seen, in milliseconds since the load began.
    pub(super) at_ms: u64,
    /// How long nobody was known to lead: since what happened last, or since the last leader was last seen.
    pub(super) took_ms: u64,
}

impl Election {
    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({ "term": self.term, "leader": self.leader, "at_ms": self.at_ms, "took_ms": self.took_ms })
    }
}

/// Somebody who asks who leads.
pub(super) struct Watch {
    fleet: Arc<Fleet>,
    reigns: Arc<Mutex<Vec<Reign>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Asks every node from now on.
    pub(super) fn begin(fleet: &Arc<Fleet>, record: &Arc<Record>) -> Self {
        let reigns = Arc::new(Mutex::new(Vec::new()));
        let ask = |at: usize| {
            let (fleet, record, reigns) = (Arc::clone(fleet), Arc::clone(record), Arc::clone(&reigns));
            tokio::spawn(async move {
                while let Some(member) = fleet.nodes().get(at) {
                    if let Some(term) = leads(member).await {
                        note(&reigns, term, member.id, record.now_ms());
                    }
                    tokio::time::sleep(EVERY).await;
                }
            })
        };
        let tasks = (0..fleet.nodes().len()).map(ask).collect();
        Self { fleet: Arc::clone(fleet), reigns, tasks }
    }

    /// All changes that were seen.
    pub(super) fn end(self, record: &Record) -> Vec<Election> {
        self.tasks.iter().for_each(JoinHandle::abort);
        let mut reigns = self.reigns.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reigns.sort_by_key(|reign| reign.term);
        let marks: Vec<u64> = record.marks().iter().map(|mark| mark.at_ms).collect();
        let pairs = reigns.iter().zip(reigns.iter().skip(1));
        pairs
            .map(|(before, after)| Election {
                term: after.term,
                leader: self.fleet.name_of(after.leader),
                at_ms: after.first_ms,
                took_ms: after.first_ms.saturating_sub(vacant_since(before, after, &marks)),
            })
            .collect()
    }
}

/// From when on nobody was known to lead: from what happened during the old reign, or from its end.
fn vacant_since(before: &Reign, after: &Reign, marks: &[u64]) -> u64 {
    let during = marks.iter().copied().filter(|mark| (before.first_ms..=after.first_ms).contains(mark)).max();
    during.unwrap_or(before.last_ms).min(after.first_ms)
}

fn note(reigns: &Mutex<Vec<Reign>>, term: u64, leader: u64, now_ms: u64) {
    let mut reigns = reigns.lock().unwrap_or_else(PoisonError::into_inner);
    match reigns.iter_mut().find(|reign| reign.term == term) {
        Some(reign) => reign.last_ms = now_ms,
        None => reigns.push(Reign { term, leader, first_ms: now_ms, last_ms: now_ms }),
    }
}

/// The term in which a node says that it leads itself.
async fn leads(member: &Member) -> Option<u64> {
    let answer = member.ask(&Ask::new(Method::GET, "/circlet/v1/cluster/status")).await?;
    let status = answer.json().ok()?;
    (status["leader"] == status["node"] && status["role"] == "leader")
        .then(|| status["term"].as_u64())
        .flatten()
}

/// The node that leads, and in the latest term if two say so.
pub(super) async fn leader(fleet: &Fleet) -> Option<&Member> {
    let asked = fleet.nodes().iter().map(|member| async move { (leads(member).await, member) });
    let answers = futures::future::join_all(asked).await;
    let leading = answers.into_iter().filter_map(|(term, member)| Some((term?, member)));
    leading.max_by_key(|(term, _)| *term).map(|(_, member)| member)
}

#[cfg(test)]
mod tests {
    use super::{Reign, vacant_since};

    #[test]
    fn an_election_counts_from_what_caused_it() {
        let before = Reign { term: 1, leader: 1, first_ms: 0, last_ms: 4_990 };
        let after = Reign { term: 2, leader: 2, first_ms: 5_400, last_ms: 9_000 };
        assert_eq!(vacant_since(&before, &after, &[5_000]), 5_000);
        assert_eq!(vacant_since(&before, &after, &[8_000]), 4_990);
        // One who is cut off may think that it leads long after it was replaced.
        let stubborn = Reign { last_ms: 7_000, ..before };
        assert_eq!(vacant_since(&stubborn, &after, &[]), 5_400);
    }
}
