//! The Kubernetes runtime on a real control plane, with a kubelet that runs pods as processes: the contract of all
//! runtimes, and what is special to a cluster.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "kubernetes/addresses.rs"]
mod addresses;
#[path = "kubernetes/bare.rs"]
mod bare;
#[path = "kubernetes/budget.rs"]
mod budget;
#[path = "kubernetes/dead.rs"]
mod dead;
#[path = "kubernetes/fair.rs"]
mod fair;
#[path = "kubernetes/faults.rs"]
mod faults;
#[path = "kubernetes/hand_back.rs"]
mod hand_back;
#[path = "kubernetes/hostile.rs"]
mod hostile;
#[path = "kubernetes/lowering.rs"]
mod lowering;
#[path = "kubernetes/namespaces.rs"]
mod namespaces;
#[path = "kubernetes/pages.rs"]
mod pages;
#[path = "kubernetes/pods.rs"]
mod pods;
#[path = "kubernetes/ports.rs"]
mod ports;
#[path = "kubernetes/restores.rs"]
mod restores;
#[path = "kubernetes/rights.rs"]
mod rights;
#[path = "kubernetes/runtimes.rs"]
mod runtimes;
#[path = "kubernetes/site.rs"]
mod site;

/// In each check: without a control plane the test is skipped, and says so.
macro_rules! open_site {
    () => {
        match crate::site::Site::open().await {
            Some(site) => site,
            None => return,
        }
    };
}
pub(crate) use open_site;

mod contract {
    maestro_testkit::runtime_contract!(crate::open_site!());
}
