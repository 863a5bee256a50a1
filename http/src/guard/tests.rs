//! The guard's rules as a table: request heads and the verdicts on them.

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut all = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        all.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    all
}

fn rule(names: bool) -> Rule {
    Rule {
        trusted: Trusted {
            hosts: vec!["maestro.example".parse().unwrap()],
            own_names: vec!["xn--bcher-kva.example".parse().unwrap()],
            origins: vec![
                "https://tools.example".parse().unwrap(),
                "http://10.0.0.1:3000".parse().unwrap(),
            ],
        },
        names,
    }
}

/// `request` is a method and a target.
fn judged(rule: &Rule, request: &str, lines: &[(&str, &str)]) -> &'static str {
    let (method, target) = request.split_once(' ').unwrap();
    let headers = headers(lines);
    match rule.judge(&method.parse().unwrap(), &target.parse().unwrap(), &headers) {
        Verdict::Serve => "serve",
        Verdict::ServeFor(_) => "serve for",
        Verdict::Preflight(_) => "preflight",
        Verdict::Refuse(reason) => reason.word(),
    }
}

const POST: &str = "POST /schedulers";
const GET: &str = "GET /schedulers";
const LOCAL: (&str, &str) = ("host", "localhost:8080");
const NAVIGATES: [(&str, &str); 2] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];

#[test]
fn hosts() {
    let names = rule(true);
    for (request, hosts, expected) in [
        (POST, &[][..], "serve"),
        (POST, &[""], "serve"),
        (POST, &["127.0.0.1:8080"], "serve"),
        (POST, &["[::1]:8080"], "serve"),
        (POST, &["192.168.1.7"], "serve"),
        (POST, &["LOCALHOST"], "serve"),
        (POST, &["localhost."], "serve"),
        (POST, &["maestro.localhost:1"], "serve"),
        (POST, &["Maestro.Example:8080"], "serve"),
        (POST, &["maestro.example."], "serve"),
        (POST, &["xn--bcher-kva.example"], "serve"),
        (POST, &["b\u{fc}cher.example"], "foreign-host"),
        (POST, &["evil.example"], "foreign-host"),
        (POST, &["a.maestro.example"], "foreign-host"),
        (POST, &["maestro.example.evil.example"], "foreign-host"),
        (POST, &["localhost.evil.example:8080"], "foreign-host"),
        (POST, &["user@localhost"], "foreign-host"),
        (POST, &["localhost", "evil.example"], "foreign-host"),
        (POST, &["localhost, evil.example"], "foreign-host"),
        (POST, &["localhost", "127.0.0.1"], "serve"),
        (POST, &[":8080"], "foreign-host"),
        ("POST http://evil.example/x", &["localhost"], "foreign-host"),
        ("POST http://localhost/x", &["evil.example"], "foreign-host"),
        ("POST http://localhost/x", &["localhost"], "serve"),
        ("POST http://maestro.example:8080/x", &[], "serve"),
        ("POST http://u@localhost/x", &["localhost"], "foreign-host"),
        ("CONNECT evil.example:80", &[], "foreign-host"),
        ("OPTIONS *", &["evil.example"], "foreign-host"),
    ] {
        let lines: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        assert_eq!(
            judged(&names, request, &lines),
            expected,
            "{request} {hosts:?}"
        );
        let all = judged(&rule(false), request, &lines);
        assert_eq!(
            all, "serve",
            "{request} {hosts:?} where names are not looked at"
        );
    }
}

#[test]
fn no_excuse_for_a_foreign_host() {
    let host = ("host", "evil.example");
    let trusted = ("origin", "https://tools.example");
    let own = ("origin", "http://evil.example");
    let [mode, dest] = NAVIGATES;
    for lines in [&[host, mode, dest][..], &[host, trusted], &[host, own]] {
        assert_eq!(judged(&rule(true), GET, lines), "foreign-host", "{lines:?}");
    }
}

#[test]
fn origins() {
    for (host, origin, expected) in [
        ("localhost:8080", "http://localhost:8080", "serve"),
        ("localhost:8080", "http://LocalHost:8080", "serve"),
        ("localhost:8080", "https://localhost:8080", "serve"),
        ("maestro.example", "https://maestro.example", "serve"),
        ("localhost:8080", "http://localhost:8081", "foreign-origin"),
        ("localhost:8080", "http://127.0.0.1:8080", "foreign-origin"),
        ("localhost:8080", "http://localhost", "foreign-origin"),
        ("localhost:8080", "http://evil.example", "foreign-origin"),
        (
            "localhost:8080",
            "http://evil.example:8080",
            "foreign-origin",
        ),
        ("localhost:8080", "null", "foreign-origin"),
        ("localhost:8080", "", "foreign-origin"),
        ("localhost:8080", "file://", "foreign-origin"),
        ("localhost:8080", "http://localhost:8080/", "foreign-origin"),
        (
            "localhost:8080",
            "http://u@localhost:8080",
            "foreign-origin",
        ),
        (
            "localhost:8080",
            "chrome-extension://abcdef",
            "foreign-origin",
        ),
        ("localhost:8080", "http://\u{fc}", "foreign-origin"),
        ("localhost:8080", "https://tools.example", "serve for"),
        ("localhost:8080", "https://TOOLS.example:443", "serve for"),
        ("localhost:8080", "http://tools.example", "foreign-origin"),
        (
            "localhost:8080",
            "https://tools.example:444",
            "foreign-origin",
        ),
        (
            "localhost:8080",
            "https://a.tools.example",
            "foreign-origin",
        ),
        ("localhost:8080", "http://10.0.0.1:3000", "serve for"),
    ] {
        for method in [GET, POST, "PUT /x", "DELETE /x", "HEAD /x", "OPTIONS /x"] {
            let lines = [("host", host), ("origin", origin)];
            assert_eq!(
                judged(&rule(true), method, &lines),
                expected,
                "{method} {lines:?}"
            );
        }
    }
}

#[test]
fn an_origin_has_to_be_the_only_one_and_at_everything_that_is_called() {
    let own = ("origin", "http://localhost:8080");
    let trusted = ("origin", "https://tools.example");
    for (request, lines, expected) in [
        (POST, &[LOCAL, own, own][..], "foreign-origin"),
        (POST, &[LOCAL, trusted, own], "foreign-origin"),
        (POST, &[LOCAL, trusted, trusted], "foreign-origin"),
        // Without a host.
        (POST, &[own], "foreign-origin"),
        (POST, &[("host", ""), own], "foreign-origin"),
        (POST, &[trusted], "serve for"),
        (
            POST,
            &[LOCAL, ("host", "localhost:8081"), own],
            "foreign-origin",
        ),
        (
            "POST http://localhost:8081/x",
            &[LOCAL, own],
            "foreign-origin",
        ),
        ("POST http://localhost:8080/x", &[LOCAL, own], "serve"),
        ("POST http://localhost:8080/x", &[own], "serve"),
    ] {
        assert_eq!(
            judged(&rule(true), request, lines),
            expected,
            "{request} {lines:?}"
        );
    }
}

#[test]
fn what_the_browser_says_of_the_site() {
    let own = ("origin", "http://localhost:8080");
    let trusted = ("origin", "https://tools.example");
    let site = |value| ("sec-fetch-site", value);
    for (lines, expected) in [
        (&[site("none")][..], "serve"),
        (&[site("same-origin"), own], "serve"),
        (&[site("cross-site")], "cross-site"),
        (&[site("same-site")], "cross-site"),
        (&[site("Cross-Site")], "cross-site"),
        (&[site("cross-site;v=1")], "cross-site"),
        (&[site("none"), site("cross-site")], "cross-site"),
        (&[site("cross-site"), own], "cross-site"),
        (&[site("cross-site"), trusted], "serve for"),
        (&[site("cross-site"), ("origin", "null")], "foreign-origin"),
    ] {
        let lines = [&[LOCAL], lines].concat();
        for method in [GET, POST] {
            assert_eq!(
                judged(&rule(true), method, &lines),
                expected,
                "{method} {lines:?}"
            );
        }
    }
}

#[test]
fn only_a_get_that_leads_somebody_here_is_excused() {
    let site = ("sec-fetch-site", "cross-site");
    let foreign = ("origin", "https://evil.example");
    let [mode, dest] = NAVIGATES;
    let frame = ("sec-fetch-dest", "iframe");
    for (request, lines, expected) in [
        (GET, &[site, mode, dest][..], "serve"),
        (GET, &[site, foreign, mode, dest], "serve"),
        ("HEAD /x", &[site, mode, dest], "cross-site"),
        (POST, &[site, mode, dest], "cross-site"),
        (POST, &[foreign, mode, dest], "foreign-origin"),
        (GET, &[site, mode], "cross-site"),
        (GET, &[site, dest], "cross-site"),
        (GET, &[site, mode, frame], "cross-site"),
        (GET, &[site, mode, dest, frame], "cross-site"),
        (
            GET,
            &[site, ("sec-fetch-mode", "no-cors"), dest],
            "cross-site",
        ),
    ] {
        let lines = [&[LOCAL], lines].concat();
        assert_eq!(
            judged(&rule(true), request, &lines),
            expected,
            "{request} {lines:?}"
        );
    }
}

#[test]
fn preflights_of_trusted_origins_are_answered() {
    let asks = ("access-control-request-method", "POST");
    let site = ("sec-fetch-site", "cross-site");
    for (request, origin, asks, expected) in [
        (
            "OPTIONS /x",
            "https://tools.example",
            Some(asks),
            "preflight",
        ),
        ("OPTIONS /x", "https://tools.example", None, "serve for"),
        ("POST /x", "https://tools.example", Some(asks), "serve for"),
        (
            "OPTIONS /x",
            "https://evil.example",
            Some(asks),
            "foreign-origin",
        ),
        (
            "OPTIONS /x",
            "http://localhost:8080",
            Some(asks),
            "cross-site",
        ),
    ] {
        let mut lines = vec![LOCAL, site, ("origin", origin)];
        lines.extend(asks);
        assert_eq!(
            judged(&rule(true), request, &lines),
            expected,
            "{request} {lines:?}"
        );
    }
    let (origin, asked) = (
        HeaderValue::from_static("https://tools.example"),
        headers(&[("access-control-request-headers", "content-type")]),
    );
    let answer = cors::preflight(&origin, &asked);
    assert_eq!(answer.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://tools.example"),
        ("access-control-allow-headers", "content-type"),
        (
            "access-control-allow-methods",
            "GET, HEAD, POST, PUT, PATCH, DELETE",
        ),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.headers().get(name).unwrap(), value);
    }
    assert!(
        !answer
            .headers()
            .contains_key("access-control-allow-credentials")
    );
}

#[test]
fn names_are_looked_at_on_loopback_and_everywhere_once_some_are_listed() {
    let hosts = || vec!["maestro.example".parse().unwrap()];
    for (loopback, hosts, own_names, expected) in [
        (true, vec![], vec![], true),
        (false, vec![], vec![], false),
        (false, vec![], hosts(), false),
        (false, hosts(), vec![], true),
        (true, hosts(), vec![], true),
    ] {
        let trusted = Trusted {
            hosts,
            own_names,
            origins: Vec::new(),
        };
        let refused = RefusedRequests::register(&prometheus::Registry::new()).expect("the first");
        let counted = (Server::Rooms, &refused);
        let guard = Guard::new(trusted, loopback, counted, Observers::default());
        assert_eq!(guard.rule.names, expected, "{:?}", guard.rule);
    }
}
