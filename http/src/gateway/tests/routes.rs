//! Which route a path and a method select, and which fields the path sets (contract 2.1, 2.2, 15.10).

use super::*;

#[actix_web::test]
async fn paths_and_methods_lead_where_the_contract_says() {
    let nowhere = || error(5, "Not Found");
    let wrong = || error(12, "Method Not Allowed");
    check(&[
        ("GET", "/", &[], "", 404, nowhere()),
        ("GET", "/Schedulers", &[], "", 404, nowhere()),
        ("GET", "/healthz", &[], "", 404, nowhere()),
        ("GET", "/schedulers/s/", &[], "", 404, nowhere()),
        ("GET", "/schedulers/s/unknown", &[], "", 404, nowhere()),
        (
            "GET",
            "/schedulers/s/operations/a/b",
            &[],
            "",
            404,
            nowhere(),
        ),
        ("HEAD", "/nowhere", &[], "", 404, nowhere()),
        ("PATCH", "/schedulers/a%2Fb", &[], "{}", 404, nowhere()),
        ("GET", "/scheduler/x/rooms/y", &[], "", 404, nowhere()),
        (
            "GET",
            "/schedulers/",
            &[],
            "",
            404,
            error(5, "scheduler  not found"),
        ),
        (
            "GET",
            "/schedulers/info",
            &[],
            "",
            200,
            r#"{"schedulers":[]}"#.into(),
        ),
        (
            "PUT",
            "/schedulers/info",
            &[],
            r#"{"version":"v1"}"#,
            200,
            r#"{"operationId":"info@v1"}"#.into(),
        ),
        ("PUT", "/schedulers", &[], "", 501, wrong()),
        ("OPTIONS", "/schedulers", &[], "", 501, wrong()),
        ("LIST", "/schedulers", &[], "", 501, wrong()),
        ("HEAD", "/schedulers/s", &[], "", 501, wrong()),
        (
            "PUT",
            "/schedulers/s/operations/x/cancel",
            &[],
            "",
            501,
            wrong(),
        ),
        ("POST", "/scheduler/x/rooms/y/ping", &[], "", 501, wrong()),
        ("GET", "/scheduler/x/rooms/allocate", &[], "", 501, wrong()),
        (
            "POST",
            "/schedulers/s/operations/x/cancel",
            &[],
            "{broken",
            200,
            "{}".into(),
        ),
        (
            "POST",
            "/schedulers/s/add-rooms",
            &[],
            r#"{"amount":3}"#,
            200,
            r#"{"operationId":"s+3"}"#.into(),
        ),
        (
            "POST",
            "/schedulers/s/remove-rooms",
            &[],
            r#"{"amount":"3"}"#,
            200,
            r#"{"operationId":"s-3"}"#.into(),
        ),
    ])
    .await;
}

#[actix_web::test]
async fn path_parameters_are_single_decoded_segments_and_win() {
    let unchanged = |name: &str| error(6, &format!("no change found to scheduler {name}"));
    check(&[
        ("PATCH", "/schedulers/a+b", &[], "{}", 409, unchanged("a+b")),
        (
            "PATCH",
            "/schedulers/a:versions",
            &[],
            "",
            409,
            unchanged("a:versions"),
        ),
        (
            "PATCH",
            "/schedulers/a%00b",
            &[],
            "{}",
            409,
            unchanged("a\0b"),
        ),
        (
            "PATCH",
            "/schedulers/%2e%2e",
            &[],
            "{}",
            409,
            unchanged(".."),
        ),
        (
            "PATCH",
            "/schedulers/from-path",
            &[],
            r#"{"name":"other"}"#,
            409,
            unchanged("from-path"),
        ),
        (
            "PATCH",
            "/schedulers/%FF",
            &[],
            "{}",
            500,
            r#"{"code":13,"message":"failed to marshal error message"}"#.into(),
        ),
        (
            "GET",
            "/schedulers/sched%20one/operations/op",
            &[],
            "",
            409,
            error(10, r#"("sched one", "op")"#),
        ),
        (
            "PUT",
            "/schedulers/s",
            &[],
            r#"{"schedulerName":"z","version":"v2"}"#,
            200,
            r#"{"operationId":"s@v2"}"#.into(),
        ),
        (
            "PUT",
            "/scheduler/%FF/rooms/r/ping",
            &[],
            r#"{"status":"ready"}"#,
            200,
            r#"{"success":false}"#.into(),
        ),
    ])
    .await;
    let got = send("PATCH", "/schedulers/s", &[], br#"{"name":5}"#).await;
    assert_eq!(got.status, 400);
    assert!(
        got.body.starts_with(r#"{"code":3,"message":"proto:"#),
        "{}",
        got.body
    );
}

#[actix_web::test]
async fn unclean_paths_are_redirected() {
    for (method, path, location, body) in [
        (
            "GET",
            "/schedulers//versions",
            "/schedulers/versions",
            "<a href=\"/schedulers/versions\">Temporary Redirect</a>.\n\n",
        ),
        (
            "GET",
            "//schedulers?x=1&y",
            "/schedulers?x=1&y",
            "<a href=\"/schedulers?x=1&amp;y\">Temporary Redirect</a>.\n\n",
        ),
        ("POST", "/a/../schedulers", "/schedulers", ""),
        (
            "PUT",
            "/scheduler/x//rooms/y/ping",
            "/scheduler/x/rooms/y/ping",
            "",
        ),
    ] {
        let got = send(method, path, &[], b"{}").await;
        assert_eq!(
            (got.status, got.location.as_deref(), got.body.as_str()),
            (307, Some(location), body),
            "{path}"
        );
        let page = (method == "GET").then_some("text/html; charset=utf-8");
        assert_eq!(got.content_type.as_deref(), page, "{path}");
    }
    let got = send("GET", "/schedulers/%zz", &[], b"").await;
    assert_eq!((got.status, got.body.as_str()), (400, "400 Bad Request"));
    assert_eq!(
        got.content_type.as_deref(),
        Some("text/plain; charset=utf-8")
    );
}

#[test]
fn routes_name_string_fields_of_their_requests() {
    fn holds<M: Message>(name: &str) -> bool {
        M::FIELDS
            .iter()
            .position(|f| f.proto == name)
            .is_some_and(|p| M::default().bind(p, "text").is_ok())
    }
    assert!(
        holds::<GetSchedulerRequest>("scheduler_name")
            && holds::<SwitchActiveVersionRequest>("scheduler_name")
    );
    assert!(holds::<NewSchedulerVersionRequest>("name") && holds::<PatchSchedulerRequest>("name"));
    assert!(
        holds::<DeleteSchedulerRequest>("scheduler_name")
            && holds::<GetSchedulerVersionsRequest>("scheduler_name")
    );
    assert!(
        holds::<AddRoomsRequest>("scheduler_name") && holds::<RemoveRoomsRequest>("scheduler_name")
    );
    assert!(
        holds::<ListOperationsRequest>("scheduler_name")
            && holds::<AllocateRoomRequest>("scheduler_name")
    );
    assert!(
        holds::<GetOperationRequest>("operation_id")
            && holds::<CancelOperationRequest>("operation_id")
    );
    assert!(
        holds::<UpdateRoomWithPingRequest>("room_name")
            && holds::<UpdateRoomStatusRequest>("room_name")
    );
    assert!(
        holds::<ForwardRoomEventRequest>("room_name")
            && holds::<ForwardPlayerEventRequest>("room_name")
    );
    assert!(holds::<GetRoomAddressRequest>("room_name"));
}

#[test]
fn codes_have_their_http_status() {
    let expected = [
        499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
    ];
    use Code::*;
    let codes = [
        Canceled,
        Unknown,
        InvalidArgument,
        DeadlineExceeded,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        ResourceExhausted,
        FailedPrecondition,
        Aborted,
        OutOfRange,
        Unimplemented,
        Internal,
        Unavailable,
        DataLoss,
        Unauthenticated,
    ];
    for ((number, code), http) in (1..).zip(codes).zip(expected) {
        assert_eq!((code.number(), code.http()), (number, http));
    }
}
