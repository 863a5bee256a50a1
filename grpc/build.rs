//! Compiles `proto/` without protoc: stubs, and the descriptors that reflection serves.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const API: [&str; 4] = [
    "api/v1/messages.proto",
    "api/v1/operations.proto",
    "api/v1/rooms.proto",
    "api/v1/schedulers.proto",
];
const EVENTS: [&str; 1] = ["events.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let api = protox::compile(API, ["proto"])?;
    std::fs::write(out.join("api.v1.bin"), api.encode_to_vec())?;

    // The services speak the messages of `maestro_api`: nothing is declared twice.
    tonic_prost_build::configure()
        .extern_path(".api.v1", "::maestro_api::codec::messages")
        .codec_path("crate::codec::WireCodec")
        .compile_fds(api)?;

    let events = protox::compile(EVENTS, ["proto"])?;
    // The map of attributes sorted: the same event is the same bytes.
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(events)?;
    Ok(())
}
