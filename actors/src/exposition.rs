//! A page of metrics in Prometheus' text format, version 0.0.4.
//!
//! For values that are looked up when somebody asks: so what is gone is gone from the page
//! too, which no recorder of the `metrics` facade can do by name.

use std::fmt::Write;

/// Metrics by family; each family in one piece, as the format wants it.
#[derive(Debug, Default)]
pub struct Page(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The samples of one metric.
pub struct Family<'a> {
    page: &'a mut String,
    name: &'a str,
}

pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a metric. `help` is one line.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot go wrong.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            page: &mut self.0,
            name,
        }
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One value of a counter or gauge.
    pub fn value(&mut self, labels: Labels<'_>, value: f64) {
        self.sample("", labels, None, value);
    }

    /// One histogram: `buckets` are upper bounds with all that is not above them.
    pub fn histogram(
        &mut self,
        labels: Labels<'_>,
        buckets: impl IntoIterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) {
        for (bound, up_to) in buckets {
            self.sample("_bucket", labels, Some(bound), up_to as f64);
        }
        self.sample("_bucket", labels, Some(f64::INFINITY), count as f64);
        self.sample("_sum", labels, None, sum);
        self.sample("_count", labels, None, count as f64);
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<f64>, value: f64) {
        let page = &mut *self.page;
        page.push_str(self.name);
        page.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels {
            page.push(separator);
            separator = ',';
            let _ = write!(page, "{name}=\"");
            escape(page, value);
            page.push('"');
        }
        if let Some(bound) = bound {
            page.push(separator);
            separator = ',';
            match bound.is_finite() {
                true => drop(write!(page, "le=\"{bound}\"")),
                false => page.push_str("le=\"+Inf\""),
            }
        }
        if separator == ',' {
            page.push('}');
        }
        let _ = writeln!(page, " {value}");
    }
}

fn escape(page: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => page.push_str("\\\\"),
            '"' => page.push_str("\\\""),
            '\n' => page.push_str("\\n"),
            other => page.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        let mut things = page.family("things", Kind::Gauge, "Things there are.");
        things.value(&[], 1.5);
        things.value(&[("a", "say \"x\\y\"\n"), ("b", "")], 20_000_000.0);
        let mut times = page.family("times", Kind::Histogram, "Times.");
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
        assert_eq!(page.into_text(), wanted);
    }
}
