//! A store on a real server.

use maestro_store::redis::{RedisSettings, RedisStore};
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
