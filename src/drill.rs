//! `circlet drill`: an operator's failover test. Clients work on a running cluster at a stated rate while something
//! happens to it, and afterwards it is told what they noticed.
//!
//! | module | holds |
//! |---|---|
//! | `fleet` | the nodes, asked as a load balancer asks them: one after another until one answers |
//! | `load`, `writes` | what the clients do |
//! | `record` | what they were told, and when |
//! | `fault`, `process`, `partition` | what happens meanwhile |
//! | `elections` | who led |
//! | `aftermath` | what must still be so when all is over |
//! | `findings`, `timeline` | the report, and a picture of it |

mod aftermath;
mod elections;
mod fault;
mod findings;
mod fleet;
mod load;
mod partition;
mod process;
mod record;
mod timeline;
mod writes;

use std::sync::Arc;
use std::time::Duration;

pub use fault::Trouble;
pub use findings::{Findings, Objectives};

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::client::Client;
use elections::Watch;
use fleet::Fleet;
use record::Record;

/// What a drill is made from.
pub struct Plan {
    /// For so long the clients work at least; while something happens they go on.
    pub length: Duration,
    /// Requests of each operation a second.
    pub rate: u32,
    /// What happens, if the drill itself does it.
    pub trouble: Option<Trouble>,
    /// How long after the start of the load it happens.
    pub after: Duration,
    /// What must be kept beside what must always be so.
    pub objectives: Objectives,
}

/// Runs a drill against the cluster that `client` reaches, as the administrator that it shows.
pub async fn run(plan: &Plan, client: &Client, output: Output) -> Result<Findings, Failure> {
    let fleet = Arc::new(Fleet::muster(client).await?);
    output.say(&format!("{} nodes; the load runs for {} s", fleet.nodes().len(), plan.length.as_secs_f32()));
    let writes = writes::Writes::prepare(&fleet, plan.rate).await?;
    let record = Arc::new(Record::begin());
    let watch = Watch::begin(&fleet, &record);
    let load = load::Load::begin(&fleet, &record, &writes, plan.rate, plan.length);
    let happened = match &plan.trouble {
        None => fault::Happened::default(),
        Some(trouble) => {
            tokio::time::sleep(plan.after).await;
            fault::make(trouble, &fleet, &record, output).await?
        }
    };
    load.finish().await;
    record.end();
    output.say("the load has ended; looking at what is left of it");
    let left = aftermath::look(&fleet, &writes, &record, happened.killed_url.as_deref()).await;
    let elections = watch.end(&record);
    let findings = Findings::of(plan, &fleet, &record, elections, left, happened.still_alive());
    writes.tidy(&fleet).await;
    Ok(findings)
}
