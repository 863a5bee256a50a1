//! The address of a forwarder as its scheduler configures it. Its name is resolved here, and calls are spread over all
//! resulting addresses (contract 6.4).

use super::keep_alive::KeepAlive;
use super::member::Member;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A name is resolved again after this time and after each failure to connect, but at most once per `RESOLVE_REST`.
const RESOLVE_AGAIN: Duration = Duration::from_secs(30);
const RESOLVE_REST: Duration = Duration::from_secs(1);
/// How long a call waits for a new resolution while addresses are known.
const RESOLVE_PATIENCE: Duration = Duration::from_millis(250);
/// Maximum number of addresses used per name.
const MEMBERS_MAX: usize = 64;

pub(super) struct Target {
    /// The address as the scheduler configures it.
    pub address: String,
    keep_alive: KeepAlive,
    /// Locked while the name is being resolved, so that only one resolution runs at a time.
    route: Mutex<Route>,
}

#[derive(Default)]
struct Route {
    members: Vec<Arc<Member>>,
    next: usize,
    looked_up: Option<Instant>,
    /// Why the last resolution failed.
    failure: Option<String>,
}

impl Target {
    pub fn new(address: &str, keep_alive: KeepAlive) -> Self {
        Self {
            address: address.to_owned(),
            keep_alive,
            route: Mutex::default(),
        }
    }

    /// The next address in turn that is not backing off.
    ///
    /// # Errors
    /// Fails at once, with the reason, when no address can be tried now: calls do not wait for a forwarder to come
    /// back.
    pub async fn pick(&self) -> Result<Arc<Member>, String> {
        let mut route = self.route.lock().await;
        if route.is_due() {
            self.look_up(&mut route).await;
        }
        let count = route.members.len();
        let mut cause = None;
        for _ in 0..count {
            let member = route.members[route.next % count].clone();
            route.next = (route.next + 1) % count;
            match member.resting() {
                None => return Ok(member),
                Some(why) => drop(cause.get_or_insert(why)),
            }
        }
        let unknown = || route.failure.clone().unwrap_or_default();
        Err(cause.unwrap_or_else(unknown))
    }

    /// How many addresses the name stands for.
    pub async fn spread(&self) -> usize {
        self.route.lock().await.members.len()
    }

    async fn look_up(&self, route: &mut Route) {
        route.looked_up = Some(Instant::now());
        let found = match route.members.is_empty() {
            // The call's own timeout bounds this wait.
            true => resolve(&self.address).await,
            false => match tokio::time::timeout(RESOLVE_PATIENCE, resolve(&self.address)).await {
                Ok(found) => found,
                Err(_) => return,
            },
        };
        match found.and_then(|addrs| self.members(&addrs, &route.members)) {
            Ok(members) => {
                route.members = members;
                route.failure = None;
            }
            // Known addresses are kept: an unavailable name server closes no connection.
            Err(why) => route.failure = Some(why),
        }
    }

    fn members(
        &self,
        addrs: &[SocketAddr],
        known: &[Arc<Member>],
    ) -> Result<Vec<Arc<Member>>, String> {
        let origin = authority(&self.address);
        let member = |addr: &SocketAddr| match known.iter().find(|m| m.addr == *addr) {
            Some(member) => Ok(member.clone()),
            None => Member::new(*addr, origin, self.keep_alive).map(Arc::new),
        };
        addrs.iter().take(MEMBERS_MAX).map(member).collect()
    }
}

impl Route {
    fn is_due(&self) -> bool {
        let Some(age) = self.looked_up.map(|at| at.elapsed()) else {
            return true;
        };
        let troubled = self.members.iter().any(|m| m.resting().is_some());
        let soon = troubled || self.members.is_empty();
        age >= RESOLVE_AGAIN || (soon && age >= RESOLVE_REST)
    }
}

/// Removes the scheme prefixes that the original's client library accepts.
fn authority(address: &str) -> &str {
    let prefixes = ["dns:///", "passthrough:///", "dns:"];
    let stripped = prefixes
        .iter()
        .find_map(|prefix| address.strip_prefix(prefix));
    stripped.unwrap_or(address)
}

/// All addresses of a name without duplicates, in the order in which the resolver returned them.
async fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    let shown = format!("{address:?}");
    let wrong = || format!("address {shown} is not of the form host:port");
    let (host, port) = authority(address).rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() {
        return Err(wrong());
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for addr in found.map_err(|why| format!("cannot look up {host:?}: {why}"))? {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    match addrs.is_empty() {
        true => Err(format!("cannot look up {host:?}: it has no address")),
        false => Ok(addrs),
    }
}
