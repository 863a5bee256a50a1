//! What orders do, and which of them are refused.

use crate::grpc::GrpcClient;
use crate::support::variables_of;
use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_started_published_and_stopped_one_by_one() {
    let home = Home::new();
    let maestro = two_versions(&home).await;
    let first = rooms(&maestro, V1).await;
    assert_eq!(first.len(), 2);

    let told = done(&maestro, V2, "start").await;
    let text = told["message"].as_str().expect("a text");
    assert!(text.contains("2 rooms are up"), "{text}");
    assert_eq!(state(&maestro, V2).await, "STARTED");
    assert_eq!(state(&maestro, V1).await, "PUBLISHED");
    let second = rooms(&maestro, V2).await;
    assert_eq!(second.len(), 2);
    assert_eq!(rooms(&maestro, V1).await, first, "none was ended for it");
    only_of(&maestro, &first).await;

    let told = done(&maestro, V2, "publish").await;
    assert_eq!(
        told["url"],
        format!("{}/scheduler/arena/rooms/allocate", maestro.rooms)
    );
    assert_eq!(state(&maestro, V2).await, "PUBLISHED");
    assert_eq!(state(&maestro, V1).await, "STARTED");
    only_of(&maestro, &second).await;

    // The published version is neither stopped, nor is another one unpublished in its place.
    let (status, answer) = order(&maestro, V1, "unpublish").await;
    assert_eq!((status, &answer["code"]), (409, &json!(9)), "{answer}");
    let (status, answer) = order(&maestro, V2, "stop").await;
    assert_eq!((status, &answer["code"]), (409, &json!(9)), "{answer}");
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|text| text.contains("unpublish it")),
        "{answer}"
    );
    assert_eq!(state(&maestro, V2).await, "PUBLISHED");

    done(&maestro, V2, "unpublish").await;
    assert_eq!(state(&maestro, V2).await, "STARTED");
    let (status, answer) = maestro.allocate("arena").await;
    assert_eq!(status, 503, "{answer}");
    let text = answer["message"].as_str().unwrap_or_default();
    assert!(text.contains("published"), "{answer}");

    // Twice: the second one has nothing to do.
    for _ in 0..2 {
        done(&maestro, V1, "stop?force=true").await;
        assert_eq!(state(&maestro, V1).await, "STOPPED");
        assert!(rooms(&maestro, V1).await.is_empty());
    }
    assert_eq!(
        rooms(&maestro, V2).await.len(),
        2,
        "those of another version stay"
    );
    let listed = maestro.get("/schedulers/arena/versions/status").await.1;
    let listed: Vec<_> = listed["versions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|version| (version["version"].clone(), version["state"].clone()))
        .collect();
    let expected = [(json!(V1), json!("STOPPED")), (json!(V2), json!("STARTED"))];
    assert_eq!(listed, expected);
}

/// All rooms that callers get are among these, as far as there are any.
async fn only_of(maestro: &Maestro, wanted: &[String]) {
    let mut given = 0;
    loop {
        let (status, answer) = maestro.allocate("arena").await;
        if status == 503 {
            break;
        }
        assert_eq!(status, 200, "{answer}");
        let room = answer["roomId"].as_str().expect("a room").to_owned();
        assert!(wanted.contains(&room), "{room} is none of {wanted:?}");
        given += 1;
    }
    assert!(given > 0, "no room was given");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_reaches_idle_rooms_at_once_and_others_after_their_match() {
    let home = Home::new();
    let maestro = home.start();
    let fleet = home.mute_fleet("arena", 2);
    assert_eq!(maestro.post("/schedulers", &fleet).await.0, 200);
    let there = eventually(seconds(30), async || rooms(&maestro, V1).await.len() == 2);
    assert!(there.await);
    let config = json!({"config": [{"key": "OLD", "value": "1"}]});
    let (status, ordered) = maestro.post(&path(V1, "start"), &config).await;
    assert_eq!(status, 202, "{ordered}");
    ping_until(&maestro, V1, "STARTED").await;
    // The rooms are older than the configuration of the start.
    fresh(&maestro, &home, &[("OLD", Some("1"))]).await;

    let busy = rooms(&maestro, V1).await.swap_remove(0);
    let body = json!({"status": "occupied", "timestamp": 1, "runningMatches": 1});
    maestro.ping("arena", &busy, &body).await;
    let secret = "xyzzy-secret-of-the-test";
    let config = json!([{"key": "MAP", "value": "desert"}, {"key": "TOKEN", "value": secret}]);
    let (status, answer) = configure(&maestro, V1, "", config.clone()).await;
    assert_eq!(status, 202, "{answer}");
    let id = answer["operation_id"].as_str().expect("an id").to_owned();
    // What is left to do is not waited for: a match may last.
    let wanted: Wanted<'_> = &[("MAP", Some("desert")), ("OLD", None)];
    let done = eventually(seconds(40), async || {
        let (up, _) = ping_fresh(&maestro, &home, wanted).await;
        up > 0 && maestro.operations("arena", "active").await.is_empty()
    });
    let done = done.await;
    let operation = maestro.ended("arena", &id).await;
    assert!(
        done && operation["status"] == "finished",
        "{}",
        history(&operation)
    );
    assert!(rooms(&maestro, V1).await.contains(&busy), "it has a match");
    let (status, read) = maestro.get(&path(V1, "config")).await;
    assert_eq!((status, &read["config"]), (200, &config));

    maestro
        .ping("arena", &busy, &json!({"status": "ready", "timestamp": 2}))
        .await;
    fresh(&maestro, &home, wanted).await;
    assert!(!rooms(&maestro, V1).await.contains(&busy));
    assert!(!maestro.logged().contains(secret), "values are logged");
    assert!(!operation.to_string().contains(secret), "{operation}");
}

/// Variables that rooms have, or have not.
type Wanted<'a> = &'a [(&'a str, Option<&'a str>)];

/// Pings for the rooms that have these variables; how many of them are ready, and how many rooms there are.
async fn ping_fresh(maestro: &Maestro, home: &Home, wanted: Wanted<'_>) -> (usize, usize) {
    let has = |pid: i32| {
        let variables = variables_of(pid).unwrap_or_default();
        wanted
            .iter()
            .all(|(name, value)| variables.get(*name).map(String::as_str) == *value)
    };
    let all = home.pids("arena");
    let fresh: Vec<_> = all.iter().filter(|(_, pid)| has(*pid)).collect();
    for (room, _) in &fresh {
        let body = json!({"status": "ready", "timestamp": 1});
        maestro.ping("arena", room, &body).await;
    }
    let ready = maestro.get("/schedulers/arena/rooms?status=ready").await.1;
    let ready = ready["rooms"].as_array().cloned().unwrap_or_default();
    let is_ready = |id: &String| ready.iter().any(|room| room["id"] == id.as_str());
    let up = fresh.iter().filter(|(room, _)| is_ready(room)).count();
    (up, all.len())
}

/// Waits until both rooms have these variables and are ready, and those before them are no longer listed.
async fn fresh(maestro: &Maestro, home: &Home, wanted: Wanted<'_>) {
    let came = eventually(seconds(40), async || {
        ping_fresh(maestro, home, wanted).await == (2, 2) && rooms(maestro, V1).await.len() == 2
    });
    assert!(came.await, "{:?}", home.pids("arena"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_before_anything_is_queued() {
    let home = Home::new();
    let maestro = two_versions(&home).await;
    done(&maestro, V2, "start").await;
    let before = maestro.operations("arena", "final").await.len();
    let grpc = GrpcClient::connect(&maestro.grpc).await;
    let of = |name: &str| json!({"name": name, "namespace": "arena"});
    let image = |image: &str| {
        let nodes = json!([{"nodes": [{"image": image}]}]);
        json!({"name": V2, "namespace": "arena", "workflows": nodes})
    };
    let pairs = |config: Value| json!({"name": V2, "namespace": "arena", "config": config});
    let large = json!([{"key": "A", "value": "v".repeat(200_000)}]);
    for (method, request, code, why) in [
        ("Start", json!({}), 3, "has no version"),
        (
            "Stop",
            json!({"version": of("v1\"")}),
            3,
            "name of a version",
        ),
        (
            "Publish",
            json!({"version": {"name": V1, "namespace": "ARENA"}}),
            3,
            "namespace",
        ),
        (
            "UpdateConfig",
            json!({"version": pairs(json!([{"key": "1A"}]))}),
            3,
            "is no name",
        ),
        (
            "UpdateConfig",
            json!({"version": pairs(large)}),
            3,
            "allowed",
        ),
        (
            "UpdateConfig",
            json!({"version": of(V2), "restart": "now"}),
            3,
            "rolling, all or none",
        ),
        ("Start", json!({"version": of("v9.0.0")}), 5, "not found"),
        (
            "Start",
            json!({"version": {"name": V1, "namespace": "nobody"}}),
            5,
            "not found",
        ),
        (
            "Start",
            json!({"version": image("another")}),
            6,
            "without the image another",
        ),
        (
            "Start",
            json!({"version": of(V2)}),
            9,
            "has its rooms already",
        ),
        ("Stop", json!({"version": of(V1)}), 9, "unpublish it"),
        (
            "Unpublish",
            json!({"version": of(V2)}),
            9,
            "that is published",
        ),
    ] {
        let method = format!("version.VersionService/{method}");
        let refused = grpc.call(&method, request.clone()).await;
        let refused = refused.expect_err("it is refused");
        let told = (refused.code() as i32, refused.message());
        assert!(
            told.0 == code && told.1.contains(why),
            "{method} {request}: {told:?}"
        );
    }
    for (path, status) in [
        (path("v1%22", "start"), 400),
        (path(V2, "start?wait=soon"), 400),
        (path(V2, "start?until=1"), 400),
        (path("v9.0.0", "stop"), 404),
        (path(V2, "start"), 409),
    ] {
        let (found, answer) = maestro.post(&path, &json!({})).await;
        assert_eq!(found, status, "{path}: {answer}");
    }
    assert_eq!(maestro.operations("arena", "final").await.len(), before);
    assert!(maestro.operations("arena", "active").await.is_empty());
    assert!(maestro.operations("arena", "pending").await.is_empty());
}

/// The body of an order may be as large as that of other calls.
#[tokio::test(flavor = "multi_thread")]
async fn many_pairs_are_taken_and_too_many_are_refused_as_json() {
    let home = Home::new();
    let maestro = two_versions(&home).await;
    let pairs: Vec<_> = (0..10_000)
        .map(|number| json!({"key": format!("KEY_{number}"), "value": "v".repeat(40)}))
        .collect();
    let (status, answer) = configure(&maestro, V2, "?restart=none&wait=30s", json!(pairs)).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = maestro.get(&path(V2, "config")).await;
    assert_eq!(status, 200, "{answer}");
    let stored = answer["config"].as_array().expect("a list");
    assert_eq!(stored.len(), pairs.len());
    done(&maestro, V2, "start").await;

    for (method, what) in [("PUT", "config"), ("POST", "start"), ("POST", "publish")] {
        let url = format!("{}{}", maestro.management, path(V2, what));
        let body = json!({"comment": "x".repeat(2 << 20)});
        let (status, answer) = maestro.call(method, &url, Some(&body)).await;
        assert_eq!(
            (status, &answer["code"]),
            (413, &json!(8)),
            "{what}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_fail_with_a_configuration_say_why() {
    let home = Home::new();
    let maestro = two_versions(&home).await;
    done(&maestro, V2, "start").await;
    let nowhere = json!([{"key": "PATH", "value": "/nowhere"}]);
    let (status, answer) = configure(&maestro, V2, "", nowhere).await;
    assert_eq!(status, 202, "{answer}");
    let failure = || async {
        let (_, state) = maestro.get(&path(V2, "status")).await;
        state["failure"].as_str().unwrap_or_default().to_owned()
    };
    let told = || async { !failure().await.is_empty() };
    assert!(eventually(seconds(30), told).await, "nobody says why");
    let id = answer["operation_id"].as_str().expect("an id");
    let url = format!("/schedulers/arena/operations/{id}/cancel");
    assert_eq!(maestro.post(&url, &json!({})).await.0, 200);
    let mended = || async {
        let (status, _) = configure(&maestro, V2, "", json!([])).await;
        status == 202
    };
    assert!(eventually(seconds(30), mended).await, "it is not canceled");
    let whole = || async {
        let (_, state) = maestro.get(&path(V2, "status")).await;
        state["roomsUp"] == state["roomsWanted"] && state["roomsOutdated"] == 0
    };
    assert!(eventually(seconds(60), whole).await);

    // A misspelt field is no order to remove all pairs.
    let url = format!("{}{}", maestro.management, path(V2, "config"));
    for body in [json!({"confg": []}), json!({})] {
        let (status, refused) = maestro.call("PUT", &url, Some(&body)).await;
        let text = refused["message"].as_str().unwrap_or_default();
        assert!(status == 400 && text.contains("`config`"), "{refused}");
    }
}
