//! What a long list of revoked ids costs a node: memory, verifying, and the time until it serves again after a start.
//! The same node is measured before it has them and with them.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::process;
use crate::started::{self, Started};
use crate::suite::{self, Work};
use crate::target::Target;

/// A node that takes longer to serve has failed.
const READY_WITHIN: Duration = Duration::from_mins(5);

/// A node as it was found.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// From its start until it served.
    ready: Duration,
    /// Its memory then, in bytes.
    resident: u64,
    /// What it used for verifying a token that it had not seen.
    verification: Duration,
}

/// How a node is started, filled, and asked.
pub(crate) struct Revoked<'a> {
    /// A cluster of one; its node is stopped.
    pub(crate) cluster: Cluster,
    /// The circlet program.
    pub(crate) program: &'a Path,
    /// The program that fills a home with revoked ids.
    pub(crate) fill: &'a Path,
    /// How many.
    pub(crate) ids: u64,
    /// How many clients verify at once.
    pub(crate) clients: usize,
    /// How long, at most.
    pub(crate) time: Duration,
}

impl Revoked<'_> {
    /// Measures, fills, and measures again. The figures beside the targets.
    pub(crate) async fn run(mut self) -> Result<Vec<Target>, Box<dyn Error>> {
        let without = self.measure().await?;
        let home = &self.cluster.nodes[0].home;
        let filled = Command::new(self.fill).args([home, &self.ids.to_string()]).status()?;
        if !filled.success() {
            return Err(format!("{} ended with {filled}", self.fill.display()).into());
        }
        let with = self.measure().await?;
        let more = with.resident.saturating_sub(without.resident);
        Ok(vec![
            Target::at_most(
                "revoked ids: verification, x an empty list",
                1.1,
                Some(with.verification.as_secs_f64() / without.verification.as_secs_f64()),
            ),
            Target::at_most("revoked ids: bytes of memory each", 64.0, Some(ratio(more, self.ids))),
            Target::at_most(
                "revoked ids: seconds until a started node serves",
                15.0,
                Some(with.ready.as_secs_f64()),
            ),
        ])
    }

    async fn measure(&mut self) -> Result<Found, Box<dyn Error>> {
        let begun = Instant::now();
        let _running = Started::start(self.program, &mut self.cluster.nodes[0])?;
        let node = &self.cluster.nodes[0];
        started::ready(node, READY_WITHIN).await?;
        let ready = begun.elapsed();
        let resident = process::resident_bytes(node.pid).ok_or("the node is gone")?;
        suite::prepare(&self.cluster).await?;
        let rows = suite::verify(&self.cluster, self.clients, self.time).await?;
        let verification = rows
            .iter()
            .find(|row| row.work == Work::VerifyFirst)
            .and_then(|row| row.measured.server_cpu_per_request())
            .ok_or("nothing was verified")?;
        Ok(Found { ready, resident, verification })
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes and ids are far below 2^52")]
fn ratio(bytes: u64, ids: u64) -> f64 {
    bytes as f64 / ids.max(1) as f64
}
