//! Ports for tests, which no other test of this machine takes at the same time.
//!
//! Which ports are free is known only once they are bound, and the nodes bind them later. So a port is claimed first: the
//! claim is a socket in Linux' abstract namespace, which ends with the process that holds it and leaves nothing behind.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// They lie below those that the system gives out by itself: a node that is down for a while finds its own one free again.
const FIRST: u16 = 20_000;
const END: u16 = 32_000;

/// What this process has claimed, until it ends.
static CLAIMED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port of our own on which nobody listens.
#[allow(dead_code, reason = "some tests need several in a row only")]
pub(crate) fn free_port() -> u16 {
    consecutive_ports(1)
}

/// The first of several such ports in a row.
pub(crate) fn consecutive_ports(count: u16) -> u16 {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let steps = (END - FIRST) / count;
    // Every process begins somewhere else, which saves it from looking where others are.
    let begin = u16::try_from(std::process::id() % u32::from(steps)).expect("fewer than ports");
    for step in 0..steps {
        let first = FIRST + (begin + step) % steps * count;
        let claims: Option<Vec<UnixListener>> = (first..first + count).map(claim).collect();
        if let Some(claims) = claims {
            claimed.extend(claims);
            return first;
        }
    }
    unreachable!("thousands of ports are in use")
}

fn claim(port: u16) -> Option<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("circlet-test-port-{port}")).ok()?;
    let claim = UnixListener::bind_addr(&name).ok()?;
    TcpListener::bind(("127.0.0.1", port)).ok().map(|_free| claim)
}
