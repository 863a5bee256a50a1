//! Settings of calls between nodes.

use crate::settings::key::Key;
use crate::settings::nodes::{OPTIONAL_ADDRESS, OPTIONAL_SECRET};

pub fn keys() -> Vec<Key> {
    vec![
        Key::new(
            "cluster.listen",
            &OPTIONAL_ADDRESS,
            |s| &mut s.nodes.listen,
            "Address and port for calls of other nodes, such as 10.0.0.5:8091. Empty: nothing listens.",
        ),
        Key::new(
            "cluster.advertise",
            &OPTIONAL_ADDRESS,
            |s| &mut s.nodes.advertise,
            "The address under which other nodes call this one. Empty: cluster.listen.",
        ),
        Key::new(
            "cluster.secret",
            &OPTIONAL_SECRET,
            |s| &mut s.nodes.secret,
            "The text by which nodes know each other, the same on all of them. Whoever has it can do everything.",
        ),
    ]
}
