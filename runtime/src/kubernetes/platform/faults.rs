//! Failed calls, by what the caller can do about them.

use super::super::client::Failure;
use maestro_core::domain::PlatformFault;
use maestro_core::ports::{PlatformError, RuntimeError};

/// Why a `Runtime` cannot be written.
pub const NO_CRD: &str = "Kubernetes does not know runtimes: apply deploy/kubernetes/common/runtime-definition.yaml first, \
     or set runtime.operator.enabled to false";

/// A failed call, by what the caller can do about it.
pub fn refused(failure: Failure) -> PlatformError {
    let is_right_missing = failure.is_right_missing();
    let why = RuntimeError::from(failure);
    let fault = match &why {
        _ if is_right_missing => PlatformFault::Forbidden,
        RuntimeError::Invalid(_) => PlatformFault::Invalid,
        RuntimeError::Terminating(_) => PlatformFault::Terminating,
        RuntimeError::Exhausted(_) | RuntimeError::Unavailable(_) | RuntimeError::NotFound => {
            PlatformFault::Unavailable
        }
    };
    PlatformError::new(fault, why.to_string())
}
