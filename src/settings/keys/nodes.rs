//! Settings of calls between nodes.

use crate::settings::key::Key;
use crate::settings::nodes::{OPTIONAL_ADDRESS, OPTIONAL_SECRET};

pub fn keys() -> Vec<Key> {
    vec![
        Key::new(
            "cluster.listen",
            &OPTIONAL_ADDRESS,
            |s| &mut s.nodes.listen,
            "Address and port for calls of other nodes, such as 10.0.0.5:8091. Empty: nothing listens with the embedded store; all interfaces and a free port with Postgres and Redis.",
        ),
        Key::new(
            "cluster.advertise",
            &OPTIONAL_ADDRESS,
            |s| &mut s.nodes.advertise,
            "The address under which other nodes call this one. Empty: cluster.listen, or the address that Postgres sees.",
        ),
        Key::new(
            "cluster.secret",
            &OPTIONAL_SECRET,
            |s| &mut s.nodes.secret,
            "The text by which nodes know each other, the same on all of them. Empty: one that is kept in Postgres. Whoever has it can do everything.",
        ),
    ]
}
