//! A scraped page of metrics: its families with their types, labels and buckets, and its values.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Maestro, seconds};

/// One metric: as documented, or as seen.
#[derive(Debug, Default, PartialEq)]
pub struct Metric {
    pub kind: String,
    pub labels: BTreeSet<String>,
    /// The labels `le` of a histogram's buckets, in the order of the page. Empty: not a histogram, or not documented.
    pub buckets: Vec<String>,
    /// Documented as "only with ...".
    pub conditional: bool,
}

impl Metric {
    /// A line of `before.tsv`: name, type, labels and buckets.
    pub fn line(&self, name: &str) -> String {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let (labels, buckets) = (labels.join(","), self.buckets.join(","));
        [name, &self.kind, &labels, &buckets].join("\t")
    }
}

/// A sample's name and labels: `name{a="b"} 1`.
fn parse(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value = value.parse().expect("a number");
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), BTreeMap::new(), value);
    };
    let labels = labels.strip_suffix('}').expect("an end");
    let pairs = labels.split("\",").map(|pair| {
        let (name, value) = pair.split_once("=\"").expect("a label");
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    });
    (name.to_owned(), pairs.collect(), value)
}

/// Everything that the page has shown in the scrapes of a test.
#[derive(Default)]
pub struct Seen {
    pub metrics: BTreeMap<String, Metric>,
    pub page: String,
}

impl Seen {
    pub async fn scrape(&mut self, maestro: &Maestro) {
        let (status, page) = maestro.internal("GET", "/metrics", None).await;
        assert_eq!(status, 200);
        self.page = page.as_str().expect("text").to_owned();
        let mut types = BTreeMap::new();
        let mut histograms: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for line in self.page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                let twice = types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(twice, None, "{name} comes in two pieces");
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (sample, mut labels, _) = parse(line);
            let histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| sample.strip_suffix(suffix))
                .find(|name| types.get(*name).is_some_and(|kind| kind == "histogram"));
            let name = histogram.unwrap_or(&sample).to_owned();
            let kind = types.get(&name);
            let kind = kind.unwrap_or_else(|| panic!("{name} has no type"));
            let bucket = labels.remove("le");
            if histogram.is_some() {
                let of = histograms
                    .entry((name.clone(), labels.clone()))
                    .or_default();
                of.extend(bucket);
            }
            let labels: BTreeSet<String> = labels.into_keys().collect();
            let known = self.metrics.entry(name.clone()).or_insert_with(|| Metric {
                kind: kind.clone(),
                labels: labels.clone(),
                ..Metric::default()
            });
            assert_eq!(known.labels, labels, "{name} has different labels");
        }
        for ((name, labels), buckets) in histograms {
            let known = self.metrics.get_mut(&name).expect("a sample was seen");
            if known.buckets.is_empty() {
                known.buckets.clone_from(&buckets);
            }
            assert_eq!(known.buckets, buckets, "buckets of {name} {labels:?}");
        }
    }

    /// The value of the one series that has these labels among others.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.all(name, labels);
        assert!(found.len() <= 1, "{name} {labels:?}: {found:?}");
        found.first().copied()
    }

    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let samples = self.page.lines().filter(|line| line.starts_with(name));
        let wanted = samples.map(parse).filter(|(sample, has, _)| {
            let fits = |(name, value): &(&str, &str)| has.get(*name).is_some_and(|v| v == value);
            sample == name && labels.iter().all(fits)
        });
        wanted.map(|(_, _, value)| value).collect()
    }
}

/// Scrapes until this series has that value.
pub async fn until(maestro: &Maestro, seen: &mut Seen, what: (&str, &[(&str, &str)]), wanted: f64) {
    let (name, labels) = what;
    let deadline = std::time::Instant::now() + seconds(30);
    loop {
        seen.scrape(maestro).await;
        if seen.value(name, labels) == Some(wanted) {
            return;
        }
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "{name} {labels:?} is not {wanted}:\n{}", seen.page);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
