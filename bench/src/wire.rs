//! HTTP/1.1 over one kept connection, lean enough for a load generator on the same machine as the
//! server.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than the largest answer that is measured.
const ANSWER_MAX: usize = 64 << 20;
const HEADERS_MAX: usize = 32;

pub struct Connection {
    stream: TcpStream,
    /// Received bytes of the current answer.
    buffer: Vec<u8>,
}

pub struct HttpAnswer {
    pub status: u16,
    pub body: Body,
}

/// Where the body is.
pub enum Body {
    /// The body is this part of the connection's buffer, until the next call.
    Buffered { start: usize, end: usize },
    /// The body came in chunks, which are joined here.
    Joined(Vec<u8>),
}

/// Length of the head, and how the body's end is found.
struct Head {
    status: u16,
    length: usize,
    body: Framing,
}

enum Framing {
    Sized(usize),
    Chunked,
}

impl Connection {
    /// `address`: host and port.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends one request and reads its answer.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<HttpAnswer> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            self.read_more().await?;
            if let Some(head) = parse_head(&self.buffer)? {
                break head;
            }
        };
        let body = match head.body {
            Framing::Sized(length) => {
                let (start, end) = (head.length, head.length + length);
                while self.buffer.len() < end {
                    self.read_more().await?;
                }
                Body::Buffered { start, end }
            }
            Framing::Chunked => loop {
                if let Some(joined) = join_chunks(&self.buffer[head.length..])? {
                    break Body::Joined(joined);
                }
                self.read_more().await?;
            },
        };
        Ok(HttpAnswer {
            status: head.status,
            body,
        })
    }

    /// The body of the last answer.
    pub fn body<'a>(&'a self, answer: &'a HttpAnswer) -> &'a [u8] {
        match &answer.body {
            Body::Buffered { start, end } => &self.buffer[*start..*end],
            Body::Joined(bytes) => bytes,
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.buffer.len() > ANSWER_MAX {
            return Err(invalid("an answer without an end"));
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The bytes of a request with an optional JSON body.
pub fn request(method: &str, host: &str, path: &str, body: Option<&str>) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    match body {
        Some(body) => format!(
            "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        None if method == "GET" => format!("{head}\r\n"),
        None => format!("{head}Content-Length: 0\r\n\r\n"),
    }
    .into_bytes()
}

/// `host:port` of a URL that names nothing else.
pub fn address_of(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(invalid)?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let mut body = Framing::Sized(0);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(invalid)?;
            body = Framing::Sized(text.trim().parse().map_err(invalid)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Framing::Chunked;
            break;
        }
    }
    Ok(Some(Head {
        status: response.code.unwrap_or_default(),
        length,
        body,
    }))
}

/// Joins the chunks; `None`: the last one has not arrived yet.
fn join_chunks(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut joined = Vec::new();
    loop {
        let size = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((at, size))) => {
                rest = &rest[at..];
                usize::try_from(size).map_err(invalid)?
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(invalid("a chunk without a size")),
        };
        let Some((chunk, after)) = rest.split_at_checked(size) else {
            return Ok(None);
        };
        let Some(after) = after.get(2..) else {
            return Ok(None);
        };
        if size == 0 {
            return Ok(Some(joined));
        }
        joined.extend_from_slice(chunk);
        rest = after;
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_once_the_last_one_is_there() {
        let whole = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(join_chunks(whole).unwrap().unwrap(), b"abcde");
        for end in 0..whole.len() {
            assert!(join_chunks(&whole[..end]).unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn a_head_says_how_long_the_body_is() {
        let head = parse_head(b"HTTP/1.1 503 x\r\ncontent-LENGTH: 12\r\n\r\n").unwrap();
        let head = head.unwrap();
        assert_eq!((head.status, head.length), (503, 38));
        assert!(matches!(head.body, Framing::Sized(12)));
        assert!(parse_head(b"HTTP/1.1 200").unwrap().is_none());
    }
}
