//! The options of `maestro room`, combined with the environment from the runtime.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::game::{Auto, Rules};
use super::link::Link;
use super::pinger::spread;
use maestro_core::duration;

/// The options of `maestro room`. Flags win over the environment.
#[derive(Debug, Clone, Args)]
pub struct RoomArgs {
    /// Scheduler that the room belongs to
    #[arg(long, env = "MAESTRO_SCHEDULER_NAME", value_name = "NAME")]
    pub scheduler: Option<String>,
    /// The room's own id
    #[arg(long, env = "MAESTRO_ROOM_ID", value_name = "ID")]
    pub room_id: Option<String>,
    /// Where the rooms API is
    #[arg(
        long,
        env = "MAESTRO_ROOMS_API_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8070"
    )]
    pub rooms_api_url: String,

    /// Time between two pings, give or take a tenth
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pub ping_interval: Duration,
    /// Do not ping at all (a side-car in a room of several containers)
    #[arg(long)]
    pub no_pings: bool,

    /// TCP port of the game, 0 for any; without it the room has none
    #[arg(long, env = "MAESTRO_PORT", value_name = "PORT")]
    pub port: Option<u16>,
    /// Take the port from `MAESTRO_PORT_<NAME>` instead: the container port of that name
    #[arg(long, value_name = "NAME")]
    pub port_name: Option<String>,
    /// Address that the game port listens on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind: IpAddr,

    /// Who starts matches: clients on the game port only, or the room as well
    #[arg(long, value_enum, default_value_t = Matches::None)]
    pub matches: Matches,
    /// With `--matches auto`: time between two starts
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    pub match_every: Duration,
    /// With `--matches auto`: how long a match lasts
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration::parse)]
    pub match_length: Duration,
    /// Matches that fit into the room at once; the room is occupied when as many run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=35))]
    pub max_matches: u32,
    /// Players that fit into a match
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub players: u32,

    /// Send nothing for this long before being ready
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration::parse)]
    pub start_delay: Duration,
    /// After that, ping `pending` for this long before being ready
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration::parse)]
    pub slow_start: Duration,
    /// On TERM, stay terminating for this long
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration::parse)]
    pub term_delay: Duration,
    /// Ignore TERM
    #[arg(long)]
    pub ignore_term: bool,

    /// Exit before doing anything
    #[arg(long)]
    pub exit_at_once: bool,
    /// Exit after this time
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub crash_after: Option<Duration>,
    /// Exit status of a crash
    #[arg(long, value_name = "STATUS", default_value_t = 1)]
    pub exit_code: u8,
    /// Hang after this time, even on TERM
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub hang_after: Option<Duration>,
    /// Stop pinging after this time, but keep playing
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub stop_pinging_after: Option<Duration>,
}

/// Who starts matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Matches {
    None,
    Auto,
}

impl RoomArgs {
    /// The parameters of the game.
    pub fn rules(&self) -> Rules {
        Rules {
            matches_max: self.max_matches,
            players_max: self.players,
            auto: (self.matches == Matches::Auto).then(|| Auto {
                // Random, so that rooms that start together do not stay in step.
                first: spread(self.match_every),
                every: self.match_every,
                length: self.match_length,
            }),
            start_delay: self.start_delay,
            slow_start: self.slow_start,
            term_delay: self.term_delay,
            crash_after: self.crash_after,
            hang_after: self.hang_after,
            silent_after: self.stop_pinging_after,
        }
    }

    /// The connection to the rooms API; none for a room that does not ping.
    ///
    /// # Errors
    /// If the room's identity is missing.
    pub fn link(&self) -> anyhow::Result<Option<Link>> {
        if self.no_pings {
            return Ok(None);
        }
        let scheduler = present(self.scheduler.as_deref())
            .context("scheduler unknown: set MAESTRO_SCHEDULER_NAME or give --scheduler")?;
        let room = present(self.room_id.as_deref())
            .context("room id unknown: set MAESTRO_ROOM_ID or give --room-id")?;
        Link::new(&self.rooms_api_url, scheduler, room).map(Some)
    }

    /// The port to listen on, if there is one.
    ///
    /// # Errors
    /// If the named port is not in the environment.
    pub fn game_port(&self) -> anyhow::Result<Option<u16>> {
        let Some(name) = &self.port_name else {
            return Ok(self.port);
        };
        let variable = port_variable(name);
        match std::env::var(&variable) {
            Ok(value) => match value.parse() {
                Ok(port) => Ok(Some(port)),
                Err(_) => bail!("{variable} is no port number: {value:?}"),
            },
            Err(_) => bail!("no port named {name}: {variable} is not set"),
        }
    }
}

fn present(value: Option<&str>) -> Option<&str> {
    value.filter(|v| !v.is_empty())
}

/// The variable in which the process runtime puts the host port of a container port.
fn port_variable(name: &str) -> String {
    let suffix = name.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
        _ => '_',
    });
    "MAESTRO_PORT_".chars().chain(suffix).collect()
}

#[cfg(test)]
mod tests {
    use super::port_variable;

    #[test]
    fn a_port_name_becomes_a_variable() {
        assert_eq!(port_variable("game"), "MAESTRO_PORT_GAME");
        assert_eq!(port_variable("clientPort-2"), "MAESTRO_PORT_CLIENTPORT_2");
    }
}
