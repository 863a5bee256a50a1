//! A machine whose clock is wrong by hours: rooms live, and end, by the clock of the cluster.

use crate::site::*;
use crate::support::{BINARY, Home, Maestro, eventually, seconds};
use kube::api::DeleteParams;
use maestro_testkit::control_plane::ApiProxy;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const HOURS: i64 = 10;
/// Shifts the time of day of a process, and not the clock by which it measures.
const SHIFTED: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, id, time);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        time->tv_sec += atol(getenv("CLOCK_IS_WRONG_BY"));
    return result;
}
"#;

/// What the binary is started with for that.
fn shifting(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("shifted.c"), folder.join("shifted.so"));
    std::fs::write(&source, SHIFTED).expect("written");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output();
    let compiled = compiled.expect("the C compiler that links this test");
    assert!(compiled.status.success(), "{compiled:?}");
    library
}

struct Shifted {
    site: Site,
    environment: Vec<(String, String)>,
    home: Home,
}

impl Shifted {
    fn by(&self, hours: i64) -> Vec<(String, String)> {
        let mut environment = self.environment.clone();
        let seconds = (hours * 3600).to_string();
        environment.push(("CLOCK_IS_WRONG_BY".to_owned(), seconds));
        environment
    }

    /// The word of the preflight about the clock.
    fn told(&self, hours: i64) -> Value {
        let mut doctor = Command::new(BINARY);
        doctor
            .args(["doctor", "kubernetes", "--json"])
            .envs(self.by(hours));
        let output = doctor.output().expect("the binary starts");
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout).expect("checks");
        let mut clock = checks.into_iter().filter(|check| check["check"] == "clock");
        clock.next().expect("a check of the clock")
    }

    /// A machine falls silent on which a room was told to end: the room has ended once nothing was heard of the machine
    /// for as long as a room may be silent, and not before.
    async fn end_of_a_silent_node(&self, maestro: &Maestro, node: &str) {
        let pods = self.site.all_pods().await;
        let mut there = pods.iter().filter(|(_, pod)| node_of(pod) == node);
        let (room, _) = there.next().expect("a room there");
        self.site.kubelet.cut_off(node);
        let silent = Instant::now();
        self.site.plane.set_node_ready(node, "Unknown").await;
        let by_hand = DeleteParams::default();
        let deleted = self.site.pods().delete(room, &by_hand).await;
        deleted.expect("deleted");
        let is_listed = || async { rooms(maestro, &self.site.name, "").await.contains(room) };
        assert!(is_listed().await);
        let has_ended = || async { !is_listed().await };
        assert!(eventually(seconds(40), has_ended).await, "{room} is there");
        // The cluster's times are whole seconds.
        let least = SILENCE - Duration::from_secs(1);
        assert!(silent.elapsed() > least, "after {:?}", silent.elapsed());
        assert!(
            self.site.all_pods().await.contains_key(room),
            "its pod is there"
        );
        self.site.kubelet.come_back(node).await;
        let is_gone = || async { !self.site.all_pods().await.contains_key(room) };
        assert!(eventually(seconds(30), is_gone).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_by_hours_ends_no_room() {
    let Some(site) = Site::open("clock", 2).await else {
        return;
    };
    // Without certificates, whose times are those of the tests.
    let proxy = ApiProxy::start(site.plane.kubeconfig()).await;
    let home = Home::new();
    let mut environment = site.environment();
    let kubeconfig = proxy.kubeconfig().display().to_string();
    let library = shifting(home.path()).display().to_string();
    for (key, value) in [
        ("MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG", kubeconfig),
        ("LD_PRELOAD", library),
    ] {
        environment.push((key.to_owned(), value));
    }
    let test = Shifted {
        site,
        environment,
        home,
    };
    let (site, home) = (&test.site, &test.home);
    assert_eq!(test.told(0)["verdict"], "ok", "{}", test.told(0));
    for (hours, side) in [(HOURS, "ahead of"), (-HOURS, "behind")] {
        let told = test.told(hours);
        assert_eq!(told["verdict"], "warn", "{told}");
        assert!(
            told["found"].as_str().expect("a text").contains(side),
            "{told}"
        );
    }

    let ahead = test.by(HOURS);
    let maestro = home.start_with(&borrowed(&ahead));
    maestro.bring_up(&site.fleet(home, &maestro.rooms, 6)).await;
    let busy = allocate(&maestro, "clock").await;
    site.play(&busy).await;
    let is_used =
        |count: u64| move |info: &Value| info["roomsOccupied"] == 1 && info["roomsReady"] == count;
    maestro.until_info("clock", "in use", is_used(5)).await;
    let played = site.pod(&busy).await;
    let mut nodes = ["clock-0", "clock-1"].into_iter();
    let silent = nodes.find(|node| *node != node_of(&played));
    let silent = silent.expect("the other node");
    test.end_of_a_silent_node(&maestro, silent).await;
    maestro
        .until_info("clock", "in use still", is_used(5))
        .await;
    let before: Vec<_> = site.all_pods().await.into_values().collect();

    // Its successor is as far behind: all that is stored is of the future.
    maestro.kill();
    let behind = test.by(-HOURS);
    let maestro = home.start_only(&borrowed(&behind));
    maestro
        .until_info("clock", "in use again", is_used(5))
        .await;
    expect_untouched(&before, &site.all_pods().await);
    let edit = json!({"roomsReplicas": 7});
    let (status, answer) = maestro.patch("/schedulers/clock", &edit).await;
    assert_eq!(status, 200, "{answer}");
    maestro.until_info("clock", "larger", is_used(6)).await;
    expect_untouched(&before, &site.all_pods().await);
    test.end_of_a_silent_node(&maestro, silent).await;
    maestro.until_info("clock", "large still", is_used(6)).await;
    expect_untouched(&[played], &site.all_pods().await);
    site.end_match(&busy).await;
    maestro.remove("clock").await;
    site.until_namespace_is_gone().await;
}
