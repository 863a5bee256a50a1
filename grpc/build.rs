//! Compiles `proto/` without protoc: generates stubs, and the descriptors that reflection serves.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const API: [&str; 4] = [
    "api/v1/messages.proto",
    "api/v1/operations.proto",
    "api/v1/rooms.proto",
    "api/v1/schedulers.proto",
];
/// Our own services, served to every client of the port.
const PUBLIC: [&str; 2] = ["maestro/v1/fleet.proto", "maestro/v1/operator.proto"];
/// Our own services for calls between nodes; reflection does not describe them to the public.
const CONTROL: [&str; 1] = ["maestro/v1/control.proto"];
/// Pings between nodes: frames of their own, in the common codec.
const PINGS: [&str; 1] = ["node/v1/pings.proto"];
/// Metrics of rooms, under the names that clients of the K8s manager know.
const RESOURCES: [&str; 1] = ["resourcemetrics.proto"];
/// Runtimes, under the names that clients of the K8s manager know.
const RUNTIMES: [&str; 1] = ["runtime.proto"];
/// Orders about versions, likewise.
const VERSIONS: [&str; 1] = ["version.proto"];
const EVENTS: [&str; 1] = ["events.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let described = |name: &str, files: &[&str]| -> Result<(), Box<dyn Error>> {
        let compiled = protox::compile(files, ["proto"])?;
        Ok(std::fs::write(out.join(name), compiled.encode_to_vec())?)
    };
    described("api.v1.bin", &API)?;
    described("maestro.v1.bin", &PUBLIC)?;
    described("control.bin", &CONTROL)?;
    described("resourcemetrics.bin", &RESOURCES)?;
    described("runtime.bin", &RUNTIMES)?;
    described("version.bin", &VERSIONS)?;

    // The services use the messages of `maestro_api`, so no message is declared twice.
    let all = [
        &API[..],
        &PUBLIC,
        &CONTROL,
        &RESOURCES,
        &RUNTIMES,
        &VERSIONS,
    ]
    .concat();
    tonic_prost_build::configure()
        .extern_path(".api.v1", "::maestro_api::codec::messages")
        .extern_path(".maestro.v1", "::maestro_api::codec::messages")
        .extern_path(
            ".resourcemetrics",
            "::maestro_api::codec::messages::resourcemetrics",
        )
        .extern_path(".runtime", "::maestro_api::codec::messages::runtime")
        .extern_path(".version", "::maestro_api::codec::messages::version")
        .codec_path("crate::codec::WireCodec")
        .compile_fds(protox::compile(all, ["proto"])?)?;

    tonic_prost_build::configure().compile_fds(protox::compile(PINGS, ["proto"])?)?;

    let events = protox::compile(EVENTS, ["proto"])?;
    // Maps of attributes are sorted, so that the same event always encodes to the same bytes.
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(events)?;
    Ok(())
}
