//! The order of writes: who may write a scheduler, and after which batch (architecture 5, Order).

use super::RedisStore;
use super::asking::{Ask, Reply, WrongType, ask};
use super::changes::Translation;
use super::error::{Foreign, cause, commit_error, store_error};
use super::keys::FENCE;
use super::writes::Writer;
use crate::names::told;
use fred::interfaces::HashesInterface;
use fred::types::Value;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{Cause, Change, CommitError, Fence, StoreError};

/// How the script judged a batch.
enum Outcome {
    Applied,
    /// What was believed to be stored is not there.
    Missing(String),
}

impl RedisStore {
    /// Applies the part of `changes` that concerns Redis, all of it or nothing, in one call of a script; also an empty
    /// part, because the seq is stored with it.
    ///
    /// # Errors
    /// As for [`Store::commit`](maestro_core::ports::Store::commit); a higher epoch in the store is
    /// [`CommitError::Fenced`], any other seq than the previous one [`CommitError::Behind`]. A scheduler without a
    /// fence is behind at seq 0 whatever came before: its owner has to raise it first.
    pub async fn commit(&self, fence: &Fence, changes: &[Change]) -> Result<(), CommitError> {
        self.commit_over(&self.writer(), fence, changes).await
    }

    /// As [`Self::commit`], over this connection and no other one.
    ///
    /// # Errors
    /// As for [`Self::commit`].
    pub async fn commit_over(
        &self,
        writer: &Writer,
        fence: &Fence,
        changes: &[Change],
    ) -> Result<(), CommitError> {
        let mut written = self.memory.take(fence);
        let remains = self.memory.remains(&fence.scheduler);
        // A second time as a whole, when a key is gone of which only a part was to be written.
        for _ in 0..2 {
            let translation = Translation::new(
                &fence.scheduler,
                self.operations_ttl,
                std::mem::take(&mut written),
            );
            let (words, after) = translation.of(&remains, changes);
            match self.apply(writer, fence, words).await? {
                Outcome::Applied => {
                    self.memory.put(fence, after);
                    self.memory.remember_remains(&fence.scheduler, Vec::new());
                    return Ok(());
                }
                Outcome::Missing(key) => {
                    tracing::warn!(%key, "a room was deleted by another program or evicted; it is written again");
                }
            }
        }
        let text = "Redis: a room that was written as a whole is said to be missing";
        Err(CommitError::NotApplied(text.into()))
    }

    /// # Errors
    /// If it is known that nothing can be written now.
    pub fn expect_connection(&self, writer: &Writer) -> Result<(), CommitError> {
        match writer.is_lost() {
            false => Ok(()),
            true => Err(CommitError::NotApplied(
                self.connections.writes.not_connected(),
            )),
        }
    }

    async fn apply(
        &self,
        writer: &Writer,
        fence: &Fence,
        commands: Vec<Value>,
    ) -> Result<Outcome, CommitError> {
        self.expect_connection(writer)?;
        let head = [
            fence.scheduler.as_str().into(),
            fence.epoch.0.to_string().into(),
            fence.previous.0.to_string().into(),
            fence.seq.0.to_string().into(),
        ];
        let words = head.into_iter().chain(commands).collect();
        let answer = self.commit.run(&writer.client, FENCE, words).await;
        let answer = answer.map_err(|error| commit_error(&error))?;
        let answer: Vec<String> = answer.convert().map_err(|error| commit_error(&error))?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        Err(match answer[..] {
            ["ok"] => return Ok(Outcome::Applied),
            ["missing", key] => return Ok(Outcome::Missing(key.to_owned())),
            ["fenced", epoch] => CommitError::Fenced {
                stored: Epoch(number(epoch)),
            },
            ["behind", seq] => CommitError::Behind {
                stored: Seq(number(seq)),
            },
            ["type", key, found, wanted] => foreign(format!(
                "Redis: the key {key} is a {found} instead of a {wanted}; another program wrote it: rename it"
            )),
            ["rubbish", value] => foreign(rubbish(&fence.scheduler, value)),
            _ => CommitError::Unknown(format!("Redis: an unexpected answer {answer:?}").into()),
        })
    }

    /// The seq of the last batch of this epoch, or of an earlier one; 0 if nothing is stored.
    ///
    /// # Errors
    /// [`CommitError::Fenced`] if the scheduler has a later owner.
    pub async fn stored_seq(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
    ) -> Result<Seq, CommitError> {
        let writer = self.writer();
        // If the question fails, the outcome of the batch stays unknown.
        if writer.is_lost() {
            return Err(CommitError::Unknown(
                self.connections.writes.not_connected(),
            ));
        }
        let stored: Result<Option<String>, _> = writer.client.hget(FENCE, scheduler.as_str()).await;
        let stored = stored.map_err(|error| CommitError::Unknown(cause(&error)))?;
        let Some(text) = stored else {
            return Ok(Seq(0));
        };
        let (stored, seq) =
            parse(&text).ok_or_else(|| CommitError::Unknown(rubbish(scheduler, &text).into()))?;
        if stored > epoch {
            return Err(CommitError::Fenced { stored });
        }
        Ok(seq)
    }

    /// Makes these epochs those of the writers, and returns what was stored before: `None` where nothing was. From here
    /// on the earlier owners' writes are refused, so that none lands while the schedulers are loaded.
    ///
    /// # Errors
    /// If Redis cannot be asked. For one scheduler, [`StoreError::Fenced`] if it has a later owner already, or
    /// [`StoreError::Corrupt`] if its entry cannot be read.
    pub async fn raise(
        &self,
        owned: &[(SchedulerName, Epoch)],
    ) -> Result<Vec<Result<Option<(Epoch, Seq)>, StoreError>>, StoreError> {
        self.raise_over(&self.writer(), owned).await
    }

    /// As [`Self::raise`], over this connection and no other one.
    ///
    /// # Errors
    /// As for [`Self::raise`].
    pub async fn raise_over(
        &self,
        writer: &Writer,
        owned: &[(SchedulerName, Epoch)],
    ) -> Result<Vec<Result<Option<(Epoch, Seq)>, StoreError>>, StoreError> {
        self.memory.forget(owned.iter().map(|(name, _)| name));
        if writer.is_lost() {
            let why = self.connections.writes.not_connected();
            return Err(StoreError::Unavailable(why));
        }
        let words = owned
            .iter()
            .flat_map(|(name, epoch)| [name.as_str().into(), epoch.0.to_string().into()]);
        let answer = self.raise.run(&writer.client, FENCE, words.collect()).await;
        let answer = answer.map_err(|error| store_error(&error))?;
        let stored: Vec<String> = answer.convert().map_err(|error| store_error(&error))?;
        let judged = owned.iter().zip(&stored).map(|((name, epoch), text)| {
            if text.is_empty() {
                return Ok(None);
            }
            let Some((stored, seq)) = parse(text) else {
                return Err(StoreError::Corrupt(rubbish(name, text).into()));
            };
            if stored > *epoch {
                return Err(StoreError::Fenced { stored });
            }
            Ok(Some((stored, seq)))
        });
        Ok(judged.collect())
    }

    /// The names that have an entry, and their epochs. Entries that cannot be read are left to their owners.
    ///
    /// # Errors
    /// If Redis cannot be read.
    pub async fn fenced(&self) -> Result<Vec<(SchedulerName, Epoch)>, StoreError> {
        let asked = vec![Ask::hash(FENCE.to_owned())];
        let mut replies = ask(&self.connections.reads()?, asked).await?.into_iter();
        let entries = replies.next().unwrap_or(Reply::WrongType).hash();
        let entries = entries.map_err(|WrongType| {
            StoreError::Corrupt(format!("Redis: {FENCE} is no hash; rename it").into())
        })?;
        let named = entries
            .into_iter()
            .filter(|(name, _)| self.names.accept(FENCE, name));
        let parsed = named.filter_map(|(name, text)| Some((name.into(), parse(&text)?.0)));
        Ok(parsed.collect())
    }

    /// Removes the entries of names that no store knows any more, unless they have a later owner than these.
    ///
    /// # Errors
    /// If Redis cannot be written. Then they stay.
    pub async fn forget_fences(
        &self,
        forgotten: &[(SchedulerName, Epoch)],
    ) -> Result<(), StoreError> {
        let words = forgotten
            .iter()
            .flat_map(|(name, epoch)| [name.as_str().into(), epoch.0.to_string().into()]);
        let answer = self
            .forget
            .run(
                &self.connections.writes.connected()?.client,
                FENCE,
                words.collect(),
            )
            .await;
        answer.map(|_| ()).map_err(|error| store_error(&error))
    }
}

/// The scripts count in floating point: beyond this two numbers may be the same. No Maestro gets there.
const COUNT_MAX: u64 = 1 << 53;

/// Epoch and seq of an entry of the fence; `None` for what no Maestro writes.
pub(crate) fn parse(text: &str) -> Option<(Epoch, Seq)> {
    let number = |text: &str| text.parse().ok().filter(|number| *number < COUNT_MAX);
    let (epoch, seq) = text.split_once(':')?;
    Some((Epoch(number(epoch)?), Seq(number(seq)?)))
}

fn foreign(text: String) -> CommitError {
    CommitError::NotApplied(Cause::of(Foreign(text)))
}

fn rubbish(scheduler: &SchedulerName, value: &str) -> String {
    let value = told(value);
    format!(
        "Redis: {FENCE} has {value:?} for {scheduler}, which no Maestro writes; type HDEL {FENCE} {scheduler}, then its \
         owner writes everything again"
    )
}
