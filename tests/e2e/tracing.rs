//! One request as one trace: through the node that was asked to the leader, as a collector of traces sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Answer, Auth, Body};
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, PLAIN_SECS, TOKENS, create_body};

const CLIENT_SPAN: &str = "00f067aa0ba902b7";

/// A collector of traces: it takes whatever comes, and keeps it.
struct Collector {
    url: String,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    received: Mutex<Vec<Value>>,
    closed: AtomicBool,
}

/// One span, with the node that sent it.
#[derive(Debug, Clone)]
struct Span {
    node: String,
    name: String,
    id: String,
    parent: String,
    raw: Value,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inbox = Arc::new(Inbox::default());
        let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&inbox));
        tokio::spawn(serve(listener, app));
        Self { url, inbox }
    }

    /// The spans of a trace that have come so far.
    fn trace(&self, id: &str) -> Vec<Span> {
        let received = self.inbox.received.lock().unwrap_or_else(PoisonError::into_inner);
        let resources = received.iter().flat_map(|message| list(&message["resourceSpans"]));
        let spans = resources.flat_map(|resource| {
            let node = attribute(&resource["resource"], "service.instance.id");
            let scopes = list(&resource["scopeSpans"]).iter();
            scopes.flat_map(|scope| list(&scope["spans"])).map(move |span| Span {
                node: node.clone(),
                name: text(&span["name"]),
                id: text(&span["spanId"]),
                parent: text(&span["parentSpanId"]),
                raw: span.clone(),
            })
        });
        spans.filter(|span| span.raw["traceId"] == id).collect()
    }

    async fn span(&self, trace: &str, name: &str) -> Span {
        eventually(READY_WITHIN, &format!("the span {name}"), || async {
            self.trace(trace).into_iter().find(|span| span.name == name)
        })
        .await
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, message: Bytes) -> StatusCode {
    if inbox.closed.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let message = serde_json::from_slice(&message).expect("JSON");
    inbox.received.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    StatusCode::OK
}

async fn serve(listener: TcpListener, app: Router) {
    while let Ok((socket, _)) = listener.accept().await {
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // A node that has ended takes its connection along.
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn attribute(of: &Value, key: &str) -> String {
    let found = list(&of["attributes"]).iter().find(|attribute| attribute["key"] == key);
    found.map(|attribute| text(&attribute["value"]["stringValue"])).unwrap_or_default()
}

/// Creates a token in a trace of the client's.
async fn create_in(cluster: &Cluster, node: usize, trace: &str, flags: &str, seconds: u64) -> Answer {
    let traceparent = format!("00-{trace}-{CLIENT_SPAN}-{flags}");
    let headers = [("traceparent", traceparent.as_str())];
    let (auth, body) = (Auth::Token(&cluster.admin_token), Body::Json(create_body(seconds, false)));
    cluster.endpoint(node).ask_with(&headers, Method::POST, TOKENS, auth, body).await
}

#[tokio::test]
async fn a_write_through_a_follower_is_one_trace_up_to_the_leader_that_applies_it() {
    let collector = Collector::start().await;
    let settings =
        format!("tracing:\n  otlp-endpoint: {}\nlog:\n  level: info,circlet=debug\n", collector.url);
    let cluster = Cluster::start_with("three-node", &settings).await;
    let leader = cluster.leader(&cluster.all()).await;
    let follower = cluster.others(leader)[0];

    let (quiet, trace) = ("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(create_in(&cluster, follower, quiet, "00", LONG_SECS).await.status, 200);
    assert_eq!(create_in(&cluster, follower, trace, "01", LONG_SECS).await.status, 200);
    let name = |number: usize| format!("node-{}", number + 1);
    let edge = collector.span(trace, &format!("POST {TOKENS}")).await;
    let propose = collector.span(trace, "propose").await;
    let decide = collector.span(trace, "decide").await;
    assert_eq!((&edge.node, edge.parent.as_str()), (&name(follower), CLIENT_SPAN));
    assert_eq!(attribute(&edge.raw, "http.response.status_code"), "200");
    assert_eq!(edge.raw["kind"], 2);
    assert_eq!((&propose.node, &propose.parent), (&name(follower), &edge.id));
    assert_eq!(attribute(&propose.raw, "circlet.action"), "issuing a token");
    assert_eq!((&decide.node, &decide.parent), (&name(leader), &propose.id));
    for stage in ["check and stamp", "replicate and apply"] {
        let span = collector.span(trace, stage).await;
        assert_eq!((&span.node, &span.parent), (&name(leader), &decide.id), "{stage}");
        assert_eq!(span.raw["status"], json!({}));
    }
    assert_eq!(collector.trace(trace).len(), 5, "{:?}", collector.trace(trace));
    // Both nodes sent what came later.
    assert!(collector.trace(quiet).is_empty(), "the client wanted that trace unrecorded");

    let audit = cluster.home(follower).join("logs/access-security-audit.log");
    let audit = std::fs::read_to_string(audit).expect("the audit log");
    for trace in [quiet, trace] {
        assert!(audit.lines().any(|line| line.split('|').nth(1) == Some(trace)), "{trace} in {audit}");
    }
    a_refusal_names_the_trace(&cluster, follower).await;
    nobody_waits_for_a_collector(&cluster, &collector, follower).await;
}

async fn a_refusal_names_the_trace(cluster: &Cluster, node: usize) {
    let trace = "aaf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace}-{CLIENT_SPAN}-00");
    let (headers, auth) = ([("traceparent", traceparent.as_str())], Auth::Token(&cluster.admin_token));
    let path = "/access/api/v1/nowhere";
    let refused = cluster.endpoint(node).ask_with(&headers, Method::GET, path, auth, Body::Empty).await;
    assert_eq!(refused.expect(404)["request_id"], trace);
    let said = cluster.said(node);
    let line = format!("trace_id={trace}");
    assert!(said.lines().any(|said| said.contains(&line) && said.contains("request refused")), "{said}");
}

async fn nobody_waits_for_a_collector(cluster: &Cluster, collector: &Collector, node: usize) {
    collector.inbox.closed.store(true, Ordering::SeqCst);
    for turn in 0..50_u32 {
        let trace = format!("{:032x}", turn + 1);
        let answer = create_in(cluster, node, &trace, "01", PLAIN_SECS).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    eventually(READY_WITHIN, "the node says that it can't export", || async {
        cluster.said(node).contains("spans can't be exported").then_some(())
    })
    .await;
    assert_eq!(create_in(cluster, node, &format!("{:032x}", 99), "01", PLAIN_SECS).await.status, 200);
}
