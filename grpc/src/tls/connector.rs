//! The calling side: connects to another node, verifies its certificate and presents the own one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use maestro_api::Seldom;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tower::service_fn;
use tracing::warn;

use super::NodeTls;
use super::files::COMPARE;

/// Connects to the nodes that are called.
pub fn connector(
    tls: NodeTls,
) -> impl Service<
    Uri,
    Response = TokioIo<Called>,
    Error = io::Error,
    Future: Future<Output = io::Result<TokioIo<Called>>> + Send,
> + Send
+ 'static {
    service_fn(move |uri: Uri| {
        let tls = tls.clone();
        async move {
            let address = uri.authority().map_or("", |authority| authority.as_str());
            let stream = TcpStream::connect(address).await?;
            // Calls are small and latency matters. If it cannot be set, they are only slower.
            let _ = stream.set_nodelay(true);
            let connector = TlsConnector::from(tls.configs().client);
            let stream = connector.connect(tls.0.name.clone(), stream).await;
            let stream = stream.map_err(|error| refused(address, &unverified(&error)))?;
            Ok(TokioIo::new(Called {
                stream,
                address: address.to_owned(),
            }))
        }
    })
}

/// Why a connection came to nothing, with what to do.
fn unverified(error: &io::Error) -> String {
    match of_rustls(error) {
        Some(rustls::Error::AlertReceived(_)) => rejected(error),
        Some(rustls::Error::InvalidCertificate(_)) => {
            format!("the certificate of that node is refused: {error}; {COMPARE}")
        }
        // It spoke, or hung up, as one that does not understand.
        Some(rustls::Error::InvalidMessage(_)) | None => format!(
            "that node does not speak TLS ({error}): set cluster.tls.cert, cluster.tls.key and cluster.tls.ca on all \
             nodes or on none"
        ),
        Some(_) => format!("no TLS with that node: {error}; {COMPARE}"),
    }
}

fn rejected(error: &io::Error) -> String {
    format!("that node refuses the certificate of this one ({error}; its log says why): {COMPARE}")
}

fn of_rustls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Logs it. Every request may provoke this line, so its rate is limited.
fn refused(address: &str, why: &str) -> io::Error {
    static SAID: Seldom = Seldom::new();
    if let Some(unsaid) = SAID.next() {
        warn!(
            node = address,
            not_logged = unsaid,
            "another node cannot be called: {why}"
        );
    }
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// A connection to another node. That one verifies the certificate only after this side has begun to send (RFC 8446,
/// 4.4), so its refusal is what is read first.
pub struct Called {
    stream: TlsStream<TcpStream>,
    address: String,
}

impl AsyncRead for Called {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        read.map_err(|error| match of_rustls(&error) {
            Some(rustls::Error::AlertReceived(_)) => refused(&self.address, &rejected(&error)),
            _ => error,
        })
    }
}

impl AsyncWrite for Called {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
