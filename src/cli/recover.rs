//! `circlet recover`: a cluster whose majority is gone for good begins again with one node that is left.

use std::path::PathBuf;

use serde_json::json;

use super::failure::Failure;
use super::output::Output;
use super::restore::{failure, result_of, what_lives_on};
use crate::node::recovering::{Recovered, Recovering, recover};

/// Begin the next generation of a cluster with this stopped node alone: the majority is gone for good.
#[derive(clap::Args)]
pub struct Recover {
    /// The home directory of the node that is left; it must be stopped
    #[arg(long, value_name = "DIR", env = "CIRCLET_HOME")]
    home: PathBuf,
    /// You vouch that the other nodes never come back: what only they had acknowledged is lost
    #[arg(long, required = true)]
    others_are_gone: bool,
    /// Don't ask the other nodes whether they live
    #[arg(long)]
    force: bool,
    /// Don't tell the other nodes that their generation is over: for a rehearsal with a copy of a home, whose cluster lives on
    #[arg(long)]
    tell_nobody: bool,
    /// Where all nodes kept their revocation floors: earlier access tokens live on, if these hold everything that was ever
    /// acknowledged; may be given several times
    #[arg(long, value_name = "DIR")]
    floor: Vec<PathBuf>,
}

impl Recover {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let shown = self.home.display().to_string();
        let (unasked, untold) = (self.force, self.tell_nobody);
        let recovered = recover(Recovering { home: self.home, unasked, untold, floors: self.floor })
            .await
            .map_err(failure)?;
        let mut result = result_of(&recovered.begun);
        result["given_up"] = json!(recovered.others);
        let to_erase = recovered.to_erase.iter().map(|(name, url)| json!({"name": name, "url": url}));
        result["to_erase"] = to_erase.collect();
        result["tells"] = json!(recovered.tells);
        result["last"] = json!(recovered.last);
        result["decided"] = json!(recovered.decided);
        result["kept"] = json!(recovered.begun.kept);
        output.result(&result, |_| story(&recovered))?;
        output.say(&format!(
            "run it with: circlet serve --home {shown}; others join anew, with `circlet cluster token` and an empty home"
        ));
        Ok(())
    }
}

fn story(recovered: &Recovered) -> String {
    let Recovered { begun, last, decided, others, tells, to_erase } = recovered;
    let to_erase: Vec<String> = to_erase.iter().map(|(name, url)| format!("{name} ({url})")).collect();
    let unsure = last.saturating_sub(*decided);
    format!(
        "cluster {} goes on with node {} alone, in generation {}; given up: {}\n\
         all that this node had is there, up to log entry {last}, {unsure} of them not known to be decided\n{}\n\
         the log of before is kept in {}, sealed under the master key of before\n\
         erase these homes: a majority of them is the cluster of before, and accepts what is refused here: {}\n{}",
        begun.service_id,
        begun.name,
        begun.generation,
        others.join(", "),
        what_lives_on(begun, "what only the others had acknowledged is lost"),
        begun.kept.display(),
        to_erase.join(", "),
        if *tells { TOLD } else { "they are not told, should they ever turn up (--tell-nobody)" },
    )
}

/// What becomes of those that turn up all the same.
const TOLD: &str = "should they turn up, this node tells them, as long as it serves and reaches them: each stops for good then \
                    (circlet cluster status shows who knows)";
