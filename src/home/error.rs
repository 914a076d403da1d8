//! What can be wrong with a home, each with its remedy.

use std::io;
use std::path::PathBuf;

use crate::cli::failure::Failure;

/// Why a home can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// No node lives here.
    #[error("no node lives in {}: it has no etc/security/identity.json", home.display())]
    Nobody {
        /// The home.
        home: PathBuf,
    },
    /// A node already lives here.
    #[error("{} already is the home of node {node_id} of cluster {service_id}", home.display())]
    Taken {
        /// The home.
        home: PathBuf,
        /// The node that lives here.
        node_id: u64,
        /// Its cluster.
        service_id: String,
    },
    /// Data without an identity.
    #[error("{} holds data of a node but does not say which: an earlier init or join did not finish", home.display())]
    Unfinished {
        /// The home.
        home: PathBuf,
        /// Where the data is.
        data: PathBuf,
    },
    /// Another process has it open.
    #[error("{} is in use by process {holder}", home.display())]
    InUse {
        /// The home.
        home: PathBuf,
        /// The process id, if it could be read.
        holder: String,
    },
    /// The home and its data disagree about the cluster.
    #[error("{} belongs to cluster {expected}, but its data is of cluster {found}", home.display())]
    OtherCluster {
        /// The home.
        home: PathBuf,
        /// What its identity says.
        expected: String,
        /// What its data says.
        found: String,
    },
    /// The cluster began a later generation without this node.
    #[error(
        "node {node_id} in {} was given up: cluster {service_id} goes on in generation {generation} without it",
        home.display()
    )]
    Superseded {
        /// The home.
        home: PathBuf,
        /// The node.
        node_id: u64,
        /// Its cluster.
        service_id: String,
        /// The later generation.
        generation: u64,
        /// What keeps it from being forgotten.
        file: PathBuf,
    },
    /// A file that must be there is not.
    #[error("{} is missing: {what}", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The log is gone, or was emptied by damage.
    #[error("{} is missing or damaged: the log of node {node_id} is empty, but it had been written", file.display())]
    LogLost {
        /// Where the log was.
        file: PathBuf,
        /// The node.
        node_id: u64,
    },
    /// A file is not what it should be.
    #[error("{} is damaged: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The master key is one, but not this cluster's.
    #[error(
        "{} {}: its fingerprint is {found}, the cluster's is {expected}",
        file.display(), if *older { "holds an older master key of this cluster" } else { "is not the master key of this cluster" }
    )]
    OtherMasterKey {
        /// The file.
        file: PathBuf,
        /// The fingerprint of the key in it.
        found: String,
        /// The fingerprint that the cluster recorded.
        expected: String,
        /// Whether it was this cluster's once.
        older: bool,
    },
    /// The settings are wrong.
    #[error("{}: {problem}", file.display())]
    Settings {
        /// The settings file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: Option<String>,
    },
    /// The system refused.
    #[error("can't {doing} {}", file.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl HomeError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Nobody { home } => {
                let home = home.display();
                format!("make one with `circlet init --home {home}` or `circlet join --home {home}`")
            }
            Self::Taken { .. } => "choose an empty directory, or run the node that lives here with `circlet serve`".to_owned(),
            Self::Unfinished { data, .. } => {
                format!("if nothing in it is needed, remove {} and try again", data.display())
            }
            Self::InUse { .. } => "stop that process first; a home serves one process at a time".to_owned(),
            Self::OtherCluster { .. } => {
                "put back the data/ and etc/security/ that belong together, or join the cluster anew from an empty directory"
                    .to_owned()
            }
            Self::Superseded { file, .. } => format!(
                "what it holds is of before: erase its home, and join anew from an empty directory ({} says so)",
                file.display()
            ),
            Self::Missing { .. } => "put it back from a backup of this node, or remove the node and join it anew".to_owned(),
            Self::Damaged { remedy, .. } => (*remedy).to_owned(),
            Self::LogLost { node_id, .. } => format!(
                "remove the node with `circlet cluster remove {node_id}`, move its home aside and join it anew; or put back \
                 data/ as it was"
            ),
            Self::OtherMasterKey { older: true, .. } => {
                "copy etc/security/master.key from another node of the cluster, and give it to whatever placed the older one here"
                    .to_owned()
            }
            Self::OtherMasterKey { .. } => "copy etc/security/master.key from another node of the cluster".to_owned(),
            Self::Settings { remedy, .. } => return remedy.clone(),
            Self::Io { .. } => return None,
        })
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let remedy = error.remedy();
        let failure = match error {
            HomeError::Io { doing, file, source } => {
                Self::ours(format!("can't {doing} {}", file.display())).because(source)
            }
            other => Self::input(other.to_string()),
        };
        match remedy {
            Some(remedy) => failure.hint(remedy),
            None => failure,
        }
    }
}
