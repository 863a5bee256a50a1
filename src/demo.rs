//! The server of `maestro demo`: this program's own, in the same process.

use crate::module::Duties;
use crate::serve::serve;
use crate::settings::{self, Settings, StoreKind};
use maestro_samples::demo::{self, DemoArgs, Server};
use std::path::Path;

/// Runs the demonstration.
///
/// # Errors
/// See [`demo::run`].
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    demo::run(args, |folder, play| {
        let settings = demo_settings(folder)?;
        serve(&settings, &Duties::all(&settings), |addresses| {
            play(Server {
                management: addresses.management.unwrap_or_default(),
                rooms: addresses.rooms.unwrap_or_default(),
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
    settings.store = StoreKind::Embedded;
    settings.resolve_hosts();
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
