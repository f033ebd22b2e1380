//! What a metric may be: a counter, a gauge, a histogram of durations, or one of these for each value of its labels.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
pub use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Metric;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of a histogram's buckets, in microseconds: from a fast disk's sync to a long poll.
const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    30_000_000,
];

/// A type that the table may name.
pub trait Kind {
    const TYPE: MetricType;
    /// Names of labels: as many as there are.
    type Names;
    type Registered: Metric;
    /// A new one, all zero.
    fn labelled(names: Self::Names) -> Self;
    /// A handle for the registry.
    fn registered(&self) -> Self::Registered;
}

/// How long something took, in buckets. Two atomic additions per observation; the crate's own takes a lock.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Observed>);

#[derive(Debug, Default)]
struct Observed {
    /// The last one is for what is longer than all bounds.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.partition_point(|bound| bound * 1000 < nanos);
        if let Some(bucket) = self.0.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // Of what was read, so that the count is that of the last bucket.
        let count: u64 = buckets.iter().map(|(_, count)| *count).sum();
        let sum = self.0.nanos.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

type Label = (&'static str, Cow<'static, str>);

/// One metric for each value of its `N` labels. A look-up takes a lock that readers share: what is on a hot path keeps what [`Labelled::of`] gives.
#[derive(Debug)]
pub struct Labelled<M, const N: usize> {
    names: [&'static str; N],
    family: Family<[Label; N], M>,
}

impl<M: Clone + Default, const N: usize> Labelled<M, N> {
    /// The one with these values, in the order of the table; a new one is zero.
    #[must_use]
    pub fn of<V: Into<Cow<'static, str>>>(&self, values: [V; N]) -> M {
        self.family.get_or_create_owned(&self.labels(values))
    }

    /// Is not shown any more.
    pub fn forget<V: Into<Cow<'static, str>>>(&self, values: [V; N]) {
        self.family.remove(&self.labels(values));
    }

    fn labels<V: Into<Cow<'static, str>>>(&self, values: [V; N]) -> [Label; N] {
        let mut names = self.names.iter().copied();
        values.map(|value| (names.next().unwrap_or_default(), value.into()))
    }
}

impl<M, const N: usize> Kind for Labelled<M, N>
where
    M: Clone + Default + Debug + TypedMetric + EncodeMetric + Send + Sync + 'static,
{
    const TYPE: MetricType = <M as TypedMetric>::TYPE;
    type Names = [&'static str; N];
    type Registered = Family<[Label; N], M>;

    fn labelled(names: [&'static str; N]) -> Labelled<M, N> {
        Labelled { names, family: Family::default() }
    }

    fn registered(&self) -> Family<[Label; N], M> {
        self.family.clone()
    }
}

/// Without labels, it is itself.
impl<M> Kind for M
where
    M: Clone + Default + Debug + TypedMetric + EncodeMetric + Send + Sync + 'static,
{
    const TYPE: MetricType = <M as TypedMetric>::TYPE;
    type Names = [&'static str; 0];
    type Registered = M;

    fn labelled(_none: [&'static str; 0]) -> M {
        M::default()
    }

    fn registered(&self) -> M {
        self.clone()
    }
}

/// One more in a gauge, until it is dropped.
#[derive(Debug)]
pub struct Hold(Gauge);

impl Hold {
    #[must_use]
    pub fn of(gauge: &Gauge) -> Hold {
        gauge.inc();
        Hold(gauge.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.dec();
    }
}
