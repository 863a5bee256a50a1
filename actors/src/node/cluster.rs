//! This node as one of several: where owners run, and how it hands its own over.

use super::Node;
use crate::directory::Location;
use crate::error::CallError;
use crate::handle::SchedulerHandle;
use crate::survey;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Holder, Member, Outbox, Overview, Owner, Ownership, StoreError};
use maestro_core::rules::placement;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// The hand-over at a shutdown ends when no scheduler has left for this number of renewals: the others cannot leave,
/// for example because their rooms are processes of this machine.
const RENEWALS_WITHOUT_PROGRESS: u32 = 3;
/// How long the store may take to end the session.
const LEAVE_MAX: Duration = Duration::from_secs(1);
/// How long the first call to a scheduler of another program waits for its owner.
const ADOPTED_WITHIN: Duration = Duration::from_secs(1);
/// How long a look-up waits for its turn.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(1);

impl Node {
    /// This node, as the others see it.
    pub fn myself(&self) -> Member {
        self.parts.ownership.myself()
    }

    /// The nodes that were alive at the last look.
    pub fn members(&self) -> Arc<[Member]> {
        self.directory.members()
    }

    /// Where the owner of a scheduler runs; `None` if there is no such scheduler. A name that is not known here is
    /// looked up in the store, because another program may have just created it.
    ///
    /// # Errors
    /// When the node is shutting down, or the store cannot be read.
    pub async fn locate(&self, name: &str) -> Result<Option<Location>, CallError> {
        if let Some(location) = self.directory.locate(name)? {
            return Ok(Some(location));
        }
        self.look_up(name).await?;
        self.directory.locate(name)
    }

    /// The node on which a scheduler should be created that does not exist yet; `None` if it is this one.
    ///
    /// # Errors
    /// [`CallError::NoHost`].
    pub async fn host_of(&self, name: &str) -> Result<Option<Member>, CallError> {
        match self.host_among(name, &self.members()) {
            // A worker may have joined since the last look.
            Err(CallError::NoHost) => {
                self.look_at_members().await?;
                self.host_among(name, &self.members())
            }
            known => known,
        }
    }

    async fn look_at_members(&self) -> Result<(), CallError> {
        let Ok(_place) = self.look_ups.try_acquire() else {
            return Err(CallError::NoHost);
        };
        let ownership = self.parts.ownership.clone();
        // Clients of a store must be used on the I/O runtime.
        let look = async move { ownership.members().await };
        let looked = self.parts.tasks.spawn_on(look, &self.parts.io).await;
        let members = looked.map_err(|_| CallError::ShuttingDown)??;
        self.directory.set_members(&members);
        Ok(())
    }

    fn host_among(&self, name: &str, members: &[Member]) -> Result<Option<Member>, CallError> {
        let me = self.myself();
        match placement::target(&name.into(), members) {
            Some(host) if host.session == me.session => Ok(None),
            // A node that hosts owners may create any scheduler, so it needs no other for that.
            Some(_) if me.hosts && !self.is_draining() => Ok(None),
            Some(host) => Ok(Some(host.clone())),
            None if me.hosts => Ok(None),
            None => Err(CallError::NoHost),
        }
    }

    /// Whether an operator, or its own shutdown, drains this node.
    pub fn is_draining(&self) -> bool {
        let me = self.myself().session;
        let members = self.members();
        members.iter().any(|m| m.session == me && m.draining)
    }

    /// What each node owns, and what one half of the store still lacks, as the store knows it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn overview(&self) -> Result<(Overview, Outbox), CallError> {
        self.read(|ownership| async move {
            let overview = ownership.overview().await?;
            Ok((overview, ownership.outbox().await?))
        })
        .await
    }

    /// Who owns a scheduler.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn owner(&self, name: &str) -> Result<Owner, CallError> {
        // An embedded store does not know: nobody else has to find its owners.
        if let Ok(Some(handle)) = self.directory.find(name)
            && let Ok(live) = handle.live()
        {
            let Member {
                session, address, ..
            } = self.myself();
            let epoch = live.lease.epoch;
            return Ok(Owner::Held(Holder {
                session,
                address,
                epoch,
            }));
        }
        let name = SchedulerName::from(name);
        self.read(|ownership| async move { ownership.owner(&name).await })
            .await
    }

    /// Asks the store about nodes and owners, on the I/O runtime, where its clients must be used.
    async fn read<T, F>(
        &self,
        ask: impl FnOnce(Arc<dyn Ownership>) -> F + Send + 'static,
    ) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let ownership = self.parts.ownership.clone();
        let patience = self.patience();
        let asked = async move { tokio::time::timeout(patience, ask(ownership)).await };
        let answer = self.parts.tasks.spawn_on(asked, &self.parts.io).await;
        let late = |_| Err(StoreError::Unavailable("it does not answer".into()));
        let answer = answer.map_err(|_| CallError::ShuttingDown)?;
        answer
            .unwrap_or_else(late)
            .map_err(|error| match self.outage() {
                Some(outage) => outage.refusal().into(),
                None => error.into(),
            })
    }

    /// Lets this node hand its schedulers over and take no more, or makes it take its share again. It answers and
    /// routes as before. `leaves_rooms`: also those schedulers go whose rooms only this node can see. False if its
    /// session has just ended, so that the order is to be repeated.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn drain(&self, draining: bool, leaves_rooms: bool) -> Result<bool, CallError> {
        let session = self.myself().session;
        let drained = self
            .read(move |ownership| async move { ownership.drain(session, draining).await })
            .await?;
        if drained {
            self.directory.set_leaves_rooms(draining && leaves_rooms);
            info!(draining, leaves_rooms, "an operator steered this node");
        }
        Ok(drained)
    }

    /// How many schedulers stay here although this node drains, because the nodes that should own them cannot see their
    /// rooms.
    pub fn staying(&self) -> usize {
        let (me, members) = (self.myself(), self.members());
        let all = self.directory.all();
        let stay = all
            .iter()
            .filter(|h| placement::stays(h.name(), &me, &members));
        match self.directory.leaves_rooms() {
            true => 0,
            false => stay.count(),
        }
    }

    /// The handle of an owner on this node; `None` if there is no such scheduler.
    pub(super) async fn find(&self, name: &str) -> Result<Option<SchedulerHandle>, CallError> {
        if let Some(handle) = self.directory.find(name)? {
            return Ok(Some(handle));
        }
        self.look_up(name).await?;
        match self.directory.find(name) {
            // Another program has just created it: it gets its owner now, not with the next survey.
            Err(CallError::Unowned(_)) => self.adopt(name).await.map(Some),
            Ok(Some(handle)) if handle.is_loading() => self.adopt(name).await.map(Some),
            found => found,
        }
    }

    async fn adopt(&self, name: &str) -> Result<SchedulerHandle, CallError> {
        let made = tokio::time::timeout(ADOPTED_WITHIN, self.ensure(name.into())).await;
        made.unwrap_or_else(|_| Err(CallError::Unowned(name.to_owned())))
    }

    async fn look_up(&self, name: &str) -> Result<(), CallError> {
        let place = tokio::time::timeout(LOOKED_UP_WITHIN, self.look_ups.acquire()).await;
        let Ok(Ok(_place)) = place else {
            let text = "too many unknown schedulers are being looked up; try again in a moment";
            return Err(StoreError::Unavailable(text.into()).into());
        };
        let (parts, directory, name) = (self.parts.clone(), self.directory.clone(), name.into());
        // Clients of a store must be used on the I/O runtime.
        let look_up = async move { survey::find_owner(&parts, &directory, &name).await };
        let looked_up = self.parts.tasks.spawn_on(look_up, &self.parts.io).await;
        let found = looked_up.map_err(|_| CallError::ShuttingDown)?;
        found.map_err(|error| match self.parts.store.outage() {
            Some(outage) => outage.refusal().into(),
            None => error.into(),
        })
    }

    /// Hands all schedulers over to other nodes, before a planned stop. Meanwhile this node answers and routes as
    /// usual. Ends at once if there is no other node that could take them.
    pub async fn hand_over(&self) {
        let me = self.myself();
        let others = |m: &Member| m.hosts && !m.draining && m.session != me.session;
        if !me.hosts || self.directory.count() == 0 || !self.members().iter().any(others) {
            return;
        }
        if let Err(error) = self.parts.ownership.drain(me.session, true).await {
            return warn!(%error, "this node cannot be drained: its schedulers wait for their leases to expire");
        }
        info!(
            schedulers = self.directory.count(),
            "handing over the schedulers"
        );
        let renewal = self.parts.settings.lease_renewal;
        let until = Instant::now() + self.parts.settings.stop_within;
        let (mut left, mut since) = (self.directory.count(), Instant::now());
        while left > 0 && Instant::now() < until {
            let changed = tokio::time::timeout(renewal, self.directory.changed()).await;
            let now_left = self.directory.count();
            if now_left < left {
                (left, since) = (now_left, Instant::now());
            }
            // The first round begins when the other nodes know that this one drains.
            let stands_still = since.elapsed() > renewal * RENEWALS_WITHOUT_PROGRESS;
            if changed.is_err() && stands_still {
                break;
            }
        }
        if left > 0 {
            info!(schedulers = left, "these could not be handed over");
        }
    }

    /// Ends the session of this node: whatever it still owns is free at once.
    pub(super) async fn leave(&self) {
        let ownership = self.parts.ownership.clone();
        let leaving = self.parts.tasks.spawn_on(
            async move { tokio::time::timeout(LEAVE_MAX, ownership.leave()).await },
            &self.parts.io,
        );
        match leaving.await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => warn!(%error, "the session of this node will expire"),
            Ok(Err(_)) | Err(_) => {
                warn!("the session of this node will expire: the store does not answer");
            }
        }
    }
}
