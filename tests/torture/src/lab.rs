//! The nodes, and what can be done to them: `scripts/lab` does it, this knows what was done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::process::Command;

use crate::bounds::LAB_ORDER;
use crate::judge::Judge;

/// After a wall clock is right again, nodes remember for ten seconds what it had shown.
pub(crate) const CLOCK_REMEMBERED: u64 = 14_000_000_000;

/// What is known of a node.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each may be so or not")]
pub(crate) struct Condition {
    /// It was started and not killed since.
    pub(crate) runs: bool,
    /// It was seen ready since its start.
    pub(crate) ready: bool,
    /// It has signed a plain token since its start: another node has shown it its clock, without which it dates none.
    pub(crate) has_dated: bool,
    /// It is stopped in its tracks.
    pub(crate) paused: bool,
    /// Its disk is full or failing: it may stop itself.
    pub(crate) bad_disk: bool,
    /// It has been cut off from all others since before its start: it can't have proved freshness.
    pub(crate) alone_since_start: bool,
    /// Its wall clock is wrong, or was until then, in nanoseconds.
    pub(crate) wrong_clock_until: u64,
    /// How often it was started.
    pub(crate) life: u64,
}

impl Condition {
    /// Whether a node that was so, and now is as `after`, was alone all the while, since before it started: then it can't
    /// have proved freshness.
    pub(crate) fn is_alone_until(&self, after: &Self) -> bool {
        self.alone_since_start && after.alone_since_start && self.life == after.life
    }
}

/// One node.
pub(crate) struct Node {
    /// 1, 2, 3...
    pub(crate) number: u64,
    /// Where it serves.
    pub(crate) url: String,
    condition: Mutex<Condition>,
    /// Held by whoever breaks it.
    pub(crate) breaking: tokio::sync::Mutex<()>,
    /// Held by whoever reads from it what must be heard in order.
    pub(crate) reading: tokio::sync::Mutex<()>,
    /// When the last question was asked that it answered from a view proved fresh for it, in nanoseconds.
    fresh_since: AtomicU64,
}

impl Node {
    fn new(number: u64, url: &str) -> Arc<Self> {
        Arc::new(Self {
            number,
            url: url.trim().to_owned(),
            condition: Mutex::default(),
            breaking: tokio::sync::Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            fresh_since: AtomicU64::new(0),
        })
    }

    /// It has proved freshness for a question that was asked then.
    pub(crate) fn was_fresh(&self, asked: u64) {
        self.fresh_since.fetch_max(asked, Ordering::SeqCst);
    }

    /// Since when nothing shows that it has proved freshness.
    pub(crate) fn fresh_since(&self) -> u64 {
        self.fresh_since.load(Ordering::SeqCst)
    }

    /// What is known of it.
    pub(crate) fn condition(&self) -> Condition {
        *self.lock()
    }

    /// Notes what was done to it.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Condition)) {
        note(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing about it excuses a refused plain token: it runs, was ready, and its disk and clock are right.
    pub(crate) fn is_sound(&self, now: u64) -> bool {
        let known = self.condition();
        known.runs && known.ready && !known.paused && !known.bad_disk && now > known.wrong_clock_until
    }

    /// Whether its clock is right, and long enough.
    pub(crate) fn tells_time(&self, now: u64) -> bool {
        now > self.condition().wrong_clock_until
    }
}

/// All nodes, and the script that breaks them.
pub(crate) struct Lab {
    script: PathBuf,
    /// Where everything of it is.
    pub(crate) folder: PathBuf,
    nodes: Mutex<Vec<Arc<Node>>>,
}

impl Lab {
    /// The lab that this process runs in, as `scripts/lab run` made it.
    pub(crate) async fn here(script: PathBuf) -> Result<Self, String> {
        let folder = std::env::var_os("LAB")
            .ok_or("there is no lab here\n\nhint: scripts/torture makes one and runs this program in it")?;
        let lab = Self { script, folder: folder.into(), nodes: Mutex::default() };
        for number in lab.run(&["nodes"]).await?.split_whitespace() {
            let number = number.parse().map_err(|error| format!("{number}: {error}"))?;
            let node = lab.add(number).await?;
            node.note(|known| (known.runs, known.ready, known.life) = (true, true, 1));
        }
        Ok(lab)
    }

    /// A node that the script has made.
    pub(crate) async fn add(&self, number: u64) -> Result<Arc<Node>, String> {
        let node = Node::new(number, &self.run(&["url", &number.to_string()]).await?);
        self.lock().push(Arc::clone(&node));
        Ok(node)
    }

    /// A node that left.
    pub(crate) fn forget(&self, node: &Node) {
        self.lock().retain(|known| !std::ptr::eq(&raw const **known, node));
    }

    /// The nodes that there are at present.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.lock().clone()
    }

    /// Whether a node hasn't left.
    pub(crate) fn has(&self, node: &Node) -> bool {
        self.lock().iter().any(|known| std::ptr::eq(&raw const **known, node))
    }

    /// The lowest number that no node has.
    pub(crate) fn free_number(&self) -> u64 {
        lowest_free(&self.lock().iter().map(|node| node.number).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the script do something; gives what it printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let said = said_within(LAB_ORDER, Command::new(&self.script).args(arguments)).await;
        said.map_err(|why| format!("lab {}: {why}", arguments.join(" ")))
    }

    /// The same, where failing is a defect of the lab: it is said, and the run counts as broken.
    pub(crate) async fn must(&self, judge: &Judge, arguments: &[&str]) {
        if let Err(why) = self.run(arguments).await {
            judge.accuse("lab", why);
        }
    }

    /// Nodes that run, as far as is known.
    pub(crate) fn running(&self) -> Vec<Arc<Node>> {
        self.lock().iter().filter(|node| node.condition().runs).cloned().collect()
    }

    /// Whether the process of a node is there.
    pub(crate) fn is_alive(&self, node: &Node) -> bool {
        let file = self.folder.join(format!("node-{}", node.number)).join("pid");
        let Ok(pid) = std::fs::read_to_string(file) else { return false };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        // The state follows the name, which is in parentheses; one that is dead and not yet buried is gone.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    }

    /// The end of a node's log.
    pub(crate) fn last_words(&self, node: &Node) -> String {
        last_lines(&self.folder.join(format!("node-{}", node.number)).join("serve.log"))
    }

    /// Where a node has its home.
    pub(crate) fn home(&self, node: &Node) -> PathBuf {
        self.folder.join(format!("node-{}", node.number)).join("disk/home")
    }

    /// A copy of the home of the node whose disk was stolen last.
    pub(crate) fn stolen(&self) -> PathBuf {
        self.folder.join("stolen")
    }

    /// Copies the nodes' logs somewhere that outlives the lab.
    pub(crate) fn keep_logs(&self, to: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        for node in self.nodes() {
            let name = format!("node-{}", node.number);
            std::fs::copy(self.folder.join(&name).join("serve.log"), to.join(format!("{name}.log")))?;
        }
        let of_neighbour = self.folder.join("neighbour/serve.log");
        if of_neighbour.exists() {
            std::fs::copy(of_neighbour, to.join("neighbour.log"))?;
        }
        Ok(())
    }
}

/// The end of a log.
pub(crate) fn last_lines(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// What a command prints, if it succeeds, and in time; one that doesn't end is killed.
async fn said_within(limit: Duration, command: &mut Command) -> Result<String, String> {
    let output = tokio::time::timeout(limit, command.kill_on_drop(true).output()).await;
    let output =
        output.map_err(|_| format!("not over within {limit:?}"))?.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// The lowest number from 1 on that is not among these.
fn lowest_free(taken: &BTreeSet<u64>) -> u64 {
    let first_gap = taken.iter().zip(1..).find(|(taken, number)| *taken != number);
    first_gap.map_or_else(|| taken.last().map_or(1, |last| last + 1), |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::process::Command;

    use super::{lowest_free, said_within};

    #[tokio::test]
    async fn an_order_that_hangs_is_given_up() {
        let hung = said_within(Duration::from_millis(50), Command::new("sleep").arg("30")).await;
        assert_eq!(hung, Err("not over within 50ms".to_owned()));
        let said = said_within(Duration::from_mins(1), Command::new("echo").arg("done")).await;
        assert_eq!(said, Ok("done\n".to_owned()));
    }

    #[test]
    fn a_number_that_was_left_is_given_away_before_a_new_one() {
        for (taken, free) in [(vec![], 1), (vec![1, 2, 3], 4), (vec![2, 3], 1), (vec![1, 3, 4], 2)] {
            assert_eq!(lowest_free(&taken.into_iter().collect()), free);
        }
    }
}
