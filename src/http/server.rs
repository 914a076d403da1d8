//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them, with a bound on everything a client can take.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::admission::Client;
use super::edge::Edge;
use super::places::Places;
use super::prompt::Prompt;
use super::router::App;
use crate::home::settings::ConnectionsMax;
use crate::metrics::{Counts, Full};

/// What a client is told that finds no place. One that begins with TLS is hung up on: a handshake costs more than it.
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";
/// Whoever looks at the metrics needs few.
const METRICS_CONNECTIONS_MAX: usize = 64;
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
    let (counts, places) = (edge.counts.clone(), edge.places());
    accept(listener, tls, App::all(edge), (places, counts), stop).await;
}

/// Serves the page of metrics and nothing else, to whoever can connect, until `stop` is cancelled.
pub async fn serve_metrics(listener: TcpListener, edge: Arc<Edge>, stop: CancellationToken) {
    // Who looks at the node is no client of it.
    let places =
        Places::new(ConnectionsMax { all: METRICS_CONNECTIONS_MAX, per_address: usize::MAX }, Vec::new());
    accept(listener, None, App::metrics(edge), (places, Counts::default()), stop).await;
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: App,
    (places, counts): (Places, Counts),
    stop: CancellationToken,
) {
    loop {
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
        let place = match places.take(peer.ip()) {
            Ok(place) => place,
            Err(full) => {
                counts.refused(full);
                turn_away(&socket, tls.is_some());
                continue;
            }
        };
        let counts = counts.clone();
        tokio::spawn(async move {
            let connected = counts.connected();
            let client = Client::new(peer, Arc::clone(&place.seat));
            tokio::select! {
                ended = connection(socket, client, tls, app, stop) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, %peer, "client connection ended");
                    }
                }
                () = place.seat.is_asked_back() => counts.refused(Full::All),
            }
            drop((connected, place));
        });
    }
    drop(listener);
    // Every served connection has a place: all of them free means that all have ended.
    if timeout(DRAIN_TIMEOUT, places.all_free()).await.is_err() {
        tracing::info!("stopped with client connections still open");
    }
}

/// Says that there is no place, as far as that costs nothing: what the socket doesn't take at once is not said.
fn turn_away(socket: &TcpStream, tls: bool) {
    if !tls {
        let _ = socket.try_write(NO_PLACE);
    }
}

async fn connection(
    socket: TcpStream,
    client: Client,
    tls: Option<TlsAcceptor>,
    app: App,
    stop: CancellationToken,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    match tls {
        None => speak(socket, client, app, stop).await,
        Some(acceptor) => {
            let socket = timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(socket))
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
            speak(socket, client, app, stop).await
        }
    }
}

/// Serves one connection until either side ends it; when asked to stop, until the request under way is answered.
async fn speak<S>(socket: S, client: Client, app: App, stop: CancellationToken) -> io::Result<()>
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
    let service = service_fn(move |request| {
        let (app, client) = (app.clone(), client.clone());
        async move { Ok::<_, Infallible>(app.answer(request, &client).await) }
    });
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
