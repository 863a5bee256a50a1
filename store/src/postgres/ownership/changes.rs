//! The stream of changes of owners, by notifications on a session of its own.

use super::looks;
use crate::postgres::connect::Database;
use crate::postgres::error::DatabaseError;
use crate::postgres::session::Session;
use futures_util::stream::{self, BoxStream, StreamExt};
use maestro_core::domain::{Epoch, SchedulerName};
use maestro_core::ports::{Holder, Owner, OwnerChange};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use uuid::Uuid;

const LISTEN: &str = "LISTEN maestro_owner";
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// How long it may take to begin to listen, with login and TLS.
const LISTEN_MAX: Duration = Duration::from_secs(10);
/// After such a silence the server is asked whether it is still there. A peer that is gone says nothing either, and
/// TCP alone notices it after minutes.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What a node tells the others. Without a session nobody owns the scheduler.
#[derive(Deserialize)]
struct Told {
    scheduler: String,
    session: Option<Uuid>,
    #[serde(default)]
    address: String,
    #[serde(default)]
    epoch: u64,
}

impl From<Told> for OwnerChange {
    fn from(told: Told) -> Self {
        let held = |session| Holder {
            session,
            address: told.address,
            epoch: Epoch(told.epoch),
        };
        Self {
            scheduler: told.scheduler.into(),
            owner: told
                .session
                .map_or(Owner::Nobody, |session| Owner::Held(held(session))),
        }
    }
}

struct Listener {
    database: Database,
    session: Option<Session>,
    back_off: Duration,
    /// The owners as they were told, to tell the difference after a lost connection.
    known: BTreeMap<SchedulerName, Holder>,
    /// Changes to be told, from one reading of the owners.
    waiting: VecDeque<OwnerChange>,
    /// The last attempt to listen failed. Used to log an outage once.
    failing: bool,
}

/// Listens from the first look at the stream on. It begins with the owners of that moment.
pub fn changes(database: Database) -> BoxStream<'static, OwnerChange> {
    let listener = Listener {
        database,
        session: None,
        back_off: BACK_OFF_MIN,
        known: BTreeMap::new(),
        waiting: VecDeque::new(),
        failing: false,
    };
    stream::unfold(listener, |mut listener| async move {
        let change = listener.next().await;
        Some((change, listener))
    })
    .boxed()
}

impl Listener {
    async fn next(&mut self) -> OwnerChange {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return change;
            }
            let Some(session) = &mut self.session else {
                self.listen().await;
                continue;
            };
            let notification = match timeout(SILENCE_MAX, session.notification()).await {
                Ok(Some(notification)) => notification,
                Err(_) if is_there(session).await => continue,
                Ok(None) | Err(_) => {
                    self.session = None;
                    continue;
                }
            };
            match serde_json::from_str::<Told>(notification.payload()) {
                Ok(told) => {
                    let change = OwnerChange::from(told);
                    self.remember(&change);
                    return change;
                }
                Err(error) => debug!(%error, "a stranger's notification is passed over"),
            }
        }
    }

    fn remember(&mut self, change: &OwnerChange) {
        match &change.owner {
            Owner::Held(holder) => {
                self.known.insert(change.scheduler.clone(), holder.clone());
            }
            _ => {
                self.known.remove(&change.scheduler);
            }
        }
    }

    /// One attempt to listen, and a pause if it fails.
    async fn listen(&mut self) {
        let why = match timeout(LISTEN_MAX, self.open()).await {
            Ok(Ok(())) => {
                self.back_off = BACK_OFF_MIN;
                if std::mem::take(&mut self.failing) {
                    info!("changes of owners are heard again");
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        match std::mem::replace(&mut self.failing, true) {
            false => warn!(
                why,
                "changes of owners are not heard now; owners are read instead"
            ),
            true => debug!(why, "changes of owners are still not heard"),
        }
        sleep(self.back_off).await;
        self.back_off = BACK_OFF_MAX.min(self.back_off * 2);
    }

    /// The owners are read after the first moment at which a change would be heard.
    async fn open(&mut self) -> Result<(), DatabaseError> {
        let session = self.database.session().await?;
        let listening = session.client().batch_execute(LISTEN).await;
        listening.map_err(|error| self.database.explain(&error))?;
        let now: BTreeMap<_, _> = looks::owners(&self.database).await?.into_iter().collect();
        let freed = self.known.keys().filter(|name| !now.contains_key(*name));
        let freed = freed.map(|name| (name, Owner::Nobody));
        let held = now
            .iter()
            .filter(|(name, holder)| self.known.get(*name) != Some(*holder));
        let held = held.map(|(name, holder)| (name, Owner::Held(holder.clone())));
        let changes = freed.chain(held).map(|(name, owner)| OwnerChange {
            scheduler: name.clone(),
            owner,
        });
        self.waiting = changes.collect();
        self.known = now;
        self.session = Some(session);
        Ok(())
    }
}

/// Whether the other end of a silent session still answers. To listen once more changes nothing.
async fn is_there(session: &Session) -> bool {
    let asked = session.client().batch_execute(LISTEN);
    matches!(timeout(ANSWER_MAX, asked).await, Ok(Ok(())))
}
