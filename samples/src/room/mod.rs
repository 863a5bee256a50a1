//! `maestro room`: a sample game server for trying Maestro out and for its tests.
//!
//! It behaves like a real room: it pings the rooms API, plays matches that a client starts on its game port, reports
//! itself occupied meanwhile and shuts down properly on TERM. On demand it crashes, hangs, falls silent or starts
//! slowly. It knows the orchestrator only through the rooms API, and hundreds of it fit on a laptop: one thread, and
//! only one timer, for the next thing due.

mod args;
mod game;
mod link;
mod output;
mod pinger;
mod port;

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub use args::RoomArgs;
use game::{Fault, Game};
use output::log;
use port::{Command, Request};

/// Time for the last pings; a room must not exceed its grace period because there is no answer.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// How many client commands may wait.
const COMMANDS_MAX: usize = 16;

/// The command of a scheduler whose rooms run this program, whatever its file is called.
pub fn command() -> [String; 4] {
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    let own = own.and_then(|path| path.into_os_string().into_string().ok());
    let own = own.unwrap_or_else(|| "maestro".into());
    [own, "room".into(), "--ping-interval".into(), "1s".into()]
}

/// How the room ended.
enum End {
    Closed,
    Crashed,
}

/// Runs a room until TERM, or until a requested fault; a crash ends the process here with its exit code.
///
/// # Errors
/// If the room's identity is missing or its game port is not available.
pub fn run(args: RoomArgs) -> anyhow::Result<()> {
    let exit_code = i32::from(args.exit_code);
    if args.exit_at_once {
        log(format_args!(
            "crash: exiting at once with status {exit_code}"
        ));
        std::process::exit(exit_code);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let end = runtime.block_on(live(args))?;
    // A hanging name lookup must not keep the process alive.
    runtime.shutdown_background();
    match end {
        End::Closed => Ok(()),
        End::Crashed => {
            log(format_args!("crash: exiting with status {exit_code}"));
            std::process::exit(exit_code);
        }
    }
}

async fn live(args: RoomArgs) -> anyhow::Result<End> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let link = args.link()?;
    let (to_game, mut commands) = mpsc::channel(COMMANDS_MAX);
    let listener = listen(&args).await?;
    let mut serving = pin!(async {
        match listener {
            Some(listener) => port::serve(listener, to_game).await,
            None => pending().await,
        }
    });
    let mut game = Game::new(args.rules(), Instant::now());
    let (publisher, reports) = watch::channel(game.report());
    let mut pinging = pin!(pinger::ping_until_terminated(
        link,
        reports,
        args.ping_interval
    ));
    loop {
        tokio::select! {
            _ = terminate.recv() => on_term(&args, &mut game),
            _ = interrupt.recv() => on_term(&args, &mut game),
            Some(request) = commands.recv() => if let Some(fault) = obey(request, &mut game) {
                return Ok(suffer(fault));
            },
            () = until(game.next_wake()) => {}
            () = &mut serving => {}
            // Pinging continues until it has sent `terminated`. The loop ends before that, when the game is closed.
            () = &mut pinging => break,
        }
        if let Some(fault) = game.advance(Instant::now()) {
            return Ok(suffer(fault));
        }
        let report = game.report();
        publisher.send_if_modified(|last| {
            if last.status != report.status {
                log(format_args!("status {} -> {}", last.status, report.status));
            }
            std::mem::replace(last, report) != report
        });
        if game.is_closed() {
            break;
        }
    }
    if tokio::time::timeout(GOODBYE_MAX, pinging).await.is_err() {
        log(format_args!(
            "leaving although the rooms API did not answer in time"
        ));
    }
    log(format_args!("ended"));
    Ok(End::Closed)
}

async fn listen(args: &RoomArgs) -> anyhow::Result<Option<TcpListener>> {
    let Some(port) = args.game_port()? else {
        log(format_args!(
            "no game port: neither --port nor MAESTRO_PORT is set"
        ));
        return Ok(None);
    };
    let address = SocketAddr::new(args.bind, port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    log(format_args!("listening on {}", listener.local_addr()?));
    Ok(Some(listener))
}

fn on_term(args: &RoomArgs, game: &mut Game) {
    if args.ignore_term {
        log(format_args!("TERM ignored, as asked"));
    } else {
        log(format_args!("TERM: closing"));
        game.close(Instant::now());
    }
}

/// Carries out a client's command. A requested fault is returned to the caller.
fn obey(request: Request, game: &mut Game) -> Option<Fault> {
    let now = Instant::now();
    let answer = match request.command {
        Command::Match { length, players } => match game.start_match(length, players, now) {
            Some(id) => format!("ok {id}"),
            None => "full".to_owned(),
        },
        Command::End => match game.end_match() {
            Some(id) => format!("ok {id}"),
            None => "none".to_owned(),
        },
        Command::Status => game.report().to_string(),
        Command::Crash => return Some(Fault::Crash),
        Command::Hang => return Some(Fault::Hang),
    };
    // The client may be gone.
    let _ = request.answer.send(answer);
    None
}

fn suffer(fault: Fault) -> End {
    match fault {
        Fault::Crash => End::Crashed,
        Fault::Hang => {
            log(format_args!(
                "hanging, as asked: only KILL ends this process"
            ));
            loop {
                std::thread::park();
            }
        }
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
