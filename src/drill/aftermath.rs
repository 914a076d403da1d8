//! What must still be so when all is over: whatever was acknowledged.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::fleet::{Ask, Fleet, Member};
use super::load::{TOKENS, VERIFY};
use super::record::Record;
use super::writes::Writes;

/// Nodes may take so long to come back.
const RETURN: Duration = Duration::from_secs(30);
/// A node that cannot say whether a token is good is asked again for so long; after the first such question, no longer.
const INSISTENCE: Duration = Duration::from_secs(10);
/// Revoked tokens are shown for the last time this long after the bound.
const LAST_LOOKS: Duration = Duration::from_secs(2);
/// So many questions at once.
const AT_ONCE: usize = 32;

/// What is left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Acknowledged writes that a node does not know.
    pub(super) lost_acks: u64,
    /// Nodes that could not be asked, since they are away or not back.
    pub(super) unreachable: Vec<String>,
    /// Those of them that run: each with what it lacks, still after the time that it had.
    pub(super) not_back: Vec<String>,
    /// How many acknowledged writes were asked for.
    pub(super) asked_for: u64,
    /// How many of these questions a node that is back did not answer.
    pub(super) unanswered: u64,
}

/// Asks every node that is there for everything that was acknowledged. The one at `killed` need not return.
pub(super) async fn look(fleet: &Fleet, writes: &Writes, record: &Record, killed: Option<&str>) -> Left {
    tokio::time::sleep(writes.bound() + LAST_LOOKS).await;
    let mut left = Left::default();
    let deadline = Instant::now() + RETURN;
    for member in fleet.nodes() {
        let patience = if killed == Some(member.url.as_str()) { Instant::now() } else { deadline };
        match returns(member, patience).await {
            Return::Back => ask_for_all(member, writes, record, &mut left).await,
            Return::Away => left.unreachable.push(member.name.clone()),
            Return::Lacks(what) => {
                left.unreachable.push(member.name.clone());
                left.not_back.push(format!("{}: {what}", member.name));
            }
        }
    }
    left
}

/// Whether a node is again what it was.
#[derive(Debug, PartialEq, Eq)]
enum Return {
    Back,
    /// It doesn't answer.
    Away,
    /// It answers, and says what it lacks for the whole of its service.
    Lacks(String),
}

impl Return {
    /// A node that serves plain tokens and nothing else is not back.
    async fn of(member: &Member) -> Self {
        match member.ask(&Ask::new(Method::GET, "/readyz?for=writes")).await {
            None => Self::Away,
            Some(answer) if answer.status == 200 => Self::Back,
            Some(answer) => Self::Lacks(conditions(answer.status, &answer.json().unwrap_or_default())),
        }
    }
}

/// What is missing, as `/readyz` names it.
fn conditions(status: u16, body: &Value) -> String {
    let missing = body["missing"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<&str> = missing.iter().filter_map(|missing| missing["condition"].as_str()).collect();
    if words.is_empty() { format!("status {status}") } else { words.join(", ") }
}

async fn returns(member: &Member, deadline: Instant) -> Return {
    loop {
        let found = Return::of(member).await;
        if found == Return::Back || Instant::now() > deadline {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ask_for_all(member: &Member, writes: &Writes, record: &Record, left: &mut Left) {
    let (living, revoked, kept) = writes.told();
    let verify = |token: &String| Ask::new(Method::GET, VERIFY).showing(token);
    let questions: Vec<(Ask, bool, &str)> = living
        .iter()
        .map(|token| (verify(token), true, "a refreshed token"))
        .chain(revoked.iter().map(|token| (verify(token), false, "a revoke")))
        .chain(
            kept.iter().map(|id| (Ask::new(Method::GET, format!("{TOKENS}/{id}")), true, "a recorded token")),
        )
        .collect();
    let mut patience = INSISTENCE;
    for some in questions.chunks(AT_ONCE) {
        let asked = some
            .iter()
            .map(|(ask, good, what)| async move { (settled(member, ask, patience).await, *good, *what) });
        for (answer, good, what) in futures::future::join_all(asked).await {
            left.asked_for += 1;
            match answer {
                Some(status) if (status == 200) == good => {}
                Some(status) => {
                    left.lost_acks += 1;
                    record.problem(format!("{} has lost {what}: {status}", member.name));
                }
                None => {
                    left.unanswered += 1;
                    patience = Duration::ZERO;
                    record.problem(format!("{} could not say whether it has {what}", member.name));
                }
            }
        }
    }
}

/// What a node says once it can say anything.
async fn settled(member: &Member, ask: &Ask, patience: Duration) -> Option<u16> {
    let deadline = Instant::now() + patience;
    loop {
        match member.ask(ask).await {
            Some(answer) if !matches!(answer.status, 429 | 503) => return Some(answer.status),
            _ if Instant::now() >= deadline => return None,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::conditions;

    #[test]
    fn a_node_that_is_not_back_is_told_with_what_it_lacks() {
        let lacks = json!({"missing": [{"condition": "disk_full"}, {"condition": "no_leader"}]});
        assert_eq!(conditions(503, &lacks), "disk_full, no_leader");
        assert_eq!(conditions(429, &json!({"errors": []})), "status 429");
    }
}
