//! What is counted where it happens.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// One label, whose values are words of ours.
type By = [(&'static str, &'static str); 1];

/// The upper bounds of the classes that requests are counted in, in seconds.
const REQUEST_SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The classes of statuses.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Rejects that a page shows from the start, so that their rates are known from the first one on.
const USUAL_REJECTS: [&str; 6] = ["bad_credentials", "expired", "revoked", "signature", "slow_down", "stale"];

/// How the routes end whose POST takes tokens away.
const REVOKING: [&str; 5] = ["/token/revoke", "/v1/watermarks", "/taint", "/lost", "/circle/revocations"];
/// Below these a DELETE takes tokens away, or those who hold them.
const REVOKING_BELOW: [&str; 5] =
    ["/tokens/", "/users/", "/v1/trust/", "/circle/members/", "/cluster/nodes/"];

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A credential was to be verified.
    Verify,
    /// A token was to be created or refreshed.
    Token,
    /// Tokens were to be taken away: by themselves, together, or with their user, key, issuer or node.
    Revoke,
    /// Anything else.
    Other,
}

/// What an accepted token was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verified {
    /// One that can't be revoked.
    Plain,
    /// One that can.
    Revocable,
    /// One of another cluster.
    Foreign,
}

/// The counts of a node. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    /// By what they were for, in the order of [`Work`], and by the first digit of their status, from 2 on.
    requests: [[Counter; 4]; 4],
    /// By what they were for, in the order of [`Work`].
    request_seconds: [Histogram; 4],
    in_flight: Gauge,
    rejects: Family<By, Counter>,
    issued: [Counter; 2],
    verified: [Counter; 3],
    refreshed: [Counter; 2],
    revoked: Counter,
    connections: Gauge,
    refused: Family<By, Counter>,
    shed: Family<By, Counter>,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            requests: Default::default(),
            request_seconds: std::array::from_fn(|_| Histogram::new(REQUEST_SECONDS)),
            in_flight: Gauge::default(),
            rejects: Family::default(),
            issued: Default::default(),
            verified: Default::default(),
            refreshed: Default::default(),
            revoked: Counter::default(),
            connections: Gauge::default(),
            refused: Family::default(),
            shed: Family::default(),
        }
    }
}

/// Why a connection finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All places are taken.
    All,
    /// Those of one address are.
    OfAddress,
}

impl Full {
    const WORDS: [&'static str; 2] = ["all", "of_address"];

    fn word(self) -> &'static str {
        let [all, of_address] = Self::WORDS;
        if self == Self::All { all } else { of_address }
    }
}

impl Work {
    const ALL: [Self; 4] = [Self::Verify, Self::Token, Self::Revoke, Self::Other];

    /// What is asked for by a method at a route.
    pub(crate) fn of(method: &str, route: &str) -> Self {
        match method {
            _ if route == "/circlet/v1/verify" => Self::Verify,
            "POST" if REVOKING.iter().any(|end| route.ends_with(end)) => Self::Revoke,
            "DELETE" if REVOKING_BELOW.iter().any(|part| route.contains(part)) => Self::Revoke,
            "POST" if route.ends_with("/api/v1/tokens") || route.ends_with("/security/token") => Self::Token,
            _ => Self::Other,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::Other => "other",
        }
    }
}

impl Counts {
    /// A request has begun; it is under way until what is returned is dropped.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.in_flight.inc();
        UnderWay(self.0.in_flight.clone())
    }

    /// A request was answered with a status after so long.
    pub(crate) fn answered(&self, work: Work, status: u16, took: Duration) {
        let class = usize::from(status / 100).saturating_sub(2).min(CLASSES.len() - 1);
        if let Some(counter) = self.0.requests.get(work as usize).and_then(|counters| counters.get(class)) {
            counter.inc();
        }
        if let Some(histogram) = self.0.request_seconds.get(work as usize) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A request was refused or could not be served, for the reason that is told to programs.
    pub(crate) fn rejected(&self, reason: &'static str) {
        self.0.rejects.get_or_create(&[("reason", reason)]).inc();
    }

    /// A token was issued.
    pub(crate) fn issued(&self, recorded: bool) {
        let [plain, kept] = &self.0.issued;
        if recorded { kept } else { plain }.inc();
    }

    /// A token was accepted.
    pub(crate) fn verified(&self, what: Verified) {
        if let Some(counter) = self.0.verified.get(what as usize) {
            counter.inc();
        }
    }

    /// A refresh was answered: the first time, or again for the same request.
    pub(crate) fn refreshed(&self, again: bool) {
        let [first, repeated] = &self.0.refreshed;
        if again { repeated } else { first }.inc();
    }

    /// So many access tokens were revoked.
    pub(crate) fn revoked(&self, tokens: u64) {
        self.0.revoked.inc_by(tokens);
    }

    /// A client has connected; it counts until what is returned is dropped.
    pub(crate) fn connected(&self) -> UnderWay {
        self.0.connections.inc();
        UnderWay(self.0.connections.clone())
    }

    /// A client was hung up on before it was served.
    pub(crate) fn refused(&self, full: Full) {
        self.0.refused.get_or_create(&[("reason", full.word())]).inc();
    }

    /// A request was turned away to save the node.
    pub(crate) fn shed(&self, reason: &'static str) {
        self.0.shed.get_or_create(&[("reason", reason)]).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let counted = &self.0;
        for reason in USUAL_REJECTS {
            drop(counted.rejects.get_or_create(&[("reason", reason)]));
        }
        for reason in Full::WORDS {
            drop(counted.refused.get_or_create(&[("reason", reason)]));
        }
        for reason in ["disk", "memory", "busy"] {
            drop(counted.shed.get_or_create(&[("reason", reason)]));
        }
        let requests = Work::ALL.into_iter().zip(&counted.requests).flat_map(|(work, counters)| {
            let labels = move |class| [("for", work.word()), ("status", class)];
            CLASSES.into_iter().zip(counters).map(move |(class, counter)| (labels(class), counter.clone()))
        });
        registry.register(
            "circlet_http_requests",
            "Requests answered, by what they were for and by status",
            Fixed(requests.collect()),
        );
        registry.register(
            "circlet_http_requests_in_flight",
            "Requests being answered",
            counted.in_flight.clone(),
        );
        let seconds = Work::ALL.into_iter().zip(&counted.request_seconds);
        registry.register(
            "circlet_http_request_seconds",
            "How long answering took, in seconds",
            family("for", seconds.map(|(work, histogram)| (work.word(), histogram.clone()))),
        );
        registry.register(
            "circlet_rejects",
            "Requests refused or not served, by reason",
            counted.rejects.clone(),
        );
        registry.register(
            "circlet_http_connections",
            "Open connections of clients",
            counted.connections.clone(),
        );
        registry.register(
            "circlet_http_connections_refused",
            "Connections that were not served, by reason",
            counted.refused.clone(),
        );
        registry.register(
            "circlet_shed",
            "Requests turned away to save the node, by what was short",
            counted.shed.clone(),
        );
        self.register_tokens(registry);
    }

    fn register_tokens(&self, registry: &mut Registry) {
        let counted = &self.0;
        let classes = |words: &[&'static str], counters: &[Counter]| {
            family("class", words.iter().copied().zip(counters.iter().cloned()))
        };
        registry.register(
            "circlet_tokens_issued",
            "Tokens issued, by class",
            classes(&["plain", "recorded"], &counted.issued),
        );
        registry.register(
            "circlet_tokens_verified",
            "Tokens accepted, by class",
            classes(&["plain", "revocable", "foreign"], &counted.verified),
        );
        registry.register(
            "circlet_tokens_refreshed",
            "Refreshes answered, the first time or again",
            classes(&["first", "repeated"], &counted.refreshed),
        );
        registry.register("circlet_tokens_revoked", "Access tokens revoked", counted.revoked.clone());
    }
}

/// Metrics that are there already, as a family with one label.
fn family<M: Clone + 'static>(
    label: &'static str,
    rows: impl Iterator<Item = (&'static str, M)>,
) -> Fixed<M, 1> {
    Fixed(rows.map(|(value, metric)| ([(label, value)], metric)).collect())
}

/// A family whose members are known from the start: counting into them looks nothing up.
#[derive(Debug)]
struct Fixed<M, const LABELS: usize>(Vec<([(&'static str, &'static str); LABELS], M)>);

impl<M, const LABELS: usize> prometheus_client::encoding::EncodeMetric for Fixed<M, LABELS>
where
    M: prometheus_client::encoding::EncodeMetric + prometheus_client::metrics::TypedMetric,
{
    fn encode(&self, mut encoder: prometheus_client::encoding::MetricEncoder<'_>) -> std::fmt::Result {
        for (labels, metric) in &self.0 {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> prometheus_client::metrics::MetricType {
        M::TYPE
    }
}

/// Something that is counted while it lasts.
#[derive(Debug)]
pub(crate) struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::Work;

    #[test]
    fn a_route_tells_what_a_request_is_for() {
        for (method, route, expected) in [
            ("GET", "/circlet/v1/verify", Work::Verify),
            ("POST", "/access/api/v1/tokens", Work::Token),
            ("POST", "/artifactory/api/security/token", Work::Token),
            ("POST", "/artifactory/api/security/token/revoke", Work::Revoke),
            ("DELETE", "/access/api/v1/tokens/{id}", Work::Revoke),
            ("DELETE", "/access/api/v1/tokens/revoke", Work::Revoke),
            ("DELETE", "/artifactory/api/security/users/alice", Work::Revoke),
            ("DELETE", "/access/api/v2/users/alice", Work::Revoke),
            ("POST", "/circlet/v1/watermarks", Work::Revoke),
            ("GET", "/circlet/v1/watermarks", Work::Other),
            ("POST", "/circlet/v1/keys/{key}/taint", Work::Revoke),
            ("POST", "/circlet/v1/keys", Work::Other),
            ("POST", "/circlet/v1/circle/revocations", Work::Revoke),
            ("DELETE", "/circlet/v1/circle/members/{member}", Work::Revoke),
            ("DELETE", "/circlet/v1/trust/{issuer}", Work::Revoke),
            ("POST", "/circlet/v1/cluster/nodes/node3/lost", Work::Revoke),
            ("DELETE", "/circlet/v1/cluster/nodes/node3", Work::Revoke),
            ("POST", "/circlet/v1/import/tokens", Work::Other),
            ("POST", "/circlet/v1/cluster/tokens", Work::Other),
            ("GET", "/access/api/v1/tokens", Work::Other),
            ("GET", "", Work::Other),
        ] {
            assert_eq!(Work::of(method, route), expected, "{method} {route}");
        }
    }
}
