//! A server that answers as a test wants: what a real one does rarely, or never to us.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use maestro_core::ports::{Measured, MetricsError, MetricsSource, Usage, Window};
use maestro_prometheus::{PodSelector, PrometheusSettings, PrometheusSource, QuerySettings};
use maestro_testkit::servers::http::{Answer, HttpServer, Request};

type Heard = Arc<Mutex<Vec<Request>>>;

async fn server(
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> (HttpServer, Heard) {
    let heard = Heard::default();
    let all = heard.clone();
    let server = HttpServer::start(move |request| {
        all.lock().expect("no panic").push(request.clone());
        answer(&request)
    });
    (server.await, heard)
}

fn settings(url: String) -> PrometheusSettings {
    PrometheusSettings {
        url,
        timeout: Duration::from_millis(300),
        token_file: None,
        tenant: None,
        authorities: None,
    }
}

fn open(settings: PrometheusSettings) -> PrometheusSource {
    let queries = QuerySettings {
        rate_window: Duration::from_secs(300),
        pod_selector: PodSelector::Labels,
        version_label: "version-name".into(),
    };
    PrometheusSource::open(settings, queries).expect("good settings")
}

async fn usage(source: &PrometheusSource) -> Result<Vec<Usage>, MetricsError> {
    let of = Measured {
        scheduler: "arena".into(),
        version: "v1.0.0".into(),
        rooms: Vec::new(),
    };
    let window = Window {
        from: "2026-01-02T12:00:00Z".parse().expect("a time"),
        to: "2026-01-02T12:15:00Z".parse().expect("a time"),
        step: Duration::from_secs(60),
    };
    source.usage(&of, window).await
}

fn matrix(values: &str) -> Answer {
    let result = match values {
        "" => String::new(),
        values => format!(r#"{{"metric":{{}},"values":[{values}]}}"#),
    };
    let body =
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}}}"#);
    Answer::Text(200, body)
}

fn is_about_cpu(request: &Request) -> bool {
    request.body.contains("container%5Fcpu")
}

#[tokio::test]
async fn a_memory_that_begins_before_its_cpu_is_not_shifted() {
    let (server, heard) = server(|request| match is_about_cpu(request) {
        true => matrix(r#"[60,"0.35"]"#),
        false => matrix(r#"[0,"100"],[60,"200"],[120,"300"]"#),
    })
    .await;
    let source = open(settings(format!("http://{}/", server.address)));
    let found = usage(&source).await.expect("an answer");
    let plain: Vec<_> = found
        .iter()
        .map(|usage| (usage.at.as_second(), usage.cores, usage.bytes))
        .collect();
    assert_eq!(
        plain,
        [(0, 0.0, 100.0), (60, 0.35, 200.0), (120, 0.0, 300.0)]
    );
    let heard = heard.lock().expect("no panic");
    assert_eq!(heard.len(), 2, "one query each");
    for request in &*heard {
        assert!(request.head.starts_with("POST /api/v1/query_range "));
        let times = "&start=1767355200%2E000&end=1767356100%2E000&step=60&timeout=300ms";
        assert!(request.body.ends_with(times), "{}", request.body);
    }
}

#[tokio::test]
async fn an_empty_answer_is_looked_into_once_a_minute() {
    let seen = |words: &[&str]| {
        let each = words
            .iter()
            .map(|word| format!(r#"{{"metric":{{"seen":"{word}"}},"value":[0,"1"]}}"#));
        let result = each.collect::<Vec<_>>().join(",");
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
    };
    for (there, expected) in [
        (&["containers", "pods", "labels"][..], None),
        (&[], None),
        (
            &["pods"],
            Some("--metric-labels-allowlist=pods=[version-name]"),
        ),
        (&["containers"], Some("let it scrape kube-state-metrics")),
    ] {
        let there = seen(there);
        let (server, heard) =
            server(
                move |request| match request.head.starts_with("POST /api/v1/query_range ") {
                    true => matrix(""),
                    false => Answer::Text(200, there.clone()),
                },
            )
            .await;
        let source = open(settings(format!("http://{}", server.address)));
        for _ in 0..2 {
            match (usage(&source).await, expected) {
                (Ok(found), None) => assert_eq!(found, []),
                (Err(MetricsError::Unprepared(text)), Some(what)) => {
                    assert!(text.contains(what), "{text}");
                }
                (other, _) => panic!("{other:?}"),
            }
        }
        let looks = if expected.is_none() { 1 } else { 2 };
        assert_eq!(heard.lock().expect("no panic").len(), 4 + looks);
    }
}

#[tokio::test]
async fn failures_say_what_can_be_done() {
    let (hangs, _) = server(|_| Answer::Never).await;
    let late = usage(&open(settings(format!("http://{}", hangs.address)))).await;
    assert!(matches!(late, Err(MetricsError::Late(_))), "{late:?}");

    let (refuses, _) = server(|_| {
        let body = r#"{"status":"error","errorType":"bad_data","error":"zero or negative step"}"#;
        Answer::Text(400, body.to_owned())
    })
    .await;
    let refused = usage(&open(settings(format!("http://{}", refuses.address)))).await;
    let Err(MetricsError::Internal(text)) = refused else {
        panic!("{refused:?}");
    };
    assert!(text.ends_with("zero or negative step"), "{text}");

    let address = refuses.address;
    drop(refuses);
    let gone = usage(&open(settings(format!("http://{address}")))).await;
    let Err(MetricsError::Unavailable(text)) = gone else {
        panic!("{gone:?}");
    };
    assert!(text.contains("prometheus.url"), "{text}");
}

#[tokio::test]
async fn a_token_is_read_for_each_query_and_the_tenant_is_named() {
    let (server, heard) = server(|_| matrix(r#"[0,"1"]"#)).await;
    let token = tempfile::NamedTempFile::new().expect("a file");
    let source = open(PrometheusSettings {
        token_file: Some(token.path().to_owned()),
        tenant: Some("games".into()),
        ..settings(format!("http://{}", server.address))
    });
    for word in ["first", "second"] {
        std::fs::write(token.path(), format!("{word}\n")).expect("a token");
        assert!(usage(&source).await.is_ok());
        let mut heard = heard.lock().expect("no panic");
        for request in heard.drain(..) {
            let head = request.head.to_ascii_lowercase();
            assert!(
                head.contains(&format!("authorization: bearer {word}")),
                "{head}"
            );
            assert!(head.contains("x-scope-orgid: games"), "{head}");
        }
    }
    let missing = open(PrometheusSettings {
        token_file: Some("/nowhere/token".into()),
        ..settings(format!("http://{}", server.address))
    });
    let refused = usage(&missing).await;
    assert!(
        matches!(refused, Err(MetricsError::Unprepared(_))),
        "{refused:?}"
    );
}

#[test]
fn settings_of_no_use_are_told_at_the_start() {
    let queries = || QuerySettings {
        rate_window: Duration::from_secs(300),
        pod_selector: PodSelector::Labels,
        version_label: "version-name".into(),
    };
    let told = |settings| {
        let refused = PrometheusSource::open(settings, queries()).err();
        refused.expect("a refusal").to_string()
    };
    for url in ["localhost:9090", "ftp://localhost", "http://a b"] {
        assert!(told(settings(url.into())).starts_with("prometheus.url"));
    }
    let authorities = told(PrometheusSettings {
        authorities: Some("/nowhere/ca.pem".into()),
        ..settings("https://localhost".into())
    });
    assert!(authorities.contains("prometheus.caFile=/nowhere/ca.pem"));
    let tenant = told(PrometheusSettings {
        tenant: Some("two\nlines".into()),
        ..settings("http://localhost".into())
    });
    assert!(tenant.starts_with("prometheus.tenant"));
}
