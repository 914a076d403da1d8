//! `circlet drill`: what clients notice when something happens to a running cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::output::Output;
use super::profile::ServerArguments;
use crate::drill::{self, Objectives, Plan, Trouble};

/// Drive load at a running cluster while something happens to it, and tell what the clients noticed.
///
/// Ends with 1 if an acknowledged write was lost, a revoked token accepted after the bound, or a refresh token used
/// twice; if a node that runs can't serve everything half a minute later, or can't tell of what was acknowledged; if an
/// objective was missed; or if a process that should have been killed lives. The tokens that the drill makes are revoked in
/// the end.
#[derive(clap::Args)]
pub struct Drill {
    /// How long the load runs
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    length: Duration,
    /// How often each operation is begun a second: plain issue, verify, refresh, revoke
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rate: u32,
    /// How long after the start of the load something happens
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = duration)]
    after: Duration,
    #[command(flatten)]
    trouble: TroubleFlags,
    /// Fail if no refresh, or no revoke, was done for longer
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_write_gap: Option<Duration>,
    /// Fail if no plain token was issued, or none verified, for longer
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_plain_gap: Option<Duration>,
    /// Fail if more plain requests than this were served by no node
    #[arg(long, value_name = "N")]
    max_plain_failed: Option<u64>,
    /// Write the report here as well, as JSON
    #[arg(long, value_name = "FILE")]
    json_file: Option<PathBuf>,
    /// Draw what happened, as SVG
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
}

/// What happens; without any of these nothing does, or the operator's hand does it.
#[derive(clap::Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Trouble")]
struct TroubleFlags {
    /// Kill the leader's process; it must run on this machine
    #[arg(long)]
    kill_leader: bool,
    /// Stop the leader's process in its tracks for so long; it must run on this machine
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "3s", value_parser = duration)]
    pause: Option<Duration>,
    /// Cut the leader off from its peers for so long, but not from clients; it must run on this machine, and the nodes
    /// must have addresses of their own. Needs root, nsenter and nft
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "3s", value_parser = duration)]
    partition: Option<Duration>,
    /// Run this with sh; it finds `CIRCLET_DRILL_LEADER` and `CIRCLET_DRILL_LEADER_URL` in its environment
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
}

impl TroubleFlags {
    fn chosen(self) -> Option<Trouble> {
        let kill = self.kill_leader.then_some(Trouble::KillLeader);
        kill.or(self.pause.map(Trouble::PauseLeader))
            .or(self.partition.map(Trouble::PartitionLeader))
            .or(self.command.map(Trouble::Command))
    }
}

impl Drill {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        if self.after >= self.length {
            return Err(Failure::input("--after lies behind --length").hint("choose a longer --length"));
        }
        let client = self.server.client(output)?;
        let plan = Plan {
            length: self.length,
            rate: self.rate,
            trouble: self.trouble.chosen(),
            after: self.after,
            objectives: Objectives {
                write_gap_max: self.max_write_gap,
                plain_gap_max: self.max_plain_gap,
                plain_failed_max: self.max_plain_failed,
            },
        };
        let findings = tokio::select! {
            findings = drill::run(&plan, &client, *output) => findings?,
            // What is paused or cut off is let go when the drill is dropped.
            interrupted = interruption() => return Err(interrupted),
        };
        write(self.timeline.as_deref(), || findings.picture())?;
        write(self.json_file.as_deref(), || format!("{:#}\n", findings.json()))?;
        output.result(&findings.json(), |_| findings.text())?;
        match findings.missed() {
            [] => Ok(()),
            missed => Err(Failure::input(format!("the drill has failed: {}", missed.join("; ")))),
        }
    }
}

/// Waits until somebody asks this process to end.
async fn interruption() -> Failure {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::ours("cannot listen for signals").because(error));
    let (mut interrupt, mut terminate) =
        match (listen(SignalKind::interrupt()), listen(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(failure), _) | (_, Err(failure)) => return failure,
        };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Failure::input("the drill was interrupted")
        .hint("the tokens that it has made are not revoked: their user is 'drill'")
}

fn write(file: Option<&Path>, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, text())
        .map_err(|error| Failure::input(format!("cannot write {}", file.display())).because(error))
}

/// A duration such as `500ms`, `3s` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is no duration such as 500ms, 3s or 2m"))?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(format!("{text:?} needs a unit: ms, s or m")),
    };
    Ok(Duration::from_millis(number.saturating_mul(millis)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::duration;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for text in ["", "3", "s", "3h", "-1s", "1.5s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
