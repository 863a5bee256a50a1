//! Ownership by rows: `maestro_node` has the sessions of processes, `maestro_owner` who owns which scheduler
//! (architecture 5). All times are the database's, so that clocks of nodes do not matter.

mod changes;
mod looks;
mod statements;

use super::connect::Database;
use super::error::DatabaseError;
use super::rows::{count, number};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{
    Claim, Holder, Member, Owner, OwnerChange, Ownership, Renewal, StoreError,
};
use parking_lot::Mutex;
use statements::{ACQUIRE, DISCOVER, DRAIN, LEAVE, RELEASE, RENEW};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Names in one statement of [`Ownership::acquire`].
const BATCH_MAX: usize = 100;
/// How often names that change hands at the moment are asked for.
const ATTEMPTS: usize = 4;

/// One process among those of a database.
pub struct PostgresOwnership {
    database: Database,
    member: Member,
    ttl: Duration,
    /// Claims without an answer: the database may have them as ours. The next renewal gives them back.
    doubtful: Mutex<BTreeSet<SchedulerName>>,
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
        }
    }

    /// Whether each is still held.
    async fn extend(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<bool>, StoreError> {
        let (names, epochs) = columns(held);
        let seconds = self.ttl.as_secs_f64();
        let doubtful: Vec<SchedulerName> = {
            let all = self.doubtful.lock();
            let is_held = |name: &SchedulerName| held.iter().any(|(held, _)| held == name);
            all.iter().filter(|name| !is_held(name)).cloned().collect()
        };
        let given_back: Vec<&str> = doubtful.iter().map(SchedulerName::as_str).collect();
        let Member {
            session,
            name,
            address,
            hosts,
            runtime_domain,
            version,
            ..
        } = &self.member;
        let params: [super::Param<'_>; 10] = [
            (session, Type::UUID),
            (&seconds, Type::FLOAT8),
            (name, Type::TEXT),
            (address, Type::TEXT),
            (hosts, Type::BOOL),
            (runtime_domain, Type::TEXT),
            (version, Type::TEXT),
            (&names, Type::TEXT_ARRAY),
            (&epochs, Type::INT8_ARRAY),
            (&given_back, Type::TEXT_ARRAY),
        ];
        // An answer after the end of the session would be of no use.
        let asked = timeout(self.ttl, self.database.change(RENEW, &params)).await;
        let rows = asked.map_err(|_| self.late())??;
        let mut all = self.doubtful.lock();
        all.retain(|name| !doubtful.contains(name));
        Ok(rows.iter().map(|row| row.get(0)).collect())
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
        for _ in 0..ATTEMPTS {
            let open = names.iter().filter(|name| !claims.contains_key(*name));
            let open: Vec<&str> = open.map(SchedulerName::as_str).collect();
            if open.is_empty() {
                break;
            }
            let rows = self.ask_for(&open).await?;
            let mut is_alive = false;
            for row in rows {
                match row.get::<_, Option<String>>(0) {
                    Some(name) => {
                        claims.insert(SchedulerName::from(name), claim_of(&row));
                    }
                    None => is_alive = true,
                }
            }
            if !is_alive {
                // A new session, or one that has ended. What it held until then is another's by right.
                self.extend(&[]).await?;
            }
        }
        let all = names.iter().map(|name| claims.get(name).cloned());
        all.collect::<Option<_>>().ok_or_else(|| {
            StoreError::Unavailable("the schedulers change hands at the moment; ask again".into())
        })
    }

    async fn ask_for(&self, names: &[&str]) -> Result<Vec<Row>, DatabaseError> {
        let Member {
            session, address, ..
        } = &self.member;
        let params: [super::Param<'_>; 3] = [
            (session, Type::UUID),
            (&names, Type::TEXT_ARRAY),
            (address, Type::TEXT),
        ];
        self.database.change(ACQUIRE, &params).await
    }
}

fn claim_of(row: &Row) -> Claim {
    let epoch = Epoch(count(row.get(1)));
    match row.get::<_, Option<Uuid>>(3) {
        None => Claim::Owned {
            epoch,
            seq: Seq(count(row.get(2))),
        },
        Some(session) => Claim::HeldBy(Holder {
            session,
            address: row.get(4),
            epoch,
        }),
    }
}

fn columns(held: &[(SchedulerName, Epoch)]) -> (Vec<&str>, Vec<i64>) {
    held.iter()
        .map(|(name, epoch)| (name.as_str(), number(epoch.0)))
        .unzip()
}

#[async_trait]
impl Ownership for PostgresOwnership {
    /// Those of the table alone: operations are not in Postgres.
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        let rows = self.database.query(DISCOVER, &[]).await?;
        let names = rows.iter().map(|row| row.get::<_, String>(0).into());
        Ok(names.collect())
    }

    fn myself(&self) -> Member {
        self.member.clone()
    }

    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        Ok(looks::members(&self.database).await?)
    }

    async fn owners(&self) -> Result<Vec<(SchedulerName, Holder)>, StoreError> {
        Ok(looks::owners(&self.database).await?)
    }

    async fn owner(&self, name: &SchedulerName) -> Result<Owner, StoreError> {
        Ok(looks::owner(&self.database, name).await?)
    }

    fn changes(&self) -> BoxStream<'static, OwnerChange> {
        changes::changes(self.database.clone())
    }

    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        let mut claims = Vec::with_capacity(names.len());
        self.doubtful.lock().retain(|name| !names.contains(name));
        let mut doubt = Doubt {
            ownership: self,
            names,
        };
        for batch in names.chunks(BATCH_MAX) {
            claims.extend(self.claim(batch).await?);
        }
        doubt.names = &[];
        Ok(claims)
    }

    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        let renewal = |is_held| match is_held {
            true => Renewal::Held(self.ttl),
            false => Renewal::Lost,
        };
        let held = self.extend(held).await?;
        Ok(held.into_iter().map(renewal).collect())
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

    async fn drain(&self, session: Uuid, draining: bool) -> Result<bool, StoreError> {
        let params: [super::Param<'_>; 2] = [(&session, Type::UUID), (&draining, Type::BOOL)];
        let rows = self.database.change(DRAIN, &params).await?;
        Ok(!rows.is_empty())
    }

    async fn leave(&self) -> Result<(), StoreError> {
        let session = [(&self.member.session as _, Type::UUID)];
        self.database.change(LEAVE, &session).await?;
        Ok(())
    }
}
