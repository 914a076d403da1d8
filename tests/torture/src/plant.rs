//! Something wrong with the nodes, or with what they answer, so that the judge must see it.

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use reqwest::Method;
use serde_json::{Value, json};

use crate::chaos::Fault;
use crate::client::Shown;
use crate::workload::Workload;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plant {
    /// The nodes run with a library that makes fdatasync do nothing; the power is cut
    LostSync,
    /// The nodes accept what they haven't compared with the others for an hour, and go on issuing; they are cut off
    LaxFreshness,
    /// The nodes stop issuing and verifying a second after they are cut off
    ShyNodes,
    /// Taints and watermarks are acknowledged, and nothing comes of them
    HollowAnswers,
    /// Nodes whose disk was stolen are removed, and what they knew is said to be replaced, and is not
    KeptSecrets,
    /// It is said that the cluster is lost and another one begins, and it goes on
    NoNewGeneration,
    /// The cluster goes by what it knew of its neighbour long before; they are cut off from each other
    SlowCircle,
    /// Tokens vanish, and keys are trusted that nobody has asked to trust
    SecondMaster,
}

impl Plant {
    /// The faults that show it.
    pub(crate) fn faults(self) -> &'static [Fault] {
        match self {
            Self::LostSync => &[Fault::PowerCutOfAll],
            Self::LaxFreshness => &[Fault::Isolation],
            Self::ShyNodes => &[Fault::Cut],
            Self::KeptSecrets => &[Fault::StolenDisk],
            Self::SlowCircle => &[Fault::CircleCut],
            Self::HollowAnswers | Self::NoNewGeneration | Self::SecondMaster => &[],
        }
    }

    /// Who must see it.
    pub(crate) fn seen_by(self) -> &'static [&'static str] {
        match self {
            Self::LostSync => &["acknowledged"],
            Self::LaxFreshness => &["isolation", "revoked-bound"],
            Self::ShyNodes => &["plain-without-leader"],
            Self::HollowAnswers => &["keys", "known-end", "revoked-bound"],
            Self::KeptSecrets => &["lost-node"],
            Self::SlowCircle => &["revoked-abroad"],
            // Only when it is over.
            Self::NoNewGeneration => &[],
            Self::SecondMaster => &["listed", "published-keys"],
        }
    }

    /// Who must see it as well, looking back at the end.
    pub(crate) fn seen_in_the_end_by(self) -> &'static [&'static str] {
        match self {
            Self::SecondMaster => &["linearizable"],
            Self::NoNewGeneration => &["begun-abroad", "restored"],
            _ => &[],
        }
    }

    /// For so long clients are at work at least, so that they have something.
    pub(crate) fn least(self) -> Duration {
        if self == Self::NoNewGeneration { Duration::from_secs(3) } else { Duration::ZERO }
    }

    /// Whether there is another cluster: it is not needed for what is wrong with one.
    pub(crate) fn has_neighbour(self) -> bool {
        matches!(self, Self::NoNewGeneration | Self::SlowCircle)
    }

    /// Whether all must be well once nothing is done to the cluster any more.
    pub(crate) fn is_looked_at(self) -> bool {
        self != Self::NoNewGeneration
    }

    /// The settings that bring it about.
    pub(crate) fn settings(self) -> Option<Value> {
        match self {
            Self::LaxFreshness => Some(json!({
                "verify.max-staleness-ms": 3_600_000,
                "issue.max-isolation": 3_600,
                "verify.max-isolation": 3_600,
            })),
            Self::SlowCircle => Some(json!({ "circle.max-staleness-ms": 600_000 })),
            Self::ShyNodes => Some(json!({ "issue.max-isolation": 1, "verify.max-isolation": 1 })),
            Self::LostSync
            | Self::HollowAnswers
            | Self::KeptSecrets
            | Self::NoNewGeneration
            | Self::SecondMaster => None,
        }
    }

    /// Whatever else brings it about, while the clients are at work.
    pub(crate) fn begin(self, workload: &Arc<Workload>) {
        match self {
            Self::HollowAnswers | Self::KeptSecrets => workload.hollow(),
            Self::SecondMaster => drop(tokio::spawn(Arc::clone(workload).undermine())),
            Self::LostSync
            | Self::LaxFreshness
            | Self::NoNewGeneration
            | Self::ShyNodes
            | Self::SlowCircle => {}
        }
    }
}

/// Changes settings of the cluster, through its first node.
pub(crate) async fn set(workload: &Workload, settings: &Value) -> Result<(), String> {
    let nodes = workload.lab.nodes();
    let first = nodes.first().ok_or("a lab without nodes")?;
    let (url, admin) = (format!("{}/circlet/v1/config", first.url), workload.admin());
    let answer = workload.client.send(Method::PATCH, url, Shown::Token(&admin.text), Some(settings)).await;
    match answer {
        Some(answer) if answer.status == 200 => Ok(()),
        answer => Err(format!("the settings could not be changed: {answer:?}")),
    }
}
