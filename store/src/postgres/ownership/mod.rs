//! Ownership by rows: `maestro_node` has the sessions of processes, `maestro_owner` who owns which scheduler
//! (architecture 5). All times are the database's, so that clocks of nodes do not matter.

mod changes;
mod looks;
mod statements;
mod unneeded;

pub(crate) use looks::{current_epoch, owned_by};
pub(crate) use statements::count_of;
pub(crate) use unneeded::{forget, unknown, unneeded};

use super::connect::Database;
use super::error::DatabaseError;
use super::rows::{count, number};
use crate::names::{Names, is_name};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{
    Claim, Holder, Member, Outbox, Overview, Owner, OwnerChange, Ownership, Renewal, StoreError,
};
use parking_lot::Mutex;
use statements::{ACQUIRE, DISCOVER, DRAIN, LEAVE, MINE, RELEASE, RENEW};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::time::{sleep, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Names in one statement of [`Ownership::acquire`].
const BATCH_MAX: usize = 100;
/// How often names that change hands at the moment are asked for.
const ATTEMPTS: usize = 4;
/// Before they are asked for again; it doubles.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a renewal may be late because it gives doubtful claims back.
const GIVE_BACK_MAX: Duration = Duration::from_millis(200);

/// One process among those of a database.
pub struct PostgresOwnership {
    database: Database,
    member: Member,
    ttl: Duration,
    /// Claims without an answer: the database may have them as ours. The next renewal gives them back.
    doubtful: Mutex<BTreeSet<SchedulerName>>,
    /// Whether the process is drained, as was last heard: its row is lost with its session.
    draining: AtomicBool,
    /// The process has left. Locked by renewals while they run, because one that reaches the database after the session
    /// was deleted may begin it anew.
    has_left: RwLock<bool>,
    names: Names,
}

/// Remembers claims as doubtful unless their answer has come.
struct Doubt<'a> {
    ownership: &'a PostgresOwnership,
    names: &'a [SchedulerName],
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        let names = self.names.iter().cloned();
        self.ownership.doubtful.lock().extend(names);
    }
}

impl PostgresOwnership {
    /// `ttl`: how long a session lasts after a renewal. Nothing is asked of the database yet.
    pub fn new(database: Database, member: Member, ttl: Duration) -> Self {
        Self {
            database,
            member,
            ttl,
            doubtful: Mutex::default(),
            draining: AtomicBool::new(false),
            has_left: RwLock::new(false),
            names: Names::default(),
        }
    }

    /// Whether each is still held. A session that is not there, or not any more, begins.
    async fn extend(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<bool>, StoreError> {
        let has_left = self.has_left.read().await;
        if *has_left {
            return Err(StoreError::Unavailable("this node has left".into()));
        }
        let mut rows = self.send_renewal(held, false).await?;
        let lives = |rows: &[Row]| rows.first().is_some_and(|row| row.get(0));
        if !lives(&rows) {
            rows = self.send_renewal(held, true).await?;
        }
        // Without schedulers the row is that of none.
        let all = rows.iter().take(held.len());
        Ok(all.map(|row| row.get(1)).collect())
    }

    async fn send_renewal(
        &self,
        held: &[(SchedulerName, Epoch)],
        begins: bool,
    ) -> Result<Vec<Row>, StoreError> {
        let (names, epochs) = columns(held);
        let seconds = self.ttl.as_secs_f64();
        let Member {
            session,
            name,
            address,
            hosts,
            runtime_domain,
            version,
            ..
        } = &self.member;
        let draining = self.draining.load(Relaxed);
        let params: [super::Param<'_>; 11] = [
            (session, Type::UUID),
            (&seconds, Type::FLOAT8),
            (name, Type::TEXT),
            (address, Type::TEXT),
            (hosts, Type::BOOL),
            (runtime_domain, Type::TEXT),
            (version, Type::TEXT),
            (&names, Type::TEXT_ARRAY),
            (&epochs, Type::INT8_ARRAY),
            (&draining, Type::BOOL),
            (&begins, Type::BOOL),
        ];
        // An answer after the end of the session would be of no use.
        let asked = timeout(self.ttl, self.database.change(RENEW, &params)).await;
        Ok(asked.map_err(|_| self.late())??)
    }

    /// Gives back what claims without an answer may have taken. A claim that begins meanwhile is safe: it is not
    /// doubtful
    /// while it runs, and it raises the epoch. It is no part of the renewal, because it may wait for a locked row.
    async fn give_back(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        let is_held = |name: &SchedulerName| held.iter().any(|(held, _)| held == name);
        let doubtful: Vec<SchedulerName> = {
            let all = self.doubtful.lock();
            all.iter().filter(|name| !is_held(name)).cloned().collect()
        };
        if doubtful.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = doubtful.iter().map(SchedulerName::as_str).collect();
        let asked: [super::Param<'_>; 2] = [
            (&self.member.session, Type::UUID),
            (&names, Type::TEXT_ARRAY),
        ];
        let rows = self.database.query(MINE, &asked).await?;
        let mine: Vec<(SchedulerName, Epoch)> = {
            let all = self.doubtful.lock();
            let mine = rows.iter().map(|row| (row.get::<_, &str>(0).into(), row));
            let mine = mine.filter(|(name, _)| all.contains(name));
            mine.map(|(name, row)| (name, Epoch(count(row.get(1)))))
                .collect()
        };
        if !mine.is_empty() {
            self.release(&mine).await?;
        }
        self.doubtful.lock().retain(|name| !doubtful.contains(name));
        Ok(())
    }

    fn late(&self) -> StoreError {
        let text = format!(
            "{}: no answer within {:?}, the duration of a session",
            self.database.place(),
            self.ttl
        );
        StoreError::Unavailable(text.into())
    }

    async fn claim(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        let mut claims = BTreeMap::new();
        let mut open: Vec<&str> = names.iter().map(SchedulerName::as_str).collect();
        let mut pause = PAUSE;
        for _ in 0..ATTEMPTS {
            let rows = self.ask_for(&open).await?;
            if rows.is_empty() {
                // A new session, or one that has ended. What it held until then is another's by right.
                self.extend(&[]).await?;
                continue;
            }
            let mut again = BTreeSet::new();
            for row in &rows {
                let name = SchedulerName::from(row.get::<_, &str>(0));
                if row.get(5) {
                    again.insert(name.clone());
                }
                claims.insert(name, claim_of(row));
            }
            open.retain(|name| again.contains(*name));
            if open.is_empty() {
                break;
            }
            sleep(pause).await;
            pause *= 2;
        }
        let all = names.iter().map(|name| claims.get(name).cloned());
        all.collect::<Option<_>>().ok_or_else(|| {
            let text = "the session of this node ends at once again and again; is the database's clock in order?";
            StoreError::Unavailable(text.into())
        })
    }

    async fn ask_for(&self, names: &[&str]) -> Result<Vec<Row>, DatabaseError> {
        let Member {
            session, address, ..
        } = &self.member;
        let seconds = self.ttl.as_secs_f64();
        let params: [super::Param<'_>; 4] = [
            (session, Type::UUID),
            (&names, Type::TEXT_ARRAY),
            (address, Type::TEXT),
            (&seconds, Type::FLOAT8),
        ];
        self.database.change(ACQUIRE, &params).await
    }
}

/// Of a row of [`ACQUIRE`]. A name that could not be taken although nobody alive held it is answered with its last
/// owner.
fn claim_of(row: &Row) -> Claim {
    let epoch = Epoch(count(row.get(1)));
    match row.get::<_, Option<i64>>(2) {
        Some(seq) => Claim::Owned {
            epoch,
            seq: Seq(count(seq)),
        },
        None => Claim::HeldBy(Holder {
            session: row.get(3),
            address: row.get(4),
            epoch,
        }),
    }
}

fn nobody() -> Claim {
    Claim::HeldBy(Holder {
        session: Uuid::nil(),
        address: String::new(),
        epoch: Epoch(0),
    })
}

fn columns(held: &[(SchedulerName, Epoch)]) -> (Vec<&str>, Vec<i64>) {
    held.iter()
        .map(|(name, epoch)| (name.as_str(), number(epoch.0)))
        .unzip()
}

#[async_trait]
impl Ownership for PostgresOwnership {
    /// Those of the tables alone: operations are not in Postgres.
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        let rows = self.database.query(DISCOVER, &[]).await?;
        let names = rows.iter().map(|row| row.get::<_, String>(0).into());
        Ok(names.collect())
    }

    fn myself(&self) -> Member {
        self.member.clone()
    }

    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        let members = looks::members(&self.database).await?;
        if let Some(me) = members.iter().find(|m| m.session == self.member.session) {
            self.draining.store(me.draining, Relaxed);
        }
        Ok(members)
    }

    async fn owners(&self) -> Result<Vec<(SchedulerName, Holder)>, StoreError> {
        Ok(looks::owners(&self.database).await?)
    }

    async fn owner(&self, name: &SchedulerName) -> Result<Owner, StoreError> {
        match is_name(name.as_str()) {
            true => Ok(looks::owner(&self.database, name).await?),
            false => Ok(Owner::Unknown),
        }
    }

    fn changes(&self) -> BoxStream<'static, OwnerChange> {
        changes::changes(self.database.clone())
    }

    /// What is no name is answered as held by nobody: no process can ever own it.
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        let is_usable = |name: &&SchedulerName| self.names.accept("a list of names", name.as_str());
        let usable: Vec<SchedulerName> = names.iter().filter(is_usable).cloned().collect();
        let mut claims = Vec::with_capacity(usable.len());
        self.doubtful.lock().retain(|name| !usable.contains(name));
        let mut doubt = Doubt {
            ownership: self,
            names: &usable,
        };
        for batch in usable.chunks(BATCH_MAX) {
            claims.extend(self.claim(batch).await?);
        }
        doubt.names = &[];
        drop(doubt);
        let mut claims = claims.into_iter();
        let claim = |name: &SchedulerName| match is_name(name.as_str()) {
            true => claims.next(),
            false => None,
        };
        let claims = names.iter().map(claim);
        Ok(claims.map(|claim| claim.unwrap_or_else(nobody)).collect())
    }

    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        let renewal = |is_held| match is_held {
            true => Renewal::Held(self.ttl),
            false => Renewal::Lost,
        };
        let answers = self.extend(held).await?;
        // If that fails or is late, the next renewal tries again.
        let _ = timeout(GIVE_BACK_MAX, self.give_back(held)).await;
        Ok(answers.into_iter().map(renewal).collect())
    }

    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        let (names, epochs) = columns(held);
        let params: [super::Param<'_>; 3] = [
            (&self.member.session, Type::UUID),
            (&names, Type::TEXT_ARRAY),
            (&epochs, Type::INT8_ARRAY),
        ];
        self.database.change(RELEASE, &params).await?;
        Ok(())
    }

    async fn overview(&self) -> Result<Overview, StoreError> {
        Ok(looks::overview(&self.database).await?)
    }

    async fn outbox(&self) -> Result<Outbox, StoreError> {
        Ok(looks::outbox(&self.database).await?)
    }

    async fn drain(&self, session: Uuid, draining: bool) -> Result<bool, StoreError> {
        let params: [super::Param<'_>; 2] = [(&session, Type::UUID), (&draining, Type::BOOL)];
        let rows = self.database.change(DRAIN, &params).await?;
        let is_alive = !rows.is_empty();
        if is_alive && session == self.member.session {
            self.draining.store(draining, Relaxed);
        }
        Ok(is_alive)
    }

    /// Postgres alone does not know whether a name still has operations.
    async fn forget_unneeded(&self) -> Result<(), StoreError> {
        let names = unneeded(&self.database).await?;
        if !names.is_empty() {
            forget(&self.database, &names).await?;
        }
        Ok(())
    }

    async fn leave(&self) -> Result<(), StoreError> {
        let mut has_left = self.has_left.write().await;
        *has_left = true;
        let session = [(&self.member.session as _, Type::UUID)];
        self.database.change(LEAVE, &session).await?;
        Ok(())
    }
}
