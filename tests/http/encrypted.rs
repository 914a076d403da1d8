//! Floods of garbage where clients speak TLS: in place of it, below it, and in HTTP/2, which is served there and, to who
//! begins with it, also without TLS. Plain tokens are verified meanwhile, and memory stays bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::flooding::Flooding;
use crate::server::{PASSWORD, Server};

/// A node under these floods stays below this, in a debug build: it takes some 90 MiB at rest.
const RESIDENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Connections of each kind of flood, one after another in each of the lanes.
const CONNECTIONS: usize = 60;
/// One connection pours for no longer than this: a node that stops reading must not hold up the flood.
const POUR: Duration = Duration::from_secs(1);

/// What begins HTTP/2, and settings that ask for nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// One frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What is poured over a connection, by name.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let garbage: Vec<u8> = (0..=255_u8).cycle().map(|byte| byte.wrapping_mul(167)).take(200_000).collect();
    let http2 = |frames: Vec<u8>| [PREFACE, &frames].concat();
    let many = |frame: &[u8]| frame.repeat(400_000 / frame.len());
    // GET / of no authority, in the static table of HPACK.
    let get = [0x82, 0x84, 0x86];
    let reset = |number: u32| {
        let stream = 2 * number + 1;
        [frame(1, 0x5, stream, &get), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let unfinished = [frame(1, 0x1, 1, &get), many(&frame(9, 0, 1, &[0x40; 1_000]))].concat();
    vec![
        ("garbage", garbage.clone()),
        ("garbage in HTTP/2", http2(garbage)),
        ("pings", http2(many(&frame(6, 0, 0, &[7; 8])))),
        ("settings", http2(many(&frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])))),
        ("streams that are reset at once", http2((0..10_000).flat_map(reset).collect())),
        ("headers without an end", http2(unfinished)),
        ("streams without a body", http2((0..10_000).flat_map(|n| frame(1, 0x4, 2 * n + 1, &get)).collect())),
    ]
}

/// Pours bytes and reads nothing until the end; the node may hang up before all of it is sent.
async fn pour(mut socket: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    let pouring = async {
        if socket.write_all(bytes).await.is_ok() {
            let _ = socket.shutdown().await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    };
    let _ = tokio::time::timeout(POUR, pouring).await;
}

/// The flood's side of TLS, which offers both versions of HTTP.
fn connector(ca: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(ca).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn flood(to: SocketAddr, tls: Option<TlsConnector>, bytes: Vec<u8>) {
    let name = ServerName::IpAddress(to.ip().into());
    for _ in 0..CONNECTIONS {
        let Ok(socket) = TcpStream::connect(to).await else { continue };
        match &tls {
            None => pour(socket, &bytes).await,
            Some(tls) => {
                if let Ok(socket) = tls.connect(name.clone(), socket).await {
                    pour(socket, &bytes).await;
                }
            }
        }
    }
}

/// A client that the flood must not keep out.
struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    async fn of(server: &Server, ca: &[u8]) -> Self {
        let ca = reqwest::Certificate::from_pem(ca).unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
        let url = server.url.clone();
        let create = http.post(format!("{url}/access/api/v1/tokens")).basic_auth("admin", Some(PASSWORD));
        let created: Value =
            create.json(&json!({"expires_in": 3600})).send().await.unwrap().json().await.unwrap();
        let token = created["access_token"].as_str().unwrap().to_owned();
        Self { http, url, token }
    }

    async fn assert_verifies(&self, during: &str) {
        let verify = self.http.get(format!("{}/circlet/v1/verify", self.url)).bearer_auth(&self.token);
        let verified = verify.send().await.unwrap();
        assert_eq!(verified.status(), 200, "{during}: {}", verified.text().await.unwrap());
    }
}

async fn assert_stands(server: &Server, client: &Client, to: SocketAddr, tls: Option<&TlsConnector>) {
    for (what, bytes) in floods() {
        let during = format!("{what}, {}", if tls.is_some() { "under TLS" } else { "in place of TLS" });
        let mut flooding = tokio::spawn(flood(to, tls.cloned(), bytes));
        while !flooding.is_finished() {
            client.assert_verifies(&during).await;
            let resident = server.resident_bytes();
            assert!(resident < RESIDENT_BYTES_MAX, "{during}: {resident} bytes are resident");
            // Until the next look, or the end of the flood.
            let _ = tokio::time::timeout(Duration::from_millis(20), &mut flooding).await;
        }
    }
}

#[tokio::test]
async fn floods_of_garbage_under_tls_and_in_http_2_take_little_memory_and_keep_no_token_out() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = Server::start_with("http.tls: cluster\n");
    let ca = std::fs::read(server.home().join("etc/security/ca.crt")).unwrap();
    let client = Client::of(&server, &ca).await;
    let to: SocketAddr = server.url.strip_prefix("https://").unwrap().parse().unwrap();
    let tls = connector(&ca);
    let flooding = Flooding::begin();
    loop {
        assert_stands(&server, &client, to, None).await;
        assert_stands(&server, &client, to, Some(&tls)).await;
        if flooding.is_over() {
            break;
        }
    }
    client.assert_verifies("the floods are over").await;
}
