//! Queries, forms and headers (contract 2.1, 15.6 to 15.8, 15.11).

use super::*;

#[actix_web::test]
async fn query_parameters_bind_like_the_original() {
    let at = |query: &str| format!("/schedulers/s/operations?{query}");
    let page = |page: u32, size: &str| format!(r#"{{"page":{page},{size}"operations":[]}}"#);
    let number = |text: &str, why: &str| {
        error(
            3,
            &format!("parsing field \"page\": strconv.ParseUint: parsing \"{text}\": {why}"),
        )
    };
    let lines = [
        (
            "stage=a%20b%2Bc+d",
            400,
            error(3, "invalid stage filter: a b+c d"),
        ),
        ("Stage=final", 400, error(3, "invalid stage filter: ")),
        ("stage", 400, error(3, "invalid stage filter: ")),
        ("stage=null", 400, error(3, "invalid stage filter: null")),
        ("&&stage=final&", 200, page(1, "")),
        (
            "stage=final&unknown=1&a.b=2&c[d]=3&schedulerName=z",
            200,
            page(1, ""),
        ),
        (
            "stage=final&orderBy=x&perPage=3",
            200,
            page(1, "\"pageSize\":3,"),
        ),
        ("stage=final&orderBy=x&order_by=y", 200, page(1, "")),
        (
            "stage=final&page=1&page=2",
            400,
            error(3, "too many values for field \"page\": 1, 2"),
        ),
        (
            "stage=final&perPage=3&per_page=4",
            400,
            error(3, "field already set for oneof \"_per_page\""),
        ),
        (
            "stage[x]=final",
            400,
            error(3, "too many values for field \"stage\": x, final"),
        ),
        (
            "stage.x=1",
            400,
            error(3, "invalid path: \"stage\" is not a message"),
        ),
        ("stage=final&page=1.0", 400, number("1.0", "invalid syntax")),
        ("stage=final&page=-1", 400, number("-1", "invalid syntax")),
        ("stage=final&page=%2B1", 400, number("+1", "invalid syntax")),
        (
            "stage=final&page=4294967296",
            400,
            number("4294967296", "value out of range"),
        ),
        ("stage=%zz", 400, error(3, "invalid URL escape \"%zz\"")),
        ("a;b", 400, error(3, "invalid semicolon separator in query")),
        ("stage=%FF", 500, UNPRINTABLE.into()),
        ("stage=final&page=1&page=%FF", 500, UNPRINTABLE.into()),
        // Invalid UTF-8 is an error only if an answer would repeat it.
        ("stage=final&orderBy=%FF", 200, page(1, "")),
        ("stage=&game=%FF", 400, error(3, "invalid stage filter: ")),
    ];
    for (query, status, expected) in lines {
        check(&[("GET", &at(query), &[], "", status, expected)]).await;
    }
    check(&[(
        "GET",
        "/schedulers?game=x",
        &[],
        r#"{"game": 1"#,
        200,
        r#"{"schedulers":[]}"#.into(),
    )])
    .await;
}

#[actix_web::test]
async fn forms_reach_other_methods() {
    let over = |method: &'static str| [FORM, ("x-http-method-override", method)];
    let wrong = || error(12, "Method Not Allowed");
    check(&[
        (
            "POST",
            "/schedulers/s/operations",
            &[FORM],
            "stage=zzz",
            400,
            error(3, "invalid stage filter: zzz"),
        ),
        (
            "POST",
            "/schedulers/s/versions",
            &[FORM],
            "a=%zz",
            400,
            error(3, "invalid URL escape \"%zz\""),
        ),
        (
            "POST",
            "/schedulers/s/versions",
            &[("content-type", "application/json")],
            "",
            501,
            wrong(),
        ),
        (
            "POST",
            "/schedulers/s/versions",
            &[(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )],
            "",
            501,
            wrong(),
        ),
        // The query is parsed only if it can set a field, unless a form turns the POST into another method.
        (
            "GET",
            "/schedulers/s/versions?a=%zz",
            &[],
            "",
            409,
            error(10, "\"s\""),
        ),
        (
            "POST",
            "/schedulers/s/operations/o/cancel?a;b",
            &[FORM],
            "a=%zz",
            200,
            "{}".into(),
        ),
        (
            "POST",
            "/schedulers/s?a=%zz",
            &over("patch"),
            "{}",
            400,
            error(3, "invalid URL escape \"%zz\""),
        ),
        (
            "POST",
            "/schedulers/s/versions",
            &over("post"),
            "a=1",
            409,
            error(10, "\"s\""),
        ),
        (
            "POST",
            "/schedulers/s",
            &over("patch"),
            "{}",
            409,
            error(6, "no change found to scheduler s"),
        ),
        (
            "POST",
            "/schedulers/s",
            &over("DELETE"),
            "",
            404,
            error(5, "no scheduler found: s"),
        ),
        ("POST", "/schedulers/s", &over("FOO"), "", 501, wrong()),
        (
            "POST",
            "/nowhere",
            &over("FOO"),
            "a=%zz",
            400,
            error(3, "invalid URL escape \"%zz\""),
        ),
        (
            "GET",
            "/schedulers/s",
            &over("DELETE"),
            "",
            404,
            error(5, "scheduler s not found"),
        ),
        (
            "POST",
            "/schedulers/s",
            &[FORM],
            r#"{"name":"x"}"#,
            200,
            r#"{"operationId":"s"}"#.into(),
        ),
        (
            "PUT",
            "/scheduler/known/rooms/r1/ping",
            &[FORM],
            r#"{"status":"ready"}"#,
            200,
            r#"{"success":true}"#.into(),
        ),
    ])
    .await;
}

#[actix_web::test]
async fn what_is_no_text_cannot_be_repeated() {
    let got = send("POST", "/schedulers/s/operations", &[FORM], b"stage=\xff").await;
    assert_eq!((got.status, got.body.as_str()), (500, UNPRINTABLE));
    let fine = send(
        "POST",
        "/schedulers/s/operations",
        &[FORM],
        b"stage=final&x=\xff",
    )
    .await;
    assert_eq!(fine.status, 200);
    check(&[
        (
            "PUT",
            "/schedulers/%FF",
            &[],
            "[",
            400,
            error(3, "unexpected EOF"),
        ),
        (
            "GET",
            "/schedulers/%FF/operations?stage=x",
            &[],
            "",
            400,
            error(3, "invalid stage filter: x"),
        ),
        ("GET", "/schedulers/%FF", &[], "", 500, UNPRINTABLE.into()),
        // The replacement character itself is ordinary text.
        (
            "GET",
            "/schedulers/%EF%BF%BD",
            &[],
            "",
            404,
            error(5, "scheduler \u{fffd} not found"),
        ),
    ])
    .await;
}

#[actix_web::test]
async fn headers_set_deadlines_and_names() {
    let list = r#"{"schedulers":[]}"#.to_owned();
    check(&[
        (
            "GET",
            "/schedulers",
            &[("grpc-timeout", "10S")],
            "",
            200,
            list.clone(),
        ),
        (
            "GET",
            "/schedulers",
            &[("grpc-timeout", "0S")],
            "",
            200,
            list.clone(),
        ),
        (
            "GET",
            "/schedulers",
            &[("grpc-timeout", "999999999S")],
            "",
            200,
            list.clone(),
        ),
        (
            "GET",
            "/schedulers",
            &[("grpc-timeout", "5")],
            "",
            400,
            error(3, "invalid grpc-timeout: 5"),
        ),
        (
            "GET",
            "/schedulers",
            &[("grpc-timeout", "1x")],
            "",
            400,
            error(3, "invalid grpc-timeout: 1x"),
        ),
        (
            "GET",
            "/schedulers?game=deadline",
            &[("grpc-timeout", "-1S")],
            "",
            409,
            error(10, "Some(0)"),
        ),
        (
            "GET",
            "/schedulers?game=deadline",
            &[("grpc-timeout", "39S")],
            "",
            409,
            error(10, "Some(3)"),
        ),
        (
            "GET",
            "/schedulers?game=deadline",
            &[],
            "",
            409,
            error(10, "None"),
        ),
        (
            "GET",
            "/schedulers?game=panic",
            &[],
            "",
            500,
            error(13, "internal error"),
        ),
        (
            "GET",
            "/schedulers",
            &[("grpc-metadata-foo", "!!!")],
            "",
            200,
            list.clone(),
        ),
        (
            "PUT",
            "/scheduler/known/rooms/r1/ping",
            &[("grpc-timeout", "-1S")],
            r#"{"status":"ready"}"#,
            200,
            r#"{"success":true}"#.into(),
        ),
    ])
    .await;
    let got = send("GET", "/schedulers", &[("grpc-metadata-x-bin", "!!!")], b"").await;
    assert_eq!(got.status, 400);
    assert!(
        got.body
            .contains("invalid binary header Grpc-Metadata-X-Bin: "),
        "{}",
        got.body
    );
    assert_eq!(
        send("GET", "/", &[("x-request-id", "abc-1")], b"")
            .await
            .request_id,
        "abc-1"
    );
    let made = send("GET", "/", &[("x-request-id", "a b")], b"")
        .await
        .request_id;
    assert!(
        made.len() > 10 && made != send("GET", "/", &[], b"").await.request_id,
        "{made}"
    );
}
