//! The built binary with rooms in pods of a real control plane. A kubelet of the tests runs each pod as a process of
//! this machine, which pings over HTTP as any room does.

mod acceptance;
mod away;
mod clock;
mod cluster;
mod figures;
mod harmed;
mod life;
mod load;
mod nodes;
mod ports;
#[path = "../takeover/recording.rs"]
mod recording;
mod refused;
mod runtimes;
#[path = "../takeover/served.rs"]
mod served;
mod site;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod takeover;
