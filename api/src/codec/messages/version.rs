//! Messages of package `version`, which clients of the K8s manager know. What it does not have is numbered from 100.
//! Their names clash with those of other packages, so they are not among those of [`super`].

#![allow(
    non_snake_case,
    reason = "the names of the fields are those of the package"
)]

use crate::codec::macros::{kind, messages, slot};

messages! {
    /// A version of a scheduler. Calls say which fields they use; the others are accepted and not used.
    Version {
        /// Accepted and not used: a version has its name as id.
        id "id" one String = 1;
        /// Name of the version.
        name "name" one String = 2;
        /// Name of the scheduler, which is that of its namespace.
        namespace "namespace" one String = 3;
        /// Its image is one that the stored version has to have.
        entrypoint "entrypoint" msg Entrypoint = 4;
        /// Variables of all containers of its rooms.
        config "config" many Config = 5;
        /// The images of their nodes are ones that the stored version has to have.
        workflows "workflows" many Workflow = 6;
    }
    /// Where requests enter: here a room does it itself.
    Entrypoint {
        /// Accepted and not used.
        proto_file "protoFile" one String = 1;
        /// Compared with the stored version.
        image "image" one String = 2;
        /// Accepted and not used.
        src "src" one String = 3;
    }
    /// A variable.
    Config {
        /// Its name.
        key "key" one String = 1;
        /// Its value, which may be a secret.
        value "value" one String = 2;
    }
    /// How nodes are connected: rooms are not, so only images are used.
    Workflow {
        /// Accepted and not used.
        id "id" one String = 1;
        /// Accepted and not used.
        name "name" one String = 2;
        /// Accepted and not used.
        entrypoint "entrypoint" one String = 3;
        /// Its nodes.
        nodes "nodes" many Node = 4;
        /// Accepted and not used.
        edges "edges" many Edge = 5;
    }
    /// A container of the original's. How many rooms there are says the scheduler.
    Node {
        /// Accepted and not used.
        id "id" one String = 1;
        /// Accepted and not used.
        name "name" one String = 2;
        /// Compared with the stored version.
        image "image" one String = 3;
        /// Accepted and not used.
        src "src" one String = 4;
    }
    /// A connection between nodes: accepted and not used.
    Edge {
        /// Accepted and not used.
        id "id" one String = 1;
        /// Accepted and not used.
        fromNode "fromNode" one String = 2;
        /// Accepted and not used.
        toNode "toNode" one String = 3;
    }
    /// An order about a version.
    Request {
        /// The version. Required.
        version "version" msg Version = 1;
        /// Of a stop: ends rooms with a match at once.
        force "force" one bool = 100;
        /// Of a new configuration: what happens to running rooms, `rolling` (if empty), `all` or `none`.
        restart "restart" one String = 101;
    }
    /// What became of an order.
    Response {
        /// In words.
        message "message" one String = 2;
        /// The operation that does it.
        operation_id "operation_id" one String = 100;
        /// Of a publication: where rooms of the version are given to callers.
        url "url" one String = 101;
    }
    /// Which version's rooms are watched.
    NodeStatusRequest {
        /// Name of the version.
        versionName "versionName" one String = 1;
        /// Name of the scheduler, which is that of its namespace.
        namespace "namespace" one String = 2;
    }
    /// How far a room is.
    NodeStatusResponse {
        /// Id of the room.
        nodeId "nodeId" one String = 1;
        /// STARTING, STARTED, STOPPED or ERROR.
        status "status" one String = 2;
        /// Name of the room, which is its id.
        name "name" one String = 3;
        /// Why it is not started; empty if there is nothing to say.
        reason "reason" one String = 100;
    }
}
