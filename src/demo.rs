//! The server of `maestro demo`: this program's own, in the same process.

use crate::serve::serve;
use crate::settings::{self, Settings};
use maestro_samples::demo::{self, DemoArgs, Server};
use std::path::Path;

/// Runs the demonstration.
///
/// # Errors
/// See [`demo::run`].
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    demo::run(args, |folder, play| {
        let settings = demo_settings(folder)?;
        serve(&settings, |addresses| {
            play(Server {
                management: addresses.management,
                rooms: addresses.rooms,
                internal: addresses.internal,
                installation: addresses.installation,
            })
        })
    })
}

/// The usual ports if they are free, so that the URLs are easy to type; otherwise any.
fn demo_settings(folder: &Path) -> anyhow::Result<Settings> {
    let mut settings = settings::load(None, std::env::vars_os(), &[])?.settings;
    settings.data_dir = folder.into();
    settings.core.paused = false;
    for listen in [
        &mut settings.api,
        &mut settings.rooms_api,
        &mut settings.internal_api,
        &mut settings.grpc,
    ] {
        if std::net::TcpListener::bind((listen.host.as_str(), listen.port)).is_err() {
            listen.port = 0;
        }
    }
    Ok(settings)
}
