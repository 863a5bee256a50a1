//! The called side: the bytes of a connection, in plain text or by TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use maestro_api::Seldom;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::{FallibleAccept, TlsStream};
use tracing::warn;

use super::NodeTls;
use super::files::COMPARE;

/// The first byte of a client that speaks TLS: the record type of a handshake (RFC 8446, 5.1). The preface of HTTP/2
/// begins with a letter.
pub const HANDSHAKE: u8 = 22;

/// A connection's bytes. Its handshake runs in the connection's own task, with the first read or write: one that takes
/// long keeps nobody waiting.
pub struct Wire {
    state: State,
    peer: SocketAddr,
    /// Where TLS is required: whether this caller came without.
    plain: Arc<AtomicBool>,
}

enum State {
    Plain(TcpStream),
    /// Nothing was read yet.
    New(TcpStream, Box<NodeTls>),
    Handshake(Box<FallibleAccept<TcpStream>>),
    Secure(Box<TlsStream<TcpStream>>),
    /// The caller was told; what it had sent is read until it hangs up. Otherwise the kernel would reset the
    /// connection, and it might never read why.
    Refused(TcpStream, io::Error),
    Over,
}

impl Wire {
    pub fn new(stream: TcpStream, peer: SocketAddr, tls: Option<&NodeTls>) -> Self {
        Self {
            state: match tls {
                None => State::Plain(stream),
                Some(tls) => State::New(stream, Box::new(tls.clone())),
            },
            peer,
            plain: Arc::default(),
        }
    }

    /// Set while the first bytes are read: the caller does not speak TLS but should. Its calls are answered, with what
    /// to do, because its side can show nothing else.
    pub fn is_plain(&self) -> Arc<AtomicBool> {
        self.plain.clone()
    }

    /// Ready once bytes of the protocol can be exchanged.
    fn open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Stream>>> {
        while !matches!(self.state, State::Plain(_) | State::Secure(_)) {
            ready!(self.step(cx))?;
        }
        Poll::Ready(match &mut self.state {
            State::Plain(stream) => Ok(Pin::new(stream)),
            State::Secure(stream) => Ok(Pin::new(&mut **stream)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        })
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::New(stream, tls) => {
                let mut first = [0; 1];
                ready!(stream.poll_peek(cx, &mut ReadBuf::new(&mut first)))?;
                let config = (first == [HANDSHAKE]).then(|| tls.configs().server);
                let State::New(stream, _) = std::mem::replace(&mut self.state, State::Over) else {
                    return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                };
                self.plain.store(config.is_none(), Relaxed);
                self.state = match config {
                    None => State::Plain(stream),
                    Some(config) => {
                        let handshake = TlsAcceptor::from(config).accept(stream);
                        State::Handshake(Box::new(handshake.into_fallible()))
                    }
                };
            }
            State::Handshake(handshake) => {
                self.state = match ready!(Pin::new(&mut **handshake).poll(cx)) {
                    Ok(stream) => State::Secure(Box::new(stream)),
                    Err((error, stream)) => {
                        log_refusal(self.peer, &error);
                        State::Refused(stream, error)
                    }
                };
            }
            State::Refused(stream, why) => {
                // Repeating it does nothing.
                let _ = Pin::new(&mut *stream).poll_shutdown(cx);
                let mut rest = [0; 1024];
                let mut rest = ReadBuf::new(&mut rest);
                let read = ready!(Pin::new(stream).poll_read(cx, &mut rest));
                if read.is_err() || rest.filled().is_empty() {
                    let why = io::Error::new(why.kind(), why.to_string());
                    self.state = State::Over;
                    return Poll::Ready(Err(why));
                }
            }
            State::Over => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            State::Plain(_) | State::Secure(_) => {}
        }
        Poll::Ready(Ok(()))
    }
}

/// Anybody can provoke this line, so its rate is limited.
fn log_refusal(peer: SocketAddr, why: &io::Error) {
    static SAID: Seldom = Seldom::new();
    if let Some(unsaid) = SAID.next() {
        warn!(
            %peer, not_logged = unsaid,
            "a caller that is no node of this cluster was refused: {why}; {COMPARE}"
        );
    }
}

/// Either kind of stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.open(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Secure(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            // Nothing was said yet that would have to be ended.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.open(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.state {
            State::Plain(stream) => stream.is_write_vectored(),
            State::Secure(stream) => stream.is_write_vectored(),
            // The protocol asks once, before the handshake. Both kinds of stream take several slices.
            _ => true,
        }
    }
}
