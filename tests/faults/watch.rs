//! Looks at the owners and the order of writes in both stores, all the time: epochs and seqs only grow, and an epoch
//! has one owner. The seq of a name that no scheduler has begins anew after the name was forgotten, under a new epoch.

use crate::users::FLEETS;
use maestro_testkit::servers::redis::Connection;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_postgres::{Client, NoTls, Row};

const OWNERS: &str = "SELECT scheduler, session::text, epoch, seq FROM maestro_owner";
const FENCE: [&str; 2] = ["HGETALL", "maestro:fence"];
const EVERY: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub session: Option<String>,
    pub epoch: i64,
    pub seq: i64,
}

#[derive(Default)]
pub struct Seen {
    pub owners: BTreeMap<String, Owner>,
    sessions: HashMap<(String, i64), String>,
    fences: BTreeMap<String, (i64, i64)>,
    /// How often Redis lost its data.
    pub losses: u32,
    /// Schedulers whose owner's memory was gone as well, by the number of the loss.
    unremembered: Vec<(u32, String)>,
    pub looks: u64,
    pub changes: u64,
    pub wrong: Vec<String>,
}

impl Seen {
    pub fn epoch(&self, scheduler: &str) -> i64 {
        self.owners.get(scheduler).map_or(0, |owner| owner.epoch)
    }

    /// The schedulers that a session owns.
    pub fn owned_by(&self, session: &str) -> Vec<String> {
        let owned = self.owners.iter();
        let owned = owned.filter(|(_, owner)| owner.session.as_deref() == Some(session));
        owned.map(|(name, _)| name.clone()).collect()
    }

    /// Redis begins anew: what was stored before is no measure any more. The owners of `unremembered` cannot repair it.
    pub fn redis_lost(&mut self, unremembered: Vec<String>) {
        self.losses += 1;
        self.fences.clear();
        let lost = unremembered.into_iter().map(|name| (self.losses, name));
        self.unremembered.extend(lost);
    }

    /// Whether what a scheduler had in Redis was lost with its owner, after so many losses.
    pub fn is_unremembered(&self, scheduler: &str, losses: u32) -> bool {
        let mut lost = self.unremembered.iter();
        lost.any(|(number, name)| *number > losses && name == scheduler)
    }

    fn owner(&mut self, name: String, now: Owner) {
        let before = self.owners.get(&name).cloned().unwrap_or_default();
        if !follows((now.epoch, now.seq), (before.epoch, before.seq), &name) {
            self.wrong
                .push(format!("{name}: from {before:?} back to {now:?}"));
        }
        if let Some(session) = &now.session {
            let key = (name.clone(), now.epoch);
            let of_epoch = self.sessions.entry(key).or_insert_with(|| session.clone());
            if of_epoch != session {
                self.wrong.push(format!(
                    "{name}: epoch {} of two: {of_epoch}, {session}",
                    now.epoch
                ));
            }
        }
        self.changes += u64::from(before.epoch != now.epoch);
        self.owners.insert(name, now);
    }

    fn fence(&mut self, name: &str, text: &str) {
        let pair = text.split_once(':');
        let pair = pair.and_then(|(epoch, seq)| Some((epoch.parse().ok()?, seq.parse().ok()?)));
        let Some(now) = pair else {
            self.wrong.push(format!("{name}: the fence {text:?}"));
            return;
        };
        let before = self.fences.insert(name.to_owned(), now);
        if let Some(before) = before
            && !follows(now, before, name)
        {
            self.wrong.push(format!(
                "{name}: the fence went from {before:?} back to {now:?}"
            ));
        }
    }
}

/// Whether an epoch and a seq may come after these.
fn follows(now: (i64, i64), before: (i64, i64), name: &str) -> bool {
    let is_anew = now.0 > before.0 && !FLEETS.contains(&name);
    now.0 >= before.0 && (now.1 >= before.1 || is_anew)
}

/// Runs until it is aborted. `redis` is asked without a network between.
pub async fn watch(url: String, redis: String, seen: Arc<Mutex<Seen>>) {
    let mut client = None;
    loop {
        if client.is_none() {
            client = connect(&url).await.ok();
        }
        if let Some(asked) = &client {
            match asked.query(OWNERS, &[]).await {
                Ok(rows) => note(&seen, &rows),
                Err(_) => client = None,
            }
        }
        // A look that began before a loss must not count after it.
        let losses = seen.lock().expect("whole").losses;
        let address = redis.clone();
        let fences = tokio::task::spawn_blocking(move || {
            Connection::open(&address)?
                .ask(&FENCE)
                .map(|reply| reply.texts())
        });
        if let Ok(Ok(fences)) = fences.await {
            let mut seen = seen.lock().expect("whole");
            if seen.losses == losses {
                for pair in fences.chunks_exact(2) {
                    seen.fence(&pair[0], &pair[1]);
                }
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn note(seen: &Mutex<Seen>, rows: &[Row]) {
    let mut seen = seen.lock().expect("whole");
    seen.looks += 1;
    for row in rows {
        let (session, epoch, seq) = (row.get(1), row.get(2), row.get(3));
        seen.owner(
            row.get(0),
            Owner {
                session,
                epoch,
                seq,
            },
        );
    }
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub async fn query(url: &str, sql: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
    connect(url).await?.query(sql, &[]).await
}
