//! Spans as OpenTelemetry wants them: OTLP over HTTP, in JSON (opentelemetry-proto, `trace/v1`). The two messages that are
//! needed are written by hand: the crates for it bring another HTTP client and protocol buffers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Ended, Kind};
use crate::seal::hex;

/// After the first span, so long is waited for others to go with it.
const GATHER: Duration = Duration::from_millis(200);
/// Spans in one request.
const BATCH_MAX: usize = 1_024;
/// A collector that takes longer doesn't get them.
const POST_TIMEOUT: Duration = Duration::from_secs(5);
/// The same when the node stops.
const LAST_POST_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends what comes, until `stop` is cancelled; then what is there. What can't be sent is dropped and counted.
pub(super) async fn run(
    endpoint: &str,
    node: &str,
    mut from: mpsc::Receiver<Ended>,
    lost: &AtomicU64,
    stop: CancellationToken,
) {
    let Some(collector) = Collector::new(endpoint, node) else { return };
    let mut failing = false;
    let mut batch = Vec::new();
    while let Some(Some(first)) = stop.run_until_cancelled(from.recv()).await {
        batch.push(first);
        stop.run_until_cancelled(tokio::time::sleep(GATHER)).await;
        while let Ok(span) = from.try_recv() {
            batch.push(span);
            if batch.len() == BATCH_MAX {
                break;
            }
        }
        let sent = collector.send(&batch, POST_TIMEOUT).await;
        if sent.is_err() {
            lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        let lost = lost.load(Ordering::Relaxed);
        match &sent {
            Err(error) if !failing => tracing::warn!(%error, endpoint, lost, "spans can't be exported"),
            Ok(()) if failing => tracing::info!(endpoint, lost, "spans are exported again"),
            _ => {}
        }
        failing = sent.is_err();
        batch.clear();
    }
    while let Ok(span) = from.try_recv() {
        batch.push(span);
    }
    if !batch.is_empty() {
        // The node stops in any case.
        let _ = collector.send(&batch, LAST_POST_TIMEOUT).await;
    }
}

struct Collector {
    client: reqwest::Client,
    url: String,
    node: String,
}

impl Collector {
    fn new(endpoint: &str, node: &str) -> Option<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder().build();
        let client = client.inspect_err(|error| tracing::warn!(%error, "spans can't be exported")).ok()?;
        Some(Self { client, url: format!("{endpoint}/v1/traces"), node: node.to_owned() })
    }

    async fn send(&self, spans: &[Ended], within: Duration) -> Result<(), reqwest::Error> {
        let request = self.client.post(&self.url).timeout(within).json(&message(&self.node, spans));
        request.send().await?.error_for_status().map(drop)
    }
}

/// An `ExportTraceServiceRequest`.
fn message(node: &str, spans: &[Ended]) -> Value {
    let about = [
        ("service.name", "circlet"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", node),
    ];
    json!({"resourceSpans": [{
        "resource": {"attributes": about.map(|(key, value)| attribute(key, value))},
        "scopeSpans": [{
            "scope": {"name": "circlet"},
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

/// A `Span`: ids in hexadecimal and 64-bit numbers as text, as OTLP's JSON has them.
fn span(ended: &Ended) -> Value {
    let kind = match ended.kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
    };
    json!({
        "traceId": hex(&ended.trace.trace_id),
        "spanId": hex(&ended.trace.span_id),
        "parentSpanId": ended.parent.map(|parent| hex(&parent)).unwrap_or_default(),
        "name": ended.name,
        "kind": kind,
        "startTimeUnixNano": ended.began_ns.to_string(),
        "endTimeUnixNano": ended.began_ns.saturating_add(ended.took_ns).to_string(),
        "attributes": ended.notes.iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>(),
        "status": if ended.failed { json!({"code": 2}) } else { json!({}) },
    })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
