//! What happens to the cluster while the clients are at work.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use super::elections;
use super::fleet::{Fleet, Member};
use super::partition::Partition;
use super::process::Process;
use super::record::Record;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// A killed process is gone within this, or something is wrong.
const DEATH: Duration = Duration::from_secs(5);

/// What the drill itself does.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// The leader's process is killed.
    KillLeader,
    /// The leader's process is stopped in its tracks for so long.
    PauseLeader(Duration),
    /// The leader is cut off from its peers for so long; clients still reach it.
    PartitionLeader(Duration),
    /// A command of the operator's is run.
    Command(String),
}

/// What has happened.
#[derive(Default)]
pub(super) struct Happened {
    /// Where the node served that was killed.
    pub(super) killed_url: Option<String>,
    killed: Option<Process>,
}

impl Happened {
    /// The process that should be dead, if it lives.
    pub(super) fn still_alive(&self) -> Option<i32> {
        self.killed.as_ref().filter(|process| process.lives()).map(Process::id)
    }
}

/// Does it, and marks when.
pub(super) async fn make(
    trouble: &Trouble,
    fleet: &Fleet,
    record: &Record,
    output: Output,
) -> Result<Happened, Failure> {
    let leader = elections::leader(fleet).await.ok_or_else(|| Failure::ours("no node leads the cluster"))?;
    match trouble {
        Trouble::KillLeader => kill(leader, record, output).await,
        Trouble::PauseLeader(length) => pause(leader, *length, record, output).await,
        Trouble::PartitionLeader(length) => partition(leader, *length, fleet, record, output).await,
        Trouble::Command(command) => run(command, leader, record, output).await,
    }
}

fn local(leader: &Member) -> Result<Process, Failure> {
    Process::serving(&leader.url).ok_or_else(|| {
        let what = format!(
            "the leader is {} at {}, and its process is not on this machine",
            leader.name, leader.url
        );
        Failure::input(what)
            .hint("run the drill where the nodes run, or break the cluster by --command or by hand")
    })
}

async fn kill(leader: &Member, record: &Record, output: Output) -> Result<Happened, Failure> {
    let process = local(leader)?;
    let what = format!("{} killed, which led (process {})", leader.name, process.id());
    output.say(&what);
    record.mark(what);
    process
        .signal(Signal::KILL)
        .map_err(|error| Failure::ours("the leader could not be killed").because(error))?;
    let deadline = tokio::time::Instant::now() + DEATH;
    while process.lives() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(Happened { killed_url: Some(leader.url.clone()), killed: Some(process) })
}

async fn pause(
    leader: &Member,
    length: Duration,
    record: &Record,
    output: Output,
) -> Result<Happened, Failure> {
    let process = local(leader)?;
    let failed = |error: String| Failure::ours("the leader could not be paused and resumed").because(error);
    let what = format!("{} paused, which led (process {})", leader.name, process.id());
    output.say(&what);
    record.mark(what);
    process.signal(Signal::STOP).map_err(failed)?;
    // Also if the drill is interrupted meanwhile.
    let resumed = Resumed(process);
    tokio::time::sleep(length).await;
    drop(resumed);
    record.mark(format!("{} resumed", leader.name));
    Ok(Happened::default())
}

/// A paused process, which goes on when this is dropped.
struct Resumed(Process);

impl Drop for Resumed {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = self.0.signal(Signal::CONT);
    }
}

async fn partition(
    leader: &Member,
    length: Duration,
    fleet: &Fleet,
    record: &Record,
    output: Output,
) -> Result<Happened, Failure> {
    let process = local(leader)?;
    let what = format!("{} cut off from its peers, which led", leader.name);
    output.say(&what);
    record.mark(what);
    let cut = Partition::of(leader, &process, fleet).map_err(|why| {
        Failure::input("the leader could not be cut off")
            .because(why)
            .hint("that needs root, nft, and nodes with addresses of their own; or cut it off by --command or by hand")
    })?;
    tokio::time::sleep(length).await;
    drop(cut);
    record.mark(format!("{} reaches its peers again", leader.name));
    Ok(Happened::default())
}

/// Runs the operator's command, which is told who leads; what it prints is talk.
async fn run(command: &str, leader: &Member, record: &Record, output: Output) -> Result<Happened, Failure> {
    record.mark(format!("command begins: {command}"));
    output.say(&format!("{} leads; running: {command}", leader.name));
    let failed = |what: String| Failure::input(what).hint("the command of --command must exit with 0");
    let ended = Command::new("sh")
        .args(["-c", command])
        .env("CIRCLET_DRILL_LEADER", &leader.name)
        .env("CIRCLET_DRILL_LEADER_URL", &leader.url)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| failed("the command could not be run".to_owned()).because(error))?;
    record.mark("command ended".to_owned());
    if ended.success() {
        Ok(Happened::default())
    } else {
        Err(failed(format!("the command ended with {ended}")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Happened, Process};

    #[test]
    fn who_should_be_dead_and_lives_is_named() {
        let ourselves = i32::try_from(std::process::id()).expect("a small number");
        let killed = Process::numbered(ourselves);
        assert_eq!(Happened { killed, ..Happened::default() }.still_alive(), Some(ourselves));
        assert_eq!(Happened::default().still_alive(), None);
    }
}
