//! Settings of the servers and their addresses.

use crate::settings::form::*;
use crate::settings::key::Key;
use crate::settings::traces::OTLP_ENDPOINT;

const JAEGER_PORT: &str = "OTLP has a port of its own, 4317 of that host";

pub fn keys() -> Vec<Key> {
    let mut keys = api();
    keys.extend(jaeger());
    keys.extend(rooms_and_internal());
    keys.extend(traces());
    keys
}

fn api() -> Vec<Key> {
    vec![
        Key::new(
            "api.port",
            &PORT,
            |s| &mut s.api.port,
            "Port of the management API.",
        ),
        Key::new(
            "api.host",
            &TEXT,
            |s| &mut s.api.host,
            "Address of the management API. auto: this machine alone with the embedded store, all interfaces with Postgres and Redis. Anyone who can reach it can run commands on this machine.",
        ),
        Key::new(
            "api.allowedHosts",
            &HOSTS,
            |s| &mut s.trusted.hosts,
            "Host names under which the HTTP servers may be called, beside localhost and IP addresses. Empty: any name, if they \
             do not listen on loopback.",
        ),
        Key::new(
            "api.allowedOrigins",
            &ORIGINS,
            |s| &mut s.trusted.origins,
            "Origins whose web pages may call the HTTP servers. Anyone who controls those pages can run commands on this machine.",
        ),
        Key::new(
            "api.gracefulShutdownTimeout",
            &DURATION,
            |s| &mut s.graceful_shutdown,
            "How long running requests may take to end at a shutdown, on both APIs.",
        ),
        Key::new(
            "api.workers",
            &AUTO_THREADS,
            |s| &mut s.http_workers,
            "Threads of each API's server. auto: one per processor, at most 8.",
        ),
        Key::new(
            "api.debug.enabled",
            &AUTO_FLAG,
            |s| &mut s.api_debug,
            "Serve /debug/actors on the management API, and GetActors over gRPC. auto: the API only while it listens on loopback, gRPC only for callers on its machine.",
        ),
        Key::unused(
            "api.metrics.enabled",
            &FLAG,
            "true",
            "Nothing, as in the Go Maestro.",
            "use internalApi.metrics.enabled",
        ),
    ]
}

/// The collector as the Go Maestro has it.
fn jaeger() -> Vec<Key> {
    vec![
        Key::new(
            "api.tracing.jaeger.disabled",
            &FLAG,
            |s| &mut s.traces.jaeger_disabled,
            "Send no traces. While tracing.otlp.endpoint is empty, false sends them by OTLP to agent_host.",
        ),
        Key::new(
            "api.tracing.jaeger.agent_host",
            &TEXT,
            |s| &mut s.traces.jaeger_host,
            "Host of a collector that accepts traces at port 4317. Prefer tracing.otlp.endpoint.",
        ),
        Key::unused(
            "api.tracing.jaeger.agent_port",
            &PORT,
            "6831",
            "The port of a Jaeger agent.",
            JAEGER_PORT,
        ),
        Key::new(
            "api.tracing.jaeger.sampler",
            &RATIO,
            |s| &mut s.traces.jaeger_sampler,
            "The share of requests that is traced, if traces go to agent_host.",
        ),
    ]
}

fn traces() -> Vec<Key> {
    vec![
        Key::new(
            "tracing.otlp.endpoint",
            &OTLP_ENDPOINT,
            |s| &mut s.traces.endpoint,
            "The URL of a collector that accepts traces by OTLP over gRPC, such as http://localhost:4317. Empty: no traces.",
        ),
        Key::new(
            "tracing.otlp.sampler",
            &RATIO,
            |s| &mut s.traces.sampler,
            "The share of requests that is traced, unless a request's traceparent decides.",
        ),
    ]
}

fn rooms_and_internal() -> Vec<Key> {
    vec![
        Key::new(
            "roomsApi.port",
            &PORT,
            |s| &mut s.rooms_api.port,
            "Port of the rooms API. The module rooms-api takes api.port instead unless this is set.",
        ),
        Key::new(
            "roomsApi.host",
            &TEXT,
            |s| &mut s.rooms_api.host,
            "Address of the rooms API; auto as for api.host.",
        ),
        Key::new(
            "roomsApi.url",
            &OPTIONAL_TEXT,
            |s| &mut s.rooms_api_url,
            "The value of MAESTRO_ROOMS_API_URL in rooms. Empty: the rooms API's own address.",
        ),
        Key::new(
            "internalApi.port",
            &PORT,
            |s| &mut s.internal_api.port,
            "Port of the internal server: health, metrics, /debug/actors, backup.",
        ),
        Key::new(
            "internalApi.host",
            &TEXT,
            |s| &mut s.internal_api.host,
            "Address of the internal server; auto as for api.host. Remote probes and scrapers need another address than loopback.",
        ),
        Key::new(
            "internalApi.gracefulShutdownTimeout",
            &DURATION,
            |s| &mut s.internal_shutdown,
            "How long running requests on the internal server may take to end at a shutdown.",
        ),
        Key::new(
            "internalApi.metrics.enabled",
            &FLAG,
            |s| &mut s.metrics_enabled,
            "Serve /metrics.",
        ),
        Key::new(
            "internalApi.healthcheck.enabled",
            &FLAG,
            |s| &mut s.healthcheck_enabled,
            "Serve /health, /healthz and /readyz.",
        ),
        Key::new(
            "internalApi.healthcheck.skipPostgresCheck",
            &FLAG,
            |s| &mut s.skip_store_check,
            "Leave the store of schedulers (here the embedded file) out of /readyz.",
        ),
        Key::new(
            "grpc.port",
            &PORT,
            |s| &mut s.grpc.port,
            "Port of both APIs over gRPC, with reflection and health. Of the modules, management-api and k8s-manager serve it, and others if it is set. KRE_PORT is another name of the variable.",
        ),
        Key::new(
            "grpc.host",
            &TEXT,
            |s| &mut s.grpc.host,
            "Address of gRPC; auto as for api.host. Anyone who can reach it can run commands on this machine.",
        ),
    ]
}
