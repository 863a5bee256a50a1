use super::error::SettingsError;
use super::*;
use maestro_core::duration;
use std::ffi::OsString;

fn from(file: Option<&str>, variables: &[(&str, &str)]) -> Result<Loaded, SettingsErrors> {
    let written = tempfile::NamedTempFile::new().unwrap();
    let path = file.map(|text| {
        std::fs::write(written.path(), text).unwrap();
        written.path()
    });
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load(path, variables, &[])
}

fn from_env(pairs: &[(&str, &str)]) -> Result<Loaded, SettingsErrors> {
    from(None, pairs)
}

fn from_file(text: &str) -> Result<Loaded, SettingsErrors> {
    from(Some(text), &[])
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn nothing_set_means_the_shipped_values() {
    let loaded = from_env(&[]).unwrap();
    let settings = &loaded.settings;
    assert_eq!((settings.api.port, settings.rooms_api.port), (8080, 8070));
    assert_eq!(settings.core, CoreSettings::default());
    assert!(loaded.warnings.is_empty() && loaded.origins.is_empty());
    // Empty files, groups and keys set nothing either.
    for text in ["", "# nothing\n", "api:\n", "api: {port: , debug: }\n"] {
        let loaded = from_file(text).unwrap();
        assert_eq!(format!("{:?}", loaded.settings), format!("{settings:?}"));
    }
}

/// The table of contract 1.4, by hand: the declarations must not drift from it.
#[test]
fn shipped_values_are_those_of_the_contract() {
    let expected = [
        ("api.port", "8080"),
        ("api.gracefulShutdownTimeout", "30s"),
        ("api.metrics.enabled", "true"),
        ("api.tracing.jaeger.disabled", "true"),
        ("internalApi.port", "8081"),
        ("internalApi.gracefulShutdownTimeout", "30s"),
        ("internalApi.metrics.enabled", "true"),
        ("internalApi.healthcheck.enabled", "true"),
        ("internalApi.healthcheck.skipPostgresCheck", "false"),
        ("adapters.redis.poolSize", "500"),
        ("adapters.schedulerStorage.postgres.minIdleConns", "10"),
        (
            "adapters.schedulerCache.redis.url",
            "redis://localhost:6379/0",
        ),
        ("adapters.portAllocator.random.range", "60001-60010"),
        ("adapters.runtime.kubernetes.inCluster", "false"),
        ("adapters.runtime.kubernetes.qps", "100"),
        ("adapters.runtime.kubernetes.burst", "200"),
        // D20: not https://127.0.0.1:6443.
        ("adapters.runtime.kubernetes.masterUrl", ""),
        (
            "adapters.runtime.kubernetes.kubeconfig",
            "./kubeconfig/kubeconfig.yaml",
        ),
        ("adapters.grpc.keepAlive.time", "30s"),
        ("adapters.grpc.keepAlive.timeout", "5s"),
        ("workers.syncInterval", "10s"),
        ("workers.stopTimeoutDuration", "2m"),
        ("workers.redis.operationsTTL", "24h"),
        ("workers.healthControllerInterval", "1m"),
        ("workers.storageClenupInterval", "3h"),
        ("reporter.metrics.intervalMillis", "10000"),
        // D38: not 60.
        ("runtimeWatcher.disruptionWorker.intervalSeconds", "5"),
        ("runtimeWatcher.disruptionWorker.safetyPercentage", "0.05"),
        ("runtimeWatcher.disruptionWorker.protectSingleRoom", "true"),
        ("operations.rooms.add.limit", "1000"),
        ("operations.rooms.add.batchSize", "40"),
        ("operations.rooms.add.operationTimeout", "5s"),
        ("operations.rooms.remove.limit", "50"),
        ("operations.rooms.drainDeadline", "1h"),
        ("services.roomManager.roomPingTimeoutMillis", "240000"),
        (
            "services.roomManager.roomInitializationTimeoutMillis",
            "120000",
        ),
        ("services.roomManager.roomValidationTimeoutMillis", "120000"),
        ("services.roomManager.roomDeletionTimeoutMillis", "120000"),
        ("services.roomManager.roomAllocationTTLMillis", "300000"),
        ("services.roomManager.allocationFreshMillis", "60000"),
        ("services.roomManager.roomValidationAttempts", "3"),
        (
            "services.roomManager.roomValidationAcceptOccupiedStatus",
            "false",
        ),
        ("services.operationManager.operationLeaseTTLMillis", "5000"),
        ("services.eventsForwarder.schedulerCacheTTLMillis", "120000"),
        ("migration.path", "file://app/migrations"),
    ];
    let defaults = Settings::default();
    for (path, value) in expected {
        let (key, alias) = keys::find(path).unwrap_or_else(|| panic!("no {path}"));
        assert!(alias.is_none());
        assert_eq!(key.show(&defaults), value, "{path}");
    }
}

#[test]
fn every_key_reads_back_what_it_shows_and_has_a_name_of_its_own() {
    let mut names: Vec<String> = keys::names().map(key::variable).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    for key in KEYS.iter() {
        let mut settings = Settings::default();
        let shown = key.show(&settings);
        key.put(&mut settings, &shown)
            .unwrap_or_else(|why| panic!("{}: {why}", key.path));
        assert_eq!(key.show(&settings), shown, "{}", key.path);
        assert!(key.does.ends_with('.'), "{}", key.path);
    }
}

#[test]
fn the_nearest_source_wins_whatever_the_case_of_names() {
    let file = "API: {port: 1000}\nroomsapi.port: 1001\nworkers: {redis: {operationsTtl: 5s}}";
    let variables = [
        ("MAESTRO_API_PORT", "2000"),
        ("maestro_workers_paused", "true"),
        ("MAESTRO_ROOMSAPI_PORT", ""),
    ];
    let loaded = from(Some(file), &variables).unwrap();
    let settings = &loaded.settings;
    assert_eq!((settings.api.port, settings.rooms_api.port), (2000, 1001));
    assert_eq!(settings.core.periodic_operation_ttl, secs(5));
    assert!(settings.core.paused);
    assert_eq!(
        loaded.origins["api.port"].to_string(),
        "variable MAESTRO_API_PORT"
    );
    assert!(
        loaded.origins["roomsApi.port"]
            .to_string()
            .starts_with("file ")
    );
    let flags = [("store.dataDir", "--data-dir", "/elsewhere".to_owned())];
    let variable = [("MAESTRO_STORE_DATADIR", "/here")];
    let variable = variable.map(|(n, v)| (OsString::from(n), OsString::from(v)));
    let loaded = load(None, variable.into_iter(), &flags).unwrap();
    assert_eq!(loaded.settings.data_dir, Path::new("/elsewhere"));
    assert_eq!(
        loaded.origins["store.dataDir"].to_string(),
        "flag --data-dir"
    );
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    let said = |text| from_file(text).unwrap_err().to_string();
    assert!(said("api: {prot: 1}").contains("did you mean \"api.port\""));
    assert!(said("workers: {pause: }").contains("did you mean \"workers.paused\""));
    assert!(said("api: 5").contains("it is a group of settings such as \"api.port\""));
    assert!(said("[1]").contains("has to be a map"));
    assert!(said("api: [").contains("no YAML document"));
    assert!(said("api.port: 1\nAPI: {Port: 2}").contains("sets api.port twice"));
}

#[test]
fn both_spellings_and_old_names_are_understood() {
    let loaded = from_file(
        "workers:\n  storageCleanupInterval: 1h\n  operationExecution:\n    healthControllerInterval: 5s\n\
         adapters: {schedulerStorage: {postgres: {pooSize: 7}}}",
    )
    .unwrap();
    assert_eq!(loaded.settings.core.cleanup_interval, secs(3600));
    assert_eq!(loaded.settings.core.health_interval, secs(5));
    let old = |text: &&String| text.contains("old name");
    assert_eq!(
        loaded.warnings.iter().filter(old).count(),
        1,
        "{:?}",
        loaded.warnings
    );
    assert_eq!(loaded.settings.postgres_pool_size, 7);
    let old = (
        "MAESTRO_WORKERS_OPERATIONEXECUTION_HEALTHCONTROLLERINTERVAL",
        "7s",
    );
    let loaded = from_env(&[old]).unwrap();
    assert_eq!(loaded.settings.core.health_interval, secs(7));
    let hint = "write MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL";
    assert!(loaded.warnings[0].contains(hint), "{:?}", loaded.warnings);
    // The current name takes precedence over the old one.
    let new = ("MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL", "8s");
    for pairs in [[old, new], [new, old]] {
        assert_eq!(
            from_env(&pairs).unwrap().settings.core.health_interval,
            secs(8)
        );
    }
}

#[test]
fn variables_of_kubernetes_and_of_rooms_are_no_settings() {
    let foreign = [
        ("MAESTRO_SERVICE_HOST", "10.0.0.1"),
        ("MAESTRO_SERVICE_PORT", "80"),
        ("MAESTRO_SERVICE_PORT_HTTP", "80"),
        ("MAESTRO_PORT", "tcp://10.0.0.1:80"),
        ("MAESTRO_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("MAESTRO_API_SERVICE_HOST", "10.0.0.1"),
        ("MAESTRO_API_SERVICE_PORT_HTTP", "80"),
        ("MAESTRO_API_PORT", "tcp://10.0.0.1:80"),
        ("MAESTRO_API_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("MAESTRO_API_PORT_80_TCP_PROTO", "tcp"),
        ("MAESTRO_API_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("MAESTRO_ROOMSAPI_PORT_53_UDP_PORT", "53"),
        ("MAESTRO_WORKER_PORT", "udp://10.0.0.1:53"),
        ("MAESTRO_ROOM_ID", "x"),
        ("MAESTRO_SCHEDULER_NAME", "x"),
        ("MAESTRO_ROOMS_API_URL", "http://127.0.0.1"),
        ("MAESTRO_PORT_GAME", "7777"),
        ("MAESTRO_ANYTHING", ""),
        ("HOME", "/root"),
    ];
    let loaded = from_env(&foreign).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(loaded.origins.is_empty());
    let loaded = from_env(&[("MAESTRO_API_PROT", "1")]).unwrap();
    let [warning] = loaded.warnings.as_slice() else {
        panic!("{:?}", loaded.warnings);
    };
    assert!(
        warning.contains("did you mean MAESTRO_API_PORT?"),
        "{warning}"
    );
    // A service's variable says nothing about the port; ours does.
    assert_eq!(
        from_env(&[("MAESTRO_API_PORT", "80")])
            .unwrap()
            .settings
            .api
            .port,
        80
    );
}

#[test]
fn every_mistake_is_told_at_once_with_key_value_and_form() {
    let bad = [
        ("MAESTRO_API_PORT", "70000", "between 0 and 65535"),
        ("MAESTRO_WORKERS_PAUSED", "perhaps", "true or false"),
        (
            "MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL",
            "0s",
            "at least 1ms",
        ),
        (
            "MAESTRO_WORKERS_STORAGECLENUPINTERVAL",
            "500",
            "at least 1ms",
        ),
        (
            "MAESTRO_API_GRACEFULSHUTDOWNTIMEOUT",
            "30 s",
            "30s, 1h30m or 250ms",
        ),
        ("MAESTRO_WORKERS_REDIS_OPERATIONSTTL", "-1s", "negative"),
        (
            "MAESTRO_SERVICES_ROOMMANAGER_ROOMPINGTIMEOUTMILLIS",
            "10s",
            "without a unit",
        ),
        (
            "MAESTRO_SERVICES_ROOMMANAGER_ROOMDELETIONTIMEOUTMILLIS",
            "9223372036855",
            "milliseconds",
        ),
        (
            "MAESTRO_SERVICES_OPERATIONMANAGER_OPERATIONLEASETTLMILLIS",
            "0",
            "from 100",
        ),
        (
            "MAESTRO_ADAPTERS_PORTALLOCATOR_RANDOM_RANGE",
            "20-10",
            "N-M",
        ),
        (
            "MAESTRO_SERVICES_ROOMMANAGER_ROOMINITIALIZATIONTIMEOUTMILLIS",
            "0",
            "above 0",
        ),
        ("MAESTRO_LIMITS_VERSIONS", "1", "between 2"),
        ("MAESTRO_OPERATIONS_HISTORY_LIMIT", "0", "between 1"),
        ("MAESTRO_ACTORS_THREADS", "100000", "1024"),
        ("MAESTRO_STORE_TYPE", "mongo", "auto, embedded or postgres"),
        ("MAESTRO_RUNTIME_TYPE", "docker", "kubernetes"),
        ("MAESTRO_STORE_DATADIR", " ", "not empty"),
        // Also where nothing comes of it.
        ("MAESTRO_WORKERS_SYNCINTERVAL", "soon", "1h30m"),
        ("MAESTRO_API_TRACING_JAEGER_SAMPLER", "2", "between 0 and 1"),
    ];
    let pairs: Vec<_> = bad.iter().map(|(name, value, _)| (*name, *value)).collect();
    let errors = from(Some("nothing: 1"), &pairs).unwrap_err();
    assert_eq!(errors.all.len(), bad.len() + 1);
    let all = errors.to_string();
    assert!(
        all.contains("20 settings are wrong") && all.contains("\"nothing\""),
        "{all}"
    );
    for (name, value, form) in bad {
        let said = from_env(&[(name, value)]).unwrap_err().to_string();
        for part in [name, value, form] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    }
    let secret = ("MAESTRO_WORKERS_PAUSED", "redis://u:hidden@h");
    let said = from_env(&[secret]).unwrap_err().to_string();
    assert!(!said.contains("hidden"), "{said}");
}

#[test]
fn ranges_of_ports_need_two_ports_in_order() {
    for text in [
        "10", "10-", "-10", "0-10", "10-70000", "a-b", "1-2-3", "20-10",
    ] {
        let pair = [("MAESTRO_ADAPTERS_PORTALLOCATOR_RANDOM_RANGE", text)];
        assert!(from_env(&pair).is_err(), "{text}");
    }
    let loaded = from_file("adapters: {portAllocator: {random: {range: 7-7}}}").unwrap();
    let PortRange { start, end } = loaded.settings.default_ports;
    assert_eq!((start, end), (7, 7));
}

#[test]
fn numbers_that_stand_for_the_shipped_value_do() {
    let loaded = from_file(
        "operations: {rooms: {add: {limit: 0, batchSize: -4, operationTimeout: -1s}, remove: {limit: -1}, drainDeadline: 0}}\n\
         services: {roomManager: {roomValidationAttempts: -3, allocationFreshMillis: 0}}\n\
         workers: {healthControllerInterval: 1500000000}\n\
         runtimeWatcher: {disruptionWorker: {safetyPercentage: 1.5}}\n",
    )
    .unwrap();
    let (core, shipped) = (&loaded.settings.core, CoreSettings::default());
    assert_eq!(core.add_limit, shipped.add_limit);
    assert_eq!(core.add_batch, shipped.add_batch);
    assert_eq!(core.add_timeout, shipped.add_timeout);
    assert_eq!(core.remove_limit, shipped.remove_limit);
    assert_eq!(core.drain_deadline, None);
    assert_eq!(core.allocation_fresh, None);
    assert_eq!(core.validation_attempts, 1);
    assert_eq!(loaded.settings.kubernetes.protection.safety, 0.05);
    // A bare number is nanoseconds.
    assert_eq!(core.health_interval, duration::parse("1.5s").unwrap());
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn what_has_no_effect_is_named_once_and_only_when_changed() {
    let loaded = from(
        Some("workers: {syncInterval: 10s}\nmigration: {path: /here}\napi: {port: 1}"),
        &[("MAESTRO_API_METRICS_ENABLED", "false")],
    )
    .unwrap();
    let [warning] = loaded.warnings.as_slice() else {
        panic!("{:?}", loaded.warnings);
    };
    assert!(warning.contains("migration.path (file "), "{warning}");
    assert!(
        warning.contains("api.metrics.enabled (variable MAESTRO_"),
        "{warning}"
    );
    assert!(
        !warning.contains("syncInterval") && !warning.contains("api.port"),
        "{warning}"
    );
}

#[test]
fn a_cluster_is_asked_for_by_values_of_ones_own() {
    let runtime = |file: &str| runtime_in_use(&from_file(file).unwrap());
    // The Go Maestro's file has these by default.
    let shipped = "adapters:\n  schedulerStorage: {postgres: {url: 'postgres://maestro:maestro@localhost:5432/maestro?sslmode=disable'}}\n  \
                   roomStorage: {redis: {url: 'redis://localhost:6379/0'}}\n  \
                   runtime: {kubernetes: {inCluster: false, masterUrl: 'https://127.0.0.1:6443', kubeconfig: ./kubeconfig/kubeconfig.yaml}}\n";
    assert_eq!(runtime(shipped), RuntimeKind::Process);
    let store = |file: &str| store_in_use(&from_file(file).unwrap());
    assert_eq!(store(shipped), StoreKind::Embedded);
    let postgres = "adapters: {schedulerStorage: {postgres: {url: 'postgres://u:hidden@db/m'}}}";
    let redis = "adapters: {roomStorage: {redis: {url: 'redis://cache:6379/0'}}}";
    for file in [postgres, redis, "store: {type: postgres}"] {
        let chosen = (runtime(file), store(file));
        assert_eq!(chosen, (RuntimeKind::Process, StoreKind::Postgres));
    }
    let in_cluster = "adapters: {runtime: {kubernetes: {inCluster: true}}}";
    let kubeconfig = "adapters: {runtime: {kubernetes: {kubeconfig: /etc/maestro/kubeconfig}}}";
    for file in [in_cluster, kubeconfig, "runtime: {type: Kubernetes}"] {
        assert_eq!(runtime(file), RuntimeKind::Kubernetes, "{file}");
    }
    // An explicit type decides.
    let chosen = format!("{postgres}\nstore: {{type: embedded}}\n");
    assert_eq!(store(&chosen), StoreKind::Embedded);
    let chosen = format!("{in_cluster}\nruntime.type: process");
    assert_eq!(runtime(&chosen), RuntimeKind::Process);
    // Pool sizes select nothing.
    assert_eq!(
        store("adapters: {redis: {poolSize: 3}}"),
        StoreKind::Embedded
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let name = OsString::from("MAESTRO_API_HOST");
    let value = OsString::from_vec(vec![0xff]);
    let pairs = [
        (name, value),
        ("OTHER".into(), OsString::from_vec(vec![0xff])),
    ];
    let errors = load(None, pairs.into_iter(), &[]).unwrap_err();
    assert!(
        matches!(errors.all.as_slice(), [SettingsError::NotUtf8(_)]),
        "{errors}"
    );
}

#[test]
fn lists_are_separated_by_commas_or_lists_of_the_file() {
    let (hosts, origins) = ("api.allowedHosts", "api.allowedOrigins");
    let shown = |loaded: &Loaded, path: &str| {
        let key = KEYS.iter().find(|key| key.path == path).unwrap();
        key.show(&loaded.settings)
    };
    let variable = ("MAESTRO_API_ALLOWEDHOSTS", " Maestro.Example, [::1] ,");
    let loaded = from_env(&[variable]).unwrap();
    assert_eq!(shown(&loaded, hosts), "maestro.example,[::1]");
    assert_eq!(shown(&loaded, origins), "");
    let first = ("MAESTRO_API_ALLOWEDHOSTS", "[::1],maestro");
    assert_eq!(shown(&from_env(&[first]).unwrap(), hosts), "[::1],maestro");
    let file = "api:\n  allowedHosts: [a, b]\n  allowedOrigins:\n    - https://tools.example\n    - http://10.0.0.1:3000\n";
    let loaded = from_file(file).unwrap();
    assert_eq!(shown(&loaded, hosts), "a,b");
    let both = "https://tools.example,http://10.0.0.1:3000";
    assert_eq!(shown(&loaded, origins), both);
    for (key, value, why) in [
        ("allowedHosts", "'*'", "no host name"),
        ("allowedHosts", "maestro:8080", "no host name"),
        ("allowedOrigins", "'null'", "no origin"),
        ("allowedOrigins", "'*'", "no origin"),
        ("allowedOrigins", "tools.example", "no origin"),
        (
            "allowedOrigins",
            "[https://a.example, https://b.example/]",
            "b.example/",
        ),
    ] {
        let error = from_file(&format!("api: {{{key}: {value}}}")).unwrap_err();
        let text = format!("{error}");
        assert!(text.contains(why) && text.contains(key), "{text}");
    }
}

#[test]
fn the_name_that_rooms_are_told_is_one_of_the_rooms_apis() {
    let told = ("MAESTRO_ROOMSAPI_URL", "http://host.docker.internal:8070");
    let settings = from_env(&[told]).unwrap().settings;
    let trusted = settings.trusted_by_rooms();
    assert_eq!(trusted.own_names, ["host.docker.internal".parse().unwrap()]);
    assert_eq!(settings.trusted, Trusted::default());
}

#[test]
fn a_text_is_taken_as_it_is_written() {
    let text = "api.host: 0x7f # not 127\nstore: &all {dataDir: 007}\nruntime.process.host: 1.10\n\
                adapters.runtime.kubernetes.masterUrl: off\nroomsApi.url: \"1e3\"\n\
                runtime.simulated.roomList: |\n  1.0\ninternalApi.host: ~\napi.port: 0x1F90\napi.metrics.enabled: off\n";
    let loaded = from_file(text).unwrap();
    let shown = |path: &str| {
        let key = KEYS.iter().find(|key| key.path == path).unwrap();
        key.show(&loaded.settings)
    };
    for (path, value) in [
        ("api.host", "0x7f"),
        ("store.dataDir", "007"),
        ("runtime.process.host", "1.10"),
        ("adapters.runtime.kubernetes.masterUrl", "off"),
        ("roomsApi.url", "1e3"),
        ("runtime.simulated.roomList", "1.0\n"),
        // Without a value, so the shipped one.
        ("internalApi.host", "auto"),
        // Other values are what YAML says.
        ("api.port", "8080"),
        ("api.metrics.enabled", "false"),
    ] {
        assert_eq!(shown(path), value, "{path}");
    }
}

#[test]
fn a_file_that_is_nested_too_deep_is_refused() {
    for text in [
        "[".repeat(1500),
        "{a: ".repeat(1500),
        format!("{}{}", "[".repeat(1500), "]".repeat(1500)),
    ] {
        let refused = from_file(&text).unwrap_err().to_string();
        assert!(refused.contains("is no YAML document"), "{refused}");
    }
}

#[test]
fn tls_between_nodes_needs_three_files() {
    let all = [
        ("MAESTRO_CLUSTER_TLS_CERT", "/etc/maestro/node.pem"),
        ("MAESTRO_CLUSTER_TLS_KEY", "/etc/maestro/node.key"),
        ("MAESTRO_CLUSTER_TLS_CA", "/etc/maestro/ca.pem"),
    ];
    let check = |given: &[(&str, &str)]| from_env(given).unwrap().settings.nodes.check();
    for some in [&all[..1], &all[1..2], &all[2..], &all[..2], &all[1..]] {
        let refused = check(some).unwrap_err();
        assert!(refused.contains("none of the three"), "{refused}");
    }
    let refused = check(&all[1..]).unwrap_err();
    assert!(refused.contains("set cluster.tls.cert too"), "{refused}");
    // They take the place of the secret.
    let listen = ("MAESTRO_CLUSTER_LISTEN", "127.0.0.1:8091");
    assert_eq!(check(&[&all[..], &[listen]].concat()), Ok(()));
    let files = from_env(&all).unwrap().settings.nodes.tls.files().unwrap();
    assert_eq!(files.unwrap().name, "maestro-node");
}

#[test]
fn the_secret_of_the_nodes_is_needed_and_never_shown() {
    let listen = ("MAESTRO_CLUSTER_LISTEN", "127.0.0.1:8091");
    let loaded = from_env(&[listen]).unwrap();
    let refused = loaded.settings.nodes.check().unwrap_err();
    assert!(refused.contains("cluster.secret"), "{refused}");
    let secret = ("MAESTRO_CLUSTER_SECRET", "correct-horse-battery");
    let loaded = from_env(&[listen, secret]).unwrap();
    assert_eq!(loaded.settings.nodes.check(), Ok(()));
    assert!(!format!("{:?}", loaded.settings).contains("horse"));
    for key in KEYS.iter() {
        assert!(
            !key.show(&loaded.settings).contains("horse"),
            "{}",
            key.path
        );
    }
    for bad in ["short-horse", "a horse with spaces in it"] {
        let said = from_env(&[("MAESTRO_CLUSTER_SECRET", bad)])
            .unwrap_err()
            .to_string();
        assert!(!said.contains("horse") && said.contains("16"), "{said}");
    }
    for bad in [
        "8091",
        ":8091",
        "host:",
        "host:99999",
        "a:b:1",
        "http://host:1",
    ] {
        assert!(
            from_env(&[("MAESTRO_CLUSTER_LISTEN", bad)]).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn only_rooms_that_can_be_evicted_are_protected() {
    let text = "runtimeWatcher: {disruptionWorker: {intervalSeconds: 7, safetyPercentage: 0.25, protectSingleRoom: false}}";
    let mut settings = from_file(text).unwrap().settings;
    for kind in [RuntimeKind::Process, RuntimeKind::Simulated] {
        settings.runtime = kind;
        assert_eq!(settings.for_core(), settings.core);
    }
    settings.runtime = RuntimeKind::Kubernetes;
    let protection = settings.for_core().protection.unwrap();
    assert_eq!(protection.interval, secs(7));
    assert_eq!((protection.safety, protection.single), (0.25, false));
}

#[test]
fn the_token_of_the_k8s_manager_is_never_shown_and_decides_who_may_give_orders() {
    let none = from_env(&[]).unwrap().settings.manager_access();
    assert!(matches!(none, maestro_api::ManagerAccess::ThisMachine));
    let token = ("MAESTRO_K8SMANAGER_TOKEN", "correct-horse-battery");
    let settings = from_env(&[token]).unwrap().settings;
    assert!(matches!(
        settings.manager_access(),
        maestro_api::ManagerAccess::Token(_)
    ));
    assert!(!format!("{settings:?}").contains("horse"));
    for key in KEYS.iter() {
        assert!(!key.show(&settings).contains("horse"), "{}", key.path);
    }
    let bad = from_env(&[("MAESTRO_K8SMANAGER_TOKEN", "short-horse")]);
    let said = bad.unwrap_err().to_string();
    assert!(!said.contains("horse") && said.contains("16"), "{said}");
}

#[test]
fn variables_of_the_k8s_manager_mean_keys_of_ours() {
    let of = |pairs: &[(&str, &str)]| from_env(pairs).unwrap();
    let loaded = of(&[
        ("KRE_PORT", "50099"),
        ("KRE_PROMETHEUS_URL", "http://p:1"),
        ("KRE_DEVELOPMENT_MODE", "true"),
        ("KRE_BASE_DOMAIN_NAME", "games.test"),
        ("KRE_KUBERNETES_OPERATOR_VERSION", "v7"),
    ]);
    let runtimes = &loaded.settings.runtimes;
    assert!(runtimes.development);
    assert_eq!(runtimes.base_domain, "games.test");
    assert_eq!(runtimes.operator_version, "v7");
    assert_eq!(loaded.settings.grpc.port, 50_099);
    assert_eq!(loaded.settings.resources.url, "http://p:1");
    assert!(loaded.is_set_by_hand("grpc.port"));
    // A Service called `kre` injects such a variable, and others of the manager have no meaning here.
    let others = [
        ("KRE_PORT", "tcp://10.0.0.1:80"),
        ("KRE_SHARED_STORAGECLASS", "standard"),
    ];
    let loaded = of(&others);
    assert!(!loaded.is_set_by_hand("grpc.port"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}
