//! As much of the Redis protocol as tests need to look at a server without the client that is under test.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing is stored there.
    Nil,
    /// A number.
    Number(i64),
    /// A text or a status.
    Text(String),
    /// A list of replies.
    List(Vec<Reply>),
    /// The server refused the command, in these words.
    Error(String),
}

impl Reply {
    /// The texts of a list; numbers are written as text, and nothing stands for nil.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Nil => Vec::new(),
            Self::Number(number) => vec![number.to_string()],
            Self::Text(text) | Self::Error(text) => vec![text.clone()],
            Self::List(items) => items.iter().flat_map(Reply::texts).collect(),
        }
    }
}

/// A connection to a server.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// # Errors
    /// If nobody listens there.
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// If the connection breaks, or the reply is no Redis protocol.
    pub fn ask(&mut self, command: &[&str]) -> io::Result<Reply> {
        let mut frame = format!("*{}\r\n", command.len());
        for argument in command {
            frame += &format!("${}\r\n{argument}\r\n", argument.len());
        }
        self.stream.get_mut().write_all(frame.as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.trim_end();
        let strange = || io::Error::new(io::ErrorKind::InvalidData, format!("a reply {line:?}"));
        let (kind, rest) = line.split_at_checked(1).ok_or_else(strange)?;
        let number = || rest.parse::<i64>().map_err(|_| strange());
        Ok(match kind {
            "+" => Reply::Text(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(number()?),
            "$" => match usize::try_from(number()?) {
                Ok(length) => {
                    let mut text = vec![0; length + 2];
                    self.stream.read_exact(&mut text)?;
                    text.truncate(length);
                    Reply::Text(String::from_utf8_lossy(&text).into_owned())
                }
                Err(_) => Reply::Nil,
            },
            "*" => match number()? {
                -1 => Reply::Nil,
                items => {
                    let items: io::Result<_> = (0..items).map(|_| self.read()).collect();
                    Reply::List(items?)
                }
            },
            _ => return Err(strange()),
        })
    }
}
