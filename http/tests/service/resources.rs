//! What rooms use: answers, failures, and streams that end.

use std::sync::Arc;
use std::time::Duration;

use maestro_api::ManagementService;
use maestro_core::ports::MetricsError;
use maestro_http::{gateway, server};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connections::{LONG, connect, settings, short};
use crate::fleet::Fleet;

const METRICS: &str = "/schedulers/arena/versions/v1.0.0/metrics";

async fn fleet() -> Fleet {
    let fleet = Fleet::start(false).await;
    fleet.create(0).await;
    let created = async |fleet: &Fleet| fleet.get(METRICS).await.status == 200;
    fleet.until("the version is there", created).await;
    fleet
}

#[actix_web::test]
async fn figures_are_cores_and_bytes_by_time() {
    let fleet = fleet().await;
    let query = "fromDate=2026-01-02T12:00:00Z&toDate=2026-01-02T12:15:00Z&step=60";
    let answer = fleet.get(&format!("{METRICS}?{query}")).await.ok();
    let samples = answer["versionResourceMetrics"].as_array().unwrap();
    assert_eq!(samples.len(), 16);
    let first = json!({"date": "2026-01-02T12:00:00Z", "cpu": 0.35, "mem": 150_000_000});
    assert_eq!(samples[0], first);
    let (of, _) = fleet.metrics.asked().pop().unwrap();
    assert_eq!(
        (of.scheduler.as_str(), of.version.as_str()),
        ("arena", "v1.0.0")
    );
    let alerts = fleet
        .get("/schedulers/arena/versions/v1.0.0/alerts")
        .await
        .ok();
    let alert = &alerts["alerts"][0];
    assert_eq!(
        (&alert["name"], &alert["severity"]),
        (&json!("RoomsBusy"), &json!("warning"))
    );
    assert_eq!(alert["activeAt"], "2026-01-02T03:04:05Z");
}

#[actix_web::test]
async fn failures_of_the_source_have_their_statuses() {
    let fleet = fleet().await;
    let text = || "why".to_owned();
    for (error, status, code) in [
        (MetricsError::Invalid(text()), 400, 3),
        (MetricsError::Late(text()), 504, 4),
        (MetricsError::Unprepared(text()), 409, 9),
        (MetricsError::Internal(text()), 500, 13),
        (MetricsError::Unavailable(text()), 503, 14),
    ] {
        fleet.metrics.fail(Some(error));
        for path in ["metrics", "alerts"] {
            let path = format!("/schedulers/arena/versions/v1.0.0/{path}");
            let failure = fleet.get(&path).await.failure();
            assert_eq!(failure, (status, code, "why".to_owned()), "{path}");
        }
    }
}

#[actix_web::test]
async fn no_question_is_asked_about_names_that_cannot_be() {
    let fleet = fleet().await;
    let before = fleet.metrics.asked().len();
    for path in [
        "/schedulers/arena/versions/v1%22/metrics",
        "/schedulers/arena/versions/v1%27/metrics/watch",
        "/schedulers/ARENA/versions/v1/metrics",
    ] {
        let failure = fleet.get(path).await.failure();
        assert_eq!((failure.0, failure.1), (400, 3), "{path}");
    }
    assert_eq!(fleet.metrics.asked().len(), before);
}

#[actix_web::test]
async fn three_failures_in_a_row_end_a_stream() {
    let fleet = fleet().await;
    fleet
        .metrics
        .fail(Some(MetricsError::Unavailable("down".into())));
    let reply = fleet.get(&format!("{METRICS}/watch")).await;
    assert_eq!(
        (reply.status, reply.kind.as_str()),
        (200, "text/event-stream")
    );
    let events: Vec<&str> = reply.text.split_terminator("\n\n").collect();
    let failed = "event: error\ndata: {\"code\":14,\"message\":\"down\"}";
    assert_eq!(&events[..2], [failed, failed]);
    assert_eq!(events.len(), 3, "{}", reply.text);
    assert!(
        events[2].contains("3 attempts in a row failed"),
        "{}",
        events[2]
    );
}

#[actix_web::test]
async fn a_client_that_left_stops_the_questions() {
    let fleet = fleet().await;
    let (settings, address) = settings(short(), 16);
    let api = gateway::management(Arc::new(ManagementService::new(fleet.node.clone())));
    let server = server::management(settings, api, fleet.management_parts()).unwrap();
    actix_web::rt::spawn(server);
    let mut client = connect(address).await;
    let request = format!("GET {METRICS}/watch?step=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut buffer, mut text) = ([0; 4096], String::new());
    // More than the time after which a silent connection is closed.
    while text.matches("event: metrics").count() < 4 {
        let read = tokio::time::timeout(LONG, client.read(&mut buffer)).await;
        let read = read.expect("in time").expect("a stream");
        assert!(read > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    drop(client);
    // One question may be under way when the client leaves; then there are no more, for longer than a tick.
    let looks = async || {
        let before = fleet.metrics.asked().len();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        fleet.metrics.asked().len() - before
    };
    let first = looks().await;
    assert!(first <= 1, "{first} questions");
    assert_eq!(looks().await, 0);
}
