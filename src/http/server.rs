//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them, with a bound on everything a client can take.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::edge::Edge;
use super::prompt::Prompt;
use super::router;

/// Connections served at a time; more wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 8192;
/// A TLS handshake that takes longer is dropped.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's headers must have arrived by then; also bounds an idle connection.
const HEADERS_TIMEOUT: Duration = Duration::from_mins(1);
/// What a request's headers may take, in bytes: the largest token and some cookies of a proxy.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Requests at a time on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 256;
/// When asked to stop, how long requests under way may take to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// After accept has failed (no file descriptors left), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is cancelled, then lets the requests under way finish for a few seconds.
///
/// Without `tls` it speaks plain HTTP; whether that is allowed here is the caller's decision.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    edge: Arc<Edge>,
    stop: CancellationToken,
) {
    let app = router::app(edge);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a client connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, app, stop) = (tls.clone(), app.clone(), stop.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(socket, peer, tls, app, stop).await {
                tracing::debug!(%error, %peer, "client connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    // Every served connection holds a slot: all of them free means that all have ended.
    let all = u32::try_from(CONNECTIONS_MAX).expect("a small constant");
    if timeout(DRAIN_TIMEOUT, slots.acquire_many(all)).await.is_err() {
        tracing::info!("stopped with client connections still open");
    }
}

async fn connection(
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    app: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    match tls {
        None => speak(socket, peer, app, stop).await,
        Some(acceptor) => {
            let socket = timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(socket))
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
            speak(socket, peer, app, stop).await
        }
    }
}

/// Serves one connection until either side ends it; when asked to stop, until the request under way is answered.
async fn speak<S>(socket: S, peer: SocketAddr, app: Router, stop: CancellationToken) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(HEADERS_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .keep_alive_interval(HEADERS_TIMEOUT)
        .max_header_list_size(u32::try_from(HEADERS_BYTES_MAX).expect("a small constant"));
    let service = TowerToHyperService::new(Extension(ConnectInfo(peer)).layer(app));
    let socket = Prompt::new(socket, HEADERS_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(io::Error::other)
}
