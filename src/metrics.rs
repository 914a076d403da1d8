//! What a node tells Prometheus, at `/metrics`.
//!
//! | module | holds |
//! |---|---|
//! | `counts` | what is counted where it happens |
//! | `page` | how a number that is known already gets on the page |
//! | `replication`, `authority`, `process` | what the log, the state and the process know of themselves, asked at each scrape |
//! | `expiring` | tokens that end soon, by owner |
//!
//! Nothing is kept twice: a number that some part of the node owns is read from there when somebody asks. Every label
//! has few values; owners are the exception, of whom the largest few are named.

mod authority;
mod counts;
mod expiring;
mod page;
mod process;
mod replication;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::audit::Audit;
use crate::cluster::Cluster;
use crate::health::Health;
use crate::home::Paths;
use crate::password::Passwords;
pub(crate) use counts::{Counts, Full, Verified, Work};
use expiring::Expiring;
use page::Page;

/// What the page is sent as.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The parts of a node that know something of themselves.
pub(crate) struct Sources {
    pub(crate) cluster: Cluster,
    pub(crate) health: Health,
    pub(crate) passwords: Passwords,
    pub(crate) audit: Audit,
    pub(crate) paths: Paths,
}

/// The page. Clones are handles to the same.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Registry>);

impl Metrics {
    /// A page of what is counted, and of what the sources know.
    pub(crate) fn new(counts: &Counts, sources: Sources) -> Self {
        let mut registry = Registry::default();
        counts.register(&mut registry);
        registry.register_collector(Box::new(Known { sources, expiring: Expiring::default() }));
        Self(Arc::new(registry))
    }

    /// The page as it is now. It looks at files and at many tokens: not for the threads that answer requests.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.0).expect("a string takes whatever is written to it");
        text
    }
}

/// What is asked for at each scrape.
struct Known {
    sources: Sources,
    expiring: Expiring,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl Collector for Known {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        replication::write(&mut page, &self.sources)?;
        authority::write(&mut page, &self.sources, &self.expiring)?;
        process::write(&mut page, &self.sources)
    }
}
