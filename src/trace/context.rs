//! `traceparent`: how a trace comes with a request (W3C Trace Context, section 3.2).

use axum::http::HeaderMap;
use circlet_raft::Trace;

use super::{SAMPLED, Tracer};
use crate::seal::hex_decode;

const TRACEPARENT: &str = "traceparent";

/// Where a request's trace comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The client sent it; this is its span.
    Client([u8; 8]),
    /// It begins here.
    Here,
}

impl Origin {
    /// The span above ours.
    pub(crate) fn parent(self) -> Option<[u8; 8]> {
        match self {
            Self::Client(span) => Some(span),
            Self::Here => None,
        }
    }
}

/// The trace that a request belongs to, with a span id of our own; a new one if it brings none that can be read.
pub(crate) fn of_request(headers: &HeaderMap, tracer: &Tracer) -> (Trace, Origin) {
    let span_id = rand::random();
    let mut sent = headers.get_all(TRACEPARENT).iter();
    // Of several none counts (section 3.2.1).
    let first = sent.next().and_then(|value| read(value.to_str().ok()?));
    if let (Some(trace), None) = (first, sent.next()) {
        return (Trace { span_id, ..trace }, Origin::Client(trace.span_id));
    }
    let flags = if tracer.samples() { SAMPLED } else { 0 };
    (Trace { trace_id: rand::random(), span_id, flags }, Origin::Here)
}

/// Version, trace, span, flags; a later version than ours may go on after that.
fn read(text: &str) -> Option<Trace> {
    let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let &[version] = hex_decode(version)?.as_slice() else { return None };
    let &[flags] = hex_decode(flags)?.as_slice() else { return None };
    let more = parts.next().is_some();
    if !lower || version == 0xff || (version == 0 && more) {
        return None;
    }
    let trace_id: [u8; 16] = hex_decode(trace)?.try_into().ok()?;
    let span_id: [u8; 8] = hex_decode(span)?.try_into().ok()?;
    (trace_id != [0; 16] && span_id != [0; 8]).then_some(Trace { trace_id, span_id, flags })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let trace = read(SENT).unwrap();
        assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((trace.span_id, trace.flags), ([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7], 1));
        assert!(read(&SENT.replacen("00-", "cc-", 1)).is_some());
        assert!(read(&format!("{}-more", SENT.replacen("00-", "cc-", 1))).is_some());
        for bad in [
            "",
            "00",
            &SENT.replacen("00-", "ff-", 1),
            &SENT.to_uppercase(),
            &format!("{SENT}-more"),
            &SENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &SENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &SENT[..SENT.len() - 1],
            &SENT.replace("4bf9", "4bg9"),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_trace_goes_on_under_a_span_of_our_own_or_begins_here() {
        let tracer = Tracer::default();
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(SENT));
        let (trace, origin) = of_request(&headers, &tracer);
        assert_eq!((trace.trace_id, trace.flags), (read(SENT).unwrap().trace_id, 1));
        assert_eq!(origin.parent(), Some(read(SENT).unwrap().span_id));
        assert_ne!(Some(trace.span_id), origin.parent());
        headers.append(TRACEPARENT, HeaderValue::from_static(SENT));
        for headers in [headers, HeaderMap::new()] {
            let (begun, origin) = of_request(&headers, &tracer);
            assert_ne!(begun.trace_id, trace.trace_id);
            assert_eq!((origin, begun.flags), (Origin::Here, 0));
        }
    }
}
