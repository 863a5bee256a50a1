//! The queries, over metrics of cAdvisor and kube-state-metrics. A container's own cgroup is counted, and neither its
//! pod's nor that of the pause container, which would count everything twice.

use std::fmt::Write;
use std::time::Duration;

use maestro_core::domain::RoomId;
use maestro_core::ports::Measured;

/// How the pods of a version are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodSelector {
    /// By their label, which kube-state-metrics has to export. It finds pods that are gone, too.
    Labels,
    /// By the names of the version's current rooms.
    Rooms,
}

/// Both queries of a version.
pub struct Queries {
    pub cores: String,
    pub bytes: String,
}

impl Queries {
    /// The pods are those that have the version as the value of this label.
    pub fn by_label(of: &Measured, label: &str, rate: Duration) -> Self {
        let selector = format!("namespace={}", quoted(of.scheduler.as_str()));
        let label = metric_label(label);
        let version = quoted(of.version.as_str());
        Self::over(&selector, rate, |usage| {
            format!(
                "sum( sum by (namespace,pod)({usage}) * on(namespace,pod) group_left() \
                 max by (namespace,pod)(kube_pod_labels{{{selector},{label}={version}}}) )"
            )
        })
    }

    /// The pods are these rooms.
    pub fn by_rooms(of: &Measured, rate: Duration) -> Self {
        let names = of.rooms.iter().map(RoomId::as_str).map(in_regex);
        let names = names.collect::<Vec<_>>().join("|");
        let namespace = quoted(of.scheduler.as_str());
        let selector = format!("namespace={namespace},pod=~{}", quoted(&names));
        Self::over(&selector, rate, |usage| format!("sum({usage})"))
    }

    fn over(selector: &str, rate: Duration, sum: impl Fn(&str) -> String) -> Self {
        let containers = format!("{selector},container!=\"\",container!=\"POD\"");
        let (cpu, rate) = ("container_cpu_usage_seconds_total", span(rate));
        let memory = "container_memory_working_set_bytes";
        Self {
            cores: sum(&format!("rate({cpu}{{{containers}}}[{rate}])")),
            bytes: sum(&format!("{memory}{{{containers}}}")),
        }
    }
}

/// Tells what Prometheus knows about a namespace, as values of the label `seen`: `containers`, `pods`, `labels`.
pub fn what_is_there(namespace: &str, label: &str) -> String {
    let (namespace, label) = (quoted(namespace), metric_label(label));
    let seen = |what: &str, metric: &str| {
        format!("label_replace(count({metric}), \"seen\", \"{what}\", \"\", \"\")")
    };
    [
        seen(
            "containers",
            &format!("container_memory_working_set_bytes{{namespace={namespace}}}"),
        ),
        seen("pods", &format!("kube_pod_labels{{namespace={namespace}}}")),
        seen(
            "labels",
            &format!("kube_pod_labels{{namespace={namespace},{label}!=\"\"}}"),
        ),
    ]
    .join(" or ")
}

/// The name under which kube-state-metrics exports a label of a pod.
pub fn metric_label(label: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let plain: String = label.chars().map(plain).collect();
    format!("label_{plain}")
}

/// A text as PromQL quotes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            // Writing into a String cannot fail.
            c if c.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A text that matches only itself.
fn in_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_alphanumeric() && !matches!(c, '-' | '_') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A span as PromQL writes it.
fn span(span: Duration) -> String {
    match (span.as_secs(), span.subsec_millis()) {
        (seconds, 0) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", span.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(version: &str, rooms: &[&str]) -> Measured {
        Measured {
            scheduler: "arena".into(),
            version: version.into(),
            rooms: rooms.iter().map(|room| (*room).into()).collect(),
        }
    }

    const RATE: Duration = Duration::from_secs(300);

    #[test]
    fn the_queries_are_those_that_were_measured() {
        let queries = Queries::by_label(&measured("v1.0.0", &[]), "version-name", RATE);
        assert_eq!(
            queries.cores,
            "sum( sum by (namespace,pod)(rate(container_cpu_usage_seconds_total{namespace=\"arena\",container!=\"\",\
             container!=\"POD\"}[5m])) * on(namespace,pod) group_left() \
             max by (namespace,pod)(kube_pod_labels{namespace=\"arena\",label_version_name=\"v1.0.0\"}) )"
        );
        assert_eq!(
            queries.bytes,
            "sum( sum by (namespace,pod)(container_memory_working_set_bytes{namespace=\"arena\",container!=\"\",\
             container!=\"POD\"}) * on(namespace,pod) group_left() \
             max by (namespace,pod)(kube_pod_labels{namespace=\"arena\",label_version_name=\"v1.0.0\"}) )"
        );
        let of = measured("v1.0.0", &["arena-1-a", "arena-1.b"]);
        let queries = Queries::by_rooms(&of, Duration::from_secs(90));
        assert_eq!(
            queries.cores,
            "sum(rate(container_cpu_usage_seconds_total{namespace=\"arena\",pod=~\"arena-1-a|arena-1\\\\.b\",\
             container!=\"\",container!=\"POD\"}[90s]))"
        );
    }

    #[test]
    fn no_name_leaves_its_quotes() {
        let of = measured("v1\"} or vector(1) #\\\n", &[]);
        let queries = Queries::by_label(&of, "version-name", RATE);
        let escaped = "label_version_name=\"v1\\\"} or vector(1) #\\\\\\n\"";
        assert!(queries.bytes.contains(escaped), "{}", queries.bytes);
    }
}
