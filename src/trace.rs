//! Traces: what one request caused, on which nodes, and how long each part took.
//!
//! A request's trace comes with it (`traceparent`, W3C Trace Context) or is begun here. It names the request in log lines
//! and, where the client gave no id of its own, in its audit line, its answer and its errors. It goes with a write from the
//! node that was asked to the leader. Where `tracing.otlp-endpoint` says so, spans are exported; nothing waits for that.

mod context;
mod otlp;

use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use circlet_raft::{Observation, Observer, Stage, Trace};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;
pub(crate) use context::{Origin, of_request};

/// Spans that wait for being exported; more are counted and dropped.
const WAITING_MAX: usize = 8_192;

/// The lowest bit of the flags.
const SAMPLED: u8 = 1;

/// What `node.yml` says of traces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where spans are sent, as a URL without `/v1/traces`; nowhere if there is none.
    pub endpoint: Option<String>,
    /// Of a hundred traces that begin here, so many are recorded.
    pub sample_percent: usize,
}

tokio::task_local! {
    static CURRENT: Trace;
}

/// The trace of the request that is being answered, and the span that asks.
pub(crate) fn current() -> Option<Trace> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// Does work for a trace.
pub(crate) async fn within<T>(trace: Trace, work: impl Future<Output = T>) -> T {
    CURRENT.scope(trace, work).await
}

/// Where spans go. Clones are handles to the same; the default one keeps none.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Exporting>>);

struct Exporting {
    settings: Settings,
    to: mpsc::Sender<Ended>,
    from: Mutex<Option<mpsc::Receiver<Ended>>>,
    lost: AtomicU64,
}

impl Tracer {
    /// As the settings say.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        if settings.endpoint.is_none() {
            return Self(None);
        }
        let (to, from) = mpsc::channel(WAITING_MAX);
        let (settings, from) = (settings.clone(), Mutex::new(Some(from)));
        Self(Some(Arc::new(Exporting { settings, to, from, lost: AtomicU64::new(0) })))
    }

    /// Sends spans to where the settings say, until `stop` is cancelled; then what still waits.
    pub(crate) async fn export(self, node: String, stop: CancellationToken) {
        let Some(exporting) = self.0 else { return };
        let from = exporting.from.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(endpoint) = exporting.settings.endpoint.as_deref() else { return };
        if let Some(from) = from {
            otlp::run(endpoint, &node, from, &exporting.lost, stop).await;
        }
    }

    /// Whether a trace that begins here is recorded.
    fn samples(&self) -> bool {
        let percent = self.0.as_ref().map_or(0, |exporting| exporting.settings.sample_percent);
        percent > 0 && rand::random_range(0..100) < percent
    }

    /// Begins a span whose ids are drawn already.
    pub(crate) fn begin(
        &self,
        trace: Trace,
        parent: Option<[u8; 8]>,
        kind: Kind,
        name: &'static str,
    ) -> Span {
        let recorded = self.0.as_ref().filter(|_| trace.flags & SAMPLED != 0);
        Span(recorded.map(|exporting| {
            let span = Ended {
                trace,
                parent,
                kind,
                name: name.into(),
                began_ns: clock::wall_ns(),
                took_ns: 0,
                notes: Vec::new(),
                failed: false,
            };
            Box::new(Open { exporting: Arc::clone(exporting), began: Instant::now(), span })
        }))
    }

    /// Begins a span below another. Where none is kept, whatever comes below it belongs to that other.
    pub(crate) fn child(&self, of: Trace, kind: Kind, name: &'static str) -> (Trace, Span) {
        let trace = Trace { span_id: rand::random(), ..of };
        let span = self.begin(trace, Some(of.span_id), kind, name);
        if span.0.is_some() { (trace, span) } else { (of, span) }
    }
}

/// What a span is to the spans around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It happens inside a node.
    Internal,
    /// It answers somebody.
    Server,
    /// It asks somebody.
    Client,
}

/// A span that has ended.
struct Ended {
    trace: Trace,
    parent: Option<[u8; 8]>,
    kind: Kind,
    name: Cow<'static, str>,
    began_ns: u64,
    took_ns: u64,
    notes: Vec<(&'static str, String)>,
    failed: bool,
}

struct Open {
    exporting: Arc<Exporting>,
    began: Instant,
    span: Ended,
}

/// A span that is under way, or none; it ends when it is dropped.
pub(crate) struct Span(Option<Box<Open>>);

impl Span {
    /// Gives it another name.
    pub(crate) fn rename(&mut self, name: impl FnOnce() -> String) {
        if let Some(open) = &mut self.0 {
            open.span.name = name().into();
        }
    }

    /// Notes something about it.
    pub(crate) fn note(&mut self, what: &'static str, value: &(impl ToString + ?Sized)) {
        if let Some(open) = &mut self.0 {
            open.span.notes.push((what, value.to_string()));
        }
    }

    /// Notes that it has failed.
    pub(crate) fn fail(&mut self) {
        if let Some(open) = &mut self.0 {
            open.span.failed = true;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { exporting, began, mut span } = *open;
        span.took_ns = began.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
        if exporting.to.try_send(span).is_err() {
            exporting.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The leader's part in a trace.
struct Deciding {
    tracer: Tracer,
    trace: Trace,
    whole: Span,
    stage: Option<Span>,
}

impl Observer for Tracer {
    fn begins(&self, trace: Trace) -> Box<dyn Observation> {
        let (trace, whole) = self.child(trace, Kind::Server, "decide");
        let (_, stage) = self.child(trace, Kind::Internal, "check and stamp");
        Box::new(Deciding { tracer: self.clone(), trace, whole, stage: Some(stage) })
    }
}

impl Observation for Deciding {
    fn reached(&mut self, stage: Stage) {
        // The stage before ends first.
        self.stage = None;
        if stage == Stage::Stamped {
            let (_, next) = self.tracer.child(self.trace, Kind::Internal, "replicate and apply");
            self.stage = Some(next);
        }
    }
}

impl Drop for Deciding {
    fn drop(&mut self) {
        // Whatever was begun and not reached has failed.
        if let Some(stage) = &mut self.stage {
            stage.fail();
            self.whole.fail();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_spans_and_nobody_waits() {
        let endpoint = Some("http://127.0.0.1:1".to_owned());
        let tracer = Tracer::new(&Settings { endpoint, sample_percent: 100 });
        let trace = Trace { trace_id: [1; 16], span_id: [2; 8], flags: SAMPLED };
        for _ in 0..WAITING_MAX + 10 {
            drop(tracer.begin(trace, None, Kind::Internal, "one"));
        }
        let lost = tracer.0.as_ref().map(|exporting| exporting.lost.load(Ordering::Relaxed));
        assert_eq!(lost, Some(10));
    }

    #[test]
    fn what_is_not_recorded_has_no_spans_of_its_own() {
        let trace = Trace { trace_id: [1; 16], span_id: [2; 8], flags: 0 };
        let endpoint = Some("http://127.0.0.1:1".to_owned());
        for tracer in [Tracer::default(), Tracer::new(&Settings { endpoint, sample_percent: 0 })] {
            let (child, span) = tracer.child(trace, Kind::Client, "propose");
            assert_eq!(child, trace);
            assert!(span.0.is_none() && !tracer.samples());
        }
    }
}
