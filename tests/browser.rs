//! Web pages in a real browser cannot run a command on this machine (decision D28), and could without the guard.
//!
//! The same pages attack twice: first through a proxy that removes the headers that the guard checks, which proves that
//! the browser permits the attacks, and then directly.

#[path = "support/chromium.rs"]
mod chromium;
mod support;

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use support::{Home, Maestro, eventually, seconds, skip};

const PAGE: &str = include_str!("browser/attack.html");

/// The results of the pages, and the attacks to come.
#[derive(Default)]
struct Story {
    page: String,
    /// URLs of the attacks to come.
    next: VecDeque<String>,
    /// What each attack could read from Maestro, by its tag.
    seen: BTreeMap<String, String>,
}

/// A site with the attacking page. It passes on all other requests.
struct Site {
    port: u16,
}

/// Where other requests are passed on to, and how.
#[derive(Clone)]
enum Passes {
    Nothing,
    /// Unchanged, as if the site's name had been rebound to Maestro's address.
    On(String),
    /// Without the headers that distinguish a page from a program.
    Disguised(String),
}

impl Site {
    fn open(story: &Arc<Mutex<Story>>, passes: Passes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let story = story.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (story, passes) = (story.clone(), passes.clone());
                thread::spawn(move || serve(stream, &story, &passes));
            }
        });
        Self { port }
    }

    fn at(&self, host: &str) -> String {
        format!("http://{host}:{}", self.port)
    }
}

/// Serves one request. The bytes after its head are passed on unchanged.
fn serve(mut stream: TcpStream, story: &Mutex<Story>, passes: &Passes) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let target = head.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let answer = match path {
        "/attack" => format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{}",
            with_body(&story.lock().ok()?.page)
        ),
        "/next" => match story.lock().ok()?.next.pop_front() {
            Some(url) => format!(
                "HTTP/1.1 303 See Other\r\nLocation: {url}\r\n{}",
                with_body("")
            ),
            None => format!("HTTP/1.1 200 OK\r\n{}", with_body("the end")),
        },
        "/seen" => {
            let (tag, read) = query.strip_prefix("tag=")?.split_once("&read=")?;
            let seen = &mut story.lock().ok()?.seen;
            seen.insert(tag.to_owned(), read.to_owned());
            format!("HTTP/1.1 200 OK\r\n{}", with_body(""))
        }
        _ => return pass(stream, &head, &bytes[end..], passes),
    };
    stream.write_all(answer.as_bytes()).ok()
}

fn with_body(body: &str) -> String {
    let length = body.len();
    format!(
        "Content-Length: {length}\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n{body}"
    )
}

fn pass(mut client: TcpStream, head: &str, rest: &[u8], passes: &Passes) -> Option<()> {
    let (to, disguised) = match passes {
        Passes::Nothing => return None,
        Passes::On(to) => (to, false),
        Passes::Disguised(to) => (to, true),
    };
    let stays = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            // Later requests on the connection would bypass this code.
            "connection" | "keep-alive" => false,
            "host" | "origin" => !disguised,
            other => !(disguised && other.starts_with("sec-")),
        }
    };
    let mut lines: Vec<&str> = head.split("\r\n").filter(stays).collect();
    if disguised {
        lines.push("Host: localhost");
    }
    lines.push("Connection: close\r\n\r\n");
    let mut maestro = TcpStream::connect(to.strip_prefix("http://")?).ok()?;
    maestro.write_all(lines.join("\r\n").as_bytes()).ok()?;
    maestro.write_all(&rest[4..]).ok()?;
    let (mut from, mut into) = (client.try_clone().ok()?, maestro.try_clone().ok()?);
    thread::spawn(move || {
        // Ends with the client.
        let _ = std::io::copy(&mut from, &mut into);
    });
    let _ = std::io::copy(&mut maestro, &mut client);
    client.shutdown(Shutdown::Both).ok()
}

/// The attacking page, which creates fleets whose room leaves a mark.
fn page(home: &Home) -> String {
    let mark = format!("{}/mark-$MAESTRO_SCHEDULER_NAME", home.path().display());
    let command = format!("A=1; touch {mark}; exec sleep 600");
    let fleet = home.fleet_of("TITLE", 1, &["sh", "-c", &command]);
    PAGE.replace("FLEET", &fleet.to_string())
}

/// The schedulers that an attack creates.
fn ordered(tag: &str) -> [String; 3] {
    ["fetch", "beacon", "form"].map(|way| format!("{tag}-{way}"))
}

fn attack(page: &str, tag: &str, management: &str, internal: Option<&str>) -> String {
    let internal = internal.map_or(String::new(), |at| format!("&internal={at}"));
    format!("{page}/attack?tag={tag}&management={management}{internal}")
}

/// The number of refused requests in the log.
fn refusals(maestro: &Maestro) -> usize {
    let log = maestro.logged();
    let lines = log.lines();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["status"] == 403).count()
}

/// The results of the attacks as the page sees them.
async fn seen(story: &Arc<Mutex<Story>>, tag: &str) -> String {
    let read = || story.lock().expect("whole").seen.get(tag).cloned();
    let came = eventually(seconds(60), || async { read().is_some() }).await;
    assert!(came, "the attack {tag} did not come to its end");
    read().expect("it came")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_gets_no_command_to_run() {
    let Some(browser) = chromium::browser() else {
        return skip("there is no Chromium (cargo xtask setup)");
    };
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("steady", 1)).await;
    let story = Arc::new(Mutex::new(Story {
        page: page(&home),
        ..Story::default()
    }));
    let (management, internal) = (&maestro.management, &maestro.internal);
    let site = Site::open(&story, Passes::Nothing);
    let door = Site::open(&story, Passes::Disguised(management.clone())).at("127.0.0.1");
    let back_door = Site::open(&story, Passes::Disguised(internal.clone())).at("127.0.0.1");
    let open_rebound = Site::open(&story, Passes::Disguised(management.clone()));
    let rebound = Site::open(&story, Passes::On(management.clone()));
    let [local, named] = ["127.0.0.1", "evil.example"].map(|host| site.at(host));
    let controls = ["c-port", "c-name", "c-rebound"];
    let guarded = ["g-port", "g-name", "g-host", "g-rebound"];
    let by_name = management.replace("127.0.0.1", "evil.example");
    let first = attack(&local, controls[0], &door, Some(&back_door));
    story.lock().expect("whole").next.extend([
        attack(&named, controls[1], &door, Some(&back_door)),
        attack(&open_rebound.at("evil.example"), controls[2], "", None),
        attack(&local, guarded[0], management, Some(internal)),
        attack(&named, guarded[1], management, Some(internal)),
        attack(&named, guarded[2], &by_name, None),
        attack(&rebound.at("evil.example"), guarded[3], "", None),
    ]);
    let profile = tempfile::tempdir().expect("a folder");
    let mut running = chromium::command(browser, &profile, &["evil.example"])
        .arg(first)
        .spawn()
        .expect("it starts");

    without_the_guard_all_get_in(&maestro, &home, &story, controls).await;
    with_it_none_does(&maestro, &story, guarded).await;
    let _ = running.kill().await;
    nothing_was_ordered(&maestro, &home, guarded).await;
}

/// Without the guard, every kind of attack runs a command.
async fn without_the_guard_all_get_in(
    maestro: &Maestro,
    home: &Home,
    story: &Arc<Mutex<Story>>,
    controls: [&str; 3],
) {
    for tag in controls {
        seen(story, tag).await;
        for name in ordered(tag) {
            let mark = home.path().join(format!("mark-{name}"));
            let ran = eventually(seconds(30), || async { mark.exists() }).await;
            assert!(
                ran,
                "{name}: the browser kept it back, or the door did\n{}",
                maestro.logged()
            );
        }
    }
    let read = seen(story, controls[2]).await;
    assert!(
        read.contains("v1.0.0"),
        "a rebound name reads everything: {read}"
    );
    let backup = home.path().join("backups/c-port.redb");
    assert!(eventually(seconds(10), || async { backup.exists() }).await);
}

/// With the guard no attack succeeds. All their requests are in the log, including those that no page waits for.
async fn with_it_none_does(maestro: &Maestro, story: &Arc<Mutex<Story>>, guarded: [&str; 4]) {
    for tag in guarded {
        let read = seen(story, tag).await;
        assert!(!read.contains("v1.0.0"), "{tag}: {read}");
    }
    // The first two each send: create in three ways, delete (with a preflight), back up, pause, read. The other two
    // send all of these but the middle two. The host name is checked first.
    let expected = 7 + 7 + 5 + 5;
    let came = eventually(seconds(20), || async { refusals(maestro) >= expected }).await;
    assert!(came, "{} refusals\n{}", refusals(maestro), maestro.logged());
}

async fn nothing_was_ordered(maestro: &Maestro, home: &Home, guarded: [&str; 4]) {
    let (_, all) = maestro.get("/schedulers").await;
    let names = all["schedulers"].as_array().expect("a list").iter();
    let names: Vec<&str> = names.filter_map(|s| s["name"].as_str()).collect();
    for tag in guarded {
        for name in ordered(tag) {
            assert!(!names.contains(&name.as_str()), "{names:?}");
            assert!(!home.path().join(format!("mark-{name}")).exists(), "{name}");
        }
        let backup = format!("backups/{tag}.redb");
        assert!(!home.path().join(backup).exists(), "{tag}");
    }
    assert!(names.contains(&"steady"));
}
