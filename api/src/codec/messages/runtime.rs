//! Messages of package `runtime`, which clients of the K8s manager know. What it does not have is numbered from 100.
//! Their names clash with those of other packages, so they are not among those of [`super`].

#![allow(
    non_snake_case,
    reason = "the names of the fields are those of the package"
)]

use crate::codec::macros::{kind, messages, slot};

messages! {
    /// A runtime: the place of a scheduler's rooms.
    Runtime {
        /// Name of the scheduler, if there is no namespace.
        name "name" one String = 1;
        /// Name of the scheduler, which is that of its namespace.
        namespace "namespace" one String = 2;
        /// Accepted and not used.
        minio "minio" msg MinioConf = 3;
        /// Accepted and not used.
        mongo "mongo" msg MongoConf = 4;
    }
    /// Credentials that nothing here needs.
    MinioConf {
        /// Accepted and not used.
        accessKey "accessKey" one String = 1;
        /// Accepted and not used.
        secretKey "secretKey" one String = 2;
    }
    /// Credentials that nothing here needs.
    MongoConf {
        /// Accepted and not used.
        username "username" one String = 1;
        /// Accepted and not used.
        password "password" one String = 2;
        /// Accepted and not used.
        sharedKey "sharedKey" one String = 3;
    }
    /// About which runtime.
    Request {
        /// The runtime.
        runtime "runtime" msg Runtime = 1;
        /// How many seconds the call waits at most. Absent: as long as it may take, a status five minutes. Below zero:
        /// not at all.
        wait_seconds "waitSeconds" one i32 = 100;
    }
    /// What became of an order.
    Response {
        /// For people.
        message "message" one String = 2;
        /// The operation that makes the runtime.
        operation_id "operation_id" one String = 100;
        /// The status of that operation, as `GetOperation` has it.
        status "status" one String = 101;
    }
    /// How far a runtime is.
    RuntimeStatusResponse {
        /// `CREATING`, `STARTED` or `ERROR`.
        Status "Status" one String = 1;
        /// What it depends on, one sentence each.
        conditions "conditions" many String = 100;
    }
}
