//! Nodes that this program starts by itself.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};

use crate::cluster::Node;
use crate::connection::{Call, Connection};

/// How often a node is asked whether it is ready.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// A node that this program has started; it ends with it.
pub(crate) struct Started(Child);

impl Started {
    /// Starts the node, whose process changes.
    pub(crate) fn start(program: &Path, node: &mut Node) -> io::Result<Self> {
        let child = Command::new(program)
            .args(["serve", "--home", &node.home])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        node.pid = child.id();
        Ok(Self(child))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the node serves.
pub(crate) async fn ready(node: &Node, within: Duration) -> Result<(), String> {
    let call = Call { method: Method::GET, path: "/readyz".to_owned(), bearer: None, body: None };
    let start = Instant::now();
    while start.elapsed() < within {
        let reply = Connection::to(&node.authority).send(&call).await;
        if reply.is_ok_and(|reply| reply.status == StatusCode::OK) {
            return Ok(());
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    Err(format!("{} does not serve after {} s", node.authority, within.as_secs()))
}
