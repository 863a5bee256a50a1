//! `deploy/kubernetes` on a real control plane: the API server takes the manifests, their settings are those of the
//! binary, their role is what Maestro needs and no more, and the preflight says what is missing.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "deploy/manifests.rs"]
mod manifests;
#[path = "deploy/preflight.rs"]
mod preflight;
#[path = "deploy/rights.rs"]
mod rights;
#[path = "deploy/runtimes.rs"]
mod runtimes;
#[path = "deploy/seed_rights.rs"]
mod seed_rights;
#[path = "deploy/site.rs"]
mod site;
mod support;
