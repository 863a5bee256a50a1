//! Settings of calls between nodes.

use crate::settings::form::{OPTIONAL_PATH, TEXT};
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
            "The text by which nodes know each other, the same on all of them. Empty: one that is kept in Postgres, or none with cluster.tls.cert. Whoever has it can do everything.",
        ),
        Key::new(
            "cluster.tls.cert",
            &OPTIONAL_PATH,
            |s| &mut s.nodes.tls.cert,
            "The PEM file of this node's certificate, which it presents when it calls other nodes and when they call it. Empty: calls between nodes travel in plain text.",
        ),
        Key::new(
            "cluster.tls.key",
            &OPTIONAL_PATH,
            |s| &mut s.nodes.tls.key,
            "The PEM file of the certificate's private key.",
        ),
        Key::new(
            "cluster.tls.ca",
            &OPTIONAL_PATH,
            |s| &mut s.nodes.tls.ca,
            "The PEM file of the authority that signed the certificates of all nodes. No others are accepted.",
        ),
        Key::new(
            "cluster.tls.name",
            &TEXT,
            |s| &mut s.nodes.tls.name,
            "The DNS name that the certificate of every node must have (subjectAltName).",
        ),
    ]
}
