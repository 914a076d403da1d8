//! `circlet doctor`: looks at a home, at the machine around it and at the other nodes, and says what to do.
//!
//! | module | looks at |
//! |---|---|
//! | `files` | settings, identity, who may read what |
//! | `disk` | room, and how long a write takes to be durable |
//! | `certificates` | when they end, and whether keys fit them |
//! | `floor` | whether the revocation floor is there, and would prove anything |
//! | `nodes` | this node and the others: whether they answer, what they lack, what time they have |
//!
//! It needs neither a credential nor a node that runs: it reads the home as its owner does, and asks others what they
//! tell everybody.

mod certificates;
mod disk;
mod files;
mod floor;
mod nodes;

use std::path::Path;

use serde::Serialize;

use crate::home::Paths;
pub(crate) use nodes::KnownMember;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Something doesn't work, or soon won't.
    Problem,
    /// Something works, and could be better.
    Warning,
    /// All is well.
    Fine,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `settings`, `files`, `disk`, `certificates`, `revocation floor`, `clock`, `node`, `peers`.
    pub area: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn fine(area: &'static str, found: impl Into<String>) -> Self {
        Self { area, verdict: Verdict::Fine, found: found.into(), remedy: None }
    }

    fn warning(area: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { area, verdict: Verdict::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn problem(area: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { area, verdict: Verdict::Problem, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Looks at everything, the worst first.
pub async fn examine(home: &Path) -> Vec<Finding> {
    let paths = Paths::new(home);
    let mut findings = Vec::new();
    let settings = files::settings(&paths, &mut findings);
    files::modes(&paths, &mut findings);
    disk::look(&paths, settings.as_ref(), &mut findings);
    certificates::look(&paths, settings.as_ref(), &mut findings);
    floor::look(&paths, settings.as_ref(), &mut findings);
    nodes::look(&paths, settings.as_ref(), &mut findings).await;
    findings.sort_by_key(|finding| finding.verdict);
    findings
}
