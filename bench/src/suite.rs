//! The workloads in their order: each leaves what the next one needs.

use std::time::Duration;

use hyper::Method;

use crate::cluster::Cluster;
use crate::connection::{Call, Connection};
use crate::load::{self, Client, Measured};
use crate::workload::{Create, Keep, Kind, Pool, Refresh, Revoke, Verify};

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The workload.
    pub(crate) work: Work,
    /// How many clients ran it at once.
    pub(crate) clients: usize,
    /// What came of it.
    pub(crate) measured: Measured,
}

/// The workloads that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A plain token from any node.
    IssuePlain,
    /// A token that this node has not verified before.
    VerifyFirst,
    /// The same token again.
    VerifyRepeated,
    /// A recorded token.
    CreateRecorded,
    /// Revoking a recorded token by its id.
    Revoke,
    /// Refreshing a pair.
    Refresh,
}

impl Work {
    /// The name in the table and in the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IssuePlain => "issue plain",
            Self::VerifyFirst => "verify first sight",
            Self::VerifyRepeated => "verify repeated",
            Self::CreateRecorded => "create recorded",
            Self::Revoke => "revoke",
            Self::Refresh => "refresh",
        }
    }

    /// Whether the work that nobody can avoid is a verification; otherwise it is a signature.
    pub(crate) fn is_verification(self) -> bool {
        matches!(self, Self::VerifyFirst | Self::VerifyRepeated)
    }
}

/// Why the workloads could not be run.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub(crate) struct SuiteError {
    what: &'static str,
    why: String,
}

/// Runs all workloads with one number of clients, each for at most `time`.
pub(crate) async fn run(cluster: &Cluster, clients: usize, time: Duration) -> Result<Vec<Row>, SuiteError> {
    let suite = Suite { cluster, clients, time };
    let mut rows = suite.verify().await?;
    rows.extend(suite.record().await);
    let pairs = suite.pairs().await?;
    rows.push(
        suite
            .row(Work::Refresh, |_| {
                Box::new(Refresh::from(pairs.take().unwrap_or_default())) as Box<dyn Client>
            })
            .await,
    );
    Ok(rows)
}

/// Runs those that issue plain tokens and verify them.
pub(crate) async fn verify(
    cluster: &Cluster,
    clients: usize,
    time: Duration,
) -> Result<Vec<Row>, SuiteError> {
    Suite { cluster, clients, time }.verify().await
}

/// Runs those that record tokens and revoke them.
pub(crate) async fn record(cluster: &Cluster, clients: usize, time: Duration) -> [Row; 2] {
    Suite { cluster, clients, time }.record().await
}

struct Suite<'a> {
    cluster: &'a Cluster,
    clients: usize,
    time: Duration,
}

impl Suite<'_> {
    async fn row(&self, work: Work, client: impl Fn(usize) -> Box<dyn Client>) -> Row {
        let clients = (0..self.clients).map(client).collect();
        let measured = load::run(self.cluster, clients, self.time).await;
        Row { work, clients: self.clients, measured }
    }

    async fn create(&self, work: Work, kind: Kind, keep: Keep, pool: &Pool) -> Row {
        let token = &self.cluster.admin_token;
        self.row(work, |_| Box::new(Create::new(token, kind, keep, pool, usize::MAX))).await
    }

    async fn verify(&self) -> Result<Vec<Row>, SuiteError> {
        let plain = Pool::default();
        let mut rows = vec![self.create(Work::IssuePlain, Kind::Plain, Keep::AccessToken, &plain).await];
        let again = plain.take().ok_or_else(|| nothing("a plain token", &rows))?;
        rows.push(self.row(Work::VerifyFirst, |_| Box::new(Verify::Each(plain.clone()))).await);
        rows.push(self.row(Work::VerifyRepeated, |_| Box::new(Verify::Same(again.clone()))).await);
        Ok(rows)
    }

    async fn record(&self) -> [Row; 2] {
        let ids = Pool::default();
        let created = self.create(Work::CreateRecorded, Kind::Recorded, Keep::Id, &ids).await;
        let revoke = |_| -> Box<dyn Client> {
            Box::new(Revoke { admin_token: self.cluster.admin_token.clone(), ids: ids.clone() })
        };
        [created, self.row(Work::Revoke, revoke).await]
    }

    /// One refreshable pair for each client.
    async fn pairs(&self) -> Result<Pool, SuiteError> {
        let pool = Pool::default();
        let token = &self.cluster.admin_token;
        let row = self
            .row(Work::Refresh, |_| Box::new(Create::new(token, Kind::Refreshable, Keep::Pair, &pool, 1)))
            .await;
        if pool.len() == self.clients { Ok(pool) } else { Err(nothing("refreshable pairs", &[row])) }
    }
}

fn nothing(what: &'static str, rows: &[Row]) -> SuiteError {
    let why = rows.iter().find_map(|row| row.measured.first_failure.clone());
    SuiteError { what, why: why.unwrap_or_else(|| "no request was answered in time".to_owned()) }
}

/// Makes the group that the tokens are scoped to; it may be there already.
pub(crate) async fn prepare(cluster: &Cluster) -> Result<(), SuiteError> {
    let node = &cluster.nodes[0];
    let call = Call {
        method: Method::PUT,
        path: "/artifactory/api/security/groups/readers".to_owned(),
        bearer: Some(cluster.admin_token.clone()),
        body: Some(("application/json", r#"{"name":"readers"}"#.into())),
    };
    let failed = |why: String| SuiteError { what: "cannot make the group readers", why };
    let reply =
        Connection::to(&node.authority).send(&call).await.map_err(|error| failed(error.to_string()))?;
    if reply.status.is_success() || reply.status.as_u16() == 409 {
        return Ok(());
    }
    Err(failed(format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body))))
}
