//! Accepting connections: who may come in, and how many at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::bytes::Bytes;

use crate::failure::{Dismissed, NotWelcome};
use crate::network::wire::{Hello, Welcome, decode_greeting, encode};
use crate::network::{Channel, Lane};
use crate::transport::tls::{Credentials, public_key_digest};
use crate::transport::{Frames, GREETING_BYTES_MAX, JOIN_LABEL, channel, frames};
use crate::types::NodeId;

/// Handshakes under way at once; more wait in the system's queue.
const HANDSHAKES_MAX: usize = 64;

/// A stranger's request may take this long: the cluster has to decide.
const ADMISSION: Duration = Duration::from_secs(15);

/// So much of what a stranger calls its cluster is repeated in the log.
const SHOWN_CHARS_MAX: usize = 64;

/// A stranger's place is taken for this much longer than its request: that bounds how often strangers may ask.
const PAUSE: Duration = Duration::from_millis(250);

/// Who decides about those that come in.
pub(crate) trait Doorman: Send + Sync + 'static {
    /// Whether a node that has proved a key is let in.
    fn welcomes(&self, id: NodeId, key: [u8; 32]) -> Result<(), NotWelcome>;
    /// Serves a member's connection until it ends.
    fn serve(&self, from: NodeId, lane: Lane, channel: Channel) -> BoxFuture<'static, ()>;
    /// Answers a stranger's one request.
    fn admit(&self, exporter: [u8; 32], request: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

/// The peer port.
pub(crate) struct Listener<D> {
    listener: TcpListener,
    door: Arc<Door<D>>,
}

struct Door<D> {
    acceptor: TlsAcceptor,
    doorman: D,
    me: NodeId,
    service_id: String,
    generation: u64,
    frame_bytes_max: usize,
    greeting: Duration,
    strangers: Semaphore,
}

/// What the listener is told about us.
pub(crate) struct Listening {
    pub(crate) me: NodeId,
    pub(crate) service_id: String,
    pub(crate) generation: u64,
    pub(crate) frame_bytes_max: usize,
    pub(crate) greeting: Duration,
    pub(crate) strangers_max: usize,
}

impl<D: Doorman> Listener<D> {
    pub(crate) fn new(
        listener: TcpListener,
        credentials: &Credentials,
        listening: Listening,
        doorman: D,
    ) -> Result<Self, String> {
        let config: ServerConfig = credentials.server().map_err(|error| error.to_string())?;
        let door = Door {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            doorman,
            me: listening.me,
            service_id: listening.service_id,
            generation: listening.generation,
            frame_bytes_max: listening.frame_bytes_max,
            greeting: listening.greeting,
            strangers: Semaphore::new(listening.strangers_max),
        };
        Ok(Self { listener, door: Arc::new(door) })
    }

    /// Accepts until it is dropped.
    pub(crate) async fn run(self) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let door = Arc::clone(&self.door);
                    tokio::spawn(async move {
                        let greeted = tokio::time::timeout(door.greeting, door.greet(stream)).await;
                        drop(permit);
                        match greeted {
                            Ok(Ok(greeted)) => door.let_in(greeted).await,
                            Ok(Err(reason)) => tracing::debug!(%from, reason, "connection refused"),
                            Err(_) => tracing::debug!(%from, "connection refused: too slow"),
                        }
                    });
                }
                // Out of descriptors, most likely: let some go before the next.
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    pub(crate) fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Why a peer isn't let in.
struct Refusal {
    /// What it hears.
    told: Welcome,
    /// What our log says.
    noted: String,
}

/// A connection whose first frame has been read.
struct Greeted {
    frames: Frames<TlsStream<TcpStream>>,
    hello: Hello,
    key: [u8; 32],
}

impl<D: Doorman> Door<D> {
    async fn greet(&self, stream: TcpStream) -> Result<Greeted, String> {
        let text = |error: std::io::Error| error.to_string();
        stream.set_nodelay(true).map_err(text)?;
        let stream = self.acceptor.accept(stream).await.map_err(text)?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = certificates.first().ok_or("no certificate was shown")?;
        let key = public_key_digest(certificate)?;
        let mut frames = frames(stream, GREETING_BYTES_MAX);
        let frame = frames.next().await.ok_or("closed without a word")?.map_err(text)?;
        let hello: Hello = decode_greeting(&frame).map_err(text)?;
        Ok(Greeted { frames, hello, key })
    }

    async fn let_in(&self, greeted: Greeted) {
        let from = greeted.hello.from;
        if greeted.hello.lane == Lane::Join {
            match tokio::time::timeout(ADMISSION, self.let_a_stranger_ask(greeted)).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => tracing::debug!(reason, "request to join ended"),
                Err(_) => tracing::debug!("request to join took too long"),
            }
            return;
        }
        let Greeted { mut frames, hello, key } = greeted;
        let (welcome, refusal) = match self.check(&hello, key) {
            Ok(()) => (Welcome::Yes, None),
            Err(Refusal { told, noted }) => (told, Some(noted)),
        };
        let Ok(frame) = encode(&welcome) else { return };
        let told = tokio::time::timeout(self.greeting, frames.send(frame)).await;
        match (refusal, told) {
            (None, Ok(Ok(()))) => {
                self.doorman.serve(from, hello.lane, channel(frames, self.frame_bytes_max)).await;
            }
            (Some(reason), _) => tracing::warn!(from, reason, "peer refused"),
            (None, _) => tracing::debug!(from, "a peer left before it was welcomed"),
        }
    }

    /// Who holds the key that is recorded for its id is told what is wrong; a stranger hears nothing about us.
    fn check(&self, hello: &Hello, key: [u8; 32]) -> Result<(), Refusal> {
        let known = self.doorman.welcomes(hello.from, key);
        let elsewhere = self.is_meant(hello).err();
        match (known, elsewhere) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(reason)) => Err(Refusal { told: Welcome::No(reason.clone()), noted: reason }),
            (Err(NotWelcome::Dismissed(why)), None) => Err(Refusal {
                told: match why {
                    Dismissed::Removed { index } => Welcome::Removed { index },
                    Dismissed::SetBack => Welcome::SetBack,
                    // Nobody is refused for it: it is told to whoever is reached, and not to whoever comes.
                    Dismissed::Superseded { .. } => Welcome::No(why.to_string()),
                },
                noted: why.to_string(),
            }),
            (Err(error), None) => {
                Err(Refusal { told: Welcome::No(error.to_string()), noted: error.to_string() })
            }
            (Err(error), Some(reason)) => Err(Refusal {
                noted: format!("{error}; {reason}"),
                told: Welcome::No(format!("node {} is not a member", hello.from)),
            }),
        }
    }

    /// Whether a greeting is for us.
    fn is_meant(&self, hello: &Hello) -> Result<(), String> {
        if hello.service_id != self.service_id {
            let theirs: String = hello.service_id.chars().take(SHOWN_CHARS_MAX).collect();
            return Err(format!("this is {}, not {theirs:?}", self.service_id));
        }
        if hello.generation != self.generation {
            return Err(format!("this is generation {}, not {}", self.generation, hello.generation));
        }
        if hello.to != self.me {
            return Err(format!("this is node {}, not {}", self.me, hello.to));
        }
        Ok(())
    }

    async fn let_a_stranger_ask(&self, greeted: Greeted) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let Greeted { mut frames, .. } = greeted;
        let Ok(_permit) = self.strangers.try_acquire() else {
            let no = Welcome::No("too many ask at once; try again".to_owned());
            return frames.send(encode(&no).map_err(text)?).await.map_err(text);
        };
        let exporter = frames.get_ref().get_ref().1.export_keying_material([0; 32], JOIN_LABEL, None);
        let exporter = exporter.map_err(|error| error.to_string())?;
        let request = frames.next().await.ok_or("closed without a request")?.map_err(text)?;
        match self.doorman.admit(exporter, request.to_vec()).await {
            Ok(answer) => {
                frames.send(encode(&Welcome::Yes).map_err(text)?).await.map_err(text)?;
                frames.send(Bytes::from(answer)).await.map_err(text)?;
            }
            Err(reason) => frames.send(encode(&Welcome::No(reason)).map_err(text)?).await.map_err(text)?,
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Identity;

    const OURS: [u8; 32] = [1; 32];

    /// Knows node 2.
    struct Knows;

    impl Doorman for Knows {
        fn welcomes(&self, id: NodeId, key: [u8; 32]) -> Result<(), NotWelcome> {
            match (id, key == OURS) {
                (2, true) => Ok(()),
                (4, true) => Err(NotWelcome::Dismissed(Dismissed::Removed { index: 70 })),
                _ => Err(NotWelcome::Stranger(format!("node {id} is not a member"))),
            }
        }
        fn serve(&self, _: NodeId, _: Lane, _: Channel) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
        fn admit(&self, _: [u8; 32], _: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
            Box::pin(std::future::ready(Err(String::new())))
        }
    }

    fn door() -> Door<Knows> {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let identity = Identity {
            node_id: 1,
            certificate_chain: vec![certificate.der().to_vec()],
            private_key: key.serialize_der().into(),
            service_id: "jfrt@01ours".to_owned(),
            generation: 1,
        };
        let config = Credentials::new(&identity).unwrap().server().unwrap();
        Door {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            doorman: Knows,
            me: 1,
            service_id: identity.service_id,
            generation: 1,
            frame_bytes_max: 1 << 20,
            greeting: Duration::from_secs(1),
            strangers: Semaphore::new(1),
        }
    }

    fn told(refusal: &Refusal) -> &str {
        match &refusal.told {
            Welcome::No(reason) => reason,
            Welcome::Yes | Welcome::Removed { .. } | Welcome::SetBack => "",
        }
    }

    fn hello(service_id: &str) -> Hello {
        Hello { service_id: service_id.to_owned(), generation: 1, from: 2, to: 1, lane: Lane::Calls }
    }

    #[test]
    fn a_stranger_hears_nothing_about_us_and_fills_no_log() {
        let door = door();
        assert!(door.check(&hello("jfrt@01ours"), OURS).is_ok());
        let refusal = door.check(&hello(&"x".repeat(60_000)), [9; 32]).unwrap_err();
        assert!(!told(&refusal).contains("01ours"), "{}", told(&refusal));
        assert!(
            refusal.noted.contains("01ours") && refusal.noted.len() < 300,
            "{} bytes",
            refusal.noted.len()
        );
        let refusal = door.check(&Hello { from: 3, ..hello("jfrt@01theirs") }, OURS).unwrap_err();
        assert_eq!(told(&refusal), "node 3 is not a member");
    }

    #[test]
    fn only_who_holds_the_key_of_a_removed_node_hears_that_it_was_removed() {
        let door = door();
        let removed = Hello { from: 4, ..hello("jfrt@01ours") };
        let refusal = door.check(&removed, OURS).unwrap_err();
        assert!(matches!(refusal.told, Welcome::Removed { index: 70 }));
        let refusal = door.check(&removed, [9; 32]).unwrap_err();
        assert_eq!(told(&refusal), "node 4 is not a member");
        let refusal = door.check(&Hello { generation: 2, ..removed }, OURS).unwrap_err();
        assert_eq!(told(&refusal), "node 4 is not a member", "another generation may know it still");
    }

    #[test]
    fn a_member_hears_what_is_wrong() {
        let refusal = door().check(&hello("jfrt@01theirs"), OURS).unwrap_err();
        assert_eq!(told(&refusal), "this is jfrt@01ours, not \"jfrt@01theirs\"");
        let refusal = door().check(&Hello { generation: 2, ..hello("jfrt@01ours") }, OURS).unwrap_err();
        assert!(told(&refusal).contains("generation 1, not 2"), "{}", told(&refusal));
    }
}
