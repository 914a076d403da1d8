//! What must still be so when all is over: whatever was acknowledged.

use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

use super::fleet::{Ask, Fleet, Member};
use super::load::{TOKENS, VERIFY};
use super::record::Record;
use super::writes::Writes;

/// Nodes may take so long to come back.
const RETURN: Duration = Duration::from_secs(30);
/// A node that cannot say whether a token is good is asked again for so long.
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
    /// Nodes that could not be asked.
    pub(super) unreachable: Vec<String>,
    /// How many acknowledged writes were asked for.
    pub(super) asked_for: u64,
}

/// Asks every node that is there for everything that was acknowledged. The one at `killed` need not return.
pub(super) async fn look(fleet: &Fleet, writes: &Writes, record: &Record, killed: Option<&str>) -> Left {
    tokio::time::sleep(writes.bound() + LAST_LOOKS).await;
    let mut left = Left::default();
    let deadline = Instant::now() + RETURN;
    for member in fleet.nodes() {
        if killed == Some(member.url.as_str()) && !is_ready(member).await || !returns(member, deadline).await
        {
            left.unreachable.push(member.name.clone());
            continue;
        }
        ask_for_all(member, writes, record, &mut left).await;
    }
    left
}

async fn is_ready(member: &Member) -> bool {
    member.ask(&Ask::new(Method::GET, "/readyz")).await.is_some_and(|answer| answer.status == 200)
}

async fn returns(member: &Member, deadline: Instant) -> bool {
    while !is_ready(member).await {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    true
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
    for some in questions.chunks(AT_ONCE) {
        let asked =
            some.iter().map(|(ask, good, what)| async move { (settled(member, ask).await, *good, *what) });
        for (answer, good, what) in futures::future::join_all(asked).await {
            left.asked_for += 1;
            match answer {
                Some(status) if (status == 200) == good => {}
                Some(status) => {
                    left.lost_acks += 1;
                    record.problem(format!("{} has lost {what}: {status}", member.name));
                }
                None => record.problem(format!("{} could not say whether it has {what}", member.name)),
            }
        }
    }
}

/// What a node says once it can say anything.
async fn settled(member: &Member, ask: &Ask) -> Option<u16> {
    let deadline = Instant::now() + INSISTENCE;
    while Instant::now() < deadline {
        match member.ask(ask).await {
            Some(answer) if !matches!(answer.status, 429 | 503) => return Some(answer.status),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    None
}
