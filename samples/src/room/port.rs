//! The game port: a line protocol by which a client (a matchmaker, a demo, a person with `nc`) plays with the room.
//!
//! | line | answer |
//! |---|---|
//! | `match <seconds> <players>` | `ok <match id>` or `full` |
//! | `end` (the oldest match) | `ok <match id>` or `none` |
//! | `status` | `ready matches 0/1 players 0` |
//! | `crash`, `hang` | none |
//!
//! Anything else is answered by `error <why>`.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::output::log;

/// Maximum clients; more wait in the kernel.
const CLIENTS_MAX: usize = 64;

/// Longest line; a client that sends more is disconnected.
const LINE_MAX: u64 = 256;

/// A client that is silent for this long is disconnected.
const IDLE_MAX: Duration = Duration::from_mins(2);

/// Pause after a failed accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Match { length: Duration, players: u32 },
    End,
    Status,
    Crash,
    Hang,
}

/// A command and where its answer goes.
#[derive(Debug)]
pub struct Request {
    pub command: Command,
    pub answer: oneshot::Sender<String>,
}

/// Accepts clients while it is polled.
pub async fn serve(listener: TcpListener, game: mpsc::Sender<Request>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < CLIENTS_MAX => match accepted {
                Ok((stream, _)) => {
                    clients.spawn(talk(stream, game.clone()));
                }
                Err(error) => {
                    log(format_args!("game port: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

/// One client's conversation. Errors end it, and affect no other client.
async fn talk(stream: TcpStream, game: mpsc::Sender<Request>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(512, reader);
    let mut line = String::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(LINE_MAX);
        match tokio::time::timeout(IDLE_MAX, limited.read_line(&mut line)).await {
            Ok(Ok(1..)) if line.ends_with('\n') => {}
            _ => return,
        }
        let Some(mut answer) = answer(&line, &game).await else {
            return;
        };
        answer.push('\n');
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The answer to one line; `None` once the game is over.
async fn answer(line: &str, game: &mpsc::Sender<Request>) -> Option<String> {
    let command = match parse(line) {
        Ok(command) => command,
        Err(why) => return Some(format!("error {why}")),
    };
    let (answer, answered) = oneshot::channel();
    game.send(Request { command, answer }).await.ok()?;
    answered.await.ok()
}

fn parse(line: &str) -> Result<Command, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["match", seconds, players] => {
            let length = seconds
                .parse()
                .ok()
                .and_then(|s| Duration::try_from_secs_f64(s).ok());
            match (length, players.parse()) {
                (Some(length), Ok(players)) => Ok(Command::Match { length, players }),
                _ => Err("match wants <seconds> <players>"),
            }
        }
        ["match", ..] => Err("match wants <seconds> <players>"),
        ["end"] => Ok(Command::End),
        ["status"] => Ok(Command::Status),
        ["crash"] => Ok(Command::Crash),
        ["hang"] => Ok(Command::Hang),
        _ => Err("unknown command: use match, end, status, crash or hang"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands() {
        let half = Duration::from_millis(500);
        assert_eq!(
            parse("match 0.5 4\r\n"),
            Ok(Command::Match {
                length: half,
                players: 4
            })
        );
        assert_eq!(parse(" end \n"), Ok(Command::End));
        assert_eq!(parse("status\n"), Ok(Command::Status));
        assert_eq!(parse("crash\n"), Ok(Command::Crash));
        assert_eq!(parse("hang\n"), Ok(Command::Hang));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "\n",
            "match\n",
            "match x 1\n",
            "match -1 1\n",
            "match 1 -1\n",
            "match inf 1\n",
            "match NaN 1\n",
            "match 1e300 1\n",
            "match 1 2 3\n",
            "MATCH 1 1\n",
            "end now\n",
        ] {
            assert!(parse(line).is_err(), "{line:?}");
        }
    }
}
