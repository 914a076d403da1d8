//! Where others than peers come in, and what the process asks of the system for that.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::ServeError;
use crate::home::settings::NodeSettings;

/// Where others than peers come in.
pub(super) struct Doors {
    pub(super) clients: TcpListener,
    pub(super) metrics: Option<TcpListener>,
}

impl Doors {
    pub(super) async fn open(settings: &NodeSettings) -> Result<Self, ServeError> {
        let metrics = match settings.metrics_listen {
            Some(address) => Some(listen(address, "metrics.listen").await?),
            None => None,
        };
        Ok(Self { clients: listen(settings.http_listen, "http.listen").await?, metrics })
    }
}

async fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_string(), setting, source };
    TcpListener::bind(address).await.map_err(failed)
}

/// A core dump would hold every secret of the cluster.
pub(super) fn forbid_core_dumps() -> Result<(), ServeError> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|error| ServeError::System { doing: "forbid core dumps", source: error.into() })
}

/// Asks for as many open files as the process may have, and says how many those are.
pub(super) fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it can't be raised, there are fewer places for clients.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_ok();
    if raised { limit.maximum } else { limit.current }.unwrap_or(u64::MAX)
}
