//! A store on a real server.

use maestro_core::domain::{Epoch, OperationRecord, RoomRecord, SchedulerName, Seq};
use maestro_core::ports::{Change, CommitError, Fence};
use maestro_store::redis::{RedisSettings, RedisStore, Stored};
use maestro_testkit::servers::redis::RedisServer;

/// The keys of the six settings (contract 1.4).
pub const KEYS: [&str; 6] = [
    "adapters.schedulerCache.redis.url",
    "adapters.operationStorage.redis.url",
    "adapters.operationFlow.redis.url",
    "adapters.operationLeaseStorage.redis.url",
    "adapters.roomStorage.redis.url",
    "adapters.instanceStorage.redis.url",
];

pub fn settings(url: &str) -> RedisSettings {
    RedisSettings {
        urls: KEYS.iter().map(|key| (*key, url.to_owned())).collect(),
        pool_size: 500,
        operations_ttl: Some(std::time::Duration::from_secs(24 * 3600)),
        authorities: Vec::new(),
    }
}

pub async fn open(server: &RedisServer) -> RedisStore {
    let settings = settings(&server.url());
    RedisStore::connect(&settings).await.unwrap()
}

/// The owner of one scheduler, who keeps its writes in order.
pub struct Owner<'a> {
    pub store: &'a RedisStore,
    pub fence: Fence,
}

impl<'a> Owner<'a> {
    /// Takes the scheduler `fleet` over at this epoch.
    pub async fn of(store: &'a RedisStore, epoch: u64) -> (Self, Stored) {
        let name = SchedulerName::from("fleet");
        let loaded = store.load(&[(name.clone(), Epoch(epoch))]).await;
        let loaded = loaded.into_iter().next().unwrap().unwrap();
        let seq = loaded.fence.map_or(Seq(0), |(_, seq)| seq);
        let fence = Fence {
            scheduler: name,
            epoch: Epoch(epoch),
            previous: seq,
            seq: seq.next(),
        };
        (Self { store, fence }, loaded)
    }

    pub async fn commit(&mut self, changes: &[Change]) -> Result<(), CommitError> {
        self.store.commit(&self.fence, changes).await?;
        self.fence.previous = self.fence.seq;
        self.fence.seq = self.fence.seq.next();
        Ok(())
    }

    pub async fn put(&mut self, changes: &[Change]) {
        self.commit(changes).await.unwrap();
    }

    /// What is stored, without a take-over.
    pub async fn stored(&self) -> Stored {
        let stored = self.store.stored(&[&self.fence.scheduler]).await.unwrap();
        stored.into_iter().next().unwrap().unwrap()
    }
}

pub fn put_room(room: &RoomRecord) -> Change {
    Change::PutRoom(Box::new(room.clone()))
}

pub fn put(operation: &OperationRecord) -> Change {
    Change::PutOperation(Box::new(operation.clone()))
}
