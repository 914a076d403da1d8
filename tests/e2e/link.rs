//! A link that can be cut: connections to it go on to a node, or end.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What stands between a cluster and the nodes of another.
pub(crate) struct Link {
    pub(crate) url: String,
    up: watch::Sender<bool>,
}

impl Link {
    /// A way to the node at this address.
    pub(crate) async fn to(url: &str) -> Self {
        let target: SocketAddr = url.trim_start_matches("http://").parse().expect("a node's address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (up, seen) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                tokio::spawn(carry(here, target, seen.clone()));
            }
        });
        Self { url, up }
    }

    /// Ends what is under way, and whatever comes.
    pub(crate) fn cut(&self) {
        self.up.send_replace(false);
    }

    /// Lets through again.
    pub(crate) fn mend(&self) {
        self.up.send_replace(true);
    }
}

/// An address at which first some other node answers, once, and then always the right one.
pub(crate) async fn misled_once(wrong: &str, right: &str) -> String {
    let [wrong, right] =
        [wrong, right].map(|address| address.parse::<SocketAddr>().expect("a node's address"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let (_up, seen) = watch::channel(true);
        let mut targets = std::iter::once(wrong).chain(std::iter::repeat(right));
        while let (Ok((here, _)), Some(target)) = (listener.accept().await, targets.next()) {
            tokio::spawn(carry(here, target, seen.clone()));
        }
    });
    address
}

async fn carry(mut here: TcpStream, target: SocketAddr, mut up: watch::Receiver<bool>) {
    if !*up.borrow_and_update() {
        return;
    }
    let Ok(mut there) = TcpStream::connect(target).await else { return };
    tokio::select! {
        // Either side may end as it likes.
        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
        _ = up.wait_for(|up| !*up) => {}
    }
}
