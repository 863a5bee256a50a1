//! `maestro forwarder`: a sample forwarder, as matchmakers implement it, which prints the events it receives.
//!
//! It answers every call with success, or with a chosen code or delay, to see how rooms and dashboards react.

mod line;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use maestro_grpc::events::grpc_forwarder_server::{GrpcForwarder, GrpcForwarderServer};
use maestro_grpc::events::{PlayerEvent, Response, Room, RoomEvent, RoomInfo, RoomStatus};
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};

use line::Line;
use maestro_cli::{print, print_document};
use maestro_core::duration;

/// The options of `maestro forwarder`.
#[derive(Debug, Clone, Args)]
pub struct ForwarderArgs {
    /// Address and port, or a port of the loopback; 0: any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090", value_parser = address)]
    pub listen: SocketAddr,
    /// One JSON object per event
    #[arg(long)]
    pub json: bool,
    /// Answer with this code; anything but 200 is a failure
    #[arg(long, default_value_t = 200)]
    pub code: i32,
    /// Answer after this time only (500ms, 2s)
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    pub delay: Duration,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = || {
        text.parse()
            .map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    let wrong = |_| "write it as 127.0.0.1:9090, [::1]:9090 or 9090".to_owned();
    text.parse().or_else(|_| port()).map_err(wrong)
}

/// Serves until it is told to end.
///
/// # Errors
/// If it cannot listen.
pub fn run(args: &ForwarderArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let result = runtime.block_on(serve(args));
    // A delayed call delays no other call.
    runtime.shutdown_background();
    result
}

async fn serve(args: &ForwarderArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let incoming = match TcpIncoming::bind(args.listen) {
        Ok(incoming) => incoming,
        Err(error) => bail!(
            "cannot listen on {}: {error}; choose another with --listen",
            args.listen
        ),
    };
    let address = incoming.local_addr().context("no address")?;
    print(&format!("listening on {address}\n"))?;
    let service = GrpcForwarderServer::new(Printer {
        json: args.json,
        code: args.code,
        delay: args.delay,
    });
    let server = Server::builder().add_service(service);
    tokio::select! {
        ended = server.serve_with_incoming(incoming) => ended.context("the server ended"),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

struct Printer {
    json: bool,
    code: i32,
    delay: Duration,
}

type Answer = Result<tonic::Response<Response>, Status>;

impl Printer {
    async fn hear(&self, line: Line) -> Answer {
        let text = if self.json { line.json() } else { line.plain() };
        print_document(&format!("{text}\n"))
            .map_err(|error| Status::internal(error.to_string()))?;
        tokio::time::sleep(self.delay).await;
        Ok(tonic::Response::new(Response {
            code: self.code,
            message: String::new(),
        }))
    }
}

#[tonic::async_trait]
impl GrpcForwarder for Printer {
    async fn send_room_info(&self, _: Request<RoomInfo>) -> Answer {
        Err(Status::unimplemented("Maestro never calls it"))
    }
    async fn send_room_ping(&self, _: Request<Room>) -> Answer {
        Err(Status::unimplemented("Maestro never calls it"))
    }
    async fn send_room_status(&self, request: Request<RoomStatus>) -> Answer {
        self.hear(Line::of_status("status", request.into_inner()))
            .await
    }
    async fn send_room_resync(&self, request: Request<RoomStatus>) -> Answer {
        self.hear(Line::of_status("resync", request.into_inner()))
            .await
    }
    async fn send_room_event(&self, request: Request<RoomEvent>) -> Answer {
        self.hear(Line::of_event(request.into_inner())).await
    }
    async fn send_player_event(&self, request: Request<PlayerEvent>) -> Answer {
        self.hear(Line::of_player(request.into_inner())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_port_of_the_loopback() {
        assert_eq!(address("9000").unwrap().to_string(), "127.0.0.1:9000");
        assert_eq!(address("0.0.0.0:1").unwrap().to_string(), "0.0.0.0:1");
        assert!(address("mm:80").unwrap_err().contains("127.0.0.1:9090"));
    }
}
