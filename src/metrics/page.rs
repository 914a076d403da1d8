//! How a number that is known already gets on the page.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A label's value: a word of ours, or somebody's name.
pub(super) type Value = Cow<'static, str>;

/// A page that is being written.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A number as it is now; left out while nobody knows it.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        value.map_or(Ok(()), |value| metric.encode_gauge(&value))
    }

    /// The same for each value of a label.
    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        rows: impl IntoIterator<Item = (Value, f64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, number) in rows {
            metric.encode_family(&[(label, value)])?.encode_gauge(&number)?;
        }
        Ok(())
    }

    /// A number that only grows; `_total` is added to its name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, f64, f64>(&value, None)
    }

    /// How often something took how long: classes by their upper bounds, and the sum of all, in seconds.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        classes: &[(f64, u64)],
        sum: f64,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let count = classes.iter().map(|(_, count)| count).sum();
        metric.encode_histogram::<NoLabelSet>(sum, count, classes, None)
    }
}

/// A count as the page has it. Beyond 2^53 the last digits go, which no graph shows.
#[expect(clippy::cast_precision_loss, reason = "a graph has no fifty bits")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "ages and offsets are far below 2^53 ms")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
