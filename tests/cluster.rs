//! Several processes on one Postgres and one Redis: each scheduler has one owner, and any of them answers.

mod support;

use serde_json::Value;
use std::time::Instant;
use support::stores::Stores;
use support::{Home, Maestro, eventually, seconds};

const FLEETS: [&str; 4] = ["north", "east", "south", "west"];

async fn serves(node: &Maestro, fleet: &str) -> bool {
    let path = format!("/schedulers/{fleet}/rollout");
    node.get(&path).await.0 == 200
}

async fn serves_all(node: &Maestro) -> bool {
    for fleet in FLEETS {
        if !serves(node, fleet).await {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_answers_and_what_a_killed_one_owned_goes_on() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (first_home, second_home) = (Home::new(), Home::new());
    let first = stores.node(&first_home);
    let second = stores.node(&second_home);
    for fleet in FLEETS {
        let created = first
            .post("/schedulers", &first_home.mute_fleet(fleet, 2))
            .await;
        assert_eq!(created.0, 200, "{}", created.1);
    }
    assert!(eventually(seconds(30), || serves_all(&second)).await);
    let owned = stores.owned();
    assert_eq!(owned, ["east", "north", "south", "west"]);
    // An order to a node that owns none of them reaches the owner.
    let edited = second
        .patch(
            "/schedulers/north",
            &serde_json::json!({"roomsReplicas": 3}),
        )
        .await;
    assert_eq!(edited.0, 200, "{}", edited.1);
    let has_grown = || async {
        let (_, rooms) = second.get("/schedulers/north/rooms").await;
        rooms["rooms"].as_array().map(Vec::len) == Some(3)
    };
    assert!(eventually(seconds(30), has_grown).await);
    let url = format!("{}/debug/actors", second.internal);
    let (_, actors) = second.call("GET", &url, None).await;
    let named = actors["actors"].as_array().cloned().unwrap_or_default();
    let shown = |fleet: &&str| named.iter().any(|actor: &Value| actor["name"] == **fleet);
    assert!(FLEETS.iter().all(shown), "{actors}");

    let killed = Instant::now();
    first.kill();
    assert!(eventually(seconds(30), || serves_all(&second)).await);
    println!("served again after {:?}", killed.elapsed());
    assert_eq!(stores.owned().len(), FLEETS.len());
    assert!(second.stop().success());
    assert!(
        stores.owned().is_empty(),
        "a planned stop frees them at once"
    );
}
