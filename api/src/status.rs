//! The outcome of a failed call: a gRPC code with its HTTP form (contract 2.1 "Errors").

/// gRPC status codes, without `Ok`, which is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// The caller canceled the call.
    Canceled = 1,
    /// A failure without a more specific code.
    Unknown = 2,
    /// The request itself is invalid.
    InvalidArgument = 3,
    /// The caller's deadline passed before the call ended.
    DeadlineExceeded = 4,
    /// The requested object does not exist.
    NotFound = 5,
    /// The object to be created exists already.
    AlreadyExists = 6,
    /// The caller lacks the permission.
    PermissionDenied = 7,
    /// A limit or quota was reached.
    ResourceExhausted = 8,
    /// The current state of the system does not allow the call.
    FailedPrecondition = 9,
    /// The call conflicted with a concurrent change.
    Aborted = 10,
    /// A value is outside of the valid range.
    OutOfRange = 11,
    /// The call does not exist or is not supported.
    Unimplemented = 12,
    /// A defect of ours.
    Internal = 13,
    /// A transient failure; a retry may succeed.
    Unavailable = 14,
    /// Stored data is lost or cannot be read.
    DataLoss = 15,
    /// The caller is not authenticated.
    Unauthenticated = 16,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The code with this number on the wire; none for 0, which is success, and for unassigned numbers.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    const ALL: [Self; 16] = [
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The HTTP status that carries this code. `FailedPrecondition` is 400, not 412 (contract 2.1).
    pub fn http(self) -> u16 {
        match self {
            Self::Canceled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::DeadlineExceeded => 504,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::PermissionDenied => 403,
            Self::ResourceExhausted => 429,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::Unauthenticated => 401,
        }
    }
}

/// A failed call: a code and a message for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The kind of failure.
    pub code: Code,
    /// The error message for the caller.
    pub message: String,
    /// A retry will fail the same way although the code is transient, so clients are told not to retry.
    pub lasts: bool,
    /// The operation that the call ordered, and that goes on or failed.
    pub operation: Option<String>,
    /// The owner of the scheduler is not where the call was made. For calls between nodes; callers of a node's own APIs
    /// get it rarely and need not know it.
    pub owner: Option<OwnerHint>,
}

/// Where the owner of a scheduler is instead. The call had no effect, so it can be made there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerHint {
    /// On the node that takes calls at this address.
    At(String),
    /// It has no owner at the moment.
    Nobody,
}

impl Status {
    /// A failure with this code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            lasts: false,
            operation: None,
            owner: None,
        }
    }

    /// A status with [`Code::InvalidArgument`].
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// A status with [`Code::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// A status with [`Code::Unknown`].
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Code::Unknown, message)
    }

    /// A status with [`Code::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// A status with [`Code::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }
}
