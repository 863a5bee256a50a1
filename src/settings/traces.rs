//! The target and sampling of traces: our own settings, and the Go Maestro's Jaeger settings.

use super::form::Form;

/// The usual port of an OTLP collector for gRPC. A Jaeger agent's port uses another protocol.
const OTLP_PORT: u16 = 4317;
/// The share of requests that is traced, as the Go Maestro ships it.
const SAMPLER: f64 = 0.1;

#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// `None`: no traces, unless Jaeger's are on.
    pub endpoint: Option<String>,
    /// The share of requests that is traced, unless the caller decides.
    pub sampler: f64,
    pub jaeger_disabled: bool,
    pub jaeger_host: String,
    pub jaeger_sampler: f64,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    pub endpoint: String,
    pub sampler: f64,
    /// It follows from the Jaeger settings.
    pub from_jaeger: bool,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            sampler: SAMPLER,
            jaeger_disabled: true,
            jaeger_host: "localhost".into(),
            jaeger_sampler: SAMPLER,
        }
    }
}

impl TraceSettings {
    /// `None`: no traces.
    pub fn collector(&self) -> Option<Collector> {
        let own = self.endpoint.clone().map(|endpoint| Collector {
            endpoint,
            sampler: self.sampler,
            from_jaeger: false,
        });
        own.or_else(|| {
            (!self.jaeger_disabled).then(|| Collector {
                endpoint: format!("http://{}:{OTLP_PORT}", self.jaeger_host),
                sampler: self.jaeger_sampler,
                from_jaeger: true,
            })
        })
    }
}

/// Empty: none.
pub const OTLP_ENDPOINT: Form<Option<String>> = Form {
    unit: "URL",
    expected: "the URL of a collector that takes OTLP by gRPC, such as http://localhost:4317, or empty",
    read: |text| {
        if text.is_empty() {
            return Ok(Some(None));
        }
        let url: reqwest::Url = text.parse().map_err(|_| String::new())?;
        match url.scheme() {
            "http" if url.has_host() => Ok(Some(Some(text.to_owned()))),
            "https" => Err(
                "TLS to a collector is not in this build: send to one on this machine, which passes traces on".into(),
            ),
            _ => Err(String::new()),
        }
    },
    show: |value| value.clone().unwrap_or_default(),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jaegers_settings_count_while_ours_say_nothing() {
        let mut settings = TraceSettings::default();
        assert_eq!(settings.collector(), None);
        settings.jaeger_disabled = false;
        settings.jaeger_host = "jaeger".into();
        settings.jaeger_sampler = 0.5;
        let collector = settings.collector().unwrap();
        assert_eq!(collector.endpoint, "http://jaeger:4317");
        assert_eq!((collector.sampler, collector.from_jaeger), (0.5, true));
        settings.endpoint = Some("http://here:1".into());
        let collector = settings.collector().unwrap();
        assert_eq!(collector.endpoint, "http://here:1");
        assert_eq!((collector.sampler, collector.from_jaeger), (0.1, false));
    }

    #[test]
    fn an_endpoint_is_a_url_without_tls() {
        let read = OTLP_ENDPOINT.read;
        assert_eq!(read(""), Ok(Some(None)));
        let local = "http://localhost:4317";
        assert_eq!(read(local), Ok(Some(Some(local.into()))));
        for wrong in [
            "localhost:4317",
            "grpc://x",
            "http://",
            "rubbish",
            "https://x:1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
