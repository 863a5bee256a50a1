//! The address of a room (contract 3, address).

use maestro_core::domain::Address;

use crate::codec::messages;

/// The host ports of a room.
pub fn ports(address: &Address) -> Vec<messages::Port> {
    address
        .ports
        .iter()
        .map(|port| messages::Port {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            port: port.port,
        })
        .collect()
}
