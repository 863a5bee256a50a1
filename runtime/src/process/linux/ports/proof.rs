//! Checks whether a port is free by binding it, which is the only reliable way.

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Whether a port may be bound on this machine now.
pub type Proof = fn(u16, Protocol) -> io::Result<()>;

/// Binds as a game server would, in both address families, and releases the port at once.
pub fn bind(port: u16, protocol: Protocol) -> io::Result<()> {
    let families = [
        (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    ];
    for (family, any) in families {
        match bind_in(family, SocketAddr::new(any, port), protocol) {
            Err(error) if is_without_family(&error) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Whether the address family is missing on this machine or in this container: then no port can be in use in it.
fn is_without_family(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::PROTONOSUPPORT)
    )
}

fn bind_in(family: Domain, address: SocketAddr, protocol: Protocol) -> io::Result<()> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(family, kind, None)?;
    if protocol == Protocol::Tcp {
        // Connections of the port's previous holder (TIME_WAIT) do not matter, and a listener is
        // still detected. For UDP it would bind beside a holder.
        socket.set_reuse_address(true)?;
    }
    if family == Domain::IPV6 {
        // Otherwise it would try the other family too.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn a_port_that_someone_listens_on_is_not_proved() {
        for host in ["0.0.0.0", "127.0.0.1", "::", "::1"] {
            let Ok(listener) = TcpListener::bind((host, 0)) else {
                assert!(host.contains(':'), "a machine without IPv6");
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert!(bind(port, Protocol::Tcp).is_err(), "{host}");
            let socket = UdpSocket::bind((host, 0)).unwrap();
            let port = socket.local_addr().unwrap().port();
            assert!(bind(port, Protocol::Udp).is_err(), "{host}");
            drop((listener, socket));
            assert_eq!(bind(port, Protocol::Udp).ok(), Some(()), "{host}");
        }
    }

    #[test]
    fn a_port_whose_old_connections_linger_is_free() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (served, _) = listener.accept().unwrap();
        // The side that closes first keeps the connection for a while: here the server.
        drop(served);
        drop(client);
        drop(listener);
        let strict = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let lingers = strict.bind(&address.into()).unwrap_err();
        assert_eq!(lingers.kind(), io::ErrorKind::AddrInUse);
        drop(strict);
        bind(address.port(), Protocol::Tcp).unwrap();
    }

    /// In a separate network namespace, where this family is switched off.
    #[test]
    fn a_machine_without_ipv6_has_its_ports_free() {
        const INSIDE: &str = "MAESTRO_TEST_INSIDE";
        const SWITCH: &str = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
        if std::env::var_os(INSIDE).is_none() {
            let script = format!(r#"echo 1 > {SWITCH} && exec "$0" "$@""#);
            let output = std::process::Command::new("unshare")
                .args(["--net", "sh", "-c", &script])
                .arg(std::env::current_exe().unwrap())
                .args([
                    "process::linux::ports::proof::tests::a_machine_without_ipv6_has_its_ports_free",
                    "--exact",
                ])
                .env(INSIDE, "1")
                .output();
            let Ok(output) = output else {
                return eprintln!("skipped, because there is no unshare");
            };
            let said = String::from_utf8_lossy(&output.stdout);
            if !said.contains("running 1 test") {
                return eprintln!("skipped, because no network namespace can be made");
            }
            assert!(said.contains("1 passed"), "{said}");
            return;
        }
        let refused = TcpListener::bind(("::1", 0)).unwrap_err();
        assert!(is_without_family(&refused), "{refused}");
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            bind(20_000, protocol).unwrap();
        }
        let holder = TcpListener::bind(("0.0.0.0", 20_000)).unwrap();
        assert!(bind(20_000, Protocol::Tcp).is_err());
        drop(holder);
    }
}
