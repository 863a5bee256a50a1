//! Prints the descriptors of the K8s manager's packages, for `scripts/generate_proto.sh`.

use std::error::Error;
use std::io::Write;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["runtime.proto", "version.proto", "resourcemetrics.proto"];
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let set = protox::compile(files, [proto])?;
    std::io::stdout().write_all(&set.encode_to_vec())?;
    Ok(())
}
