//! Stores that answer, and do not work as they should: a Redis that fails over to a replica that lagged, is full, or
//! has another password; a Postgres that is read-only or has no connection left. Real processes.

mod support;

use maestro_testkit::servers::postgres::PostgresServer;
use maestro_testkit::servers::redis::{Connection, RedisServer, Reply};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;
use support::stores::{Stores, migrate, store_variables};
use support::{Home, Maestro, eventually, seconds, signal};
use tokio_postgres::{Client, NoTls};

const FLEET: &str = "north";

/// The rooms that have been made, by id.
async fn rooms(node: &Maestro) -> Vec<String> {
    let (_, listed) = node
        .get(&format!("/schedulers/{FLEET}/rooms?perPage=100"))
        .await;
    let rooms = listed["rooms"].as_array().cloned().unwrap_or_default();
    let made = rooms.iter().filter(|room| room["host"].is_string());
    made.map(|room| room["id"].as_str().expect("an id").to_owned())
        .collect()
}

async fn says(node: &Maestro, room: &str, status: &str) -> bool {
    let body = json!({"status": status, "timestamp": 1});
    node.ping(FLEET, room, &body).await.1["success"] == true
}

/// Rooms that do not ping by themselves, all of them ready.
async fn fleet(node: &Maestro, home: &Home, count: u32) -> Vec<String> {
    let created = node
        .post("/schedulers", &home.mute_fleet(FLEET, count))
        .await;
    assert_eq!(created.0, 200, "{}", created.1);
    all_ready(node, count as usize).await
}

async fn all_ready(node: &Maestro, count: usize) -> Vec<String> {
    let made = || async { rooms(node).await.len() == count };
    assert!(eventually(seconds(30), made).await, "{}", node.logged());
    let all = rooms(node).await;
    for room in &all {
        let ready = || async { says(node, room, "ready").await };
        assert!(eventually(seconds(20), ready).await, "{room}");
    }
    all
}

async fn given(node: &Maestro) -> String {
    let is_given = async || {
        let (status, told) = node.allocate(FLEET).await;
        (status == 200).then(|| told["roomId"].as_str().expect("an id").to_owned())
    };
    let until = Instant::now() + seconds(40);
    while Instant::now() < until {
        if let Some(room) = is_given().await {
            return room;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!(
        "no room is given: {:?}\n{}",
        node.allocate(FLEET).await,
        node.logged()
    );
}

async fn edited(node: &Maestro, surge: &str) {
    let path = format!("/schedulers/{FLEET}");
    let accepted = || async { node.patch(&path, &json!({"maxSurge": surge})).await };
    let until = Instant::now() + seconds(40);
    while Instant::now() < until {
        let answer = accepted().await;
        if answer.0 == 200 {
            let ended = node.done(FLEET, answer).await;
            assert_eq!(ended["status"], "finished", "{ended}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!(
        "no edit is accepted: {:?}\n{}",
        accepted().await,
        node.logged()
    );
}

fn is_allocated(stores: &Stores, room: &str) -> bool {
    let key = format!("scheduler:{FLEET}:rooms:{room}");
    !stores
        .redis
        .texts(&["HGET", &key, "allocated_at"])
        .is_empty()
}

/// Waits until a command is refused in these words.
async fn refused(what: impl AsyncFn() -> (u16, Value), words: &[&str]) -> bool {
    let until = Instant::now() + seconds(20);
    while Instant::now() < until {
        let (status, told) = what().await;
        let told = told.to_string();
        if status == 503 && words.iter().all(|word| told.contains(word)) {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    eprintln!("{:?}", what().await);
    false
}

async fn owner(stores: &Stores) -> String {
    let ask = "SELECT n.address FROM maestro_owner o JOIN maestro_node n USING (session)
               WHERE o.scheduler = 'north' AND n.expires_at > clock_timestamp()";
    let owned = || async { stores.postgres.ask(ask).len() == 1 };
    assert!(eventually(seconds(30), owned).await);
    stores.postgres.ask(ask).concat()
}

fn epoch(stores: &Stores) -> String {
    let ask = format!("SELECT epoch FROM maestro_owner WHERE scheduler = '{FLEET}'");
    stores.postgres.ask(&ask).concat()
}

fn fence(stores: &Stores) -> String {
    stores
        .redis
        .texts(&["HGET", "maestro:fence", FLEET])
        .concat()
}

/// A replica of a primary.
struct Replica(RedisServer);

impl Replica {
    async fn of(primary: &RedisServer) -> Option<Self> {
        let replica = Self(RedisServer::start(&[]).await?);
        replica.follow(primary).await;
        Some(replica)
    }

    /// Until it has all that the primary has at this moment.
    async fn follow(&self, primary: &RedisServer) {
        let (host, port) = primary.address().split_once(':').expect("host:port");
        self.0.ask(&["REPLICAOF", host, port]);
        let follows = || async {
            let up = self.0.texts(&["INFO", "replication"]).concat();
            up.contains("master_link_status:up") && primary.texts(&["WAIT", "1", "100"]) == ["1"]
        };
        assert!(eventually(seconds(30), follows).await);
    }

    /// It hears nothing of the primary any more.
    fn lag(&self) {
        self.0.ask(&["REPLICAOF", "NO", "ONE"]);
    }

    /// The primary is lost, and this one takes its address.
    async fn take_over(&self, primary: &mut RedisServer) {
        assert_eq!(self.0.texts(&["SAVE"]), ["OK"]);
        primary.kill();
        let (from, to) = (
            self.0.folder().join("dump.rdb"),
            primary.folder().join("dump.rdb"),
        );
        fs::copy(from, to).expect("it was saved");
        primary.again().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lagged_takes_over_and_what_the_owner_acknowledged_stays() {
    let Some(mut stores) = Stores::start().await else {
        return;
    };
    let Some(replica) = Replica::of(&stores.redis).await else {
        return;
    };
    let home = Home::new();
    let node = stores.node(&home);
    fleet(&node, &home, 4).await;
    let first = given(&node).await;
    replica.follow(&stores.redis).await;
    replica.lag();

    // All of this the replica has not heard.
    let second = given(&node).await;
    edited(&node, "7").await;
    let ordered = node
        .post(
            &format!("/schedulers/{FLEET}/add-rooms"),
            &json!({"amount": 2}),
        )
        .await;
    let added = Maestro::id(&ordered);
    assert_eq!(node.done(FLEET, ordered).await["status"], "finished");
    let all: BTreeSet<String> = all_rooms(&node, 6).await;
    replica.take_over(&mut stores.redis).await;
    assert!(!is_allocated(&stores, &second), "it lags");

    let third = given(&node).await;
    assert!(
        ![&first, &second].contains(&&third),
        "{third} was given before"
    );
    let stored = || async {
        [&first, &second, &third]
            .iter()
            .all(|room| is_allocated(&stores, room))
    };
    assert!(eventually(seconds(20), stored).await, "{}", node.logged());
    assert_eq!(all_rooms(&node, 6).await, all);
    let (status, told) = node
        .get(&format!("/schedulers/{FLEET}/operations/{added}"))
        .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["operation"]["status"], "finished", "{told}");
    let (_, shown) = node.get(&format!("/schedulers/{FLEET}")).await;
    assert_eq!(shown["scheduler"]["maxSurge"], "7", "{shown}");
    edited(&node, "8").await;
    assert!(node.stop().success());
}

async fn all_rooms(node: &Maestro, count: usize) -> BTreeSet<String> {
    let made = || async { rooms(node).await.len() == count };
    assert!(
        eventually(seconds(30), made).await,
        "{:?}\n{}",
        rooms(node).await,
        node.logged()
    );
    rooms(node).await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_owner_that_wakes_up_after_a_fail_over_writes_nothing() {
    let Some(mut stores) = Stores::start().await else {
        return;
    };
    let Some(replica) = Replica::of(&stores.redis).await else {
        return;
    };
    let homes = [Home::new(), Home::new()];
    let former = stores.node(&homes[0]);
    let all = fleet(&former, &homes[0], 4).await;
    let next = stores.node(&homes[1]);
    let before = owner(&stores).await;
    let first = epoch(&stores);
    replica.follow(&stores.redis).await;
    replica.lag();

    signal(i32::try_from(former.pid()).expect("a pid"), Signal::STOP);
    let moved = || async {
        let epoch = epoch(&stores);
        epoch != first && fence(&stores).starts_with(&format!("{epoch}:"))
    };
    assert!(eventually(seconds(30), moved).await, "{}", next.logged());
    assert_ne!(owner(&stores).await, before);
    let second = epoch(&stores);
    let all_of_next = all_ready(&next, 4).await;
    let given_away = given(&next).await;
    replica.take_over(&mut stores.redis).await;
    assert!(
        fence(&stores).starts_with(&format!("{first}:")),
        "it lags: {}",
        fence(&stores)
    );
    signal(i32::try_from(former.pid()).expect("a pid"), Signal::CONT);

    // Everything that can make it write: the status of a room, an allocation, an edit. It passes them on.
    let room = all_of_next
        .iter()
        .find(|room| **room != given_away)
        .expect("another one");
    let occupied = || async { says(&former, room, "occupied").await };
    assert!(
        eventually(seconds(20), occupied).await,
        "{}",
        former.logged()
    );
    for room in &all {
        says(&former, room, "ready").await;
    }
    let another = given(&former).await;
    assert!(another != given_away && another != *room);
    edited(&former, "9").await;
    assert_eq!(epoch(&stores), second, "{}", former.logged());
    assert!(
        fence(&stores).starts_with(&format!("{second}:")),
        "{}",
        fence(&stores)
    );
    let stored = || async { is_allocated(&stores, &given_away) && is_allocated(&stores, &another) };
    assert!(eventually(seconds(20), stored).await, "{}", next.logged());
    assert!(former.stop().success() && next.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_takes_no_changes_also_of_who_starts_and_goes_on() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let homes = [Home::new(), Home::new()];
    let node = stores.node(&homes[0]);
    let all = fleet(&node, &homes[0], 3).await;
    let first = given(&node).await;
    stores.redis.ask(&["CONFIG", "SET", "maxmemory", "100kb"]);
    let is_said = ["OOM", "maxmemory"];
    assert!(
        refused(async || node.allocate(FLEET).await, &is_said).await,
        "{}",
        node.logged()
    );
    let patch = json!({"maxSurge": "7"});
    let path = format!("/schedulers/{FLEET}");
    assert!(refused(async || node.patch(&path, &patch).await, &is_said).await);
    let other = all
        .iter()
        .find(|room| **room != first)
        .expect("another one");
    assert!(says(&node, other, "occupied").await, "rooms go on");
    node.kill();

    // It starts, says why it serves nothing, and serves when there is room again.
    let variables = stores.environment();
    let mut variables: Vec<_> = variables
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    variables.push(("MAESTRO_RUNTIME_TYPE", "simulated"));
    let second = homes[1].start_only(&variables);
    let says_why = || async {
        let log = second.logged();
        is_said.iter().all(|word| log.contains(word))
    };
    assert!(
        eventually(seconds(30), says_why).await,
        "{}",
        second.logged()
    );
    stores.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let served = || async { second.get(&format!("{path}/rollout")).await.0 == 200 };
    assert!(eventually(seconds(40), served).await, "{}", second.logged());
    // The rooms of the killed node were simulated, and went with it.
    all_ready(&second, 3).await;
    given(&second).await;
    edited(&second, "7").await;
    assert!(second.stop().success());
}

const PASSWORDS: [&str; 2] = ["correct-horse", "battery-staple"];

fn asked(redis: &RedisServer, password: &str, command: &[&str]) -> Reply {
    let mut connection = Connection::open(redis.address()).expect("it listens");
    connection.ask(&["AUTH", password]).expect("a reply");
    let reply = connection.ask(command).expect("a reply");
    assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_redis_is_said_at_the_start_and_while_it_runs() {
    let [right, wrong] = PASSWORDS;
    let (Some(server), Some(redis)) = (
        PostgresServer::start(&[]).await,
        RedisServer::start(&["--requirepass", right]).await,
    ) else {
        return;
    };
    let database = server.database();
    let with = |password: &str| {
        let url = redis
            .url()
            .replace("redis://", &format!("redis://:{password}@"));
        let mut variables = store_variables(database.url(), &url);
        variables.push(("MAESTRO_RUNTIME_TYPE".into(), "simulated".into()));
        variables
    };
    migrate(&with(right));
    let home = Home::new();
    let start = |password: &str| {
        let variables = with(password);
        let pairs: Vec<_> = variables
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        home.try_start(&pairs)
    };
    let log = start(wrong).err().expect("it is refused");
    assert!(
        log.contains("WRONGPASS") && log.contains("the password"),
        "{log}"
    );
    assert!(
        PASSWORDS.iter().all(|password| !log.contains(password)),
        "{log}"
    );

    let node = start(right).unwrap_or_else(|log| panic!("{log}"));
    let all = fleet(&node, &home, 3).await;
    let first = given(&node).await;
    // Open connections stay open when a password changes; here they end, as they do some day.
    asked(&redis, right, &["CONFIG", "SET", "requirepass", wrong]);
    asked(&redis, wrong, &["CLIENT", "KILL", "TYPE", "normal"]);
    asked(&redis, wrong, &["CLIENT", "KILL", "TYPE", "pubsub"]);
    let logged = || async { node.logged().contains("WRONGPASS") };
    assert!(eventually(seconds(20), logged).await, "{}", node.logged());
    assert!(
        refused(async || node.allocate(FLEET).await, &["Redis"]).await,
        "{}",
        node.logged()
    );
    let other = all
        .iter()
        .find(|room| **room != first)
        .expect("another one");
    assert!(says(&node, other, "occupied").await, "rooms go on");
    let said = node.logged();
    assert!(
        said.matches("WRONGPASS").count() < 20,
        "not at each attempt: {said}"
    );
    assert!(
        PASSWORDS.iter().all(|password| !said.contains(password)),
        "{said}"
    );

    asked(&redis, wrong, &["CONFIG", "SET", "requirepass", right]);
    let last = given(&node).await;
    assert!(last != first && last != *other);
    let stored = || async {
        let key = format!("scheduler:{FLEET}:rooms:{other}");
        asked(&redis, right, &["HGET", &key, "ping_status"]) == Reply::Text("2".into())
    };
    assert!(
        eventually(seconds(20), stored).await,
        "what it said meanwhile is written"
    );
    edited(&node, "7").await;
    assert!(node.stop().success());
}

struct Nodes {
    server: PostgresServer,
    stores: Stores,
    homes: [Home; 2],
}

async fn own_postgres(options: &[&str]) -> Option<Nodes> {
    let (server, redis) = (
        PostgresServer::start(options).await?,
        RedisServer::start(&[]).await?,
    );
    let postgres = server.database();
    let stores = Stores { postgres, redis };
    migrate(&stores.environment());
    let homes = [Home::new(), Home::new()];
    Some(Nodes {
        server,
        stores,
        homes,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_read_only_moves_and_loses_nothing() {
    let Some(Nodes {
        server: _server,
        stores,
        homes,
    }) = own_postgres(&[]).await
    else {
        return;
    };
    let nodes = homes.each_ref().map(|home| stores.node(home));
    let all = fleet(&nodes[0], &homes[0], 3).await;
    let before = (owner(&stores).await, epoch(&stores));
    stores
        .postgres
        .ask("ALTER SYSTEM SET default_transaction_read_only = on");
    stores.postgres.ask("SELECT pg_reload_conf()");
    let path = format!("/schedulers/{FLEET}");
    let words = ["read-only"];
    for node in &nodes {
        let patch = json!({"maxSurge": "7"});
        assert!(
            refused(async || node.patch(&path, &patch).await, &words).await,
            "{}",
            node.logged()
        );
        let fleet = homes[0].mute_fleet("south", 1);
        assert!(
            refused(async || node.post("/schedulers", &fleet).await, &words).await,
            "{}",
            node.logged()
        );
        assert!(says(node, &all[0], "occupied").await, "{}", node.logged());
    }
    let expired = || async {
        stores
            .postgres
            .ask("SELECT 1 FROM maestro_node WHERE expires_at > clock_timestamp()")
            .is_empty()
    };
    assert!(eventually(seconds(10), expired).await);
    assert!(
        says(&nodes[1], &all[1], "occupied").await,
        "{}",
        nodes[1].logged()
    );
    assert!(
        nodes
            .iter()
            .all(|node| node.logged().contains("end its read-only mode"))
    );

    stores
        .postgres
        .ask("ALTER SYSTEM RESET default_transaction_read_only");
    stores.postgres.ask("SELECT pg_reload_conf()");
    edited(&nodes[1], "8").await;
    assert_eq!((owner(&stores).await, epoch(&stores)), before);
    let given_away = given(&nodes[0]).await;
    assert_eq!(given_away, all[2], "the others are occupied");
    for node in nodes {
        assert!(node.stop().success());
    }
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_without_free_connections_is_said_and_waited_for() {
    let options = [
        "max_connections=14",
        "superuser_reserved_connections=0",
        "autovacuum=off",
    ];
    let Some(Nodes {
        server: _server,
        stores,
        homes,
    }) = own_postgres(&options).await
    else {
        return;
    };
    let nodes = homes.each_ref().map(|home| stores.node(home));
    let all = fleet(&nodes[0], &homes[0], 3).await;
    let before = epoch(&stores);
    let url = stores.postgres.url().to_owned();
    // Somebody takes each connection that becomes free.
    let first = connect(&url).await.expect("one is free");
    let mut held = Vec::new();
    let is_full = async |held: &mut Vec<Client>| loop {
        match connect(&url).await {
            Ok(client) => held.push(client),
            Err(error) => return format!("{error:?}").contains("53300"),
        }
    };
    assert!(is_full(&mut held).await);
    let ours: Vec<i32> = pids(&first, &held).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE backend_type = 'client backend' AND NOT pid = ANY($1)";
    let path = format!("/schedulers/{FLEET}");
    let mut is_refused = [false; 2];
    for _ in 0..100 {
        let mut mine = ours.clone();
        mine.extend(pids(&first, &held).await);
        first.query(end, &[&mine]).await.expect("it may");
        is_full(&mut held).await;
        for (node, is_refused) in nodes.iter().zip(&mut is_refused) {
            let (status, told) = node.patch(&path, &json!({"maxSurge": "7"})).await;
            *is_refused |= status == 503 && told.to_string().contains("max_connections");
        }
        if is_refused.iter().all(|refused| *refused) {
            break;
        }
    }
    for (node, is_refused) in nodes.iter().zip(is_refused) {
        assert!(is_refused, "{}", node.logged());
        assert!(says(node, &all[0], "occupied").await, "{}", node.logged());
    }
    drop((first, held));
    edited(&nodes[1], "8").await;
    edited(&nodes[0], "9").await;
    assert_eq!(epoch(&stores), before, "it stays with its owner");
    let given_away = given(&nodes[0]).await;
    assert_ne!(given_away, all[0], "it is occupied");
}

async fn pids(first: &Client, held: &[Client]) -> Vec<i32> {
    let mut all = Vec::new();
    for client in [first].into_iter().chain(held) {
        if let Ok(row) = client.query_one("SELECT pg_backend_pid()", &[]).await {
            all.push(row.get(0));
        }
    }
    all
}
