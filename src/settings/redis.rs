//! The six settings that name a Redis (contract 1.4). They must name the same one.

/// The server of each role, as URLs with passwords.
#[derive(Clone, Debug)]
pub struct RedisRoles {
    pub scheduler_cache: String,
    pub operation_storage: String,
    pub operation_flow: String,
    pub operation_leases: String,
    pub rooms: String,
    pub instances: String,
    /// Maximum number of connections; 0: no maximum.
    pub pool_size: usize,
    /// Instances of one page that the metrics reporter reads; 0: as fits.
    pub scan_size: usize,
}

impl Default for RedisRoles {
    fn default() -> Self {
        let local = || super::REDIS_THERE.to_owned();
        Self {
            scheduler_cache: local(),
            operation_storage: local(),
            operation_flow: local(),
            operation_leases: local(),
            rooms: local(),
            instances: local(),
            pool_size: 500,
            scan_size: 0,
        }
    }
}

impl RedisRoles {
    /// The keys of all roles, with their URLs.
    pub fn urls(&self) -> Vec<(&'static str, String)> {
        let mut roles = self.clone();
        roles.all().map(|(key, url)| (key, url.clone())).into()
    }

    /// Gives the roles that nobody has set the server of one that was: a module of the original needs some of them only
    /// (contract 1.1), and its manifest sets no others.
    pub fn complete(&mut self, is_set: impl Fn(&str) -> bool) {
        let set = self.all().into_iter().find(|(key, _)| is_set(key));
        let Some(url) = set.map(|(_, url)| url.clone()) else {
            return;
        };
        for (_, other) in self.all().into_iter().filter(|(key, _)| !is_set(key)) {
            other.clone_from(&url);
        }
    }

    fn all(&mut self) -> [(&'static str, &mut String); 6] {
        [
            (
                "adapters.schedulerCache.redis.url",
                &mut self.scheduler_cache,
            ),
            (
                "adapters.operationStorage.redis.url",
                &mut self.operation_storage,
            ),
            ("adapters.operationFlow.redis.url", &mut self.operation_flow),
            (
                "adapters.operationLeaseStorage.redis.url",
                &mut self.operation_leases,
            ),
            ("adapters.roomStorage.redis.url", &mut self.rooms),
            ("adapters.instanceStorage.redis.url", &mut self.instances),
        ]
    }
}
