//! What nodes own, as the store knows it; as this node knows it while the store cannot be read.

use super::Node;
use crate::directory::Location;
use crate::error::CallError;
use maestro_core::ports::{Holder, Member, Outbox, Overview, Owner, Standing};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long the store may take while it is known to fail.
const FAILING_ANSWERS_WITHIN: Duration = Duration::from_secs(1);
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The nodes of a store.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// What each of them owns.
    pub overview: Overview,
    /// What one half of the store still lacks.
    pub outbox: Outbox,
    /// The store could not be read.
    pub remembered: Option<Remembered>,
}

/// Why an answer is that of this node alone, and how old it may be.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// Why the store could not be read.
    pub cause: Arc<str>,
    /// The time since the last look at the store.
    pub age: Duration,
}

impl Node {
    /// How long to wait for the store, so that operators get what is known while it does not answer.
    pub(super) fn patience(&self) -> Duration {
        match self.outage() {
            Some(_) => FAILING_ANSWERS_WITHIN,
            None => ANSWERS_WITHIN,
        }
    }

    /// What each node owns. While the store cannot be read it is what this node saw last.
    ///
    /// # Errors
    /// If the store cannot be read, and was not since the start.
    pub async fn nodes(&self) -> Result<Nodes, CallError> {
        match self.overview().await {
            Ok((overview, outbox)) => Ok(Nodes {
                overview,
                outbox,
                remembered: None,
            }),
            Err(error) => self.remembered_nodes(error),
        }
    }

    fn remembered_nodes(&self, error: CallError) -> Result<Nodes, CallError> {
        let (Some(remembered), me) = (self.remembered(&error), self.myself()) else {
            return Err(error);
        };
        let mut owned: HashMap<Uuid, u64> = HashMap::new();
        let mut unowned = 0;
        for (_, holder) in self.directory.elsewhere() {
            match holder {
                Some(holder) => *owned.entry(holder.session).or_default() += 1,
                None => unowned += 1,
            }
        }
        owned.insert(me.session, self.directory.count() as u64);
        let members = self.members();
        let standing = |member: &Member| Standing {
            member: member.clone(),
            left: None,
            owned: owned.get(&member.session).copied().unwrap_or(0),
        };
        Ok(Nodes {
            overview: Overview {
                // An embedded one cannot be away.
                store: "postgres",
                nodes: members.iter().map(standing).collect(),
                unowned,
            },
            outbox: self.directory.counters().taken.outbox(),
            remembered: Some(remembered),
        })
    }

    fn remembered(&self, error: &CallError) -> Option<Remembered> {
        let age = match error {
            CallError::Store(_) => self.directory.look_age()?,
            _ => return None,
        };
        let cause = error.to_string().into();
        Some(Remembered { cause, age })
    }

    /// Who owns a scheduler. While the store cannot be read it is whom this node saw last.
    ///
    /// # Errors
    /// If the store cannot be read, and was not since the start.
    pub async fn owner_or_last_seen(&self, name: &str) -> Result<Owner, CallError> {
        match self.owner(name).await {
            Err(error) if self.remembered(&error).is_some() => self.last_seen(name),
            owner => owner,
        }
    }

    fn last_seen(&self, name: &str) -> Result<Owner, CallError> {
        let me = self.myself();
        Ok(match self.directory.locate(name)? {
            None => Owner::Unknown,
            Some(Location::Unowned) => Owner::Nobody,
            Some(Location::Remote(holder)) => Owner::Held(holder),
            Some(Location::Local(handle)) => match handle.live() {
                Ok(live) => Owner::Held(Holder {
                    session: me.session,
                    address: me.address,
                    epoch: live.lease.epoch,
                }),
                Err(_) => Owner::Nobody,
            },
        })
    }
}
