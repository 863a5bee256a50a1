//! One pod on a node: its containers are started and ended as its object says, and its status says what they do.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::container::{Lives, Order, Report};
use super::news::{News, NodeState};
use super::shared::Shared;
use super::state::{Conditions, Container, Ended, State};

/// How long a call may take, and when one that failed is made again.
const CALL: Duration = Duration::from_secs(5);
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The task of one pod.
pub(super) struct Worker {
    shared: Arc<Shared>,
    news: watch::Receiver<News>,
    api: Api<Pod>,
    uid: String,
    address: String,
    started: Timestamp,
    containers: Vec<Container>,
    conditions: Conditions,
    orders: watch::Sender<Order>,
    reports: mpsc::UnboundedReceiver<Report>,
    reporter: mpsc::UnboundedSender<Report>,
    /// When the status is to be written.
    write_at: Option<Instant>,
}

/// Whether the object is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Exists,
    Gone,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, mut news: watch::Receiver<News>) -> Self {
        let pod = Arc::clone(&news.borrow_and_update().pod);
        let number = shared.addresses.fetch_add(1, Ordering::Relaxed);
        let [_, _, high, low] = (number + 2).to_be_bytes();
        let named = pod.spec.iter().flat_map(|spec| &spec.containers);
        let containers = named.map(|one| {
            let image = one.image.as_deref().unwrap_or_default();
            Container::new(&one.name, image)
        });
        let (reporter, reports) = mpsc::unbounded_channel();
        Self {
            api: Api::namespaced(shared.client.clone(), &pod.namespace().unwrap_or_default()),
            uid: pod.uid().unwrap_or_default(),
            address: format!("10.200.{high}.{low}"),
            started: Timestamp::now(),
            containers: containers.collect(),
            conditions: Conditions::default(),
            orders: watch::channel(Order::Run).0,
            reports,
            reporter,
            write_at: None,
            shared,
            news,
        }
    }

    /// Until the object is gone, and all processes with it.
    pub(super) async fn run(mut self) {
        self.begin();
        loop {
            let is_up = self.news.borrow().node == NodeState::Up;
            let write_at = self.write_at.filter(|_| is_up);
            let write = async {
                match write_at {
                    Some(moment) => sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.news.changed() => match changed {
                    Ok(()) => self.hear(),
                    Err(_) if self.news.borrow().is_gone => {
                        self.tell(Order::Kill);
                        return self.bury().await;
                    }
                    // The kubelet has ended, and its processes with it.
                    Err(_) => return,
                },
                Some(report) = self.reports.recv() => self.note(report),
                () = write => {
                    self.write_at = None;
                    if self.write().await == Object::Gone {
                        self.tell(Order::Kill);
                        return self.bury().await;
                    }
                }
            }
        }
    }

    /// A machine that is not there hears later of the pod.
    fn begin(&mut self) {
        let news = self.news.borrow_and_update().clone();
        if news.node == NodeState::Up && news.pod.metadata.deletion_timestamp.is_none() {
            self.start_containers();
        } else {
            self.tell(Order::Kill);
            self.hear();
        }
    }

    fn start_containers(&mut self) {
        let pod = Arc::clone(&self.news.borrow().pod);
        self.orders = watch::channel(Order::Run).0;
        let specs = pod.spec.iter().flat_map(|spec| &spec.containers);
        for (index, container) in specs.enumerate() {
            let lives = Lives {
                index,
                container: container.clone(),
                pod: Arc::clone(&pod),
                address: self.address.clone(),
                shared: Arc::clone(&self.shared),
                orders: self.orders.subscribe(),
                reports: self.reporter.clone(),
                has_lived: self.containers[index].last.is_some(),
            };
            self.containers[index].is_over = false;
            tokio::spawn(lives.run());
        }
    }

    /// Does what the object and the node say now.
    fn hear(&mut self) {
        let news = self.news.borrow_and_update().clone();
        match news.node {
            NodeState::CutOff => return,
            NodeState::Dead => return self.tell(Order::Kill),
            NodeState::Up => {}
        }
        if news.is_gone {
            return self.tell(Order::Kill);
        }
        let meta = &news.pod.metadata;
        let is_deleted = meta.deletion_timestamp.is_some();
        if self.was_dead() {
            self.come_back(is_deleted);
        } else if is_deleted {
            let grace = meta.deletion_grace_period_seconds.unwrap_or(0);
            let grace = Duration::from_secs(grace.max(0).unsigned_abs());
            self.end_by(Instant::now() + grace);
            self.write_soon();
        }
    }

    /// A second deletion may only shorten the time.
    fn end_by(&self, moment: Instant) {
        let told = *self.orders.borrow();
        let is_later = matches!(told, Order::EndBy(earlier) if earlier <= moment);
        if !is_later {
            self.tell(Order::EndBy(moment));
        }
    }

    fn tell(&self, order: Order) {
        self.orders.send_replace(order);
    }

    /// Whether its containers were ended with the machine.
    fn was_dead(&self) -> bool {
        *self.orders.borrow() == Order::Kill
    }

    /// The machine runs again: what ran on it does not. Of a pod that is deleted nothing is started.
    fn come_back(&mut self, is_deleted: bool) {
        // What the killed containers had to say is not what is known after a loss of power.
        while self.reports.try_recv().is_ok() {}
        let (reporter, reports) = mpsc::unbounded_channel();
        (self.reporter, self.reports) = (reporter, reports);
        for container in &mut self.containers {
            if let State::Running { since } = container.state {
                container.becomes(State::Ended(Ended {
                    code: 255,
                    reason: "Unknown".into(),
                    message: "the machine failed".into(),
                    started: since,
                }));
            }
            container.is_over = is_deleted;
        }
        if !is_deleted {
            self.start_containers();
        }
        self.write_soon();
    }

    fn note(&mut self, report: Report) {
        // A dead machine says nothing, and what it would have said is forgotten.
        if self.news.borrow().node == NodeState::Dead {
            return;
        }
        let container = &mut self.containers[report.index];
        container.is_over |= report.is_over;
        match report.state {
            // It looks again and again for what it waits for.
            Some(state) if state == container.state => return,
            Some(state) => container.becomes(state),
            None => {}
        }
        self.write_soon();
    }

    fn write_soon(&mut self) {
        self.write_at.get_or_insert_with(Instant::now);
    }

    /// Writes the status, and deletes the object if that is what is left to do. A call that fails is made again.
    async fn write(&mut self) -> Object {
        let status = self
            .conditions
            .status(&self.containers, self.started, &self.address);
        let pod = Arc::clone(&self.news.borrow().pod);
        let name = pod.name_any();
        let patch = Patch::Strategic(json!({"metadata": {"uid": self.uid}, "status": status}));
        let is_deleted = pod.metadata.deletion_timestamp.is_some();
        let is_over = self.containers.iter().all(|one| one.is_over);
        let permit = self.shared.writes.acquire().await;
        let calls = async {
            let by_default = PatchParams::default();
            self.api.patch_status(&name, &by_default, &patch).await?;
            if is_deleted && is_over {
                let own = Preconditions {
                    uid: Some(self.uid.clone()),
                    resource_version: None,
                };
                let at_once = DeleteParams::default().grace_period(0).preconditions(own);
                self.api.delete(&name, &at_once).await?;
            }
            Ok::<_, kube::Error>(())
        };
        let outcome = timeout(CALL, calls).await;
        drop(permit);
        match outcome {
            Ok(Ok(())) if is_deleted && is_over => Object::Gone,
            Ok(Ok(())) => Object::Exists,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Object::Gone,
            // Also when it is another object of this name: the watch will say so.
            Ok(Err(_)) | Err(_) => {
                self.write_at = Some(Instant::now() + AGAIN_AFTER);
                Object::Exists
            }
        }
    }

    /// Waits for the ends of its processes.
    async fn bury(mut self) {
        drop(self.reporter);
        while self.reports.recv().await.is_some() {}
    }
}
