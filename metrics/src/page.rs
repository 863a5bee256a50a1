//! Families of metrics whose values are collected at the scrape. Series of deleted things disappear from the page,
//! which they would not do in a registry.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// Metrics by family, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Page(Vec<MetricFamily>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// The samples of one metric.
pub struct Family<'a>(&'a mut MetricFamily);

/// Names and values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a metric. `help` is one line.
    pub fn family(&mut self, name: &str, kind: MetricKind, help: &str) -> Family<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(match kind {
            MetricKind::Counter => MetricType::COUNTER,
            MetricKind::Gauge => MetricType::GAUGE,
            MetricKind::Histogram => MetricType::HISTOGRAM,
        });
        Family(self.0.push_mut(family))
    }

    /// All families with at least one sample: the format cannot express empty ones.
    pub fn into_families(self) -> Vec<MetricFamily> {
        let has_sample = |family: &MetricFamily| !family.get_metric().is_empty();
        self.0.into_iter().filter(has_sample).collect()
    }
}

impl Family<'_> {
    /// Adds one value of a counter or gauge.
    pub fn value(&mut self, labels: Labels<'_>, value: f64) {
        let mut metric = labelled(labels);
        match self.0.get_field_type() {
            MetricType::COUNTER => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            _ => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.0.mut_metric().push(metric);
    }

    /// Adds a histogram. Each of `buckets` is an upper bound with the cumulative count of values up to it.
    pub fn histogram(
        &mut self,
        labels: Labels<'_>,
        buckets: impl IntoIterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) {
        let buckets = buckets.into_iter().map(|(bound, up_to)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(up_to);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_sum(sum);
        histogram.set_sample_count(count);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.0.mut_metric().push(metric);
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        let mut things = page.family("things", MetricKind::Gauge, "Things there are.");
        things.value(&[], 1.5);
        things.value(&[("a", "say \"x\\y\"\n"), ("b", "")], 20_000_000.0);
        page.family("none", MetricKind::Counter, "Nothing.");
        let mut times = page.family("times", MetricKind::Histogram, "Times.");
        times.histogram(&[("k", "v")], [(0.005, 1), (1.0, 3)], 2.25, 4);
        let wanted = r#"# HELP things Things there are.
# TYPE things gauge
things 1.5
things{a="say \"x\\y\"\n",b=""} 20000000
# HELP times Times.
# TYPE times histogram
times_bucket{k="v",le="0.005"} 1
times_bucket{k="v",le="1"} 3
times_bucket{k="v",le="+Inf"} 4
times_sum{k="v"} 2.25
times_count{k="v"} 4
"#;
        let text = TextEncoder::new().encode_to_string(&page.into_families());
        assert_eq!(text.expect("a page"), wanted);
    }
}
