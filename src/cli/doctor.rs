//! `circlet doctor`: what is wrong with a node, and what to do.

use std::path::PathBuf;

use serde_json::json;

use super::failure::Failure;
use super::output::Output;
use crate::doctor::{self, Finding, Verdict};

/// Look at a node's home, its machine and its peers, and say what to do.
///
/// Needs no credential, and no node that runs: settings, who may read what, room and speed of the disk, certificates,
/// clocks, and which nodes answer. Ends with 1 if there is a problem.
#[derive(clap::Args)]
pub struct Doctor {
    /// The home directory of the node
    #[arg(long, value_name = "DIR", env = "CIRCLET_HOME")]
    home: PathBuf,
}

impl Doctor {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let findings = doctor::examine(&self.home).await;
        let problems = findings.iter().filter(|finding| finding.verdict == Verdict::Problem).count();
        output.result(&json!({"problems": problems, "findings": findings}), |_| for_people(&findings))?;
        match problems {
            0 => Ok(()),
            1 => Err(Failure::input("there is a problem")),
            many => Err(Failure::input(format!("there are {many} problems"))),
        }
    }
}

/// The worst first, each with what to do.
fn for_people(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let head = match finding.verdict {
            Verdict::Problem => "PROBLEM",
            Verdict::Warning => "warning",
            Verdict::Fine => "fine   ",
        };
        let line = format!("{head}  {:<12}  {}", finding.area, finding.found);
        finding
            .remedy
            .as_ref()
            .map_or(line.clone(), |remedy| format!("{line}\n                       -> {remedy}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}
