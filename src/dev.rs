//! `circlet dev`: a whole cluster on loopback with one command.
//!
//! Every node is a process of its own, this same program with `serve`, with a home of its own: what is tried here is what
//! runs elsewhere. A node that dies stays dead, and the others go on; the end of this process is the end of all.

mod announce;
mod node_process;
mod place;
mod startup;

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::failure::Failure;
use crate::cli::init::Algorithm;
use crate::cli::output::Output;
use announce::Announcement;
use node_process::NodeProcess;
use place::Place;

/// More nodes make a slower cluster, not a safer one.
const NODES_MAX: u16 = 9;

/// A whole cluster on loopback with one command. Ctrl-C ends it.
#[derive(clap::Args)]
pub struct Dev {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    nodes: u16,
    /// Where the nodes' homes are made, and kept; by default in a temporary folder that is removed at the end
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// The first port: the nodes serve HTTP on this one and the next ones, and speak to each other on those after them
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    base_port: u16,
    /// How the tokens of a new cluster are signed; a kept one goes on as it is
    #[arg(long, value_name = "ALGORITHM", default_value = "eddsa")]
    algorithm: Algorithm,
    /// When the cluster is ready, put what is printed here, as JSON, by rename
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Dev {
    /// Runs the command: until a signal, or until the cluster can't be started.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        let place = Place::prepare(self.nodes, self.home.as_deref(), self.base_port)?;
        let mut nodes = Vec::new();
        let ended = self.run_at(&place, &mut nodes, &mut signals, output).await;
        node_process::stop_all(&mut nodes).await;
        if let Some(file) = &self.ready_file {
            // What it says is no longer so; it may not exist.
            let _ = std::fs::remove_file(file);
        }
        let removed = place.remove();
        ended.and(removed)
    }

    async fn run_at(
        &self,
        place: &Place,
        nodes: &mut Vec<NodeProcess>,
        signals: &mut Signals,
        output: &Output,
    ) -> Result<(), Failure> {
        let announcement = tokio::select! {
            announcement = startup::start(place, self.algorithm, nodes, *output) => announcement?,
            signal = signals.any() => {
                output.say(&format!("{signal}: ending before the cluster is ready"));
                return Ok(());
            }
        };
        self.announce(&announcement, *output)?;
        tokio::select! {
            () = node_process::watch(nodes, *output) => {}
            signal = signals.any() => output.say(&format!("{signal}: stopping the nodes")),
        }
        Ok(())
    }

    fn announce(&self, announcement: &Announcement, output: Output) -> Result<(), Failure> {
        if let Some(file) = &self.ready_file {
            announcement.write_to(file)?;
        }
        output.result(announcement, Announcement::for_people)?;
        output.say("the cluster is ready; Ctrl-C stops it");
        Ok(())
    }
}

/// The signals that ask this process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::ours("cannot listen for signals").because(error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for any of them, and says which it was.
    async fn any(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
