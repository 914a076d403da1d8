//! `circlet serve`: runs the node of a home directory.

use std::path::PathBuf;

use circlet_raft::OpenError;

use super::failure::Failure;
use super::output::Output;
use crate::node::{self, ServeError, Serving};

/// Run the node of a home directory.
#[derive(clap::Args)]
pub struct Serve {
    /// The home directory, made by `circlet init` or `circlet join`
    #[arg(long, value_name = "DIR", env = "CIRCLET_HOME")]
    home: PathBuf,
    /// Put the node's id, URL and process id here, as JSON and by rename, when it is ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Let a node that is alone lead although its clock is far ahead of the cluster's time
    #[arg(long)]
    accept_clock: bool,
    /// Stop when the process with this id is no longer the parent
    #[arg(long, value_name = "PID", hide = true)]
    dies_with: Option<u32>,
}

impl Serve {
    /// Runs the command: until a signal, or until the node stops itself.
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        let serving = Serving {
            home: self.home,
            ready_file: self.ready_file,
            accept_clock: self.accept_clock,
            dies_with: self.dies_with,
        };
        node::serve(serving).await.map_err(failure)
    }
}

/// A home, a port or a file that isn't in order is for the operator to mend; the rest is ours.
fn failure(error: ServeError) -> Failure {
    const PORT: &str = "stop what uses the port, or choose another one in etc/node.yml";
    match error {
        ServeError::Home(error) => error.into(),
        ServeError::Join(error) => super::join::failure(error),
        ServeError::Listen { address, setting, source } => {
            Failure::input(format!("can't listen for clients on {address} ({setting})"))
                .because(source)
                .hint(PORT)
        }
        ServeError::Open(OpenError::Listen { address, source }) => {
            Failure::input(format!("can't listen for peers on {address} (peer.listen)"))
                .because(source)
                .hint(PORT)
        }
        ServeError::Open(error @ (OpenError::Settings(_) | OpenError::Identity(_))) => {
            Failure::input(error.to_string())
        }
        ServeError::Tls(error) => Failure::input("client traffic can't be protected")
            .because(error)
            .hint("see http.tls in etc/node.yml"),
        ServeError::Key(error) => Failure::input(error.to_string())
            .hint("etc/security/master.key may be of another time; copy it from another node of the cluster"),
        error @ ServeError::Removed { .. } => Failure::input(error.to_string())
            .hint("move its home aside, and join anew from an empty directory"),
        error @ ServeError::SetBack { .. } => Failure::input(error.to_string())
            .hint("remove the node with `circlet cluster remove`, move its home aside, and join anew"),
        other => Failure::ours(other.to_string()),
    }
}
