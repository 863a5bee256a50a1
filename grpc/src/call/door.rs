//! Rejects callers that are no nodes, where only nodes may call, and requests that are not gRPC, by method and content
//! type. A proxy that speaks HTTP/2 to us may forward
//! requests of browsers, and web pages can send simple requests to any server; those have other content types (Fetch,
//! 2.2.2).

use maestro_api::{Code, Seldom, Status};
use tonic::body::Body;
use tonic::codegen::http::{Method, Request, Response, StatusCode, header};
use tracing::warn;

use crate::connections::Peer;
use crate::crowd::STREAMS_MAX;
use crate::status::status;

const GRPC: &[u8] = b"application/grpc";

const ON_ALL: &str =
    "set cluster.tls.cert, cluster.tls.key and cluster.tls.ca on all nodes or on none";

/// The answer to a request that is not a gRPC call.
pub fn refusal(request: &Request<Body>) -> Option<Response<Body>> {
    let code = match () {
        () if request.method() != Method::POST => StatusCode::METHOD_NOT_ALLOWED,
        // As the protocol specifies ("PROTOCOL-HTTP2", Responses).
        () if !is_grpc(request) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        () => return None,
    };
    let mut refused = Response::new(Body::empty());
    *refused.status_mut() = code;
    Some(refused)
}

/// The answer to a caller that does not know the secret of the nodes. Nothing of its call is read. Its own caller is
/// usually a client that cannot help it, so it is told that the call cannot be served, not who it should be.
pub fn stranger(peer: Option<&Peer>) -> Response<Body> {
    // Anybody can provoke this line, so its rate is limited.
    static SAID: Seldom = Seldom::new();
    if let Some(unsaid) = SAID.next() {
        let peer = peer
            .map(|peer| peer.address.to_string())
            .unwrap_or_default();
        warn!(
            peer,
            not_logged = unsaid,
            "a call as a node was refused: its cluster.secret is another one, or it has none"
        );
    }
    let message =
        "only nodes of this cluster may call here: cluster.secret must be the same on all of them";
    status(Status::new(Code::Unavailable, message)).into_http()
}

/// The answer to a caller without TLS, where it is required. Nothing of its call is read.
pub fn plain(peer: &Peer) -> Response<Body> {
    // Anybody can provoke this line, so its rate is limited.
    static SAID: Seldom = Seldom::new();
    if let Some(unsaid) = SAID.next() {
        warn!(
            peer = %peer.address, not_logged = unsaid,
            "a call as a node was refused: it came without TLS; {ON_ALL}"
        );
    }
    let message = format!("nodes of this cluster call each other by TLS: {ON_ALL}");
    status(Status::unavailable(message)).into_http()
}

/// The answer to a call for one stream more than its connection may have.
pub fn too_many_streams() -> Response<Body> {
    let message = format!(
        "this connection has {STREAMS_MAX} streams: end one of them, or open another connection"
    );
    status(Status::new(Code::ResourceExhausted, message)).into_http()
}

/// `application/grpc`, optionally followed by a message format or parameters; gRPC-Web is another protocol.
fn is_grpc(request: &Request<Body>) -> bool {
    let mut types = request.headers().get_all(header::CONTENT_TYPE).iter();
    let (first, more) = (types.next(), types.next());
    let rest = first.and_then(|given| {
        let (name, rest) = given.as_bytes().split_at_checked(GRPC.len())?;
        name.eq_ignore_ascii_case(GRPC).then_some(rest)
    });
    more.is_none() && matches!(rest, Some([] | [b'+' | b';' | b' ', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: Method, types: &[&str]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri("/a.B/C");
        for given in types {
            request = request.header("content-type", *given);
        }
        let request = request.body(Body::empty()).expect("a request");
        refusal(&request).map(|refused| refused.status().as_u16())
    }

    #[test]
    fn only_what_calls_itself_grpc_is_let_in() {
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "Application/gRPC",
        ] {
            assert_eq!(answer(Method::POST, &[good]), None, "{good}");
        }
        for bad in [
            "text/plain",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/json",
            "application/grpcx",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/grpc",
            "",
        ] {
            assert_eq!(answer(Method::POST, &[bad]), Some(415), "{bad}");
        }
        assert_eq!(answer(Method::POST, &[]), Some(415));
        let both = ["application/grpc", "text/plain"];
        assert_eq!(answer(Method::POST, &both), Some(415));
        assert_eq!(answer(Method::GET, &["application/grpc"]), Some(405));
        assert_eq!(answer(Method::OPTIONS, &["application/grpc"]), Some(405));
    }
}
