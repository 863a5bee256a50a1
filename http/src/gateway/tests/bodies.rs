//! Bodies of every type, including malformed ones.

use super::*;

#[actix_web::test]
async fn bodies_are_json_whatever_their_type_and_yaml_where_it_says_so() {
    let created = |name: &str| {
        let mut scheduler = Scheduler {
            name: name.into(),
            ..Scheduler::default()
        };
        scheduler.spec = Some(Spec {
            termination_grace_period: Some(maestro_api::codec::Duration {
                seconds: 100,
                nanos: 0,
            }),
            ..Default::default()
        });
        maestro_api::codec::encode(&CreateSchedulerResponse {
            scheduler: Some(scheduler),
        })
    };
    let json = r#"{"name":"a","spec":{"terminationGracePeriod":"100"}}"#;
    let yaml = "name: a\nspec:\n  terminationGracePeriod: 100\n";
    check(&[
        (
            "POST",
            "/schedulers",
            &[
                ("content-type", "application/xml"),
                ("accept", "application/xml"),
            ],
            json,
            200,
            created("a"),
        ),
        ("POST", "/schedulers", &[], json, 200, created("a")),
        ("POST", "/schedulers", &[YAML], yaml, 200, created("a")),
        ("POST", "/schedulers", &[YAML], json, 200, created("a")),
        (
            "POST",
            "/schedulers",
            &[],
            "{\"name\": \"x\", ",
            400,
            error(3, "unexpected EOF"),
        ),
        (
            "POST",
            "/scheduler/s/rooms/allocate",
            &[],
            "",
            200,
            r#"{"roomId":"s","success":false,"message":"","ports":[],"host":""}"#.into(),
        ),
        (
            "PUT",
            "/scheduler/s/rooms/r/status",
            &[],
            "",
            200,
            r#"{"success":true}"#.into(),
        ),
        (
            "POST",
            "/scheduler/s/rooms/r/roomevent",
            &[],
            r#"{"event":"x"}"#,
            200,
            r#"{"success":true,"message":"x"}"#.into(),
        ),
        (
            "GET",
            "/scheduler/s/rooms/r/address",
            &[],
            "",
            503,
            error(14, "no address yet"),
        ),
    ])
    .await;
    let twice = send("POST", "/schedulers", &[YAML], b"a: 1\na: 2\n").await;
    assert!(
        twice.body.contains("duplicate") && !twice.body.contains("Options"),
        "{}",
        twice.body
    );
    let got = send("POST", "/schedulers", &[YAML], b"a: [1").await;
    assert!(
        got.status == 400 && got.body.contains("invalid YAML"),
        "{got:?}"
    );
    let got = send("POST", "/schedulers", &[], &vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(
        (got.status, got.body),
        (
            413,
            error(8, "request body exceeds the limit of 1048576 bytes")
        )
    );
}

/// Randomly damaged requests are answered with 2xx or 4xx.
#[actix_web::test]
async fn damaged_requests_are_never_server_errors() {
    let sample = r#"{"name":"a","game":"g","rooms_replicas":1e1,"spec":{"terminationGracePeriod":"90s","containers":[{"ports":[{"port":1}]}]},
      "status":"ready","metadata":{"a":[1,null,true,{"b":-1.5e3}],"c":"\u00e9"},"timestamp":"12","runningMatches":1}"#;
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5);
    let mut runner = TestRunner::deterministic();
    let targets = [
        ("POST", "/schedulers"),
        ("PATCH", "/schedulers/s"),
        ("PUT", "/scheduler/s/rooms/r/ping"),
        ("POST", "/scheduler/s/rooms/r/roomevent"),
    ];
    for round in 0..400 {
        let edits = damage.new_tree(&mut runner).unwrap().current();
        let mut body = sample.as_bytes().to_vec();
        for (index, byte) in edits {
            let at = index.index(body.len());
            if byte % 3 == 0 {
                body.truncate(at.max(1))
            } else {
                body[at] = byte
            }
        }
        let (method, path) = targets[round % targets.len()];
        let headers: &[_] = if round % 5 == 0 { &[YAML] } else { &[] };
        let got = send(method, path, headers, &body).await;
        assert!(
            matches!(got.status, 200..=299 | 400..=499),
            "{got:?} {}",
            String::from_utf8_lossy(&body)
        );
    }
}
